/** Lists as tables, in which the arrow keys go from row to row. A column without a head has buttons. */

import { element } from "./dom.js";

/**
 * @param {string} label what the table lists, for people who do not see it
 * @param {string[]} heads
 */
export function table(label, heads) {
  const body = element("tbody", { role: "rowgroup" });
  const made = element(
    "table",
    { role: "table", "aria-label": label },
    element("thead", { role: "rowgroup" },
      element("tr", { role: "row" }, ...heads.map((head) => element("th", { role: "columnheader", scope: "col" }, head || element("span", { class: "unseen" }, "Actions"))))),
    body,
  );
  return { element: element("div", { class: "table" }, made), body };
}

/** @param {(import("./dom.js").Child | import("./dom.js").Child[])[]} cells @param {Record<string, string>} [attributes] */
export const row = (cells, attributes = {}) =>
  element("tr", { role: "row", ...attributes }, ...cells.map((cell) => tableCell([cell].flat())));

/** Characters of the longest word that a narrow column does not break. */
const SHORT_WORD = 14;

/** A cell whose words are broken at the end of a line only if they are long. @param {import("./dom.js").Child[]} children */
function tableCell(children) {
  const cell = element("td", { role: "cell" }, ...children);
  cell.classList.toggle("short", (cell.textContent ?? "").split(/\s+/).every((word) => word.length <= SHORT_WORD));
  return cell;
}

/** Cells of a table whose heads narrow pages do not show get them as a name. @param {HTMLTableRowElement} row @param {string[]} heads */
export function nameCells(row, heads) {
  for (const [at, cell] of [...row.cells].entries()) if (heads[at]) cell.dataset.head = heads[at];
  return row;
}

/**
 * Moves the focus among the links of a list: ↓ and ↑ to the next and the previous one.
 * @param {KeyboardEvent} event @param {HTMLElement[]} links
 */
export function moveFocus(event, links) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by === undefined || links.length === 0) return;
  const at = links.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by));
  event.preventDefault();
  links[next]?.focus();
  links[next]?.scrollIntoView({ block: "nearest" });
}

/** Tells whether the person types into something, so that keys are not commands. @param {Event} event */
export const isTyping = (event) =>
  event.target instanceof Element && event.target.closest("input, textarea, select, [role=log]") !== null;
