/** Makes the elements of a log's lines: number, time, text in its colours, links, and what was found. */

import { plural } from "../format.js";
import { element, icon } from "../ui/dom.js";
import { OWN } from "./own.js";
import { spans } from "./text.js";

/** @typedef {import("./worker.js").Line} Line @typedef {import("./text.js").Style} Style */

/**
 * The settings by which lines are shown.
 * @typedef {object} Look
 * @property {"off" | "local" | "utc" | "elapsed"} times
 * @property {number} firstTime
 * @property {{line: number, nth: number} | undefined} match the occurrence that the person is at
 * @property {{from: number, to: number} | undefined} selected lines that the address names, from 0
 */

/** The element of a line. Its text is the line and nothing else; number and time are drawn by the style sheet. @param {Line} line @param {Look} look */
export function lineElement(line, look) {
  const number = line.number + 1;
  const { selected, match } = look;
  const classes = ["line"];
  if (line.text.startsWith(OWN)) classes.push("own");
  if (selected && line.number >= selected.from && line.number <= selected.to) classes.push("selected");
  return element(
    "div",
    { class: classes.join(" "), "data-line": number },
    element("a", { class: "number", href: `#L${number}`, "data-number": number, "aria-label": `Line ${number}`, tabindex: -1 }),
    line.fold && foldButton(number, line.fold),
    look.times !== "off" && element("span", { class: "time", "data-time": timeText(line.time, look), "aria-hidden": true }),
    line.fold && !(line.found && line.found.length > 0) && !(line.number === 0 && line.fold.isOpen)
      ? element("span", { class: "text section" }, line.fold.title, !line.fold.isOpen && element("span", { class: "hint" }, ` ${plural(line.fold.lines, "line")}`))
      : element("span", { class: "text" }, ...textNodes(line, match?.line === line.number ? match.nth : undefined)),
  );
}

/** @param {number} number @param {NonNullable<Line["fold"]>} fold */
const foldButton = (number, { isOpen, title }) =>
  element("button", { class: "fold-lines", type: "button", "aria-expanded": String(isOpen), "aria-label": title, "data-fold": number - 1 }, icon(isOpen ? "down" : "right"));

/** @param {number} time @param {Look} look */
export function timeText(time, { times, firstTime }) {
  if (times === "elapsed") return elapsed(time - firstTime);
  const date = new Date(time);
  if (times === "utc") return date.toISOString().slice(11, 23);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** @param {number} milliseconds */
function elapsed(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  const rest = (seconds % 60).toFixed(3).padStart(6, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${String(minutes).padStart(2, "0")}:${rest}`;
}

/** @param {Line} line @param {number | undefined} current the occurrence that the person is at */
function textNodes({ text: raw, found = [], style: before }, current) {
  /** @type {(Node | string)[]} */
  const nodes = [];
  const marks = { found, at: 0, current };
  let start = 0;
  // Lines of runvoy's own are not in the colours of the command that left them behind.
  for (const { text, style, link } of spans(raw, raw.startsWith(OWN) ? undefined : before)) {
    const parts = link === undefined ? linked(text) : [{ text, link: address(link) }];
    for (const part of parts) {
      const inner = styled(marked(part.text, start, marks), style);
      nodes.push(...(part.link ? [anchor(part.link, inner)] : inner));
      start += part.text.length;
    }
  }
  return nodes;
}

/** Web addresses in a text. Signs at the end belong to the sentence around it. */
const ADDRESS = /https?:\/\/[^\s<>"'`\u0000-\u001f]+/g;
const AFTER_ADDRESS = /[.,;:!?)\]}]$/;

/** A text in parts, of which some are web addresses. @param {string} text */
export function linked(text) {
  if (!text.includes("://")) return [{ text, link: undefined }];
  /** @type {{text: string, link: string | undefined}[]} */
  const parts = [];
  let done = 0;
  for (const match of text.matchAll(ADDRESS)) {
    let end = match[0].length;
    const hasOpened = match[0].includes("(");
    while (AFTER_ADDRESS.test(match[0].charAt(end - 1)) && !(hasOpened && match[0].charAt(end - 1) === ")")) end -= 1;
    const link = address(match[0].slice(0, end));
    if (!link) continue;
    parts.push({ text: text.slice(done, match.index), link: undefined }, { text: match[0].slice(0, end), link });
    done = match.index + end;
  }
  parts.push({ text: text.slice(done), link: undefined });
  return parts.filter((part) => part.text !== "");
}

/** A link's address, unless it leads to something else than a page on the web. @param {string} link */
function address(link) {
  const url = URL.parse ? URL.parse(link) : URL.canParse(link) ? new URL(link) : null;
  return url && ["http:", "https:"].includes(url.protocol) ? url.href : undefined;
}

/** @param {string} link @param {(Node | string)[]} children */
const anchor = (link, children) =>
  element("a", { class: "log-link", href: link, target: "_blank", rel: "noopener noreferrer", tabindex: -1, title: link }, ...children);

/**
 * The text of a span, with what was found in it in elements of its own.
 * @param {string} text @param {number} start where in the line it begins
 * @param {{found: {start: number, end: number}[], at: number, current: number | undefined}} marks `at`: the first that is not yet behind
 */
function marked(text, start, marks) {
  /** @type {(Node | string)[]} */
  const nodes = [];
  let done = 0;
  for (; marks.at < marks.found.length; marks.at++) {
    const one = /** @type {{start: number, end: number}} */ (marks.found[marks.at]);
    const [from, to] = [Math.max(0, one.start - start), Math.min(text.length, one.end - start)];
    if (from >= text.length) break;
    if (from < to) nodes.push(text.slice(done, from), element("mark", { class: marks.at === marks.current && "current" }, text.slice(from, to)));
    done = Math.max(done, to);
    if (one.end > start + text.length) break;
  }
  nodes.push(text.slice(done));
  return nodes.filter((node) => node !== "");
}

/** @param {(Node | string)[]} nodes @param {Style | undefined} style */
function styled(nodes, style) {
  if (!style) return nodes;
  const classes = ["bold", "dim", "italic", "underline", "strike", "inverse"].filter((name) => style[/** @type {keyof Style} */ (name)]);
  const made = element("span", {}, ...nodes);
  for (const [name, color] of [["foreground", style.foreground], ["background", style.background]]) {
    if (color?.startsWith("#")) made.style.setProperty(`--${name}`, color);
    else if (color) classes.push(`${name}-${color}`);
    if (color) classes.push(/** @type {string} */ (name));
  }
  made.className = classes.join(" ");
  return [made];
}
