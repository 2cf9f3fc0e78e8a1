/** Handing texts to the person: the clipboard and files. */

import { element, icon } from "./dom.js";
import { toast } from "./toast.js";

/** Copies a text that may take a moment to be made. Returns whether it is copied. @param {Promise<Blob>} text */
export async function copyBlob(text) {
  try {
    const asText = text.then(async (blob) => new Blob([await blob.text()], { type: "text/plain" }));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": asText })]);
    return true;
  } catch {
    return copyBySelection(await (await text).text());
  }
}

/** Copies a text where the browser has no clipboard for the page, as without https. Returns whether it is copied. @param {string} text */
function copyBySelection(text) {
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const field = element("textarea", { class: "unseen", "aria-hidden": true, tabindex: -1 });
  field.value = text;
  // A dialog that is open makes what is outside of it inert.
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return isCopied;
}

/** @param {string} text @param {string} what is copied, for the message */
export async function copy(text, what) {
  if (await copyBlob(Promise.resolve(new Blob([text])))) toast(`${what} copied`);
  // Browsers refuse it where the person has forbidden it.
  else toast("The browser does not let this page copy; select the text instead.", "problem");
}

/** A button that copies a text. @param {string} label @param {() => string} text @param {string} [what] */
export const copyButton = (label, text, what = label) =>
  element("button", { class: "quiet", type: "button", onclick: () => copy(text(), what) }, icon("copy"), label);

/** Saves a file. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
