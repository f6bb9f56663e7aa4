/**
 * One head's attention weights as a grid: each row is a token that looks, each column one that is
 * looked at, and a cursor on one weight is moved by pointer and keys.
 *
 * @typedef {{T: number, data: Float32Array}} Matrix  row i, column j: how much i looks at j
 * @typedef {{row: number, column: number}} Cursor
 * @typedef {{names: string[], mask: boolean, cursor: Cursor, title: string,
 *   dashed?: Cursor[]}} About  `mask`: no token sees later ones; `dashed`: framed weights
 */
import { colorOf, inkOn, scaleOf } from "./colors.js";
import { h } from "./dom.js";
import { stepInGrid } from "./keys.js";
import { decimal } from "./numbers.js";

// px; from the last one on a cell has its number
const [LEAST_CELL, MOST_CELL, WRITTEN_CELL] = [13, 40, 28];

/** The place of a weight on the scale: its square root, so that small ones can be told apart. */
export const placeOf = (w) => Math.round(255 * Math.sqrt(Math.max(0, Math.min(1, w))));

/** A weight where there is little room. @param {number} w  0.123 -> ".12" */
export const brief = (w) => (w >= 0.995 ? "1.0" : decimal(w, 2).replace(/^0/, ""));

/** Where a token looks most; among equals the first. @param {Matrix} matrix  @param {number} row */
export function mostIn({ T, data }, row) {
  let best = row * T;
  for (let at = row * T; at < (row + 1) * T; at += 1) if (data[at] > data[best]) best = at;
  return best - row * T;
}

/** The colors of weights, as an element has them in the page's theme. */
export function weightColors(element) {
  const read = (name) => colorOf(element, name);
  const scale = scaleOf(read("least"), read("most"));
  // a lecture has larger type
  const size = Number(getComputedStyle(element).getPropertyValue("--bw-size")) || 1;
  return {
    scale,
    css: scale.map((rgb) => `rgb(${rgb.join(" ")})`),
    font: `${Math.round(12 * size)}px ${read("mono")}`,
    size,
    ink: read("ink"),
    muted: read("muted"),
    focus: read("focus"),
    paper: read("paper"),
    line: read("line"),
  };
}

/** A canvas of a size in the page's pixels, empty. */
function fit(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

/** As much of a text as there is room for. */
function shortened(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > room) end -= 1;
  return `${text.slice(0, end)}…`;
}

/** The place of a grid that is not drawn yet. */
const NOWHERE = { left: 0, top: 0, cell: 0, rows: 0 };

export class WeightGrid {
  /** @param {(cursor: Cursor) => void} onMove */
  constructor(onMove) {
    this.onMove = onMove;
    /** @type {Matrix} */
    this.matrix = { T: 0, data: new Float32Array(0) };
    /** @type {string[]} */
    this.names = [];
    this.mask = true;
    /** @type {Cursor} */
    this.cursor = { row: 0, column: 0 };
    this.title = "";
    /** @type {Cursor[]} */
    this.dashed = [];
    this.place = NOWHERE;
    this.canvas = h("canvas", { role: "img" });
    const pointed = (event) => this.#point(event);
    this.pad = h(
      "div",
      {
        class: "bw-pad",
        role: "application",
        tabindex: 0,
        onclick: pointed,
        onpointermove: (event) => event.pointerType === "mouse" && pointed(event),
        onkeydown: (event) => this.#press(event),
      },
      this.canvas,
    );
    this.box = h("div", { class: "bw-scroll bw-picture" }, this.pad);
  }

  /** Take another head; `paint` draws it. @param {Matrix} matrix  @param {About} about */
  show(matrix, { names, mask, cursor, title, dashed = [] }) {
    this.matrix = matrix;
    this.names = names;
    this.mask = mask;
    this.cursor = cursor;
    this.title = title;
    this.dashed = dashed;
    this.pad.setAttribute("aria-label", title);
  }

  /** @param {Cursor} cursor  @param {string} sentence  what a screen reader says of the picture */
  move(cursor, sentence) {
    this.cursor = cursor;
    this.canvas.setAttribute("aria-label", sentence);
  }

  /** Draw all, with the colors of before if none are given. */
  paint(colors = this.colors) {
    this.colors = colors;
    const width = this.box.clientWidth;
    if (width && colors) this.paintIn(width, colors);
  }

  /** @param {number} width */
  paintIn(width, colors) {
    const { T } = this.matrix;
    const { labels, room } = this.labels(colors.font, (width < 500 ? 64 : 96) * colors.size);
    // in a lecture the whole grid is to be seen
    const high = colors.size > 1 ? Math.floor((0.7 * innerHeight - room) / T) : MOST_CELL;
    const most = Math.min(MOST_CELL * colors.size, high);
    const cell = Math.max(LEAST_CELL, Math.min(most, Math.floor((width - room - 2) / T)));
    const size = room + cell * T + 2;
    this.place = { left: room, top: room, cell, rows: cell };
    const context = this.empty(size, size, colors);
    this.#cells(context, colors);
    this.#names(context, labels, colors);
    this.#frames(context, colors);
  }

  /** A context on an empty canvas of a size. */
  empty(width, height, { font }) {
    const context = fit(this.canvas, width, height);
    context.font = font;
    context.textBaseline = "middle";
    return context;
  }

  /** Names of tokens as long as there is room for, and the width that they take. */
  labels(font, most) {
    const context = this.canvas.getContext("2d");
    context.font = font;
    const labels = this.names.map((name) => shortened(context, name, most));
    const widest = Math.max(...labels.map((label) => context.measureText(label).width));
    return { labels, room: Math.ceil(widest) + 8 };
  }

  /** A line. @param {number[]} ends  x and y of both */
  stroke(context, color, ends, width = 1) {
    const [x1, y1, x2, y2] = ends;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.stroke();
  }

  /** Where a point of the canvas leads; null: nowhere. @returns {Cursor | null} */
  cursorAt(x, y) {
    const { left, top, cell } = this.place;
    if (x < left && y < top) return null;
    const row = y < top ? this.cursor.row : this.within((y - top) / cell);
    return { row, column: x < left ? mostIn(this.matrix, row) : this.within((x - left) / cell) };
  }

  /** @param {number} i */
  within(i) {
    return Math.max(0, Math.min(this.matrix.T - 1, Math.floor(i)));
  }

  #cells(context, { css, scale, line, paper, size }) {
    const { T, data } = this.matrix;
    const { left, top, cell } = this.place;
    const gap = cell > 16 ? 1 : 0;
    const [near, far] = [0.3 * cell, 0.7 * cell];
    context.textAlign = "center";
    for (let row = 0; row < T; row += 1) {
      for (let column = 0; column < T; column += 1) {
        const [x, y, w] = [left + column * cell, top + row * cell, data[row * T + column]];
        const hidden = this.mask && column > row;
        context.fillStyle = hidden ? paper : css[placeOf(w)];
        context.fillRect(x, y, cell - gap, cell - gap);
        if (hidden) this.stroke(context, line, [x + near, y + far, x + far, y + near]);
        else if (cell >= WRITTEN_CELL * size) {
          context.fillStyle = inkOn(scale[placeOf(w)]);
          context.fillText(brief(w), x + cell / 2, y + cell / 2);
        }
      }
    }
  }

  #names(context, labels, { ink, muted, focus, font }) {
    const { left, top, cell } = this.place;
    const style = (chosen) => {
      context.font = chosen ? `bold ${font}` : font;
      context.fillStyle = chosen ? ink : muted;
    };
    labels.forEach((label, i) => {
      const [from, middle] = [top + i * cell, i * cell + cell / 2];
      style(i === this.cursor.row);
      context.textAlign = "right";
      context.fillText(label, left - 6, top + middle);
      if (i === this.cursor.row)
        this.stroke(context, focus, [left - 2, from, left - 2, from + cell], 3);
      style(i === this.cursor.column);
      context.save();
      context.translate(left + middle, top - 6);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(label, 0, 0);
      context.restore();
    });
  }

  /** Two lines each, a pale one inside: a frame is seen on light and on dark cells. */
  #frames(context, { focus, paper, ink }) {
    const { left, top, cell } = this.place;
    const frame = ({ row, column }, inset, color, width) => {
      const size = cell - 2 * inset - 1;
      context.strokeStyle = color;
      context.lineWidth = width;
      context.strokeRect(left + column * cell + inset, top + row * cell + inset, size, size);
    };
    for (const at of this.dashed) {
      frame(at, 3, paper, 4);
      context.setLineDash([3, 2]);
      frame(at, 3, ink, 2);
      context.setLineDash([]);
    }
    frame(this.cursor, 1.5, paper, 1);
    frame(this.cursor, -0.5, focus, 2.5);
  }

  #point(event) {
    if (!this.place.rows) return;
    const edges = this.canvas.getBoundingClientRect();
    const to = this.cursorAt(event.clientX - edges.left, event.clientY - edges.top);
    if (to) this.#go(to);
  }

  #press(event) {
    const { T } = this.matrix;
    const to = stepInGrid(event, this.cursor, { rows: T, columns: T });
    if (!to) return;
    this.#go(to);
    this.reveal();
  }

  #go(cursor) {
    if (cursor.row !== this.cursor.row || cursor.column !== this.cursor.column) this.onMove(cursor);
  }

  /** Scroll the box sideways until the cell is in sight. */
  reveal() {
    const { left, cell } = this.place;
    const [x, { scrollLeft, clientWidth }] = [left + this.cursor.column * cell, this.box];
    if (x < scrollLeft || x + cell > scrollLeft + clientWidth)
      this.box.scrollLeft = x - clientWidth / 2;
  }
}
