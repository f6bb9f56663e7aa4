/** What the widgets that draw with SVG share. */
import { h } from "./dom.js";

/**
 * Make an SVG element.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]  numbers are written to a hundredth of a pixel
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes))
    element.setAttribute(name, typeof value === "number" ? Number(value.toFixed(2)) : value);
  element.append(...children);
  return element;
}

/**
 * A curve through points, [x, y] each; a single one is a line without length, which round ends make
 * visible.
 */
export function curveThrough(points, kind) {
  const places = points.map((point) => point.map((place) => place.toFixed(1)).join(" "));
  return svg("path", {
    class: `bw-curve-line ${kind}`,
    d: `M${(places.length === 1 ? [places[0], places[0]] : places).join("L")}`,
  });
}

/**
 * Numbers for an axis from `low` to `high`, about `n`: multiples of 1, 2 or 5 times a power of ten.
 */
export function ticks(low, high, n = 5) {
  const rough = (high - low) / n;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const every = [1, 2, 5, 10].map((k) => k * ten).find((step) => step >= rough * (1 - 1e-9));
  const first = Math.ceil(low / every - 1e-9);
  const last = Math.floor(high / every + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * every).toPrecision(12)),
  );
}

/** An entry of a legend, with the space behind it. */
export const keyed = (kind, words) => [
  h("span", { class: "bw-keyed" }, h("span", { class: `bw-swatch ${kind}` }), ` ${words}`),
  "   ",
];
