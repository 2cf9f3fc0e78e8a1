/** Lists what a notification has sent: the receiver's answers, and when the next try is. */

import { ago, local } from "../format.js";
import { element, fill } from "../ui/dom.js";
import { nameCells, row, table } from "../ui/table.js";

/**
 * @typedef {{id: string, event: string, execution_id?: string, state: "sending" | "delivered" | "retrying" | "failed" | "skipped",
 *   attempts: number, time: string, tried_at: string, status_code?: number, answer?: string, next_try_at?: string}} Delivery
 */

const HEADS = ["State", "Event", "Execution", "When", "Tries", "Next try", "Answer"];
/** Deliveries in a page. */
const PAGE = 50;
/** The word for each state. @type {Record<Delivery["state"], string>} */
const SEVERITIES = { sending: "info", delivered: "info", retrying: "warning", failed: "error", skipped: "warning" };

/** @param {import("../main.js").Context} context @param {string} name of the notification */
export function deliveryList({ api, left, load: loaded }, name) {
  const list = table(`Deliveries of ${name}`, HEADS);
  const note = element("p", { class: "note", role: "status" }, "Loading…");
  const more = element("button", { type: "button", hidden: true, onclick: () => loaded(() => read(false), report) }, "Show more");
  const first = `/notifications/${encodeURIComponent(name)}/deliveries?limit=${PAGE}`;
  /** @type {string | undefined} */
  let next = first;
  const report = (/** @type {string} */ text) => (note.textContent = text);

  /** @param {boolean} isFirst */
  async function read(isFirst) {
    if (isFirst) next = first;
    if (next === undefined) return;
    const { data, next: following } = await api.page(next, left);
    const rows = /** @type {Delivery[]} */ (data.deliveries).map((one) => nameCells(deliveryRow(one), HEADS));
    if (isFirst) fill(list.body, ...rows);
    else list.body.append(...rows);
    next = following;
    more.hidden = next === undefined;
    note.textContent = list.body.rows.length > 0 ? "" : "Nothing was sent yet.";
  }

  return {
    element: element("div", {}, list.element, note, more),
    load: () => loaded(() => read(true), report),
  };
}

/** @param {Delivery} delivery */
function deliveryRow({ event, execution_id, state, attempts, time, status_code, answer, next_try_at }) {
  return row([
    element("span", { class: "tag", "data-severity": SEVERITIES[state] }, state),
    event.replace("_", " "),
    execution_id ? element("a", { href: `/logs?execution_id=${encodeURIComponent(execution_id)}` }, element("code", {}, execution_id.slice(0, 8))) : "",
    element("time", { datetime: time, title: local(time) }, ago(time)),
    String(attempts),
    next_try_at && state === "retrying" ? element("time", { datetime: next_try_at }, local(next_try_at)) : "",
    [status_code, answer].filter(Boolean).join(" "),
  ]);
}
