/** Writes playbooks as their files are written, in YAML. */

/**
 * @typedef {"string" | "text" | "number" | "boolean" | "choice" | "choices" | "date"} ParameterType
 * @typedef {{name: string, type?: ParameterType, label?: string, description?: string, default?: string, required?: boolean, allowed?: string[],
 *   pattern?: string, min_length?: number, max_length?: number}} Parameter
 * @typedef {{description?: string, image?: string, git_repo?: string, git_ref?: string, git_path?: string, secrets?: string[],
 *   env?: Record<string, string>, timeout?: number, deadline?: number, cpu?: number, memory?: number, disk?: number, spot?: boolean, lock?: string[], slots?: number, on_conflict?: string, retry?: {attempts: number, on?: string[], backoff?: number}, approvals?: {count?: number, by?: string[], expires?: number}, notifications?: {name: string, on?: string[]}[], schedules?: {name?: string, cron?: string, rate?: string, at?: string, timezone?: string, parameters?: Record<string, string>, on_missed?: string}[], parameters?: Parameter[], commands: string[]}} Playbook
 */

const FIELDS = /** @type {const} */ (["description", "image", "git_repo", "git_ref", "git_path", "secrets", "timeout", "approvals", "notifications", "schedules", "parameters", "env", "commands"]);

/** The text of a playbook's file. Each value in it is read back as the same text. @param {Playbook} playbook */
export function fileOf(playbook) {
  const known = /** @type {Record<string, unknown>} */ (playbook);
  const others = Object.keys(known).filter((name) => !FIELDS.includes(/** @type {any} */ (name)) && !SHOWN_ONLY.has(name)).sort();
  return [...FIELDS.slice(0, -1), ...others, "commands"].filter((name) => known[name] !== undefined).map((name) => `${name}:${block(known[name], 0)}\n`).join("");
}

/** Fields of an answer of the API that are not part of the file. */
const SHOWN_ONLY = new Set(["name", "version", "published_by", "published_at", "created_by", "created_at", "owned_by", "shared_with",
  "created_by_request_id", "modified_by_request_id"]);

/** @param {unknown} value @param {number} depth @returns {string} with what separates it from its key */
function block(value, depth) {
  const indent = "  ".repeat(depth + 1);
  if (Array.isArray(value)) {
    if (value.length === 0) return " []";
    return value.map((one) => `\n${"  ".repeat(depth)}  -${item(one, depth + 1)}`).join("");
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, one]) => one !== undefined);
    if (entries.length === 0) return " {}";
    return entries.map(([name, one]) => `\n${indent}${scalar(name)}:${block(one, depth + 1)}`).join("");
  }
  return text(value, indent);
}

/** An entry of a list. A mapping begins on the line of its dash. @param {unknown} value @param {number} depth */
function item(value, depth) {
  const written = block(value, depth);
  const isMapping = typeof value === "object" && value !== null && !Array.isArray(value) && written.startsWith("\n");
  return isMapping ? ` ${written.trimStart()}` : written;
}

/** @param {unknown} value @param {string} indent */
function text(value, indent) {
  // A literal block keeps a script readable. It cannot begin with a blank, nor have line ends of its own kind.
  if (typeof value === "string" && /^\S[^\r\u0085\u2028\u2029]*\n/.test(value) && !/[^\n\t\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]/.test(value) && !/\n\n+$/.test(value)) {
    const isEnded = value.endsWith("\n");
    const lines = (isEnded ? value.slice(0, -1) : value).split("\n");
    return ` |${isEnded ? "" : "-"}\n${lines.map((line) => (line === "" ? "" : indent + line)).join("\n")}`;
  }
  return ` ${typeof value === "string" ? scalar(value) : String(value)}`;
}

/** @param {string} value */
const scalar = (value) => (/^[A-Za-z_][A-Za-z0-9_./ -]*$/.test(value) && value.trim() === value && !/^(null|true|false|yes|no|on|off|y|n)$/i.test(value) ? value : JSON.stringify(value));
