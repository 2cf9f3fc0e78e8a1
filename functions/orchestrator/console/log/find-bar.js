/** The field by which a log is searched: text, case, regular expression; count, previous, next. */

import { element, icon } from "../ui/dom.js";

/** Time after the last key before the search begins, in milliseconds. */
const TYPING = 120;

export class FindBar {
  #count = 0;
  #index = -1;
  #isComplete = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** Called when other text is to be marked. */
  onchange = () => {};

  /**
   * @param {(query: import("./find.js").Query | undefined) => void} search @param {(index: number) => void} goTo
   * @param {(isOn: boolean) => void} only shows only the lines that match, or all
   */
  constructor(search, goTo, only) {
    this.search = search;
    this.goTo = goTo;
    this.input = element("input", {
      type: "search", placeholder: "Find in the log", "aria-label": "Find in the log", autocomplete: "off", spellcheck: "false",
      oninput: () => this.#typed(), onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
    });
    this.result = element("span", { class: "find-count", role: "status" });
    this.case = this.#toggle("Aa", "Match case");
    this.regExp = this.#toggle(".*", "Regular expression");
    this.only = this.#toggle("≡", "Only matching lines", (isOn) => only(isOn));
    this.element = element(
      "div",
      { class: "find", role: "search" },
      icon("search"), this.input, this.result, this.case, this.regExp, this.only,
      element("button", { class: "quiet", type: "button", "aria-label": "Previous match", title: "Previous match (Shift+Enter)", onclick: () => this.#step(-1) }, icon("up")),
      element("button", { class: "quiet", type: "button", "aria-label": "Next match", title: "Next match (Enter)", onclick: () => this.#step(1) }, icon("down")),
    );
  }

  /** @param {string} text @param {string} name @param {(isOn: boolean) => void} [act] what it does, besides a search */
  #toggle(text, name, act = () => this.#start()) {
    const button = element("button", {
      class: "quiet toggle", type: "button", "aria-label": name, title: name, "aria-pressed": "false",
      onclick: () => {
        const isOn = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(isOn));
        act(isOn);
      },
    }, text);
    return button;
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#start(), TYPING);
  }

  #start() {
    clearTimeout(this.#timer);
    const isOn = (/** @type {Element} */ button) => button.getAttribute("aria-pressed") === "true";
    const query = { text: this.input.value, isRegExp: isOn(this.regExp), isCaseSensitive: isOn(this.case) };
    [this.#count, this.#index] = [0, -1];
    this.input.removeAttribute("aria-invalid");
    this.#isComplete = query.text === "";
    this.#write();
    this.search(query.text === "" ? undefined : query);
    this.onchange();
  }

  /** @param {{count: number, isComplete: boolean, problem?: string}} found */
  found({ count, isComplete, problem }) {
    if (this.input.value === "") return;
    [this.#count, this.#isComplete] = [count, isComplete];
    this.#write();
    if (problem === undefined) return;
    this.input.setAttribute("aria-invalid", "true");
    this.result.textContent = problem;
  }

  /** @param {number} index */
  at(index) {
    this.#index = index;
    this.#write();
  }

  #write() {
    const count = `${this.#count.toLocaleString("en")}${this.#isComplete ? "" : "…"}`;
    if (this.input.value === "") this.result.textContent = "";
    else if (this.#count === 0) this.result.textContent = this.#isComplete ? "no match" : "searching…";
    else this.result.textContent = this.#index < 0 ? count : `${(this.#index + 1).toLocaleString("en")} of ${count}`;
  }

  /** @param {1 | -1} by */
  #step(by) {
    if (this.#count === 0) return;
    const next = this.#index < 0 ? (by > 0 ? 0 : this.#count - 1) : this.#index + by;
    this.goTo((next + this.#count) % this.#count);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      if (this.#timer !== undefined && this.#index < 0 && this.#count === 0) this.#start();
      else this.#step(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      this.input.value = "";
      this.#start();
    }
  }
}
