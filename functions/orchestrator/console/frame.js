/** Makes the frame around the pages: the places of the console, the person who is signed in, and in narrow windows a menu of both. */

import { themeChoice } from "./theme.js";
import { element, icon } from "./ui/dom.js";

/** @typedef {{path: string, name: string, icon: string, group: string}} Place */

/**
 * @param {object} parts
 * @param {Place[]} parts.places in the order of the groups
 * @param {import("./api.js").Me} parts.me
 * @param {HTMLElement} parts.connection @param {HTMLElement} parts.content @param {() => void} parts.signOut @param {() => void} parts.palette
 */
export function frame({ places, me, connection, content, signOut, palette }) {
  const groups = [...new Set(places.map(({ group }) => group))];
  const nav = element("nav", { "aria-label": "Console" },
    ...groups.map((group) => element("div", { class: "places" },
      groups.length > 1 && element("span", { class: "group", "aria-hidden": true }, group),
      ...places.filter((one) => one.group === group).map(link))));
  const menu = element("div", { class: "menu", id: "menu" }, nav,
    element("div", { class: "person" },
      element("span", { class: "email", title: me.email }, me.email),
      element("span", { class: "role" }, me.role),
      themeChoice(),
      element("button", { class: "quiet keys-button", type: "button", title: "Commands (Ctrl+K)", onclick: palette }, icon("search"), "Commands")));
  const button = element("button", { class: "menu-button quiet", type: "button", "aria-expanded": "false", "aria-controls": "menu", onclick: () => setOpen(button.getAttribute("aria-expanded") !== "true") },
    icon("menu"), element("span", { class: "here" }, "Menu"));
  /** @param {boolean} isOpen */
  function setOpen(isOpen) {
    button.setAttribute("aria-expanded", String(isOpen));
    menu.classList.toggle("open", isOpen);
  }
  const bar = element("header", { class: "bar" },
    element("a", { class: "brand", href: "/" }, element("span", { class: "logo", "aria-hidden": true }, "›_"), "runvoy"),
    button, menu,
    element("button", { class: "quiet sign-out", type: "button", onclick: signOut }, "Sign out"));
  bar.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.classList.contains("open")) return;
    setOpen(false);
    button.focus();
  });
  // A press outside of the menu closes it.
  bar.addEventListener("focusout", ({ relatedTarget }) => relatedTarget instanceof Node && !bar.contains(relatedTarget) && setOpen(false));
  content.addEventListener("pointerdown", () => setOpen(false));
  return {
    elements: [
      element("a", { class: "skip", href: "#content" }, "Skip to the content"),
      element("div", { class: "frame" }, bar, element("div", { class: "page" }, connection, content)),
    ],
    /** Marks the place that is shown, and closes the menu. @param {string} path */
    show(path) {
      setOpen(false);
      for (const one of nav.querySelectorAll("a")) {
        if (one.dataset.path === path) one.setAttribute("aria-current", "page");
        else one.removeAttribute("aria-current");
      }
    },
  };
}

/** @param {Place} place */
const link = (place) => element("a", { href: place.path, "data-path": place.path }, icon(place.icon), element("span", {}, place.name));
