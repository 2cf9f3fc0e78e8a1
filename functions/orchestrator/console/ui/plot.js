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

/** The size of the drawing, which is stretched over the room that there is. Its texts are not, so that they stay readable. */
const WIDTH = 600;
const HEIGHT = 120;

/**
 * Columns of stacked parts, with the greatest number at the side and some labels below.
 * @param {string} title @param {Column[]} columns @param {{labels: [at: number, text: string][], note?: string, kind?: string}} options
 */
export function columns(title, columns, { labels, note, kind = "" }) {
  const most = Math.max(1, ...columns.map(({ parts }) => parts.reduce((sum, { count }) => sum + count, 0)));
  const width = WIDTH / Math.max(1, columns.length);
  const gap = Math.min(2, width / 5);
  const drawn = columns.map(({ label, parts }, at) => {
    let top = HEIGHT;
    const total = parts.reduce((sum, { count }) => sum + count, 0);
    const rects = parts.filter(({ count }) => count > 0).map(({ kind, count }) => {
      const height = Math.max(1, (count / most) * HEIGHT);
      top -= height;
      return svg("rect", { x: at * width + gap / 2, y: top, width: Math.max(0.5, width - gap), height, class: `plot-${kind}` });
    });
    const said = svg("title", {});
    said.textContent = `${label}: ${total === 0 ? "none" : parts.filter(({ count }) => count > 0).map(({ name, count }) => `${count} ${name}`).join(", ")}`;
    return svg("g", {}, said, svg("rect", { x: at * width, y: 0, width, height: HEIGHT, class: "plot-behind" }), ...rects);
  });
  const texts = labels.map(([at, text]) => {
    const made = element("span", {}, text);
    // The first label begins at its column, the last one ends there, and the others stand below the middle of theirs.
    if (at >= columns.length - 1) made.style.right = "0";
    else made.style.left = `${(100 * (at === 0 ? 0 : at + 0.5)) / columns.length}%`;
    if (at > 0 && at < columns.length - 1) made.className = "middle";
    return made;
  });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "plot", role: "img", "aria-label": title },
    svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: "plot-line" }), ...drawn);
  return element("figure", { class: kind }, element("figcaption", {}, title), note && element("p", { class: "hint" }, note),
    element("div", { class: "plot-scale" }, most.toLocaleString("en")), picture, element("div", { class: "plot-labels", "aria-hidden": true }, ...texts));
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
