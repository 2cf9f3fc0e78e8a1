/** Questions that are asked before something cannot be undone. */

import { element } from "./dom.js";

/**
 * @param {{title: string, text: string, action: string}} question
 * @returns {Promise<boolean>} whether the person wants it
 */
export function confirm({ title, text, action }) {
  return new Promise((resolve) => {
    const dialog = element(
      "dialog",
      { "aria-labelledby": "question", onclose: () => (resolve(dialog.returnValue === "yes"), dialog.remove()) },
      element("h2", { id: "question" }, title),
      element("p", {}, text),
      element("form", { method: "dialog", class: "buttons" },
        element("button", { value: "no" }, "Cancel"),
        element("button", { value: "yes", class: "danger" }, action)),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
