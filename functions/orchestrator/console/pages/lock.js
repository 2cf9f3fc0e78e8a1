/** Shows one lock: who holds it, who waits in line and since when, and lets operators set and delete it. */

import { describe } from "../api.js";
import { ago, local } from "../format.js";
import { lookEvery } from "../pauses.js";
import { confirm } from "../ui/dialog.js";
import { element, fill } from "../ui/dom.js";
import { nameCells, row, table } from "../ui/table.js";
import { toast } from "../ui/toast.js";
import { auditOf } from "./audit-entries.js";
import { lockForm } from "./lock-form.js";
import { heldOf, lockPath, pauseButton, stateOf } from "./lock-parts.js";

/** @typedef {import("../api.js").LockInFull} LockInFull @typedef {import("../api.js").LockUse} LockUse */

/** The pause before the lock is read anew, in milliseconds. */
const REFRESH = 2500;

/** @param {import("../main.js").Context} context @param {string} name @returns {import("../main.js").Page} */
export function lockPage(context, name) {
  const { api, me, may, go, left, connection, load: loaded } = context;
  const body = element("div", { class: "life" });
  const editor = element("section", { class: "narrow" });
  const audit = auditOf(context, `lock:${name}`);
  const report = (/** @type {string} */ text) => fill(body, element("p", { class: "note" }, text));
  /** The answer that is drawn, so that the same is not drawn again under the person's fingers. */
  let drawn = "";

  async function read() {
    const lock = /** @type {LockInFull} */ (await api.get(lockPath(name), left));
    const text = JSON.stringify(lock);
    if (text !== drawn) draw(lock);
    else for (const time of body.querySelectorAll("time")) time.textContent = ago(time.dateTime);
    drawn = text;
  }

  async function changed() {
    await read();
    audit.load();
  }

  /** @param {LockInFull} lock */
  function draw(lock) {
    const focused = body.contains(document.activeElement) ? document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent : undefined;
    /** @type {[string, import("../ui/dom.js").Child][]} */
    const facts = [["State", stateOf(lock)], ["Slots held", heldOf(lock)], ["Longest line", lock.max_queue ? String(lock.max_queue) : "no limit"]];
    fill(body,
      lock.paused && element("p", { class: "waits", role: "status" }, "Paused: nobody gets this lock. Those who hold it keep it until they end."),
      element("div", { class: "buttons" },
        may("locks:set") && element("button", { type: "button", onclick: () => edit(lock) }, "Change"), pauseButton(context, lock, changed),
        may("locks:delete") && element("button", { class: "danger", type: "button", onclick: remove, ...unused(lock) }, "Delete")),
      element("dl", { class: "facts" }, ...facts.map(([head, value]) => element("div", {}, element("dt", {}, head), element("dd", {}, value)))),
      element("section", {}, element("h2", {}, "Holders"), holders(lock.holders)),
      element("section", {}, element("h2", {}, "In line"), line(lock)));
    if (focused) [...body.querySelectorAll("button")].find((one) => (one.getAttribute("aria-label") ?? one.textContent) === focused)?.focus();
  }

  /** @param {LockUse[]} uses */
  function holders(uses) {
    if (uses.length === 0) return element("p", { class: "note" }, "Nobody holds it.");
    const heads = ["Execution", "By", "Holds it since"];
    const made = table("Holders", heads);
    fill(made.body, ...uses.map((use) => nameCells(row([executionLink(use), use.created_by, since(use)]), heads)));
    return made.element;
  }

  /** @param {LockInFull} lock */
  function line({ queue }) {
    if (queue.length === 0) return element("p", { class: "note" }, "Nobody waits.");
    const heads = ["Place", "Execution", "By", "Waits since", ""];
    const made = table("In line", heads);
    fill(made.body, ...queue.map((use, at) => {
      const mayLeave = use.created_by === me.email || may("executions:kill");
      return nameCells(row([String(at + 1), executionLink(use), use.created_by, since(use), mayLeave && element("button", {
        class: "quiet", type: "button", "aria-label": `Take out of the line: ${use.execution_id}`, onclick: () => leave(use),
      }, "Take out of the line")]), heads);
    }));
    return made.element;
  }

  /** @param {LockUse} use */
  async function leave({ execution_id, created_by }) {
    const sure = await confirm({ title: "Take it out of the line?", text: `The run of ${created_by} has not started, and will not run.`, action: "Take out" });
    if (!sure) return;
    try {
      await api.delete(`/executions/${encodeURIComponent(execution_id)}`);
      toast("It has left the line");
      await read();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  async function remove() {
    const sure = await confirm({ title: `Delete ${name}?`, text: "The next run that names it makes it anew, with slots of its own, and without a pause or a limit of its line.", action: "Delete" });
    if (!sure) return;
    try {
      await api.delete(lockPath(name));
      toast(`${name} is deleted`);
      go("/locks");
    } catch (error) {
      toast(describe(error), "problem");
      await read();
    }
  }

  /** @param {LockInFull} lock */
  function edit(lock) {
    const close = () => fill(editor);
    const made = lockForm({ context, lock, action: "Save", beside: [element("button", { type: "button", onclick: close }, "Cancel")], done: async () => {
      close();
      await changed();
    } });
    fill(editor, element("h2", {}, `Change ${lock.name}`), made);
    editor.scrollIntoView({ block: "nearest" });
    made.querySelector("input")?.focus();
  }

  return {
    title: name,
    body: element("div", {},
      element("p", { class: "hint" }, element("a", { href: "/locks" }, "Locks")),
      element("h1", {}, name), editor, body, audit.element),
    shown: () => {
      const first = loaded(read, report);
      audit.load();
      // What fails here is told by the first reading, and by the bar of the connection.
      lookEvery(REFRESH, left, async () => {
        if (drawn !== "" && !document.hidden && !connection.isLost) await read();
      }, first);
    },
  };
}

/** Nothing can be deleted that executions hold or wait for. @param {LockInFull} lock */
const unused = ({ held, waiting }) => (held + waiting > 0 ? { disabled: true, title: "Executions hold it or wait for it." } : {});

/** @param {LockUse} use */
const executionLink = ({ execution_id }) => element("a", { href: `/logs?execution_id=${encodeURIComponent(execution_id)}` }, element("code", {}, execution_id));

/** @param {LockUse} use */
const since = ({ since }) => element("time", { datetime: since, title: local(since) }, ago(since));
