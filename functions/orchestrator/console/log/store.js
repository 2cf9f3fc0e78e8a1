/**
 * The lines of a log, each once, in the order of the server: by time, then by id. A late line is put into its place, and one that
 * comes again is dropped.
 */

import { plain, width } from "./text.js";

/** @typedef {import("../api.js").LogEvent} LogEvent */

/** Lines of a chunk. A late line moves what is behind it in its chunk, and nothing else. */
const CHUNK = 2048;

class Chunk {
  /** @type {string[]} */
  ids = [];
  /** @type {number[]} */
  times = [];
  /** @type {string[]} */
  texts = [];
  /** Columns that each line takes. @type {number[]} */
  widths = [];
  /** The rows that the first `counted` lines take when they are wrapped at `columns`. */
  columns = 0;
  counted = 0;
  rows = 0;

  get length() {
    return this.ids.length;
  }

  /** @param {number} at @param {LogEvent} event */
  insert(at, event) {
    const columns = width(event.message);
    if (at === this.length) {
      this.ids.push(event.event_id);
      this.times.push(event.timestamp);
      this.texts.push(event.message);
      this.widths.push(columns);
      return;
    }
    this.ids.splice(at, 0, event.event_id);
    this.times.splice(at, 0, event.timestamp);
    this.texts.splice(at, 0, event.message);
    this.widths.splice(at, 0, columns);
    this.columns = 0;
  }

  /** Takes the second half away. */
  split() {
    const rest = new Chunk();
    const half = this.length >> 1;
    rest.ids = this.ids.splice(half);
    rest.times = this.times.splice(half);
    rest.texts = this.texts.splice(half);
    rest.widths = this.widths.splice(half);
    this.columns = 0;
    return rest;
  }

  /** Negative when the event belongs before the line, 0 when it is the line. @param {LogEvent} event @param {number} at */
  compare(event, at) {
    const time = /** @type {number} */ (this.times[at]);
    if (event.timestamp !== time) return event.timestamp - time;
    const id = /** @type {string} */ (this.ids[at]);
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
    if (!last || last.length >= CHUNK) this.#chunks.push((last = new Chunk()));
    last.insert(last.length, event);
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

  /** The id of the last line. */
  get lastId() {
    return this.#chunks.at(-1)?.ids.at(-1);
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
        yield { number: first + at, time: /** @type {number} */ (chunk.times[at]), text: /** @type {string} */ (chunk.texts[at]) };
      }
      first += chunk.length;
      if (first >= to) return;
    }
  }

  /** The whole log as a file. @param {boolean} asSeen without colours and what was overwritten */
  file(asSeen) {
    const parts = this.#chunks.map((chunk) => `${(asSeen ? chunk.texts.map(plain) : chunk.texts).join("\n")}\n`);
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
