/** The form of a schedule, which says in words when it runs while the expression is typed. */

import { cronWords, rateWords } from "../cron.js";
import { seconds } from "../format.js";
import { element } from "../ui/dom.js";
import { field, form, input, select } from "../ui/form.js";
import { Picker } from "../ui/picker.js";
import { Variables } from "./variables.js";

/** @typedef {import("../api.js").Schedule} Schedule */

const KINDS = /** @type {[string, string][]} */ ([["cron", "At times of a clock"], ["rate", "At a rate"], ["at", "Once"]]);
/** @type {Record<string, {placeholder: string, hint: string}>} */
const WRITTEN = {
  cron: { placeholder: "30 2 * * 1-5", hint: "Minute, hour, day of the month, month and day of the week, as in crontab. AWS's six fields work too." },
  rate: { placeholder: "5 minutes", hint: "A number of minutes, hours or days." },
  at: { placeholder: "2030-01-31T09:00", hint: "Date and time on the clock of the time zone." },
};

/**
 * @param {{context: import("../main.js").Context, schedule?: Schedule, action: string, beside?: HTMLElement[],
 *   send: (schedule: Record<string, any> & {name: string}) => Promise<void>}} parts
 */
export function scheduleForm({ context: { api, left, may }, schedule, action, beside, send }) {
  const before = schedule?.rate ? "rate" : schedule?.at ? "at" : "cron";
  const name = field("Name", input({ placeholder: "nightly-backup", maxlength: 64 }));
  const kind = field("Runs", select(KINDS, before));
  const times = field("When", input({ value: schedule?.cron ?? schedule?.rate ?? schedule?.at ?? "", class: "mono" }), WRITTEN.cron?.hint);
  const words = element("output", { class: "words", "aria-live": "polite" });
  const zones = element("datalist", { id: "zones" }, ...zoneNames().map((zone) => element("option", { value: zone })));
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zone = field("Time zone", input({ value: schedule?.timezone ?? here, list: "zones" }), "When clocks go forward, a time that does not exist is skipped; when they go back, a time that comes twice runs once.");
  const run = schedule?.run;
  const command = field("Command", element("textarea", { rows: 4, spellcheck: "false", autocapitalize: "off", placeholder: "./backup.sh" }, run?.command ?? ""), "Run by /bin/sh -e, with your rights.");
  const kindOfRun = field("Job", select([["run", "a command"], ["playbook", "a published playbook"]], schedule?.playbook ? "playbook" : "run"));
  const playbook = field("Playbook", input({ value: schedule?.playbook?.name ?? "", placeholder: "restart", spellcheck: "false" }), "By its name. Its newest version runs, unless the schedule has one.");
  const values = new Variables(() => {});
  values.write(/** @type {Record<string, string>} */ (schedule?.playbook?.parameters ?? {}));
  const parameters = field("Values of its parameters", values.element);
  const image = field("Image", input({ value: run?.image ?? "", placeholder: "the default image" }));
  const timeout = field("Timeout", input({ value: run?.timeout ? `${run.timeout}s` : "", placeholder: "none", class: "short" }), "Such as 10m or 1h30m");
  const variables = new Variables(() => {});
  variables.write(run?.env ?? {});
  const env = field("Variables", variables.element, "They can be read by all who see the schedule. Values that are secret go into secrets.");
  const picker = new Picker("Search secrets", findSecrets, () => {});
  const secrets = field("Secrets", picker.element);
  secrets.element.hidden = true;
  const missed = field("Times that could not start for ten minutes", select([["skip", "are skipped"], ["run_once", "run once, for the last of them"]], schedule?.on_missed ?? "skip"));

  /** @param {string} text @param {number} limit */
  async function findSecrets(text, limit) {
    const parameters = new URLSearchParams({ limit: String(limit), ...(text && { q: text }) });
    const { secrets: list } = await api.get(`/secrets?${parameters}`, left);
    return /** @type {import("../api.js").Secret[]} */ (list).slice(0, limit).map(({ name, key_name }) => ({ value: name, hint: key_name }));
  }

  function explain() {
    const chosen = kind.control.value;
    const text = times.control.value.trim();
    times.control.placeholder = WRITTEN[chosen]?.placeholder ?? "";
    const hint = times.element.querySelector(".hint");
    if (hint) hint.textContent = WRITTEN[chosen]?.hint ?? "";
    const said = text === "" ? "" : chosen === "cron" ? cronWords(text) : chosen === "rate" ? rateWords(text) : atWords(text);
    words.textContent = said === undefined ? "…" : said === "" ? "" : `${said}.`;
  }

  /** @param {string} text */
  function atWords(text) {
    const time = Date.parse(`${text}Z`);
    return Number.isNaN(time) ? undefined : `Once, ${new Date(time).toLocaleString(undefined, { dateStyle: "full", timeStyle: "short", timeZone: "UTC" })}`;
  }

  kind.control.addEventListener("change", () => ((times.control.value = ""), explain(), times.control.focus()));
  times.control.addEventListener("input", () => (times.say(""), explain()));
  explain();
  if (may("secrets:list")) {
    picker.write(run?.secrets ?? []);
    picker.load().then((count) => (secrets.element.hidden = count === 0 && picker.read().length === 0));
  }

  const more = element("details", { class: "group" }, element("summary", {}, "Image, variables, secrets and more"), image.element, env.element, secrets.element, timeout.element);
  /** A version is kept as long as the playbook is the same. */
  function playbookWanted() {
    const called = playbook.control.value.trim();
    const version = schedule?.playbook?.name === called ? schedule.playbook.version : undefined;
    return { name: called, version, parameters: values.read() };
  }

  function choose() {
    const isPlaybook = kindOfRun.control.value === "playbook";
    for (const part of [playbook.element, parameters.element]) part.hidden = !isPlaybook;
    for (const part of [command.element, more]) part.hidden = isPlaybook;
  }
  kindOfRun.control.addEventListener("change", choose);
  choose();

  return form({
    body: [
      !schedule && name.element, element("div", { class: "columns" }, kind.element, zone.element), zones, times.element, words, kindOfRun.element, command.element, playbook.element, parameters.element,
      more, missed.element,
    ],
    fields: { name, cron: times, rate: times, at: times, timezone: zone, run: command, playbook, "run.image": image, "run.secrets": secrets, on_missed: missed },
    action,
    beside,
    send: async () => {
      const given = (/** @type {string} */ text) => text.trim() || undefined;
      if (!schedule && name.control.value.trim() === "") return name.say("Enter a name.");
      if (times.control.value.trim() === "") return times.say("Enter when it runs.");
      const isPlaybook = kindOfRun.control.value === "playbook";
      if (isPlaybook && playbook.control.value.trim() === "") return playbook.say("Enter the name of a playbook.");
      if (!isPlaybook && command.control.value.trim() === "") return command.say("Enter a command.");
      const limit = given(timeout.control.value);
      if (limit !== undefined && seconds(limit) === undefined) return timeout.say("This is not a duration. Write 600, 10m or 1h30m.");
      const problem = variables.problem();
      if (problem) return env.say(problem);
      const wrong = isPlaybook && values.problem();
      if (wrong) return parameters.say(wrong);
      const givenVariables = variables.read();
      const wanted = {
        ...(run ?? {}), command: command.control.value, image: given(image.control.value), timeout: limit === undefined ? undefined : seconds(limit),
        env: Object.keys(givenVariables).length > 0 ? givenVariables : undefined, secrets: picker.read().length > 0 ? picker.read() : undefined,
      };
      const isSame = schedule && times.control.value.trim() === (schedule.cron ?? schedule.rate ?? schedule.at) && kind.control.value === before && zone.control.value.trim() === schedule.timezone;
      await send({
        name: schedule?.name ?? name.control.value.trim(),
        // A rate that is sent again would begin anew.
        ...(!isSame && { [kind.control.value]: times.control.value.trim(), timezone: given(zone.control.value) }),
        ...(isPlaybook ? { playbook: playbookWanted() } : { run: wanted }), on_missed: missed.control.value,
      });
    },
  });
}

/** The time zones that the browser knows. @returns {string[]} */
const zoneNames = () => ["UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])];
