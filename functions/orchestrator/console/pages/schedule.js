/** Shows one schedule: its next times in the reader's zone and in its own, and what became of the last ones. */

import { timesWords } from "../cron.js";
import { ago, local } from "../format.js";
import { element, fill } from "../ui/dom.js";
import { statusBadge, statusWord } from "../ui/status.js";
import { nameCells, row, table } from "../ui/table.js";
import { toast } from "../ui/toast.js";
import { auditOf } from "./audit-entries.js";
import { actions, schedulePath } from "./schedule-actions.js";
import { scheduleForm } from "./schedule-form.js";
import { sharing } from "./sharing.js";

/** @typedef {import("../api.js").Schedule} Schedule */

/** The number of the next times that are shown. */
const NEXT = 5;
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** The time until a time, such as "in 3 hours". @param {string} time @param {number} [now] milliseconds */
export function until(time, now = Date.now()) {
  const seconds = (Date.parse(time) - now) / 1000;
  const [unit, length] = /** @type {[Intl.RelativeTimeFormatUnit, number]} */ ([["day", 86_400], ["hour", 3600], ["minute", 60]].find(([, length]) => seconds >= Number(length)) ?? ["second", 1]);
  return seconds < 1 ? "now" : relative.format(Math.floor(seconds / length), unit);
}

/** The last times of a schedule as a row of marks, the newest last. @param {Schedule} schedule */
export function marks({ recent = [] }) {
  if (recent.length === 0) return "none yet";
  const all = [...recent].reverse().map(({ scheduled_at, execution_id, status, reason }) => {
    const said = `${execution_id ? statusWord(status ?? "STARTING") : "Did not run"}, ${local(scheduled_at)}${reason ? `: ${reason}` : ""}`;
    const attributes = { class: "mark", "data-status": execution_id ? (status ?? "STARTING") : "FAILED", title: said, "aria-label": said };
    return execution_id
      ? element("a", { ...attributes, href: `/logs?execution_id=${encodeURIComponent(execution_id)}` })
      : element("span", { ...attributes, role: "img" });
  });
  return element("span", { class: "marks" }, ...all);
}

/** The playbook that a schedule runs, as a link. @param {Schedule} schedule @returns {import("../ui/dom.js").Child} */
export function playbookOf({ playbook }) {
  if (!playbook) return "";
  const link = element("a", { href: `/playbooks?name=${encodeURIComponent(playbook.name)}` }, playbook.name);
  return element("span", {}, "playbook ", link, playbook.version ? `, version ${playbook.version}` : "");
}

/** @param {import("../main.js").Context} context @param {string} name @returns {import("../main.js").Page} */
export function schedulePage(context, name) {
  const { api, me, may, left, go, load: loaded } = context;
  const body = element("div", { class: "life" });
  const editor = element("section", { class: "narrow" });
  const audit = auditOf(context, `schedule:${name}`);
  const report = (/** @type {string} */ text) => fill(body, element("p", { class: "note" }, text));

  async function read() {
    const [{ schedule }, { times }] = await Promise.all([api.get(schedulePath(name), left), api.get(`${schedulePath(name)}/next?count=${NEXT}`, left)]);
    draw(schedule, times);
  }

  /** @param {Schedule} schedule @param {string[]} times */
  function draw(schedule, times) {
    const { enabled, paused_reason, timezone, run, on_missed, runs_as, owned_by, shared_with, created_by, created_at, recent = [] } = schedule;
    /** @type {[string, import("../ui/dom.js").Child][]} */
    const facts = [
      ["Times", timesWords(schedule)], ["Written as", element("code", {}, schedule.cron ?? schedule.rate ?? schedule.at ?? "")], ["Time zone", timezone],
      ["State", enabled ? "on" : "paused"], ["Runs as", runs_as], ["Owners", owned_by.join(", ")], ["Shared with", shared_with?.join(", ") ?? ""],
      ["Playbook", run ? "" : playbookOf(schedule)], ["Part of", schedule.of_playbook ? `the playbook ${schedule.of_playbook}, whose publications change and delete it` : ""], ["Values", Object.entries(schedule.playbook?.parameters ?? {}).map(([name, value]) => `${name}=${value}`).join(", ")],
      ["Image", run ? run.image ?? "the default image" : ""], ["Secrets", run?.secrets?.join(", ") ?? ""], ["Variables", Object.keys(run?.env ?? {}).join(", ")],
      ["Missed times", on_missed === "run_once" ? "the last one runs" : "are skipped"], ["Created", `${ago(created_at)} by ${created_by}`],
    ];
    const change = !schedule.of_playbook && (owned_by.includes(me.email) || may("schedules:update")) && element("button", { type: "button", onclick: () => edit(schedule) }, "Change");
    const shared = sharing(context, { kind: "schedules", path: schedulePath(name), thing: schedule, changed: () => Promise.all([again(), audit.load()]) });
    fill(body,
      paused_reason && element("p", { class: "problem", role: "status" }, `Paused: ${paused_reason}.`),
      element("div", { class: "buttons" }, change, shared.button, actions(context, schedule, again, () => go("/schedules"))),
      shared.form,
      element("dl", { class: "facts" }, ...facts.filter(([, value]) => value !== "").map(([head, value]) => element("div", {}, element("dt", {}, head), element("dd", {}, value)))),
      run && element("pre", { class: "command" }, run.command),
      element("section", {}, element("h2", {}, enabled ? "Next times" : "Next times, if it were not paused"), nextTimes(times, timezone)),
      element("section", {}, element("h2", {}, "Last times"), lastTimes(recent)));
  }

  const again = () => loaded(read, report);

  /** @param {Schedule} schedule */
  function edit(schedule) {
    const close = () => fill(editor);
    const made = scheduleForm({ context, schedule, action: "Change", beside: [element("button", { type: "button", onclick: close }, "Cancel")], send: async ({ name, ...changes }) => {
      await api.put(schedulePath(name), changes);
      toast(`${name} is changed`);
      close();
      await again();
    } });
    fill(editor, element("h2", {}, `Change ${schedule.name}`), made);
    editor.scrollIntoView({ block: "nearest" });
    made.querySelector("input")?.focus();
  }

  return {
    title: name,
    body: element("div", {},
      element("p", { class: "hint" }, element("a", { href: "/schedules" }, "Schedules")),
      element("h1", {}, name), editor, body, audit.element),
    shown: () => {
      again();
      audit.load();
    },
  };
}

/** @param {string} time @param {string | undefined} zone */
const clock = (time, zone) => new Date(time).toLocaleString(undefined, {
  weekday: "short", year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit", timeZoneName: "short", ...(zone && { timeZone: zone }),
});

/** @param {string[]} times @param {string} zone */
function nextTimes(times, zone) {
  if (times.length === 0) return element("p", { class: "note" }, "There is no time to come.");
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const isHere = here === zone;
  const heads = isHere ? ["In", `Time in ${zone}`] : ["In", `Your time, ${here}`, `Time in ${zone}`];
  const made = table("Next times", heads);
  fill(made.body, ...times.map((time) => nameCells(row([until(time), ...(isHere ? [] : [clock(time, undefined)]), clock(time, zone)]), heads)));
  return made.element;
}

/** @param {NonNullable<Schedule["recent"]>} recent */
function lastTimes(recent) {
  if (recent.length === 0) return element("p", { class: "note" }, "None of its times has come yet.");
  const heads = ["Scheduled", "Status", "Execution"];
  const made = table("Last times", heads);
  fill(made.body, ...recent.map(({ scheduled_at, execution_id, status, reason }) => nameCells(row([
    element("time", { datetime: scheduled_at, title: local(scheduled_at) }, ago(scheduled_at)),
    execution_id ? statusBadge(status ?? "STARTING") : element("span", { class: "problem" }, "Did not run"),
    execution_id ? [element("a", { href: `/logs?execution_id=${encodeURIComponent(execution_id)}` }, execution_id), reason ?? ""] : reason ?? "",
  ]), heads)));
  return made.element;
}
