/** Shows the page that a claim link opens, and claims the key. */

import { Api } from "../api.js";
import { copyButton } from "../ui/copy.js";
import { element, fill } from "../ui/dom.js";
import { form } from "../ui/form.js";

/**
 * The page that a claim link opens. The key is claimed by a press of the button, so that whatever else loads the page claims nothing.
 * @param {URL} address @param {(key: string) => void} use signs in with the key
 * @returns {import("../main.js").Page}
 */
export function claimPage(address, use) {
  const token = address.pathname.slice("/claim/".length);
  const body = element("div", { class: "sign-in" });
  const send = async () => {
    const { api_key: key, user_email: email } = await new Api(undefined).get(`/claim/${token}`);
    fill(body,
      element("h1", {}, "Your API key"),
      element("p", {}, `It belongs to ${email}. Keep it in a safe place: it is not shown again.`),
      element("p", {}, element("output", { class: "key", "aria-label": "API key" }, key)),
      element("div", { class: "buttons" },
        element("button", { class: "primary", type: "button", onclick: () => use(key) }, "Use it here"),
        copyButton("Copy", () => key, "API key")),
      element("p", { class: "hint" }, "For the command line: ", element("code", {}, "runvoy configure")));
  };
  fill(body,
    element("h1", {}, "Claim your API key"),
    element("p", {}, "This link gives you your personal API key for runvoy. It works once, within 15 minutes of its creation."),
    form({ body: [], action: "Claim the key", send }));
  return { title: "Claim your API key", body };
}
