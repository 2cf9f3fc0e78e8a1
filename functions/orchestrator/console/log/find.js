/** Finding text in a log that may have millions of lines and may still grow. */

import { plain } from "./text.js";

/** @typedef {{text: string, isRegExp: boolean, isCaseSensitive: boolean}} Query */

/**
 * The pattern that a query means, for finding every occurrence.
 * @param {Query} query
 * @throws {SyntaxError} for a text that is no regular expression
 */
export function pattern({ text, isRegExp, isCaseSensitive }) {
  const source = isRegExp ? text : text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  // In Unicode mode, a regular expression may escape less than people are used to.
  return new RegExp(source, `g${isCaseSensitive ? "" : "i"}${isRegExp ? "" : "u"}`);
}

/** Where a pattern occurs in a text. An occurrence without characters does not count. @param {RegExp} pattern @param {string} text */
export function occurrences(pattern, text) {
  /** @type {{start: number, end: number}[]} */
  const found = [];
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    if (match[0] === "") pattern.lastIndex += 1;
    else found.push({ start: match.index, end: match.index + match[0].length });
  }
  return found;
}

const ERROR = /\b(?:error|fatal|panic(?:ked)?|exception|traceback|failed|failure)\b|^\s*(?:FAIL\b|✗|✘)|[A-Za-z]Error\b/i;
const NO_ERROR = /\b(?:0|no|without|zero) (?:errors?|failed|failures?|exceptions?)\b/i;

/** Tells whether a line says that something went wrong, as far as words tell. @param {string} text */
export const isError = (text) => ERROR.test(text) && !NO_ERROR.test(text);

/** The occurrences of a pattern in a log, found in steps. */
export class Find {
  /** The line (from 0) of each occurrence. @type {number[]} */
  #lines = [];
  #searched = 0;

  /** @param {import("./store.js").LogStore} store @param {RegExp} pattern */
  constructor(store, pattern) {
    this.store = store;
    this.pattern = pattern;
  }

  get count() {
    return this.#lines.length;
  }

  /** The lines with an occurrence, each once for each. */
  get lines() {
    return this.#lines;
  }

  get isComplete() {
    return this.#searched === this.store.length;
  }

  /** Searches on for about so long. @param {number} milliseconds */
  step(milliseconds) {
    const end = performance.now() + milliseconds;
    for (const { number, text } of this.store.lines(this.#searched)) {
      this.#searched = number + 1;
      this.pattern.lastIndex = 0;
      // Most lines are as they are seen, and most do not match.
      if (this.pattern.test(text) || text.includes("\x1b") || text.includes("\r")) {
        for (const _ of occurrences(this.pattern, plain(text))) this.#lines.push(number);
      }
      if (number % 256 === 0 && performance.now() > end) return;
    }
  }

  /** Searches again from a line on, because lines were inserted there. @param {number} number */
  forget(number) {
    if (number >= this.#searched) return;
    this.#searched = number;
    this.#lines.length = this.firstFrom(number);
  }

  /** The first occurrence (from 0) in this line or a later one. @param {number} number */
  firstFrom(number) {
    let [low, high] = [0, this.#lines.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (/** @type {number} */ (this.#lines[middle]) < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The line of an occurrence, and which of that line's occurrences it is. @param {number} index */
  at(index) {
    const line = this.#lines[index];
    return line === undefined ? undefined : { line, nth: index - this.firstFrom(line) };
  }
}
