/**
 * Shows a line as a terminal does: colours and styles as escape sequences set them (ECMA-48), and what is left after carriage
 * returns and backspaces have overwritten what was before.
 */

/**
 * @typedef {{foreground?: string, background?: string, bold?: boolean, dim?: boolean, italic?: boolean, underline?: boolean,
 *   inverse?: boolean, strike?: boolean}} Style a colour is "0" to "15" for the terminal's own, else "#rrggbb"
 */

/**
 * A span of a line; `link` is the address that the span leads to (OSC 8, "Hyperlinks in Terminal Emulators").
 * @typedef {{text: string, style: Style | undefined, link?: string}} Span
 */

/**
 * Characters that are not shown, or that reorder what is behind them, so that a text may read differently from what it is (Unicode Technical
 * Report 36). The API refuses them in names and descriptions. Joiners are not among them, because words and pictures need them.
 */
const HIDDEN = /[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/u;
/** In a text that no terminal shows, these are hidden too: control characters but for tabs and line ends. */
const HIDDEN_IN_TEXT = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\r(?!\n)/gu;
/** A line without anything that a terminal would act on, which nearly all lines are. */
const PLAIN = /^[^\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]*$/u;
/** Escape sequences: control sequences, strings such as titles and links, and the short ones. Each alternative is matched in linear time. */
const SEQUENCE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|([\]PX^_])([^\x07\x1b]*)(?:\x07|\x1b\\|(?=\x1b)|$)|[ -/]*[0-~]|$)/y;
const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;
const NO_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u;
const NARROW = /^[\x20-\x7e]*$/;
/** Makes the character before it a picture, which is two columns wide. */
const AS_PICTURE = "\ufe0f";
/** Joins the pictures around it to one. */
const JOINER = "\u200d";
const TAB = 8;

/**
 * Columns of the terminal to which a movement may lead in a line that is shorter: more than the widest windows have.
 */
const COLUMNS = 1000;
/**
 * Steps that a line may cost, for each of its characters and for the line. What moves the cursor and erases costs a step for each cell that
 * it fills, so that 12 KB of movements cannot ask for millions of cells. When the steps are used up, movements and erasures do nothing.
 */
const STEPS = { character: 16, line: 4 * COLUMNS };

/**
 * The spans of a line, and the steps that they cost.
 * @param {string} raw a line as it was printed @param {Style} [before] the style in which the line before it ended
 * @returns {{spans: Span[], steps: number, style: Style | undefined}}
 */
export function measured(raw, before) {
  if (PLAIN.test(raw)) return { spans: raw === "" ? [] : [{ text: raw, style: before }], steps: raw.length, style: before };
  const screen = new Screen(raw.length * STEPS.character + STEPS.line, before);
  for (let at = 0; at < raw.length; ) {
    screen.steps += 1;
    if (raw[at] === "\x1b") {
      SEQUENCE.lastIndex = at;
      const match = SEQUENCE.exec(raw);
      at += match?.[0].length || 1;
      if (match?.[2]) screen.control(match[2], match[1] ?? "");
      else if (match?.[3] === "]") screen.command(match[4] ?? "");
    } else {
      const character = String.fromCodePoint(/** @type {number} */ (raw.codePointAt(at)));
      at += character.length;
      screen.put(character);
    }
  }
  return { spans: screen.spans(), steps: screen.steps, style: screen.style };
}

/** @param {string} raw a line as it was printed @param {Style} [before] the style in which the line before it ended @returns {Span[]} */
export const spans = (raw, before) => measured(raw, before).spans;

/** The style in which a line ends, and the next begins. @param {string} raw @param {Style | undefined} before */
export function styleAfter(raw, before) {
  let style = before;
  for (const [, parameters = ""] of raw.matchAll(/\x1b\[([\d;:]*)m/g)) style = restyle(style, parameters);
  return style;
}

/** The text of a line as it is seen, without colours. @param {string} raw */
export const plain = (raw) => (PLAIN.test(raw) ? raw : spans(raw).map((span) => span.text).join(""));

/** Tells whether a browser may draw a line in other columns than are counted, because it has more than letters. @param {string} raw */
export const isUneven = (raw) => !NARROW.test(raw) && /[^\x20-\x7e\x1b\r\n]/.test(raw);

/** The number of columns of a terminal that a line takes. Browsers may draw pictures wider or narrower. @param {string} raw */
export function width(raw) {
  if (NARROW.test(raw)) return raw.length;
  let columns = 0;
  let [last, isJoined] = [0, false];
  for (const character of plain(raw)) {
    if (character === AS_PICTURE && last === 1) [columns, last] = [columns + 1, 2];
    const wide = isJoined ? 0 : character === "\t" ? TAB - (columns % TAB) : WIDE.test(character) ? 2 : NO_WIDTH.test(character) ? 0 : 1;
    isJoined = character === JOINER;
    columns += wide;
    if (wide > 0) last = wide;
  }
  return columns;
}

/** A text with the characters that would not be shown, or would reorder it, as marks. @param {string} text */
export const unhidden = (text) => text.replace(HIDDEN_IN_TEXT, mark);

/** @param {string} character */
const mark = (character) => `⟦U+${/** @type {number} */ (character.codePointAt(0)).toString(16).toUpperCase()}⟧`;

/** One line of a terminal. */
class Screen {
  /** @type {string[]} */
  #characters = [];
  /** @type {(Style | undefined)[]} */
  #styles = [];
  /** @type {(string | undefined)[]} */
  #links = [];
  #cursor = 0;
  /** @type {string | undefined} */
  #link = undefined;
  steps = 0;

  /** @param {number} limit steps that the line may cost @param {Style | undefined} style */
  constructor(limit, style) {
    this.limit = limit;
    this.style = style;
  }

  /** @param {string} character */
  put(character) {
    if (character === "\r") this.#cursor = 0;
    else if (character === "\b") this.#cursor = Math.max(0, this.#cursor - 1);
    else if (HIDDEN.test(character)) for (const one of mark(character)) this.#write(one);
    else if (NO_WIDTH.test(character) && this.#cursor > 0 && this.#characters.length >= this.#cursor) this.#characters[this.#cursor - 1] += character;
    else this.#write(visible(character));
  }

  /** @param {string} character */
  #write(character) {
    while (this.#characters.length < this.#cursor) this.#set(this.#characters.length, " ", undefined, undefined);
    this.#set(this.#cursor, character, this.style, this.#link);
    this.#cursor += 1;
  }

  /** @param {number} at @param {string} character @param {Style | undefined} style @param {string | undefined} link */
  #set(at, character, style, link) {
    this.steps += 1;
    this.#characters[at] = character;
    this.#styles[at] = style;
    this.#links[at] = link;
  }

  /** Obeys a control sequence. One that moves to another line, or that is unknown, does nothing. @param {string} kind @param {string} parameters */
  control(kind, parameters) {
    const count = Math.min(Number.parseInt(parameters, 10) || 1, COLUMNS);
    if (kind === "m") this.style = restyle(this.style, parameters);
    else if (kind === "K") this.#erase(parameters);
    else if (kind === "G") this.#move(count - 1);
    else if (kind === "C") this.#move(this.#cursor + count);
    else if (kind === "D") this.#move(this.#cursor - count);
  }

  /** Obeys an operating system command. Of those, only links are of use. @param {string} text */
  command(text) {
    const match = /^8;[^;]*;(.*)$/s.exec(text);
    if (match) this.#link = match[1] || undefined;
  }

  /** Moves the cursor, as far as the terminal's columns, or as the line is long. @param {number} column */
  #move(column) {
    const length = this.#characters.length;
    const end = Math.max(length, this.#has(column - length) ? COLUMNS : 0);
    this.#cursor = Math.min(Math.max(0, column), end);
  }

  /** Tells whether the line may cost so many steps more. @param {number} steps */
  #has(steps) {
    return this.steps + Math.max(0, steps) <= this.limit;
  }

  /** @param {string} which "" or "0": from the cursor on, "1": up to the cursor, "2": all */
  #erase(which) {
    const length = this.#characters.length;
    if (which === "1" && this.#cursor < length - 1) {
      if (this.#has(this.#cursor + 1)) for (let at = 0; at <= this.#cursor; at++) this.#set(at, " ", undefined, undefined);
      return;
    }
    // What is written after this fills the cells before the cursor with blanks.
    const kept = which === "1" || which === "2" ? 0 : Math.min(length, this.#cursor);
    if (!this.#has(this.#cursor - kept)) return;
    this.#characters.length = this.#styles.length = this.#links.length = kept;
  }

  /** @returns {Span[]} */
  spans() {
    /** @type {Span[]} */
    const spans = [];
    let start = 0;
    for (let at = 1; at <= this.#characters.length; at++) {
      this.steps += 1;
      if (at < this.#characters.length && this.#styles[at] === this.#styles[start] && this.#links[at] === this.#links[start]) continue;
      const span = { text: this.#characters.slice(start, at).join(""), style: this.#styles[start] };
      spans.push(this.#links[start] === undefined ? span : { ...span, link: this.#links[start] });
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
      const [color, used] = extended(codes, at + 1);
      if (color) next[code === 38 ? "foreground" : "background"] = color;
      at += used;
    } else Object.assign(next, SET[code]);
  }
  return Object.values(next).some((value) => value !== undefined) ? next : undefined;
}

/** A colour of 256 or of 24 bit, and how many codes it takes. @param {number[]} codes @param {number} at where they begin @returns {[string | undefined, number]} */
function extended(codes, at) {
  const [form, ...values] = codes.slice(at, at + 4);
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
