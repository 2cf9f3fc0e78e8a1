/** Makes forms whose fields show what the server says of them. */

import { ApiError, describe } from "../api.js";
import { element, fill } from "./dom.js";

let ids = 0;

/**
 * A field with its label, a hint, and a place for what is wrong with it.
 * @template {HTMLElement} C
 * @param {string} label @param {C} control @param {string} [hint]
 */
export function field(label, control, hint) {
  const id = (control.id ||= `field-${++ids}`);
  const problem = element("p", { class: "problem", id: `${id}-problem`, hidden: true });
  const help = hint ? element("p", { class: "hint", id: `${id}-hint` }, hint) : undefined;
  control.setAttribute("aria-describedby", [help?.id, problem.id].filter(Boolean).join(" "));
  // A label belongs to one control; a group of several is named by its text.
  const isControl = control.matches("input, select, textarea");
  const name = isControl ? element("label", { for: id }, label) : element("span", { class: "label", id: `${id}-name` }, label);
  if (!isControl) {
    control.setAttribute("role", "group");
    control.setAttribute("aria-labelledby", name.id);
  }
  const made = element("div", { class: "field" }, name, control, help, problem);
  return {
    element: made,
    control,
    /** @param {string} text empty when nothing is wrong */
    say(text) {
      problem.textContent = text;
      problem.hidden = text === "";
      if (text === "" || !isControl) control.removeAttribute("aria-invalid");
      else control.setAttribute("aria-invalid", "true");
    },
  };
}

/** @typedef {{element: HTMLElement, control: HTMLElement, say: (text: string) => void}} Field */

/**
 * A form. While it is being sent, its button does not send it again. What the server refuses appears at the field that the answer
 * names, or above the button.
 * @param {object} parts
 * @param {(HTMLElement | undefined | false)[]} parts.body
 * @param {Record<string, Field>} [parts.fields] by the name that the API gives them
 * @param {string} parts.action the text of the button
 * @param {() => Promise<void>} parts.send
 * @param {HTMLElement[]} [parts.beside] what stands beside the button
 */
export function form({ body, fields = {}, action, send, beside = [] }) {
  const button = element("button", { class: "primary", type: "submit" }, action);
  const problem = element("p", { class: "problem", role: "alert", hidden: true });
  const made = element("form", { novalidate: true }, ...body, problem, element("div", { class: "buttons" }, button, ...beside));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    for (const one of Object.values(fields)) one.say("");
    problem.hidden = true;
    button.disabled = true;
    try {
      await send();
    } catch (error) {
      const named = error instanceof ApiError ? (fields[error.field] ?? fields[error.field.split(/[.[]/)[0] ?? ""]) : undefined;
      if (named) {
        named.say(sentence(describe(error)));
        (named.control.querySelector("input") ?? named.control).focus();
      } else {
        fill(problem, sentence(describe(error)));
        problem.hidden = false;
      }
    } finally {
      button.disabled = false;
    }
  });
  return made;
}

/** @param {string} text */
const sentence = (text) => text.slice(0, 1).toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? "" : ".");

/** @param {Record<string, string | number | boolean | undefined | ((event: any) => void)>} [attributes] */
export const input = (attributes = {}) => element("input", { autocomplete: "off", spellcheck: "false", ...attributes });

/** @param {[value: string, text: string][]} options @param {string} selected @param {Record<string, string>} [attributes] */
export const select = (options, selected, attributes = {}) =>
  element("select", attributes, ...options.map(([value, text]) => element("option", { value, selected: value === selected }, text)));
