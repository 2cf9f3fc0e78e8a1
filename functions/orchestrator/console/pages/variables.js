/** Edits the variables of a run: rows of a name and a value, and whole `.env` files that are pasted. */

import { parseEnv } from "../env.js";
import { element } from "../ui/dom.js";
import { input } from "../ui/form.js";

export class Variables {
  #rows = element("div", { class: "variables" });

  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    const add = element("button", { type: "button", class: "quiet", onclick: () => this.#add("", "").focus() }, "Add a variable");
    this.element = element("div", {}, this.#rows, add);
    this.#rows.addEventListener("paste", (event) => this.#paste(event));
  }

  /** @param {string} name @param {string} value @param {string} [placeholder] */
  #add(name, value, placeholder = "value") {
    const field = input({ value: name, placeholder: "NAME, or paste an .env file", "aria-label": "Name of the variable" });
    const text = element("textarea", { rows: 1, placeholder, "aria-label": "Value of the variable", spellcheck: "false" });
    text.value = value;
    const row = element("div", { class: "variable" },
      field, element("span", { "aria-hidden": true }, "="),
      text,
      element("button", { type: "button", class: "quiet", "aria-label": "Remove the variable", onclick: () => (row.remove(), this.changed()) }, "×"));
    this.#rows.append(row);
    return field;
  }

  /** Takes lines such as `A=1` that are pasted into a name. @param {ClipboardEvent} event */
  #paste(event) {
    const field = event.target;
    if (!(field instanceof HTMLInputElement) || field.value !== "") return;
    const variables = parseEnv(event.clipboardData?.getData("text") ?? "");
    if (!variables) return;
    event.preventDefault();
    field.closest(".variable")?.remove();
    for (const [name, value] of variables) this.#add(name, value);
    this.changed();
  }

  #pairs() {
    return [...this.#rows.children].map((row) => ({ name: row.querySelector("input")?.value.trim() ?? "", value: row.querySelector("textarea")?.value ?? "" }));
  }

  /** @returns {Record<string, string>} */
  read() {
    return Object.fromEntries(this.#pairs().filter(({ name }) => name !== "").map(({ name, value }) => [name, value]));
  }

  /** Why the rows cannot be sent as they are; empty when they can. */
  problem() {
    const pairs = this.#pairs();
    const names = pairs.map(({ name }) => name).filter((name) => name !== "");
    const twice = names.find((name, at) => names.indexOf(name) !== at);
    if (pairs.some(({ name, value }) => name === "" && value !== "")) return "A value has no name. Enter its name, or remove it.";
    return twice === undefined ? "" : `${twice} is there twice. Remove one.`;
  }

  /** @param {Record<string, string>} env @param {string[]} [unknown] names of which the values are not known */
  write(env, unknown = []) {
    this.#rows.replaceChildren();
    for (const [name, value] of Object.entries(env)) this.#add(name, value);
    for (const name of unknown) this.#add(name, "", "the value was not kept");
  }
}
