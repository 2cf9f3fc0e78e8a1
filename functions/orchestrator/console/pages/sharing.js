/** Changes who owns a thing and who else may use it: an image, a secret, a playbook, a schedule, a notification or an execution. */

import { element, fill } from "../ui/dom.js";
import { field, form, input } from "../ui/form.js";
import { toast } from "../ui/toast.js";

/** @typedef {{owned_by: string[], shared_with?: string[] | null}} Owned */

/** @param {string} text */
const names = (text) => text.split(/[\s,]+/).filter((one) => one !== "" && one !== "-");

/** Who uses it, in words. @param {Owned["shared_with"]} shared_with */
export const sharedWords = (shared_with) => (!shared_with ? "all whose role may" : shared_with.length === 0 ? "owners, operators and admins" : shared_with.join(", "));

/**
 * A button, and the form that it opens; nothing for those who may change neither.
 * @param {import("../main.js").Context} context
 * @param {{kind: "images" | "secrets" | "playbooks" | "schedules" | "executions" | "notifications", path: string, thing: Owned, changed: () => Promise<unknown> | unknown}} options `path` is of the API
 */
export function sharing({ api, me, may }, { kind, path, thing, changed }) {
  const isOwner = thing.owned_by.includes(me.email);
  const mayOwn = isOwner || may(`${kind}:own`);
  const isShared = kind !== "executions" && kind !== "notifications";
  const mayShare = isShared && (isOwner || may(`${kind}:share`));
  const place = element("section", { class: "narrow sharing", hidden: true });
  const close = () => (fill(place), (place.hidden = true));

  function open() {
    const usual = kind === "schedules" ? "nobody else" : "everyone whose role allows it";
    const who = field("Shared with", input({ value: thing.shared_with?.join(", ") ?? "", placeholder: usual }),
      `Addresses and roles such as role:developer, separated by commas. Empty: ${usual}. A dash: nobody but owners, operators and admins.`);
    const owners = field("Owners", input({ value: thing.owned_by.join(", ") }), "Addresses, separated by commas. An owner may do everything with it.");
    const made = form({
      body: [mayShare && who.element, mayOwn && owners.element],
      fields: { shared_with: who, owned_by: owners },
      action: "Save",
      beside: [element("button", { type: "button", onclick: close }, "Cancel")],
      send: async () => {
        const [shared, owned] = [who.control.value.trim(), names(owners.control.value)];
        // The sharing first: who gives a thing away may not share it afterwards.
        if (mayShare && shared !== (thing.shared_with?.join(", ") ?? "")) await api.put(`${path}/sharing`, { shared_with: shared === "" ? null : names(shared) });
        if (mayOwn && owned.join() !== thing.owned_by.join()) await api.put(`${path}/owners`, { owned_by: owned });
        close();
        toast("The sharing is changed");
        await changed();
      },
    });
    fill(place, element("h2", {}, isShared ? "Share" : "Owners"), made);
    place.hidden = false;
    place.scrollIntoView({ block: "nearest" });
    made.querySelector("input")?.focus();
  }

  return { button: (mayOwn || mayShare) && element("button", { type: "button", onclick: open }, isShared ? "Share" : "Owners"), form: place };
}
