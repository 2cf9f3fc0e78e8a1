/** Handing texts to the person: the clipboard and files. */

import { element, icon } from "./dom.js";
import { toast } from "./toast.js";

/** Copies a text that may take a moment to be made. @param {Promise<Blob>} text */
export async function copyBlob(text) {
  const asText = text.then(async (blob) => new Blob([await blob.text()], { type: "text/plain" }));
  await navigator.clipboard.write([new ClipboardItem({ "text/plain": asText })]);
}

/** @param {string} text @param {string} what is copied, for the message */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    // Browsers refuse it without https, and where the person has forbidden it.
    toast("The browser does not let this page copy; select the text instead.", "problem");
  }
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
