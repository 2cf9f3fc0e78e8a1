/** Draws small plots as SVG: bars that are stacked, and bars in a row with their names. */

import { element } from "./dom.js";

/** @param {string} name @param {Record<string, string | number>} attributes @param {...Node} children */
function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/**
 * A plot of columns.
 * @typedef {{label: string, parts: {kind: string, count: number, name: string}[], href?: string}} Column `label` says what the column is
 */

const WIDTH = 600;
const HEIGHT = 140;
const FOOT = 18;
/** Room above the highest column, for its number. */
const TOP = 18;

/**
 * Columns of stacked parts, with the greatest number at the side and some labels below.
 * @param {string} title @param {Column[]} columns @param {{labels: [at: number, text: string][]}} options
 */
export function columns(title, columns, { labels }) {
  const most = Math.max(1, ...columns.map(({ parts }) => parts.reduce((sum, { count }) => sum + count, 0)));
  const width = WIDTH / Math.max(1, columns.length);
  const gap = Math.min(2, width / 5);
  const drawn = columns.map(({ label, parts }, at) => {
    let top = HEIGHT;
    const total = parts.reduce((sum, { count }) => sum + count, 0);
    const rects = parts.filter(({ count }) => count > 0).map(({ kind, count }) => {
      const height = Math.max(1, (count / most) * (HEIGHT - TOP));
      top -= height;
      return svg("rect", { x: at * width + gap / 2, y: top, width: Math.max(0.5, width - gap), height, class: `plot-${kind}`, rx: 1 });
    });
    const said = svg("title", {});
    said.textContent = `${label}: ${total === 0 ? "none" : parts.filter(({ count }) => count > 0).map(({ name, count }) => `${count} ${name}`).join(", ")}`;
    return svg("g", {}, said, svg("rect", { x: at * width, y: 0, width, height: HEIGHT, class: "plot-behind" }), ...rects);
  });
  const texts = labels.map(([at, text]) => {
    const made = svg("text", { x: at === 0 ? 0 : at >= columns.length - 1 ? WIDTH : (at + 0.5) * width, y: HEIGHT + FOOT - 4, "text-anchor": at === 0 ? "start" : at >= columns.length - 1 ? "end" : "middle" });
    made.textContent = text;
    return made;
  });
  const scale = svg("text", { x: 0, y: 12, class: "plot-scale" });
  scale.textContent = most.toLocaleString("en");
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + FOOT}`, class: "plot", role: "img", "aria-label": title },
    svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: "plot-line" }), ...drawn, scale, ...texts);
  return element("figure", {}, element("figcaption", {}, title), picture);
}

/**
 * Names with bars, the longest first.
 * @param {string} title @param {{name: import("./dom.js").Child, count: number, text: string, kind?: string}[]} rows
 */
export function bars(title, rows) {
  const most = Math.max(1, ...rows.map(({ count }) => count));
  return element("figure", {},
    element("figcaption", {}, title),
    rows.length === 0 ? element("p", { class: "hint" }, "Nothing yet.") : element("ul", { class: "bars" }, ...rows.map(({ name, count, text, kind = "all" }) => {
      const bar = element("meter", { class: `bar-${kind}`, min: 0, max: most, "aria-hidden": true });
      bar.value = count;
      return element("li", {}, element("span", { class: "bar-name" }, name), bar, element("span", { class: "hint" }, text));
    })));
}
