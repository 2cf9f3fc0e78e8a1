/** Shows the API keys of the person who is signed in, makes others, and deletes them. */

import { describe } from "../api.js";
import { ago, local } from "../format.js";
import { copyButton } from "../ui/copy.js";
import { confirm } from "../ui/dialog.js";
import { element, fill } from "../ui/dom.js";
import { field, form, input, select } from "../ui/form.js";
import { nameCells, row, table } from "../ui/table.js";
import { toast } from "../ui/toast.js";

/** @typedef {import("../api.js").Key} Key */

const HEADS = ["Name", "May do", "Created", "Last used", "Expires", ""];
const DAY = 86_400;
const EXPIRIES = /** @type {[string, string][]} */ ([["0", "Never"], [String(DAY), "In a day"], [String(7 * DAY), "In 7 days"], [String(30 * DAY), "In 30 days"], [String(90 * DAY), "In 90 days"], [String(365 * DAY), "In a year"]]);

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function keysPage(context) {
  const list = keyList(context);
  return {
    title: "Keys",
    body: element("div", {},
      element("h1", {}, "Your API keys"),
      element("p", { class: "note" }, "One for each place where you use runvoy. To replace a key, make another, use it, and delete the old one. You may have 20."),
      creation(context, list.load),
      list.element),
    shown: list.load,
  };
}

/**
 * The keys of a user, which can be deleted.
 * @param {import("../main.js").Context} context @param {string} [email] of another user
 */
export function keyList({ api, left, load: loaded }, email) {
  const keys = table("Keys", HEADS);
  const note = element("p", { class: "note", role: "status" }, "Loading…");
  keys.element.hidden = true;
  const query = email === undefined ? "" : `?${new URLSearchParams({ email })}`;

  async function read() {
    const found = /** @type {Key[]} */ ((await api.get(`/keys${query}`, left)).keys);
    keys.element.hidden = found.length === 0;
    note.textContent = found.length === 0 ? "No key: the link has not been used yet, or every key is deleted." : "";
    fill(keys.body, ...found.map((key) => nameCells(keyRow(key), HEADS)));
  }

  /** @param {Key} key */
  function keyRow(key) {
    const { key_id, name, scope, created_at, last_used, expires_at } = key;
    const limits = [...(scope?.actions ?? []), ...(scope?.playbooks ?? []).map((one) => `playbook ${one}`)];
    const isOver = expires_at && Date.parse(expires_at) < Date.now();
    const time = (/** @type {string | null | undefined} */ at, /** @type {string} */ none) => (at ? element("time", { datetime: at, title: local(at) }, ago(at)) : none);
    return row([
      [element("strong", {}, name), element("span", { class: "sub" }, key_id)],
      limits.length > 0 ? limits.join(", ") : "all that the role may",
      time(created_at, ""),
      time(last_used, "never"),
      expires_at ? element("span", { title: local(expires_at), class: isOver && "problem" }, isOver ? `expired ${ago(expires_at)}` : local(expires_at)) : "never",
      element("button", { class: "quiet", type: "button", "aria-label": `Delete the key ${name}`, onclick: () => remove(key) }, "Delete"),
    ]);
  }

  /** @param {Key} key */
  async function remove({ key_id, name }) {
    const sure = await confirm({ title: `Delete the key ${name}?`, text: "It stops working at once, and its open connections end.", action: "Delete" });
    if (!sure) return;
    try {
      await api.delete(`/keys/${encodeURIComponent(key_id)}`);
      toast(`The key ${name} is deleted`);
      await read();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  return {
    element: element("section", { class: "list" }, keys.element, note),
    load: () => loaded(read, (text) => (note.textContent = text)),
  };
}

/** @param {import("../main.js").Context} context @param {() => Promise<void>} load */
function creation({ api, me }, load) {
  const name = field("Name", input({ placeholder: "laptop", maxlength: 64 }), "Where or for what you use it.");
  const expires = field("Expires", select(EXPIRIES, "0"));
  const boxes = me.permissions.map((action) => input({ type: "checkbox", value: action }));
  const actions = field("Only these actions",
    element("div", { class: "choices" }, ...boxes.map((box) => element("label", { class: "check" }, box, element("code", {}, box.value)))),
    "None checked: all that your role may do. A limited key makes no other keys.");
  const playbooks = field("Only these playbooks", input({ placeholder: "deploy, backup" }), "Names, with commas between them. Empty: no limit.");
  const result = element("div", { role: "status" });
  const made = form({
    body: [
      element("div", { class: "columns" }, name.element, expires.element),
      element("details", { class: "group" }, element("summary", {}, "Limit what it may do"), actions.element, playbooks.element),
    ],
    fields: { name, expires_in: expires, scope: actions },
    action: "Make a key",
    send: async () => {
      fill(result);
      if (name.control.value.trim() === "") return name.say("Enter a name.");
      const checked = boxes.filter((box) => box.checked).map((box) => box.value);
      const named = playbooks.control.value.split(",").map((one) => one.trim()).filter((one) => one !== "");
      const scope = { ...(checked.length > 0 && { actions: checked }), ...(named.length > 0 && { playbooks: named }) };
      const { api_key: key, key: { name: called } } = await api.post("/keys", {
        name: name.control.value.trim(), expires_in: Number(expires.control.value), ...(Object.keys(scope).length > 0 && { scope }),
      });
      fill(result,
        element("p", {}, `This is the key ${called}. Copy it now: it is not shown again.`),
        element("p", {}, element("output", { class: "key", "aria-label": "New API key" }, key)),
        element("div", { class: "buttons" }, copyButton("Copy the key", () => key, "API key"), element("button", { class: "quiet", type: "button", onclick: () => fill(result) }, "Hide it")));
      made.reset();
      await load();
    },
  });
  return element("section", { class: "narrow" }, element("h2", {}, "Make a key"), made, result);
}
