/** Writes times, durations and commands as people read them. */

import { OWN_OVERRIDES_CHARACTERS } from "./limits.js";

/** A duration, with tenths where whole seconds would say little. @param {number} seconds */
export function duration(seconds) {
  if (seconds > 0 && seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds > 0 && seconds < 10 && !Number.isInteger(seconds)) return `${(Math.floor(seconds * 10) / 10).toFixed(1)}s`;
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (hours > 0) return `${hours}h ${minutes}m`;
  return minutes > 0 ? `${minutes}m ${rest}s` : `${rest}s`;
}

/**
 * The time that an execution took, or has been running.
 * @param {{started_at: string, completed_at?: string | null, duration_seconds?: number | null}} execution @param {number} now milliseconds
 */
export function took({ started_at, completed_at, duration_seconds }, now) {
  if (!completed_at && duration_seconds != null) return duration(duration_seconds);
  const seconds = ((completed_at ? Date.parse(completed_at) : now) - Date.parse(started_at)) / 1000;
  return duration(completed_at ? seconds : Math.floor(seconds));
}

const AGES = /** @type {const} */ ([["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3600], ["minute", 60]]);
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** The time since a time, such as "3 minutes ago". @param {string} time @param {number} [now] milliseconds */
export function ago(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  const age = AGES.find(([, length]) => seconds >= length);
  return age ? relative.format(-Math.floor(seconds / age[1]), age[0]) : "just now";
}

/** A time in the person's own zone. @param {string} time */
export const local = (time) =>
  new Date(time).toLocaleString(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  });

/** @param {number} count @param {string} one @param {string} [many] */
export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** @param {number} bytes */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** unit).toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

/** The seconds of a duration such as `90`, `90s`, `10m`, `1h30m`, `1d`, as the command line takes it; undefined when it is none. @param {string} text */
export function seconds(text) {
  if (/^\d+$/.test(text)) return Number(text);
  const match = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text.replaceAll(" ", "").toLowerCase());
  if (!match || text.trim() === "") return undefined;
  const [days, hours, minutes, rest] = match.slice(1).map((part) => Number(part ?? 0));
  return (days ?? 0) * 86_400 + (hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (rest ?? 0);
}

/** The whole number that a field has; undefined when it is empty, NaN when it has anything else. @param {string} text */
export const whole = (text) => (text.trim() === "" ? undefined : /^\d+$/.test(text.trim()) ? Number(text) : NaN);

/** A word that a POSIX shell reads as exactly this text. @param {string} text */
export const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** @typedef {{command: string, image?: string, env?: Record<string, string | undefined>, secrets?: string[], timeout?: number, cpu?: number, memory?: number, disk?: number, spot?: boolean, lock?: string[], slots?: number, on_conflict?: "refuse" | "queue", after?: string[], if?: "succeeded" | "ended", deadline?: number, retry?: Retry, git_repo?: string, git_ref?: string, git_path?: string}} Run */
/** @typedef {"capacity" | "spot" | "start" | "exit"} RetryOn @typedef {{attempts: number, on?: RetryOn[], backoff?: number | null}} Retry */

/** The attempts of a run, in words. @param {{attempts: number, on?: string[], backoff?: number | null}} retry */
export const retryWords = ({ attempts, on = [], backoff = 30 }) => `${attempts} attempts, ${duration(backoff ?? 30)} apart, after ${on.length > 0 ? on.join(", ") : "any failure"}`;

/** The curl command that starts a run. The key, and values that are not known, come from variables. @param {Run} run @param {string} origin */
export const asCurl = (run, origin) =>
  [
    `curl -sS -X POST ${quote(`${origin}/api/v1/run`)}`,
    `-H "X-API-Key: $RUNVOY_API_KEY" -H 'Content-Type: application/json'`,
    `--data-raw ${quote(JSON.stringify({ ...run, env: run.env && Object.fromEntries(Object.entries(run.env).map(([name, value]) => [name, value ?? "…"])) }))}`,
  ].join(" \\\n  ");

/** The `runvoy` command that starts a run. @param {Run} run */
export function asCommandLine(run) {
  const words = ["runvoy run"];
  if (run.image) words.push(`--image ${quote(run.image)}`);
  for (const [name, value] of Object.entries(run.env ?? {})) words.push(`--env ${quote(value === undefined ? name : `${name}=${value}`)}`);
  for (const secret of run.secrets ?? []) words.push(`--secret ${quote(secret)}`);
  if (run.timeout) words.push(`--timeout ${run.timeout}s`);
  if (run.cpu) words.push(`--cpu ${run.cpu}`);
  if (run.memory) words.push(`--memory ${run.memory}`);
  if (run.disk) words.push(`--disk ${run.disk}`);
  if (run.spot) words.push("--spot");
  for (const lock of run.lock ?? []) words.push(`--lock ${quote(lock)}`);
  if (run.slots) words.push(`--slots ${run.slots}`);
  if (run.on_conflict === "queue") words.push("--queue");
  for (const id of run.after ?? []) words.push(`--after ${quote(id)}`);
  if (run.if) words.push(`--if ${run.if}`);
  if (run.deadline) words.push(`--deadline ${run.deadline}s`);
  if (run.retry) words.push(`--retry ${run.retry.attempts}`);
  if (run.retry?.on?.length) words.push(`--retry-on ${run.retry.on.join(",")}`);
  if (run.retry?.backoff != null) words.push(`--retry-backoff ${run.retry.backoff}s`);
  if (run.git_repo) words.push(`--git-repo ${quote(run.git_repo)}`);
  if (run.git_ref) words.push(`--git-ref ${quote(run.git_ref)}`);
  if (run.git_path) words.push(`--git-path ${quote(run.git_path)}`);
  // After an option that ends the options, each word would be quoted once more, so a command that starts with a dash gets a blank.
  words.push(quote(run.command.startsWith("-") ? ` ${run.command}` : run.command));
  return words.join(" ");
}

/**
 * About the characters that a run needs of those that ECS takes: its command, variables and git settings as JSON, and the server's own. The server counts.
 * @param {Run} run
 */
export function aboutSize({ command, env = {}, git_repo = "", git_ref = "", git_path = "" }) {
  return OWN_OVERRIDES_CHARACTERS + [...JSON.stringify([command, Object.entries(env).map(([name, value]) => ({ name, value })), git_repo, git_ref, git_path])].length;
}
