/** Shows the users, and creates and revokes them. */

import { describe } from "../api.js";
import { ago, local } from "../format.js";
import { confirm } from "../ui/dialog.js";
import { element, fill } from "../ui/dom.js";
import { field, form, input, select } from "../ui/form.js";
import { row } from "../ui/table.js";
import { toast } from "../ui/toast.js";
import { pagedList } from "./paged-list.js";
import { claimLink, ROLES, stateOf, userPage } from "./user.js";

/** @typedef {import("../api.js").User} User */

const HEADS = ["Email", "Role", "Created", "Last used", ""];
/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function usersPage(context) {
  const email = context.address.searchParams.get("email");
  return email ? userPage(context, email) : listPage(context);
}

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
function listPage(context) {
  const { api, me, may } = context;
  const list = pagedList(/** @type {Parameters<typeof pagedList<User>>[0]} */ ({
    context, label: "Users", path: "/users", field: "users", heads: HEADS, row: userRow, text: ({ email }) => email, empty: "There are no users.",
  }));
  const load = () => list.load();

  /** @param {User} user */
  function userRow(user) {
    const { email, role, created_at, last_used, revoked } = user;
    const mayRevoke = may("users:revoke") && !revoked && email !== me.email;
    const state = stateOf(user);
    return row([
      [element("a", { href: `/users?${new URLSearchParams({ email })}` }, element("strong", {}, email)), state && element("span", { class: "tag" }, state)],
      role,
      element("time", { datetime: created_at, title: local(created_at) }, ago(created_at)),
      last_used ? element("time", { datetime: last_used, title: local(last_used) }, ago(last_used)) : "never",
      mayRevoke && element("button", { class: "quiet", type: "button", "aria-label": `Revoke ${email}`, onclick: () => revoke(email) }, "Revoke"),
    ]);
  }

  /** @param {string} email */
  async function revoke(email) {
    const sure = await confirm({ title: `Revoke ${email}?`, text: "The API key stops working at once. Executions that run go on.", action: "Revoke" });
    if (!sure) return;
    try {
      await api.post("/users/revoke", { email });
      toast(`${email} is revoked`);
      await load();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  return {
    title: "Users",
    body: element("div", {}, element("h1", {}, "Users"), may("users:create") && creation(api, load), list.element),
    shown: list.shown,
  };
}

/** @param {import("../api.js").Api} api @param {() => Promise<void>} load */
function creation(api, load) {
  const email = field("Email", input({ type: "email", placeholder: "dev@example.com" }));
  const role = field("Role", select(ROLES, "developer"));
  const result = element("div", { role: "status" });
  const made = form({
    body: [email.element, role.element],
    fields: { email, role },
    action: "Create",
    send: async () => {
      fill(result);
      const { user, claim_url: link } = await api.post("/users/create", { email: email.control.value.trim(), role: role.control.value });
      fill(result, ...claimLink(user.email, link));
      made.reset();
      await load();
    },
  });
  return element("section", { class: "narrow" },
    element("h2", {}, "Create a user"),
    element("p", { class: "note" }, "For a user who has not claimed a key yet, this makes a new link, and the old one stops working."),
    made, result);
}
