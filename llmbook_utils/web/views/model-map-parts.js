/**
 * The parts of the model map that draw one stage and one number: the cells, and the explanation.
 */
import { h, uniqueId } from "../parts/dom.js";
import { count, grouped } from "../parts/numbers.js";
import { Stepper } from "../parts/stepper.js";
import { drawBytes, pieces } from "../parts/tokens.js";
import { brief, colorTable, decimalsFor, exactly, inkOn, placeIn, squeeze, workingOf, written } from "./model-map-math.js";

const TERMS = 8; // on a page of the table of products
const CELL = 46; // px, the least width of a cell with a number in it; on a phone a digit less
const NARROW = 480; // px

/** The colors of numbers, as the style sheet has them. @param {Element} element  @param {boolean} isShare  no number is below 0 */
export function paletteOf(element, isShare) {
  const style = getComputedStyle(element);
  const names = isShare ? ["least", "least", "most"] : ["negative", "zero", "positive"];
  return colorTable(names.map((name) => style.getPropertyValue(`--bw-${name}`).trim()));
}

/** Draw a matrix, one pixel a number; the style sheet makes it larger. */
export function paint(canvas, { rows, cols, data }, table, limit) {
  Object.assign(canvas, { width: cols, height: rows });
  const image = new ImageData(cols, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const colors = table.map(([r, g, b]) => 0xff000000 | (b << 16) | (g << 8) | r); // as little-endian machines read them
  for (let i = 0; i < data.length; i += 1) pixels[i] = colors[placeIn(data[i], limit)];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

export const button = (text, onclick, kind = "") => h("button", { type: "button", class: `bw-button ${kind}`, onclick }, text);

/** A token inside a sentence. @param {number[]} bytes */
export const shownToken = (bytes) => `“${pieces(bytes).map(({ text }) => text).join("")}”`;

/** Scroll so that an element stands where it stood before something above it changed. */
export function holdInPlace(element, before) {
  const moved = element.getBoundingClientRect().top - before;
  let scroller = element.parentElement;
  while (scroller && !(/auto|scroll/.test(getComputedStyle(scroller).overflowY) && scroller.scrollHeight > scroller.clientHeight)) scroller = scroller.parentElement;
  (scroller ?? document.scrollingElement).scrollTop += moved;
}

/** One stage's numbers: all of them as a picture, and those around the cursor as cells that can be read. */
export class Cells {
  /** @param {(row: number, col: number) => void} onMove */
  constructor(onMove) {
    Object.assign(this, { onMove, from: 0, shown: 0, id: uniqueId() });
    this.canvas = h("canvas", { role: "img", onpointerdown: (event) => this.#drag(event), onpointermove: (event) => event.buttons && this.#drag(event) });
    this.lens = h("div", { class: "bw-map-lens" });
    this.all = h("div", { class: "bw-map-all" }, this.canvas, this.lens);
    this.hint = h("p", { class: "bw-legend" });
    this.grid = h("div", { class: "bw-map-grid", role: "grid", tabindex: 0, onkeydown: (event) => this.#press(event), onclick: (event) => this.#click(event) });
    this.bar = h("span", { class: "bw-map-ramp" });
    this.scale = h("p", { class: "bw-legend bw-map-scale" });
    this.element = h("div", {}, this.all, this.hint, this.grid, this.scale);
    this.observer = new ResizeObserver(() => this.view && this.#fit() !== this.fits && this.draw());
    this.observer.observe(this.element);
  }

  /** @param {{name: string, matrix: any, rowNames: Token[], colName: (c: number) => string, isShare: boolean, limit: number, isMasked: (r: number, c: number) => boolean, row: number, col: number}} view */
  show(view) {
    this.view = view;
    this.from = Math.max(0, view.col - 2);
    this.draw();
  }

  draw() {
    const { view } = this;
    if (!this.element.isConnected) return; // it has no colors yet; the observer draws it
    const { matrix, limit, name } = view;
    this.table = paletteOf(this.element, view.isShare);
    this.fits = this.#fit();
    this.shown = Math.min(matrix.cols, this.fits);
    this.all.hidden = this.hint.hidden = this.shown === matrix.cols;
    this.canvas.setAttribute("aria-label", `${name}: ${count(matrix.rows, "row")} of ${grouped(matrix.cols)} numbers as colors`);
    if (!this.all.hidden) paint(this.canvas, squeeze(matrix, Math.min(matrix.cols, this.all.clientWidth || 600)), this.table, limit);
    this.hint.textContent = `All ${grouped(matrix.cols)} columns. The framed ones stand below with their numbers: press or drag to move the frame.`;
    this.grid.setAttribute("aria-label", name);
    this.grid.setAttribute("aria-rowcount", matrix.rows + 1);
    this.grid.setAttribute("aria-colcount", matrix.cols + 1);
    this.#drawScale();
    this.#drawGrid();
  }

  /** Move the cursor without a call of `onMove`. */
  put(row, col) {
    Object.assign(this.view, { row, col });
    if (col < this.from || col >= this.from + this.shown) this.#drawGrid();
    else this.#mark();
  }

  /** How many columns have room. */
  #fit() {
    const { clientWidth } = this.element;
    return Math.max(4, Math.floor(((clientWidth || 600) - this.#labelWidth(clientWidth)) / (clientWidth < NARROW ? CELL - 7 : CELL)));
  }

  #labelWidth = (width) => (width < NARROW ? 60 : 104);

  #drawGrid() {
    const { matrix: { rows, cols, data }, rowNames, colName, limit, isMasked, col } = this.view;
    const inside = col >= this.from && col < this.from + this.shown;
    this.from = Math.max(0, Math.min(inside ? this.from : col - Math.floor(this.shown / 2), cols - this.shown));
    const columns = Array.from({ length: this.shown }, (_, i) => this.from + i);
    const isNarrow = this.element.clientWidth < NARROW;
    const cell = (r, c) => {
      const x = data[r * cols + c];
      const color = this.table[placeIn(x, limit)];
      const look = isMasked(r, c) ? {} : { style: `background: rgb(${color}); color: ${inkOn(color)}` };
      return h("span", { role: "gridcell", id: `${this.id}-${r}-${c}`, "data-at": `${r} ${c}`, "aria-colindex": c + 2, class: isMasked(r, c) ? "bw-map-masked" : "", ...look }, brief(x, isNarrow));
    };
    const head = h("div", { role: "row", "aria-rowindex": 1 }, h("span", { role: "columnheader", "aria-colindex": 1 }, rows > 1 ? "token" : "after"), ...columns.map((c) => h("span", { role: "columnheader", "aria-colindex": c + 2 }, colName(c))));
    const body = Array.from({ length: rows }, (_, r) => h("div", { role: "row", "aria-rowindex": r + 2 }, h("span", { role: "rowheader", "aria-colindex": 1 }, ...drawBytes(rowNames[r].bytes)), ...columns.map((c) => cell(r, c))));
    this.grid.style.setProperty("--bw-columns", `${this.#labelWidth(this.element.clientWidth)}px repeat(${this.shown}, minmax(0, 1fr))`);
    this.grid.replaceChildren(head, ...body);
    this.#mark();
  }

  /** Show where the cursor is. */
  #mark() {
    const { row, col, matrix: { rows, cols } } = this.view;
    this.grid.querySelector("[aria-selected]")?.removeAttribute("aria-selected");
    const id = `${this.id}-${row}-${col}`;
    this.grid.querySelector(`[id="${id}"]`).setAttribute("aria-selected", true);
    this.grid.setAttribute("aria-activedescendant", id);
    this.lens.style.cssText = `left: ${(100 * this.from) / cols}%; width: ${(100 * this.shown) / cols}%; --bw-row: ${(100 * (row + 0.5)) / rows}%`;
  }

  #drawScale() {
    const { limit, isShare, matrix: { data }, matrix, isMasked } = this.view;
    const beyond = data.reduce((n, x) => n + (Math.abs(x) > limit), 0);
    const stops = (isShare ? [0, 0.5, 1] : [-1, -0.5, 0, 0.5, 1]).map((x) => `rgb(${this.table[placeIn(x, 1)]})`);
    this.bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const parts = isShare ? ["0 ", this.bar, ` ${exactly(limit)}`] : [`−${exactly(limit)} `, this.bar, ` +${exactly(limit)}, 0 in the middle`];
    if (beyond) parts.push(`; ${grouped(beyond)} of ${grouped(data.length)} lie beyond`);
    if (matrix.rows > 1 && isMasked(0, 1)) parts.push(h("span", {}, "   ", h("span", { class: "bw-swatch bw-map-masked" }), " hidden by the mask"));
    this.scale.replaceChildren(...parts);
  }

  #drag(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const { rows, cols } = this.view.matrix;
    const within = (share, n) => Math.max(0, Math.min(n - 1, Math.floor(share * n)));
    this.onMove(within((event.clientY - top) / height, rows), within((event.clientX - left) / width, cols));
  }

  #click(event) {
    const at = event.target.closest("[data-at]")?.dataset.at.split(" ").map(Number);
    if (at) this.onMove(...at);
  }

  #press(event) {
    const { row, col, matrix: { rows, cols } } = this.view;
    const moves = {
      ArrowLeft: [row, col - 1], ArrowRight: [row, col + 1], ArrowUp: [row - 1, col], ArrowDown: [row + 1, col],
      Home: [row, 0], End: [row, cols - 1], PageUp: [row, col - this.shown], PageDown: [row, col + this.shown],
    };
    const to = moves[event.key];
    if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.onMove(Math.max(0, Math.min(rows - 1, to[0])), Math.max(0, Math.min(cols - 1, to[1])));
  }
}

const LANES = [["attention.q", "--bw-query"], ["attention.k", "--bw-key"], ["attention.v", "--bw-value"], ["attention.weights", "--bw-most"]];

/** How one number came about: a sentence, bars, the terms by their size, and the steps to the result. */
export class Explanation {
  /** @param {(place: Place) => void} onFollow */
  constructor(onFollow) {
    this.onFollow = onFollow;
    this.title = h("p", { class: "bw-part-title", tabindex: -1 });
    this.says = h("p", {});
    this.lanes = h("div", { class: "bw-map-lanes" });
    this.terms = h("div", {});
    this.pages = new Stepper({ noun: "page", first: 1, onStep: () => this.#drawTerms() });
    this.steps = h("div", {});
    this.python = button("", () => this.copy(this.working.python.join("\n"), this.python));
    this.element = h("div", { class: "bw-map-how", hidden: true }, this.title, this.says, this.lanes, this.terms, this.pages.element, this.steps, this.python);
  }

  hide() {
    this.element.hidden = true;
    this.reply = null;
  }

  /** @param {any} reply  @param {any} config  @param {(i: number) => Node[]} tokenName */
  show(reply, config, tokenName) {
    Object.assign(this, { reply, config, tokenName, working: workingOf(reply, config) });
    const { working, python } = this;
    const { terms, says } = working;
    this.element.hidden = false;
    this.title.textContent = `How ${written(reply)} = ${exactly(reply.value)} came about`;
    this.says.textContent = says;
    python.textContent = "Copy the calculation as Python";
    // a mean is made of all numbers alike: bars only
    this.sorted = working.columns.length > 1 ? [...terms].sort((a, b) => Math.abs(b.term) - Math.abs(a.term)) : [];
    this.pages.element.hidden = this.sorted.length <= TERMS;
    this.pages.reset(Math.max(0, Math.ceil(this.sorted.length / TERMS) - 1));
    this.draw();
  }

  draw() {
    if (!this.reply || !this.element.isConnected) return;
    this.#drawLanes();
    this.#drawTerms();
    this.#drawSteps();
  }

  #link(place, text) {
    if (!place) return text;
    return h("button", { type: "button", class: "bw-map-link", "aria-label": `${text}, go to ${written(place)}`, onclick: () => this.onFollow(place) }, text);
  }

  #lane(title, numbers, color) {
    const width = Math.max(80, Math.min(numbers.length * 40, this.lanes.clientWidth || 600));
    const { data } = squeeze({ rows: 1, cols: numbers.length, data: Float32Array.from(numbers) }, Math.floor(width / 2));
    const canvas = h("canvas", { role: "img", "aria-label": `${title} as bars`, width: width * 2, height: 80 });
    const largest = data.reduce((m, x) => Math.max(m, Math.abs(x)), 1e-30);
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(this.element);
    const [above, below, line] = [color ?? "--bw-positive", color ?? "--bw-negative", "--bw-line"].map((name) => style.getPropertyValue(name));
    const all = data.every((x) => x >= 0); // then 0 is at the bottom
    const [zero, room] = all ? [78, 76] : [40, 38];
    data.forEach((x, i) => {
      pen.fillStyle = x < 0 ? below : above;
      const step = canvas.width / data.length;
      const height = (room * Math.abs(x)) / largest;
      pen.fillRect(i * step, x < 0 ? zero : zero - height, Math.max(1, step * 0.8), Math.max(1, height));
    });
    pen.fillStyle = line;
    pen.fillRect(0, zero - 0.5, canvas.width, 1);
    canvas.style.width = `${width}px`;
    return h("div", {}, h("p", { class: "bw-legend" }, `${title}: the longest bar is ${exactly(largest)}`), canvas);
  }

  #drawLanes() {
    const { terms, columns } = this.working;
    const sets = [terms.map(({ left }) => left), ...(columns.length > 2 ? [terms.map(({ right }) => right)] : []), ...(columns.length > 1 ? [terms.map(({ term }) => term)] : [])];
    const color = (title, i) => (i === sets.length - 1 && i > 0 ? undefined : LANES.find(([name]) => title.includes(name))?.[1] ?? "--bw-muted");
    this.lanes.replaceChildren(...(terms.length ? columns.map((title, i) => this.#lane(title, sets[i], color(title, i))) : []));
  }

  /** How many decimals all numbers have that are added. */
  #digits() {
    return decimalsFor([...this.sorted.map(({ term }) => term), ...this.working.steps.map(({ value }) => value)]);
  }

  #drawTerms() {
    const { columns, terms } = this.working;
    const at = this.pages.step * TERMS;
    const shown = this.sorted.slice(at, at + TERMS);
    if (!shown.length) return this.terms.replaceChildren();
    const digits = this.#digits();
    const over = /attention\.(weights|scores)\[/.test(columns[0]); // one number a token
    const named = (i) => (over ? this.tokenName(i) : [grouped(i)]);
    const row = ({ i, left, right, term, from, and }) => [
      named(i), [this.#link(from, exactly(left))],
      ...(columns.length > 2 ? [[this.#link(and, exactly(right))]] : []), [term.toFixed(digits)],
    ];
    const rest = this.sorted.filter((_, i) => i < at || i >= at + TERMS).reduce((sum, { term }) => sum + term, 0);
    const others = terms.length - shown.length;
    const rows = shown.map(row);
    if (others) rows.push([[`the ${others === 1 ? "other one" : `${grouped(others)} others together`}`], ...columns.slice(1).map(() => [""]), [rest.toFixed(digits)]]);
    const line = ([name, ...cells]) => h("tr", {}, h("th", { scope: "row" }, ...name), ...cells.map((cell) => h("td", {}, ...cell)));
    const head = h("tr", {}, h("th", { scope: "col" }, over ? "token" : this.reply.tensor === "probabilities" ? "id" : "number"), ...columns.map((name) => h("th", { scope: "col" }, name)));
    const table = h("table", { class: "bw-table bw-map-terms" }, h("caption", {}, terms.length > 1 ? "The largest first" : ""), h("thead", {}, head), h("tbody", {}, ...rows.map(line)));
    this.terms.replaceChildren(h("div", { class: "bw-scroll", role: "group", "aria-label": "The numbers that it is made of", tabindex: 0 }, table));
  }

  #drawSteps() {
    const { steps, result } = this.working;
    // shares are not added to anything, and can be very small
    const digits = this.#digits();
    const shown = (value) => (this.reply.operation === "softmax" ? exactly(value) : value.toFixed(digits));
    const row = ({ text, value, from, isResult }) => h("tr", { class: isResult ? "bw-map-result" : "" }, h("th", { scope: "row" }, from ? this.#link(from, text) : text), h("td", {}, shown(value)));
    const off = Math.abs(result - this.reply.value) > 2e-4 * Math.max(1, Math.abs(result)) ? ` The model itself, which rounds every step, got ${exactly(this.reply.value)}.` : "";
    const note = h("p", { class: "bw-legend" }, `The last line is ${written(this.reply)}. Numbers are rounded where they are written, so the last digit of a sum can differ by one or two.${off}`);
    this.steps.replaceChildren(h("table", { class: "bw-table bw-map-terms bw-map-steps" }, h("caption", {}, "Step by step"), h("tbody", {}, ...steps.map(row))), note);
  }

  /** Copy a text, or offer it for the reader's own keys where copying is not allowed. */
  async copy(text, button) {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      const field = h("textarea", { class: "bw-text", readonly: true, rows: 4, "aria-label": "Python" });
      field.value = text;
      button.after(field);
      field.select();
      field.onblur = () => field.remove();
    }
  }
}
