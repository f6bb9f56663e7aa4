/** Colors of numbers: scales between those that the style sheet has, for canvases and cells. */

/** A variable of the style sheet, as the element has it in the page's theme. */
export const colorOf = (element, name) =>
  getComputedStyle(element).getPropertyValue(`--bw-${name}`).trim();

/** @param {string} hex  "#1d232b"  @returns {number[]} red, green, blue */
const rgbOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/**
 * Colors from one to another, both included.
 * @param {string} low  "#ffffff"
 * @param {string} high
 * @param {number} [n]
 */
export function scaleOf(low, high, n = 256) {
  const [from, to] = [rgbOf(low), rgbOf(high)];
  const mixed = (share) => from.map((x, i) => Math.round(x + (to[i] - x) * share));
  return Array.from({ length: n }, (_, i) => mixed(i / (n - 1)));
}

/** Black or white, whichever reads better on a color. @param {number[]} rgb */
export function inkOn(rgb) {
  // relative luminance as WCAG 2 has it
  const [r, g, b] = rgb.map((x) =>
    x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/**
 * Draw numbers, a point each.
 * @param {HTMLCanvasElement} canvas
 * @param {{rows: number, cols: number, data: Float32Array}} matrix
 * @param {number[][]} colors
 * @param {(x: number) => number} placeOf  where a number's color stands among them
 */
export function paintPoints(canvas, { rows, cols, data }, colors, placeOf) {
  canvas.width = cols;
  canvas.height = rows;
  const image = new ImageData(cols, rows);
  const points = new Uint32Array(image.data.buffer);
  // as little-endian machines read them
  const words = colors.map(([r, g, b]) => 0xff000000 | (b << 16) | (g << 8) | r);
  for (let i = 0; i < data.length; i += 1) points[i] = words[placeOf(data[i])];
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}

/**
 * Call a function whenever the page or the notebook takes another theme.
 * @param {() => void} draw
 * @returns {MutationObserver}  to be disconnected at the end
 */
export function onTheme(draw) {
  const observer = new MutationObserver(draw);
  const attributeFilter = ["data-theme", "theme", "class", "data-jp-theme-light"];
  for (const element of [document.documentElement, document.body])
    observer.observe(element, { attributeFilter });
  return observer;
}
