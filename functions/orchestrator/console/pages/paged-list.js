/** Shows a list of the API in pages, with a search that the server does. */

import { element, fill } from "../ui/dom.js";
import { input } from "../ui/form.js";
import { nameCells, table } from "../ui/table.js";

const PAGE = 50;
/** Pixels below the window in which the end of the list counts as in view. */
const AHEAD = 400;
/** Time after the last key before the server is asked, in milliseconds. */
const TYPING = 250;

/**
 * @template T
 * @param {object} parts
 * @param {import("../main.js").Context} parts.context
 * @param {string} parts.label what the list has, such as "Images"
 * @param {string} parts.path of the API, such as "/images"
 * @param {string} parts.field of the answer that has the list
 * @param {string[]} parts.heads
 * @param {(one: T) => HTMLTableRowElement} parts.row
 * @param {string} parts.empty what is said when there is nothing
 * @param {(first: T[]) => void} [parts.seen] told of the first items of the list, without a search
 * @param {(one: T) => string} parts.text by which a list is searched that the server has answered whole
 */
export function pagedList({ context: { api, left, load: loaded }, label, path, field, heads, row, empty, text, seen }) {
  const search = input({ type: "search", placeholder: `Search ${label.toLowerCase()}`, "aria-label": `Search ${label.toLowerCase()}` });
  const list = table(label, heads);
  const note = element("p", { class: "note", role: "status" }, "Loading…");
  const end = element("div", { class: "list-end" });
  /** @type {string | undefined} */
  let next;
  /** Rows that are there and not drawn yet, of a server that answers without pages. @type {T[]} */
  let waiting = [];
  let generation = 0;
  let isLoading = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

  async function begin() {
    generation += 1;
    const q = search.value.trim();
    const parameters = new URLSearchParams({ limit: String(PAGE), ...(q && { q }) });
    next = `${path}?${parameters}`;
    waiting = [];
    await more(true);
    await readOn();
  }

  /** @param {boolean} [isFirst] */
  async function more(isFirst = false) {
    const mine = generation;
    if (waiting.length === 0 && next !== undefined) {
      isLoading = true;
      try {
        const { data, next: following } = await api.page(next, left);
        if (mine !== generation) return;
        const words = search.value.trim().toLowerCase();
        waiting = data[field].filter((/** @type {T} */ one) => text(one).toLowerCase().includes(words));
        next = following;
        if (isFirst && words === "") seen?.(data[field]);
      } finally {
        if (mine === generation) isLoading = false;
      }
    }
    const rows = waiting.splice(0, PAGE).map((one) => nameCells(row(one), heads));
    if (isFirst) fill(list.body, ...rows);
    else list.body.append(...rows);
    note.textContent = list.body.rows.length > 0 ? "" : search.value.trim() ? `None of the ${label.toLowerCase()} has this name.` : empty;
  }

  const hasMore = () => !isLoading && (waiting.length > 0 || next !== undefined) && list.body.rows.length > 0;

  /** Reads on while the end of the list is in view, or nearly. */
  async function readOn() {
    while (hasMore() && !left.aborted && end.getBoundingClientRect().top < innerHeight + AHEAD) await more();
  }

  const report = (/** @type {string} */ said) => (note.textContent = said);
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => loaded(begin, report), TYPING);
  });
  const sentinel = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && hasMore()) loaded(readOn, report);
  }, { rootMargin: `${AHEAD}px` });
  left.addEventListener("abort", () => (sentinel.disconnect(), clearTimeout(typing)));

  return {
    element: element("section", { class: "list" }, element("div", { class: "filters" }, search), list.element, note, end),
    /** Reads the list anew. */
    load: begin,
    shown: () => (sentinel.observe(end), loaded(begin, report)),
  };
}
