import { describe, isEnd } from "../api.js";
import { asCommandLine, asCurl, duration, local } from "../format.js";
import { keptRun } from "../session.js";
import { unordered } from "../log/text.js";
import { LogView } from "../log/view.js";
import { copyButton } from "../ui/copy.js";
import { confirm } from "../ui/dialog.js";
import { element, fill } from "../ui/dom.js";
import { statusBadge, statusWord } from "../ui/status.js";
import { toast } from "../ui/toast.js";

/** @typedef {import("../api.js").Execution} Execution */

/** How often the status is asked for until the execution has ended, in milliseconds. The log's connection usually tells it first. */
const REFRESH = 5000;

/** @param {import("../main.js").Context} context @param {string} id @returns {import("../main.js").Page} */
export function executionPage({ api, me, may, go, left }, id) {
  const path = `/executions/${encodeURIComponent(id)}`;
  const head = element("div", { class: "execution" });
  const body = element("div", { class: "execution-page" }, head);
  /** @type {Execution | undefined} */
  let execution;
  const clock = element("span", { class: "clock" });

  async function load() {
    const before = execution;
    execution = /** @type {Execution} */ (await api.get(path, left));
    if (JSON.stringify(before) !== JSON.stringify(execution)) draw(execution);
  }

  /** @param {Execution} execution */
  function draw(execution) {
    const { command, status, image_id, created_by, owned_by, started_at, created_by_request_id: request, stopped_reason } = execution;
    document.title = unordered(`${statusWord(status)}: ${command.trim().split("\n")[0]} · runvoy`);
    const run = () => ({ command, image: image_id, ...keptRun(id) });
    const owns = owned_by.includes(me.email);
    const focused = head.contains(document.activeElement) ? document.activeElement?.textContent : undefined;
    fill(head,
      element("div", { class: "execution-top" },
        element("h1", {}, statusBadge(status), outcome(execution)),
        clock,
        element("div", { class: "buttons" },
          !isEnd(status) && (owns || may("executions:kill")) &&
            element("button", { class: "danger", type: "button", disabled: status === "TERMINATING", onclick: stop }, "Stop"),
          may("executions:run") &&
            element("button", { type: "button", onclick: () => go(`/run?again=${encodeURIComponent(id)}`) }, "Run again"))),
      stopped_reason && element("p", { class: "reason" }, stopped_reason),
      commandText(command),
      element("div", { class: "execution-foot" },
        element("dl", { class: "facts" },
          ...Object.entries({ Image: image_id, "Run by": created_by, Started: local(started_at), "Request id": requestLink(request), "Execution id": id })
            .map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
        element("div", { class: "buttons small" },
          copyButton("Copy link", () => new URL(`/logs?execution_id=${encodeURIComponent(id)}${location.hash}`, location.origin).href, "Link"),
          copyButton("Copy as curl", () => asCurl(run(), location.origin), "curl command"),
          copyButton("Copy as runvoy", () => asCommandLine(run()), "runvoy command"))));
    tick();
    if (focused) [...head.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
  }

  const requestLink = (/** @type {string} */ request) =>
    may("requests:trace") ? element("a", { href: `/operations?request=${encodeURIComponent(request)}` }, request) : request;

  function tick() {
    if (!execution) return;
    const end = execution.completed_at ? Date.parse(execution.completed_at) : Date.now();
    const took = execution.duration_seconds ?? (end - Date.parse(execution.started_at)) / 1000;
    clock.textContent = duration(took);
  }

  async function stop() {
    const sure = await confirm({
      title: "Stop this execution?",
      text: "The command gets SIGTERM, and SIGKILL when it does not end.",
      action: "Stop",
    });
    if (!sure) return;
    try {
      await api.delete(path);
      toast("The execution is being stopped");
      await load();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  const reload = () => load().catch((error) => left.aborted || toast(describe(error), "problem"));

  /** The log has ended; the record's end may follow a moment later. */
  async function loadEnd() {
    for (let attempt = 0; attempt < 20 && !left.aborted; attempt++) {
      await reload();
      if (!execution || isEnd(execution.status)) return;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }

  async function open() {
    fill(head, element("p", { class: "note" }, "Loading…"));
    try {
      await load();
    } catch (error) {
      if (left.aborted) return;
      fill(head, element("h1", {}, "This execution cannot be shown"), element("p", {}, describe(error)), element("p", {}, element("a", { href: "/" }, "All executions")));
      return;
    }
    const log = new LogView(api.key, id, {
      status: reload, complete: loadEnd, connection: () => {},
      refused: (status, message) => {
        log.dispose();
        log.element.replaceWith(unreadable(status, message, execution));
      },
    });
    body.append(log.element);
    log.attached();
    const timers = [setInterval(tick, 1000), setInterval(() => execution && !isEnd(execution.status) && reload(), REFRESH)];
    left.addEventListener("abort", () => {
      timers.forEach(clearInterval);
      log.dispose();
    });
  }

  return { title: "Execution", body, shown: open, isWide: true };
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
