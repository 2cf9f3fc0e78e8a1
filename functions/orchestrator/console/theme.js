/** Shows the console light or dark: as the device says, or as the person has chosen for this device. */

import { choice } from "./session.js";
import { element } from "./ui/dom.js";

const THEMES = /** @type {const} */ ([["auto", "As the device"], ["light", "Light"], ["dark", "Dark"]]);
const chosen = choice("theme", "auto");

/** Colours are pairs, of which the style sheet takes one by this. */
export function applyTheme() {
  const theme = chosen.get();
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

/** @param {string} theme */
export function setTheme(theme) {
  chosen.set(theme);
  applyTheme();
  for (const one of document.querySelectorAll("select.theme")) /** @type {HTMLSelectElement} */ (one).value = theme;
}

export const isDark = () =>
  (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

/** The choice of the colours. */
export function themeChoice() {
  const made = element("select", { class: "theme", "aria-label": "Colours", title: "Colours", onchange: () => setTheme(made.value) },
    ...THEMES.map(([value, text]) => element("option", { value, selected: value === chosen.get() }, text)));
  return made;
}
