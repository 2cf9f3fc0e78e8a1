/** Says in words when a schedule runs, while its expression is typed. The server decides what is right; this reads what it knows. */

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const NTH = ["", "first", "second", "third", "fourth", "fifth"];
/** @type {Record<string, string>} */
const NICKNAMES = { "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *" };

/** @param {number} number */
const two = (number) => String(number).padStart(2, "0");

/** "a", "a and b", "a, b and c". @param {string[]} all */
const listed = (all) => (all.length < 2 ? all.join("") : `${all.slice(0, -1).join(", ")} and ${all[all.length - 1]}`);

/** "1st", "2nd". @param {number} day */
const ordinal = (day) => `${day}${day % 100 > 10 && day % 100 < 14 ? "th" : (["th", "st", "nd", "rd"][day % 10] ?? "th")}`;

/**
 * The numbers that a field names, and the step if it names nothing but each so-many-th. `undefined` if it cannot be read.
 * @param {string} text @param {number} first @param {number} last @param {string[]} [names] of which three letters may be written
 * @param {number} [base] the number of the first name
 * @returns {{all: number[], isEach: boolean, step?: number} | undefined}
 */
function numbers(text, first, last, names = [], base = first) {
  const one = (/** @type {string} */ part) => {
    const named = names.findIndex((name) => name.slice(0, 3).toUpperCase() === part.toUpperCase());
    if (named >= 0) return named + base;
    const number = /^\d{1,4}$/.test(part) ? Number(part) : NaN;
    return number >= first && number <= last ? number : NaN;
  };
  const found = new Set(/** @type {number[]} */ ([]));
  for (const part of text.split(",")) {
    const [span = "", by] = part.split("/");
    const step = by === undefined ? 1 : /^\d+$/.test(by) ? Number(by) : 0;
    const [begin = "", end] = span.split("-");
    const from = span === "*" ? first : one(begin);
    let to = span === "*" || (by !== undefined && end === undefined) ? last : end === undefined ? from : one(end);
    if (end !== undefined && to === 0 && from > 0 && names === DAYS) to = 7;
    if (!(step > 0) || !(from <= to)) return undefined;
    for (let number = from; number <= to; number += step) found.add(number);
  }
  const all = [...found].sort((a, b) => a - b);
  const step = /^(\*|\d+)\/(\d+)$/.exec(text);
  return { all, isEach: all.length === last - first + 1, ...(step && all[0] === first && Number(step[2]) > 1 && { step: Number(step[2]) }) };
}

/**
 * A cron expression in words, such as "At 02:30, on Monday to Friday"; `undefined` while it cannot be read.
 * @param {string} text
 */
export function cronWords(text) {
  const inner = text.trim().replace(/^cron\((.*)\)$/, "$1");
  const fields = (NICKNAMES[inner.toLowerCase()] ?? inner).split(/\s+/);
  if (fields.length !== 5 && fields.length !== 6) return undefined;
  const isAws = fields.length === 6;
  const [minute = "", hour = "", day = "", month = "", weekday = "", year = "*"] = fields;
  const when = clock(minute, hour);
  const on = days(day, weekday, isAws);
  const months = numbers(month, 1, 12, MONTHS);
  const years = numbers(year, 1970, 2199);
  if (when === undefined || on === undefined || !months || !years) return undefined;
  const names = months.all.map((one) => MONTHS[one - 1] ?? "");
  return [when, on, months.isEach ? "" : `in ${listed(names)}`, years.isEach ? "" : `in ${listed(years.all.map(String))}`].filter((part) => part !== "").join(", ");
}

/** @param {string} minute @param {string} hour */
function clock(minute, hour) {
  const minutes = numbers(minute, 0, 59);
  const hours = numbers(hour, 0, 23);
  if (!minutes || !hours) return undefined;
  const part = hours.isEach ? "" : `in the hours ${spans(hours.all, two)}`;
  if (minutes.isEach) return ["Every minute", part].filter((text) => text !== "").join(" ");
  if (minutes.step) return [`Every ${minutes.step} minutes`, part].filter((text) => text !== "").join(" ");
  if (minutes.all.length * hours.all.length <= 6 && !hours.isEach) {
    return `At ${listed(hours.all.flatMap((hour) => minutes.all.map((minute) => `${two(hour)}:${two(minute)}`)))}`;
  }
  const past = `At ${minutes.all.length === 1 ? "minute" : "minutes"} ${listed(minutes.all.map(String))}`;
  if (hours.isEach) return `${past} of every hour`;
  return hours.step ? `${past} of every ${hours.step} hours` : `${past} ${part}`;
}

/** Neighbours as a span: "8 to 18 and 22". @param {number[]} all @param {(number: number) => string} name */
function spans(all, name) {
  /** @type {number[][]} */
  const runs = [];
  for (const number of all) {
    const last = runs[runs.length - 1];
    if (last && last[last.length - 1] === number - 1) last.push(number);
    else runs.push([number]);
  }
  return listed(runs.flatMap((run) => (run.length > 2 ? [`${name(run[0] ?? 0)} to ${name(run[run.length - 1] ?? 0)}`] : run.map(name))));
}

/** @param {string} day @param {string} weekday @param {boolean} isAws whose days of the week begin with 1 */
function days(day, weekday, isAws) {
  const isOpen = (/** @type {string} */ field) => field === "*" || field === "?";
  if (isAws && (day === "?") === (weekday === "?")) return undefined;
  if (!isAws && !isOpen(day) && !isOpen(weekday)) return undefined;
  if (!isOpen(day)) return ofMonth(day.toUpperCase());
  return isOpen(weekday) ? "" : ofWeek(weekday.toUpperCase(), isAws);
}

/** @param {string} text */
function ofMonth(text) {
  if (text === "L") return "on the last day of the month";
  const near = /^(\d+)W$/.exec(text);
  if (near) return `on the weekday nearest to the ${ordinal(Number(near[1]))}`;
  const found = numbers(text, 1, 31);
  if (!found) return undefined;
  if (found.step) return `on every ${ordinal(found.step)} day of the month`;
  return found.isEach ? "" : `on the ${spans(found.all, ordinal)}`;
}

/** @param {string} text @param {boolean} isAws */
function ofWeek(text, isAws) {
  const base = isAws ? 1 : 0;
  const name = (/** @type {number} */ number) => DAYS[(number - base + 7) % 7] ?? "";
  const one = (/** @type {string} */ part) => numbers(part, base, 7, DAYS, base)?.all;
  if (text === "L") return isAws ? "on Saturday" : undefined;
  const [of = "", nth] = text.split("#");
  if (nth !== undefined) {
    const found = one(of);
    return found?.length === 1 && NTH[Number(nth)] ? `on the ${NTH[Number(nth)]} ${name(found[0] ?? 0)} of the month` : undefined;
  }
  if (text.endsWith("L")) {
    const found = one(text.slice(0, -1));
    return found?.length === 1 ? `on the last ${name(found[0] ?? 0)} of the month` : undefined;
  }
  const found = one(text);
  if (!found) return undefined;
  // Monday first, as a week is read.
  const week = [...new Set(found.map((number) => (number - base + 6) % 7))].sort((a, b) => a - b);
  return week.length === 7 ? "" : `on ${spans(week, (number) => DAYS[(number + 1) % 7] ?? "")}`;
}

/** A rate in words; `undefined` while it cannot be read. @param {string} text */
export function rateWords(text) {
  const match = /^(?:rate\()?\s*(\d+)\s+(minute|hour|day)s?\s*\)?$/i.exec(text.trim());
  const count = Number(match?.[1] ?? 0);
  if (!match || count === 0) return undefined;
  return `Now, and then every ${count === 1 ? "" : `${count} `}${match[2]?.toLowerCase()}${count === 1 ? "" : "s"}`;
}

/** The times of a schedule in words, or as they are written. @param {{cron?: string | null, rate?: string | null, at?: string | null}} schedule */
export function timesWords({ cron, rate, at }) {
  if (cron) return cronWords(cron) ?? cron;
  if (rate) return `Every ${rate}`;
  return `Once, at ${at?.replace("T", " ")}`;
}
