/** Lists the locks with who holds how many of their slots and how long their lines are, and sets them. */

import { describe } from "../api.js";
import { plural } from "../format.js";
import { lookEvery } from "../pauses.js";
import { element, fill } from "../ui/dom.js";
import { field, form, input } from "../ui/form.js";
import { row } from "../ui/table.js";
import { toast } from "../ui/toast.js";
import { lockPage } from "./lock.js";
import { pagedList } from "./paged-list.js";

/** @typedef {import("../api.js").Lock} Lock */

const HEADS = ["Name", "Held", "Waiting", "Longest line", "State", ""];
/** How often the list is read anew, in milliseconds. */
const REFRESH = 5000;
/** Rows up to which the list is read anew. More of them come as one scrolls. */
const PAGE = 50;
/** Slots that are drawn; more of them are told by their number alone. */
const DRAWN = 12;

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function locksPage(context) {
  const name = context.address.searchParams.get("name");
  return name ? lockPage(context, name) : listPage(context);
}

/** The path of the API. @param {string} name */
export const lockPath = (name) => `/locks/${encodeURIComponent(name)}`;

/** A link to the page of a lock. @param {string} name */
export const lockLink = (name) => element("a", { href: `/locks?${new URLSearchParams({ name })}` }, name);

/** How many of the slots are held, as a number and as a row of marks. @param {Lock} lock */
export function heldOf({ held, slots }) {
  const marks = Array.from({ length: slots }, (_, at) => element("span", { class: "slot", "data-held": at < held }));
  return element("span", { class: "slots" }, slots <= DRAWN && element("span", { class: "marks", "aria-hidden": true }, ...marks), `${held} of ${slots}`);
}

/** Whether the lock is given away. @param {Lock} lock */
export const stateOf = ({ paused, held, slots }) =>
  element("span", { class: "lock-state", "data-state": paused ? "paused" : held < slots ? "free" : "held" }, paused ? "Paused" : held < slots ? "Free" : "Held");

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
function listPage(context) {
  const { may, left, connection } = context;
  const list = pagedList(/** @type {Parameters<typeof pagedList<Lock>>[0]} */ ({
    context, label: "Locks", path: "/locks", field: "locks", heads: HEADS, row: lockRow, text: ({ name }) => name,
    empty: "There are no locks yet. The first run that names one makes it.",
  }));
  const editor = element("section", { class: "narrow" });

  /** @param {Lock} lock */
  function lockRow(lock) {
    return row([
      element("strong", {}, lockLink(lock.name)),
      heldOf(lock),
      lock.waiting === 0 ? "nobody" : plural(lock.waiting, "run"),
      lock.max_queue ? plural(lock.max_queue, "run") : "no limit",
      stateOf(lock),
      pauseButton(context, lock, list.load),
    ]);
  }

  function closed() {
    fill(editor, may("locks:set") && element("button", { type: "button", onclick: open }, "Make a lock"));
  }

  function open() {
    const made = lockForm({ context, action: "Make", beside: [element("button", { type: "button", onclick: closed }, "Cancel")], done: async () => {
      closed();
      await list.load();
    } });
    fill(editor, element("h2", {}, "Make a lock"), made);
    made.querySelector("input")?.focus();
  }

  async function refresh() {
    const { rows } = /** @type {HTMLTableElement} */ (list.element.querySelector("table"));
    // A long list that may be scrolled, and a row that has the focus, stay as they are.
    const isUsed = rows.length > PAGE || document.activeElement?.closest("table") !== null;
    if (!document.hidden && !connection.isLost && !isUsed) await list.load();
  }

  closed();
  return {
    title: "Locks",
    body: element("div", {}, element("h1", {}, "Locks"),
      element("p", { class: "note" }, "A run that names a lock holds one of its slots until it ends. Others are refused, or wait in line, first come first served."),
      editor, list.element),
    shown: () => {
      lookEvery(REFRESH, left, refresh);
      list.shown();
    },
  };
}

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

/**
 * The form of a lock's slots and of the limit of its line.
 * @param {{context: import("../main.js").Context, lock?: Lock, action: string, beside?: HTMLElement[], done: (name: string) => Promise<void>}} parts
 */
export function lockForm({ context: { api }, lock, action, beside, done }) {
  const name = field("Name", input({ placeholder: "tf-prod", maxlength: 100 }), "Letters, digits, dots, hyphens and underscores");
  const slots = field("Slots", input({ inputmode: "numeric", class: "short", value: lock?.slots ?? 1 }), "Runs that may hold it at the same time");
  const most = field("Longest line", input({ inputmode: "numeric", class: "short", value: lock?.max_queue ?? "", placeholder: "no limit" }), "Runs that may wait. Others are refused.");
  return form({
    body: [!lock && name.element, element("div", { class: "columns" }, slots.element, most.element)],
    fields: { lock: name, slots, max_queue: most },
    action,
    beside,
    send: async () => {
      const called = lock?.name ?? name.control.value.trim();
      if (called === "") return refuse(name, "Enter a name.");
      const [held, queue] = [slots, most].map(({ control }) => control.value.trim());
      if (!/^0*[1-9]\d*$/.test(held ?? "")) return refuse(slots, "Enter a number from 1 on.");
      if (!/^\d*$/.test(queue ?? "")) return refuse(most, "Enter a number, or nothing for no limit.");
      await api.put(lockPath(called), { slots: Number(held), max_queue: Number(queue) });
      toast(`${called} is set`);
      await done(called);
    },
  });
}

/** @param {import("../ui/form.js").Field} field @param {string} text */
function refuse(field, text) {
  field.say(text);
  field.control.focus();
}
