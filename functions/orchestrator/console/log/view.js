/** The log viewer: a list of which only the lines in view are drawn, with its tools. The log itself is in a worker. */

import { choice } from "../session.js";
import { plural, size } from "../format.js";
import { element, fill, icon } from "../ui/dom.js";
import { copyBlob, save } from "../ui/copy.js";
import { toast } from "../ui/toast.js";
import { FindBar } from "./find-bar.js";
import { lineElement } from "./lines.js";
import { Scroll } from "./scroll.js";

/** @typedef {import("./worker.js").Answer} Answer @typedef {import("./worker.js").Request} Request @typedef {import("./worker.js").Line} Line */

/** Rows that are drawn above and below the view. */
const MARGIN = 60;
/** What the style sheet puts around a number, and the width of a time, in columns. */
const NUMBER_SPACE = 3;
const TIME_WIDTH = 13;
/** How long the worker may search without a word, in milliseconds. Some regular expressions take for ever. */
const SEARCH_TIME = 8000;
/** Distance from the end, in pixels, within which the log follows it. */
const AT_END = 8;

const WORKER = new URL("worker.js", import.meta.url).href;

/**
 * Browsers with Trusted Types start only scripts that a policy names: here the worker, and nothing else.
 * @type {{createScriptURL: (url: string) => string} | undefined}
 */
const scripts = /** @type {any} */ (window).trustedTypes?.createPolicy("runvoy", {
  createScriptURL: (/** @type {string} */ url) => (url === WORKER ? url : ""),
});

const startWorker = () => new Worker(scripts?.createScriptURL(WORKER) ?? WORKER, { type: "module" });

/** The digits for which there is room beside the lines. @param {number} lines */
const digits = (lines) => Math.max(3, String(lines).length);

const TIMES = [["off", "No times"], ["local", "Local time"], ["utc", "UTC"], ["elapsed", "Since start"]];

/**
 * @typedef {object} Listener
 * @property {(status: import("../api.js").Status, exitCode: number | null) => void} status
 * @property {() => void} complete called when every line has come
 */

export class LogView {
  #worker = this.#start();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #searching;
  #scroll = new Scroll();
  #wrap = choice("wrap", "on");
  #times = choice("times", "off");
  #lines = 0;
  #rows = 0;
  #firstTime = 0;
  #rowHeight = 20;
  #columns = Infinity;
  #follows = true;
  /** How many lines there were when the log was left at that place. */
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
  #isComplete = false;
  /** @type {Map<number, (blob: Blob) => void>} */
  #files = new Map();
  #request = 0;
  #end = new AbortController();
  #resizes = new ResizeObserver(() => this.#measure());

  spacer = element("div", { class: "log-height" });
  drawn = element("div", { class: "log-lines" });
  ruler = element("span", { class: "log-ruler", "aria-hidden": true }, "0".repeat(100));
  box = element(
    "div",
    { class: "log-box", role: "log", "aria-label": "Log", "aria-live": "off", tabindex: 0 },
    this.spacer, this.drawn, this.ruler,
  );
  state = element("p", { class: "log-state", role: "status" }, "Loading the log…");
  counts = element("span", { class: "log-counts" });
  more = element("button", { class: "log-more", type: "button", hidden: true, onclick: () => this.#followEnd() });

  /** @param {string | undefined} key @param {string} id @param {Listener} listener */
  constructor(key, id, listener) {
    this.id = id;
    this.listener = listener;
    this.key = key;
    this.find = new FindBar((query) => this.#search(query), (index) => this.#ask({ type: "match", index }));
    this.find.onchange = () => this.#queryChanged();
    this.element = element(
      "section",
      { class: "log", "aria-label": "Output" },
      this.#tools(),
      element("div", { class: "log-frame" }, this.box, this.more),
      element("footer", { class: "log-foot" }, this.state, this.counts),
    );
    this.element.dataset.wrap = this.#wrap.get();
    this.#listen();
    this.#ask({ type: "open", key, id });
  }

  /** The toolbar above the lines. */
  #tools() {
    const wrap = element("input", { type: "checkbox", checked: this.#wrap.get() === "on", onchange: () => this.#setWrap(wrap.checked) });
    const times = element(
      "select",
      { "aria-label": "Times", onchange: () => this.#setTimes(times.value) },
      ...TIMES.map(([value, text]) => element("option", { value, selected: value === this.#times.get() }, text)),
    );
    const button = (/** @type {string} */ name, /** @type {string} */ shape, /** @type {() => void} */ act) =>
      element("button", { class: "quiet", type: "button", title: `${name} the whole log`, onclick: act }, icon(shape), name);
    return element(
      "div",
      { class: "log-tools" },
      this.find.element,
      element("span", { class: "log-options" },
        element("label", { class: "check" }, wrap, "Wrap"), times,
        button("Copy", "copy", () => this.#copy()), button("Download", "download", () => this.#download())),
    );
  }

  #listen() {
    const { signal } = this.#end;
    this.box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.box.addEventListener("scrollend", () => this.#settle());
    this.box.addEventListener("wheel", (event) => event.deltaY < 0 && this.#leave(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.drawn.addEventListener("click", (event) => this.#clickNumber(event));
    document.addEventListener("keydown", (event) => this.#shortcut(event), { signal });
    window.addEventListener("hashchange", () => this.#readHash(), { signal });
    window.addEventListener("online", () => this.#ask({ type: "reconnect" }), { signal });
    this.#resizes.observe(this.box);
  }

  /** Starts the worker, which receives the log. */
  #start() {
    const worker = startWorker();
    worker.onmessage = ({ data }) => this.#take(data);
    worker.onerror = () => this.#say("The log cannot be shown: the page's worker does not start. Reload the page.", "problem");
    return worker;
  }

  /** @param {import("./find.js").Query | undefined} query */
  #search(query) {
    clearTimeout(this.#searching);
    this.#ask({ type: "find", query, from: this.#firstInView() });
    if (query?.isRegExp) this.#searching = setTimeout(() => this.#restart(), SEARCH_TIME);
  }

  /** Ends a search that does not end. The log is received anew. */
  #restart() {
    this.#worker.terminate();
    this.find.found({ count: 0, isComplete: true, problem: "The search takes too long." });
    this.#isAsked = false;
    this.#worker = this.#start();
    this.#ask({ type: "open", key: this.key, id: this.id });
    this.#ask({ type: "columns", columns: this.#columns });
  }

  /** To be called when the view has become part of the page. */
  attached() {
    this.#measure();
    this.#readHash();
  }

  dispose() {
    this.#end.abort();
    clearTimeout(this.#searching);
    this.#resizes.disconnect();
    this.#worker.terminate();
  }

  /** @param {Request} request */
  #ask(request) {
    this.#worker.postMessage(request);
  }

  /** @param {Answer} answer */
  #take(answer) {
    switch (answer.type) {
      case "size":
        return this.#grow(answer);
      case "window":
        return this.#draw(answer);
      case "located":
        return this.#show(answer.row);
      case "found":
        clearTimeout(this.#searching);
        return this.find.found(answer);
      case "match":
        return this.#goToMatch(answer);
      case "file":
        this.#files.get(answer.request)?.(answer.blob);
        this.#files.delete(answer.request);
        return;
      case "status":
        return this.listener.status(answer.status, answer.exitCode);
      case "connection":
        return this.#connection(answer.state);
      case "refused":
        return this.#say(answer.status === 403 ? "Your role may not read this log." : answer.message, "problem");
    }
  }

  /** @param {"live" | "lost" | "complete"} state */
  #connection(state) {
    this.#isComplete = state === "complete";
    if (state === "live") this.#say(this.#lines > 0 ? "Live" : "Live: waiting for the first line", "live");
    if (state === "lost") this.#say("The connection is lost; connecting again. No line will be missing.", "problem");
    if (state !== "complete") return;
    this.#say(this.#lines > 0 ? "Complete" : "The log is empty.", "");
    if (this.#goal !== undefined) this.#goTo(this.#goal);
    this.listener.complete();
  }

  /** @param {string} text @param {string} kind */
  #say(text, kind) {
    this.state.textContent = text;
    this.state.dataset.kind = kind;
  }

  /** @param {Extract<Answer, {type: "size"}>} answer */
  #grow({ lines, rows, characters, firstTime }) {
    if (this.#lines === 0 && lines > 0 && this.state.dataset.kind === "live") this.#say("Live", "live");
    const hadDigits = digits(this.#lines);
    [this.#lines, this.#rows, this.#firstTime] = [lines, rows, firstTime ?? 0];
    this.counts.textContent = `${plural(lines, "line")}, ${size(characters)}`;
    this.#isStale = true;
    if (digits(lines) !== hadDigits) this.#measure();
    this.#resize();
    if (this.#goal !== undefined && (this.#goal < lines || this.#isComplete)) this.#goTo(this.#goal);
    if (this.#follows) this.#move(this.#scroll.end);
    this.#showMore();
    this.#want();
  }

  #resize() {
    this.#scroll.resize(this.#rows * this.#rowHeight, this.box.clientHeight);
    this.spacer.style.height = `${this.#scroll.height}px`;
  }

  /** The box, the font or the width of the columns may have changed. */
  #measure() {
    const character = this.ruler.getBoundingClientRect().width / 100;
    this.#rowHeight = this.ruler.getBoundingClientRect().height || this.#rowHeight;
    this.element.style.setProperty("--digits", String(digits(this.#lines)));
    const beside = (digits(this.#lines) + NUMBER_SPACE + (this.#times.get() === "off" ? 0 : TIME_WIDTH)) * character + 1;
    const columns = this.#wrap.get() === "on" ? Math.max(20, Math.floor((this.box.clientWidth - beside) / character)) : Infinity;
    const isOther = columns !== this.#columns && character > 0;
    if (isOther) this.#columns = columns;
    this.element.style.setProperty("--columns", columns === Infinity ? "none" : `${columns}ch`);
    if (isOther) {
      // Stay with the line that is at the top.
      const first = this.#firstInView();
      this.#isStale = true;
      this.#ask({ type: "columns", columns });
      if (!this.#follows) this.#ask({ type: "locate", number: first, columns });
    }
    this.#resize();
    if (this.#follows) this.#move(this.#scroll.end);
    this.#want();
  }

  /** The number (from 0) of the first line in view. */
  #firstInView() {
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
    this.#ask({ type: "window", row, count: to - row + margin, columns: this.#columns });
  }

  /** @param {Extract<Answer, {type: "window"}>} answer */
  #draw({ row, columns, lines, isNew }) {
    this.#isAsked = false;
    if (columns !== this.#columns) return this.#want();
    const before = isNew ? new Map() : this.#elements;
    this.#elements = new Map(lines.map((line) => [line.number, before.get(line.number) ?? lineElement(line, this.#look())]));
    this.#replace([...this.#elements.values()]);
    const rows = columns === Infinity ? lines.length : Math.round(this.drawn.offsetHeight / this.#rowHeight);
    this.#drawn = { from: row, to: row + rows };
    this.#place();
    this.#want();
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

  #redraw() {
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
    const times = /** @type {import("./lines.js").Look["times"]} */ (this.#times.get());
    return { times, firstTime: this.#firstTime, match: this.#match, selected: this.#selected };
  }

  /** @param {number} number from 0 */
  #goTo(number) {
    this.#goal = undefined;
    this.#leave();
    this.#ask({ type: "locate", number: Math.min(number, Math.max(0, this.#lines - 1)), columns: this.#columns });
  }

  /** Shows a row in the upper part of the view. @param {number} row */
  #show(row) {
    const top = row * this.#rowHeight;
    if (top < this.#scroll.top || top > this.#scroll.top + this.box.clientHeight - 2 * this.#rowHeight) {
      this.#move(top - this.box.clientHeight / 3);
    }
    this.#want();
  }

  /** @param {Extract<Answer, {type: "match"}>} match */
  #goToMatch(match) {
    this.#match = match;
    this.find.at(match.index);
    this.#redraw();
    this.#goTo(match.line);
  }

  /** A query has begun or ended. */
  #queryChanged() {
    this.#match = undefined;
    this.#redraw();
  }

  /** Reads `#L120` or `#L120-L140`. */
  #readHash() {
    const match = /^#L(\d+)(?:-L?(\d+))?$/.exec(location.hash);
    const [from, to] = [Number(match?.[1] ?? 0) - 1, Number(match?.[2] ?? match?.[1] ?? 0) - 1];
    this.#selected = from >= 0 ? { from: Math.min(from, to), to: Math.max(from, to) } : undefined;
    this.#redraw();
    if (!this.#selected) return;
    this.#follows = false;
    if (this.#selected.from < this.#lines || this.#isComplete) this.#goTo(this.#selected.from);
    else this.#goal = this.#selected.from;
  }

  /** @param {MouseEvent} event */
  #clickNumber(event) {
    const link = /** @type {Element} */ (event.target).closest("a.number");
    if (!link) return;
    event.preventDefault();
    const number = Number(link.getAttribute("data-number"));
    const first = this.#selected && event.shiftKey ? this.#selected.from + 1 : number;
    const [from, to] = [Math.min(first, number), Math.max(first, number)];
    history.replaceState(history.state, "", from === to ? `#L${from}` : `#L${from}-L${to}`);
    this.#selected = { from: from - 1, to: to - 1 };
    this.#redraw();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const page = this.box.clientHeight - this.#rowHeight;
    const steps = { Home: -Infinity, End: Infinity, PageUp: -page, PageDown: page, ArrowUp: -this.#rowHeight, ArrowDown: this.#rowHeight };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (step === undefined || event.altKey) return;
    event.preventDefault();
    if (step === Infinity) return this.#followEnd();
    if (step < 0) this.#leave();
    this.#move(this.#scroll.top + Math.max(step, -this.#scroll.top));
    this.#want();
  }

  /** @param {KeyboardEvent} event */
  #shortcut(event) {
    const isFind = event.key.toLowerCase() === "f" && (event.ctrlKey || event.metaKey) && !event.altKey;
    if (!isFind || document.querySelector("dialog[open]")) return;
    // The browser's own search sees only the lines that are drawn.
    event.preventDefault();
    this.find.focus();
  }

  /** @param {boolean} isOn */
  #setWrap(isOn) {
    this.#wrap.set(isOn ? "on" : "off");
    this.element.dataset.wrap = isOn ? "on" : "off";
    this.#measure();
    this.#redraw();
  }

  /** @param {string} times */
  #setTimes(times) {
    this.#times.set(times);
    this.#measure();
    this.#redraw();
  }

  /** The whole log. @param {boolean} asSeen @returns {Promise<Blob>} */
  #file(asSeen) {
    const request = ++this.#request;
    return new Promise((resolve) => {
      this.#files.set(request, resolve);
      this.#ask({ type: "file", asSeen, request });
    });
  }

  async #copy() {
    await copyBlob(this.#file(true));
    toast(`${plural(this.#lines, "line")} copied`);
  }

  async #download() {
    save(await this.#file(false), `${this.id}.log`);
  }
}
