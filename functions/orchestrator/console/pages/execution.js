/** Shows one execution: how it is going, what was asked, and its log. */

import { ApiError, describe, isBefore, isEnd } from "../api.js";
import { asCommandLine, asCurl, duration, local, retryWords, took } from "../format.js";
import { unhidden } from "../log/text.js";
import { LogView } from "../log/view.js";
import { pause } from "../pauses.js";
import { copyButton } from "../ui/copy.js";
import { confirm } from "../ui/dialog.js";
import { element, fill } from "../ui/dom.js";
import { imageName } from "../ui/image-name.js";
import { asShown, reason, statusBadge, statusWord } from "../ui/status.js";
import { toast } from "../ui/toast.js";
import { approvals } from "./approvals.js";
import { auditOf } from "./audit-entries.js";
import { lockLink } from "./lock-parts.js";
import { missing, playbookOf, runOf, send } from "./rerun.js";
import { sharing } from "./sharing.js";

/** @typedef {import("../api.js").Execution} Execution */

/** The pause between two requests for the status until the execution has ended, in milliseconds. The log's connection usually tells it first. */
const REFRESH = 5000;

/** @param {import("../main.js").Context} context @param {string} id @returns {import("../main.js").Page} */
export function executionPage(context, id) {
  const { api, me, may, go, left, connection, load: loaded } = context;
  const audit = auditOf(context, `execution:${id}`);
  const path = `/executions/${encodeURIComponent(id)}`;
  const head = element("div", { class: "execution" });
  const announced = element("p", { class: "unseen", role: "status" });
  const body = element("div", { class: "execution-page" }, head, announced);
  /** @type {Execution | undefined} */
  let execution;
  /** @type {LogView | undefined} */
  let shownLog;
  /** Tells whether the task runs, which it does for a while after its command has ended. */
  let isOpen = true;
  const clock = element("span", { class: "clock" });
  // In a narrow window the log has more use for the room.
  const isWide = matchMedia("(min-width: 56rem)");

  async function load() {
    const before = execution;
    const record = /** @type {Execution} */ (await api.get(path, left));
    isOpen = !isEnd(record.status);
    execution = asShown(record);
    if (JSON.stringify(before) === JSON.stringify(execution)) return;
    draw(execution);
    shownLog?.changed();
  }

  /** @param {Execution} execution */
  function draw(execution) {
    const { command, status, owned_by } = execution;
    document.title = unhidden(`${statusWord(status)}: ${command.trim().split("\n")[0]} · runvoy`);
    setFavicon(status);
    if (isEnd(status)) announced.textContent = [statusWord(status), reason(execution)].filter(Boolean).join(": ");
    const run = () => runOf(execution);
    const playbook = playbookOf(execution);
    const why = execution.reason ?? execution.stopped_reason;
    const owns = owned_by.includes(me.email);
    const focused = head.contains(document.activeElement) ? document.activeElement?.textContent : undefined;
    const shared = sharing(context, { kind: "executions", path, thing: execution, changed: load });
    fill(head,
      element("div", { class: "execution-top" },
        element("h1", {}, statusBadge(status), outcome(execution)),
        clock,
        element("div", { class: "buttons" },
          !isEnd(status) && (owns || may("executions:kill")) &&
            element("button", { class: "danger", type: "button", disabled: status === "TERMINATING", onclick: stop }, stopWord(execution)),
          playbook !== undefined && (owns || may("executions:read")) &&
            element("button", { type: "button", onclick: () => go(`/playbooks?name=${encodeURIComponent(playbook)}&again=${encodeURIComponent(id)}`) }, "Same values again"),
          playbook === undefined && may("executions:run") &&
            element("button", { type: "button", title: missing(run()).length > 0 ? "Asks for the values that are not known, and runs the same once more" : "Runs the same once more", onclick: (/** @type {Event} */ event) => rerun(event, execution) }, "Re-run"),
          playbook === undefined && may("executions:run") &&
            element("button", { type: "button", title: "Opens the form with what was asked, to change it and run it", onclick: () => go(`/run?again=${encodeURIComponent(id)}`) }, "Edit and run"),
          shared.button)),
      shared.form,
      why && element("p", { class: "reason", "data-status": status }, why),
      waits(execution, may("locks:read")),
      approvals(context, execution, load),
      commandText(command),
      element("details", { class: "fold", open: isWide.matches || Boolean(head.querySelector(".fold")?.hasAttribute("open")) }, element("summary", {}, "Details"), element("div", { class: "execution-foot" },
        element("dl", { class: "facts" },
          ...facts(execution, requestLink, may("locks:read")).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
        element("div", { class: "buttons small" },
          copyButton("Copy link", () => new URL(`/logs?execution_id=${encodeURIComponent(id)}${location.hash}`, location.origin).href, "Link"),
          playbook === undefined && copyButton("Copy as curl", () => asCurl(run(), location.origin), "curl command"),
          playbook === undefined && copyButton("Copy as runvoy", () => asCommandLine(run()), "runvoy command")))));
    tick();
    if (focused) [...head.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
  }

  const requestLink = (/** @type {string} */ request) =>
    may("requests:trace") ? element("a", { href: `/operations?request=${encodeURIComponent(request)}` }, request) : request;

  function tick() {
    if (!execution) return;
    clock.textContent = (isBefore(execution.status) ? "has waited " : "") + took(execution, connection.now());
  }

  /** @param {Event} event @param {Execution} execution */
  async function rerun({ currentTarget }, execution) {
    const button = /** @type {HTMLButtonElement} */ (currentTarget);
    const run = runOf(execution);
    if (missing(run).length > 0) return go(`/run?again=${encodeURIComponent(id)}`);
    button.disabled = true;
    try {
      go(`/logs?execution_id=${encodeURIComponent(await send(api, run))}`);
    } catch (error) {
      button.disabled = false;
      toast(describe(error), "problem");
    }
  }

  async function stop() {
    if (!execution) return;
    const [before, isBetween] = [isBefore(execution.status), isBefore(execution.status) && !isUnbegun(execution)];
    const sure = await confirm({
      title: before && !isBetween ? "Do without this run?" : "Stop this execution?",
      text: isBetween ? "Its last attempt has ended, and no other will begin." : before ? "It has not started, and will not run." : "The command gets SIGTERM, and SIGKILL when it does not end.",
      action: stopWord(execution),
    });
    if (!sure) return;
    try {
      await api.delete(path);
      toast(isBetween ? "No other attempt begins" : before ? "It does not wait any more" : "The execution is being stopped");
      await load();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  let isLoading = false;
  /** Reads the execution once more. While a request is on its way, this does nothing. */
  async function reload() {
    if (isLoading) return;
    isLoading = true;
    try {
      await load();
    } catch (error) {
      if (!left.aborted && !connection.isLost) toast(describe(error), "problem");
    } finally {
      isLoading = false;
    }
  }

  /** The log has ended; the record's end may follow a moment later. */
  async function loadEnd() {
    for (let attempt = 0; attempt < 20 && !left.aborted; attempt++) {
      await reload();
      if (!execution || isEnd(execution.status)) return;
      await pause(250);
    }
  }

  async function open() {
    fill(head, element("p", { class: "note" }, "Loading…"));
    try {
      await load();
    } catch (error) {
      if (left.aborted) return;
      if (error instanceof ApiError && error.isPassing) throw error;
      fill(head, element("h1", {}, "This execution cannot be shown"), element("p", {}, describe(error)), element("p", {}, element("a", { href: "/" }, "All executions")));
      return;
    }
    const log = new LogView(api.key, id, {
      status: reload, complete: loadEnd, connection: () => {},
      waits: () => (execution ? waitsFor(execution) : undefined),
      refused: (status, message) => {
        log.dispose();
        log.element.replaceWith(unreadable(status, message, execution));
      },
    });
    shownLog = log;
    body.append(log.element);
    log.attached();
    const timers = [setInterval(tick, 1000), setInterval(() => isOpen && !connection.isLost && reload(), REFRESH)];
    connection.addEventListener("lost", tick, { signal: left });
    connection.addEventListener("back", () => (reload(), log.reconnect()), { signal: left });
    left.addEventListener("abort", () => {
      timers.forEach(clearInterval);
      setFavicon(undefined);
      log.dispose();
    });
  }

  return {
    title: "Execution",
    body: element("div", {}, body, audit.element),
    shown: () => {
      loaded(open, (text) => fill(head, element("p", { class: "note" }, text)));
      audit.load();
    },
    isWide: true,
  };
}

/** @param {Execution} execution @param {(request: string) => import("../ui/dom.js").Child} requestLink @param {boolean} mayRead its locks @returns {[string, import("../ui/dom.js").Child][]} */
function facts(execution, requestLink, mayRead) {
  const { image_id, created_by, owned_by, started_at, completed_at, variables = [], secrets = [], timeout, git_repo, git_ref, git_path, git_commit, lock: locks = [], after = [], deadline, retry } = execution;
  /** @type {[string, import("../ui/dom.js").Child][]} */
  const all = [
    ["Image", imageName(image_id)], ["Run by", created_by], ["Owners", owned_by.join() === created_by ? "" : owned_by.join(", ")], [isBefore(execution.status) ? "Asked for" : "Started", local(started_at)], ["Ended", completed_at ? local(completed_at) : ""],
    ["Variables", variables.join(", ")], ["Secrets", secrets.join(", ")], ["Timeout", timeout ? duration(timeout) : ""],
    ["Deadline", deadline ? `${duration(deadline)} after it was asked for` : ""], ["After", after.length > 0 ? others(after, execution.if) : ""],
    ["Retry", retry ? retryWords(retry) : ""], ["Earlier attempts", earlierAttempts(execution)],
    ["Size", size(execution)], ["Timing", timing(execution)], ["Cost, estimated", cost(execution)],
    ["Playbook", playbookLink(execution)],
    [locks.length > 1 ? "Locks" : "Lock", locks.length > 0 ? lockLinks(locks, mayRead) : ""],
    ["Repository", [git_repo, git_ref, git_path, git_commit?.slice(0, 12)].filter(Boolean).join(" ")],
    ["Request id", requestLink(execution.created_by_request_id)], ["Execution id", execution.execution_id],
  ];
  return all.filter(([, value]) => value !== "");
}

/** Tells whether it has had no task yet. Between two attempts an execution waits, too. @param {Execution} execution */
const isUnbegun = ({ status, attempts = [] }) => isBefore(status) && attempts.length === 0;

/** The text of the button that stops an execution. @param {Execution} execution */
const stopWord = (execution) => (!isUnbegun(execution) ? "Stop" : execution.status === "WAITING" ? "Cancel" : execution.queue_position ? "Leave the line" : "Cancel");

/** @param {string[]} locks @param {boolean} mayRead */
const lockLinks = (locks, mayRead) => element("span", {}, ...locks.flatMap((name, at) => [at > 0 && ", ", mayRead ? lockLink(name) : name]));

/** The wait of a run that has not started, and its place in line. Approvals have a part of their own. @param {Execution} execution @param {boolean} mayRead */
function waits({ status, waits_for, queue_position, next_attempt_at, lock: locks = [] }, mayRead) {
  if (status !== "QUEUED") return undefined;
  if (next_attempt_at && !queue_position) return element("p", { class: "waits" }, `Waits for ${waits_for ?? "its next attempt"}, which begins at ${local(next_attempt_at)}.`);
  const lock = locks.find((name) => waits_for === `lock ${name}`);
  const place = queue_position ? `, place ${queue_position} in line` : "";
  return element("p", { class: "waits" }, "Waits for ", lock ? ["the lock ", mayRead ? lockLink(lock) : lock] : (waits_for ?? "its turn"), `${place}. It starts by itself.`);
}

/** The wait of a run that has not begun, in words for its empty log. @param {Execution} execution */
function waitsFor({ status, waits_for, approval }) {
  if (status === "WAITING") return approval && approval.count - (approval.given ?? []).length > 1 ? "approvals" : "an approval";
  return status === "QUEUED" ? (waits_for ?? "its turn") : undefined;
}

/** The executions whose ends a run waits for, or has waited for. @param {string[]} ids @param {Execution["if"]} [how] */
const others = (ids, how) => element("span", {}, ...ids.flatMap((id, at) => [at > 0 && ", ", element("a", { href: `/logs?execution_id=${encodeURIComponent(id)}` }, id.slice(0, 8))]), how === "ended" ? ", in any way" : "");

/** The attempts before the present one, with how each has ended. @param {Execution} execution */
function earlierAttempts({ attempts = [] }) {
  if (attempts.length === 0) return "";
  return element("ol", { class: "attempts" }, ...attempts.map(({ reason, started_at, ended_at }) =>
    element("li", {}, `${reason}, after ${duration((Date.parse(ended_at) - Date.parse(started_at)) / 1000)} `, element("small", {}, local(started_at)))));
}

/** The size that the run asked for, if not its image's. @param {Execution} execution */
function size({ cpu, memory, disk, spot }) {
  return [cpu && `${cpu / 1024} vCPU`, memory && `${memory.toLocaleString("en")} MiB of memory`, disk && `${disk} GiB of disk`, spot && "Spot"].filter(Boolean).join(", ");
}

/** Where the time went, in the order of an execution's life. @param {Execution} execution */
function timing({ timing }) {
  const parts = ["queued", "provisioning", "pulling", "starting", "running", "ending"];
  const told = parts.map((part) => ({ part, seconds: timing?.[part] }));
  return told.flatMap(({ part, seconds }) => (typeof seconds === "number" ? [`${part} ${seconds.toFixed(1)} s`] : [])).join(", ");
}

/** @param {Execution} execution */
function cost({ cost_estimate_usd }) {
  return typeof cost_estimate_usd !== "number" ? "" : `$${cost_estimate_usd.toFixed(5)}`;
}

/** The playbook that it was started by, if one. @param {Execution} execution */
function playbookLink({ source = "" }) {
  const name = playbookOf({ source });
  return name === undefined ? "" : element("a", { href: `/playbooks?name=${encodeURIComponent(name)}` }, source.slice("playbook:".length));
}

/** Shows in the browser's tab how the execution is going. @param {Execution["status"] | undefined} status */
function setFavicon(status) {
  const link = document.querySelector("link[rel=icon]");
  const folder = link?.getAttribute("href")?.replace(/\/[^/]*$/, "");
  const name = status === undefined ? "icon" : { SUCCEEDED: "icon-succeeded", FAILED: "icon-failed", STOPPED: "icon-stopped" }[/** @type {string} */ (status)] ?? "icon-running";
  if (link) link.setAttribute("href", `${folder}/${name}.svg`);
}

/** Stands in the place of a log that the API does not show. @param {number} status @param {string} message @param {Execution | undefined} execution */
function unreadable(status, message, execution) {
  const text = status === 403 ? "Your role may not read this log." : message;
  const readers = `Operators and admins may read it, and its owners: ${execution?.owned_by.join(", ") ?? "unknown"}.`;
  return element("section", { class: "unreadable", "aria-label": "Output" },
    element("p", { class: "log-state", role: "status" }, text),
    status === 403 && element("p", { class: "hint" }, readers));
}

/** @param {Execution} execution */
function outcome({ status, exit_code }) {
  if (status !== "FAILED" || exit_code === null) return "";
  return element("span", { class: "exit-code" }, `exit code ${exit_code}`);
}

/** Long commands are folded. @param {string} command */
function commandText(command) {
  const text = element("pre", { class: "command", tabindex: 0, "aria-label": "Command" }, command);
  const lines = command.trim().split("\n");
  if (lines.length <= 4) return text;
  return element("details", {}, element("summary", {}, `${lines[0]} … (${lines.length} lines)`), text);
}
