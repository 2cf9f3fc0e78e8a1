/**
 * Knows which lines of a log are shown: those of folded sections are not, nor, while only matching lines are wanted, the others. A log
 * in which nothing is hidden costs nothing more.
 */

import { OWN } from "./own.js";

/** @typedef {import("./store.js").LogStore} LogStore */

/** Lines by which programs mark sections: of GitHub's and Azure's runners, and of GitLab's. */
const START = /^(?:::group::|##\[group\]|section_start:\d+:[\w.-]+(?:\[[^\]]*\])?(?:\r\x1b\[0K)?)(.*)$/;
const END = /^(?:::endgroup::|##\[endgroup\]|section_end:\d+:)/;
/** A line that is neither cannot begin like this. */
const MAY_MARK = /^(?:::|##\[|section_)/;
/** Lines of runvoy's own with which a log begins, before the command prints. */
const MOST_OWN = 20;

/**
 * A section: its first line is shown, the lines from there to `to` (exclusive) are folded with it. A section without an end yet is open.
 * @typedef {{from: number, to: number | undefined, title: string}} Section
 */

export class Shape {
  /** @type {Section[]} in the order of their first lines */
  #sections = [];
  /** Sections that have begun and not ended. @type {Section[]} */
  #begun = [];
  /** The choices of the person, by the first line of the section. @type {Map<number, boolean>} */
  #chosen = new Map();
  #scanned = 0;
  /** Lines of runvoy's own with which the log begins; known for good when another line has come. */
  #own = 0;
  #ownIsKnown = false;
  /** Lines that are shown, where not all are, and the row at which each begins. @type {number[]} */
  #visible = [];
  /** @type {number[]} */
  #starts = [];
  #built = 0;
  #columns = 0;
  /** The lines that match, while only those are wanted. @type {(() => number[]) | undefined} */
  #only;

  /** @param {LogStore} store */
  constructor(store) {
    this.store = store;
  }

  /** Shows only these lines, which may become more; all of them without an argument. @param {() => number[]} [lines] in their order */
  only(lines) {
    this.#only = lines;
    this.#forget(0);
  }

  get isFiltered() {
    return this.#only !== undefined;
  }

  /** @param {Section} section */
  isOpen(section) {
    return this.#chosen.get(section.from) ?? section.to === undefined;
  }

  get #isWhole() {
    return this.#only === undefined && this.#sections.every((section) => this.isOpen(section));
  }

  /** The section that begins at a line. @param {number} number */
  at(number) {
    return this.#only ? undefined : this.#sections.find((section) => section.from === number);
  }

  /** Folds the section that begins at a line, or unfolds it. @param {number} number */
  toggle(number) {
    const section = this.at(number);
    if (!section) return;
    this.#chosen.set(number, !this.isOpen(section));
    this.#forget(number);
  }

  /** Unfolds the sections that hide a line. Returns whether there were any. @param {number} number */
  reveal(number) {
    const hiding = this.#sections.filter((section) => section.from < number && number < (section.to ?? Infinity) && !this.isOpen(section));
    for (const { from } of hiding) this.#chosen.set(from, true);
    if (hiding.length > 0) this.#forget(0);
    return hiding.length > 0;
  }

  /** Lines have been added. @param {number | undefined} changed the first that is another one now @param {import("./store.js").LogEvent[]} events */
  grow(changed, events) {
    if (changed !== undefined) {
      this.#forget(changed);
      [this.#scanned, this.#own, this.#ownIsKnown, this.#sections, this.#begun] = [0, 0, false, [], []];
      this.#forget(0);
    } else if (this.#ownIsKnown && !events.some(({ message }) => MAY_MARK.test(message))) {
      this.#scanned = this.store.length;
      return;
    }
    const hasMarks = changed !== undefined || events.some(({ message }) => MAY_MARK.test(message));
    for (const { number, text } of this.store.lines(this.#scanned)) {
      this.#scan(number, text);
      if (this.#ownIsKnown && !hasMarks) break;
    }
    this.#scanned = this.store.length;
  }

  /** @param {number} number @param {string} text */
  #scan(number, text) {
    if (!this.#ownIsKnown) this.#scanOwn(number, text);
    const title = START.exec(text)?.[1];
    if (title !== undefined) {
      const section = { from: number, to: undefined, title: title.trim() || "Section" };
      this.#sections.push(section);
      this.#begun.push(section);
    } else if (END.test(text)) {
      const section = this.#begun.pop();
      if (!section) return;
      section.to = number + 1;
      this.#forget(section.from);
    }
  }

  /** @param {number} number @param {string} text */
  #scanOwn(number, text) {
    if (number === this.#own && text.startsWith(OWN) && !text.includes("exit code =>") && number < MOST_OWN) {
      this.#own += 1;
      return;
    }
    this.#ownIsKnown = true;
    if (this.#own < 2) return;
    this.#sections.unshift({ from: 0, to: this.#own, title: "How runvoy started it" });
    this.#forget(0);
  }

  /** Forgets the rows of this line and of those behind it. @param {number} number */
  #forget(number) {
    while ((this.#visible.at(-1) ?? -1) >= number) {
      this.#visible.pop();
      this.#starts.pop();
    }
    this.#built = Math.min(this.#built, number);
  }

  /** The rows of these lines are others than counted. @param {number[]} numbers */
  measured(numbers) {
    this.#forget(Math.min(...numbers));
  }

  /** Finds the lines that are shown, from where this has ended last. @param {number} columns */
  #build(columns) {
    if (columns !== this.#columns) {
      this.#columns = columns;
      this.#forget(0);
    }
    const { store } = this;
    const matching = this.#only?.();
    const until = matching ? Math.min(store.length, (matching.at(-1) ?? -1) + 1) : store.length;
    if (this.#built >= until) return;
    let number = this.#built;
    let hiddenUntil = Math.max(0, ...this.#sections.filter((one) => one.from < number && !this.isOpen(one)).map((one) => one.to ?? Infinity));
    let next = this.#sections.findIndex((one) => one.from >= number);
    if (next < 0) next = this.#sections.length;
    let match = matching ? firstFrom(matching, number) : 0;
    const last = this.#visible.at(-1);
    let row = last === undefined ? 0 : /** @type {number} */ (this.#starts.at(-1)) + store.rowsOf(last, columns);
    for (const rows of store.eachRows(number, until, columns)) {
      const isShown = matching ? matching[match] === number : number >= hiddenUntil;
      if (isShown) {
        this.#visible.push(number);
        this.#starts.push(row);
        row += rows;
      }
      while (matching && (matching[match] ?? Infinity) <= number) match += 1;
      for (let section = this.#sections[next]; section?.from === number; section = this.#sections[++next]) {
        if (isShown && !this.isOpen(section)) hiddenUntil = Math.max(hiddenUntil, section.to ?? Infinity);
      }
      number += 1;
    }
    this.#built = until;
  }

  /** @param {number} columns */
  rows(columns) {
    if (this.#isWhole) return this.store.rows(columns);
    this.#build(columns);
    const last = this.#visible.at(-1);
    return last === undefined ? 0 : /** @type {number} */ (this.#starts.at(-1)) + this.store.rowsOf(last, columns);
  }

  /** The row at which a line begins; for one that is hidden, that of the last before it. @param {number} number @param {number} columns */
  rowOf(number, columns) {
    if (this.#isWhole) return this.store.rowOf(number, columns);
    this.#build(columns);
    return this.#starts[Math.max(0, firstFrom(this.#visible, number + 1) - 1)] ?? 0;
  }

  /**
   * Lines from the one that takes a row, and the row at which that one begins.
   * @param {number} row @param {number} count @param {number} columns
   * @returns {{start: number, runs: [from: number, to: number][]}}
   */
  window(row, count, columns) {
    if (this.#isWhole) {
      const first = this.store.lineAt(row, columns);
      return { start: first.start, runs: [[first.number, first.number + count + row - first.start]] };
    }
    this.#build(columns);
    const at = Math.max(0, firstFrom(this.#starts, row + 1) - 1);
    const start = this.#starts[at] ?? 0;
    /** @type {[number, number][]} */
    const runs = [];
    for (const number of this.#visible.slice(at, at + count + row - start)) {
      const last = runs.at(-1);
      if (last?.[1] === number) last[1] = number + 1;
      else runs.push([number, number + 1]);
    }
    return { start, runs };
  }
}

/** The first place in a sorted list whose value is at least this. @param {number[]} sorted @param {number} value */
function firstFrom(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (/** @type {number} */ (sorted[middle]) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
