/** Shows the playbooks: those that the person likes first, each with its last result. */

import { describe } from "../api.js";
import { ago, local } from "../format.js";
import { favourites, setFavourite } from "../session.js";
import { element, fill } from "../ui/dom.js";
import { row } from "../ui/table.js";
import { statusBadge } from "../ui/status.js";
import { waitingForMe } from "./approvals.js";
import { editorPage } from "./playbook-editor.js";
import { playbookPage } from "./playbook.js";
import { pagedList } from "./paged-list.js";

/** @typedef {import("../api.js").PlaybookSummary} PlaybookSummary */

const HEADS = ["Name", "Description", "Last result", "Version", ""];

/** @param {string} name */
export const playbookPath = (name) => `/playbooks?name=${encodeURIComponent(name)}`;

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function playbooksPage(context) {
  const { address } = context;
  const edited = address.searchParams.get("edit");
  if (edited !== null && context.may("playbooks:publish")) return editorPage(context, edited);
  const name = address.searchParams.get("name");
  return name ? playbookPage(context, name) : listPage(context);
}

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
function listPage(context) {
  const { may, me } = context;
  const liked = favourites(me.email);
  const list = pagedList(/** @type {Parameters<typeof pagedList<PlaybookSummary>>[0]} */ ({
    context, label: "Playbooks", path: "/playbooks", field: "playbooks", heads: HEADS, row: playbookRow, text: ({ name, description }) => `${name} ${description}`,
    empty: may("playbooks:publish") ? "There are no playbooks yet." : "No playbook is shared with you.",
  }));
  const own = element("ul", { class: "favourites", "aria-label": "Favourites" });

  function drawFavourites() {
    const names = [...liked].sort();
    own.hidden = names.length === 0;
    fill(own, ...names.map((name) => element("li", {}, element("a", { href: playbookPath(name) }, name))));
  }

  /** @param {PlaybookSummary} playbook */
  function playbookRow({ name, description, version, published_by, published_at }) {
    const star = element("button", {
      class: "quiet star", type: "button", "aria-pressed": String(liked.has(name)), "aria-label": `Favourite: ${name}`, title: "Favourite",
      onclick: () => {
        if (liked.has(name)) liked.delete(name);
        else liked.add(name);
        star.setAttribute("aria-pressed", String(liked.has(name)));
        fill(star, liked.has(name) ? "★" : "☆");
        setFavourite(me.email, liked);
        drawFavourites();
      },
    }, liked.has(name) ? "★" : "☆");
    const result = element("span", {}, "…");
    lastResult(context, name, result);
    return row([
      element("a", { href: playbookPath(name) }, element("strong", {}, name)),
      description ?? "",
      result,
      element("span", { title: `${local(published_at)} by ${published_by}` }, String(version)),
      element("span", { class: "buttons" }, star, element("a", { class: "button", href: playbookPath(name), "aria-label": `Run ${name}` }, "Run")),
    ]);
  }

  drawFavourites();
  return {
    title: "Playbooks",
    body: element("div", {},
      element("div", { class: "head" }, element("h1", {}, "Playbooks"),
        may("playbooks:publish") && element("a", { class: "button", href: "/playbooks?edit=" }, "New playbook")),
      element("p", { class: "note" }, "Commands with parameters. A run uses the image and the secrets with the right of the person who published the playbook."),
      waitingForMe(context), own, list.element),
    shown: list.shown,
  };
}

/** Shows how the playbook's last execution ended, as far as the person may see it. @param {import("../main.js").Context} context @param {string} name @param {HTMLElement} place */
async function lastResult({ api, left }, name, place) {
  try {
    const [last] = /** @type {import("../api.js").Execution[]} */ (await api.get(`/executions?limit=1&playbook=${encodeURIComponent(name)}`, left));
    fill(place, ...(last
      ? [element("a", { href: `/logs?execution_id=${encodeURIComponent(last.execution_id)}`, title: `${local(last.started_at)} by ${last.created_by}` }, statusBadge(last.status)), " ", element("time", { datetime: last.started_at }, ago(last.started_at))]
      : ["never run"]));
  } catch (error) {
    if (!left.aborted) fill(place, element("span", { class: "hint" }, describe(error)));
  }
}
