/** Shows an image's name so that its end stays in view, which tells images apart, and not the registry's address. */

import { element } from "./dom.js";

/** @param {string} id an image's id or name */
export function imageName(id) {
  const name = id.replace(/-[0-9a-f]{8}$/, "");
  const at = name.lastIndexOf("/") + 1;
  return element("span", { class: "image-name", title: id },
    at > 0 && element("span", { class: "image-path" }, element("bdi", {}, name.slice(0, at))), element("span", { class: "image-end" }, name.slice(at)));
}
