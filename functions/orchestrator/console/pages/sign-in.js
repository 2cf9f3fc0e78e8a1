/** Asks for the API key. */

import { ApiError, describe } from "../api.js";
import { element } from "../ui/dom.js";
import { field, form, input } from "../ui/form.js";

/**
 * @param {(key: string, remember: boolean) => Promise<void>} signIn @param {string} [message] why one has to sign in again
 * @returns {import("../main.js").Page}
 */
export function signInPage(signIn, message) {
  const key = field("API key", input({ type: "password", id: "api-key", required: true, autocomplete: "current-password" }));
  const remember = input({ type: "checkbox" });
  const send = async () => {
    const text = key.control.value.trim();
    if (text === "") return key.say("Enter your API key. You got it when you claimed your account.");
    // What a header cannot carry is no key.
    if (!/^[!-~]+$/.test(text)) return key.say("An API key has only letters, digits and signs. Copy it once more.");
    try {
      await signIn(text, remember.checked);
    } catch (error) {
      key.say(error instanceof ApiError && error.status === 401 ? "This key does not work. Check it, or ask an admin for a new claim link." : describe(error));
    }
  };
  return {
    title: "Sign in",
    body: element("div", { class: "sign-in" },
      element("h1", {}, element("span", { class: "logo", "aria-hidden": true }, "›_"), "runvoy"),
      element("p", {}, "Run commands in your team's AWS account, and watch what they print."),
      message ? element("p", { class: "problem", role: "alert" }, message) : undefined,
      form({
        body: [key.element, element("label", { class: "check" }, remember, "Remember on this device")],
        action: "Sign in",
        send,
      }),
      element("p", { class: "hint" }, "No key yet? An admin gives you a claim link. ", element("a", { href: "/docs" }, "The API is described here."))),
    shown: () => key.control.focus(),
  };
}
