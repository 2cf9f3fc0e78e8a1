/** How an execution is going, in words, colour and shape. */

import { element } from "./dom.js";

/** @type {Record<import("../api.js").Status, string>} */
const WORDS = {
  STARTING: "Starting", RUNNING: "Running", TERMINATING: "Stopping", SUCCEEDED: "Succeeded", FAILED: "Failed", STOPPED: "Stopped",
};

export const STATUSES = /** @type {import("../api.js").Status[]} */ (Object.keys(WORDS));

/** @param {import("../api.js").Status} status */
export const statusWord = (status) => WORDS[status] ?? status;

/** @param {import("../api.js").Status} status */
export const statusBadge = (status) => element("span", { class: "status", "data-status": status }, statusWord(status));
