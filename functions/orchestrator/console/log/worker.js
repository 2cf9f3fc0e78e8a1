/**
 * Holds a log beside the page's own thread: receives it, keeps it, searches it, and hands out the lines that are in view. However
 * fast lines come, the page has only those to draw.
 */

import { Api, ApiError, describe } from "../api.js";
import { Find, isError, occurrences, pattern } from "./find.js";
import { Follower } from "./follow.js";
import { OWN } from "./own.js";
import { Shape } from "./shape.js";
import { LogStore } from "./store.js";
import { isUneven, plain, styleAfter } from "./text.js";

/**
 * @typedef {{number: number, time: number, text: string, found?: {start: number, end: number}[], style?: import("./text.js").Style,
 *   rows?: number, fold?: {isOpen: boolean, title: string, lines: number}}} Line a number from 0, where what is searched occurs in the line as it is seen, the style in which it begins, and
 *   the rows that are counted for a line that a browser may draw in others; and the section that it begins
 * @typedef {{type: "open", key: string | undefined, id: string}
 *   | {type: "window", row: number, count: number, columns: number}
 *   | {type: "columns", columns: number}
 *   | {type: "locate", number: number, columns: number, reveal?: boolean}
 *   | {type: "fold", number: number}
 *   | {type: "only", isOn: boolean}
 *   | {type: "error", after: number}
 *   | {type: "find", query: import("./find.js").Query | undefined, from: number}
 *   | {type: "match", index: number}
 *   | {type: "file", asSeen: boolean, request: number}
 *   | {type: "drawn", rows: [number: number, rows: number][], columns: number}
 *   | {type: "live?"}
 *   | {type: "reconnect"}} Request
 * @typedef {{type: "size", lines: number, rows: number, characters: number, firstTime: number | undefined}
 *   | {type: "window", row: number, columns: number, lines: Line[], isNew: boolean}
 *   | {type: "located", number: number, row: number}
 *   | {type: "found", count: number, isComplete: boolean, problem?: string}
 *   | {type: "match", index: number, line: number, nth: number}
 *   | {type: "file", blob: Blob, request: number}
 *   | {type: "alive"}
 *   | {type: "error", number: number | undefined}
 *   | {type: "status", status: import("../api.js").Status, exitCode: number | null}
 *   | {type: "connection", state: "live" | "lost" | "complete"}
 *   | {type: "refused", message: string, status: number}} Answer
 */

/** The pause between two messages that tell the page of new lines, in milliseconds. */
const REPORT_EVERY = 80;
/** The time that the search goes on before other messages are looked at, in milliseconds. */
const SEARCH_STEP = 30;

const store = new LogStore();
const shape = new Shape(store);
/** Tells whether only matching lines are wanted. */
let isOnly = false;
let columns = Infinity;
let reportIsDue = false;
/** Tells whether lines have been inserted among those that the page has. */
let isNew = false;
/** @type {Follower | undefined} */
let follower;
/** @type {Find | undefined} */
let find;
let isSearching = false;
let wantsFirstFrom = -1;

/** @param {Answer} answer */
const answer = (answer) => self.postMessage(answer);

function report() {
  reportIsDue = false;
  const rows = shape.rows(columns);
  answer({ type: "size", lines: store.length, rows, characters: store.size, firstTime: store.firstTime });
}

function reportSoon() {
  if (reportIsDue) return;
  reportIsDue = true;
  setTimeout(report, REPORT_EVERY);
}

/** @param {import("../api.js").LogEvent[]} events */
function add(events) {
  const changed = store.add(events);
  if (changed !== undefined) {
    isNew = true;
    find?.forget(changed);
  }
  shape.grow(changed, events);
  reportSoon();
  search();
}

/** Searches in steps, between which other messages are handled. */
function search() {
  if (isSearching || !find || find.isComplete) return;
  isSearching = true;
  setTimeout(() => {
    isSearching = false;
    if (!find) return;
    find.step(SEARCH_STEP);
    answer({ type: "found", count: find.count, isComplete: find.isComplete });
    if (isOnly) reportSoon();
    showFirst();
    search();
  });
}

/** Shows the first occurrence from where the person looks, as soon as it is known. */
function showFirst() {
  if (wantsFirstFrom < 0 || !find) return;
  const index = find.firstFrom(wantsFirstFrom);
  if (index === find.count && !find.isComplete) return;
  wantsFirstFrom = -1;
  match(index < find.count ? index : 0);
}

/** @param {number} index */
function match(index) {
  const place = find?.at(index);
  if (place) answer({ type: "match", index, line: place.line, nth: place.nth });
}

/** @param {string | undefined} key @param {string} id */
async function open(key, id) {
  follower = new Follower(new Api(key), id, {
    lines: add,
    status: (status, exitCode) => answer({ type: "status", status, exitCode }),
    connection: (state) => {
      if (state === "complete") report();
      answer({ type: "connection", state });
    },
  });
  try {
    await follower.run();
  } catch (error) {
    answer({ type: "refused", message: describe(error), status: error instanceof ApiError ? error.status : 0 });
  }
}

/** @param {number} row @param {number} count */
function showWindow(row, count) {
  const { start, runs } = shape.window(row, count, columns);
  /** @type {Line[]} */
  const lines = [];
  for (const [from, to] of runs) {
    let style = store.styleAt(from);
    for (const line of store.lines(from, to)) {
      const found = find && occurrences(find.pattern, plain(line.text));
      const fold = foldAt(line.number);
      lines.push({ ...line, found, style, fold, rows: fold || isUneven(line.text) ? store.rowsOf(line.number, columns) : undefined });
      if (line.text.includes("\x1b[")) style = styleAfter(line.text, style);
    }
  }
  answer({ type: "window", row: start, columns, lines, isNew });
  isNew = false;
}

/** The section that begins at a line, as the page shows it. @param {number} number @returns {Line["fold"]} */
function foldAt(number) {
  const section = shape.at(number);
  return section && { isOpen: shape.isOpen(section), title: section.title, lines: (section.to ?? store.length) - section.from };
}

/** The lines that are shown are others. */
function reshape() {
  isNew = true;
  report();
}

/** Shows only lines with an occurrence, or all of them. */
function narrow() {
  const { lines } = find ?? {};
  if (isOnly && lines) shape.only(() => lines);
  else if (shape.isFiltered) shape.only();
  else return;
  reshape();
}

/** The first line after this one that says that something went wrong; from the beginning when there is none. @param {number} after */
function findError(after) {
  /** @type {number | undefined} */
  let first;
  for (const { number, text } of store.lines()) {
    if ((first !== undefined && number <= after) || text.startsWith(OWN) || !isError(plain(text))) continue;
    if (number > after) return number;
    first = number;
  }
  return first;
}

/** @param {import("./find.js").Query | undefined} query @param {number} from */
function startFind(query, from) {
  find = undefined;
  setFind(query, from);
  narrow();
}

/** @param {import("./find.js").Query | undefined} query @param {number} from */
function setFind(query, from) {
  if (!query) return;
  try {
    find = new Find(store, pattern(query));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    answer({ type: "found", count: 0, isComplete: true, problem: "not a regular expression" });
    return;
  }
  wantsFirstFrom = from;
  if (store.length === 0) answer({ type: "found", count: 0, isComplete: true });
  search();
}

/** @param {MessageEvent<Request>} event */
self.onmessage = ({ data }) => {
  switch (data.type) {
    case "open":
      return void open(data.key, data.id);
    case "columns":
      columns = data.columns;
      return report();
    case "window":
      columns = data.columns;
      return showWindow(data.row, data.count);
    case "locate":
      columns = data.columns;
      if (data.reveal && shape.reveal(data.number)) reshape();
      return answer({ type: "located", number: data.number, row: shape.rowOf(data.number, columns) });
    case "fold":
      shape.toggle(data.number);
      return reshape();
    case "only":
      isOnly = data.isOn;
      return narrow();
    case "error":
      return answer({ type: "error", number: findError(data.after) });
    case "find":
      return startFind(data.query, data.from);
    case "match":
      return match(data.index);
    case "file":
      return answer({ type: "file", blob: store.file(data.asSeen), request: data.request });
    case "drawn":
      if (data.columns !== columns || !store.measure(data.rows, columns)) return;
      shape.measured(data.rows.map(([number]) => number));
      return report();
    case "live?":
      return answer({ type: "alive" });
    case "reconnect":
      return follower?.reconnect();
  }
};
