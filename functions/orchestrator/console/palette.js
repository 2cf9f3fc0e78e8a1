/** The palette of commands, which Ctrl+K opens, and the list of keys, which `?` opens. */

import { element, fill } from "./ui/dom.js";
import { isTyping } from "./ui/table.js";
import { setTheme } from "./theme.js";

/** @typedef {{name: string, hint?: string, act: () => void}} Command */

/** Executions that are suggested for a text. */
const SUGGESTED = 5;
/** Time after the last key before the server is asked, in milliseconds. */
const TYPING = 200;
const ID = /^[0-9a-f]{8,32}$/;

const KEYS = [
  ["Ctrl+K or ⌘K", "Commands and places"], ["?", "These keys"], ["/", "Filter the list of executions"], ["↓ ↑, Enter", "Go along the list, open one"],
  ["Ctrl+F or ⌘F", "Find in a log"], ["Enter, Shift+Enter", "The next, the previous match"], ["Home, End", "The beginning, the end of a log"],
  ["Ctrl+Enter", "Run the command of the form"], ["Escape", "Close, or clear the search"],
];

/** @param {string} title @param {...import("./ui/dom.js").Child} children */
function open(title, ...children) {
  const dialog = element("dialog", { class: "palette", "aria-label": title, onclose: () => dialog.remove() }, ...children);
  // A press beside the dialog closes it.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

export function showKeys() {
  open("Keys",
    element("h2", {}, "Keys"),
    element("dl", { class: "keys" }, ...KEYS.flatMap(([keys, what]) => [element("dt", {}, element("kbd", {}, keys ?? "")), element("dd", {}, what)])),
    element("form", { method: "dialog", class: "buttons" }, element("button", {}, "Close")));
}

/**
 * @param {object} parts
 * @param {{path: string, name: string}[]} parts.places @param {import("./api.js").Api} parts.api @param {(permission: string) => boolean} parts.may
 * @param {(path: string) => void} parts.go @param {() => void} parts.signOut
 */
export function showPalette({ places, api, may, go, signOut }) {
  const list = element("ul", { role: "listbox", id: "commands", "aria-label": "Commands" });
  const field = element("input", {
    type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "commands", "aria-label": "Command or text", autocomplete: "off", spellcheck: "false",
    placeholder: "Go to, or find an execution",
  });
  const dialog = open("Commands", field, list);
  /** @type {Command[]} */
  let shown = [];
  let at = 0;
  /** @type {Command[]} */
  let found = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

  /** @type {Command[]} */
  const fixed = [
    ...places.map(({ path, name }) => ({ name: `Go to ${name}`, act: () => go(path) })),
    { name: "Failed executions", act: () => go("/?status=FAILED") },
    { name: "My executions", act: () => go("/?mine=1") },
    { name: "What waits in line", act: () => go("/?status=QUEUED") },
    { name: "What runs now", act: () => go("/?status=RUNNING") },
    { name: "Colours: light", act: () => setTheme("light") },
    { name: "Colours: dark", act: () => setTheme("dark") },
    { name: "Colours: as the device", act: () => setTheme("auto") },
    { name: "Show the keys", hint: "?", act: showKeys },
    { name: "Sign out", act: signOut },
  ];

  function draw() {
    const text = field.value.trim();
    const words = text.toLowerCase().split(/\s+/);
    shown = fixed.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
    if (ID.test(text)) shown.unshift({ name: `Open the execution ${text}`, act: () => go(`/logs?execution_id=${text}`) });
    if (text !== "") shown.push(...found, { name: `Find executions with “${text}”`, act: () => go(`/?${new URLSearchParams({ q: text })}`) });
    at = Math.min(at, shown.length - 1);
    fill(list, ...shown.map(({ name, hint, act }, number) => element("li", {
      role: "option", id: `command-${number}`, "aria-selected": String(number === at), onclick: () => (dialog.close(), act()),
    }, element("span", {}, name), hint && element("span", { class: "hint" }, hint))));
    field.setAttribute("aria-activedescendant", `command-${at}`);
    list.children[at]?.scrollIntoView({ block: "nearest" });
  }

  async function find() {
    const text = field.value.trim();
    if (text === "" || !may("executions:list")) return;
    const { data } = await api.page(`/executions?${new URLSearchParams({ limit: String(SUGGESTED), q: text })}`).catch(() => ({ data: [] }));
    if (text !== field.value.trim()) return;
    found = data.map((/** @type {import("./api.js").Execution} */ { execution_id, command, status }) => ({
      name: command.trim().split("\n")[0] ?? "", hint: status.toLowerCase(), act: () => go(`/logs?execution_id=${execution_id}`),
    }));
    draw();
  }

  field.addEventListener("input", () => {
    [found, at] = [[], 0];
    draw();
    clearTimeout(typing);
    typing = setTimeout(find, TYPING);
  });
  field.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      at = (at + by + shown.length) % shown.length;
      draw();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const one = shown[at];
      if (!one) return;
      dialog.close();
      one.act();
    }
  });
  draw();
  field.focus();
}

/** Opens both by their keys. @param {() => void} palette */
export function listenForKeys(palette) {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      palette();
    } else if (event.key === "?" && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(event)) {
      event.preventDefault();
      showKeys();
    }
  });
}
