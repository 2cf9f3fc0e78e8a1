/** Picks several of a list that may be long: those that are chosen, the first others, and a search that asks the server. */

import { element, fill } from "./dom.js";
import { input } from "./form.js";

/** Choices that are shown without a search. */
const SHOWN = 12;
/** Time after the last key before the server is asked, in milliseconds. */
const TYPING = 200;

/** @typedef {{value: string, hint: string}} Choice */

export class Picker {
  #choices = element("div", { class: "choices" });
  #more = element("p", { class: "hint", role: "status" });
  /** @type {Map<string, string>} */
  #chosen = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {string} label of the search @param {(text: string, limit: number) => Promise<Choice[]>} search
   * @param {(error: unknown) => void} failed
   */
  constructor(label, search, failed) {
    this.searchFor = search;
    this.failed = failed;
    this.search = input({ type: "search", placeholder: label, "aria-label": label, hidden: true, oninput: () => this.#typed() });
    // Enter searches and does not send the form.
    this.search.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
    this.element = element("div", { class: "picker" }, this.search, this.#choices, this.#more);
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.load(), TYPING);
  }

  /** Asks for the choices. Returns how many there are, as far as they are shown. */
  async load() {
    const text = this.search.value.trim();
    try {
      const found = await this.searchFor(text, SHOWN + 1);
      if (text !== this.search.value.trim()) return 0;
      this.#draw(found);
      return found.length;
    } catch (error) {
      this.failed(error);
      return 0;
    }
  }

  /** @param {Choice[]} found */
  #draw(found) {
    const others = found.filter(({ value }) => !this.#chosen.has(value));
    if (found.length > SHOWN) this.search.hidden = false;
    const chosen = [...this.#chosen].map(([value, hint]) => ({ value, hint: hint || (found.find((one) => one.value === value)?.hint ?? "") }));
    fill(this.#choices, ...[...chosen, ...others.slice(0, SHOWN)].map((one) => this.#choice(one)));
    this.#more.textContent = others.length > SHOWN ? "There are more: search for them." : found.length === 0 && !this.search.hidden ? "None has this name." : "";
  }

  /** @param {Choice} choice */
  #choice({ value, hint }) {
    const box = input({ type: "checkbox", value, checked: this.#chosen.has(value), onchange: () => (box.checked ? this.#chosen.set(value, hint) : this.#chosen.delete(value)) });
    return element("label", { class: "check" }, box, element("span", {}, value, " ", element("span", { class: "hint" }, hint)));
  }

  /** @returns {string[]} */
  read() {
    return [...this.#chosen.keys()];
  }

  /** @param {string[]} values */
  write(values) {
    this.#chosen = new Map(values.map((value) => [value, ""]));
    this.load();
  }
}
