/** Shows the images that can be run, and registers and removes them. */

import { describe } from "../api.js";
import { ago, local } from "../format.js";
import { DEFAULT_CPU, DEFAULT_MEMORY, FARGATE_SIZES } from "../limits.js";
import { confirm } from "../ui/dialog.js";
import { breakable, element, fill } from "../ui/dom.js";
import { field, form, input, select } from "../ui/form.js";
import { row } from "../ui/table.js";
import { toast } from "../ui/toast.js";
import { imagePage, makeDefault } from "./image.js";
import { pagedList } from "./paged-list.js";

/** @typedef {import("../api.js").Image} Image */

const HEADS = ["Image", "CPU and memory", "Platform", "Roles", "Registered", ""];
/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function imagesPage(context) {
  const id = context.address.searchParams.get("image");
  return id ? imagePage(context, id) : listPage(context);
}

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
function listPage(context) {
  const { api, me, may } = context;
  const list = pagedList(/** @type {Parameters<typeof pagedList<Image>>[0]} */ ({
    context, label: "Images", path: "/images", field: "images", heads: HEADS, row: imageRow, text: ({ image_id, image }) => `${image_id} ${image}`,
    empty: "No image is registered yet. Register the first one: it becomes the default.",
    seen: (first) => form?.suggest(first),
  }));

  /** @param {Image} image */
  function imageRow(image) {
    const { image_id, is_default, cpu, memory, runtime_platform, task_role_name, task_execution_role_name, created_at, created_by } = image;
    const mayDelete = may("images:delete") || image.owned_by.includes(me.email);
    return row([
      [element("a", { href: `/images?${new URLSearchParams({ image: image_id })}` }, element("strong", {}, ...breakable(image.image))), is_default && element("span", { class: "tag" }, "default"), element("span", { class: "sub" }, image_id)],
      `${cpu / 1024}\u00a0vCPU, ${memory}\u00a0MiB`,
      runtime_platform,
      [task_role_name, task_execution_role_name].filter(Boolean).join(", ") || "default",
      element("time", { datetime: created_at, title: `${local(created_at)} by ${created_by}` }, ago(created_at)),
      element("span", { class: "buttons" },
        may("images:register") && !is_default && element("button", { class: "quiet", type: "button", "aria-label": `Make default ${image.image}`, onclick: () => setDefault(image) }, "Make default"),
        mayDelete && element("button", { class: "quiet", type: "button", "aria-label": `Remove ${image.image}`, onclick: () => remove(image) }, "Remove")),
    ]);
  }

  /** @param {Image} image */
  async function setDefault(image) {
    try {
      await makeDefault(api, image);
      toast(`${image.image} is the default now`);
      await list.load();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  /** @param {Image} image */
  async function remove({ image, image_id }) {
    const sure = await confirm({ title: `Remove ${image}?`, text: `${image_id} can no longer be run. Executions that use it go on.`, action: "Remove" });
    if (!sure) return;
    try {
      await api.delete(`/images/${encodeURIComponent(image_id)}`);
      toast(`${image} is removed`);
      await list.load();
    } catch (error) {
      toast(describe(error), "problem");
    }
  }

  const form = may("images:register") ? registration(async (image) => {
    const { image: name } = await api.post("/images/register", image);
    toast(`${name} is registered`);
    await list.load();
  }) : undefined;

  return {
    title: "Images",
    body: element("div", {},
      element("h1", {}, "Images"),
      form?.element,
      list.element),
    shown: list.shown,
  };
}

/** @param {(image: Record<string, unknown>) => Promise<void>} register */
function registration(register) {
  const name = field("Image", input({ placeholder: "ubuntu:24.04" }), "As docker pull takes it.");
  const cpu = field("CPU", select(FARGATE_SIZES.map((size) => [String(size.cpu), `${size.cpu / 1024} vCPU`]), String(DEFAULT_CPU)));
  const memory = field("Memory", select([], ""));
  const platform = field("Platform", select([["Linux/ARM64", "Linux/ARM64"], ["Linux/X86_64", "Linux/X86_64"]], "Linux/ARM64"),
    "An image that exists for one platform only runs on no other.");
  const taskRole = field("Task role", input({ placeholder: "the default role" }), "What the command may do in AWS.");
  const executionRole = field("Execution role", input({ placeholder: "the default role" }), "By which ECS pulls the image.");
  const groups = field("Security groups", input({ placeholder: "the stack's" }), "Of those that the stack allows, separated by commas.");
  const isDefault = input({ type: "checkbox" });
  let preset = "Linux/ARM64";
  /** Images of the system that is used run on the machines that it has. @param {Image[]} images the oldest ones */
  const suggest = (images) => {
    const usual = images.find((one) => one.is_default) ?? images[0];
    if (usual && name.control.value === "") platform.control.value = preset = usual.runtime_platform;
  };
  const fillMemory = () => {
    const sizes = FARGATE_SIZES.find((size) => String(size.cpu) === cpu.control.value)?.memory ?? [DEFAULT_MEMORY];
    fill(memory.control, ...sizes.map((size) => element("option", { value: size, selected: size === DEFAULT_MEMORY }, `${size} MiB`)));
  };
  cpu.control.addEventListener("change", fillMemory);
  fillMemory();
  const made = form({
    body: [
      name.element, element("div", { class: "columns" }, cpu.element, memory.element, platform.element),
      element("details", { class: "group" }, element("summary", {}, "Roles and network"),
        element("div", { class: "columns" }, taskRole.element, executionRole.element, groups.element)),
      element("label", { class: "check" }, isDefault, "Use it when a run names no image"),
    ],
    fields: { image: name, cpu, memory, runtime_platform: platform, task_role_name: taskRole, task_execution_role_name: executionRole, security_groups: groups },
    action: "Register",
    send: async () => {
      if (name.control.value.trim() === "") return name.say("Enter the image's name.");
      await register({
        image: name.control.value.trim(), cpu: Number(cpu.control.value), memory: Number(memory.control.value), runtime_platform: platform.control.value,
        task_role_name: taskRole.control.value.trim() || undefined, task_execution_role_name: executionRole.control.value.trim() || undefined,
        security_groups: groups.control.value.split(/[\s,]+/).filter(Boolean), is_default: isDefault.checked || undefined,
      });
      made.reset();
      platform.control.value = preset;
      fillMemory();
    },
  });
  return { element: element("details", { class: "narrow creation", open: true }, element("summary", {}, element("h2", {}, "Register an image")), made), suggest };
}
