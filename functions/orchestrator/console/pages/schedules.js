/** Lists schedules with what became of their last times, and creates, pauses, runs and deletes them. */

import { timesWords } from "../cron.js";
import { local } from "../format.js";
import { element, fill } from "../ui/dom.js";
import { row } from "../ui/table.js";
import { toast } from "../ui/toast.js";
import { pagedList } from "./paged-list.js";
import { marks, playbookOf, schedulePage, until } from "./schedule.js";
import { actions } from "./schedule-actions.js";
import { scheduleForm } from "./schedule-form.js";

/** @typedef {import("../api.js").Schedule} Schedule */

const HEADS = ["Name", "Times", "Next", "Last times", "Command", ""];

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function schedulesPage(context) {
  const name = context.address.searchParams.get("name");
  return name ? schedulePage(context, name) : listPage(context);
}

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
