/** Shows the log of an execution with its tools: search, wrapping, times, copy, download, and how the connection is. */

import { plural, size } from "../format.js";
import { element, icon } from "../ui/dom.js";
import { copyBlob, save } from "../ui/copy.js";
import { toast } from "../ui/toast.js";
import { LogWorker } from "./client.js";
import { FindBar } from "./find-bar.js";
import { TIMES, Viewport, WRAP } from "./viewport.js";

/** @typedef {import("./worker.js").Answer} Answer @typedef {import("./worker.js").Request} Request */

/** Milliseconds without a new line after which the page says why none may be seen, and how often that is looked at. */
const QUIET = 5000;
const LOOK_EVERY = 1000;
/** CloudWatch gets a line when it ends, so nothing can be shown of one that a progress bar writes again and again. */
const UNENDED = "A line is shown when it ends.";
const TIME_CHOICES = [["off", "No times"], ["local", "Local time"], ["utc", "UTC"], ["elapsed", "Since start"]];

/**
 * @typedef {object} Listener
 * @property {(status: import("../api.js").Status, exitCode: number | null) => void} status
 * @property {(state: "live" | "lost" | "complete") => void} connection
 * @property {() => void} complete called when every line has come
 * @property {(status: number, message: string) => void} refused called when the API does not show the log
 * @property {() => string | undefined} [waits] what the execution waits for, if it has not begun: no line comes before
 */

export class LogView {
  /** @type {Map<number, (blob: Blob) => void>} */
  #files = new Map();
  #request = 0;
  #lines = 0;
  #characters = 0;
  /** When the last line came. */
  #lastLine = Date.now();
  #quiet = setInterval(() => this.#count(), LOOK_EVERY);
  #end = new AbortController();

  state = element("p", { class: "log-state", role: "status" }, "Loading the log…");
  notice = element("p", { class: "log-notice", role: "status" });
  counts = element("span", { class: "log-counts" });
  worker = new LogWorker({
    take: (answer) => this.#take(answer),
    failed: () => this.#say("The log cannot be shown: the page's worker does not start. Reload the page.", "problem"),
    restarted: () => this.#restart(),
  });
  viewport = new Viewport((request) => this.worker.ask(request), (text) => (this.notice.textContent = text));

  /** @param {string | undefined} key @param {string} id @param {Listener} listener */
  constructor(key, id, listener) {
    this.id = id;
    this.listener = listener;
    this.key = key;
    this.find = new FindBar(
      (query) => this.worker.ask({ type: "find", query, from: this.viewport.firstInView() }),
      (index) => this.worker.ask({ type: "match", index }),
      (isOn) => {
        this.viewport.stay();
        this.worker.ask({ type: "only", isOn });
      },
    );
    this.find.onchange = () => this.viewport.mark(undefined);
    this.element = element(
      "section",
      { class: "log", "aria-label": "Output" },
      this.#tools(),
      this.viewport.element,
      element("footer", { class: "log-foot" }, this.state, this.notice, this.counts),
    );
    this.element.dataset.wrap = WRAP.get();
    this.#listen();
    this.worker.ask({ type: "open", key, id });
  }

  /** The toolbar above the lines. */
  #tools() {
    const wrap = element("input", { type: "checkbox", checked: WRAP.get() === "on", onchange: () => this.#setWrap(wrap.checked) });
    const times = element(
      "select",
      { "aria-label": "Times", onchange: () => this.#setTimes(times.value) },
      ...TIME_CHOICES.map(([value, text]) => element("option", { value, selected: value === TIMES.get() }, text)),
    );
    const button = (/** @type {string} */ name, /** @type {string} */ shape, /** @type {() => void} */ act) =>
      element("button", { class: "quiet", type: "button", title: `${name} the whole log`, "aria-label": name, onclick: act }, icon(shape), element("span", { class: "word" }, name));
    return element(
      "div",
      { class: "log-tools" },
      this.find.element,
      element("span", { class: "log-options" },
        element("label", { class: "check" }, wrap, "Wrap"), times,
        element("button", { class: "quiet", type: "button", title: "The first line that says that something went wrong, then the next", "aria-label": "Next error", onclick: () => this.worker.ask({ type: "error", after: this.viewport.selected }) },
          icon("error"), element("span", { class: "word" }, "Error")),
        button("Copy", "copy", () => this.#copy()), button("Download", "download", () => this.#download())),
    );
  }

  #listen() {
    const { signal } = this.#end;
    this.viewport.listen(signal);
    document.addEventListener("keydown", (event) => this.#shortcut(event), { signal });
    window.addEventListener("online", () => this.worker.ask({ type: "reconnect" }), { signal });
  }

  /** The log is received anew, without the search that has not ended. */
  #restart() {
    this.find.found({ count: 0, isComplete: true, problem: "The search takes too long." });
    this.worker.ask({ type: "open", key: this.key, id: this.id });
    this.viewport.restart();
  }

  /** To be called when the view has become part of the page. */
  attached() {
    this.viewport.measure();
    this.viewport.readHash();
  }

  /** Connects anew, because the server answers again. */
  reconnect() {
    this.worker.ask({ type: "reconnect" });
  }

  dispose() {
    this.#end.abort();
    clearInterval(this.#quiet);
    this.worker.end();
  }

  /** @param {Answer} answer */
  #take(answer) {
    switch (answer.type) {
      case "size":
        return this.#grow(answer);
      case "window":
        return this.viewport.draw(answer);
      case "located":
        return this.viewport.show(answer.row);
      case "found":
        return this.find.found(answer);
      case "match":
        this.find.at(answer.index);
        return this.viewport.mark(answer);
      case "error":
        if (answer.number !== undefined) return this.viewport.select(answer.number);
        return toast("No line says that something went wrong.");
      case "file":
        this.#files.get(answer.request)?.(answer.blob);
        this.#files.delete(answer.request);
        return;
      case "status":
        return this.listener.status(answer.status, answer.exitCode);
      case "connection":
        return this.#connection(answer.state);
      case "refused":
        return this.listener.refused(answer.status, answer.message);
    }
  }

  /** @param {"live" | "lost" | "complete"} state */
  #connection(state) {
    if (state === "live") this.#say(this.#liveWords(), "live");
    if (state === "lost") this.#say("The connection is lost; connecting again. No line will be missing.", "problem");
    if (state === "complete") {
      clearInterval(this.#quiet);
      this.#say(this.#lines > 0 ? "Complete" : "The log is empty.", "");
    }
    this.#count();
    this.listener.connection(state);
    if (state !== "complete") return;
    this.viewport.complete();
    this.listener.complete();
  }

  #liveWords() {
    if (this.#lines > 0) return "Live";
    const waits = this.listener.waits?.();
    return waits ? `No line yet: it waits for ${waits}` : "Live: waiting for the first line";
  }

  /** Says anew what the log waits for, after the execution has changed. */
  changed() {
    if (this.state.dataset.kind === "live") this.#say(this.#liveWords(), "live");
  }

  /** @param {string} text @param {string} kind */
  #say(text, kind) {
    this.state.textContent = text;
    this.state.dataset.kind = kind;
  }

  /** @param {Extract<Answer, {type: "size"}>} answer */
  #grow(answer) {
    if (this.#lines === 0 && answer.lines > 0 && this.state.dataset.kind === "live") this.#say("Live", "live");
    if (answer.lines !== this.#lines) this.#lastLine = Date.now();
    [this.#lines, this.#characters] = [answer.lines, answer.characters];
    this.#count();
    this.viewport.grow(answer);
  }

  /** Says how long the log is and, while the command is quiet, why a progress bar is not seen. */
  #count() {
    const isQuiet = this.state.dataset.kind === "live" && !this.listener.waits?.() && (this.#lines === 0 || Date.now() - this.#lastLine >= QUIET);
    const said = [this.#lines > 0 && `${plural(this.#lines, "line")}, ${size(this.#characters)}`, isQuiet && UNENDED].filter(Boolean).join(". ");
    if (this.counts.textContent !== said) this.counts.textContent = said;
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
    WRAP.set(isOn ? "on" : "off");
    this.element.dataset.wrap = isOn ? "on" : "off";
    this.viewport.measure();
    this.viewport.redraw();
  }

  /** @param {string} times */
  #setTimes(times) {
    TIMES.set(times);
    this.viewport.measure();
    this.viewport.redraw();
  }

  /** The whole log. @param {boolean} asSeen @returns {Promise<Blob>} */
  #file(asSeen) {
    const request = ++this.#request;
    return new Promise((resolve) => {
      this.#files.set(request, resolve);
      this.worker.ask({ type: "file", asSeen, request });
    });
  }

  async #copy() {
    const isCopied = await copyBlob(this.#file(true));
    if (isCopied) toast(`${plural(this.#lines, "line")} copied`);
    else toast("The browser does not let this page copy. Download the log instead.", "problem");
  }

  async #download() {
    save(await this.#file(false), `${this.id}.log`);
  }
}
