/** Saves executions as files for other programs: JSON, and CSV for spreadsheets. */

import { element } from "../ui/dom.js";
import { save } from "../ui/copy.js";
import { toast } from "../ui/toast.js";
import { describe } from "../api.js";

/** @typedef {import("../api.js").Execution} Execution */

/** Executions of a page that is read for a file. */
const PAGE = 200;
/** Executions of a file: so many fit a spreadsheet, and are read within seconds. */
export const MOST = 1000;
const COLUMNS = /** @type {const} */ (["execution_id", "status", "exit_code", "command", "created_by", "image_id", "started_at", "completed_at", "reason", "source"]);

/**
 * The newest executions that a query of the list finds, at most a thousand.
 * @param {import("../api.js").Api} api @param {string} query such as "&status=FAILED" @param {AbortSignal} [signal]
 * @returns {Promise<Execution[]>}
 */
export async function newest(api, query, signal) {
  /** @type {Execution[]} */
  const found = [];
  /** @type {string | undefined} */
  let path = `/executions?limit=${PAGE}${query}`;
  while (path !== undefined && found.length < MOST) {
    const { data, next } = await api.page(path, signal);
    found.push(...data);
    path = next;
  }
  return found.slice(0, MOST);
}

/** @param {Execution[]} executions */
export const asJson = (executions) => `${JSON.stringify(executions, null, 2)}\n`;

/** As RFC 4180 has it. A text that a spreadsheet would take for a formula gets a sign before it. @param {Execution[]} executions */
export function asCsv(executions) {
  const cell = (/** @type {unknown} */ value) => {
    const text = String(value ?? "");
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return [COLUMNS, ...executions.map((one) => COLUMNS.map((name) => one[name]))].map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}

/** The buttons that save what the list shows. @param {import("../api.js").Api} api @param {() => string} query of the list */
export function exportButtons(api, query) {
  const button = (/** @type {string} */ name, /** @type {string} */ type, /** @type {(executions: Execution[]) => string} */ write) => {
    const made = element("button", {
      class: "quiet", type: "button", title: `Saves the newest ${MOST.toLocaleString("en")} of this list`,
      onclick: async () => {
        made.disabled = true;
        try {
          save(new Blob([write(await newest(api, query()))], { type }), `executions.${name.toLowerCase()}`);
        } catch (error) {
          toast(describe(error), "problem");
        }
        made.disabled = false;
      },
    }, name);
    return made;
  };
  return element("span", { class: "export", role: "group", "aria-label": "Export" }, "Export", button("JSON", "application/json", asJson), button("CSV", "text/csv;charset=utf-8", asCsv));
}
