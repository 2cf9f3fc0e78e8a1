/** Chooses executions of the list, to stop them or run them once more, several at once. */

import { describe, isBefore, isEnd } from "../api.js";
import { plural } from "../format.js";
import { confirm } from "../ui/dialog.js";
import { element, fill } from "../ui/dom.js";
import { input } from "../ui/form.js";
import { toast } from "../ui/toast.js";
import { missing, playbookOf, runOf, runPlaybookAgain, send } from "./rerun.js";

/** @typedef {import("../api.js").Execution} Execution */

/** Executions that are stopped or run at the same time. */
const AT_ONCE = 4;

export class Selection {
  /** @type {Map<string, Execution>} */
  #chosen = new Map();
  element = element("div", { class: "selection", role: "group", "aria-label": "Chosen executions", hidden: true });

  /** @param {import("../main.js").Context} context @param {() => void} changed called after executions were stopped or run */
  constructor({ api, me, may }, changed) {
    this.api = api;
    this.may = may;
    this.changed = changed;
    this.me = me;
    this.mayStop = (/** @type {Execution} */ one) => !isEnd(one.status) && one.status !== "TERMINATING" && (one.owned_by.includes(me.email) || may("executions:kill"));
  }

  /** The box by which an execution of the list is chosen, for people who may do something with it. @param {Execution} execution */
  box(execution) {
    const { execution_id: id, command, owned_by } = execution;
    // Who may neither stop it nor run it once more has nothing to choose it for.
    if (!this.may("executions:run") && !this.may("executions:kill") && !owned_by.includes(this.me.email)) return undefined;
    if (this.#chosen.has(id)) {
      this.#chosen.set(id, execution);
      this.#draw();
    }
    const box = input({
      type: "checkbox", "aria-label": `Choose ${command.trim().split("\n")[0]}`, checked: this.#chosen.has(id),
      onchange: () => (box.checked ? this.#chosen.set(id, execution) : this.#chosen.delete(id), this.#draw()),
    });
    return element("label", { class: "choose" }, box);
  }

  clear() {
    this.#chosen.clear();
    for (const box of document.querySelectorAll(".choose input")) /** @type {HTMLInputElement} */ (box).checked = false;
    this.#draw();
  }

  #draw() {
    const all = [...this.#chosen.values()];
    const stoppable = all.filter(this.mayStop);
    this.element.hidden = all.length === 0;
    fill(this.element,
      element("strong", {}, `${plural(all.length, "execution")} chosen`),
      stoppable.length > 0 && element("button", { class: "danger", type: "button", onclick: () => this.#stop(stoppable) }, `Stop ${stoppable.length}`),
      this.may("executions:run") && element("button", { type: "button", onclick: () => this.#rerun(all) }, `Re-run ${all.length}`),
      element("button", { class: "quiet", type: "button", onclick: () => this.clear() }, "Choose none"));
  }

  /** @param {Execution[]} executions */
  async #stop(executions) {
    const count = plural(executions.length, "execution");
    if (!(await confirm({ title: `Stop ${count}?`, text: executions.every(({ status }) => isBefore(status)) ? "They have not started, and will not run." : "The commands get SIGTERM, and SIGKILL when they do not end. What waits leaves its line.", action: "Stop" }))) return;
    await this.#each(executions, `${count} being stopped`, (one) => this.api.delete(`/executions/${encodeURIComponent(one.execution_id)}`));
  }

  /** @param {Execution[]} executions */
  async #rerun(executions) {
    const count = plural(executions.length, "execution");
    if (executions.length > 1 && !(await confirm({ title: `Run ${count} once more?`, text: "Each with the same command, image, variables and secrets.", action: "Run" }))) return;
    await this.#each(executions, `${count} started`, async ({ execution_id, command }) => {
      const execution = await this.api.get(`/executions/${encodeURIComponent(execution_id)}`);
      const playbook = playbookOf(execution);
      if (playbook !== undefined) return runPlaybookAgain(this.api, playbook, execution);
      const run = runOf(execution);
      const names = missing(run);
      if (names.length > 0) throw new Error(`${command.trim().split("\n")[0]} needs values of ${names.join(", ")}: open it to enter them`);
      await send(this.api, run);
    });
  }

  /** @param {Execution[]} executions @param {string} done @param {(one: Execution) => Promise<unknown>} act */
  async #each(executions, done, act) {
    const waiting = [...executions];
    /** @type {string[]} */
    const problems = [];
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let one = waiting.shift(); one; one = waiting.shift()) await act(one).catch((error) => problems.push(describe(error)));
    }));
    for (const problem of new Set(problems)) toast(problem, "problem");
    if (problems.length === 0) toast(done);
    else if (problems.length < executions.length) toast(`${executions.length - problems.length} of ${done}`);
    this.clear();
    this.changed();
  }
}
