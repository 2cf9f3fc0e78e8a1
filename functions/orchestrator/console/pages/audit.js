/** Shows who did what, or was refused it, with the filters that the API has. */

import { element } from "../ui/dom.js";
import { field, input, select } from "../ui/form.js";
import { auditEntries } from "./audit-entries.js";

/** Actions that no permission names. */
const OTHER_ACTIONS = ["executions:follow", "keys:claim"];
/** Time after the last key before the server is asked, in milliseconds. */
const TYPING = 300;

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function auditPage(context) {
  const { address, me, left } = context;
  const asked = address.searchParams;
  const given = (/** @type {string} */ name) => asked.get(name) ?? "";
  const actions = element("datalist", { id: "actions" }, ...[...me.permissions, ...OTHER_ACTIONS].sort().map((action) => element("option", { value: action })));
  const actor = field("Who", input({ type: "search", placeholder: "anyone", value: given("actor") }));
  const action = field("Action", input({ type: "search", list: "actions", placeholder: "any", value: given("action") }));
  const resource = field("Resource", input({ type: "search", placeholder: "any", value: given("resource") }));
  const outcome = field("Outcome", select([["", "Any"], ["done", "Done"], ["refused", "Refused"], ["failed", "Failed"]], given("outcome")));
  const since = field("From", input({ type: "datetime-local", value: asLocal(given("since")) }));
  const until = field("Before", input({ type: "datetime-local", value: asLocal(given("until")) }));
  const fields = { actor, action, resource, outcome, since, until };
  const entries = auditEntries(context, "Audit");

  function query() {
    const time = (/** @type {string} */ text) => (text === "" ? "" : new Date(text).toISOString());
    const all = {
      ...Object.fromEntries(Object.entries(fields).map(([name, { control }]) => [name, control.value.trim()])),
      since: time(since.control.value), until: time(until.control.value),
    };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
  }

  function search() {
    const parameters = new URLSearchParams(query());
    history.replaceState(history.state, "", parameters.size > 0 ? `/audit?${parameters}` : "/audit");
    return entries.show(query());
  }

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  for (const { control } of Object.values(fields)) {
    control.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(search, TYPING);
    });
  }
  left.addEventListener("abort", () => clearTimeout(typing));

  return {
    title: "Audit",
    body: element("div", {},
      element("h1", {}, "Audit"),
      element("p", { class: "note" }, "Who changed, used or read what, and what was refused: newest first, without values. Entries are never changed."),
      element("div", { class: "columns audit-filters", role: "search" }, ...Object.values(fields).map((one) => one.element), actions),
      entries.element),
    shown: () => entries.show(query()),
    isWide: true,
  };
}

/** A time as the field for times takes it, in the person's own zone. @param {string} text RFC 3339, or empty */
function asLocal(text) {
  const time = Date.parse(text);
  if (Number.isNaN(time)) return "";
  return new Date(time - new Date(time).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
