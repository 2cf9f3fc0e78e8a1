/**
 * The lines of a log, each once, in the order of the server: by time, then by id. A late line is put into its place, and one that
 * comes again is dropped.
 */

import { OWN } from "./own.js";
import { plain, styleAfter, width } from "./text.js";

/** @typedef {import("../api.js").LogEvent} LogEvent @typedef {import("./text.js").Style} Style */

/** Lines of a chunk. A late line moves what is behind it in its chunk, and nothing else. */
const CHUNK = 2048;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
/** The text between ids. No id has it. */
const BETWEEN = "\n";

/**
 * The lines of a chunk as bytes. A million strings would take twice as much memory, and the browser would look through them again and
 * again for what can be freed.
 */
class Packed {
  /** @param {string[]} ids @param {string[]} texts */
  constructor(ids, texts) {
    let end = 0;
    this.ends = Uint32Array.from(texts, (text) => (end += text.length));
    this.text = encoder.encode(texts.join(""));
    this.prefix = ids.reduce(commonPrefix);
    // Ids of CloudWatch Logs are numbers of 56 digits, of which two fit into a byte.
    const rests = ids.map((id) => id.slice(this.prefix.length));
    const length = rests[0]?.length ?? 0;
    this.isPairs = length % 2 === 0 && rests.every((rest) => rest.length === length && /^\d*$/.test(rest));
    this.ids = this.isPairs ? pack(rests.join("")) : encoder.encode(rests.join(BETWEEN));
  }

  unpackIds() {
    const { ids, prefix, ends } = this;
    if (!this.isPairs) return decoder.decode(ids).split(BETWEEN).map((rest) => prefix + rest);
    const length = ids.length / ends.length;
    return Array.from(ends, (_, at) => prefix + unpack(ids.subarray(at * length, (at + 1) * length)));
  }

  unpackTexts() {
    const text = decoder.decode(this.text);
    return Array.from(this.ends, (end, at) => text.slice(at === 0 ? 0 : this.ends[at - 1], end));
  }
}

/** @param {string} one @param {string} other */
function commonPrefix(one, other) {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length += 1;
  return one.slice(0, length);
}

/** @param {string} digits */
const pack = (digits) => Uint8Array.from({ length: digits.length / 2 }, (_, at) => Number(digits.slice(2 * at, 2 * at + 2)));

/** @param {Uint8Array} pairs */
const unpack = (pairs) => Array.from(pairs, (pair) => String(pair).padStart(2, "0")).join("");

/** The chunks that were unpacked last, since lines are asked for in their order. @type {{chunk: Chunk, ids?: string[], texts?: string[]}[]} */
const recent = [];
const RECENT = 4;

/** @param {Chunk} chunk */
function recently(chunk) {
  const known = recent.find((one) => one.chunk === chunk);
  if (known) return known;
  if (recent.length === RECENT) recent.shift();
  /** @type {typeof recent[0]} */
  const made = { chunk };
  recent.push(made);
  return made;
}

class Chunk {
  /** @type {string[]} */
  #ids = [];
  /** @type {string[]} */
  #texts = [];
  /** Takes the place of those two when the chunk is full. @type {Packed | undefined} */
  #packed;
  /** @type {number[]} */
  times = [];
  /** Columns that each line takes. @type {number[]} */
  widths = [];
  /** The rows that the first `counted` lines take when they are wrapped at `columns`. */
  columns = 0;
  counted = 0;
  rows = 0;
  /** Rows that the browser has drawn a line in, at `columns`, where they are other than counted. @type {Map<number, number>} */
  drawn = new Map();
  /** The style in which the first line begins. @type {Style | undefined} */
  before = undefined;
  /** The style in which the last line ends; unknown after a line was inserted. @type {{style: Style | undefined} | undefined} */
  after = { style: undefined };

  get length() {
    return this.times.length;
  }

  ids() {
    return this.#packed ? (recently(this).ids ??= this.#packed.unpackIds()) : this.#ids;
  }

  texts() {
    return this.#packed ? (recently(this).texts ??= this.#packed.unpackTexts()) : this.#texts;
  }

  /** To be called when no line will be appended. */
  pack() {
    this.#packed = new Packed(this.#ids, this.#texts);
    this.#ids = [];
    this.#texts = [];
  }

  #unpack() {
    if (!this.#packed) return;
    [this.#ids, this.#texts] = [this.ids(), this.texts()];
    this.#packed = undefined;
    recent.length = 0;
  }

  /** @param {LogEvent} event */
  append({ event_id, timestamp, message }) {
    this.#ids.push(event_id);
    this.#texts.push(message);
    this.times.push(timestamp);
    this.widths.push(width(message));
    if (this.after && setsStyle(message)) this.after = { style: styleAfter(message, this.after.style) };
  }

  /** @param {number} at @param {LogEvent} event */
  insert(at, { event_id, timestamp, message }) {
    this.#unpack();
    this.#ids.splice(at, 0, event_id);
    this.#texts.splice(at, 0, message);
    this.times.splice(at, 0, timestamp);
    this.widths.splice(at, 0, width(message));
    this.columns = 0;
    if (setsStyle(message)) this.after = undefined;
  }

  /** Begins the first line in this style. @param {Style | undefined} style */
  begin(style) {
    if (JSON.stringify(style) === JSON.stringify(this.before) && this.after) return;
    this.before = style;
    this.after = { style: this.styleAt(this.length) };
  }

  /** The style in which a line begins. @param {number} at */
  styleAt(at) {
    let style = this.before;
    for (const message of this.texts().slice(0, at)) if (setsStyle(message)) style = styleAfter(message, style);
    return style;
  }

  /** Takes the second half away. */
  split() {
    const rest = new Chunk();
    const half = this.length >> 1;
    rest.#ids = this.#ids.splice(half);
    rest.#texts = this.#texts.splice(half);
    rest.times = this.times.splice(half);
    rest.widths = this.widths.splice(half);
    this.columns = 0;
    this.after = rest.after = undefined;
    return rest;
  }

  /** Negative when the event belongs before the line, 0 when it is the line. @param {LogEvent} event @param {number} at */
  compare(event, at) {
    const time = /** @type {number} */ (this.times[at]);
    if (event.timestamp !== time) return event.timestamp - time;
    const id = /** @type {string} */ (this.ids()[at]);
    return event.event_id < id ? -1 : Number(event.event_id > id);
  }

  /** @param {number} columns */
  totalRows(columns) {
    if (this.columns !== columns) [this.columns, this.counted, this.rows, this.drawn] = [columns, 0, 0, new Map()];
    for (; this.counted < this.length; this.counted++) this.rows += this.rowsOf(this.counted, columns);
    return this.rows;
  }

  /** @param {number} at @param {number} columns */
  rowsOf(at, columns) {
    return (columns === this.columns && this.drawn.get(at)) || Math.max(1, Math.ceil(/** @type {number} */ (this.widths[at]) / columns));
  }

  /** Takes the rows in which the browser has drawn a line. Returns whether they are others than counted. @param {number} at @param {number} rows @param {number} columns */
  measure(at, rows, columns) {
    const total = this.totalRows(columns);
    const counted = this.rowsOf(at, columns);
    if (counted === rows) return false;
    this.drawn.set(at, rows);
    this.rows = total + rows - counted;
    return true;
  }
}

export class LogStore {
  /** @type {Chunk[]} */
  #chunks = [];
  /** The number of lines. */
  length = 0;
  /** Characters of all lines. */
  size = 0;

  /**
   * Adds lines. Returns the number (from 0) of the first line that is another one now, or `undefined` if lines were only appended.
   * @param {LogEvent[]} events
   */
  add(events) {
    /** @type {number | undefined} */
    let changed;
    for (const event of events) {
      const last = this.#chunks.at(-1);
      if (!last || last.compare(event, last.length - 1) > 0) this.#append(event, last);
      else {
        const at = this.#insert(event);
        if (at !== undefined) changed = Math.min(changed ?? at, at);
      }
    }
    return changed;
  }

  /** @param {LogEvent} event @param {Chunk | undefined} last */
  #append(event, last) {
    if (!last || last.length >= CHUNK) {
      last?.pack();
      const before = last?.after?.style;
      this.#chunks.push((last = new Chunk()));
      [last.before, last.after] = [before, { style: before }];
    }
    last.append(event);
    this.#count(event);
  }

  /** @param {LogEvent} event */
  #count(event) {
    this.length += 1;
    this.size += event.message.length + 1;
  }

  /** Puts an event among those before the last. Returns where, or `undefined` if it is there already. @param {LogEvent} event */
  #insert(event) {
    const found = bisect(this.#chunks.length, (at) => compareLast(this.#chunks[at], event));
    const chunk = /** @type {Chunk} */ (this.#chunks[found]);
    const at = bisect(chunk.length, (line) => chunk.compare(event, line));
    if (chunk.compare(event, at) === 0) return undefined;
    const number = this.#chunks.slice(0, found).reduce((lines, one) => lines + one.length, 0) + at;
    chunk.insert(at, event);
    if (chunk.length > 2 * CHUNK) this.#chunks.splice(found + 1, 0, chunk.split());
    this.#count(event);
    return number;
  }

  /** The time of the first line. */
  get firstTime() {
    return this.#chunks[0]?.times[0];
  }

  /** The number of rows that all lines take when they are wrapped at so many columns. @param {number} columns `Infinity`: not wrapped */
  rows(columns) {
    if (columns === Infinity) return this.length;
    return this.#chunks.reduce((rows, chunk) => rows + chunk.totalRows(columns), 0);
  }

  /** The row at which a line begins. @param {number} number from 0 @param {number} columns */
  rowOf(number, columns) {
    if (columns === Infinity) return number;
    let row = 0;
    for (const chunk of this.#chunks) {
      if (number >= chunk.length) {
        row += chunk.totalRows(columns);
        number -= chunk.length;
        continue;
      }
      for (let at = 0; at < number; at++) row += chunk.rowsOf(at, columns);
      break;
    }
    return row;
  }

  /**
   * The line that takes a row, and the row at which it begins.
   * @param {number} row @param {number} columns
   */
  lineAt(row, columns) {
    let [number, start] = [0, 0];
    for (const chunk of this.#chunks) {
      const rows = columns === Infinity ? chunk.length : chunk.totalRows(columns);
      if (start + rows <= row) {
        start += rows;
        number += chunk.length;
        continue;
      }
      if (columns === Infinity) return { number: row, start: row };
      for (let at = 0; at < chunk.length; at++) {
        const next = start + chunk.rowsOf(at, columns);
        if (next > row) return { number: number + at, start };
        start = next;
      }
    }
    return { number, start };
  }

  /**
   * Takes the rows in which the browser has drawn lines. Returns whether any has others than counted.
   * @param {[number: number, rows: number][]} drawn @param {number} columns
   */
  measure(drawn, columns) {
    let isOther = false;
    for (const [number, rows] of drawn) {
      const place = this.#place(number);
      if (place) isOther = place.chunk.measure(place.at, rows, columns) || isOther;
    }
    return isOther;
  }

  /** The chunk of a line, and its place there. @param {number} number */
  #place(number) {
    for (const chunk of this.#chunks) {
      if (number < chunk.length) return { chunk, at: number };
      number -= chunk.length;
    }
    return undefined;
  }

  /** The rows that a line takes. @param {number} number @param {number} columns */
  rowsOf(number, columns) {
    const place = this.#place(number);
    return columns === Infinity || !place ? 1 : place.chunk.rowsOf(place.at, columns);
  }

  /** The rows of each line of a part. @param {number} from @param {number} to @param {number} columns @returns {Generator<number>} */
  *eachRows(from, to, columns) {
    let first = 0;
    for (const chunk of this.#chunks) {
      const end = Math.min(chunk.length, to - first);
      for (let at = Math.max(0, from - first); at < end; at++) yield columns === Infinity ? 1 : chunk.rowsOf(at, columns);
      first += chunk.length;
      if (first >= to) return;
    }
  }

  /** The style in which a line begins, because those before it set it. @param {number} number */
  styleAt(number) {
    /** @type {Style | undefined} */
    let style;
    for (const chunk of this.#chunks) {
      chunk.begin(style);
      if (number < chunk.length) return chunk.styleAt(number);
      number -= chunk.length;
      style = chunk.after?.style;
    }
    return style;
  }

  /** Lines with their numbers (from 0). @param {number} [from] @param {number} [to] @returns {Generator<{number: number, time: number, text: string}>} */
  *lines(from = 0, to = Infinity) {
    let first = 0;
    for (const chunk of this.#chunks) {
      const [start, end] = [Math.max(0, from - first), Math.min(chunk.length, to - first)];
      const texts = start < end ? chunk.texts() : [];
      for (let at = start; at < end; at++) {
        yield { number: first + at, time: /** @type {number} */ (chunk.times[at]), text: /** @type {string} */ (texts[at]) };
      }
      first += chunk.length;
      if (first >= to) return;
    }
  }

  /** The whole log as a file. @param {boolean} asSeen without colours and what was overwritten */
  file(asSeen) {
    const parts = this.#chunks.map((chunk) => `${(asSeen ? chunk.texts().map(plain) : chunk.texts()).join("\n")}\n`);
    return new Blob(parts, { type: "text/plain;charset=utf-8" });
  }
}

/** Tells whether a line may change the style of those behind it. @param {string} message */
const setsStyle = (message) => message.includes("\x1b[") && !message.startsWith(OWN);

/** @param {Chunk | undefined} chunk @param {LogEvent} event */
const compareLast = (chunk, event) => (chunk ? chunk.compare(event, chunk.length - 1) : -1);

/** The first place of `length` for which `compare` is not positive. @param {number} length @param {(at: number) => number} compare */
function bisect(length, compare) {
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(middle) > 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
