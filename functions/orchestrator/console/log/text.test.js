import assert from "node:assert/strict";
import { test } from "node:test";

import { plain, spans, width } from "./text.js";

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
