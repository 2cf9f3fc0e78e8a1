/** Shows what would leave the machine of a local system: mails, and webhooks to other machines. AWS has no such page. */

import { ago, local } from "../format.js";
import { lookEvery } from "../pauses.js";
import { element, fill } from "../ui/dom.js";
import { toast } from "../ui/toast.js";

/**
 * @typedef {{id: string, time: string, kind: "mail" | "webhook", to: string, subject?: string, body: string, headers?: [string, string][],
 *   is_sent: boolean, confirms?: string}} Entry
 */

/** The pause between two looks for more, in milliseconds. */
const LOOK_EVERY = 2000;
/** The longest time that the local system may take to answer, in milliseconds. */
const TIMEOUT = 10_000;

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function outboxPage({ api, left, connection, load: loaded }) {
  const list = element("div", { class: "outbox" });
  const note = element("p", { class: "note", role: "status" }, "Loading…");
  let drawn = "";

  /** @param {string} path @param {string} method */
  async function ask(path, method) {
    const answer = await fetch(path, { method, headers: { "X-API-Key": api.key ?? "" }, signal: AbortSignal.any([left, AbortSignal.timeout(TIMEOUT)]) }).catch(() => {
      if (!left.aborted) connection.lost();
      throw new Error("The local system does not answer.");
    });
    if (answer.status === 404) throw new Error("Only a local system has an outbox.");
    if (answer.status === 403) throw new Error("The outbox is for admins.");
    if (!answer.ok) throw new Error(`The local system answered ${answer.status}.`);
    return answer.json();
  }

  async function read() {
    const { entries } = /** @type {{entries: Entry[]}} */ (await ask("/outbox.json", "GET"));
    const now = entries.map(({ id }) => id).join();
    note.textContent = entries.length === 0 ? "Nothing yet." : "";
    if (now === drawn) return;
    drawn = now;
    fill(list, ...entries.map(entry));
  }

  /** @param {Entry} one */
  function entry({ time, kind, to, subject, body, headers = [], is_sent, confirms }) {
    const title = kind === "mail" ? `Mail to ${to}` : `Webhook to ${to}`;
    return element("article", { class: "operation" },
      element("h2", {}, title, element("span", { class: "tag" }, is_sent ? "sent" : "kept here")),
      element("p", { class: "note" }, element("time", { datetime: time, title: local(time) }, ago(time)), subject ? `: ${subject}` : ""),
      headers.length > 0 && element("p", { class: "note" }, ...headers.map(([name, value]) => element("span", { class: "sub" }, `${name}: ${value}`))),
      element("pre", { class: "answer", tabindex: 0, "aria-label": title }, shown(body)),
      confirms && element("div", { class: "buttons" }, element("button", { type: "button", onclick: () => confirmAddress(confirms) }, "Confirm the address")));
  }

  /** @param {string} token */
  async function confirmAddress(token) {
    try {
      await ask(`/outbox/confirm/${encodeURIComponent(token)}`, "POST");
      toast("The address is confirmed");
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "problem");
    }
  }

  return {
    title: "Outbox",
    body: element("div", { class: "narrow" }, element("h1", {}, "Outbox"),
      element("p", { class: "note" }, "What would leave this machine. Webhooks to this machine are sent. The last 200 are kept."), note, list),
    shown: () => {
      const look = () => loaded(read, (text) => (note.textContent = text));
      lookEvery(LOOK_EVERY, left, async () => {
        if (!document.hidden && !connection.isLost) await look();
      }, look());
    },
  };
}

/** JSON with line breaks, for people. @param {string} body */
function shown(body) {
  try {
    return JSON.stringify(JSON.parse(body), undefined, 2);
  } catch {
    return body;
  }
}
