/**
 * The parts of the model map that draw one stage and one number: the cells, and the explanation.
 */
import { colorOf, inkOn, paintPoints, scaleOf } from "../parts/colors.js";
import { copyText } from "../parts/controls.js";
import { button, h, line, scroller, tableHead, uniqueId } from "../parts/dom.js";
import { stepInGrid } from "../parts/keys.js";
import { count, grouped } from "../parts/numbers.js";
import { Stepper } from "../parts/stepper.js";
import { drawBytes, pieces } from "../parts/tokens.js";
import {
  brief,
  decimalsFor,
  exactly,
  placeIn,
  squeeze,
  workingOf,
  written,
} from "./model-map-math.js";

/**
 * @import { Token } from "../parts/tokens.js"
 * @import { Place } from "./model-map-math.js"
 */

const TERMS = 8; // on a page of the table of products
const CELL = 46; // px, the least width of a cell with a number in it; on a phone a digit less
const NARROW = 480; // px

/**
 * The colors of numbers, as the style sheet has them.
 * @param {Element} element
 * @param {boolean} isShare  no number is below 0
 */
export function paletteOf(element, isShare) {
  const read = (name) => colorOf(element, name);
  const [low, zero, high] = isShare ? ["least", "least", "most"] : ["negative", "zero", "positive"];
  // 511 colors: 0 is in the middle
  const upper = scaleOf(read(zero), read(high));
  return [...scaleOf(read(low), read(zero)), ...upper.slice(1)];
}

/** Draw a matrix, one pixel a number; the style sheet makes it larger. */
export const paint = (canvas, matrix, table, limit) =>
  paintPoints(canvas, matrix, table, (x) => placeIn(x, limit));

/** A token inside a sentence. @param {number[]} bytes */
export const shownToken = (bytes) =>
  `“${pieces(bytes)
    .map(({ text }) => text)
    .join("")}”`;

/** Scroll so that an element stands where it stood before something above it changed. */
export function holdInPlace(element, before) {
  const moved = element.getBoundingClientRect().top - before;
  let scroller = element.parentElement;
  while (
    scroller &&
    !(
      /auto|scroll/.test(getComputedStyle(scroller).overflowY) &&
      scroller.scrollHeight > scroller.clientHeight
    )
  )
    scroller = scroller.parentElement;
  (scroller ?? document.scrollingElement).scrollTop += moved;
}

/**
 * One stage's numbers: all of them as a picture, and those around the cursor as cells that can be
 * read.
 */
export class Cells {
  /** @param {(row: number, col: number) => void} onMove */
  constructor(onMove) {
    this.onMove = onMove;
    this.from = 0;
    this.shown = 0;
    this.id = uniqueId();
    this.canvas = h("canvas", {
      role: "img",
      onpointerdown: (event) => this.#drag(event),
      onpointermove: (event) => event.buttons && this.#drag(event),
    });
    this.lens = h("div", { class: "bw-map-lens" });
    this.all = h("div", { class: "bw-map-all" }, this.canvas, this.lens);
    this.hint = h("p", { class: "bw-legend" });
    this.grid = h("div", {
      class: "bw-map-grid",
      role: "grid",
      tabindex: 0,
      onkeydown: (event) => this.#press(event),
      onclick: (event) => this.#click(event),
    });
    this.bar = h("span", { class: "bw-map-ramp" });
    this.scale = h("p", { class: "bw-legend bw-map-scale" });
    this.element = h("div", {}, this.all, this.hint, this.grid, this.scale);
    this.observer = new ResizeObserver(() => this.view && this.#fit() !== this.fits && this.draw());
    this.observer.observe(this.element);
  }

  /**
   * @param {{name: string, matrix: any, rowNames: Token[], colName: (c: number) => string, isShare:
   *   boolean, limit: number, isMasked: (r: number, c: number) => boolean, row: number, col:
   *   number}} view
   */
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
    this.canvas.setAttribute(
      "aria-label",
      `${name}: ${count(matrix.rows, "row")} of ${grouped(matrix.cols)} numbers as colors`,
    );
    if (!this.all.hidden)
      paint(
        this.canvas,
        squeeze(matrix, Math.min(matrix.cols, this.all.clientWidth || 600)),
        this.table,
        limit,
      );
    this.hint.textContent = `All ${grouped(matrix.cols)} columns. The framed ones stand below with their numbers: press or drag to move the frame.`;
    this.grid.setAttribute("aria-label", name);
    this.grid.setAttribute("aria-rowcount", matrix.rows + 1);
    this.grid.setAttribute("aria-colcount", matrix.cols + 1);
    this.#drawScale();
    this.#drawGrid();
  }

  /** Move the cursor without a call of `onMove`. */
  put(row, col) {
    this.view.row = row;
    this.view.col = col;
    if (col < this.from || col >= this.from + this.shown) this.#drawGrid();
    else this.#mark();
  }

  /** How many columns have room. */
  #fit() {
    const { clientWidth } = this.element;
    return Math.max(
      4,
      Math.floor(
        ((clientWidth || 600) - this.#labelWidth(clientWidth)) /
          (clientWidth < NARROW ? CELL - 7 : CELL),
      ),
    );
  }

  #labelWidth = (width) => (width < NARROW ? 60 : 104);

  #drawGrid() {
    const { rows, cols } = this.view.matrix;
    const { rowNames, colName, col } = this.view;
    const inside = col >= this.from && col < this.from + this.shown;
    const from = inside ? this.from : col - Math.floor(this.shown / 2);
    this.from = Math.max(0, Math.min(from, cols - this.shown));
    const columns = Array.from({ length: this.shown }, (_, i) => this.from + i);
    const row = (index, ...cells) => h("div", { role: "row", "aria-rowindex": index }, ...cells);
    const header = (role, index, ...names) => h("span", { role, "aria-colindex": index }, ...names);
    const head = row(
      1,
      header("columnheader", 1, rows > 1 ? "token" : "after"),
      ...columns.map((c) => header("columnheader", c + 2, colName(c))),
    );
    const body = Array.from({ length: rows }, (_, r) =>
      row(
        r + 2,
        header("rowheader", 1, ...drawBytes(rowNames[r].bytes)),
        ...columns.map((c) => this.#cell(r, c)),
      ),
    );
    const { clientWidth } = this.element;
    this.grid.style.setProperty(
      "--bw-columns",
      `${this.#labelWidth(clientWidth)}px repeat(${this.shown}, minmax(0, 1fr))`,
    );
    this.grid.replaceChildren(head, ...body);
    this.#mark();
  }

  #cell(r, c) {
    const { matrix, limit, isMasked } = this.view;
    const x = matrix.data[r * matrix.cols + c];
    const color = this.table[placeIn(x, limit)];
    const hidden = isMasked(r, c);
    const attributes = {
      role: "gridcell",
      id: `${this.id}-${r}-${c}`,
      "data-at": `${r} ${c}`,
      "aria-colindex": c + 2,
      class: hidden ? "bw-map-masked" : "",
      style: hidden ? null : `background: rgb(${color}); color: ${inkOn(color)}`,
    };
    return h("span", attributes, brief(x, this.element.clientWidth < NARROW));
  }

  /** Show where the cursor is. */
  #mark() {
    const {
      row,
      col,
      matrix: { rows, cols },
    } = this.view;
    this.grid.querySelector("[aria-selected]")?.removeAttribute("aria-selected");
    const id = `${this.id}-${row}-${col}`;
    this.grid.querySelector(`[id="${id}"]`).setAttribute("aria-selected", true);
    this.grid.setAttribute("aria-activedescendant", id);
    this.lens.style.cssText = `left: ${(100 * this.from) / cols}%; width: ${(100 * this.shown) / cols}%; --bw-row: ${(100 * (row + 0.5)) / rows}%`;
  }

  #drawScale() {
    const {
      limit,
      isShare,
      matrix: { data },
      matrix,
      isMasked,
    } = this.view;
    const beyond = data.reduce((n, x) => n + (Math.abs(x) > limit), 0);
    const stops = (isShare ? [0, 0.5, 1] : [-1, -0.5, 0, 0.5, 1]).map(
      (x) => `rgb(${this.table[placeIn(x, 1)]})`,
    );
    this.bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    const parts = isShare
      ? ["0 ", this.bar, ` ${exactly(limit)}`]
      : [`−${exactly(limit)} `, this.bar, ` +${exactly(limit)}, 0 in the middle`];
    if (beyond) parts.push(`; ${grouped(beyond)} of ${grouped(data.length)} lie beyond`);
    if (matrix.rows > 1 && isMasked(0, 1))
      parts.push(
        h(
          "span",
          {},
          "   ",
          h("span", { class: "bw-swatch bw-map-masked" }),
          " hidden by the mask",
        ),
      );
    this.scale.replaceChildren(...parts);
  }

  #drag(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const { rows, cols } = this.view.matrix;
    const within = (share, n) => Math.max(0, Math.min(n - 1, Math.floor(share * n)));
    this.onMove(
      within((event.clientY - top) / height, rows),
      within((event.clientX - left) / width, cols),
    );
  }

  #click(event) {
    const at = event.target.closest("[data-at]")?.dataset.at.split(" ").map(Number);
    if (at) this.onMove(at[0], at[1]);
  }

  #press(event) {
    const { row, col, matrix } = this.view;
    const size = { rows: matrix.rows, columns: matrix.cols, page: this.shown };
    const to = stepInGrid(event, { row, column: col }, size);
    if (to) this.onMove(to.row, to.column);
  }
}

const LANES = [
  ["attention.q", "--bw-query"],
  ["attention.k", "--bw-key"],
  ["attention.v", "--bw-value"],
  ["attention.weights", "--bw-most"],
];

/**
 * How one number came about: a sentence, bars, the terms by their size, and the steps to the
 * result.
 */
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
    this.element = h(
      "div",
      { class: "bw-map-how", hidden: true },
      this.title,
      this.says,
      this.lanes,
      this.terms,
      this.pages.element,
      this.steps,
      this.python,
    );
  }

  hide() {
    this.element.hidden = true;
    this.reply = null;
  }

  /** @param {any} reply  @param {any} config  @param {(i: number) => Node[]} tokenName */
  show(reply, config, tokenName) {
    this.reply = reply;
    this.config = config;
    this.tokenName = tokenName;
    this.working = workingOf(reply, config);
    const { working, python } = this;
    const { terms, says } = working;
    this.element.hidden = false;
    this.title.textContent = `How ${written(reply)} = ${exactly(reply.value)} came about`;
    this.says.textContent = says;
    python.textContent = "Copy the calculation as Python";
    // a mean is made of all numbers alike: bars only
    this.sorted =
      working.columns.length > 1
        ? [...terms].sort((a, b) => Math.abs(b.term) - Math.abs(a.term))
        : [];
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
    return h(
      "button",
      {
        type: "button",
        class: "bw-map-link",
        "aria-label": `${text}, go to ${written(place)}`,
        onclick: () => this.onFollow(place),
      },
      text,
    );
  }

  #lane(title, numbers, color) {
    const width = Math.max(80, Math.min(numbers.length * 40, this.lanes.clientWidth || 600));
    const row = { rows: 1, cols: numbers.length, data: Float32Array.from(numbers) };
    const { data } = squeeze(row, Math.floor(width / 2));
    const largest = data.reduce((m, x) => Math.max(m, Math.abs(x)), 1e-30);
    const canvas = h("canvas", {
      role: "img",
      "aria-label": `${title} as bars`,
      width: width * 2,
      height: 80,
    });
    this.#paintBars(canvas, data, largest, color);
    canvas.style.width = `${width}px`;
    const words = `${title}: the longest bar is ${exactly(largest)}`;
    return h("div", {}, h("p", { class: "bw-legend" }, words), canvas);
  }

  #paintBars(canvas, data, largest, color) {
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(this.element);
    const read = (name) => style.getPropertyValue(name);
    const [above, below] = [read(color ?? "--bw-positive"), read(color ?? "--bw-negative")];
    const all = data.every((x) => x >= 0); // then 0 is at the bottom
    const [zero, room] = all ? [78, 76] : [40, 38];
    const step = canvas.width / data.length;
    data.forEach((x, i) => {
      const height = (room * Math.abs(x)) / largest;
      pen.fillStyle = x < 0 ? below : above;
      const top = x < 0 ? zero : zero - height;
      pen.fillRect(i * step, top, Math.max(1, step * 0.8), Math.max(1, height));
    });
    pen.fillStyle = read("--bw-line");
    pen.fillRect(0, zero - 0.5, canvas.width, 1);
  }

  #drawLanes() {
    const { terms, columns } = this.working;
    const sets = [
      terms.map(({ left }) => left),
      ...(columns.length > 2 ? [terms.map(({ right }) => right)] : []),
      ...(columns.length > 1 ? [terms.map(({ term }) => term)] : []),
    ];
    const color = (title, i) =>
      i === sets.length - 1 && i > 0
        ? undefined
        : (LANES.find(([name]) => title.includes(name))?.[1] ?? "--bw-muted");
    this.lanes.replaceChildren(
      ...(terms.length
        ? columns.map((title, i) => this.#lane(title, sets[i], color(title, i)))
        : []),
    );
  }

  /** How many decimals all numbers have that are added. */
  #digits() {
    return decimalsFor([
      ...this.sorted.map(({ term }) => term),
      ...this.working.steps.map(({ value }) => value),
    ]);
  }

  #drawTerms() {
    const { columns, terms } = this.working;
    const at = this.pages.step * TERMS;
    const shown = this.sorted.slice(at, at + TERMS);
    if (!shown.length) return this.terms.replaceChildren();
    const digits = this.#digits();
    const over = /attention\.(weights|scores)\[/.test(columns[0]); // one number a token
    const rows = shown.map(({ i, left, right, term, from, and }) =>
      line(
        over ? this.tokenName(i) : [grouped(i)],
        [this.#link(from, exactly(left))],
        ...(columns.length > 2 ? [[this.#link(and, exactly(right))]] : []),
        [term.toFixed(digits)],
      ),
    );
    const others = this.sorted.filter((_, i) => i < at || i >= at + TERMS);
    if (others.length) {
      const rest = others.reduce((sum, { term }) => sum + term, 0);
      const name = others.length === 1 ? "other one" : `${grouped(others.length)} others together`;
      const empty = columns.slice(1).map(() => [""]);
      rows.push(line([`the ${name}`], ...empty, [rest.toFixed(digits)]));
    }
    const what = over ? "token" : this.reply.tensor === "probabilities" ? "id" : "number";
    const caption = h("caption", {}, terms.length > 1 ? "The largest first" : "");
    const head = tableHead(what, ...columns);
    const attributes = { class: "bw-table bw-map-terms" };
    const table = h("table", attributes, caption, head, h("tbody", {}, ...rows));
    this.terms.replaceChildren(scroller("The numbers that it is made of", table));
  }

  #drawSteps() {
    const { steps, result } = this.working;
    // shares are not added to anything, and can be very small
    const digits = this.#digits();
    const shown = (value) =>
      this.reply.operation === "softmax" ? exactly(value) : value.toFixed(digits);
    /** @param {any} step */
    const row = ({ text, value, from, isResult }) =>
      h(
        "tr",
        { class: isResult ? "bw-map-result" : "" },
        h("th", { scope: "row" }, from ? this.#link(from, text) : text),
        h("td", {}, shown(value)),
      );
    const off =
      Math.abs(result - this.reply.value) > 2e-4 * Math.max(1, Math.abs(result))
        ? ` The model itself, which rounds every step, got ${exactly(this.reply.value)}.`
        : "";
    const note = h(
      "p",
      { class: "bw-legend" },
      `The last line is ${written(this.reply)}. Numbers are rounded where they are written, so the last digit of a sum can differ by one or two.${off}`,
    );
    this.steps.replaceChildren(
      h(
        "table",
        { class: "bw-table bw-map-terms bw-map-steps" },
        h("caption", {}, "Step by step"),
        h("tbody", {}, ...steps.map(row)),
      ),
      note,
    );
  }

  /** Copy a text, or offer it for the reader's own keys where copying is not allowed. */
  async copy(text, button) {
    if (await copyText(text)) {
      button.textContent = "Copied";
    } else {
      const field = h("textarea", {
        class: "bw-text",
        readonly: true,
        rows: 4,
        "aria-label": "Python",
      });
      field.value = text;
      button.after(field);
      field.select();
      field.onblur = () => field.remove();
    }
  }
}
