/** Lists schedules with what became of their last times, and creates, pauses, runs and deletes them. */

import { describe } from "../api.js";
import { timesWords } from "../cron.js";
import { local } from "../format.js";
import { confirm } from "../ui/dialog.js";
import { element, fill } from "../ui/dom.js";
import { row } from "../ui/table.js";
import { toast } from "../ui/toast.js";
import { pagedList } from "./paged-list.js";
import { marks, playbookOf, schedulePage, until } from "./schedule.js";
import { scheduleForm } from "./schedule-form.js";

/** @typedef {import("../api.js").Schedule} Schedule */

const HEADS = ["Name", "Times", "Next", "Last times", "Command", ""];

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function schedulesPage(context) {
  const name = context.address.searchParams.get("name");
  return name ? schedulePage(context, name) : listPage(context);
}

/** @param {string} name */
export const schedulePath = (name) => `/schedules/${encodeURIComponent(name)}`;

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
function listPage(context) {
  const { may } = context;
  const list = pagedList(/** @type {Parameters<typeof pagedList<Schedule>>[0]} */ ({
    context, label: "Schedules", path: "/schedules", field: "schedules", heads: HEADS, row: scheduleRow, text: ({ name }) => name, empty: "There are no schedules yet.",
  }));
  const editor = element("section", { class: "narrow" });

  /** @param {Schedule} schedule */
  function scheduleRow(schedule) {
    const { name, enabled, next_at, timezone, run, paused_reason } = schedule;
    const next = enabled ? (next_at ? element("time", { datetime: next_at, title: local(next_at) }, until(next_at)) : "over")
      : element("span", { title: paused_reason ?? undefined }, paused_reason ? "paused: see why" : "paused");
    return row([
      element("a", { href: `/schedules?${new URLSearchParams({ name })}` }, element("strong", {}, name)),
      [timesWords(schedule), element("span", { class: "sub" }, timezone)],
      next,
      marks(schedule),
      run ? element("code", { class: "one-line", title: run.command }, run.command) : playbookOf(schedule),
      actions(context, schedule, list.load),
    ]);
  }

  function closed() {
    fill(editor, may("schedules:create") && element("button", { class: "primary", type: "button", onclick: open }, "Create a schedule"));
  }

  function open() {
    const made = scheduleForm({ context, action: "Create", beside: [element("button", { type: "button", onclick: closed }, "Cancel")], send: async (schedule) => {
      await context.api.post("/schedules", schedule);
      toast(`${schedule.name} is created`);
      closed();
      await list.load();
    } });
    fill(editor, element("h2", {}, "Create a schedule"), made);
    made.querySelector("input")?.focus();
  }

  closed();
  return {
    title: "Schedules",
    body: element("div", {}, element("h1", {}, "Schedules"),
      element("p", { class: "note" }, "Commands that run at times of a clock, at a rate, or once. Each time runs once, with the rights of the person who said what runs."),
      editor, list.element),
    shown: list.shown,
  };
}

/**
 * The buttons of a schedule: run now, pause or resume, delete.
 * @param {import("../main.js").Context} context @param {Schedule} schedule @param {() => Promise<void>} load @param {() => void} [gone]
 */
export function actions({ api, me, may, go }, schedule, load, gone) {
  const { name, enabled, owned_by } = schedule;
  const owns = owned_by.includes(me.email);

  async function change() {
    try {
      await api.put(schedulePath(name), { enabled: !enabled });
      toast(enabled ? `${name} is paused` : `${name} goes on`);
      await load();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  async function runNow() {
    try {
      const { execution_id } = await api.post(`${schedulePath(name)}/run`, {});
      go(`/logs?execution_id=${encodeURIComponent(execution_id)}`);
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  async function remove() {
    const sure = await confirm({ title: `Delete ${name}?`, text: "It does not run any more. Executions that it has started stay.", action: "Delete" });
    if (!sure) return;
    try {
      await api.delete(schedulePath(name));
      toast(`${name} is deleted`);
      await (gone ? gone() : load());
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  return element("span", { class: "buttons" },
    may("executions:run") && element("button", { class: "quiet", type: "button", "aria-label": `Run ${name} now`, onclick: runNow }, "Run now"),
    (owns || may("schedules:update")) && element("button", { class: "quiet", type: "button", "aria-label": `${enabled ? "Pause" : "Resume"} ${name}`, onclick: change }, enabled ? "Pause" : "Resume"),
    !schedule.of_playbook && (owns || may("schedules:delete")) && element("button", { class: "quiet", type: "button", "aria-label": `Delete ${name}`, onclick: remove }, "Delete"));
}
