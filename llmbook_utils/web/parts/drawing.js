/** What the widgets that draw with SVG share: elements, curves, and a plot's axes. */
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

/** A drawing of a size, with its sentence for screen readers. @param {...Node} children */
export const picture = (width, height, sentence, ...children) =>
  svg(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": sentence },
    svg("title", {}, sentence),
    ...children,
  );

/** A word in a drawing. @param {string} anchor  @param {string} words */
export const write = (x, y, anchor, words, kind = "") =>
  svg("text", { x, y, "text-anchor": anchor, ...(kind ? { class: kind } : {}) }, words);

/**
 * A curve through points, [x, y] each; a single one is a line without length, which round ends make
 * visible.
 */
function curveThrough(points, kind) {
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
  const every = [1, 2, 5, 10].map((k) => k * ten).find((step) => step >= rough * (1 - 1e-9)) ?? ten;
  const first = Math.ceil(low / every - 1e-9);
  const last = Math.floor(high / every + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) =>
    Number(((first + i) * every).toPrecision(12)),
  );
}

/**
 * A drawing with two axes that is as wide as its place. `paint` is called whenever the width has
 * changed: it takes the ranges with `range` or sets `x` and `y` itself, and ends with `show`.
 */
export class Plot {
  /**
   * @param {{kind?: string, height: number, left?: number, below: string,
   *   paint: (plot: Plot) => void}} options  `below`: the name of the axis across
   */
  constructor({ kind = "bw-plot", height, left = 58, below, paint }) {
    this.height = height;
    this.left = left;
    this.below = below;
    this.paint = paint;
    this.top = 22;
    this.bottom = height - 40;
    this.x = (value) => value;
    this.y = (value) => value;
    this.across = this.up = [0, 1];
    this.width = this.right = 0;
    this.element = h("div", { class: kind });
    this.observer = new ResizeObserver(
      () => this.element.clientWidth !== this.width && this.draw(),
    );
    this.observer.observe(this.element);
  }

  /** Draw anew; nothing is drawn before the plot stands on the page. */
  draw() {
    this.width = this.element.clientWidth;
    this.right = this.width - 14;
    if (this.width) this.paint(this);
  }

  /** Take straight axes: `x` and `y` turn numbers into places from then on. */
  range([x0, x1], [y0, y1]) {
    this.across = [x0, x1];
    this.up = [y0, y1];
    this.x = (value) => this.left + ((value - x0) / (x1 - x0 || 1)) * (this.right - this.left);
    this.y = (value) => this.bottom - ((value - y0) / (y1 - y0 || 1)) * (this.bottom - this.top);
  }

  /** @param {[number, number][]} points */
  line(kind, points) {
    return curveThrough(
      points.map(([a, b]) => [this.x(a), this.y(b)]),
      kind,
    );
  }

  /**
   * Put all together.
   * @param {string} sentence  what a screen reader says of it
   * @param {{across: [number, string][], up: [number, string][], title?: string}} axes  the marks,
   *   each with its text
   * @param {...Node} marks
   */
  show(sentence, { across, up, title = "" }, ...marks) {
    const { x, y, left, right, top, bottom } = this;
    const rule = (x1, y1, x2, y2) => svg("line", { class: "bw-grid", x1, y1, x2, y2 });
    const rows = up.flatMap(([n, text]) => [
      rule(left, y(n), right, y(n)),
      write(left - 6, y(n) + 4, "end", text),
    ]);
    const columns = across.flatMap(([n, text]) => [
      rule(x(n), bottom, x(n), bottom + 5),
      // the last one would stand out of the drawing
      write(x(n), bottom + 18, x(n) > right - 12 ? "end" : "middle", text),
    ]);
    const names = [write((left + right) / 2, bottom + 35, "middle", this.below)];
    if (title) names.push(write(4, top - 9, "start", title));
    this.element.replaceChildren(
      picture(this.width, this.height, sentence, ...rows, ...columns, ...names, ...marks),
    );
  }

  stop() {
    this.observer.disconnect();
  }
}

/** An entry of a legend, with the space after it. */
export const keyed = (kind, words) => [
  h("span", { class: "bw-keyed" }, h("span", { class: `bw-swatch ${kind}` }), ` ${words}`),
  "   ",
];
