import { describe } from "../api.js";
import { MAX_OVERRIDES, overridesSize, seconds } from "../format.js";
import { keepRun, keptRun } from "../session.js";
import { element, fill } from "../ui/dom.js";
import { field, form, input } from "../ui/form.js";

/** @typedef {import("../format.js").Run} Run @typedef {import("../api.js").Image} Image @typedef {import("../api.js").Secret} Secret */

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function runPage({ api, address, may, go, left }) {
  const command = field("Command", element("textarea", { id: "command", rows: 6, spellcheck: "false", autocapitalize: "off", placeholder: "echo hello" }),
    "Run by /bin/sh -e: it stops at the first line that fails. Ctrl+Enter runs it.");
  const images = element("datalist", { id: "images" });
  const image = field("Image", input({ list: "images", placeholder: "the default image" }));
  const timeout = field("Timeout", input({ placeholder: "none", class: "short" }), "Seconds, or a duration such as 10m or 1h30m");
  const variables = new Variables(() => measure());
  const env = field("Variables", variables.element);
  const names = element("div", { class: "choices" });
  const secrets = field("Secrets", names, "Each is in the variable that its key name says.");
  const repo = field("Repository", input({ type: "url", placeholder: "https://github.com/you/repository" }));
  const ref = field("Branch, tag or commit", input({ placeholder: "the repository's own" }));
  const path = field("Directory", input({ placeholder: "." }));
  const git = element("details", { class: "group" }, element("summary", {}, "Git repository"), repo.element, element("div", { class: "columns" }, ref.element, path.element));
  const meter = element("meter", { min: 0, max: MAX_OVERRIDES, high: MAX_OVERRIDES * 0.9, "aria-label": "Characters used" });
  const used = element("span", { class: "hint" });
  const notice = element("p", { class: "note", hidden: true });
  /** Secrets that are to be chosen once they are listed. @type {string[]} */
  let chosen = [];

  /** @returns {Run} */
  function read() {
    const given = (/** @type {string} */ text) => text.trim() || undefined;
    const env = variables.read();
    const checked = [...names.querySelectorAll("input:checked")].map((box) => /** @type {HTMLInputElement} */ (box).value);
    return {
      command: command.control.value,
      image: given(image.control.value),
      env: Object.keys(env).length > 0 ? env : undefined,
      secrets: checked.length > 0 ? checked : undefined,
      timeout: timeout.control.value.trim() === "" ? undefined : seconds(timeout.control.value.trim()),
      git_repo: given(repo.control.value),
      git_ref: given(ref.control.value),
      git_path: given(path.control.value),
    };
  }

  /** @param {Partial<Run>} run */
  function write(run) {
    command.control.value = run.command ?? "";
    image.control.value = run.image ?? "";
    timeout.control.value = run.timeout ? `${run.timeout}s` : "";
    variables.write(run.env ?? {});
    chosen = run.secrets ?? [];
    for (const box of names.querySelectorAll("input")) box.checked = chosen.includes(box.value);
    [repo.control.value, ref.control.value, path.control.value] = [run.git_repo ?? "", run.git_ref ?? "", run.git_path ?? ""];
    git.open = Boolean(run.git_repo);
    measure();
  }

  function measure() {
    const size = overridesSize(read());
    meter.value = Math.min(size, MAX_OVERRIDES);
    used.textContent = `${size.toLocaleString("en")} of ${MAX_OVERRIDES.toLocaleString("en")} characters`;
    used.classList.toggle("problem", size > MAX_OVERRIDES);
  }

  async function send() {
    const run = read();
    if (run.command.trim() === "") return refuse(command, "Enter a command.");
    if (timeout.control.value.trim() !== "" && run.timeout === undefined) return refuse(timeout, "This is not a duration. Write 600, 10m or 1h30m.");
    const started = await api.run(/** @type {Record<string, unknown>} */ (run));
    keepRun(started.execution_id, /** @type {Record<string, unknown>} */ (run));
    go(`/logs?execution_id=${encodeURIComponent(started.execution_id)}`);
  }

  /** @param {import("../ui/form.js").Field} field @param {string} text */
  function refuse(field, text) {
    field.say(text);
    field.control.focus();
  }

  async function fillImages() {
    const list = /** @type {Image[]} */ ((await api.get("/images", left)).images);
    fill(images, ...list.map(({ image, image_id, is_default }) => element("option", { value: image_id }, image + (is_default ? " (default)" : ""))));
    const usual = list.find((one) => one.is_default);
    if (usual) image.control.placeholder = `${usual.image} (default)`;
    if (list.length === 0) image.say("No image is registered yet. Register one under Images first.");
  }

  async function fillSecrets() {
    const list = /** @type {Secret[]} */ ((await api.get("/secrets", left)).secrets);
    secrets.element.hidden = list.length === 0;
    fill(names, ...list.map(({ name, key_name }) =>
      element("label", { class: "check" }, input({ type: "checkbox", value: name, checked: chosen.includes(name) }), name, element("span", { class: "hint" }, key_name))));
  }

  /** Fills the form with an execution that ran before. @param {string} id */
  async function again(id) {
    const kept = keptRun(id);
    if (kept) return write(kept);
    const { command, image_id } = await api.get(`/executions/${encodeURIComponent(id)}`, left);
    write({ command, image: image_id });
    notice.textContent = "Command and image are filled in. Variables, secrets, timeout and git settings of this execution are not recorded, so add them if it had any.";
    notice.hidden = false;
  }

  const made = form({
    body: [
      notice, command.element, element("div", { class: "meter" }, meter, used), image.element, images, env.element, secrets.element, timeout.element, git,
    ],
    fields: [
      [/\b(variable|env names?|environment)\b/i, env], [/secret/i, secrets], [/timeout/i, timeout], [/git_repo|repository/i, repo],
      [/git_ref/i, ref], [/git_path/i, path], [/image/i, image], [/command/i, command],
    ],
    action: "Run",
    send,
  });
  made.addEventListener("input", measure);
  made.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) made.requestSubmit();
  });
  secrets.element.hidden = true;

  return {
    title: "Run",
    body: element("div", { class: "narrow" }, element("h1", {}, "Run a command"), made),
    shown: () => {
      const report = (/** @type {unknown} */ error) => {
        if (left.aborted) return;
        notice.textContent = describe(error);
        notice.hidden = false;
      };
      if (may("images:list")) fillImages().catch(report);
      if (may("secrets:list")) fillSecrets().catch(report);
      const id = address.searchParams.get("again");
      if (id) again(id).catch(report);
      measure();
      command.control.focus();
    },
  };
}

/** Rows of a name and a value. */
class Variables {
  #rows = element("div", { class: "variables" });

  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    const add = element("button", { type: "button", class: "quiet", onclick: () => this.#add("", "").focus() }, "Add a variable");
    this.element = element("div", {}, this.#rows, add);
  }

  /** @param {string} name @param {string} value */
  #add(name, value) {
    const field = input({ value: name, placeholder: "NAME", "aria-label": "Name of the variable" });
    const row = element("div", { class: "variable" },
      field, element("span", { "aria-hidden": true }, "="),
      element("textarea", { rows: 1, placeholder: "value", "aria-label": "Value of the variable", spellcheck: "false" }, value),
      element("button", { type: "button", class: "quiet", "aria-label": "Remove the variable", onclick: () => (row.remove(), this.changed()) }, "×"));
    this.#rows.append(row);
    return field;
  }

  /** @returns {Record<string, string>} */
  read() {
    const rows = [...this.#rows.children].map((row) => [row.querySelector("input")?.value.trim() ?? "", row.querySelector("textarea")?.value ?? ""]);
    return Object.fromEntries(rows.filter(([name]) => name !== ""));
  }

  /** @param {Record<string, string>} env */
  write(env) {
    this.#rows.replaceChildren();
    for (const [name, value] of Object.entries(env)) this.#add(name, value);
  }
}
