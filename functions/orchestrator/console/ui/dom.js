/** Makes elements. Children that are strings become text, never markup, and characters that would be hidden or reorder it are shown as marks. */

import { unhidden } from "../log/text.js";

/** @typedef {Node | string | undefined | null | false} Child */

/**
 * An element with attributes, listeners (functions whose names start with "on") and children. An attribute that is undefined, null or
 * false is left out.
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {Record<string, string | number | boolean | undefined | null | ((event: any) => void)>} [attributes]
 * @param {(Child | Child[])[]} children
 * @returns {HTMLElementTagNameMap[N]}
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? "" : SHOWN.includes(key) ? unhidden(String(value)) : String(value));
  }
  // The text of a field is what will be sent.
  made.append(...(name === "textarea" ? present(children) : present(children).map(asShown)));
  return made;
}

/** Attributes that people see or hear. */
const SHOWN = ["title", "aria-label"];

/** @param {Node | string} child */
const asShown = (child) => (typeof child === "string" ? unhidden(child) : child);

/** @param {(Child | Child[])[]} children @returns {(Node | string)[]} */
const present = (children) =>
  /** @type {(Node | string)[]} */ (children.flat().filter((child) => child !== undefined && child !== null && child !== false && child !== ""));

/** Replaces the children of an element. @param {Element} parent @param {(Child | Child[])[]} children */
export const fill = (parent, ...children) => parent.replaceChildren(...present(children).map(asShown));

/** A text with slashes, which breaks after them where it is longer than a line. @param {string} text */
export const breakable = (text) => text.split(/(?<=\/)(?!\/)/).flatMap((part) => [part, element("wbr")]);

/**
 * Shapes of 16 by 16, drawn with lines.
 * @type {Record<string, string>}
 */
const ICONS = {
  executions: "M2.5 4h11M2.5 8h11M2.5 12h7",
  run: "M5 3.2v9.6L12.5 8z",
  images: "M8 1.8 13.5 5v6L8 14.2 2.5 11V5zM2.8 5 8 8l5.2-3M8 8v6",
  secrets: "M10.5 2a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M8 8l-5.5 5.5M4.5 11.5l1.7 1.7",
  users: "M6 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5M1.5 13.5c0-2.5 2-4 4.5-4s4.5 1.5 4.5 4M10.5 2.8a2.5 2.5 0 0 1 0 4.4M12 9.9c1.6.5 2.5 1.8 2.5 3.6",
  operations: "M2 8h3l2-5 2.5 10 2-5H14",
  audit: "M4 1.8h8v12.4H4zM6 5h4M6 8h4M6 11h2.5",
  keys: "M5.2 5.3a2.7 2.7 0 1 0 0 5.4 2.7 2.7 0 0 0 0-5.4M7.9 8h6.6M12 8v2.4",
  overview: "M2 13.5h12M3.5 11V7.5M6.5 11V4M9.5 11V6M12.5 11V2.5",
  locks: "M3.8 7h8.4v6.7H3.8zM5.5 7V4.8a2.5 2.5 0 0 1 5 0V7",
  schedules: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 4.8V8l2.3 1.6",
  playbooks: "M2.5 3h4.2L8 4.2 9.3 3h4.2v9.5H9.3L8 13.7l-1.3-1.2H2.5zM8 4.2v9.5",
  notifications: "M8 2a3.8 3.8 0 0 0-3.8 3.8c0 3.4-1.4 4.7-1.4 4.7h10.4s-1.4-1.3-1.4-4.7A3.8 3.8 0 0 0 8 2M6.8 13a1.3 1.3 0 0 0 2.4 0",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  docs: "M3.5 2h6.5L12.5 4.5V14h-9zM6 7h4M6 10h4",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  download: "M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.5 10.5 14 14",
  up: "M3.5 10 8 5.5 12.5 10",
  down: "M3.5 6 8 10.5 12.5 6",
  right: "M6 3.5 10.5 8 6 12.5",
  error: "M8 2 14.5 13.5h-13zM8 6.5v3M8 11.6v.1",
  close: "M4 4l8 8M12 4l-8 8",
};

/** @param {string} name */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name] ?? "");
  svg.append(path);
  return svg;
}
