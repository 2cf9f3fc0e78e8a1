/** Edits the file of a playbook, which the server checks while one types, and publishes it as the next version. */

import { ApiError, describe } from "../api.js";
import { fileOf } from "../playbook-file.js";
import { element, fill } from "../ui/dom.js";
import { field, form, input } from "../ui/form.js";
import { toast } from "../ui/toast.js";
import { whatRuns } from "./playbook.js";

/** Time after the last key before the server checks the text, in milliseconds. */
const TYPING = 400;

const EXAMPLE = `description: Restarts a service
parameters:
  - name: SERVICE
    type: choice
    allowed: [web, worker]
commands:
  - echo "restarting $SERVICE"
`;

/** @param {import("../main.js").Context} context @param {string} name empty for a new one @returns {import("../main.js").Page} */
export function editorPage({ api, go, left, load: loaded }, name) {
  const title = element("h1", {}, name ? `Edit ${name}` : "New playbook");
  const called = field("Name", input({ value: name, disabled: name !== "", placeholder: "restart-service" }), "Letters, digits, dots, hyphens and underscores.");
  const file = field("File", element("textarea", { rows: 22, spellcheck: "false", autocapitalize: "off", class: "code" }), "YAML, as in a file of .runvoy/. It is checked while you type.");
  const preview = element("section", {}, element("h2", {}, "As it would be published"));
  const shown = element("div", {});
  /** The version that is edited; 0 for a new playbook. */
  let version = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  let generation = 0;

  async function check() {
    const mine = ++generation;
    try {
      const { playbook } = await api.post("/playbooks", { file: file.control.value });
      if (mine !== generation || left.aborted) return;
      file.say("");
      fill(shown, whatRuns({ ...playbook, published_by: "you" }), parametersOf(playbook));
    } catch (error) {
      if (mine !== generation || left.aborted) return;
      file.say(problem(error));
      fill(shown, element("p", { class: "note" }, "Not before it is right."));
    }
  }

  const made = form({
    body: [called.element, file.element],
    fields: { name: called, file },
    action: "Publish",
    beside: [element("a", { class: "button", href: name ? `/playbooks?name=${encodeURIComponent(name)}` : "/playbooks" }, "Cancel")],
    send: async () => {
      const { playbook } = await checked();
      const path = `/playbooks/${encodeURIComponent(called.control.value.trim())}`;
      const { data } = await api.send("PUT", path, playbook, { headers: { "If-Match": String(version) } });
      const schedules = (data.schedules ?? []).map((/** @type {{name: string, change: string}} */ { name, change }) => `, schedule ${name} ${change}`);
      toast(`Version ${data.playbook.version} is published${schedules.join("")}`);
      go(`/playbooks?name=${encodeURIComponent(data.playbook.name)}`);
    },
  });

  /** The playbook in the text. What is wrong with it is shown at the text, whichever part it is. */
  async function checked() {
    try {
      return await api.post("/playbooks", { file: file.control.value });
    } catch (error) {
      if (error instanceof ApiError && error.status === 400) throw new ApiError(error.status, { error: problem(error), field: "file" });
      throw error;
    }
  }

  file.control.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(check, TYPING);
  });
  left.addEventListener("abort", () => clearTimeout(typing));

  async function open() {
    file.control.value = EXAMPLE;
    if (name) {
      const { playbook } = await api.get(`/playbooks/${encodeURIComponent(name)}`, left);
      version = playbook.version;
      file.control.value = fileOf(playbook);
    }
    preview.append(shown);
    (name ? file : called).control.focus();
    await check();
  }

  return {
    title: name ? `Edit ${name}` : "New playbook",
    body: element("div", { class: "editor" }, title, element("section", { class: "narrow" }, made), preview),
    shown: () => loaded(open, (text) => fill(shown, element("p", { class: "problem" }, text))),
  };
}

/** @param {unknown} error */
function problem(error) {
  const place = error instanceof ApiError && error.field && error.field !== "file" ? `${error.field}: ` : "";
  return place + describe(error);
}

/** @param {import("../playbook-file.js").Playbook} playbook */
function parametersOf({ parameters = [] }) {
  if (parameters.length === 0) return element("p", { class: "note" }, "It has no parameters.");
  return element("ul", {}, ...parameters.map(({ name, type = "string", default: usual, allowed = [], description }) =>
    element("li", {}, element("code", {}, name), ` ${[type, allowed.length > 0 && `one of ${allowed.join(", ")}`, usual !== undefined && `by default ${usual}`, description].filter(Boolean).join(", ")}`)));
}
