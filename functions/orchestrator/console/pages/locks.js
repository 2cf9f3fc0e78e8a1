/** Lists the locks with who holds how many of their slots and how long their lines are, and sets them. */

import { plural } from "../format.js";
import { lookEvery } from "../pauses.js";
import { element, fill } from "../ui/dom.js";
import { row } from "../ui/table.js";
import { lockPage } from "./lock.js";
import { lockForm } from "./lock-form.js";
import { heldOf, lockLink, pauseButton, stateOf } from "./lock-parts.js";
import { pagedList } from "./paged-list.js";

/** @typedef {import("../api.js").Lock} Lock */

const HEADS = ["Name", "Held", "Waiting", "Longest line", "State", ""];
/** The pause before the list is read anew, in milliseconds. */
const REFRESH = 5000;
/** Rows up to which the list is read anew. More of them come as one scrolls. */
const PAGE = 50;
/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function locksPage(context) {
  const name = context.address.searchParams.get("name");
  return name ? lockPage(context, name) : listPage(context);
}

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
      lookEvery(REFRESH, left, refresh, list.shown());
    },
  };
}
