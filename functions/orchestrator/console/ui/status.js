/** Shows how an execution is going, in words, colour and shape, and why it ended as it did. */

import { element } from "./dom.js";

/** @type {Record<string, string>} */
const WORDS = {
  WAITING: "Waiting", QUEUED: "Queued", STARTING: "Starting", RUNNING: "Running", TERMINATING: "Stopping", SUCCEEDED: "Succeeded", FAILED: "Failed", STOPPED: "Stopped",
};

export const STATUSES = /** @type {import("../api.js").Status[]} */ (Object.keys(WORDS));

/** @param {import("../api.js").Status} status */
export const statusWord = (status) => WORDS[status] ?? status;

/** @param {import("../api.js").Status} status */
export const statusBadge = (status) => element("span", { class: "status", "data-status": status }, statusWord(status));

/**
 * Why an execution ended as it did, in a few words; empty when there is nothing to say.
 * @param {import("../api.js").Execution} execution
 */
export function reason({ status, exit_code, reason, stopped_reason }) {
  const said = reason ?? stopped_reason;
  if (said) return said;
  return status === "FAILED" && exit_code !== null && exit_code !== undefined ? `exit code ${exit_code}` : "";
}
