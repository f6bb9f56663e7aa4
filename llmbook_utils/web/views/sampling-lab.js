/**
 * Sampling lab: the probabilities of all tokens to come next, how temperature, top-k, top-p, min-p
 * and the repetition penalty change them, draws from them, and a continuation token by token. The
 * model is asked for the logits of a text once; everything after them is sampling.js.
 *
 * @typedef {{name: string, left: number, cut: number | null, largest: number}} Step
 *   `left`: tokens with a probability above 0; `cut`: the share of probability that this step took
 * away
 */
import {
  byProbability,
  indexOfLargest,
  penalize,
  samplingSteps,
  softmaxOf,
  uniformNumbers,
} from "../engine/sampling.js";
import { NumberInput, PythonCode } from "../parts/controls.js";
import { button, fold, h, opensOn, scroller, segments, uniqueId } from "../parts/dom.js";
import { keyed, Plot, svg, write } from "../parts/drawing.js";
import { Instrument } from "../parts/instrument.js";
import { chip, Listbox } from "../parts/listbox.js";
import { Live } from "../parts/live.js";
import { count, grouped, percent } from "../parts/numbers.js";
import { Stepper } from "../parts/stepper.js";
import { asWord, drawBytes, spoken } from "../parts/tokens.js";
import { EXPERIMENTS } from "./experiments/sampling-lab.js";

const LIST_ROWS = 10; // tokens on a page of the list
const DRAWN_ROWS = 15; // tokens in the list of draws
const MOST_TOKENS = 200; // that a continuation may have
const POINTS = 240; // at which a curve is drawn

/** The bytes of each id of a vocabulary. */
export class Vocabulary {
  /**
   * @param {{lengths: number[], bytes: number[] | string, end: number | null}} reply  `bytes` as
   *   base64 where stored
   */
  constructor({ lengths, bytes, end }) {
    this.end = end;
    this.bytes =
      typeof bytes === "string"
        ? Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))
        : Uint8Array.from(bytes);
    this.starts = new Uint32Array(lengths.length + 1);
    lengths.forEach((length, id) => (this.starts[id + 1] = this.starts[id] + length));
  }

  get size() {
    return this.starts.length - 1;
  }

  bytesOf(id) {
    return Array.from(this.bytes.subarray(this.starts[id], this.starts[id + 1]));
  }

  /** Whether a token has the bytes somewhere in it. @param {Uint8Array} wanted */
  #has(id, wanted) {
    const { bytes, starts } = this;
    for (let at = starts[id]; at + wanted.length <= starts[id + 1]; at += 1) {
      let i = 0;
      while (i < wanted.length && bytes[at + i] === wanted[i]) i += 1;
      if (i === wanted.length) return true;
    }
    return false;
  }

  /**
   * The ids, of those given, that have a text in them or are the number that it is; ␣ stands for a
   * space.
   */
  find(text, ids) {
    const wanted = new TextEncoder().encode(text.replaceAll("␣", " ").replaceAll("⏎", "\n"));
    const number = /^\d+$/.test(text) ? Number(text) : -1;
    return ids.filter((id) => id === number || this.#has(id, wanted));
  }
}

/**
 * The sum of those numbers that a test picks. What is left over is summed like this, too: 1 minus a
 * sum would leave a rest of rounding where there is none.
 * @param {ArrayLike<number>} numbers
 * @param {(id: number) => boolean} isPicked
 */
export function sumWhere(numbers, isPicked) {
  let sum = 0;
  for (let id = 0; id < numbers.length; id += 1) if (isPicked(id)) sum += numbers[id];
  return sum;
}

/** A step of the sampling as the reader sees it. @returns {Step} */
function stepOf(name, probabilities, before) {
  let left = 0;
  for (const p of probabilities) if (p > 0) left += 1;
  const cut = before && sumWhere(before, (id) => probabilities[id] === 0);
  return { name, left, cut, largest: probabilities[indexOfLargest(probabilities)] };
}

/**
 * What can be said of the next token, given logits and the ids before it; an option changes only
 * what it has to.
 */
export class NextToken {
  /** @param {Float32Array | Float64Array} logits  @param {number[]} ids */
  constructor(logits, ids) {
    this.logits = logits;
    this.ids = ids;
    this.plain = softmaxOf(logits);
    this.plainOrder = byProbability(this.plain);
    this.#penalize(1);
  }

  #penalize(penalty) {
    this.penalty = penalty;
    this.penalized =
      penalty === 1 ? this.plain : softmaxOf(penalize(this.logits, this.ids, penalty));
    this.order = penalty === 1 ? this.plainOrder : byProbability(this.penalized);
    this.ranks = new Uint32Array(this.order.length);
    this.order.forEach((id, rank) => (this.ranks[id] = rank + 1));
  }

  /**
   * `probabilities`: after all steps; `uncut`: after the temperature; `top_p`, `min_p`: where these
   * cut `uncut`, the first in its running sum and the second in its probabilities, null where they
   * are off.
   * @returns {{probabilities: Float64Array, uncut: Float64Array, steps: Step[], top_p: number |
   *   null, min_p: number | null}}
   */
  with(options) {
    const { repetition_penalty: penalty } = options;
    if (penalty !== this.penalty) this.#penalize(penalty);
    const found = samplingSteps(this.logits, this.ids, options);
    const steps = [stepOf("model", this.plain, null)];
    if (penalty !== 1) steps.push(stepOf("repetition_penalty", this.penalized, null));
    found.forEach(({ name, probabilities }, i) =>
      steps.push(stepOf(name, probabilities, i ? found[i - 1].probabilities : null)),
    );
    const uncut = found[0].probabilities;
    const has = (name) => found.some((step) => step.name === name);
    const kept = has("top_k") ? found[1].probabilities : uncut;
    return {
      probabilities: found.at(-1).probabilities,
      uncut,
      steps,
      top_p: has("top_p") ? options.top_p * sumWhere(uncut, (id) => kept[id] > 0) : null,
      min_p: has("min_p") ? options.min_p * uncut[indexOfLargest(uncut)] : null,
    };
  }
}

/**
 * Ids for numbers in [0, 1), as `draw` finds them one by one; the running sums are made once.
 * @param {Float64Array} probabilities
 * @param {number[]} numbers
 */
export function drawMany(probabilities, numbers) {
  let sum = 0;
  const sums = probabilities.map((p) => (sum += p));
  return numbers.map((number) => {
    const target = number * sum;
    let [low, high] = [0, sums.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle] > target) high = middle;
      else low = middle + 1;
    }
    return low;
  });
}

/** @param {number[]} ids  @returns {Map<number, number>} how often each occurs */
export function tally(ids) {
  const counts = new Map();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

/** Ranks from 1 to n, evenly spread on a log scale, each once. */
export function spread(n, points = POINTS) {
  const ranks = Array.from({ length: points + 1 }, (_, i) => Math.round(n ** (i / points)));
  return [...new Set(ranks)];
}

const OPTIONS = ["temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"];

/** The options that are not off, as Python writes them. */
export function pythonOptions(options) {
  const used = OPTIONS.filter((name) => name in options && options[name] !== SETTINGS[name].off);
  return used.map((name) => `${name}=${options[name]}`).join(", ");
}

/**
 * Python code for a model and the ids that were read.
 * @param {string | null} name  of a model that the book ships
 */
export function pythonSetup(name, text, { tokens, cut, normalized }) {
  const whole = JSON.stringify(text.replace(/\p{Surrogate}/gu, "\uFFFD"));
  const ids =
    cut || normalized
      ? `[${tokens.map(({ id }) => id).join(", ")}]`
      : `tokenizer.encode_ordinary(${whole})`;
  return [
    "import torch",
    "from llmbook_utils.pretrained import load_pretrained",
    `model, tokenizer = load_pretrained("${name ?? "path/of/the/folder"}")`,
    `ids = torch.tensor([${ids}])`,
  ];
}

/**
 * What each number means, where it can be set, and what it is when it is off.
 * @type {Record<string, {label: string, least: number, most?: number, step: number, whole?:
 * boolean, log?: boolean, plain?: boolean, off?: number | null, first?: number, hint?: string}>}
 */
const SETTINGS = {
  temperature: {
    label: "Temperature",
    least: 0,
    most: 5,
    step: 0.05,
    hint: "Below 1 sharpens the probabilities, above 1 evens them out; 0 always takes the most probable token (greedy).",
  },
  top_k: {
    label: "Top-k",
    least: 1,
    step: 1,
    whole: true,
    log: true,
    off: null,
    first: 50,
    hint: "Keep the k most probable tokens.",
  },
  top_p: {
    label: "Top-p",
    least: 0.001,
    most: 1,
    step: 0.01,
    off: null,
    first: 0.9,
    hint: "Keep the most probable tokens, as many as it takes to reach p together.",
  },
  min_p: {
    label: "Min-p",
    least: 0,
    most: 1,
    step: 0.01,
    off: null,
    first: 0.1,
    hint: "Keep the tokens that have at least this share of the probability of the most probable one.",
  },
  repetition_penalty: {
    label: "Repetition penalty",
    least: 0.5,
    most: 3,
    step: 0.05,
    off: 1,
    first: 1.2,
    hint: "Above 1, tokens that the text already has become less probable.",
  },
  seed: {
    label: "Seed",
    least: 0,
    most: 2 ** 32 - 1,
    step: 1,
    whole: true,
    plain: true,
    hint: "Where the random numbers start: the same seed draws the same tokens.",
  },
  length: { label: "Length", least: 1, most: MOST_TOKENS, step: 1, whole: true, plain: true },
};

/** One of the settings, with a box where it can be off. */
class Setting extends NumberInput {
  /** @param {{name: string, value: number | null, most?: number, onChange: () => void}} options */
  constructor({ name, value, most = SETTINGS[name].most, onChange }) {
    const { least, step, log = false, off, first, plain = false } = SETTINGS[name];
    super({ ...SETTINGS[name], most, onChange }, { min: log ? 0 : least, step: log ? 0.01 : step });
    const canBeOff = off !== undefined;
    this.log = log;
    this.off = off; // the value that does nothing; undefined where there is none
    this.on = !canBeOff || value !== off;
    this.last = this.on ? value : first;
    this.box = h("input", { type: "checkbox", oninput: () => this.#switch(this.box.checked) });
    const label = canBeOff
      ? h("label", { class: "bw-label" }, this.box, ` ${this.label}`)
      : this.name();
    if (canBeOff) this.field.setAttribute("aria-label", `${this.label}, value`);
    this.element = h(
      "div",
      { class: "bw-setting" },
      label,
      this.field,
      ...(plain ? [] : [this.slider]),
      this.error,
      ...this.hints,
    );
    this.limit(most);
  }

  /** Take another largest value. */
  limit(most) {
    this.most = most;
    this.field.max = most;
    this.slider.max = this.log ? Math.log2(most) : most;
    this.last = Math.min(this.last, most);
    this.#show();
  }

  /** Take a value, without a call of `onChange`. */
  put(value) {
    this.last = value;
    this.#show();
  }

  /** Take a value that may turn the setting off; what is out of bounds is not taken. */
  take(value) {
    if (value !== this.off && !(value >= this.least && value <= this.most)) return;
    this.on = value !== this.off;
    if (this.on) this.last = value;
    this.#show();
  }

  #show() {
    this.value = this.on ? this.last : this.off;
    this.box.checked = this.on;
    this.field.disabled = this.slider.disabled = !this.on;
    this.slider.value = this.log ? Math.log2(this.last) : this.last;
    this.show(this.last);
  }

  write(bound) {
    return grouped(bound);
  }

  get used() {
    return this.last;
  }

  slide(at) {
    this.put(this.log ? Math.max(1, Math.round(2 ** at)) : Number(at.toFixed(3)));
  }

  #switch(on) {
    this.on = on;
    this.#show();
    this.onChange();
  }
}

/** A token as it stands in a table. */
const tokenNode = (bytes) =>
  h("span", { class: "bw-mini" }, ...(bytes.length ? drawBytes(bytes) : ["(not used)"]));

/** Two bars, one below the other; the numbers stand beside them. */
function bars(pair, whole, kinds = ["bw-before", "bw-after"]) {
  const bar = (p, i) =>
    h("span", { class: `bw-odds ${p > 0 ? kinds[i] : ""}`, style: `width: ${(100 * p) / whole}%` });
  return h("td", { class: "bw-bars", "aria-hidden": "true" }, ...pair.map(bar));
}

/** A table in a box; a column without a name is one of bars. */
const tableOf = (head, rows, label) => {
  const cells = head.map((name) =>
    name
      ? h("th", { scope: "col", class: ["place", "id"].includes(name) ? "bw-more" : "" }, name)
      : h("td", { "aria-hidden": "true" }),
  );
  const table = h(
    "table",
    { class: "bw-table bw-chances" },
    h("thead", {}, h("tr", {}, ...cells)),
    h("tbody", {}, ...rows),
  );
  return scroller(label, table);
};

/** Puts a new table in place of the old one, which a reader may be scrolling with the keys. */
const renew = (box, table) => {
  const focused = box.contains(document.activeElement);
  box.replaceChildren(table);
  if (focused) table.focus({ preventScroll: true });
};

/** `segments` that may break into lines. */
const choice = (legend, options, onChoose) => {
  const element = segments(legend, options, onChoose);
  element.classList.add("bw-choice");
  return element;
};

/** Python code to copy, folded, with a word on where it can come to something else. */
class Code {
  constructor(label) {
    this.python = new PythonCode(label);
    this.note = h(
      "p",
      { class: "bw-legend" },
      "The page runs this model with weights of 8 bits, Python with 16: where two tokens are close, another one can come out.",
    );
    this.element = h(
      "details",
      { class: "bw-details" },
      h("summary", {}, label),
      this.python.box,
      this.python.button,
      this.note,
    );
  }

  /**
   * @param {string[]} lines
   * @param {boolean} near  whether Python can come to another token now and then
   */
  show(lines, near) {
    this.note.hidden = !near;
    this.python.show(lines.join("\n"));
  }
}

const NAMES = {
  model: "the model's own",
  repetition_penalty: "repetition penalty",
  temperature: "temperature",
  top_k: "top-k",
  top_p: "top-p",
  min_p: "min-p",
};

/** All tokens in the order of their probabilities, with the cuts. */
class Curve {
  constructor() {
    this.cumulative = false;
    const scale = choice("Height", ["probability", "running sum"], (option) =>
      this.#choose(option === "running sum"),
    );
    const paint = () => this.next && this.#paint();
    this.plot = new Plot({ kind: "bw-curve", height: 276, left: 66, below: "", paint });
    this.plot.top = 14;
    const legend = h(
      "p",
      { class: "bw-legend" },
      ...keyed("bw-line-before", "before (temperature 1, nothing cut)"),
      ...keyed("bw-line-uncut", "after the temperature and the penalty"),
      ...keyed("bw-line-after", "after the cuts"),
      ...keyed("bw-cut", "cut off"),
    );
    this.element = h("div", {}, scale, this.plot.element, legend);
  }

  #choose(cumulative) {
    this.cumulative = cumulative;
    this.plot.draw();
  }

  show(next, result) {
    this.next = next;
    this.result = result;
    this.plot.draw();
  }

  /** How a number becomes a height, and the marks beside it. @returns {[number, string][]} */
  #takeHeights() {
    const { plot } = this;
    const { top, bottom } = plot;
    if (this.cumulative) {
      plot.y = (p) => bottom - p * (bottom - top);
      return [0, 0.25, 0.5, 0.75, 1].map((p) => [p, `${100 * p} %`]);
    }
    const { plain, plainOrder } = this.next;
    const lowest = Math.max(-12, Math.floor(Math.log10(plain[plainOrder.at(-1)])));
    plot.y = (p) => Math.min(bottom, top + (Math.log10(p) / lowest) * (bottom - top));
    const every = Math.ceil(-lowest / 5);
    return Array.from({ length: Math.floor(-lowest / every) + 1 }, (_, i) => {
      const power = -i * every;
      const text = power > -7 ? `${Number((100 * 10 ** power).toFixed(4))} %` : `1e${power + 2} %`;
      return [10 ** power, text];
    });
  }

  #paint() {
    const { plot } = this;
    const { order, plain, plainOrder } = this.next;
    const { probabilities, uncut, steps } = this.result;
    const V = order.length;
    const { left, right, top, bottom } = plot;
    plot.x = (rank) => left + (Math.log(rank) / Math.log(Math.max(2, V))) * (right - left);
    const up = this.#takeHeights();
    const kept = steps.at(-1).left;
    const at = plot.x(kept);
    const gone = { class: "bw-cut-area", x: at, y: top, width: right - at, height: bottom - top };
    const tens = Array.from({ length: Math.floor(Math.log10(V)) + 1 }, (_, i) => 10 ** i);
    plot.below = `place among the ${grouped(V)} tokens`;
    plot.show(
      this.#name(kept, V),
      { across: tens.map((rank) => [rank, grouped(rank)]), up },
      ...(kept < V ? [svg("rect", gone)] : []),
      this.#line("bw-line-before", plain, plainOrder, V),
      this.#line("bw-line-uncut", uncut, order, V),
      this.#line("bw-line-after", probabilities, order, kept),
      ...this.#cuts(),
    );
  }

  #name(kept, V) {
    const what = this.cumulative ? "The running sum of the probabilities" : "The probabilities";
    return `${what} of all ${grouped(V)} tokens, from the most to the least probable; after the cuts ${grouped(kept)} are left.`;
  }

  #line(kind, numbers, ids, n) {
    let [sum, at] = [0, 0];
    /** @type {[number, number][]} */
    const points = [];
    for (const rank of spread(n)) {
      for (; at < rank; at += 1) sum += numbers[ids[at]];
      const p = this.cumulative ? Math.min(1, sum) : numbers[ids[rank - 1]];
      if (p > 0) points.push([rank, p]);
    }
    return this.plot.line(kind, points);
  }

  /** Where each option cuts: after how many tokens, and below which height. */
  #cuts() {
    const { plot } = this;
    const { left, right, top, bottom } = plot;
    const { steps, top_p, min_p } = this.result;
    const cuts = steps.filter(({ cut }) => cut !== null);
    const rule = (kind, x1, y1, x2, y2) => svg("line", { class: kind, x1, y1, x2, y2 });
    const level = this.cumulative ? top_p : min_p || null;
    const [across, y] = ["bw-cut-line bw-level", level === null ? 0 : plot.y(level)];
    const lines = cuts.flatMap(({ name, left: n }, i) => {
      const [at, late] = [plot.x(n), plot.x(n) > (left + right) / 2];
      const words = `${NAMES[name]}: ${grouped(n)} left`;
      const height = this.cumulative ? bottom - 12 - 18 * (cuts.length - 1 - i) : top + 14 + 18 * i;
      const [place, anchor] = late ? [at - 5, "end"] : [at + 5, "start"];
      return [
        rule("bw-cut-line", at, top, at, bottom),
        write(place, height, anchor, words, "bw-cut-name"),
      ];
    });
    return [...(level === null ? [] : [rule(across, left, y, right, y)]), ...lines];
  }

  stop() {
    this.plot.stop();
  }
}

/**
 * The tokens in the order of their probabilities, page by page, or those that the reader looks for.
 */
class List {
  constructor() {
    const id = uniqueId();
    this.field = h("input", {
      type: "search",
      class: "bw-find",
      id,
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.#find(),
    });
    const find = h(
      "div",
      { class: "bw-bar" },
      h("label", { for: id, class: "bw-label" }, "Find a token"),
      this.field,
      h("span", { class: "bw-hint" }, "letters, ␣ for a space, or an id"),
    );
    this.found = h("p", { class: "bw-legend", role: "status" });
    this.pages = new Stepper({ noun: "page", first: 1, onStep: () => this.#draw() });
    this.table = h("div", {});
    this.legend = h("p", { class: "bw-legend" });
    this.element = h("div", {}, this.table, this.legend, this.pages.element, find, this.found);
  }

  show(next, result, vocabulary) {
    const again = this.next === next && this.order === next.order;
    this.next = next;
    this.result = result;
    this.vocabulary = vocabulary;
    this.order = next.order;
    if (again) return this.#draw();
    this.#find(this.pages.step);
  }

  #find(page = 0) {
    const { value } = this.field;
    this.ids = value === "" ? this.order : this.vocabulary.find(value, this.order);
    this.found.textContent =
      value === ""
        ? ""
        : `${count(this.ids.length, "token")} of ${grouped(this.order.length)} found.`;
    this.pages.reset(Math.max(0, Math.ceil(this.ids.length / LIST_ROWS) - 1), page);
    this.#draw();
  }

  #draw() {
    const { plain, ranks } = this.next;
    const { probabilities } = this.result;
    const from = this.pages.step * LIST_ROWS;
    const shown = this.ids.slice(from, from + LIST_ROWS);
    const pairs = shown.map((id) => [plain[id], probabilities[id]]);
    const isShown = new Uint8Array(this.order.length);
    for (const id of shown) isShown[id] = 1;
    const rest = [plain, probabilities].map((all) => sumWhere(all, (id) => !isShown[id]));
    const others = this.order.length - shown.length;
    const first = from === 0 && this.ids === this.order;
    const whole = Math.max(1e-300, ...pairs.flat(), ...(first ? rest : []));
    const rows = shown.map((id, i) =>
      this.#row(
        String(ranks[id]),
        tokenNode(this.vocabulary.bytesOf(id)),
        String(id),
        pairs[i],
        whole,
      ),
    );
    // the rest's own bar is drawn where it is to the scale of the others
    if (others)
      rows.push(
        this.#row("", `all ${grouped(others)} others together`, "", rest, first ? whole : null),
      );
    renew(
      this.table,
      tableOf(
        ["place", "token", "id", "before", "after", ""],
        rows,
        "Tokens and their probabilities",
      ),
    );
    this.legend.replaceChildren(
      ...keyed("bw-before", "before (temperature 1, nothing cut)"),
      ...keyed("bw-after", "after"),
      "– cut off   ",
      `full width: ${percent(whole)}`,
    );
  }

  #row(rank, token, id, pair, whole) {
    const after = pair[1] > 0 ? percent(pair[1]) : "–";
    const cells = [
      h("td", { class: "bw-more" }, rank),
      h("th", { scope: "row" }, token),
      h("td", { class: "bw-more" }, id),
      h("td", {}, percent(pair[0])),
      h("td", {}, after),
    ];
    return h(
      "tr",
      { class: pair[1] > 0 ? "" : "bw-gone" },
      ...cells,
      whole ? bars(pair, whole) : h("td", { "aria-hidden": "true" }),
    );
  }
}

const DRAWS = [1, 10, 100, 1000, 10000];

/** Tokens drawn again and again from the same probabilities. */
class Draws {
  constructor() {
    this.n = 1000;
    const choose = choice("Draws", DRAWS.map(grouped), (option) =>
      this.#choose(DRAWS[DRAWS.map(grouped).indexOf(option)]),
    );
    choose.querySelectorAll("input")[DRAWS.indexOf(this.n)].checked = true;
    this.summary = h("p", { class: "bw-legend" });
    this.table = h("div", {});
    this.legend = h("p", { class: "bw-legend" });
    this.code = new Code("The same draws in Python");
    this.element = h("div", {}, choose, this.summary, this.table, this.legend, this.code.element);
  }

  #choose(n) {
    this.n = n;
    this.#draw();
  }

  show(next, result, vocabulary, options, setup, near) {
    this.next = next;
    this.result = result;
    this.vocabulary = vocabulary;
    this.options = options;
    this.setup = setup;
    this.near = near;
    this.#draw();
  }

  #draw() {
    const { n, options, vocabulary } = this;
    const { probabilities } = this.result;
    const numbers = uniformNumbers(options.seed);
    const drawn = drawMany(probabilities, Array.from({ length: n }, numbers));
    const times = tally(drawn);
    const [shown, whole, rest] = this.#chosen(times);
    const row = (token, pair) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, token),
        h("td", {}, percent(pair[0])),
        h("td", {}, percent(pair[1]), " ", h("small", {}, `${grouped(Math.round(pair[1] * n))} ×`)),
        bars(pair, whole, ["bw-after", "bw-drawn"]),
      );
    const rows = shown.map((id) =>
      row(tokenNode(vocabulary.bytesOf(id)), [probabilities[id], (times.get(id) ?? 0) / n]),
    );
    if (rest.n) rows.push(row(`${count(rest.n, "other")} together`, rest.pair));
    renew(
      this.table,
      tableOf(["token", "probability", "drawn", ""], rows, "Draws and probabilities"),
    );
    this.legend.replaceChildren(
      ...keyed("bw-after", "probability"),
      ...keyed("bw-drawn", "share of the draws"),
      `full width: ${percent(whole)}`,
    );
    const first = drawn.slice(0, 10).flatMap((id) => [tokenNode(vocabulary.bytesOf(id)), " "]);
    this.summary.replaceChildren(
      `${count(n, "draw")} with seed ${options.seed} gave ${count(times.size, "different token")}. In order: `,
      ...first,
      n > 10 ? "… " : "",
      "The first is also the first token of a continuation with this seed.",
    );
    this.code.show(this.#python(), this.near);
  }

  /** The ids in the table, the widest bar, and what is not in the table. */
  #chosen(times) {
    const { probabilities } = this.result;
    const shown = this.next.order.slice(0, DRAWN_ROWS).filter((id) => probabilities[id] > 0);
    const pairs = shown.map((id) => [probabilities[id], (times.get(id) ?? 0) / this.n]);
    const n = this.result.steps.at(-1).left - shown.length;
    const isShown = new Uint8Array(probabilities.length);
    for (const id of shown) isShown[id] = 1;
    const drawn = shown.reduce((sum, id) => sum + (times.get(id) ?? 0), 0);
    const pair = [sumWhere(probabilities, (id) => !isShown[id]), (this.n - drawn) / this.n];
    return [shown, Math.max(...pairs.flat(), ...(n ? pair : [])), { n, pair }];
  }

  #python() {
    const { seed, ...sampling } = this.options;
    return [
      "from llmbook_utils.generate import Sampling, draw, next_token_probabilities",
      "from llmbook_utils.generate import uniform_numbers",
      ...this.setup(),
      `sampling = Sampling(${pythonOptions(sampling)})`,
      "p = next_token_probabilities(model.eval()(ids)[:, -1], ids, sampling)",
      `numbers = uniform_numbers(${seed})`,
      `drawn = [int(draw(p, [next(numbers)])) for _ in range(${this.n})]`,
    ];
  }
}

/** A continuation, token by token; each can be opened to see what else could have been drawn. */
class Story {
  /** @param {SamplingLab} lab */
  constructor(lab) {
    const { live, model } = lab;
    this.lab = lab;
    this.live = live;
    this.model = model;
    this.running = null;
    this.wanted = false;
    this.go = button("Continue", () => this.begin(), "bw-primary");
    this.halt = button("Stop", () => this.live.cancel(this.running));
    this.length = new Setting({ name: "length", value: 60, onChange: () => this.mark() });
    const more = button("Another seed, and continue", () => (lab.another(), this.begin()));
    this.prompt = h("p", { class: "bw-prompt" });
    const label = "Tokens of the continuation";
    this.strip = new Listbox({ label, kind: "bw-told", onChoose: () => this.#detail() });
    this.summary = h("p", { class: "bw-summary", role: "status" });
    const hint = h(
      "p",
      { class: "bw-legend" },
      "Choose a token, by a click or with the arrow keys, to see what else could have come in its place.",
    );
    this.details = h("div", { class: "bw-panel bw-instead" });
    this.code = new Code("The same tokens in Python");
    const title = h("p", { class: "bw-part-title" }, "Continuation");
    const bar = h("div", { class: "bw-bar" }, this.go, more, this.halt, this.length.element);
    const [told, { element: list }, code] = [this.summary, this.strip, this.code.element];
    this.element = h("div", {}, title, bar, this.prompt, list, told, hint, this.details, code);
    const [started, ...replies] = live.example("continue");
    this.#open(
      model.get("text"),
      { ...model.get("options"), max_new_tokens: this.length.value },
      started,
    );
    for (const reply of replies) this.#take(reply);
  }

  get options() {
    return { ...this.lab.options, max_new_tokens: this.length.value };
  }

  /** Ask for a continuation; one that has to wait for the model begins when it is there. */
  begin() {
    this.wanted = !this.live.ready;
    if (this.wanted) this.live.load();
    const {
      options,
      live: { text },
    } = this;
    // unheard, it would go on and take its time
    if (this.running !== null) this.live.cancel(this.running);
    this.running = this.live.stream(
      { kind: "continue", options: { ...options, alternatives: 5 } },
      (reply) => (reply.kind === "started" ? this.#open(text, options, reply) : this.#take(reply)),
    );
    this.mark();
  }

  /** Another model or text is there. */
  changed() {
    if (this.wanted && this.live.ready) this.begin();
    this.mark();
  }

  #open(text, options, started) {
    this.text = text;
    this.written = options;
    this.started = started;
    this.tokens = [];
    this.why = null;
    this.prompt.textContent = text.length > 300 ? `… ${text.slice(-300)}` : text;
    this.strip.show([], 0);
    this.details.replaceChildren();
    this.code.show(this.#python(), this.lab.near);
  }

  #take(reply) {
    if (reply.kind === "token") this.#write(reply);
    if (reply.kind === "done") this.why = reply.why;
    if (reply.kind === "done" || reply.kind === "error") this.running = null;
    this.mark();
  }

  #write(token) {
    const index = this.tokens.push(token) - 1;
    const label = `${spoken(token.bytes)}, ${percent(token.probability)}`;
    this.strip.add(chip(index, label, ...drawBytes(token.bytes)));
    if (index === 0) this.#detail();
  }

  /** What else could have been drawn in the place of the chosen token. */
  #detail() {
    const token = this.tokens[this.strip.chosen];
    const others = token.alternatives.some(({ id }) => id === token.id)
      ? token.alternatives
      : [...token.alternatives, token];
    const whole = Math.max(...others.flatMap(({ probability, plain }) => [probability, plain]));
    const row = ({ id, bytes, plain, probability }) => {
      const name = h("th", { scope: "row" }, tokenNode(bytes), id === token.id ? " drawn" : "");
      const after = probability > 0 ? percent(probability) : "–";
      return h(
        "tr",
        { class: id === token.id ? "bw-current" : "" },
        name,
        h("td", {}, percent(plain)),
        h("td", {}, after),
        bars([plain, probability], whole),
      );
    };
    const what = h(
      "p",
      {},
      `Token ${this.strip.chosen + 1}, “`,
      ...drawBytes(token.bytes),
      `”, was drawn with ${percent(token.probability)} (${percent(token.plain)} before). The most probable ones in its place:`,
    );
    this.details.replaceChildren(
      what,
      tableOf(["token", "before", "after", ""], others.map(row), "Alternatives"),
    );
  }

  /** Say what is written, and whether with the options that are chosen now. */
  mark() {
    const now = this.options;
    const same =
      Object.keys(now).every((name) => now[name] === this.written[name]) &&
      this.text === this.live.text;
    const ends = {
      length: "",
      end: " The model ended the text here.",
      stopped: " You stopped it.",
    };
    const told = `${count(this.tokens.length, "token")} drawn with ${pythonOptions(this.written)}.${this.running === null ? (ends[this.why] ?? "") : " Going on …"}`;
    this.summary.textContent = `${told}${same ? "" : " Text, length or options have changed since: press Continue."}`;
    this.summary.setAttribute("aria-busy", this.running !== null); // read aloud when it is whole
    this.halt.setAttribute("aria-disabled", this.running === null);
    this.go.textContent = `Continue${this.live.price}`;
  }

  #python() {
    const { max_new_tokens, ...options } = this.written;
    const { end } = this.lab.vocabulary;
    return [
      "from llmbook_utils.generate import generate",
      ...pythonSetup(this.lab.published, this.text, this.started),
      `generate(model, ids, ${max_new_tokens}, ${pythonOptions(options)}${end === null ? "" : `, eos_id=${end}`})`,
    ];
  }
}

const VIEWS = { "the most probable": List, "all tokens": Curve, draws: Draws };

class SamplingLab {
  constructor(model) {
    this.model = model;
    this.live = new Live({
      model,
      code: 'SamplingLab("The old king", model="path/of/the/folder")',
      onChange: () => this.#changed(),
    });
    this.vocabulary = new Vocabulary(model.get("example").vocabulary[0]);
    this.owner = this.live.name; // of the vocabulary
    const setting = (name) =>
      new Setting({
        name,
        value: model.get("options")[name],
        most: name === "top_k" ? this.vocabulary.size : undefined,
        onChange: () => this.#draw(),
      });
    this.settings = Object.fromEntries(OPTIONS.map((name) => [name, setting(name)]));
    this.settings.seed.field.after(button("Another seed", () => this.another()));
    this.prompt = h("p", { class: "bw-summary" });
    this.summary = h("p", { class: "bw-summary", "aria-live": "polite" });
    this.steps = h("div", {});
    this.views = Object.fromEntries(
      Object.entries(VIEWS).map(([name, View]) => [name, new View()]),
    );
    this.view = "the most probable";
    this.story = new Story(this);
    this.element = this.#layout();
    this.instrument = new Instrument(this, EXPERIMENTS);
    this.#example();
    this.live.start();
  }

  read() {
    const set = Object.entries(this.options).filter(([, value]) => value !== null);
    return { text: this.live.text, ...Object.fromEntries(set.map(([k, v]) => [k, String(v)])) };
  }

  /** @param {Record<string, string>} state  an option that is not named is as it was first */
  async apply({ text = this.model.get("text"), ...options }) {
    const first = this.model.get("options");
    for (const name of OPTIONS)
      this.settings[name].take(name in options ? Number(options[name]) : first[name]);
    if (this.story) this.#draw();
    this.live.put(text);
    await this.#changed();
  }

  facts() {
    const { plain, plainOrder } = this.next;
    const { probabilities, steps } = this.result;
    const best = indexOfLargest(probabilities);
    const name = (id) => asWord(this.vocabulary.bytesOf(id));
    const top = plainOrder.slice(0, LIST_ROWS);
    const others = sumWhere(probabilities, (id) => !top.includes(id));
    return {
      best: name(best),
      share: percent(probabilities[best]),
      before: percent(plain[best]),
      second: name(plainOrder[1]),
      left: grouped(steps.at(-1).left),
      others: percent(others),
      othersBefore: percent(sumWhere(plain, (id) => !top.includes(id))),
    };
  }

  get options() {
    return Object.fromEntries(OPTIONS.map((name) => [name, this.settings[name].value]));
  }

  /** The name of the model that answers, if the book ships it. */
  get published() {
    const { name, weights } = this.model.get("model");
    return weights && this.live.name === name ? name : null;
  }

  /** Whether what answers has rounded weights. */
  get near() {
    return this.live.state === "ready" && this.published !== null;
  }

  another() {
    const { seed } = this.settings;
    seed.put((seed.value + 1) % 2 ** 32);
    this.#draw();
  }

  #layout() {
    const { temperature, top_k, top_p, min_p, repetition_penalty, seed } = this.settings;
    const options = [repetition_penalty, top_k, top_p, min_p, seed].map(({ element }) => element);
    const choose = choice("Show", Object.keys(VIEWS), (name) => this.#show(name));
    const views = Object.values(this.views).map(({ element }) => element);
    const again = h(
      "p",
      { class: "bw-legend" },
      "The steps are taken in this order; after each, the probabilities of what is left are made to add up to 100 % again.",
    );
    const { table } = /** @type {List} */ (this.views[this.view]);
    opensOn(temperature.slider, table);
    return this.live.frame(
      "Sampling lab",
      h("div", { class: "bw-settings" }, temperature.element),
      this.prompt,
      h("div", { class: "bw-panel" }, ...views),
      this.summary,
      choose,
      fold(
        "More controls: top-k, top-p, min-p, repetition penalty, seed",
        h("div", { class: "bw-settings" }, ...options),
      ),
      fold("What each step cuts", this.steps, again),
      this.story.element,
    );
  }

  /** The stored logits. */
  #example() {
    const [{ tensors, ...reply }] = this.live.example("run");
    this.vocabulary = new Vocabulary(this.model.get("example").vocabulary[0]);
    this.owner = this.model.get("model").name;
    this.#take(this.model.get("text"), reply, tensors["logits.last"].data);
  }

  /** Another text or model: only these ask the model. */
  async #changed() {
    this.story.changed();
    if (!this.live.ready && this.live.isExample) return this.#example();
    const { text, name } = this.live;
    const reply = await this.live.ask({ kind: "run", want: ["logits.last"] });
    if (!reply) return;
    if (name !== this.owner) {
      const vocabulary = await this.live.ask({ kind: "vocabulary" });
      if (!vocabulary) return;
      this.vocabulary = new Vocabulary(/** @type {any} */ (vocabulary));
      this.owner = name;
    }
    this.#take(text, reply, reply.tensors["logits.last"].data);
  }

  #take(text, reply, logits) {
    this.text = text;
    this.reply = reply;
    this.next = new NextToken(
      logits,
      reply.tokens.map(({ id }) => id),
    );
    this.settings.top_k.limit(logits.length);
    this.prompt.replaceChildren(
      "The next token after “",
      h("b", {}, text.length > 80 ? `… ${text.slice(-80)}` : text),
      "”:",
    );
    this.#draw();
  }

  /** Draw what depends on the options: no model is asked. */
  #draw() {
    this.result = this.next.with(this.options);
    this.#drawSteps();
    this.#show(this.view);
    this.story.mark();
  }

  #drawSteps() {
    const { steps, probabilities } = this.result;
    const { temperature } = this.options;
    const found = new Map(steps.map((step) => [step.name, step]));
    const rows = Object.keys(NAMES).map((name) => this.#stepRow(name, found.get(name)));
    const table = tableOf(["step", "tokens left", "cut off", "largest after it"], rows, "Steps");
    this.steps.replaceChildren(table);
    const best = indexOfLargest(probabilities);
    const [left, V] = [steps.at(-1).left, this.next.order.length];
    const greedy = temperature === 0 ? ", which is always taken" : "";
    this.summary.replaceChildren(
      `At temperature ${temperature} the most probable next token is “`,
      ...drawBytes(this.vocabulary.bytesOf(best)),
      `” with ${percent(probabilities[best])}${greedy}; ${count(left, "token")} of ${grouped(V)} can be drawn.`,
    );
  }

  #stepRow(name, step) {
    const value = name === "model" ? "" : ` ${this.options[name]}`;
    const head = (text) => h("th", { scope: "row" }, text);
    if (step)
      return h(
        "tr",
        {},
        head(`${NAMES[name]}${value}`),
        h("td", {}, grouped(step.left)),
        h("td", {}, step.cut === null ? "" : percent(step.cut)),
        h("td", {}, percent(step.largest)),
      );
    const off = this.options[name] === this.settings[name].off;
    return h(
      "tr",
      { class: "bw-gone" },
      head(NAMES[name]),
      h(
        "td",
        { colspan: 3 },
        off ? "off" : `${this.options[name]}: nothing to cut, temperature 0 leaves one token`,
      ),
    );
  }

  #show(name) {
    this.view = name;
    for (const [other, { element }] of Object.entries(this.views)) element.hidden = other !== name;
    const { next, result, vocabulary, options, text, reply } = this;
    this.views[name].show(
      next,
      result,
      vocabulary,
      options,
      () => pythonSetup(this.published, text, reply),
      this.near,
    );
  }

  stop() {
    for (const view of Object.values(this.views)) if (view instanceof Curve) view.stop();
    this.instrument.stop();
    this.live.stop();
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const lab = new SamplingLab(model);
  el.append(lab.element);
  return () => lab.stop();
}

export default { render };
