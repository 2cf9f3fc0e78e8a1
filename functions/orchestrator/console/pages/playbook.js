/** Shows one playbook: the form of its parameters, what it runs, who ran it, and its versions. */

import { describe, isEnd } from "../api.js";
import { timesWords } from "../cron.js";
import { ago, duration, local, retryWords } from "../format.js";
import { confirm } from "../ui/dialog.js";
import { element, fill } from "../ui/dom.js";
import { field, form, input, select } from "../ui/form.js";
import { nameCells, row, table } from "../ui/table.js";
import { statusBadge } from "../ui/status.js";
import { toast } from "../ui/toast.js";
import { auditOf } from "./audit-entries.js";
import { sharedWords, sharing } from "./sharing.js";

/** @typedef {import("../api.js").PublishedPlaybook} PublishedPlaybook @typedef {import("../playbook-file.js").Playbook} Playbook @typedef {import("../playbook-file.js").Parameter} Parameter @typedef {import("../api.js").Execution} Execution */

/** Executions in the history. */
const HISTORY = 20;
const HISTORY_HEADS = ["Result", "Version", "Run by", "Started", ""];
const VERSION_HEADS = ["Version", "Published by", "Published", ""];

/** @param {import("../main.js").Context} context @param {string} name @returns {import("../main.js").Page} */
export function playbookPage(context, name) {
  const { api, me, may, go, left, address, load: loaded } = context;
  const path = `/playbooks/${encodeURIComponent(name)}`;
  const version = address.searchParams.get("version");
  const body = element("div", {}, element("h1", {}, name), element("p", { class: "note" }, "Loading…"));
  const history = table("History", HISTORY_HEADS);
  const historyNote = element("p", { class: "note", role: "status" });
  const versions = table("Versions", VERSION_HEADS);
  const audit = auditOf(context, `playbook:${name}`);

  async function open() {
    const { playbook } = await api.get(version ? `${path}?version=${encodeURIComponent(version)}` : path, left);
    const again = address.searchParams.get("again");
    const values = again ? await valuesOf(again) : {};
    draw(playbook, values);
    await Promise.all([drawHistory(), drawVersions(playbook.version), audit.load()]);
  }

  /** The values with which an execution was started, as far as they are kept. @param {string} id @returns {Promise<Record<string, string>>} */
  async function valuesOf(id) {
    const { request } = await api.get(`/executions/${encodeURIComponent(id)}`, left);
    return request?.env ?? {};
  }

  /** @param {PublishedPlaybook} playbook @param {Record<string, string>} values */
  function draw(playbook, values) {
    const owns = playbook.owned_by.includes(me.email);
    const fields = (playbook.parameters ?? []).map((parameter) => ({ parameter, ...control(parameter, values[parameter.name]) }));
    const made = form({
      body: fields.map(({ field }) => field.element),
      fields: Object.fromEntries(fields.map(({ parameter, field }) => [`parameters.${parameter.name}`, field])),
      action: "Run",
      send: async () => {
        const parameters = Object.fromEntries(fields.map(({ parameter, read }) => [parameter.name, read()]));
        const started = await api.runPlaybook(name, { parameters, version: playbook.version });
        go(`/logs?execution_id=${encodeURIComponent(started.execution_id)}`);
      },
    });
    const shared = sharing(context, { kind: "playbooks", path, thing: playbook, changed: open });
    fill(body,
      element("div", { class: "head" }, element("h1", {}, name),
        element("span", { class: "buttons" },
          (owns || may("playbooks:update")) && element("a", { class: "button", href: `/playbooks?edit=${encodeURIComponent(name)}` }, "Edit"),
          shared.button,
          (owns || may("playbooks:delete")) && element("button", { type: "button", class: "danger", onclick: remove }, "Delete"))),
      playbook.description && element("p", {}, playbook.description),
      version !== null && element("p", { class: "note" }, `This is version ${playbook.version}. `, element("a", { href: `/playbooks?name=${encodeURIComponent(name)}` }, "The newest")),
      shared.form,
      element("section", { class: "narrow" }, made),
      element("details", { class: "group" }, element("summary", {}, "What it runs"), whatRuns(playbook)),
      element("section", {}, element("h2", {}, "History"), history.element, historyNote),
      element("section", {}, element("h2", {}, "Versions"), versions.element),
      audit.element);
    const first = fields[0]?.field.control;
    (first?.matches("input, select, textarea") ? first : first?.querySelector("input"))?.focus();
  }

  async function remove() {
    const sure = await confirm({ title: `Delete ${name}?`, text: "Nobody can run it any more. Its executions stay.", action: "Delete" });
    if (!sure) return;
    try {
      await api.delete(path);
      toast(`${name} is deleted`);
      go("/playbooks");
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  async function drawHistory() {
    const executions = /** @type {Execution[]} */ (await api.get(`/executions?limit=${HISTORY}&playbook=${encodeURIComponent(name)}`, left));
    const isMine = (/** @type {Execution} */ one) => one.owned_by.includes(me.email) || may("executions:read");
    fill(history.body, ...executions.map((one) => nameCells(row([
      element("a", { href: `/logs?execution_id=${encodeURIComponent(one.execution_id)}` }, statusBadge(one.status)),
      one.source?.split("@")[1] ?? "",
      one.created_by,
      element("time", { datetime: one.started_at, title: local(one.started_at) }, ago(one.started_at)),
      isEnd(one.status) && isMine(one) && element("a", { class: "button quiet", href: `/playbooks?name=${encodeURIComponent(name)}&again=${encodeURIComponent(one.execution_id)}` }, "Same values again"),
    ]), HISTORY_HEADS)));
    historyNote.textContent = executions.length > 0 ? "" : "It has not been run yet, as far as you may see.";
  }

  /** @param {number} shown */
  async function drawVersions(shown) {
    const { versions: list } = await api.get(`${path}/versions`, left);
    fill(versions.body, ...list.map((/** @type {{version: number, published_by: string, published_at: string}} */ one) => nameCells(row([
      String(one.version), one.published_by, element("time", { datetime: one.published_at, title: local(one.published_at) }, ago(one.published_at)),
      one.version === shown ? "shown here" : element("a", { href: `/playbooks?name=${encodeURIComponent(name)}&version=${one.version}` }, "Show"),
    ]), VERSION_HEADS)));
  }

  return {
    title: name,
    body,
    shown: () => loaded(open, (text) => fill(body, element("h1", {}, name), element("p", { class: "problem" }, text), element("p", {}, element("a", { href: "/playbooks" }, "All playbooks")))),
  };
}

/** The command, and what it gets. @param {PublishedPlaybook} playbook */
export function whatRuns(playbook) {
  const { image, secrets = [], env = {}, timeout, deadline, retry, cpu, memory, disk, spot, git_repo, git_ref, git_path, published_by, approvals, notifications = [], schedules = [], lock = [], owned_by, shared_with } = playbook;
  /** @type {[string, string][]} */
  const facts = [
    ["Image", image ?? "the default image"], ["Secrets", secrets.join(", ")], ["Variables", Object.entries(env).map(([name, value]) => `${name}=${value}`).join(", ")],
    ["Timeout", timeout ? duration(timeout) : ""], ["Deadline", deadline ? duration(deadline) : ""], ["Retry", retry ? retryWords(retry) : ""],
    ["Size", [cpu && `${cpu} CPU units`, memory && `${memory} MiB of memory`, disk && `${disk} GiB of disk`, spot && "on Fargate Spot"].filter(Boolean).join(", ")],
    ["Repository", [git_repo, git_ref, git_path].filter(Boolean).join(" ")], ["Published by", published_by],
    ["Locks", lock.join(", ")], ["Owners", owned_by?.join(", ") ?? ""], ["Used by", owned_by ? sharedWords(shared_with) : ""],
    ["Notifications", notifications.map(({ name, on = [] }) => `${name} when ${on.length > 0 ? on.join(", ").replaceAll("_", " ") : "failed, recovered"}`).join("; ")],
    ["Schedules", schedules.map(scheduleWords).join("; ")],
    ["Approvals", approvals ? `${approvals.count ?? 1} by ${[...(approvals.by ?? []), "an admin"].join(" or ")}` : ""],
  ];
  return element("div", {},
    element("pre", { class: "command", tabindex: 0, "aria-label": "Command" }, playbook.commands.join("\n")),
    element("dl", { class: "facts" }, ...facts.filter(([, value]) => value !== "").map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))));
}

/** A schedule of a playbook in words. @param {NonNullable<Playbook["schedules"]>[number]} schedule */
function scheduleWords({ name, cron, rate, at, timezone, parameters = {} }) {
  const values = Object.entries(parameters).map(([parameter, value]) => `${parameter}=${value}`).join(", ");
  return [name, timesWords({ cron, rate, at }).replace(/^./, (first) => (name ? first.toLowerCase() : first)), timezone && `(${timezone})`, values && `with ${values}`].filter(Boolean).join(" ");
}

/**
 * The field of a parameter. Nothing is chosen that the playbook does not choose.
 * @param {Parameter} parameter @param {string | undefined} value
 * @returns {{field: import("../ui/form.js").Field, read: () => string | boolean | string[]}}
 */
function control({ name, type = "string", label, description, default: usual, required, allowed = [], max_length }, value) {
  const given = value ?? usual ?? "";
  const isRequired = required ?? usual === undefined;
  const title = `${label ?? name}${isRequired || type === "boolean" ? "" : " (optional)"}`;
  if (type === "boolean") {
    const box = input({ type: "checkbox", checked: given === "true" });
    const group = element("div", {}, element("label", { class: "check" }, box, "yes"));
    return { field: field(title, group, description), read: () => box.checked };
  }
  if (type === "choices") {
    const chosen = given.split(/[,\n]/).map((one) => one.trim());
    const boxes = allowed.map((one) => ({ one, box: input({ type: "checkbox", checked: chosen.includes(one) }) }));
    const group = element("div", { class: "choices" }, ...boxes.map(({ one, box }) => element("label", { class: "check" }, box, one)));
    return { field: field(title, group, description), read: () => boxes.filter(({ box }) => box.checked).map(({ one }) => one) };
  }
  if (allowed.length > 0) {
    const made = select([["", isRequired ? "Choose…" : "none"], ...allowed.map((one) => /** @type {[string, string]} */ ([one, one]))], allowed.includes(given) ? given : "");
    return { field: field(title, made, description), read: () => made.value };
  }
  const made = type === "text"
    ? element("textarea", { rows: 4, spellcheck: "false" }, given)
    : input({ value: given, ...(type === "date" && { type: "date" }), ...(type === "number" && { inputmode: "decimal" }), ...(max_length && { maxlength: max_length }) });
  return { field: field(title, made, description), read: () => made.value };
}
