/**
 * The lines of a log, each once, in the order of the server: by time, then by id. A late line is put into its place, and one that
 * comes again is dropped.
 */

import { plain, width } from "./text.js";

/** @typedef {import("../api.js").LogEvent} LogEvent */

/** Lines of a chunk. A late line moves what is behind it in its chunk, and nothing else. */
const CHUNK = 2048;

/** The lines of a chunk, in a form that takes little memory: few objects, and ids without what all have in common. */
class Packed {
  /** @param {string[]} ids @param {string[]} texts */
  constructor(ids, texts) {
    this.count = ids.length;
    this.text = texts.join("");
    let end = 0;
    this.ends = Uint32Array.from(texts, (text) => (end += text.length));
    this.prefix = ids.reduce(commonPrefix);
    const rests = ids.map((id) => id.slice(this.prefix.length));
    // Ids of CloudWatch Logs are numbers of 56 digits, of which two fit into a character.
    this.isPairs = rests.every((rest) => rest.length % 2 === 0 && /^\d*$/.test(rest));
    const kept = this.isPairs ? rests.map(pack) : rests;
    this.idLength = kept.every((one) => one.length === kept[0]?.length) ? (kept[0]?.length ?? 0) : undefined;
    this.ids = this.idLength === undefined ? kept : kept.join("");
  }

  /** @param {number} at */
  id(at) {
    const rest = typeof this.ids === "string" ? this.ids.substr(at * (this.idLength ?? 0), this.idLength) : (this.ids[at] ?? "");
    return this.prefix + (this.isPairs ? unpack(rest) : rest);
  }

  /** @param {number} at */
  line(at) {
    return this.text.slice(at === 0 ? 0 : this.ends[at - 1], this.ends[at]);
  }
}

/** @param {string} one @param {string} other */
function commonPrefix(one, other) {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length += 1;
  return one.slice(0, length);
}

/** @param {string} digits */
function pack(digits) {
  let packed = "";
  for (let at = 0; at < digits.length; at += 2) packed += String.fromCharCode(Number(digits.slice(at, at + 2)));
  return packed;
}

/** @param {string} packed */
const unpack = (packed) => Array.from(packed, (pair) => String(pair.charCodeAt(0)).padStart(2, "0")).join("");

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

  get length() {
    return this.times.length;
  }

  /** @param {number} at */
  id(at) {
    return this.#packed?.id(at) ?? this.#ids[at] ?? "";
  }

  /** @param {number} at */
  text(at) {
    return this.#packed?.line(at) ?? this.#texts[at] ?? "";
  }

  texts() {
    return Array.from({ length: this.length }, (_, at) => this.text(at));
  }

  /** To be called when no line will be appended. */
  pack() {
    this.#packed = new Packed(this.#ids, this.#texts);
    this.#ids = [];
    this.#texts = [];
  }

  #unpack() {
    if (!this.#packed) return;
    [this.#ids, this.#texts] = [Array.from({ length: this.length }, (_, at) => this.id(at)), this.texts()];
    this.#packed = undefined;
  }

  /** @param {LogEvent} event */
  append({ event_id, timestamp, message }) {
    this.#ids.push(event_id);
    this.#texts.push(message);
    this.times.push(timestamp);
    this.widths.push(width(message));
  }

  /** @param {number} at @param {LogEvent} event */
  insert(at, { event_id, timestamp, message }) {
    this.#unpack();
    this.#ids.splice(at, 0, event_id);
    this.#texts.splice(at, 0, message);
    this.times.splice(at, 0, timestamp);
    this.widths.splice(at, 0, width(message));
    this.columns = 0;
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
    return rest;
  }

  /** Negative when the event belongs before the line, 0 when it is the line. @param {LogEvent} event @param {number} at */
  compare(event, at) {
    const time = /** @type {number} */ (this.times[at]);
    if (event.timestamp !== time) return event.timestamp - time;
    const id = this.id(at);
    return event.event_id < id ? -1 : Number(event.event_id > id);
  }

  /** @param {number} columns */
  totalRows(columns) {
    if (this.columns !== columns) [this.columns, this.counted, this.rows] = [columns, 0, 0];
    for (; this.counted < this.length; this.counted++) this.rows += this.rowsOf(this.counted, columns);
    return this.rows;
  }

  /** @param {number} at @param {number} columns */
  rowsOf(at, columns) {
    return Math.max(1, Math.ceil(/** @type {number} */ (this.widths[at]) / columns));
  }
}

export class LogStore {
  /** @type {Chunk[]} */
  #chunks = [];
  /** How many lines there are. */
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
      this.#chunks.push((last = new Chunk()));
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

  /** How many rows all lines take when they are wrapped at so many columns. @param {number} columns `Infinity`: not wrapped */
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

  /** Lines with their numbers (from 0). @param {number} [from] @param {number} [to] @returns {Generator<{number: number, time: number, text: string}>} */
  *lines(from = 0, to = Infinity) {
    let first = 0;
    for (const chunk of this.#chunks) {
      const end = Math.min(chunk.length, to - first);
      for (let at = Math.max(0, from - first); at < end; at++) {
        yield { number: first + at, time: /** @type {number} */ (chunk.times[at]), text: chunk.text(at) };
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
