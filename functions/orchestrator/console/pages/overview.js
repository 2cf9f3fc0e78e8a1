/** Shows how the newest thousand executions went: when, how long, what fails most, and who runs what. */

import { isBefore, isEnd } from "../api.js";
import { duration, local, plural } from "../format.js";
import { element, fill } from "../ui/dom.js";
import { imageName } from "../ui/image-name.js";
import { bars, columns } from "../ui/plot.js";
import { asShown, reason, statusWord } from "../ui/status.js";
import { MOST, newest } from "./export.js";

/** @typedef {import("../api.js").Execution} Execution @typedef {import("../api.js").Status} Status */

const HOUR = 3_600_000;
/** The most columns of the plot over time. Older hours share columns. */
const SPANS = 72;
const KINDS = /** @type {const} */ (["SUCCEEDED", "FAILED", "STOPPED", "RUNNING", "WAITING"]);
/** Bounds of durations in seconds. */
const BOUNDS = [1, 3, 10, 30, 60, 180, 600, 1800, 3600, 4 * 3600];
/** Rows of what is counted by name. */
const TOP = 8;

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function overviewPage({ api, left, connection, load: loaded }) {
  const body = element("div", { class: "overview" });
  const note = element("p", { class: "note", role: "status" }, "Reading the newest executions…");

  async function read() {
    const executions = (await newest(api, "", left)).map(asShown);
    const [last] = executions.slice(-1);
    note.textContent = !last ? "Nothing has run yet." :
      `${plural(executions.length, "execution")}${executions.length === MOST ? ", the newest" : ""}, since ${local(last.started_at)}.`;
    fill(body, ...(last ? plots(executions, connection.now()) : []));
  }

  return {
    title: "Overview",
    body: element("div", {}, element("h1", {}, "Overview"), note, body),
    shown: () => loaded(read, (text) => (note.textContent = text)),
    isWide: true,
  };
}

/** The group in which an execution counts. @param {Execution} execution */
const kindOf = ({ status }) => (isEnd(status) ? status : isBefore(status) ? "WAITING" : "RUNNING");

/** @param {Execution[]} executions newest first @param {number} now */
function plots(executions, now) {
  const ended = executions.filter(({ status }) => isEnd(status));
  const running = executions.filter((one) => kindOf(one) === "RUNNING");
  const waiting = executions.length - ended.length - running.length;
  const failed = executions.filter(({ status }) => status === "FAILED");
  const lengths = ended.map(seconds).sort((a, b) => a - b);
  const starts = executions.flatMap(({ timing }) => startOf(timing)).sort((a, b) => a - b);
  const tile = (/** @type {string} */ name, /** @type {string} */ value, /** @type {string} */ href = "") =>
    element(href ? "a" : "div", { class: "tile", ...(href && { href }) }, element("span", { class: "hint" }, name), element("strong", {}, value));
  return [
    element("div", { class: "tiles" },
      tile("Running", String(running.length), "/?status=RUNNING"),
      waiting > 0 && tile("Waiting", String(waiting)),
      tile("Succeeded", ended.length > 0 ? `${Math.round((100 * ended.filter(({ status }) => status === "SUCCEEDED").length) / ended.length)} %` : "–", "/?status=SUCCEEDED"),
      tile("Failed", String(failed.length), "/?status=FAILED"),
      tile("Half end within", lengths.length > 0 ? duration(quantile(lengths, 0.5)) : "–"),
      tile("Nine of ten within", lengths.length > 0 ? duration(quantile(lengths, 0.9)) : "–")),
    overTime(executions, now),
    histogram("Durations", lengths, lengths.length > 0 ? spread(lengths) : "Nothing has ended yet."),
    histogram("Time to the first line", starts, starts.length > 0 ? `${spread(starts)} The container has started then.` : "AWS has told no times yet."),
    bars("What fails most", top(failed, (one) => one.command.trim().split("\n")[0] ?? "").map(([name, list]) => ({
      name: link(`/?${new URLSearchParams({ status: "FAILED", q: words(name) })}`, name), count: list.length, kind: "FAILED",
      text: `${plural(list.length, "failure")}: ${common(list.map(reason))}`,
    }))),
    bars("Who runs what", top(executions, (one) => one.created_by).map(([name, list]) => ({
      name: link(`/?${new URLSearchParams({ user: name })}`, name), count: list.length,
      text: `${plural(list.length, "run")}, most often ${common(list.map((one) => one.command.trim().split("\n")[0] ?? ""))}`,
    }))),
    bars("Images", top(executions, (one) => one.image_id).map(([name, list]) => ({
      name: element("a", { href: `/?${new URLSearchParams({ image: name })}` }, imageName(name)), count: list.length, text: plural(list.length, "run"),
    }))),
  ];
}

/** @param {string} href @param {string} text */
const link = (href, text) => element("a", { href, title: text }, text);

/** Words by which the list finds a command again. @param {string} command */
const words = (command) => command.split(/\s+/).slice(0, 6).join(" ");

/** @param {Execution} execution */
const seconds = ({ started_at, completed_at, duration_seconds }) =>
  completed_at ? Math.max(0, (Date.parse(completed_at) - Date.parse(started_at)) / 1000) : (duration_seconds ?? 0);

/** Seconds until the command started, where AWS has told them. @param {Execution["timing"]} timing */
function startOf(timing) {
  const parts = ["queued", "provisioning", "pulling", "starting"].map((name) => timing?.[name]).filter((one) => typeof one === "number");
  return parts.length > 0 ? [/** @type {number[]} */ (parts).reduce((sum, one) => sum + one, 0)] : [];
}

/** @param {number[]} sorted @param {number} part */
const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;

/** @template T @param {T[]} all @param {(one: T) => string} name @returns {[string, T[]][]} the most frequent first */
function top(all, name) {
  /** @type {Map<string, T[]>} */
  const groups = new Map();
  for (const one of all) groups.set(name(one), [...(groups.get(name(one)) ?? []), one]);
  return [...groups].sort(([, a], [, b]) => b.length - a.length).slice(0, TOP);
}

/** @param {string[]} texts */
const common = (texts) => top(texts.filter((text) => text !== ""), (text) => text)[0]?.[0] ?? "no reason known";

/** Runs an hour by how they ended; a column has more hours when the executions go back far. @param {Execution[]} executions @param {number} now */
function overTime(executions, now) {
  const oldest = Date.parse(executions.at(-1)?.started_at ?? "");
  const hours = Math.max(1, Math.ceil((now - oldest) / HOUR));
  const each = Math.max(1, Math.ceil(hours / SPANS));
  const count = Math.max(12, Math.ceil(hours / each));
  const first = (Math.floor(now / HOUR) + 1) * HOUR - count * each * HOUR;
  const spans = Array.from({ length: count }, (_, at) => ({ start: first + at * each * HOUR, counts: /** @type {Record<string, number>} */ ({}) }));
  for (const one of executions) {
    const span = spans[Math.min(count - 1, Math.max(0, Math.floor((Date.parse(one.started_at) - first) / (each * HOUR))))];
    if (span) span.counts[kindOf(one)] = (span.counts[kindOf(one)] ?? 0) + 1;
  }
  const text = (/** @type {number} */ time) => new Date(time).toLocaleString(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
  const title = each === 1 ? "Runs an hour, by how they ended" : `Runs in ${each} hours, by how they ended`;
  return columns(title, spans.map(({ start, counts }) => ({
    label: text(start), parts: KINDS.map((kind) => ({ kind, count: counts[kind] ?? 0, name: statusWord(/** @type {Status} */ (kind)).toLowerCase() })),
  })), { labels: [[0, text(first)], [count - 1, "now"]], kind: "across" });
}

/** @param {number[]} sorted in seconds */
const spread = (sorted) => `Half within ${duration(quantile(sorted, 0.5))}, nine of ten within ${duration(quantile(sorted, 0.9))}.`;

/** @param {string} title @param {number[]} lengths in seconds @param {string} note */
function histogram(title, lengths, note) {
  const edges = [0, ...BOUNDS, Infinity];
  const named = (/** @type {number} */ at) => (at === BOUNDS.length ? `over ${duration(edges[at] ?? 0)}` : `${at === 0 ? "under" : `${duration(edges[at] ?? 0)} to`} ${duration(edges[at + 1] ?? 0)}`);
  const counts = edges.slice(0, -1).map((from, at) => lengths.filter((one) => one >= from && one < (edges[at + 1] ?? Infinity)).length);
  return columns(title, counts.map((count, at) => ({ label: named(at), parts: [{ kind: "all", count, name: count === 1 ? "execution" : "executions" }] })),
    { labels: [[0, "under 1s"], [4, "1m"], [7, "30m"], [10, "over 4h"]], note });
}
