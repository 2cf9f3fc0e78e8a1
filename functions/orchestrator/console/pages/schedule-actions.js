/** Runs, pauses, resumes and deletes a schedule. */

import { describe } from "../api.js";
import { confirm } from "../ui/dialog.js";
import { element } from "../ui/dom.js";
import { toast } from "../ui/toast.js";

/** @typedef {import("../api.js").Schedule} Schedule */

/** The path of the API. @param {string} name */
export const schedulePath = (name) => `/schedules/${encodeURIComponent(name)}`;

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
