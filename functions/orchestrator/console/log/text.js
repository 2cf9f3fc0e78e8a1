/**
 * What a terminal shows of a line: colours and styles as escape sequences set them (ECMA-48), and what is left after carriage
 * returns and backspaces have overwritten what was before.
 */

/**
 * @typedef {{foreground?: string, background?: string, bold?: boolean, dim?: boolean, italic?: boolean, underline?: boolean,
 *   inverse?: boolean, strike?: boolean}} Style a colour is "0" to "15" for the terminal's own, else "#rrggbb"
 * @typedef {{text: string, style: Style | undefined}} Span
 */

/** A line without anything that a terminal would act on, which nearly all lines are. */
const PLAIN = /^[^\x00-\x1f\x7f-\x9f]*$/;
/** Escape sequences: control sequences, strings such as titles and links, and the short ones. */
const SEQUENCE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|[\]PX^_].*?(?:\x07|\x1b\\|$)|[ -/]*[0-~]|$)/y;
const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const NO_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u;
const NARROW = /^[\x20-\x7e]*$/;
const TAB = 8;

/** @param {string} raw a line as it was printed @returns {Span[]} */
export function spans(raw) {
  if (PLAIN.test(raw)) return raw === "" ? [] : [{ text: raw, style: undefined }];
  const screen = new Screen();
  for (let at = 0; at < raw.length; ) {
    if (raw[at] === "\x1b") {
      SEQUENCE.lastIndex = at;
      const match = SEQUENCE.exec(raw);
      at += match?.[0].length || 1;
      if (match?.[2]) screen.control(match[2], match[1] ?? "");
    } else {
      const character = String.fromCodePoint(/** @type {number} */ (raw.codePointAt(at)));
      at += character.length;
      screen.put(character);
    }
  }
  return screen.spans();
}

/** The text of a line as it is seen, without colours. @param {string} raw */
export const plain = (raw) => (PLAIN.test(raw) ? raw : spans(raw).map((span) => span.text).join(""));

/** How many columns of a terminal a line takes. @param {string} raw */
export function width(raw) {
  if (NARROW.test(raw)) return raw.length;
  let columns = 0;
  for (const character of plain(raw)) {
    if (character === "\t") columns += TAB - (columns % TAB);
    else if (WIDE.test(character)) columns += 2;
    else if (!NO_WIDTH.test(character)) columns += 1;
  }
  return columns;
}

/** One line of a terminal. */
class Screen {
  /** @type {string[]} */
  #characters = [];
  /** @type {(Style | undefined)[]} */
  #styles = [];
  #cursor = 0;
  /** @type {Style | undefined} */
  #style = undefined;

  /** @param {string} character */
  put(character) {
    if (character === "\r") this.#cursor = 0;
    else if (character === "\b") this.#cursor = Math.max(0, this.#cursor - 1);
    else if (NO_WIDTH.test(character) && this.#cursor > 0) this.#characters[this.#cursor - 1] += character;
    else this.#write(visible(character));
  }

  /** @param {string} character */
  #write(character) {
    while (this.#characters.length < this.#cursor) this.#set(this.#characters.length, " ", undefined);
    this.#set(this.#cursor, character, this.#style);
    this.#cursor += 1;
  }

  /** @param {number} at @param {string} character @param {Style | undefined} style */
  #set(at, character, style) {
    this.#characters[at] = character;
    this.#styles[at] = style;
  }

  /** Obeys a control sequence. One that moves to another line, or that is unknown, does nothing. @param {string} kind @param {string} parameters */
  control(kind, parameters) {
    const count = Math.min(Number.parseInt(parameters, 10) || 1, 1000);
    if (kind === "m") this.#style = restyle(this.#style, parameters);
    else if (kind === "K") this.#erase(parameters);
    else if (kind === "G") this.#cursor = count - 1;
    else if (kind === "C") this.#cursor += count;
    else if (kind === "D") this.#cursor = Math.max(0, this.#cursor - count);
  }

  /** @param {string} which "" or "0": from the cursor on, "1": up to the cursor, "2": all */
  #erase(which) {
    if (which !== "1" && which !== "2") {
      this.#characters.length = Math.min(this.#characters.length, this.#cursor);
      this.#styles.length = this.#characters.length;
      return;
    }
    const end = which === "1" ? this.#cursor + 1 : this.#characters.length;
    for (let at = 0; at < Math.min(end, this.#characters.length); at++) this.#set(at, " ", undefined);
    if (which === "2") this.#characters.length = this.#styles.length = 0;
  }

  /** @returns {Span[]} */
  spans() {
    /** @type {Span[]} */
    const spans = [];
    let start = 0;
    for (let at = 1; at <= this.#characters.length; at++) {
      if (at < this.#characters.length && this.#styles[at] === this.#styles[start]) continue;
      spans.push({ text: this.#characters.slice(start, at).join(""), style: this.#styles[start] });
      start = at;
    }
    return spans;
  }
}

/** A control character as its picture, so that nothing of a line is hidden. @param {string} character */
function visible(character) {
  const code = character.charCodeAt(0);
  if (character === "\t" || code >= 0xa0 || (code >= 0x20 && code < 0x7f)) return character;
  return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? "\u2421" : "\ufffd";
}

/** @type {Record<number, Style>} */
const SET = {
  1: { bold: true }, 2: { dim: true }, 3: { italic: true }, 4: { underline: true }, 7: { inverse: true }, 9: { strike: true },
  21: { underline: true }, 22: { bold: undefined, dim: undefined }, 23: { italic: undefined }, 24: { underline: undefined },
  27: { inverse: undefined }, 29: { strike: undefined }, 39: { foreground: undefined }, 49: { background: undefined },
};

/** The style after "select graphic rendition". @param {Style | undefined} style @param {string} parameters @returns {Style | undefined} */
function restyle(style, parameters) {
  /** @type {Style} */
  let next = { ...style };
  const codes = parameters.split(/[;:]/).map((code) => Number(code || 0));
  for (let at = 0; at < codes.length; at++) {
    const code = /** @type {number} */ (codes[at]);
    if (code === 0) next = {};
    else if (code >= 30 && code <= 37) next.foreground = String(code - 30);
    else if (code >= 40 && code <= 47) next.background = String(code - 40);
    else if (code >= 90 && code <= 97) next.foreground = String(code - 82);
    else if (code >= 100 && code <= 107) next.background = String(code - 92);
    else if (code === 38 || code === 48) {
      const [color, used] = extended(codes.slice(at + 1));
      if (color) next[code === 38 ? "foreground" : "background"] = color;
      at += used;
    } else Object.assign(next, SET[code]);
  }
  return Object.values(next).some((value) => value !== undefined) ? next : undefined;
}

/** A colour of 256 or of 24 bit, and how many codes it takes. @param {number[]} codes @returns {[string | undefined, number]} */
function extended(codes) {
  const [form, ...values] = codes;
  const byte = (/** @type {number | undefined} */ value) => Math.min(255, value ?? 0).toString(16).padStart(2, "0");
  if (form === 2) return [`#${byte(values[0])}${byte(values[1])}${byte(values[2])}`, 4];
  if (form !== 5) return [undefined, codes.length];
  const index = Math.min(255, values[0] ?? 0);
  if (index < 16) return [String(index), 2];
  if (index >= 232) return [`#${byte(8 + (index - 232) * 10).repeat(3)}`, 2];
  const level = (/** @type {number} */ step) => byte(step === 0 ? 0 : 55 + step * 40);
  const cube = index - 16;
  return [`#${level(Math.floor(cube / 36))}${level(Math.floor(cube / 6) % 6)}${level(cube % 6)}`, 2];
}
