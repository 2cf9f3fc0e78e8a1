/** Shows how an execution is going, in words, colour and shape, and why it ended as it did. */

import { isBefore, isEnd } from "../api.js";
import { element } from "./dom.js";

/** @type {Record<string, string>} */
const WORDS = {
  WAITING: "Waiting", QUEUED: "Queued", STARTING: "Starting", RUNNING: "Running", TERMINATING: "Stopping", SUCCEEDED: "Succeeded", FAILED: "Failed", STOPPED: "Stopped",
};

export const STATUSES = /** @type {import("../api.js").Status[]} */ (Object.keys(WORDS));

/** @param {import("../api.js").Status} status */
export const statusWord = (status) => WORDS[status] ?? status;

/**
 * An execution as it is shown: its command has ended as soon as the runner's last line says so, although its task goes on for a while.
 * @template {import("../api.js").Execution} E @param {E} execution @returns {E}
 */
export function asShown(execution) {
  const { status, ending } = execution;
  if (!ending || isEnd(status)) return execution;
  const ended = status === "TERMINATING" ? "STOPPED" : ending.exit_code === 0 ? "SUCCEEDED" : "FAILED";
  return { ...execution, status: /** @type {import("../api.js").Status} */ (ended), exit_code: ending.exit_code, completed_at: execution.completed_at ?? ending.at };
}

/** @param {import("../api.js").Status} status */
export const statusBadge = (status) => element("span", { class: "status", "data-status": status }, statusWord(status));

/**
 * The wait of an execution, or the reason of its end, in a few words; empty when there is nothing to say.
 * @param {import("../api.js").Execution} execution
 */
export function reason({ status, exit_code, reason, stopped_reason, waits_for }) {
  if (isBefore(status) && waits_for) return `waits for ${waits_for}`;
  const said = reason ?? stopped_reason;
  if (said) return said;
  return status === "FAILED" && exit_code !== null && exit_code !== undefined ? `exit code ${exit_code}` : "";
}
