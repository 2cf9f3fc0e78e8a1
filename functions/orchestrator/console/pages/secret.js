/** Shows one secret: the variable in which it reaches commands, who may use it, who used it, and what the audit says of it. */

import { describe } from "../api.js";
import { ago, local } from "../format.js";
import { copyButton } from "../ui/copy.js";
import { element, fill } from "../ui/dom.js";
import { toast } from "../ui/toast.js";
import { auditEntries, auditOf } from "./audit-entries.js";
import { sharedWords, sharing } from "./sharing.js";

/** @typedef {import("../api.js").Secret} Secret */

/** The time that a value stays on the page, in milliseconds. */
const SHOWN = 30_000;

/** @param {import("../main.js").Context} context @param {string} name @returns {import("../main.js").Page} */
export function secretPage(context, name) {
  const { api, me, may, left, load: loaded } = context;
  const body = element("div", { class: "life" });
  const audit = auditOf(context, `secret:${name}`);
  const uses = may("audit:read") ? auditEntries(context, `Uses of ${name}`) : undefined;

  async function read() {
    const found = /** @type {Secret[]} */ ((await api.get(`/secrets?${new URLSearchParams({ q: name })}`, left)).secrets);
    const secret = found.find((one) => one.name === name);
    if (!secret) return fill(body, element("p", {}, `There is no secret ${name}. `, element("a", { href: "/secrets" }, "All secrets")));
    const { key_name, description, created_by, created_at, updated_by, updated_at, owned_by, shared_with } = secret;
    /** @type {[string, import("../ui/dom.js").Child][]} */
    const facts = [
      ["Variable", element("code", {}, key_name)], ["Description", description ?? ""], ["Owners", owned_by.join(", ")],
      ["Used by", sharedWords(shared_with)],
      ["Created", `${ago(created_at)} by ${created_by}`], ["Changed", `${local(updated_at)} by ${updated_by}`],
      ["Value", owned_by.includes(me.email) || may("secrets:read") ? secretValue(context, name) : "hidden"],
    ];
    const shared = sharing(context, { kind: "secrets", path: `/secrets/${encodeURIComponent(name)}`, thing: secret, changed: () => Promise.all([read(), audit.load()]) });
    fill(body, shared.button && element("div", { class: "buttons" }, shared.button), shared.form, element("dl", { class: "facts" }, ...facts.filter(([, value]) => value !== "").map(([head, value]) => element("div", {}, element("dt", {}, head), element("dd", {}, value)))));
  }

  return {
    title: name,
    body: element("div", {},
      element("p", { class: "hint" }, element("a", { href: "/secrets" }, "Secrets")),
      element("h1", {}, name),
      body,
      uses && element("section", {}, element("h2", {}, "Who used it"), uses.element),
      audit.element),
    shown: () => {
      loaded(read, (text) => fill(body, element("p", { class: "note" }, text)));
      uses?.show({ resource: `secret:${name}`, action: "secrets:use" });
      audit.load();
    },
  };
}

/** A button that shows the value of a secret, for a while. @param {import("../main.js").Context} context @param {string} name */
export function secretValue({ api, left }, name) {
  const cell = element("span", { class: "secret-value" });
  const hide = () => fill(cell, element("button", { class: "quiet", type: "button", "aria-label": `Show the value of ${name}`, onclick: show }, "Show"));
  const show = async () => {
    try {
      const { secret } = await api.get(`/secrets/${encodeURIComponent(name)}`, left);
      const timer = setTimeout(hide, SHOWN);
      fill(cell,
        element("code", { class: "value" }, secret.value),
        copyButton("Copy", () => secret.value, "Value"),
        element("button", { class: "quiet", type: "button", onclick: () => (clearTimeout(timer), hide()) }, "Hide"));
    } catch (error) {
      toast(describe(error), "problem");
    }
  };
  hide();
  return cell;
}
