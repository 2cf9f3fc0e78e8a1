import assert from "node:assert/strict";
import { test } from "node:test";

import { measured, plain, spans, styleAfter, unhidden, width } from "./text.js";

test("a line without escape sequences is one span", () => {
  assert.deepEqual(spans("hello <b>wörld</b>"), [{ text: "hello <b>wörld</b>", style: undefined }]);
  assert.deepEqual(spans(""), []);
});

test("colours of 16, of 256 and of 24 bit", () => {
  const styleOf = (/** @type {string} */ codes) => spans(`\x1b[${codes}mx`)[0]?.style;
  for (const [codes, style] of /** @type {[string, unknown][]} */ ([
    ["31", { foreground: "1" }],
    ["97;41", { foreground: "15", background: "1" }],
    ["104", { background: "12" }],
    ["38;5;9", { foreground: "9" }],
    ["38;5;196", { foreground: "#ff0000" }],
    ["48;5;244", { background: "#808080" }],
    ["38;2;1;2;300", { foreground: "#0102ff" }],
    ["38:2:16:32:48", { foreground: "#102030" }],
    ["1;2;3;4;7;9", { bold: true, dim: true, italic: true, underline: true, inverse: true, strike: true }],
    ["1;31;0", undefined],
    ["38", undefined],
    ["999", undefined],
  ])) {
    assert.deepEqual(styleOf(codes), style, codes);
  }
});

test("a style lasts until it is reset", () => {
  assert.deepEqual(spans("a\x1b[31mb\x1b[1mc\x1b[39md\x1b[me"), [
    { text: "a", style: undefined },
    { text: "b", style: { foreground: "1" } },
    { text: "c", style: { foreground: "1", bold: true } },
    { text: "d", style: { foreground: undefined, bold: true } },
    { text: "e", style: undefined },
  ]);
});

test("what is overwritten is not seen", () => {
  for (const [raw, seen] of /** @type {[string, string][]} */ ([
    ["10%\r50%\r100%", "100%"],
    ["long text\rshort", "shorttext"],
    ["long text\r\x1b[Kshort", "short"],
    ["gone\x1b[2K\rhere", "here"],
    ["line\r", "line"],
    ["abc\b\bX", "aXc"],
    ["a\x1b[5Gb", "a   b"],
    ["abc\x1b[2DX", "aXc"],
    ["a\x1b[3Cb", "a   b"],
    ["one\x1b[1Atwo", "onetwo"],
    ["\x1b]0;title\x07text", "text"],
    ["\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"],
    ["\x1b(Btext", "text"],
    ["broken \x1b", "broken "],
    ["broken \x1b[31", "broken 31"],
    ["nul \x00 bell \x07 del \x7f", "nul ␀ bell ␇ del ␡"],
    ["tab\tkept", "tab\tkept"],
    ["e\u0301\rx", "x"],
  ])) {
    assert.equal(plain(raw), seen, JSON.stringify(raw));
  }
});

test("columns are counted as a terminal does", () => {
  for (const [raw, columns] of /** @type {[string, number][]} */ ([
    ["", 0], ["abc", 3], ["\x1b[31mabc\x1b[0m", 3], ["a\tb", 9], ["日本", 4], ["e\u0301", 1], ["\u{1f600}", 2], ["10%\r100%", 4],
  ])) {
    assert.equal(width(raw), columns, JSON.stringify(raw));
  }
});

test("no sequence of bytes takes long or fails", () => {
  const parts = ["\x1b", "[", "31", ";", "m", "\r", "\b", "K", "]", "\x07", "é", "9999999999", "C", "G", "?", "\u{1f600}", "\x9b"];
  for (let seed = 1; seed < 3000; seed++) {
    let state = seed;
    const raw = Array.from({ length: 30 }, () => parts[(state = (state * 1_103_515_245 + 12_345) & 0x7fffffff) % parts.length]).join("");
    assert.ok(width(raw) <= 100_000);
  }
  const start = performance.now();
  width("\x1b[31mx\x1b]".repeat(20_000));
  assert.ok(performance.now() - start < 5000);
});

/** Lines that ask for much work, by the part that is repeated. */
const COSTLY = [
  "\x1b[999Cx", "\x1b[999C", "\x1b[999Gx\x1b[2K", "\x1b[999Gx\r\x1b[K", "\x1b[1K", "\x1b[1Kx", "x\x1b[1K\x1b[999C", "\x1b[2Kx", "\x1b[999G\x1b[1Kx\r", "\x1b]", "\x1b]8;;a",
  "\x1b[", "\x1b[1", "\x1b[38;5;1", ";38;5;1", "\x1b[38;2;1;2;3mx", "\b", "\bx", "\ru", "\u0301", "a\u0301\b", "\u202e", "\x1b[31mx", "\x1bP", "\x1b]\r",
];

test("a line costs no more steps and cells than its bytes, whatever it asks for", () => {
  const check = (/** @type {string} */ raw) => {
    const { spans, steps } = measured(raw);
    const cells = spans.reduce((sum, { text }) => sum + text.length, 0);
    assert.ok(steps <= 40 * raw.length + 8000, `${steps} steps for ${raw.length} characters: ${JSON.stringify(raw.slice(0, 60))}`);
    assert.ok(cells <= 8 * raw.length + 1000, `${cells} cells for ${raw.length} characters: ${JSON.stringify(raw.slice(0, 60))}`);
  };
  for (const part of COSTLY) for (const length of [100, 12_000, 48_000]) check(part.repeat(length / part.length));
  let state = 1;
  const below = (/** @type {number} */ end) => (state = (state * 48_271) % 0x7fffffff) % end;
  for (let round = 0; round < 400; round++) {
    const parts = Array.from({ length: 1 + below(4) }, () => COSTLY[below(COSTLY.length)] ?? "");
    const before = "x".repeat(below(3) * 4000);
    check(before + Array.from({ length: 2000 }, () => parts[below(parts.length)]).join(""));
  }
});

test("a movement leads as far as a terminal is wide", () => {
  assert.equal(plain("a\x1b[99999Cb"), `a${" ".repeat(998)}${" ".repeat(1)}b`);
  assert.equal(plain("\x1b[20Gx").length, 20);
});

test("a line begins in the style in which the one before it ended", () => {
  const red = styleAfter("\x1b[31mred", undefined);
  assert.deepEqual(spans("still", red), [{ text: "still", style: { foreground: "1" } }]);
  assert.deepEqual(spans("\x1b[1mmore", red), [{ text: "more", style: { foreground: "1", bold: true } }]);
  assert.equal(styleAfter("x\x1b[0my", red), undefined);
  assert.equal(styleAfter("no change", red), red);
});

test("links of terminals are links, and characters that reorder text are marks", () => {
  assert.deepEqual(spans("see \x1b]8;;https://example.com/a\x1b\\here\x1b]8;;\x1b\\ now"), [
    { text: "see ", style: undefined }, { text: "here", style: undefined, link: "https://example.com/a" }, { text: " now", style: undefined },
  ]);
  assert.equal(plain("a\u202eb\u2066c"), "a⟦U+202E⟧b⟦U+2066⟧c");
  assert.equal(unhidden("rm \u202etxt.exe"), "rm ⟦U+202E⟧txt.exe");
  assert.equal(unhidden("שלום"), "שלום");
  assert.equal(unhidden("a\u001b[2J\u0085b\u200bc\ufeffd\u2028e\u{e0041}"), "a⟦U+1B⟧[2J⟦U+85⟧b⟦U+200B⟧c⟦U+FEFF⟧d⟦U+2028⟧e⟦U+E0041⟧");
  assert.equal(unhidden("line\r\n\tnext\rover"), "line\r\n\tnext⟦U+D⟧over");
  assert.equal(unhidden("👩‍🚀 ❤️ نمی‌خواهم"), "👩‍🚀 ❤️ نمی‌خواهم");
  assert.equal(plain("a\u200bb\u{e0041}"), "a⟦U+200B⟧b⟦U+E0041⟧");
});

test("pictures are counted as two columns, however they are written", () => {
  for (const [raw, columns] of /** @type {[string, number][]} */ ([["✅", 2], ["\u2764\ufe0f", 2], ["\u2764", 1], ["👨\u200d👩\u200d👧", 2], ["a✅b", 4]])) {
    assert.equal(width(raw), columns, JSON.stringify(raw));
  }
});
