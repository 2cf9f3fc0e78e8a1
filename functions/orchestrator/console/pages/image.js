/** Shows one image: its size and roles, who may use it, and what the audit says of it. */

import { ApiError, describe } from "../api.js";
import { local } from "../format.js";
import { element, fill } from "../ui/dom.js";
import { toast } from "../ui/toast.js";
import { auditOf } from "./audit-entries.js";
import { sharedWords, sharing } from "./sharing.js";

/** @typedef {import("../api.js").Image} Image */

/** @param {import("../main.js").Context} context @param {string} id @returns {import("../main.js").Page} */
export function imagePage(context, id) {
  const { api, may, left, load: loaded } = context;
  const body = element("div", { class: "life" });
  const heading = element("h1", {}, id);
  /** The audit knows images by their ids, and an address may have the name. */
  const entries = element("div", {});

  async function read() {
    try {
      const image = /** @type {Image} */ (await api.get(`/images/${encodeURIComponent(id)}`, left));
      draw(image);
      const made = auditOf(context, `image:${image.image_id}`);
      fill(entries, made.element);
      made.load();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
      fill(entries);
      fill(body, element("p", {}, `There is no image ${id}. `, element("a", { href: "/images" }, "All images")));
    }
  }

  /** @param {Image} image */
  function draw(image) {
    const { cpu, memory, runtime_platform, task_role_name, task_execution_role_name, security_groups = [], created_by, created_at, owned_by = [], shared_with, is_default } = image;
    const shared = sharing(context, { kind: "images", path: `/images/${encodeURIComponent(image.image_id)}`, thing: { owned_by, shared_with }, changed: read });
    fill(heading, image.image, is_default && element("span", { class: "tag" }, "default"));
    const facts = [
      ["Image id", image.image_id], ["CPU", `${cpu / 1024} vCPU`], ["Memory", `${memory} MiB`], ["Platform", runtime_platform],
      ["Task role", task_role_name || "default"], ["Execution role", task_execution_role_name || "default"], ["Security groups", security_groups.join(", ")],
      ["Owners", owned_by.join(", ")], ["Used by", sharedWords(shared_with)],
      ["Registered", `${local(created_at)} by ${created_by}`],
    ];
    fill(body,
      element("dl", { class: "facts" }, ...facts.filter(([, value]) => value !== "").map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
      element("div", { class: "buttons" },
        element("a", { class: "button", href: `/?${new URLSearchParams({ image: image.image_id })}` }, "Executions"),
        may("executions:run") && element("a", { class: "button", href: `/run?${new URLSearchParams({ image: image.image_id })}` }, "Run a command in it"),
        may("images:register") && !is_default && element("button", { type: "button", onclick: () => choose(image) }, "Make default"),
        shared.button),
      shared.form);
  }

  /** @param {Image} image */
  async function choose(image) {
    try {
      await makeDefault(api, image);
      toast(`${image.image} is the default now`);
      await read();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  return {
    title: id,
    body: element("div", {}, element("p", { class: "hint" }, element("a", { href: "/images" }, "Images")), heading, body, entries),
    shown: () => loaded(read, (text) => fill(body, element("p", { class: "note" }, text))),
  };
}

/** Lets runs that name no image use this one: the same registration again is the same image. @param {import("../api.js").Api} api @param {Image} image */
export function makeDefault(api, { image, cpu, memory, runtime_platform, task_role_name, task_execution_role_name, security_groups }) {
  return api.post("/images/register", { image, cpu, memory, runtime_platform, task_role_name, task_execution_role_name, security_groups, is_default: true });
}
