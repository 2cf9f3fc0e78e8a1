/** Shows what waits for approvals: what exactly will run, who has agreed, and the buttons of those who may decide. */

import { describe } from "../api.js";
import { ago, local } from "../format.js";
import { element, fill } from "../ui/dom.js";
import { field } from "../ui/form.js";
import { toast } from "../ui/toast.js";

/** @typedef {import("../api.js").Execution} Execution @typedef {import("../api.js").Me} Me */

/** Tells whether this person may approve the execution and has not. The server decides. @param {Execution} execution @param {Me} me */
export function mayApprove({ approval, created_by, status }, me) {
  const { given = [], by: approvers = [] } = approval ?? {};
  if (!approval || status !== "WAITING" || created_by === me.email || given.some(({ by }) => by === me.email)) return false;
  return me.role === "admin" || approvers.includes(me.email) || approvers.includes(`role:${me.role}`);
}

/**
 * The approvals of an execution. To approve or deny, one first opens what will run.
 * @param {import("../main.js").Context} context @param {Execution} execution @param {() => Promise<void>} changed
 */
export function approvals({ api, me }, execution, changed) {
  const { approval, status, source = "" } = execution;
  if (!approval) return undefined;
  const { by: approvers = [] } = approval;
  const given = (approval.given ?? []).map(({ by, at, comment }) =>
    element("li", {}, `${by} approved `, element("time", { datetime: at, title: local(at) }, ago(at)), comment ? `: ${comment}` : ""));
  const missing = approval.count - given.length;
  const who = [...approvers, "an admin"].join(" or ");
  const waits = status === "WAITING" && element("p", {},
    `It waits for ${missing === 1 ? "an approval" : `${missing} approvals`} by ${who}, until `, element("time", { datetime: approval.expires_at }, local(approval.expires_at)), ".");
  // A denial is the reason of the end, which the page shows.
  if (!waits && given.length === 0) return undefined;
  return element("section", { class: "approvals", "aria-label": "Approvals" }, waits, given.length > 0 && element("ul", {}, ...given),
    mayApprove(execution, me) && decide());

  function decide() {
    const comment = field("Comment", element("textarea", { rows: 2 }));
    const problem = element("p", { class: "problem", role: "alert", hidden: true });
    /** @param {"approve" | "deny"} what @param {Event} event */
    const send = async (what, { currentTarget }) => {
      const button = /** @type {HTMLButtonElement} */ (currentTarget);
      button.disabled = true;
      try {
        const { message } = await api.post(`/executions/${encodeURIComponent(execution.execution_id)}/${what}`, { comment: comment.control.value.trim() || undefined });
        toast(message);
        await changed();
      } catch (error) {
        fill(problem, describe(error));
        problem.hidden = false;
        button.disabled = false;
      }
    };
    const env = Object.entries(execution.request?.env ?? {});
    /** @type {[string, string][]} */
    const facts = [["Playbook", source.replace(/^playbook:/, "")], ["Asked by", execution.created_by], ["Image", execution.image_id], ["Secrets", (execution.secrets ?? []).join(", ")],
      ["Repository", [execution.git_repo, execution.git_ref, execution.git_path].filter(Boolean).join(" ")]];
    return element("details", { class: "group" }, element("summary", {}, "See what will run, and decide"),
      element("pre", { class: "command", tabindex: 0, "aria-label": "Command that will run" }, execution.command),
      env.length > 0 && element("dl", { class: "facts", "aria-label": "Values" }, ...env.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, element("code", {}, value))))),
      element("dl", { class: "facts" }, ...facts.filter(([, value]) => value !== "").map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
      comment.element, problem,
      element("div", { class: "buttons" },
        element("button", { class: "primary", type: "button", onclick: (/** @type {Event} */ event) => send("approve", event) }, "Approve"),
        element("button", { class: "danger", type: "button", onclick: (/** @type {Event} */ event) => send("deny", event) }, "Deny")));
  }
}

/** A list of what waits for this person. It is away while nothing does. @param {import("../main.js").Context} context */
export function waitingForMe({ api, left }) {
  const list = element("ul", {});
  const made = element("section", { class: "approvals", "aria-label": "Waits for you", hidden: true }, element("h2", {}, "Waits for you"), list);
  api.get("/executions?waiting_for=me", left).then((/** @type {Execution[]} */ executions) => {
    made.hidden = executions.length === 0;
    fill(list, ...executions.map(({ execution_id, source = "", created_by, started_at }) =>
      element("li", {}, element("a", { href: `/logs?execution_id=${encodeURIComponent(execution_id)}` }, source.replace(/^playbook:/, "") || execution_id), ` asked for by ${created_by} `,
        element("time", { datetime: started_at, title: local(started_at) }, ago(started_at)))));
  }, () => {});
  return made;
}
