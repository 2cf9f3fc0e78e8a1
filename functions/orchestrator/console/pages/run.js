/** Shows the form of a run, with a draft that outlives the page, or filled with an execution that ran before. */

import { describe } from "../api.js";
import { aboutSize, seconds, whole } from "../format.js";
import { MAX_OVERRIDES_CHARACTERS as MAX_OVERRIDES } from "../limits.js";
import { keepDraft, keptDraft } from "../session.js";
import { element, fill } from "../ui/dom.js";
import { field, form, input } from "../ui/form.js";
import { Picker } from "../ui/picker.js";
import { missing, playbookOf, runOf, send as sendRun } from "./rerun.js";
import { Variables } from "./variables.js";

/** Images that are suggested. */
const SUGGESTED = 20;
/** Time after the last key before the server is asked for images, in milliseconds. */
const TYPING = 200;

/** The ends after which another attempt may follow. @type {[import("../format.js").RetryOn, string][]} */
const ENDS = [["exit", "the command fails"], ["start", "the task cannot start"], ["spot", "Spot capacity is taken back"], ["capacity", "there is no capacity"]];

/** @typedef {import("../format.js").Run} Run @typedef {import("../api.js").Image} Image @typedef {import("../api.js").Secret} Secret */

/** @param {import("../main.js").Context} context @returns {import("../main.js").Page} */
export function runPage({ api, address, may, go, left }) {
  const command = field("Command", element("textarea", { id: "command", rows: 6, spellcheck: "false", autocapitalize: "off", placeholder: "echo hello" }),
    "Run by /bin/sh -e: it stops at the first line that fails. Ctrl+Enter runs it.");
  const images = element("datalist", { id: "images" });
  const image = field("Image", input({ list: "images", placeholder: "the default image" }));
  const timeout = field("Timeout", input({ placeholder: "none", class: "short" }), "Seconds, or a duration such as 10m, 1h30m or 1d");
  const number = (/** @type {string} */ placeholder) => input({ inputmode: "numeric", placeholder, class: "short" });
  const cpu = field("CPU units", number("the image's"), "1024 are one vCPU.");
  const memory = field("Memory", number("the image's"), "MiB");
  const disk = field("Disk", number("20"), "GiB, 21 to 200");
  const spot = field("Fargate Spot", input({ type: "checkbox" }), "Costs about a third, and may be taken away while it runs.");
  const sizes = element("details", { class: "group" }, element("summary", {}, "Size"), element("div", { class: "columns" }, cpu.element, memory.element, disk.element), spot.element);
  const known = element("datalist", { id: "locks" });
  const lock = field("Lock", input({ list: "locks", placeholder: "none" }), "The run holds it until it ends. Several names are separated by commas.");
  const slots = field("Slots", number("1"), "Runs that may hold it at the same time. The first run sets the number.");
  const queue = field("Wait in line", input({ type: "checkbox" }), "When the lock is held or Fargate has no capacity. Otherwise the run is refused then.");
  const after = field("After", input({ placeholder: "none", spellcheck: "false" }), "Ids of executions that must have ended first, separated by commas.");
  const anyEnd = field("In any way", input({ type: "checkbox" }), "Starts however they end. Otherwise they must succeed.");
  const deadline = field("Deadline", input({ placeholder: "none", class: "short" }), "With all waiting, such as 2h. What has not ended by then has failed.");
  const order = element("details", { class: "group" }, element("summary", {}, "After others"), after.element, anyEnd.element, deadline.element);
  const attempts = field("Attempts", number("1"), "With the first one, 10 at most. The last one decides.");
  const backoff = field("Pause", input({ placeholder: "30s", class: "short" }), "Before another attempt, such as 5m");
  const ends = ENDS.map(([end, words]) => ({ end, box: input({ type: "checkbox" }), words }));
  const followed = field("After", element("div", { class: "choices" }, ...ends.map(({ box, words }) => element("label", { class: "check" }, box, words))), "After all of these, if none is chosen. The run keeps its locks meanwhile.");
  const retry = element("details", { class: "group" }, element("summary", {}, "Retry"), element("div", { class: "columns" }, attempts.element, backoff.element), followed.element);
  const locks = element("details", { class: "group" }, element("summary", {}, "Lock"), element("div", { class: "columns" }, lock.element, slots.element), known, queue.element);
  const variables = new Variables(() => changed());
  const env = field("Variables", variables.element);
  const picker = new Picker("Search secrets", findSecrets, (error) => left.aborted || secrets.say(describe(error)));
  const secrets = field("Secrets", picker.element, "Each is in the variable that its key name says.");
  const repo = field("Repository", input({ type: "url", placeholder: "https://github.com/you/repository" }));
  const ref = field("Branch, tag or commit", input({ placeholder: "the repository's own" }));
  const path = field("Directory", input({ placeholder: "." }));
  const git = element("details", { class: "group" }, element("summary", {}, "Git repository"), repo.element, element("div", { class: "columns" }, ref.element, path.element));
  const meter = element("meter", { min: 0, max: MAX_OVERRIDES, high: MAX_OVERRIDES * 0.9, "aria-label": "Characters used" });
  const used = element("span", { class: "hint" });
  const notice = element("p", { class: "note", hidden: true });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

  /** @returns {Run} */
  function read() {
    const given = (/** @type {string} */ text) => text.trim() || undefined;
    const env = variables.read();
    const checked = picker.read();
    const list = (/** @type {string} */ text) => text.split(",").map((name) => name.trim()).filter((name) => name !== "");
    const [names, ids] = [list(lock.control.value), list(after.control.value)];
    return {
      command: command.control.value,
      image: given(image.control.value),
      env: Object.keys(env).length > 0 ? env : undefined,
      secrets: checked.length > 0 ? checked : undefined,
      timeout: timeout.control.value.trim() === "" ? undefined : seconds(timeout.control.value.trim()),
      cpu: whole(cpu.control.value),
      memory: whole(memory.control.value),
      disk: whole(disk.control.value),
      spot: spot.control.checked || undefined,
      lock: names.length > 0 ? names : undefined,
      slots: whole(slots.control.value),
      on_conflict: queue.control.checked ? "queue" : undefined,
      after: ids.length > 0 ? ids : undefined,
      if: ids.length > 0 && anyEnd.control.checked ? "ended" : undefined,
      deadline: deadline.control.value.trim() === "" ? undefined : seconds(deadline.control.value.trim()),
      retry: retryOf(),
      git_repo: given(repo.control.value),
      git_ref: given(ref.control.value),
      git_path: given(path.control.value),
    };
  }

  /** @returns {Run["retry"]} */
  function retryOf() {
    const count = whole(attempts.control.value) ?? 1;
    if (!(count > 1)) return undefined;
    const on = ends.filter(({ box }) => box.checked).map(({ end }) => end);
    const pause = backoff.control.value.trim() === "" ? undefined : seconds(backoff.control.value.trim());
    return { attempts: count, ...(on.length > 0 && { on }), ...(pause !== undefined && { backoff: pause }) };
  }

  /** @param {Partial<Run>} run @param {string[]} [unknown] names of variables of which the values are not known */
  function write(run, unknown) {
    command.control.value = run.command ?? "";
    image.control.value = run.image ?? "";
    timeout.control.value = run.timeout ? `${run.timeout}s` : "";
    variables.write(/** @type {Record<string, string>} */ (run.env ?? {}), unknown);
    picker.write(run.secrets ?? []);
    [repo.control.value, ref.control.value, path.control.value] = [run.git_repo ?? "", run.git_ref ?? "", run.git_path ?? ""];
    git.open = Boolean(run.git_repo);
    [cpu.control.value, memory.control.value, disk.control.value] = [String(run.cpu ?? ""), String(run.memory ?? ""), String(run.disk ?? "")];
    spot.control.checked = Boolean(run.spot);
    sizes.open = Boolean(run.cpu || run.memory || run.disk || run.spot);
    [lock.control.value, slots.control.value, queue.control.checked] = [(run.lock ?? []).join(", "), String(run.slots ?? ""), run.on_conflict === "queue"];
    locks.open = Boolean(run.lock?.length || run.on_conflict);
    [after.control.value, anyEnd.control.checked, deadline.control.value] = [(run.after ?? []).join(", "), run.if === "ended", run.deadline ? `${run.deadline}s` : ""];
    order.open = Boolean(run.after?.length || run.deadline);
    [attempts.control.value, backoff.control.value] = [String(run.retry?.attempts ?? ""), run.retry?.backoff == null ? "" : `${run.retry.backoff}s`];
    for (const { end, box } of ends) box.checked = Boolean(run.retry?.on?.includes(end));
    retry.open = Boolean(run.retry);
    measure();
  }

  function measure() {
    const size = aboutSize(read());
    meter.value = Math.min(size, MAX_OVERRIDES);
    used.textContent = `about ${size.toLocaleString("en")} of ${MAX_OVERRIDES.toLocaleString("en")} characters`;
    used.classList.toggle("problem", size > MAX_OVERRIDES);
  }

  async function send() {
    const run = read();
    if (run.command.trim() === "") return refuse(command, "Enter a command.");
    if (timeout.control.value.trim() !== "" && run.timeout === undefined) return refuse(timeout, "This is not a duration. Write 600, 10m or 1h30m.");
    if (deadline.control.value.trim() !== "" && run.deadline === undefined) return refuse(deadline, "This is not a duration. Write 600, 10m or 1h30m.");
    for (const one of [cpu, memory, disk, slots, attempts]) if (Number.isNaN(whole(one.control.value))) return refuse(one, "Enter a whole number.");
    if (backoff.control.value.trim() !== "" && seconds(backoff.control.value.trim()) === undefined) return refuse(backoff, "This is not a duration. Write 30s, 10m or 1h30m.");
    const problem = variables.problem();
    if (problem) return refuse(env, problem);
    const execution = await sendRun(api, run);
    keepDraft(undefined);
    isSent = true;
    go(`/logs?execution_id=${encodeURIComponent(execution)}`);
  }

  /** @param {import("../ui/form.js").Field} field @param {string} text */
  function refuse(field, text) {
    field.say(text);
    (field.control.querySelector("input") ?? field.control).focus();
  }

  /** Suggests images whose names have the text. */
  async function suggestImages() {
    const text = image.control.value.trim();
    const parameters = new URLSearchParams({ limit: String(SUGGESTED), ...(text && { q: text }) });
    const list = /** @type {Image[]} */ ((await api.get(`/images?${parameters}`, left)).images).slice(0, SUGGESTED);
    // An answer to what was typed before says nothing of what is there now.
    if (text !== image.control.value.trim()) return;
    fill(images, ...list.map(({ image, image_id, is_default }) => element("option", { value: image_id }, image + (is_default ? " (default)" : ""))));
    const usual = list.find((one) => one.is_default);
    if (usual) image.control.placeholder = `${usual.image} (default)`;
    if (list.length === 0 && text === "") image.say("No image is registered yet. Register one under Images first.");
  }

  async function suggestLocks() {
    const { locks } = await api.get("/locks", left);
    fill(known, .../** @type {import("../api.js").Lock[]} */ (locks).slice(0, SUGGESTED).map(({ name }) => element("option", { value: name })));
  }

  /** @param {string} text @param {number} limit */
  async function findSecrets(text, limit) {
    const parameters = new URLSearchParams({ limit: String(limit), ...(text && { q: text }) });
    const { secrets: list } = await api.get(`/secrets?${parameters}`, left);
    return /** @type {Secret[]} */ (list).filter(({ name }) => name.toLowerCase().includes(text.toLowerCase()))
      .slice(0, limit).map(({ name, key_name }) => ({ value: name, hint: key_name }));
  }

  /** Fills the form with an execution that ran before. @param {string} id */
  async function again(id) {
    const execution = /** @type {import("../api.js").Execution} */ (await api.get(`/executions/${encodeURIComponent(id)}`, left));
    const playbook = playbookOf(execution);
    if (playbook !== undefined) return go(`/playbooks?name=${encodeURIComponent(playbook)}&again=${encodeURIComponent(id)}`);
    const run = runOf(execution);
    const names = missing(run);
    write({ ...run, env: Object.fromEntries(Object.entries(run.env ?? {}).filter(([, value]) => value !== undefined)) }, names);
    if (names.length === 0) return;
    const why = execution.request ? "Some values are not kept." : `You may not see the values that ${execution.created_by} gave.`;
    notice.textContent = `${why} Enter those of ${names.join(", ")}.`;
    notice.hidden = false;
  }

  /** Goes on with a form that was left. */
  function resume() {
    const draft = keptDraft();
    if (!draft || (!draft.command && !draft.env)) return;
    write(draft);
    fill(notice, "This is what you had written. ", element("button", { type: "button", class: "quiet", onclick: () => (write({}), keepDraft(undefined), (notice.hidden = true), command.control.focus()) }, "Clear the form"));
    notice.hidden = false;
  }

  const made = form({
    body: [
      notice, command.element, element("div", { class: "meter" }, meter, used), image.element, images, env.element, secrets.element, timeout.element, sizes, locks, order, retry, git,
    ],
    fields: { command, image, env, secrets, timeout, cpu, memory, disk, spot, lock, slots, on_conflict: queue, after, if: anyEnd, deadline, "retry.attempts": attempts, "retry.backoff": backoff, retry: followed, git_repo: repo, git_ref: ref, git_path: path },
    action: "Run",
    send,
  });
  let isSent = false;
  function changed() {
    measure();
    if (!isSent) keepDraft(/** @type {Record<string, unknown>} */ (read()));
  }
  made.addEventListener("input", changed);
  image.control.addEventListener("input", () => {
    clearTimeout(typing);
    if (may("images:list")) typing = setTimeout(() => suggestImages().catch(() => {}), TYPING);
  });
  made.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) made.requestSubmit();
  });
  secrets.element.hidden = true;

  return {
    title: "Run",
    body: element("div", { class: "narrow" }, element("h1", {}, "Run a command"), made),
    shown: () => {
      const report = (/** @type {unknown} */ error) => {
        if (left.aborted) return;
        notice.textContent = describe(error);
        notice.hidden = false;
      };
      if (may("images:list")) suggestImages().catch(report);
      if (may("locks:list")) suggestLocks().catch(() => {});
      if (may("secrets:list")) picker.load().then((count) => (secrets.element.hidden = count === 0 && picker.read().length === 0));
      const id = address.searchParams.get("again");
      const asked = address.searchParams.get("image");
      if (id) again(id).catch(report);
      else resume();
      if (asked) image.control.value = asked;
      measure();
      command.control.focus();
    },
  };
}
