/** Shows what all pages show of a lock: its link, how many of its slots are held, its state, and the button that pauses it. */

import { describe } from "../api.js";
import { element } from "../ui/dom.js";
import { toast } from "../ui/toast.js";

/** @typedef {import("../api.js").Lock} Lock */

/** Slots that are drawn; more of them are told by their number alone. */
const DRAWN = 12;

/** The path of the API. @param {string} name */
export const lockPath = (name) => `/locks/${encodeURIComponent(name)}`;

/** A link to the page of a lock. @param {string} name */
export const lockLink = (name) => element("a", { href: `/locks?${new URLSearchParams({ name })}` }, name);

/** The slots that are held, as a number and as a row of marks. @param {Lock} lock */
export function heldOf({ held, slots }) {
  const marks = Array.from({ length: slots }, (_, at) => element("span", { class: "slot", "data-held": at < held }));
  return element("span", { class: "slots" }, slots <= DRAWN && element("span", { class: "marks", "aria-hidden": true }, ...marks), `${held} of ${slots}`);
}

/** Tells whether the lock is given away. @param {Lock} lock */
export const stateOf = ({ paused, held, slots }) =>
  element("span", { class: "lock-state", "data-state": paused ? "paused" : held < slots ? "free" : "held" }, paused ? "Paused" : held < slots ? "Free" : "Held");

/**
 * Pauses a lock, or goes on giving it away.
 * @param {import("../main.js").Context} context @param {Lock} lock @param {() => Promise<void>} load
 */
export function pauseButton({ api, may }, { name, paused }, load) {
  if (!may("locks:set")) return undefined;
  const word = paused ? "Resume" : "Pause";
  return element("button", { class: "quiet", type: "button", "aria-label": `${word} ${name}`, title: paused ? undefined : "Nobody gets the lock while it is paused. Those who hold it keep it.", onclick: async () => {
    try {
      await api.put(lockPath(name), { paused: !paused });
      toast(paused ? `${name} is given away again` : `${name} is paused`);
      await load();
    } catch (error) {
      toast(describe(error), "problem");
    }
  } }, word);
}
