/** Draws the lines of a log that are in view, in a box that scrolls, and follows the log's end until the person scrolls up. */

import { choice } from "../session.js";
import { plural } from "../format.js";
import { element, fill, icon } from "../ui/dom.js";
import { lineElement } from "./lines.js";
import { Scroll } from "./scroll.js";

/** @typedef {import("./worker.js").Answer} Answer @typedef {import("./worker.js").Request} Request @typedef {import("./worker.js").Line} Line */

/** Rows that are drawn above and below the view. */
const MARGIN = 60;
/** Columns that the style sheet puts around a number, and the width of a time. */
const NUMBER_SPACE = 3;
const TIME_WIDTH = 13;
/** Distance from the end, in pixels, within which the log follows it. */
const AT_END = 8;

/** The digits for which there is room beside the lines. @param {number} lines */
const digits = (lines) => Math.max(3, String(lines).length);

/** The settings of the tools of the viewport, kept on this device. */
export const WRAP = choice("wrap", "on");
export const TIMES = choice("times", "off");

export class Viewport {
  #scroll = new Scroll();
  #lines = 0;
  #rows = 0;
  #firstTime = 0;
  #rowHeight = 20;
  #columns = Infinity;
  #follows = true;
  /** The number of lines that there were when the log was left at that place. */
  #leftAt = 0;
  /** The rows that are drawn. */
  #drawn = { from: 0, to: 0 };
  /** @type {Map<number, HTMLElement>} */
  #elements = new Map();
  #isAsked = false;
  #isStale = true;
  /** @type {{line: number, nth: number} | undefined} */
  #match;
  /** @type {{from: number, to: number} | undefined} */
  #selected;
  /** A line to go to as soon as it is there. @type {number | undefined} */
  #goal;
  /** A line that the view goes to once more when lines above it turn out to take other rows. @type {number | undefined} */
  #aim;
  #isComplete = false;
  #resizes = new ResizeObserver(() => this.measure());

  spacer = element("div", { class: "log-height" });
  drawn = element("div", { class: "log-lines" });
  ruler = element("span", { class: "log-ruler", "aria-hidden": true }, "0".repeat(100));
  box = element(
    "div",
    { class: "log-box", role: "log", "aria-label": "Log", "aria-live": "off", tabindex: 0 },
    this.spacer, this.drawn, this.ruler,
  );
  more = element("button", { class: "log-more", type: "button", hidden: true, onclick: () => this.#followEnd() });
  element = element("div", { class: "log-frame" }, this.box, this.more);

  /**
   * @param {(request: Request) => void} ask sends to the worker
   * @param {(text: string) => void} tell says something about the place that the address names; empty when there is nothing to say
   */
  constructor(ask, tell) {
    this.ask = ask;
    this.tell = tell;
  }

  /** @param {AbortSignal} signal ends the listeners */
  listen(signal) {
    this.box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.box.addEventListener("scrollend", () => this.#settle());
    this.box.addEventListener("wheel", (event) => event.deltaY < 0 && this.#leave(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.drawn.addEventListener("click", (event) => this.#clickNumber(event));
    window.addEventListener("hashchange", () => this.readHash(), { signal });
    this.#resizes.observe(this.box);
    signal.addEventListener("abort", () => this.#resizes.disconnect());
  }

  get lines() {
    return this.#lines;
  }

  /** Begins anew with a log that is received again, at the same place. */
  restart() {
    if (!this.#follows) this.#goal = this.firstInView();
    this.#isAsked = false;
    this.ask({ type: "columns", columns: this.#columns });
  }

  complete() {
    this.#isComplete = true;
    if (this.#goal !== undefined) this.#goTo(this.#goal);
    this.#showMore();
  }

  /** @param {Extract<Answer, {type: "size"}>} answer */
  grow({ lines, rows, firstTime }) {
    const hadDigits = digits(this.#lines);
    [this.#lines, this.#rows, this.#firstTime] = [lines, rows, firstTime ?? 0];
    this.#isStale = true;
    if (digits(lines) !== hadDigits) this.measure();
    this.#resize();
    if (this.#goal !== undefined && (this.#goal < lines || this.#isComplete)) this.#goTo(this.#goal);
    if (this.#follows) this.#move(this.#scroll.end);
    else if (this.#aim !== undefined) this.ask({ type: "locate", number: this.#aim, columns: this.#columns });
    this.#showMore();
    this.#want();
  }

  #resize() {
    this.#scroll.resize(this.#rows * this.#rowHeight, this.box.clientHeight);
    this.spacer.style.height = `${this.#scroll.height}px`;
  }

  /** The box, the font or the width of the columns may have changed. */
  measure() {
    const character = this.ruler.getBoundingClientRect().width / 100;
    this.#rowHeight = this.ruler.getBoundingClientRect().height || this.#rowHeight;
    this.box.style.setProperty("--digits", String(digits(this.#lines)));
    const beside = (digits(this.#lines) + NUMBER_SPACE + (TIMES.get() === "off" ? 0 : TIME_WIDTH)) * character + 1;
    const columns = WRAP.get() === "on" ? Math.max(20, Math.floor((this.box.clientWidth - beside) / character)) : Infinity;
    const isOther = columns !== this.#columns && character > 0;
    if (isOther) this.#columns = columns;
    this.box.style.setProperty("--columns", columns === Infinity ? "none" : `${columns}ch`);
    if (isOther) {
      // Stay with the line that is at the top.
      const first = this.firstInView();
      this.#isStale = true;
      this.ask({ type: "columns", columns });
      if (!this.#follows) this.ask({ type: "locate", number: first, columns });
    }
    this.#resize();
    if (this.#follows) this.#move(this.#scroll.end);
    this.#want();
  }

  /** The number (from 0) of the first line in view. */
  firstInView() {
    const top = this.box.getBoundingClientRect().top;
    for (const [number, line] of this.#elements) if (line.getBoundingClientRect().bottom > top + 1) return number;
    return 0;
  }

  /** @param {number} top */
  #move(top) {
    this.box.scrollTop = this.#scroll.moveTo(top);
    this.#place();
  }

  #scrolled() {
    const { scrollTop } = this.box;
    // A movement of our own changes nothing; browsers round it.
    if (Math.abs(scrollTop - this.#scroll.settled) < 1) return this.#want();
    this.#aim = undefined;
    this.#scroll.scrolled(scrollTop);
    this.#place();
    const isAtEnd = this.#scroll.end - this.#scroll.top < AT_END;
    if (isAtEnd) this.#follows = true;
    else this.#leave();
    this.#showMore();
    this.#want();
  }

  #settle() {
    if (this.#scroll.isShortened) {
      this.box.scrollTop = this.#scroll.settle();
      this.#place();
    }
  }

  /** Stops following the end. */
  #leave() {
    if (!this.#follows || this.#scroll.end === 0) return;
    this.#follows = false;
    this.#leftAt = this.#lines;
    this.#showMore();
  }

  #followEnd() {
    this.#follows = true;
    this.#aim = undefined;
    this.#move(this.#scroll.end);
    this.#showMore();
    this.#want();
    this.box.focus();
  }

  #showMore() {
    const added = this.#lines - this.#leftAt;
    this.more.hidden = this.#follows;
    if (!this.#follows) fill(this.more, icon("down"), added > 0 ? plural(added, "new line") : "Go to the end");
  }

  /** Asks for the lines in view, unless they are drawn or asked for. */
  #want() {
    if (this.#isAsked || this.#lines === 0 || this.box.clientHeight === 0) return;
    const rowHeight = this.#rowHeight;
    const from = Math.floor(this.#scroll.top / rowHeight);
    const to = Math.min(this.#rows, Math.ceil((this.#scroll.top + this.box.clientHeight) / rowHeight));
    // Lines are asked for before the last of those that are drawn come into view.
    const ahead = this.#follows ? 0 : MARGIN / 2;
    const isAhead = from - ahead >= this.#drawn.from || this.#drawn.from === 0;
    const isBehind = to + ahead <= this.#drawn.to || this.#drawn.to >= this.#rows;
    if (!this.#isStale && isAhead && isBehind) return;
    this.#isAsked = true;
    this.#isStale = false;
    // While the end is followed, what is drawn is replaced many times a second, and is not scrolled.
    const margin = this.#follows ? 2 : MARGIN;
    const row = Math.max(0, from - margin);
    this.ask({ type: "window", row, count: to - row + margin, columns: this.#columns });
  }

  /** @param {Extract<Answer, {type: "window"}>} answer */
  draw({ row, columns, lines, isNew }) {
    this.#isAsked = false;
    if (columns !== this.#columns) return this.#want();
    const before = isNew ? new Map() : this.#elements;
    this.#elements = new Map(lines.map((line) => [line.number, before.get(line.number) ?? lineElement(line, this.#look())]));
    this.#replace([...this.#elements.values()]);
    const rows = columns === Infinity ? lines.length : Math.round(this.drawn.offsetHeight / this.#rowHeight);
    this.#drawn = { from: row, to: row + rows };
    this.#place();
    if (columns !== Infinity) this.#compare(lines);
    this.#want();
  }

  /** Tells the worker of lines that the browser has drawn in other rows than were counted. @param {Line[]} lines */
  #compare(lines) {
    /** @type {[number, number][]} */
    const rows = [];
    for (const { number, rows: counted } of lines) {
      const drawn = counted === undefined ? undefined : Math.round((this.#elements.get(number)?.offsetHeight ?? 0) / this.#rowHeight);
      if (drawn && drawn !== counted) rows.push([number, drawn]);
    }
    if (rows.length > 0) this.ask({ type: "drawn", rows, columns: this.#columns });
  }

  /** Puts lines in place of those that are drawn, and leaves the ones that stay untouched, so that a selection of text survives. @param {HTMLElement[]} lines */
  #replace(lines) {
    const stay = new Set(lines);
    for (const child of [...this.drawn.children]) if (!stay.has(/** @type {HTMLElement} */ (child))) child.remove();
    let next = this.drawn.firstElementChild;
    for (const line of lines) {
      if (line === next) next = next.nextElementSibling;
      else this.drawn.insertBefore(line, next);
    }
  }

  redraw() {
    this.#elements = new Map();
    this.#isStale = true;
    this.#want();
  }

  #place() {
    const top = this.box.scrollTop + this.#drawn.from * this.#rowHeight - this.#scroll.top;
    this.drawn.style.transform = `translateY(${top}px)`;
  }

  /** @returns {import("./lines.js").Look} */
  #look() {
    const times = /** @type {import("./lines.js").Look["times"]} */ (TIMES.get());
    return { times, firstTime: this.#firstTime, match: this.#match, selected: this.#selected };
  }

  /** @param {number} number from 0 */
  #goTo(number) {
    this.#goal = undefined;
    this.#leave();
    if (number >= this.#lines) this.tell(`There is no line ${(number + 1).toLocaleString("en")}: the log has ${plural(this.#lines, "line")}.`);
    this.#aim = Math.min(number, Math.max(0, this.#lines - 1));
    this.ask({ type: "locate", number: this.#aim, columns: this.#columns, reveal: true });
  }

  /** Shows a row in the upper part of the view. @param {number} row */
  show(row) {
    const top = row * this.#rowHeight;
    if (top < this.#scroll.top || top > this.#scroll.top + this.box.clientHeight - 2 * this.#rowHeight) {
      this.#move(top - this.box.clientHeight / 3);
    }
    this.#want();
  }

  /** @param {{line: number, nth: number} | undefined} match the occurrence that the person is at */
  mark(match) {
    this.#match = match;
    this.redraw();
    if (match) this.#goTo(match.line);
  }

  /** Stays with the line at the top, while others around it are hidden or shown. */
  stay() {
    // Lines that fit into the view are at the end and at the beginning.
    if (this.#follows && this.#scroll.end > 0) return;
    this.#follows = false;
    this.#leftAt = Infinity;
    this.#aim = this.firstInView();
  }

  /** Marks a line and shows it. @param {number} number from 0 */
  select(number) {
    this.#selected = { from: number, to: number };
    history.replaceState(history.state, "", `#L${number + 1}`);
    this.redraw();
    this.#goTo(number);
  }

  /** The line that is marked, from 0; -1 when none is. */
  get selected() {
    return this.#selected?.to ?? -1;
  }

  /** Reads `#L120` or `#L120-L140`. */
  readHash() {
    const match = /^#L(\d+)(?:-L?(\d+))?$/.exec(location.hash);
    const [from, to] = [Number(match?.[1] ?? 0) - 1, Number(match?.[2] ?? match?.[1] ?? 0) - 1];
    this.#selected = from >= 0 ? { from: Math.min(from, to), to: Math.max(from, to) } : undefined;
    this.redraw();
    this.tell("");
    if (!this.#selected) return;
    this.#follows = false;
    // No line is new to the person who has opened a link to one.
    this.#leftAt = Infinity;
    if (this.#selected.from < this.#lines || this.#isComplete) this.#goTo(this.#selected.from);
    else this.#goal = this.#selected.from;
  }

  /** @param {MouseEvent} event */
  #clickNumber(event) {
    const fold = /** @type {Element} */ (event.target).closest("button[data-fold]");
    if (fold) {
      this.#leave();
      return this.ask({ type: "fold", number: Number(fold.getAttribute("data-fold")) });
    }
    const link = /** @type {Element} */ (event.target).closest("a.number");
    if (!link) return;
    event.preventDefault();
    const number = Number(link.getAttribute("data-number"));
    const first = this.#selected && event.shiftKey ? this.#selected.from + 1 : number;
    const [from, to] = [Math.min(first, number), Math.max(first, number)];
    history.replaceState(history.state, "", from === to ? `#L${from}` : `#L${from}-L${to}`);
    this.#selected = { from: from - 1, to: to - 1 };
    this.redraw();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const page = this.box.clientHeight - this.#rowHeight;
    const steps = { Home: -Infinity, End: Infinity, PageUp: -page, PageDown: page, ArrowUp: -this.#rowHeight, ArrowDown: this.#rowHeight };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (step === undefined || event.altKey) return;
    event.preventDefault();
    if (step === Infinity) return this.#followEnd();
    this.#aim = undefined;
    if (step < 0) this.#leave();
    this.#move(this.#scroll.top + Math.max(step, -this.#scroll.top));
    this.#want();
  }
}
