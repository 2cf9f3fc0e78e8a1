/**
 * Holds a log beside the page's own thread: receives it, keeps it, searches it, and hands out the lines that are in view. However
 * fast lines come, the page has only those to draw.
 */

import { Api, ApiError, describe } from "../api.js";
import { Find, occurrences, pattern } from "./find.js";
import { Follower } from "./follow.js";
import { LogStore } from "./store.js";
import { isUneven, plain, styleAfter } from "./text.js";

/**
 * @typedef {{number: number, time: number, text: string, found?: {start: number, end: number}[], style?: import("./text.js").Style,
 *   rows?: number}} Line a number from 0, where what is searched occurs in the line as it is seen, the style in which it begins, and
 *   the rows that are counted for a line that a browser may draw in others
 * @typedef {{type: "open", key: string | undefined, id: string}
 *   | {type: "window", row: number, count: number, columns: number}
 *   | {type: "columns", columns: number}
 *   | {type: "locate", number: number, columns: number}
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
 *   | {type: "status", status: import("../api.js").Status, exitCode: number | null}
 *   | {type: "connection", state: "live" | "lost" | "complete"}
 *   | {type: "refused", message: string, status: number}} Answer
 */

/** How often the page hears that the log has grown, in milliseconds. */
const REPORT_EVERY = 80;
/** How long the search goes on before other messages are looked at, in milliseconds. */
const SEARCH_STEP = 30;

const store = new LogStore();
let columns = Infinity;
let reportIsDue = false;
/** Whether lines have been inserted among those that the page has. */
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
  const rows = store.rows(columns);
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
  const first = store.lineAt(row, columns);
  /** @type {Line[]} */
  const lines = [];
  let style = store.styleAt(first.number);
  for (const line of store.lines(first.number, first.number + count + row - first.start)) {
    const found = find && occurrences(find.pattern, plain(line.text));
    lines.push({ ...line, found, style, rows: isUneven(line.text) ? store.rowsOf(line.number, columns) : undefined });
    if (line.text.includes("\x1b[")) style = styleAfter(line.text, style);
  }
  answer({ type: "window", row: first.start, columns, lines, isNew });
  isNew = false;
}

/** @param {import("./find.js").Query | undefined} query @param {number} from */
function startFind(query, from) {
  find = undefined;
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
      return answer({ type: "located", number: data.number, row: store.rowOf(data.number, columns) });
    case "find":
      return startFind(data.query, data.from);
    case "match":
      return match(data.index);
    case "file":
      return answer({ type: "file", blob: store.file(data.asSeen), request: data.request });
    case "drawn":
      if (data.columns === columns && store.measure(data.rows, columns)) report();
      return;
    case "live?":
      return answer({ type: "alive" });
    case "reconnect":
      return follower?.reconnect();
  }
};
