/** Shows the list of executions, with its filters, which the server applies. */

import { waitingForMe } from "./approvals.js";
import { describe, isEnd } from "../api.js";
import { ago, local, took } from "../format.js";
import { element, fill } from "../ui/dom.js";
import { input, select } from "../ui/form.js";
import { imageName } from "../ui/image-name.js";
import { reason, STATUSES, statusBadge, statusWord } from "../ui/status.js";
import { isTyping, moveFocus, nameCells, row, table } from "../ui/table.js";
import { ExecutionList } from "./execution-list.js";
import { exportButtons } from "./export.js";
import { Selection } from "./selection.js";

/** @typedef {import("../api.js").Execution} Execution */

/** The pause between two looks for new executions, in milliseconds. */
const REFRESH = 2500;
/** Time after the last key before the server is asked, in milliseconds. */
const TYPING = 300;
/** Pages in which nothing was found, after which the person is asked whether to search on. */
const EMPTY_PAGES = 5;
const HEADS = ["Status", "Command", "By", "Image", "Started", "Duration", ""];
const SINCE = /** @type {[string, string][]} */ ([["", "Any time"], ["3600", "Last hour"], ["86400", "Last day"], ["604800", "Last 7 days"], ["2592000", "Last 30 days"]]);

/** Lists that were left, by the place in the browser's history, so that going back finds them as they were. @type {Map<string, {executions: Execution[], next: string | undefined, top: number, person: string}>} */
const left = new Map();
const LEFT = 10;

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function executionsPage(context) {
  const { api, me, address, may, left: leaving, connection } = context;
  const selection = new Selection(context, () => refresh());
  const asked = address.searchParams;
  const text = input({ type: "search", placeholder: "Words of the command", "aria-label": "Filter by text", "aria-keyshortcuts": "/", value: asked.get("q") ?? "" });
  const status = select([["", "Any status"], ...STATUSES.map((one) => /** @type {[string, string]} */ ([one, statusWord(one)]))], asked.get("status") ?? "", { "aria-label": "Status" });
  const mine = input({ type: "checkbox", checked: asked.has("mine") });
  const user = input({ type: "search", placeholder: "E-mail", "aria-label": "Run by", value: asked.get("user") ?? "" });
  const image = input({ type: "search", placeholder: "Image", "aria-label": "Image", value: asked.get("image") ?? "" });
  const since = select(SINCE, asked.get("since") ?? "", { "aria-label": "Started" });
  const heads = table("Executions", HEADS);
  const note = element("p", { class: "note", role: "status" });
  const end = element("div", { class: "list-end" });
  const place = history.state?.place ?? String(Math.random());

  /** @type {Map<string, {execution: Execution, row: HTMLTableRowElement}>} */
  const shown = new Map();
  let generation = new AbortController();
  let isLoading = false;
  let emptyPages = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  /** @type {ExecutionList} */
  let list;

  const filters = () => ({
    status: status.value, user: mine.checked ? "me" : user.value.trim(), image: image.value.trim(), since: since.value, q: text.value.trim(),
  });

  /** The query of the server. A time span is counted from now. */
  function query() {
    const { since: span, ...others } = filters();
    const parameters = new URLSearchParams(Object.entries(others).filter(([, value]) => value !== ""));
    if (span) parameters.set("since", String(Math.floor(connection.now() / 1000) - Number(span)));
    return parameters.size > 0 ? `&${parameters}` : "";
  }

  /** Tells whether an execution belongs to the list, which what is new and what has changed may not. @param {Execution} execution */
  function isWanted({ status: is, created_by, image_id, command, execution_id, reason: why = "", stopped_reason = "" }) {
    const { status, user, image, q } = filters();
    const all = [execution_id, command, image_id, created_by, why, stopped_reason].join("\n").toLowerCase();
    return (!status || is === status) && (!user || created_by === (user === "me" ? me.email : user)) && (!image || image_id.includes(image)) &&
      q.toLowerCase().split(/\s+/).every((word) => all.includes(word));
  }

  /** @param {Execution} execution */
  function put(execution) {
    const known = shown.get(execution.execution_id);
    const made = executionRow(execution, connection.now(), selection.box(execution));
    made.hidden = !isWanted(execution);
    if (known) {
      const hadFocus = known.row.contains(document.activeElement);
      known.row.replaceWith(made);
      if (hadFocus) made.querySelector("a")?.focus();
    } else {
      const last = lastRow();
      const older = last && (last.dataset.started ?? "") < execution.started_at ? [...heads.body.rows].find((one) => (one.dataset.started ?? "") <= execution.started_at) : null;
      heads.body.insertBefore(made, older ?? null);
    }
    shown.set(execution.execution_id, { execution, row: made });
  }

  const lastRow = () => /** @type {HTMLTableRowElement | null} */ (heads.body.lastElementChild);

  function clear() {
    shown.clear();
    fill(heads.body);
  }

  /** @param {{executions: Execution[], next: string | undefined}} [kept] */
  function begin(kept) {
    generation.abort();
    generation = new AbortController();
    isLoading = false;
    emptyPages = 0;
    clear();
    const signal = AbortSignal.any([generation.signal, leaving]);
    list = new ExecutionList(api, query(), signal, { put, clear: () => (clear(), more()) }, kept);
    say();
  }

  function say() {
    const count = [...shown.values()].filter(({ row }) => !row.hidden).length;
    const isFiltered = Object.values(filters()).some((value) => value !== "");
    if (count > 0 || list.next !== undefined) note.textContent = "";
    else if (isFiltered) note.textContent = "No execution matches the filter.";
    else fill(note, "Nothing has run yet. ", may("executions:run") && element("a", { href: "/run" }, "Run the first command"));
  }

  async function more() {
    if (isLoading || list.next === undefined || leaving.aborted) return;
    const mineNow = generation;
    isLoading = true;
    end.textContent = "Loading…";
    try {
      const found = await list.more();
      if (mineNow.signal.aborted) return;
      end.textContent = "";
      const isEmpty = !found.some((one) => isWanted(one));
      emptyPages = isEmpty ? emptyPages + 1 : 0;
      isLoading = false;
      say();
      if (list.next === undefined) return;
      if (emptyPages >= EMPTY_PAGES) return searchOn();
      // Rows that the filter hides leave the end in view.
      if (end.getBoundingClientRect().top < innerHeight + 400) more();
    } catch (error) {
      if (leaving.aborted || mineNow.signal.aborted) return;
      isLoading = false;
      end.textContent = connection.isLost ? "" : describe(error);
    }
  }

  /** Asks before the whole history is read. */
  function searchOn() {
    const go = element("button", { type: "button", onclick: () => ((emptyPages = 0), more()) }, "Go on");
    fill(end, list.searchedSince ? `Searched back to ${local(list.searchedSince)}. ` : "Nothing is found yet. ", go);
    isLoading = true;
    go.addEventListener("click", () => (isLoading = false), { capture: true });
  }

  function filter() {
    for (const one of shown.values()) one.row.hidden = !isWanted(one.execution);
    remember();
    clearTimeout(typing);
    typing = setTimeout(() => (begin(), more()), TYPING);
  }

  function remember() {
    const { user, ...others } = filters();
    const parameters = new URLSearchParams(Object.entries({ ...others, user: mine.checked ? "" : user }).filter(([, value]) => value !== ""));
    if (mine.checked) parameters.set("mine", "1");
    history.replaceState({ place }, "", parameters.size > 0 ? `/?${parameters}` : "/");
  }

  async function refresh() {
    if (document.hidden || isLoading || connection.isLost) return;
    try {
      await list.refresh();
      say();
    } catch (error) {
      if (!leaving.aborted && !connection.isLost) note.textContent = `${describe(error)} The list may be out of date.`;
    }
  }

  /** Clocks of what runs, and how long ago things were. They stand still while the server does not answer. */
  function tick() {
    const now = connection.now();
    for (const { execution, row } of shown.values()) {
      if (row.hidden) continue;
      const [started, length] = [row.querySelector("time"), row.querySelector(".took")];
      const age = ago(execution.started_at, now);
      if (started && started.textContent !== age) started.textContent = age;
      if (length && !isEnd(execution.status)) length.textContent = took(execution, now);
    }
  }

  for (const one of [status, since]) one.addEventListener("change", filter);
  for (const one of [text, user, image]) one.addEventListener("input", filter);
  mine.addEventListener("change", () => ((user.disabled = mine.checked), filter()));
  user.disabled = mine.checked;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !isTyping(event)) {
      event.preventDefault();
      text.focus();
    } else if (!isTyping(event) || (event.target === text && event.key === "ArrowDown")) {
      moveFocus(event, [.../** @type {NodeListOf<HTMLElement>} */ (heads.body.querySelectorAll("tr:not([hidden]) a.row-link"))]);
    }
  }, { signal: leaving });

  const sentinel = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), { rootMargin: "400px" });
  const timers = [setInterval(refresh, REFRESH), setInterval(tick, 1000)];
  let top = 0;
  addEventListener("scroll", () => (top = scrollY), { signal: leaving, passive: true });
  leaving.addEventListener("abort", () => {
    timers.forEach(clearInterval);
    clearTimeout(typing);
    sentinel.disconnect();
    left.set(place, { executions: list.executions, next: list.next, top, person: me.email });
    for (const [oldest] of left) if (left.size > LEFT) left.delete(oldest);
  });
  document.addEventListener("visibilitychange", refresh, { signal: leaving });
  connection.addEventListener("lost", tick, { signal: leaving });
  connection.addEventListener("back", () => (isLoading ? undefined : (refresh(), more())), { signal: leaving });

  return {
    title: "Executions",
    body: element("div", {},
      element("header", { class: "head" },
        element("h1", {}, "Executions"),
        element("div", { class: "buttons" }, exportButtons(api, query), may("executions:run") && element("a", { class: "button primary", href: "/run" }, "Run a command"))),
      waitingForMe(context),
      element("div", { class: "filters" }, text, status, since, image, user, element("label", { class: "check" }, mine, "Mine")),
      selection.element, heads.element, note, end),
    shown: () => {
      const kept = left.get(place);
      history.replaceState({ ...history.state, place }, "", location.href);
      const isMine = kept?.person === me.email;
      begin(isMine ? kept : undefined);
      sentinel.observe(end);
      if (isMine) {
        requestAnimationFrame(() => scrollTo(0, kept.top));
        refresh();
      } else more();
    },
  };
}

/** @param {Execution} execution @param {number} now @param {HTMLElement | undefined} box by which it is chosen */
function executionRow(execution, now, box) {
  const { execution_id, command, image_id, created_by, started_at, completed_at, status, source } = execution;
  const [firstLine = "", ...rest] = command.trim().split("\n");
  const outcome = reason(execution);
  const made = row(
    [
      statusBadge(status),
      [
        element("a", { class: "row-link", href: `/logs?execution_id=${encodeURIComponent(execution_id)}`, title: command }, firstLine + (rest.length > 0 ? " …" : "")),
        outcome && element("span", { class: "outcome", title: outcome }, outcome),
        source !== "api" && source && element("span", { class: "outcome" }, source.replace(":", " ")),
      ],
      element("span", { title: created_by }, created_by),
      imageName(image_id),
      element("time", { datetime: started_at, title: local(started_at) }, ago(started_at, now)),
      element("span", { class: "took", title: completed_at && `Ended ${local(completed_at)}` }, took(execution, now)),
      box,
    ],
    { "data-started": started_at, "data-id": execution_id },
  );
  return nameCells(made, HEADS);
}
