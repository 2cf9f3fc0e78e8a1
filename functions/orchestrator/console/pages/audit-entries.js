/** Shows entries of the audit, page by page, for the audit's own page and for those of what the entries are about. */

import { local } from "../format.js";
import { element, fill } from "../ui/dom.js";
import { nameCells, row, table } from "../ui/table.js";

/** @typedef {import("../api.js").AuditEntry} Entry */

const HEADS = ["Time", "Who", "Action", "Resource", "Details"];
const PAGE = 50;
/** Pages in which nothing was found, after which the person is asked whether to search on. */
const EMPTY_PAGES = 3;

/** The page of what an entry names. @param {string} resource such as "secret:prod" @returns {string | undefined} */
export function pageOf(resource) {
  const at = resource.indexOf(":");
  const name = encodeURIComponent(resource.slice(at + 1));
  if (at < 0 || name === "") return undefined;
  return {
    execution: `/logs?execution_id=${name}`, image: `/images?image=${name}`, secret: `/secrets?name=${name}`, user: `/users?email=${name}`, lock: `/locks?name=${name}`,
    schedule: `/schedules?name=${name}`, playbook: `/playbooks?name=${name}`, notification: `/notifications?name=${name}`,
  }[resource.slice(0, at)];
}

/**
 * @param {import("../main.js").Context} context
 * @param {string} label what the entries are about, for people who do not see the page
 */
export function auditEntries({ api, may, left, load: loaded }, label) {
  const list = table(label, HEADS);
  const note = element("p", { class: "note", role: "status" });
  const end = element("div", { class: "list-end" });
  /** @type {string | undefined} */
  let next;
  let generation = 0;
  let emptyPages = 0;
  let isLoading = false;

  /** @param {Entry} entry */
  function entryRow(entry) {
    const { time, actor, key_id, action, resource, outcome, request_id, source_address, details } = entry;
    const page = pageOf(resource);
    const origin = [source_address, key_id && `key ${key_id}`].filter(Boolean).join(", ");
    return nameCells(row([
      element("time", { datetime: time, title: time }, local(time)),
      [actor, origin && element("span", { class: "sub" }, origin)],
      [element("code", {}, action), " ", outcome !== "done" && element("span", { class: "tag", "data-severity": outcome === "refused" ? "warning" : "error" }, outcome)],
      page ? element("a", { href: page }, resource) : resource,
      [
        ...Object.entries(details ?? {}).map(([name, value]) => element("span", { class: "detail" }, element("span", { class: "hint" }, `${name} `), text(value))),
        may("requests:trace") && request_id && element("a", { class: "sub", href: `/operations?request=${encodeURIComponent(request_id)}`, title: "Trace the request" }, request_id),
      ],
    ], { class: "entry" }), HEADS);
  }

  async function more() {
    if (isLoading || next === undefined) return;
    const mine = generation;
    isLoading = true;
    try {
      const { data, next: following } = await api.page(next, left);
      if (mine !== generation) return;
      next = following;
      const entries = /** @type {Entry[]} */ (data.entries);
      emptyPages = entries.length === 0 ? emptyPages + 1 : 0;
      list.body.append(...entries.map(entryRow));
      list.element.hidden = list.body.rows.length === 0;
      note.textContent = list.body.rows.length === 0 && next === undefined ? "The audit has no such entry." : "";
      fill(end, next !== undefined && element("button", { type: "button", onclick: () => ((emptyPages = 0), loaded(more, report)) }, list.body.rows.length === 0 ? "Search on" : "Show more"));
    } finally {
      if (mine === generation) isLoading = false;
    }
    // A page ends after a second of work, with nothing found too.
    if (next !== undefined && emptyPages > 0 && emptyPages < EMPTY_PAGES) await more();
    else if (next !== undefined && list.body.rows.length === 0) note.textContent = "Nothing is found yet.";
  }

  const report = (/** @type {string} */ said) => (note.textContent = said);
  return {
    element: element("div", { class: "entries" }, list.element, note, end),
    /** Reads the entries that a query asks for. @param {Record<string, string>} query */
    show(query) {
      generation += 1;
      emptyPages = 0;
      isLoading = false;
      next = `/audit?${new URLSearchParams({ ...query, limit: String(PAGE) })}`;
      fill(list.body);
      fill(end);
      list.element.hidden = true;
      note.textContent = "Loading…";
      return loaded(more, report);
    },
  };
}

/** @param {unknown} value */
const text = (value) => (typeof value === "string" ? value : Array.isArray(value) ? value.map(String).join(", ") : JSON.stringify(value));

/**
 * The entries about one resource, for people who may read the audit; nothing for the others.
 * @param {import("../main.js").Context} context @param {string} resource such as "secret:prod"
 */
export function auditOf(context, resource) {
  if (!context.may("audit:read")) return { element: undefined, load: () => {} };
  const entries = auditEntries(context, `Audit of ${resource}`);
  return {
    element: element("section", { class: "audit" },
      element("h2", {}, "Audit"),
      entries.element,
      element("p", {}, element("a", { href: `/audit?${new URLSearchParams({ resource })}` }, "Search the audit"))),
    load: () => entries.show({ resource }),
  };
}
