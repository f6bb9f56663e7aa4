/** Sliding window: how a text becomes training examples, each with its targets one token later. */
import {
  button,
  frame,
  h,
  opensOn,
  reveal,
  scroller,
  tableHead,
  tiles,
  uniqueId,
} from "../parts/dom.js";
import { count, grouped } from "../parts/numbers.js";
import { Stepper } from "../parts/stepper.js";
import { drawBytes, tokensOf, TokenSource } from "../parts/tokens.js";

const MOST = 1024; // the largest context length and stride that can be typed
const ROWS = 100; // windows listed at first
const CELLS = 64; // tokens drawn of one window

/**
 * The windows over `length` tokens: as SlidingWindowDataset in llmbook_utils/data.py counts them.
 * @returns {number[]} where each window starts
 */
export function windowStarts(length, contextLength, stride) {
  const starts = [];
  for (let start = 0; start + contextLength + 1 <= length; start += stride) starts.push(start);
  return starts;
}

/**
 * How often each token is read as an input, and what follows from that.
 * @returns {{reads: number[], used: number, leftOver: number, repeated: number[], unread:
 *   number[]}} `used`: tokens up to the last target; `unread`: tokens among them that no window
 *   reads as an input
 */
export function usage(length, contextLength, stride) {
  const starts = windowStarts(length, contextLength, stride);
  const reads = new Array(length).fill(0);
  for (const start of starts)
    for (let at = start; at < start + contextLength; at += 1) reads[at] += 1;
  const used = starts.length ? starts.at(-1) + contextLength + 1 : 0;
  const where = (test) => reads.flatMap((n, at) => (at < used && test(n) ? [at] : []));
  return {
    reads,
    used,
    leftOver: length - used,
    repeated: where((n) => n > 1),
    unread: where((n) => n === 0).filter((at) => at < used - 1),
  };
}

/**
 * @param {number[]} positions  sorted  [2, 3, 4, 9] -> "2–4, 9"; after `most` ranges the rest is
 *   counted
 */
export function ranges(positions, most = 5) {
  const found = [];
  for (const at of positions) {
    if (found.length && found.at(-1)[1] === at - 1) found.at(-1)[1] = at;
    else found.push([at, at]);
  }
  const written = found
    .slice(0, most)
    .map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`));
  return written.join(", ") + (found.length > most ? ` and ${found.length - most} more` : "");
}

/** One sentence on what neighboring windows share or leave out. */
export function overlapSentence(length, contextLength, stride) {
  const { repeated, unread } = usage(length, contextLength, stride);
  if (repeated.length) {
    return `Neighboring windows share ${count(contextLength - stride, "input")}: read more than once are positions ${ranges(repeated)}.`;
  }
  if (unread.length) {
    const gap = stride - contextLength;
    return `Between two windows ${count(gap, "token")} ${gap === 1 ? "is" : "are"} skipped: never an input are positions ${ranges(unread)}; the first of each gap is only a target.`;
  }
  return "No token is read twice and none is skipped.";
}

/** A whole number in two ways: a slider and a field. */
class WholeNumber {
  constructor({ label, value, onChange }) {
    this.value = value;
    this.onChange = onChange;
    const id = uniqueId();
    const oninput = (event) => this.#take(event.target.value);
    this.slider = h("input", {
      type: "range",
      min: 1,
      max: Math.max(16, value),
      "aria-label": `${label}, slider`,
      oninput,
    });
    this.field = h("input", {
      type: "number",
      class: "bw-number",
      id,
      min: 1,
      max: MOST,
      step: 1,
      inputmode: "numeric",
      oninput,
    });
    this.slider.value = this.field.value = value;
    this.error = h("span", { class: "bw-error", role: "status" });
    this.element = h(
      "div",
      { class: "bw-whole" },
      h("label", { for: id, class: "bw-label" }, label),
      this.slider,
      this.field,
      this.error,
    );
  }

  #take(text) {
    const value = Number(text);
    const valid = text !== "" && Number.isInteger(value) && value >= 1 && value <= MOST;
    this.field.setAttribute("aria-invalid", !valid);
    this.error.textContent = valid ? "" : `a whole number from 1 to ${grouped(MOST)}`;
    if (valid) this.set(value);
  }

  set(value) {
    this.value = value;
    this.slider.value = value;
    if (this.field.valueAsNumber !== value) this.field.value = value;
    this.onChange();
  }
}

class SlidingWindow {
  constructor(model) {
    this.model = model;
    const number = (label, name) =>
      new WholeNumber({ label, value: model.get(name), onChange: () => this.#draw() });
    this.context = number("Context length", "context_length");
    this.stride = number("Stride", "stride");
    this.source = new TokenSource({ model, onReply: (reply) => this.#take(reply) });
    this.message = h("div", { class: "bw-notes", role: "status" });
    this.tiles = h("div", { class: "bw-tiles" });
    this.strip = h("div", {
      class: "bw-strip bw-counted",
      role: "group",
      "aria-label": "All tokens",
      tabindex: 0,
    });
    this.windows = new Stepper({ noun: "window", first: 1, onStep: () => this.#drawWindow() });
    this.pairs = h("div", {
      class: "bw-scroll",
      role: "group",
      "aria-label": "The chosen window",
      tabindex: 0,
    });
    this.summary = h("p", { class: "bw-summary", "aria-live": "polite" });
    this.list = h("div");
    this.element = this.#layout();
    this.source.start();
  }

  #layout() {
    const key = h(
      "p",
      { class: "bw-legend" },
      h("span", { class: "bw-key bw-input" }, "input"),
      " ",
      h("span", { class: "bw-key bw-target" }, "target"),
      " of the chosen window   ",
      h("span", { class: "bw-key bw-unread" }, "never an input"),
      "   numbers: position; ×2: an input twice",
    );
    this.drawing = h(
      "div",
      {},
      this.windows.element,
      this.pairs,
      this.summary,
      this.strip,
      key,
      this.tiles,
      this.list,
    );
    this.picture = h("div", {}, this.message, this.drawing);
    opensOn(this.stride.slider, this.strip);
    const numbers = h("div", { class: "bw-numbers" }, this.context.element, this.stride.element);
    return frame("Sliding window", this.source.element, numbers, this.picture);
  }

  #take(reply) {
    this.tokens = tokensOf(reply);
    this.chips = this.tokens.map(({ bytes, id }, at) => this.#chip(bytes, id, at));
    this.strip.replaceChildren(...this.chips.map(({ element }) => element));
    this.#draw();
  }

  #chip(bytes, id, at) {
    const below = h("small");
    const token = h("span", { class: "bw-token" }, ...drawBytes(bytes));
    return {
      element: h("span", { class: "bw-chip", title: `position ${at}, id ${id}` }, token, below),
      below,
    };
  }

  /** Draw what depends on the text, the context length or the stride. */
  #draw() {
    if (!this.tokens) return;
    const numbers = [this.tokens.length, this.context.value, this.stride.value];
    this.starts = windowStarts(...numbers);
    const { reads, used, leftOver } = usage(...numbers);
    const shared = this.context.value - this.stride.value;
    this.tiles.replaceChildren(
      ...tiles([
        ["tokens", grouped(this.tokens.length)],
        ["windows", grouped(this.starts.length)],
        ["tokens used", grouped(used)],
        ["left over", grouped(leftOver)],
        shared < 0 ? ["skipped between", grouped(-shared)] : ["overlap", grouped(shared)],
      ]),
    );
    this.drawing.hidden = this.starts.length === 0;
    this.message.replaceChildren(h("p", { class: "bw-note" }, this.#message(numbers)));
    this.reads = reads;
    this.chips.forEach(
      ({ below }, at) => (below.textContent = reads[at] > 1 ? `${at} ×${reads[at]}` : at),
    );
    this.windows.reset(Math.max(0, this.starts.length - 1));
    if (this.starts.length) this.#drawWindow();
    if (this.starts.length) this.#drawList();
  }

  /** @param {number[]} numbers */
  #message([length, contextLength, stride]) {
    if (this.starts.length) return overlapSentence(length, contextLength, stride);
    return (
      `The text has ${count(length, "token")}, but one window needs context length + 1 = ${grouped(contextLength + 1)}: ` +
      `${count(contextLength, "input")}, and one more token as the last target. Give more text or a shorter context length.`
    );
  }

  #drawWindow() {
    const start = this.starts[this.windows.step];
    const end = start + this.context.value;
    this.chips.forEach(({ element }, at) => {
      element.classList.toggle("bw-input", at >= start && at < end);
      element.classList.toggle("bw-target", at > start && at <= end);
      element.classList.toggle("bw-unread", this.reads[at] === 0);
    });
    this.pairs.replaceChildren(this.#pairTable(start, Math.min(end, start + CELLS)));
    const place = `Window ${grouped(this.windows.step + 1)} of ${grouped(this.starts.length)}`;
    this.summary.textContent = `${place} reads positions ${ranges([start])}–${end - 1} and is asked for positions ${start + 1}–${end}, each one token later.`;
    if (end - start > CELLS) this.summary.append(` The first ${CELLS} are drawn.`);
    reveal(this.strip, this.chips[start].element);
    this.#markRow();
  }

  #markRow() {
    this.rows?.forEach((row, i) => row.classList.toggle("bw-current", i === this.windows.step));
    const row = this.rows?.[this.windows.step];
    if (row) reveal(row.closest(".bw-list"), row);
  }

  #pairTable(start, end) {
    const cell = (at, kind) => {
      const { bytes, id } = this.tokens[at];
      return h(
        "td",
        {},
        h(
          "span",
          { class: `bw-chip ${kind}` },
          h("span", { class: "bw-token" }, ...drawBytes(bytes)),
          h("small", {}, String(id)),
        ),
      );
    };
    const row = (name, shift, kind) => {
      const cells = this.tokens.slice(start, end).map((_, i) => cell(start + i + shift, kind));
      return h("tr", {}, h("th", { scope: "row" }, name), ...cells);
    };
    const arrows = h(
      "tr",
      { "aria-hidden": "true" },
      h("th"),
      ...this.tokens.slice(start, end).map(() => h("td", {}, "↓")),
    );
    return h(
      "table",
      { class: "bw-pairs" },
      row("inputs", 0, "bw-input"),
      arrows,
      row("targets", 1, "bw-target"),
    );
  }

  #drawList(rows = ROWS) {
    const shown = this.starts.slice(0, rows);
    this.rows = shown.map((start, i) => this.#listRow(start, i));
    const head = tableHead("window", "start", "inputs", "targets");
    const table = h("table", { class: "bw-table" }, head, h("tbody", {}, ...this.rows));
    const scroll = scroller("List of windows", table);
    scroll.classList.add("bw-list");
    const words = `The first ${grouped(shown.length)} of ${grouped(this.starts.length)}. `;
    const more = button(`Show ${ROWS} more`, () => this.#drawList(rows + ROWS));
    const rest = shown.length < this.starts.length ? [h("p", {}, words, more)] : [];
    const open = this.list.firstElementChild?.open ?? false;
    const title = h("summary", {}, `All ${count(this.starts.length, "window")}`);
    this.list.replaceChildren(
      h("details", { class: "bw-details bw-fold", open }, title, scroll, ...rest),
    );
    this.#markRow();
  }

  #listRow(start, i) {
    const cell = (from) => {
      const shown = this.tokens.slice(from, from + Math.min(this.context.value, 16));
      const rest = this.context.value - shown.length;
      const tokens = shown.flatMap(({ bytes }) => [
        h("span", { class: "bw-mini" }, ...drawBytes(bytes)),
        " ",
      ]);
      return h("td", {}, ...tokens, rest ? `… ${grouped(rest)} more` : "");
    };
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, String(i + 1)),
      h("td", {}, String(start)),
      cell(start),
      cell(start + 1),
    );
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new SlidingWindow(model);
  el.append(view.element);
  return () => {
    view.windows.stop();
    view.source.stop();
  };
}

export default { render };
