import { describe, isEnd } from "../api.js";
import { ago, duration, local } from "../format.js";
import { element, fill } from "../ui/dom.js";
import { input, select } from "../ui/form.js";
import { STATUSES, statusBadge, statusWord } from "../ui/status.js";
import { isTyping, moveFocus, nameCells, row, table } from "../ui/table.js";

/** @typedef {import("../api.js").Execution} Execution */

/** How often the list looks for what is new, in milliseconds. */
const REFRESH = 2500;
const PAGE = 50;
const HEADS = ["Status", "Command", "By", "Image", "Started", "Duration"];

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function executionsPage({ api, me, address, may, left }) {
  const asked = address.searchParams;
  const status = select([["", "Any status"], ...STATUSES.map((one) => /** @type {[string, string]} */ ([one, statusWord(one)]))], asked.get("status") ?? "", { "aria-label": "Status" });
  const mine = input({ type: "checkbox", checked: asked.has("mine") });
  const text = input({ type: "search", placeholder: "Filter", "aria-label": "Filter by text", "aria-keyshortcuts": "/", value: asked.get("q") ?? "" });
  const list = table("Executions", HEADS);
  const note = element("p", { class: "note", role: "status" });
  const end = element("div", { class: "list-end" });

  /** @type {Map<string, {execution: Execution, row: HTMLTableRowElement}>} */
  const shown = new Map();
  /** The next page; `undefined` when all are there. @type {string | undefined} */
  let next = `/executions?limit=${PAGE}`;
  let isLoading = false;
  let generation = 0;

  const query = () => `/executions?limit=${PAGE}${status.value ? `&status=${status.value}` : ""}`;
  const isWanted = (/** @type {Execution} */ execution) => {
    if (status.value && execution.status !== status.value) return false;
    if (mine.checked && !execution.owned_by.includes(me.email)) return false;
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { execution_id, command, image_id, created_by, stopped_reason = "" } = execution;
    const all = [execution_id, command, image_id, created_by, stopped_reason].join("\n").toLowerCase();
    return words.every((word) => all.includes(word));
  };

  /** Shows an execution, which may be there already. @param {Execution} execution @param {boolean} [isNew] whether it comes before those that are shown */
  function put(execution, isNew) {
    const known = shown.get(execution.execution_id);
    if (known && JSON.stringify(known.execution) === JSON.stringify(execution)) return;
    const made = executionRow(execution);
    made.hidden = !isWanted(execution);
    if (known) {
      const hadFocus = known.row.contains(document.activeElement);
      known.row.replaceWith(made);
      if (hadFocus) made.querySelector("a")?.focus();
    } else if (isNew) {
      const older = [...list.body.rows].find((one) => (one.dataset.started ?? "") <= execution.started_at);
      list.body.insertBefore(made, older ?? null);
    } else list.body.append(made);
    shown.set(execution.execution_id, { execution, row: made });
  }

  function say() {
    const count = [...shown.values()].filter(({ row }) => !row.hidden).length;
    const isFiltered = status.value || mine.checked || text.value;
    if (count > 0 || next) note.textContent = "";
    else if (isFiltered) note.textContent = "No execution matches the filter.";
    else fill(note, "Nothing has run yet. ", may("executions:run") && element("a", { href: "/run" }, "Run the first command"));
  }

  async function more() {
    if (isLoading || !next || left.aborted) return;
    isLoading = true;
    const mineNow = generation;
    end.textContent = "Loading…";
    try {
      const { data, next: following } = await api.page(next, left);
      if (mineNow !== generation) return;
      next = following;
      for (const execution of data) put(execution);
      end.textContent = "";
    } catch (error) {
      if (left.aborted || mineNow !== generation) return;
      next = undefined;
      end.textContent = describe(error);
    } finally {
      if (mineNow === generation) isLoading = false;
    }
    say();
    // Rows that the filter hides leave the end in view.
    if (next && end.getBoundingClientRect().top < innerHeight + 400) more();
  }

  /** Begins anew, with the filter of the server. */
  function reload() {
    generation += 1;
    isLoading = false;
    shown.clear();
    fill(list.body);
    next = query();
    more();
  }

  function filter() {
    for (const one of shown.values()) one.row.hidden = !isWanted(one.execution);
    remember();
    say();
    more();
  }

  function remember() {
    const parameters = new URLSearchParams();
    if (status.value) parameters.set("status", status.value);
    if (mine.checked) parameters.set("mine", "1");
    if (text.value) parameters.set("q", text.value);
    history.replaceState(null, "", parameters.size > 0 ? `/?${parameters}` : "/");
  }

  async function refresh() {
    if (document.hidden || isLoading) return;
    const mineNow = generation;
    try {
      const { data } = await api.page(query(), left);
      if (mineNow !== generation) return;
      for (const execution of [...data].reverse()) put(execution, true);
      // Those that run and are not on the first page any more.
      const fresh = new Set(data.map((/** @type {Execution} */ execution) => execution.execution_id));
      const open = [...shown.values()].filter(({ execution }) => !isEnd(execution.status) && !fresh.has(execution.execution_id));
      for (const { execution } of open.slice(0, 5)) put(await api.get(`/executions/${execution.execution_id}`, left));
      end.textContent = "";
      say();
    } catch (error) {
      if (!left.aborted) end.textContent = `${describe(error)} The list may be out of date.`;
    }
  }

  /** Clocks of what runs, and how long ago things were. */
  function tick() {
    for (const { execution, row } of shown.values()) {
      if (row.hidden) continue;
      const [started, took] = [row.querySelector("time"), row.querySelector(".took")];
      if (started && started.textContent !== ago(execution.started_at)) started.textContent = ago(execution.started_at);
      if (took && !isEnd(execution.status)) took.textContent = length(execution);
    }
  }

  status.addEventListener("change", () => (remember(), reload()));
  mine.addEventListener("change", filter);
  text.addEventListener("input", filter);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !isTyping(event)) {
      event.preventDefault();
      text.focus();
    } else if (!isTyping(event) || (event.target === text && event.key === "ArrowDown")) {
      moveFocus(event, [.../** @type {NodeListOf<HTMLElement>} */ (list.body.querySelectorAll("tr:not([hidden]) a.row-link"))]);
    }
  }, { signal: left });

  const sentinel = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(), { rootMargin: "400px" });
  const timers = [setInterval(refresh, REFRESH), setInterval(tick, 1000)];
  left.addEventListener("abort", () => {
    timers.forEach(clearInterval);
    sentinel.disconnect();
  });
  document.addEventListener("visibilitychange", refresh, { signal: left });

  return {
    title: "Executions",
    body: element("div", {},
      element("header", { class: "head" },
        element("h1", {}, "Executions"),
        may("executions:run") && element("a", { class: "button primary", href: "/run" }, "Run a command")),
      element("div", { class: "filters" }, text, status, element("label", { class: "check" }, mine, "Mine")),
      list.element, note, end),
    shown: () => {
      next = query();
      sentinel.observe(end);
      more();
    },
  };
}

/** @param {Execution} execution */
const length = ({ started_at, completed_at, duration_seconds }) =>
  duration(duration_seconds ?? (Date.parse(completed_at ?? new Date().toISOString()) - Date.parse(started_at)) / 1000);

/** @param {Execution} execution */
function executionRow(execution) {
  const { execution_id, command, image_id, created_by, started_at, status, exit_code, stopped_reason } = execution;
  const [firstLine = "", ...rest] = command.trim().split("\n");
  const outcome = stopped_reason ?? (status === "FAILED" && exit_code !== null ? `exit code ${exit_code}` : "");
  const made = row(
    [
      statusBadge(status),
      [
        element("a", { class: "row-link", href: `/logs?execution_id=${encodeURIComponent(execution_id)}`, title: command }, firstLine + (rest.length > 0 ? " …" : "")),
        outcome && element("span", { class: "outcome" }, outcome),
      ],
      element("span", { title: created_by }, created_by),
      element("span", { class: "image", title: image_id }, image_id.replace(/-[0-9a-f]{8}$/, "")),
      element("time", { datetime: started_at, title: local(started_at) }, ago(started_at)),
      element("span", { class: "took" }, length(execution)),
    ],
    { "data-started": started_at, "data-id": execution_id },
  );
  return nameCells(made, HEADS);
}
