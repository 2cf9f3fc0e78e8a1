/** Shows the notifications: makes, tries, pauses and deletes them, and lists what each has sent. */

import { describe } from "../api.js";
import { seconds } from "../format.js";
import { pause } from "../pauses.js";
import { copyButton } from "../ui/copy.js";
import { confirm } from "../ui/dialog.js";
import { breakable, element, fill } from "../ui/dom.js";
import { field, form, input, select } from "../ui/form.js";
import { row } from "../ui/table.js";
import { toast } from "../ui/toast.js";
import { browserNotifications } from "./browser-notifications.js";
import { deliveryList } from "./deliveries.js";
import { pagedList } from "./paged-list.js";
import { sharing } from "./sharing.js";

/**
 * @typedef {{name: string, channel: {webhook?: {url: string}, slack?: {}, email?: {address: string}}, on: string[],
 *   for: Record<string, string | undefined>, slow_after?: number, state: "pending" | "active" | "paused", paused_reason?: string,
 *   owned_by: string[], updated_at: string, updated_by: string}} Notification
 */

const HEADS = ["Name", "State", "Goes to", "When", "Executions", ""];
/** The meaning of each event. @type {[string, string][]} */
const EVENTS = [
  ["failed", "Failed"], ["recovered", "Succeeded again after a failure"], ["slow", "Takes long"], ["not_started", "Did not start"],
  ["waiting", "Waits for approval"], ["succeeded", "Succeeded"],
];
const DEFAULT = ["failed", "recovered"];
/** The things that a notification can be about. @type {[string, string][]} */
const TARGETS = [["", "All executions"], ["playbook", "A playbook"], ["schedule", "A schedule"], ["user", "A user"], ["image", "An image"]];

/** @param {string} name */
const path = (name) => `/notifications/${encodeURIComponent(name)}`;

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function notificationsPage(context) {
  const { api, address, may, left } = context;
  const chosen = address.searchParams.get("name");
  const list = pagedList(/** @type {Parameters<typeof pagedList<Notification>>[0]} */ ({
    context, label: "Notifications", path: "/notifications", field: "notifications", heads: HEADS, row: notificationRow, text: ({ name }) => name,
    empty: "There are no notifications yet.",
  }));
  const deliveries = element("section", { class: "list" });
  const outbox = element("p", { class: "note", hidden: true }, "This is a local system: mails, and webhooks to other machines, stay in its ", element("a", { href: "/outbox" }, "outbox"), ".");

  /** @param {Notification} notification */
  function notificationRow({ name, channel, on, for: target, state, paused_reason }) {
    const button = (/** @type {string} */ text, /** @type {() => Promise<void>} */ act) =>
      element("button", { class: "quiet", type: "button", "aria-label": `${text} ${name}`, onclick: (/** @type {Event} */ event) => once(event, act) }, text);
    return row([
      element("strong", {}, name),
      [element("span", { class: "tag", "data-severity": state === "active" ? "info" : "warning" }, state),
        paused_reason ? element("span", { class: "outcome" }, paused_reason) : state === "pending" ? element("span", { class: "outcome" }, "The recipient has not confirmed the address") : false],
      goesTo(channel),
      on.map((event) => EVENTS.find(([value]) => value === event)?.[1] ?? event).join(", "),
      Object.entries(target).map(([kind, value]) => `${kind} ${value}`).join(", ") || "all",
      element("span", { class: "buttons" },
        element("a", { class: "button quiet", "aria-label": `Deliveries of ${name}`, href: `/notifications?name=${encodeURIComponent(name)}` }, "Deliveries"),
        button("Test", () => test(name)),
        state === "paused" ? button("Resume", () => setState(name, "active")) : button("Pause", () => setState(name, "paused")),
        channel.webhook && button("Rotate", () => rotate(name)),
        button("Delete", () => remove(name))),
    ]);
  }

  /** Runs what a button does, and says why it fails. @param {Event} event @param {() => Promise<void>} act */
  async function once({ currentTarget }, act) {
    const button = /** @type {HTMLButtonElement} */ (currentTarget);
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      if (!left.aborted) toast(describe(error), "problem");
    } finally {
      button.disabled = false;
    }
  }

  /** Sends a test, and waits for what the receiver answers. @param {string} name */
  async function test(name) {
    const { id } = await api.post(`${path(name)}/test`, undefined);
    for (let look = 0; look < 50; look++) {
      const { deliveries } = await api.get(`${path(name)}/deliveries?limit=20`, left);
      const own = /** @type {import("./deliveries.js").Delivery[]} */ (deliveries).find((one) => one.id === id);
      if (own && ["delivered", "failed", "skipped"].includes(own.state)) {
        const said = [own.status_code, own.answer].filter(Boolean).join(" ");
        if (own.state === "delivered") toast(`The test of ${name} is delivered: ${said}`);
        else toast(`The test of ${name} is not delivered: ${said}`, "problem");
        if (name === chosen) await shown?.load();
        return;
      }
      await pause(300);
    }
    toast(`The test of ${name} is still on its way. Its deliveries will say what came of it.`);
  }

  /** @param {string} name @param {string} state */
  async function setState(name, state) {
    await api.put(path(name), { state });
    await list.load();
  }

  const secret = element("div", { role: "status" });
  /** @param {string} name @param {string} key */
  function showKey(name, key) {
    fill(secret,
      element("p", {}, `This is the signing key of ${name}. Copy it now: it is not shown again.`),
      element("p", {}, element("output", { class: "key", "aria-label": "Signing key" }, key)),
      element("div", { class: "buttons" }, copyButton("Copy the key", () => key, "Signing key"), element("button", { class: "quiet", type: "button", onclick: () => fill(secret) }, "Hide it")));
    secret.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} name */
  async function rotate(name) {
    const sure = await confirm({ title: `Give ${name} a new signing key?`, text: "For a day, its webhooks have a signature by each key, so that the receiver can change over.", action: "Rotate" });
    if (sure) showKey(name, (await api.post(`${path(name)}/rotate`, undefined)).signing_secret);
  }

  /** @param {string} name */
  async function remove(name) {
    const sure = await confirm({ title: `Delete ${name}?`, text: "Nobody is told by it any more.", action: "Delete" });
    if (!sure) return;
    await api.delete(path(name));
    toast(`${name} is deleted`);
    await list.load();
  }

  const owners = element("div", {});
  /** Shows who owns the chosen notification, and lets owners and admins change it. */
  async function loadOwners() {
    if (!chosen) return;
    const { notification } = /** @type {{notification: Notification}} */ (await api.get(path(chosen), left));
    const shared = sharing(context, { kind: "notifications", path: path(chosen), thing: notification, changed: loadOwners });
    fill(owners, element("p", { class: "note" }, `Owned by ${notification.owned_by.join(", ")}. It tells of what its owners may see.`), shared.button, shared.form);
  }

  const shown = chosen ? deliveryList(context, chosen) : undefined;
  if (shown) fill(deliveries, element("h2", {}, `Deliveries of ${chosen}`), owners, shown.element);
  // Only a local system has an outbox.
  fetch("/outbox", { method: "HEAD", signal: left }).then((answer) => (outbox.hidden = !answer.ok), () => {});
  return {
    title: "Notifications",
    body: element("div", {}, element("h1", {}, "Notifications"),
      element("p", { class: "note" }, "Who is told of what becomes of executions. Deliveries are kept for 30 days."),
      outbox, deliveries,
      may("notifications:create") && creation(context, async (name, key) => {
        if (key) showKey(name, key);
        else toast(`${name} is created`);
        await list.load();
      }),
      secret, list.element, browserNotifications()),
    shown: () => (list.shown(), shown?.load(), loadOwners().catch(() => {})),
  };
}

/** @param {Notification["channel"]} channel */
function goesTo({ webhook, email }) {
  if (webhook) return element("code", {}, ...breakable(webhook.url));
  return email ? email.address : "Slack";
}

/** @param {import("../main.js").Context} context @param {(name: string, key: string | undefined) => Promise<void>} done */
function creation({ api }, done) {
  const name = field("Name", input({ placeholder: "on-call", maxlength: 64 }));
  const kind = field("Goes to", select([["webhook", "A webhook"], ["slack", "Slack"], ["email", "E-mail"]], "webhook"));
  const to = field("URL", input({ placeholder: "https://example.com/hook", type: "url" }), "Gets a signed POST.");
  const boxes = EVENTS.map(([value, text]) => ({ box: input({ type: "checkbox", value, checked: DEFAULT.includes(value) }), text }));
  const on = field("When", element("div", { class: "choices" }, ...boxes.map(({ box, text }) => element("label", { class: "check" }, box, text))));
  const about = field("Of", select(TARGETS, ""));
  const target = field("Name of it", input({}));
  const slow = field("Takes long after", input({ placeholder: "10m", class: "short" }), "Empty: after twice the usual time.");
  target.element.hidden = true;
  const label = /** @type {HTMLElement} */ (to.element.querySelector("label"));
  const hint = /** @type {HTMLElement} */ (to.element.querySelector(".hint"));
  kind.control.addEventListener("change", () => {
    const isMail = kind.control.value === "email";
    label.textContent = isMail ? "Address" : "URL";
    hint.textContent = isMail ? "The recipient is asked to confirm it." : kind.control.value === "slack" ? "Of an incoming webhook. It is kept like a secret, and not shown again." : "Gets a signed POST.";
    to.control.type = isMail ? "email" : "url";
    to.control.placeholder = isMail ? "on-call@example.com" : kind.control.value === "slack" ? "https://hooks.slack.com/services/…" : "https://example.com/hook";
  });
  const slowBox = /** @type {HTMLInputElement} */ (boxes.find(({ box }) => box.value === "slow")?.box);
  const showSlow = () => (slow.element.hidden = !slowBox.checked);
  slowBox.addEventListener("change", showSlow);
  showSlow();
  about.control.addEventListener("change", () => (target.element.hidden = about.control.value === ""));
  const made = form({
    body: [
      element("div", { class: "columns" }, name.element, kind.element),
      to.element,
      on.element,
      element("div", { class: "columns" }, about.element, target.element, slow.element),
    ],
    fields: { name, channel: to, on, for: target, slow_after: slow },
    action: "Create",
    send: async () => {
      if (name.control.value.trim() === "") return name.say("Enter a name.");
      if (to.control.value.trim() === "") return to.say(kind.control.value === "email" ? "Enter the address." : "Enter the URL.");
      const after = slow.control.value.trim() === "" ? undefined : seconds(slow.control.value);
      if (slowBox.checked && slow.control.value.trim() !== "" && after === undefined) return slow.say("This is not a duration. Write 600, 10m or 1h30m.");
      const checked = boxes.map(({ box }) => box).filter((box) => box.checked).map((box) => box.value);
      if (checked.length === 0) return on.say("Choose at least one.");
      const value = to.control.value.trim();
      const { notification, signing_secret: key } = await api.post("/notifications", {
        name: name.control.value.trim(),
        channel: { [kind.control.value]: kind.control.value === "email" ? { address: value } : { url: value } },
        on: checked,
        ...(about.control.value !== "" && { for: { [about.control.value]: target.control.value.trim() } }),
        ...(slowBox.checked && after && { slow_after: after }),
      });
      made.reset();
      kind.control.dispatchEvent(new Event("change"));
      about.control.dispatchEvent(new Event("change"));
      showSlow();
      await done(notification.name, key);
    },
  });
  return element("section", { class: "narrow" }, element("h2", {}, "Create a notification"), made);
}
