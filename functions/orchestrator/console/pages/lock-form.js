/** Asks for the slots of a lock and the limit of its line. */

import { element } from "../ui/dom.js";
import { field, form, input } from "../ui/form.js";
import { toast } from "../ui/toast.js";
import { lockPath } from "./lock-parts.js";

/** @typedef {import("../api.js").Lock} Lock */

/**
 * The form of a lock's slots and of the limit of its line.
 * @param {{context: import("../main.js").Context, lock?: Lock, action: string, beside?: HTMLElement[], done: (name: string) => Promise<void>}} parts
 */
export function lockForm({ context: { api }, lock, action, beside, done }) {
  const name = field("Name", input({ placeholder: "tf-prod", maxlength: 100 }), "Letters, digits, dots, hyphens and underscores");
  const slots = field("Slots", input({ inputmode: "numeric", class: "short", value: lock?.slots ?? 1 }), "Runs that may hold it at the same time");
  const most = field("Longest line", input({ inputmode: "numeric", class: "short", value: lock?.max_queue ?? "", placeholder: "no limit" }), "Runs that may wait. Others are refused.");
  return form({
    body: [!lock && name.element, element("div", { class: "columns" }, slots.element, most.element)],
    fields: { lock: name, slots, max_queue: most },
    action,
    beside,
    send: async () => {
      const called = lock?.name ?? name.control.value.trim();
      if (called === "") return refuse(name, "Enter a name.");
      const [held, queue] = [slots, most].map(({ control }) => control.value.trim());
      if (!/^0*[1-9]\d*$/.test(held ?? "")) return refuse(slots, "Enter a number from 1 on.");
      if (!/^\d*$/.test(queue ?? "")) return refuse(most, "Enter a number, or nothing for no limit.");
      await api.put(lockPath(called), { slots: Number(held), max_queue: Number(queue) });
      toast(`${called} is set`);
      await done(called);
    },
  });
}

/** @param {import("../ui/form.js").Field} field @param {string} text */
function refuse(field, text) {
  field.say(text);
  field.control.focus();
}
