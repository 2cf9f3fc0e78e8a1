/** Shows one user: what they may do, their keys and links, what the audit says of them, and what an admin can change. */

import { describe } from "../api.js";
import { local } from "../format.js";
import { copyButton } from "../ui/copy.js";
import { confirm } from "../ui/dialog.js";
import { element, fill } from "../ui/dom.js";
import { select } from "../ui/form.js";
import { toast } from "../ui/toast.js";
import { auditOf } from "./audit-entries.js";
import { keyList } from "./keys.js";

/** @typedef {import("../api.js").User} User */

/** Each role in few words, which a narrow page shows whole. @type {Record<import("../api-types.js").Role, string>} */
const MAY = {
  viewer: "sees the list of executions",
  runner: "runs shared playbooks",
  developer: "runs commands",
  operator: "also those of others",
  admin: "everything",
};
export const ROLES = Object.entries(MAY).map(([role, may]) => /** @type {[string, string]} */ ([role, `${role}: ${may}`]));

/** A word for where a user is in their life. @param {User} user */
export const stateOf = ({ revoked, claimed }) => (revoked ? "revoked" : claimed ? "" : "has no key yet");

/** @param {import("../main.js").Context} context @param {string} email @returns {import("../main.js").Page} */
export function userPage(context, email) {
  const { api, me, may, left, load: loaded } = context;
  const body = element("div", { class: "life" });
  const result = element("div", { role: "status" });
  const keys = keyList(context, email);
  const audit = auditOf(context, `user:${email}`);
  const isMe = email === me.email;
  const path = `/users/${encodeURIComponent(email)}`;

  async function read() {
    const found = /** @type {User[]} */ ((await api.get(`/users?${new URLSearchParams({ q: email })}`, left)).users);
    const user = found.find((one) => one.email === email);
    if (user) draw(user);
    else fill(body, element("p", {}, `There is no user ${email}. `, element("a", { href: "/users" }, "All users")));
  }

  /** @param {User} user */
  function draw(user) {
    const state = stateOf(user);
    const role = select(ROLES, user.role, { "aria-label": "Role" });
    role.addEventListener("change", () => change({ role: role.value }, `${email} is ${role.value} now`, () => (role.value = user.role)));
    const facts = [
      ["Role", user.role], ["State", state || "has a key"], ["Created", local(user.created_at)], ["Last used", user.last_used ? local(user.last_used) : "never"],
    ];
    fill(body,
      element("dl", { class: "facts" }, ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
      element("div", { class: "buttons" },
        element("a", { class: "button", href: `/?${new URLSearchParams({ user: email })}` }, "Executions"),
        may("audit:read") && element("a", { class: "button", href: `/audit?${new URLSearchParams({ actor: email })}` }, "What they did"),
        may("users:update") && element("label", { class: "check" }, "Role", role),
        may("users:claim") && !user.revoked && element("button", { type: "button", onclick: renew }, "New link"),
        may("users:revoke") && !user.revoked && element("button", { class: "danger", type: "button", onclick: revoke }, "Revoke"),
        may("users:update") && user.revoked && element("button", { type: "button", onclick: () => change({ revoked: false }, `${email} may come in again`) }, "Let in again")),
      result);
  }

  /** @param {Record<string, unknown>} body @param {string} done @param {() => void} [undo] */
  async function change(body, done, undo) {
    try {
      if (isMe && body.role !== undefined && !(await confirm({ title: "Change your own role?", text: "You may not be able to change it back.", action: "Change" }))) return undo?.();
      await api.put(path, body);
      toast(done);
      await again();
    } catch (error) {
      undo?.();
      toast(describe(error), "problem");
    }
  }

  async function revoke() {
    const text = isMe ? "This is you: your API keys stop working at once, and you are signed out." : "The API keys stop working at once. Executions that run go on.";
    if (!(await confirm({ title: `Revoke ${email}?`, text, action: "Revoke" }))) return;
    try {
      await api.post("/users/revoke", { email });
      toast(`${email} is revoked`);
      await again();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  async function renew() {
    try {
      const { claim_url: link } = await api.post(`${path}/claim`, {});
      fill(result, ...claimLink(email, link));
      await audit.load();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  async function again() {
    await Promise.all([read(), keys.load(), audit.load()]);
  }

  return {
    title: email,
    body: element("div", {},
      element("p", { class: "hint" }, element("a", { href: "/users" }, "Users")),
      element("h1", {}, email),
      body,
      may("keys:list") && element("section", {}, element("h2", {}, "Keys"), keys.element),
      audit.element),
    shown: () => {
      loaded(read, (text) => fill(body, element("p", { class: "note" }, text)));
      if (may("keys:list")) keys.load();
      audit.load();
    },
  };
}

/** Shows the link by which a user gets a key. @param {string} email @param {string} link */
export const claimLink = (email, link) => [
  element("p", {}, `Give this link to ${email}. It gives them an API key, once, within 15 minutes.`),
  element("p", {}, element("output", { class: "key", "aria-label": "Claim link" }, link)),
  copyButton("Copy the link", () => link, "Claim link"),
];
