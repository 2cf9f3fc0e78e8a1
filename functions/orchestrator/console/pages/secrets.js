/** Shows the secrets, whose values it reads one by one, and creates, changes and deletes them. */

import { describe } from "../api.js";
import { ago, local } from "../format.js";
import { confirm } from "../ui/dialog.js";
import { element, fill } from "../ui/dom.js";
import { field, form, input } from "../ui/form.js";
import { row } from "../ui/table.js";
import { toast } from "../ui/toast.js";
import { pagedList } from "./paged-list.js";
import { secretPage, secretValue } from "./secret.js";

/** @typedef {import("../api.js").Secret} Secret */

const HEADS = ["Name", "Variable", "Description", "Changed", "Value", ""];
/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function secretsPage(context) {
  const name = context.address.searchParams.get("name");
  return name ? secretPage(context, name) : listPage(context);
}

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
function listPage(context) {
  const { api, me, may } = context;
  const list = pagedList(/** @type {Parameters<typeof pagedList<Secret>>[0]} */ ({
    context, label: "Secrets", path: "/secrets", field: "secrets", heads: HEADS, row: secretRow, text: ({ name }) => name, empty: "There are no secrets yet.",
  }));
  const editor = element("section", { class: "narrow" });
  const path = (/** @type {string} */ name) => `/secrets/${encodeURIComponent(name)}`;

  const load = () => list.load();

  /** @param {Secret} secret */
  function secretRow(secret) {
    const { name, key_name, description, updated_at, updated_by, owned_by } = secret;
    const owns = owned_by.includes(me.email);
    return row([
      element("a", { href: `/secrets?${new URLSearchParams({ name })}` }, element("strong", {}, name)),
      element("code", {}, key_name),
      description ?? "",
      element("time", { datetime: updated_at, title: `${local(updated_at)} by ${updated_by}` }, ago(updated_at)),
      owns || may("secrets:read") ? secretValue(context, name) : "hidden",
      element("span", { class: "buttons" },
        (owns || may("secrets:update")) && element("button", { class: "quiet", type: "button", "aria-label": `Change ${name}`, onclick: () => change(secret) }, "Change"),
        (owns || may("secrets:delete")) && element("button", { class: "quiet", type: "button", "aria-label": `Delete ${name}`, onclick: () => remove(secret) }, "Delete")),
    ]);
  }

  /** @param {Secret} secret */
  async function remove({ name }) {
    const sure = await confirm({ title: `Delete ${name}?`, text: "Its value is deleted too. Runs that name it will be refused.", action: "Delete" });
    if (!sure) return;
    try {
      await api.delete(path(name));
      toast(`${name} is deleted`);
      await load();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  function create() {
    fill(editor, ...(may("secrets:create") ? [element("h2", {}, "Create a secret"), secretForm({ action: "Create", send: async (secret) => {
      await api.post("/secrets", secret);
      toast(`${secret.name} is created`);
      create();
      await load();
    } })] : []));
  }

  /** @param {Secret} secret */
  function change(secret) {
    const cancel = element("button", { type: "button", onclick: create }, "Cancel");
    const made = secretForm({ secret, action: "Change", beside: [cancel], send: async ({ name, ...changes }) => {
      await api.put(path(secret.name), changes);
      toast(`${name} is changed`);
      create();
      await load();
    } });
    fill(editor, element("h2", {}, `Change ${secret.name}`), made);
    made.querySelector("input")?.focus();
    editor.scrollIntoView({ block: "nearest" });
  }

  create();
  return {
    title: "Secrets",
    body: element("div", {}, element("h1", {}, "Secrets"),
      element("p", { class: "note" }, "A run that names a secret gets its value in a variable. Values are kept in SSM Parameter Store and nowhere else."),
      editor, list.element),
    shown: list.shown,
  };
}

/**
 * @param {{secret?: Secret, action: string, send: (secret: {name: string, key_name: string, value?: string, description?: string}) => Promise<void>,
 *   beside?: HTMLElement[]}} parts
 */
export function secretForm({ secret, action, send, beside }) {
  const name = field("Name", input({ value: secret?.name ?? "", placeholder: "database-password", disabled: secret !== undefined }));
  const key = field("Variable", input({ value: secret?.key_name ?? "", placeholder: "DATABASE_PASSWORD" }), "The environment variable in which a command finds the value.");
  const value = field("Value", element("textarea", { rows: 2, spellcheck: "false", autocomplete: "off", class: "masked" }), secret ? "Empty: the value stays as it is." : "At most 4 KB. Lines end in LF; a value with CR LF is kept by runvoy secrets create --value-file.");
  const description = field("Description", input({ value: secret?.description ?? "" }));
  return form({
    body: [!secret && name.element, key.element, value.element, description.element],
    fields: { name, key_name: key, value, description },
    action,
    beside,
    send: async () => {
      if (name.control.value.trim() === "") return name.say("Enter a name.");
      if (!secret && value.control.value === "") return value.say("Enter the value.");
      await send({
        name: name.control.value.trim(), key_name: key.control.value.trim(), value: value.control.value || undefined,
        description: description.control.value || (secret ? "" : undefined),
      });
    },
  });
}
