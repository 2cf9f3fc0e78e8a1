/** Draws the lines of a log that are in view. */

import { element } from "../ui/dom.js";
import { spans } from "./text.js";

/** @typedef {import("./worker.js").Line} Line @typedef {import("./text.js").Style} Style */

/** What lines of runvoy's own begin with. */
const OWN = "### runvoy";

/**
 * How lines are shown.
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
    element("a", { class: "number", href: `#L${number}`, "data-number": number, "aria-label": `Line ${number}` }),
    look.times !== "off" && element("span", { class: "time", "data-time": timeText(line.time, look), "aria-hidden": true }),
    element("span", { class: "text" }, ...textNodes(line, match?.line === line.number ? match.nth : undefined)),
  );
}

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
function textNodes({ text: raw, found = [] }, current) {
  /** @type {(Node | string)[]} */
  const nodes = [];
  let start = 0;
  for (const { text, style } of spans(raw)) {
    nodes.push(...styled(marked(text, start, found, current), style));
    start += text.length;
  }
  return nodes;
}

/**
 * The text of a span, with what was found in it in elements of its own.
 * @param {string} text @param {number} start where in the line it begins @param {{start: number, end: number}[]} found
 * @param {number | undefined} current
 */
function marked(text, start, found, current) {
  /** @type {(Node | string)[]} */
  const nodes = [];
  let done = 0;
  for (const [nth, one] of found.entries()) {
    const [from, to] = [Math.max(0, one.start - start), Math.min(text.length, one.end - start)];
    if (from >= to) continue;
    nodes.push(text.slice(done, from), element("mark", { class: nth === current && "current" }, text.slice(from, to)));
    done = to;
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
