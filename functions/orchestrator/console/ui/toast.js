/** A short message at the edge of the page, which goes away after a while. */

import { element } from "./dom.js";

const SHOWN = 4000;

const list = element("div", { class: "toasts", role: "status", "aria-live": "polite" });

/** @param {string} text @param {"" | "problem"} [kind] */
export function toast(text, kind = "") {
  if (!list.isConnected) document.body.append(list);
  // The same message twice says no more than once.
  if ([...list.children].some((one) => one.textContent === text)) return;
  const shown = element("p", { class: `toast ${kind}` }, text);
  list.append(shown);
  setTimeout(() => shown.remove(), kind === "problem" ? 2 * SHOWN : SHOWN);
}
