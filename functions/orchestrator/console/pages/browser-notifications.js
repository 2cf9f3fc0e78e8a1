/** Tells the person, by the browser's own notifications, how the executions end that they started here. They have to allow it. */

import { ApiError, isEnd } from "../api.js";
import { pause } from "../pauses.js";
import { element, fill } from "../ui/dom.js";
import { statusWord } from "../ui/status.js";

/** Tells whether the person wants it, in this browser. */
const KEY = "runvoy.tell";
/** The pause between two requests for the status of an execution, in milliseconds. */
const LOOK_EVERY = 5000;
/** Executions that are looked after at the same time. */
const MOST = 20;

/** The executions that the person started in this tab and that have not ended. @type {Set<string>} */
const waiting = new Set();

const isWanted = () => "Notification" in window && Notification.permission === "granted" && localStorage.getItem(KEY) === "yes";

/** A choice for the person. */
export function browserNotifications() {
  const place = element("section", { class: "narrow" });
  const draw = () => {
    const isDenied = "Notification" in window && Notification.permission === "denied";
    fill(place, element("h2", {}, "In this browser"),
      !("Notification" in window) ? element("p", { class: "note" }, "This browser has no notifications.")
      : isDenied ? element("p", { class: "note" }, "The browser does not allow notifications of this page. Its settings can change that.")
      : element("label", { class: "check" }, element("input", { type: "checkbox", checked: isWanted(), onchange: choose }), "Tell me when an execution ends that I started here, while a page of runvoy is open"));
  };
  /** @param {Event} event */
  async function choose({ currentTarget }) {
    const isOn = /** @type {HTMLInputElement} */ (currentTarget).checked;
    if (isOn && Notification.permission !== "granted") await Notification.requestPermission();
    localStorage.setItem(KEY, isOn && Notification.permission === "granted" ? "yes" : "no");
    draw();
  }
  draw();
  return place;
}

/**
 * Tells how an execution ends that the person has just started, and nothing to the next person at this browser.
 * @param {import("../api.js").Api} api @param {string} id @param {AbortSignal} signedOut
 */
export async function tellEnd(api, id, signedOut) {
  if (!isWanted() || waiting.size >= MOST || waiting.has(id)) return;
  waiting.add(id);
  try {
    for (;;) {
      await pause(LOOK_EVERY, signedOut);
      const execution = /** @type {import("../api.js").Execution | undefined} */ (await api.get(`/executions/${encodeURIComponent(id)}`, signedOut).catch(passing));
      if (!execution || !isEnd(execution.status)) continue;
      const { status, command, exit_code } = execution;
      const code = status === "FAILED" && exit_code !== null ? ` with exit code ${exit_code}` : "";
      // The page that shows the execution says so itself, while it is looked at.
      const isSeen = document.visibilityState === "visible" && location.search.includes(id);
      if (isSeen || !isWanted()) return;
      const told = new Notification(`${statusWord(status)}${code}`, { body: command.trim().split("\n")[0]?.slice(0, 200) ?? "", tag: id });
      told.addEventListener("click", () => (window.focus(), location.assign(`/logs?execution_id=${encodeURIComponent(id)}`)));
      return;
    }
  } catch {
    // The person has signed out, or may not see the execution any more.
  } finally {
    waiting.delete(id);
  }
}

/** Goes on when the server does not answer for a while. @param {unknown} error */
function passing(error) {
  if (!(error instanceof ApiError && error.isPassing)) throw error;
  return undefined;
}
