/** Runs what ran before once more. */

import { keepRun, keptRun } from "../session.js";

/** @typedef {import("../format.js").Run} Run @typedef {import("../api.js").Execution} Execution */

/**
 * The run that an execution was, as far as is known: from this tab, else from the API, which keeps the values of variables for those who
 * may read the execution, else from the record. A value that is not known is undefined.
 * @param {Execution} execution @returns {Run}
 */
export function runOf(execution) {
  const kept = keptRun(execution.execution_id);
  if (kept) return /** @type {Run} */ (/** @type {unknown} */ (kept));
  const { request, lock = [], on_conflict } = execution;
  if (!request) return asRun(execution);
  const { left_out = [], env = {}, ...others } = request;
  const unknown = Object.fromEntries(left_out.map((name) => [name, undefined]));
  return present({ ...others, lock, on_conflict, env: { ...env, ...unknown } });
}

/**
 * The published playbook that an execution ran, or that its schedule did. It is run by its form, since a run of its command by itself would
 * need no approval.
 * @param {Pick<Execution, "source" | "playbook_version">} execution @returns {string | undefined}
 */
export function playbookOf({ source = "", playbook_version }) {
  const version = source.startsWith("playbook:") ? source.slice("playbook:".length) : playbook_version;
  return /^(.+)@\d+$/.exec(version ?? "")?.[1];
}

/**
 * Runs the playbook of an execution once more, with the same values.
 * @param {import("../api.js").Api} api @param {string} name @param {Execution} execution
 */
export async function runPlaybookAgain(api, name, { request, variables = [] }) {
  const { playbook } = await api.get(`/playbooks/${encodeURIComponent(name)}`);
  const env = request?.env ?? {};
  const names = /** @type {{name: string}[]} */ (playbook.parameters ?? []).map(({ name }) => name).filter((name) => variables.includes(name));
  const unknown = names.filter((name) => env[name] === undefined);
  if (unknown.length > 0) throw new Error(`${name} needs values of ${unknown.join(", ")}: open it to enter them`);
  await api.runPlaybook(name, { parameters: Object.fromEntries(names.map((name) => [name, env[name]])), version: playbook.version });
}

/** Names of the variables of which the values have to be entered before a run can be sent. @param {Run} run */
export const missing = (run) => Object.entries(run.env ?? {}).filter(([, value]) => value === undefined).map(([name]) => name);

/** Sends a run, and keeps it for this tab. Returns the new execution's id. @param {import("../api.js").Api} api @param {Run} run */
export async function send(api, run) {
  const started = await api.run(/** @type {Record<string, unknown>} */ (run));
  keepRun(started.execution_id, /** @type {Record<string, unknown>} */ (run));
  return started.execution_id;
}

/** @param {Execution} execution */
function asRun({ command, image_id, variables = [], secrets = [], timeout, deadline, retry, cpu, memory, disk, spot, lock, on_conflict, git_repo, git_ref, git_path }) {
  return present({ command, image: image_id, timeout, deadline, retry, cpu, memory, disk, spot, lock, on_conflict, git_repo, git_ref, git_path, secrets, env: Object.fromEntries(variables.map((name) => [name, undefined])) });
}

/** @typedef {{[K in keyof Run]: Run[K] | null}} Loose */

/** Without the parts that say nothing. @param {Loose} run @returns {Run} */
function present({ env, secrets, lock, ...run }) {
  return /** @type {Run} */ ({
    ...Object.fromEntries(Object.entries(run).filter(([, value]) => value)),
    ...(env && Object.keys(env).length > 0 && { env }),
    ...(secrets && secrets.length > 0 && { secrets }),
    ...(lock && lock.length > 0 && { lock }),
  });
}
