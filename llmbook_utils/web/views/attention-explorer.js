/**
 * Attention explorer: which tokens each head looks at, what can be measured of it, and how the next
 * token's probabilities change when a part of the attention is switched off. The numbers are the
 * model's; everything here only reads them.
 *
 * @import { LiveReply, Tensor } from "../parts/live.js"
 * @import { Cursor, Matrix } from "../parts/weight-grid.js"
@typedef {{previous: number, first: number, itself: number, distance: number, entropy: number}}
 *   Measures
 * @typedef {{mask: boolean, scaling: boolean, positions: boolean, heads: Set<string>}} Switches
 *   `heads`: those off, "block head"
 */
import { LIMIT } from "../engine/limit.js";
import { softmaxOf } from "../engine/sampling.js";
import { onTheme, paintPoints } from "../parts/colors.js";
import { copyText } from "../parts/controls.js";
import { button, fold, h, opensOn, segments, select, tiles, uniqueId } from "../parts/dom.js";
import { Instrument } from "../parts/instrument.js";
import { stepInGrid } from "../parts/keys.js";
import { Live } from "../parts/live.js";
import { count, decimal, grouped, percent } from "../parts/numbers.js";
import { asWord, decode, drawBytes, pieces } from "../parts/tokens.js";
import { brief, mostIn, placeOf, weightColors, WeightGrid } from "../parts/weight-grid.js";
import { EXPERIMENTS } from "./experiments/attention-explorer.js";

const MOST_READ = 48; // tokens: as many as the grid can show
const TOP = 6; // next tokens before and after
const FAINTEST = 0.02; // links below this weight are left out
// pixels; from the last one on a cell has its number
const PARTS = ["weights", "scores", "q", "k", "v"];

/** One head of a tensor of all heads. @param {Tensor} tensor  @returns {Matrix} */
export const headOf = ({ shape: [, T], data }, head) => ({
  T,
  data: data.subarray(head * T * T, (head + 1) * T * T),
});

/**
 * Whole matrices out of what no mask hides in them: rows of 1, 2, 3, … numbers.
 * @param {Float32Array} seen
 */
export function whole(seen, heads, T) {
  const data = new Float32Array(heads * T * T);
  let at = 0;
  for (let row = 0; row < heads * T; row += 1) {
    const n = (row % T) + 1;
    data.set(seen.subarray(at, at + n), row * T);
    at += n;
  }
  return { shape: [heads, T, T], data };
}

/**
 * The weights of each block, in order.
 * @param {Record<string, Tensor>} tensors
 * @returns {Tensor[]}
 */
export function blocksOf(tensors) {
  const found = Object.entries(tensors).flatMap(([name, tensor]) => {
    const block = /^blocks\.(\d+)\.attention\.weights$/.exec(name);
    return block ? [{ block: Number(block[1]), tensor }] : [];
  });
  return found.sort((a, b) => a.block - b.block).map(({ tensor }) => tensor);
}

/** Every token looks at all that it may see with the same weight. @returns {Matrix} */
export function evenly(T, mask) {
  const weight = (row, column) => (!mask ? 1 / T : column <= row ? 1 / (row + 1) : 0);
  return {
    T,
    data: Float32Array.from({ length: T * T }, (_, at) => weight(Math.floor(at / T), at % T)),
  };
}

/** @type {(keyof Measures)[]} */
const MEASURED = ["previous", "first", "itself", "distance", "entropy"];

/**
 * Means over all tokens but the first, which has nothing before it; null where there is no other.
 * @returns {Measures | null}
 */
export function measure({ T, data }) {
  if (T < 2) return null;
  const sums = { previous: 0, first: 0, itself: 0, distance: 0, entropy: 0 };
  for (let row = 1; row < T; row += 1) {
    const weights = data.subarray(row * T, (row + 1) * T);
    sums.previous += weights[row - 1];
    sums.first += weights[0];
    sums.itself += weights[row];
    weights.forEach((w, column) => {
      sums.distance += w * Math.abs(row - column);
      if (w > 0) sums.entropy -= w * Math.log2(w);
    });
  }
  for (const name of MEASURED) sums[name] /= T - 1;
  return sums;
}

/**
 * Half the sum of all differences of two distributions: 0 for equal ones, 1 for ones that share
 * nothing.
 */
export function totalVariation(p, q) {
  let sum = 0;
  for (let i = 0; i < p.length; i += 1) sum += Math.abs(p[i] - q[i]);
  return sum / 2;
}

const isOff = ({ heads }, block, head) => heads.has(`${block} ${head}`);

/** Switches as a request has them: only what is off. @param {Switches} switches */
export function changesOf({ mask, scaling, positions, heads }) {
  const off = Object.entries({ mask, scaling, positions }).filter(([, on]) => !on);
  const pairs = [...heads]
    .map((pair) => pair.split(" ").map(Number))
    .sort(([a, b], [c, d]) => a - c || b - d);
  return { ...Object.fromEntries(off), ...(pairs.length ? { heads: pairs } : {}) };
}

const NAMES = { mask: "the causal mask", scaling: "the scaling", positions: "the positions" };

/**
 * What is off, in words.
 * @param {ReturnType<typeof changesOf>} changes
 * @param {number} H  heads in a block
 */
export function inWords({ heads = [], ...others }, H) {
  const blocks = [...new Set(heads.map(([block]) => block))];
  const ofBlock = (block) => heads.filter(([other]) => other === block).map(([, head]) => head);
  const listed = (block, off) =>
    `head${off.length > 1 ? "s" : ""} ${off.join(", ")} of block ${block}`;
  const named = blocks.map((block) =>
    ofBlock(block).length === H ? `all heads of block ${block}` : listed(block, ofBlock(block)),
  );
  const all = [...Object.keys(others).map((name) => NAMES[name]), ...named];
  return all.length < 2 ? all.join("") : `${all.slice(0, -1).join(", ")} and ${all.at(-1)}`;
}

/** The most probable tokens of both distributions, those of the first one first. */
export function bothTops(before, after) {
  const known = new Set(before.map(({ id }) => id));
  return [...before, ...after.filter(({ id }) => !known.has(id))];
}

/**
 * Numbers as nested lists of a shape, with four decimals.
 * @param {ArrayLike<number>} data
 * @param {number[]} shape
 */
export function nested(data, shape) {
  const [rows, cols] = shape;
  const row = (i) =>
    `[${Array.from({ length: cols }, (_, j) => Number(data[i * cols + j].toFixed(4))).join(", ")}]`;
  return `[\n${Array.from({ length: rows }, (_, i) => `    ${row(i)},\n`).join("")}]`;
}

/**
 * @param {{name: string, shape: number[], data: ArrayLike<number>}} tensor
 * @param {string} about  what the comment says of it
 */
export function pythonList({ name, shape, data }, about) {
  const variable = name.replace(/\[.*/, "").split(".").at(-1);
  return `# ${name}, shape (${shape.join(", ")}), ${about}\n${variable} = ${nested(data, shape)}\n`;
}

/** A tensor in a file; nine digits hold a 32-bit number. */
export const fileOf = ({ name, shape, data }, about) => ({
  name,
  shape,
  ...about,
  values: Array.from(data, (x) => Number(x.toPrecision(9))),
});

/** All heads of all blocks, small; one is chosen. */
class Maps {
  /** @param {(block: number, head: number) => void} onChoose */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.grid = h("div", {
      class: "bw-heads",
      role: "radiogroup",
      "aria-label": "Head: rows are blocks, columns are heads",
      onkeydown: (event) => this.#press(event),
    });
    this.element = h("div", { class: "bw-scroll bw-heads-box" }, this.grid);
  }

  /** @param {Tensor[]} blocks */
  take(blocks) {
    const H = blocks[0].shape[0];
    const same = this.blocks?.length === blocks.length && this.H === H;
    this.blocks = blocks;
    this.H = H;
    if (!same) this.#build();
  }

  #build() {
    const map = (block, head) =>
      h(
        "button",
        {
          type: "button",
          role: "radio",
          class: "bw-small-head",
          tabindex: -1,
          onclick: () => this.onChoose(block, head),
        },
        h("canvas", { "aria-hidden": "true" }),
      );
    this.buttons = this.blocks.map((_, block) =>
      Array.from({ length: this.H }, (_, head) => map(block, head)),
    );
    const name = (text) => h("span", { class: "bw-head-name", "aria-hidden": "true" }, text);
    const heads = Array.from({ length: this.H }, (_, head) => name(String(head)));
    const rows = this.buttons.flatMap((row, block) => [name(`block ${block}`), ...row]);
    this.grid.style.gridTemplateColumns = `auto repeat(${this.H}, minmax(24px, 44px))`;
    this.grid.replaceChildren(name("head"), ...heads, ...rows);
  }

  paint({ scale }) {
    this.buttons.forEach((row, block) =>
      row.forEach((button, head) => {
        const { T, data } = headOf(this.blocks[block], head);
        paintPoints(button.firstChild, { rows: T, cols: T, data }, scale, placeOf);
      }),
    );
  }

  /** @param {{heads: Set<string>}} switches  those that the maps were made with */
  mark(chosen, switches) {
    this.chosen = chosen;
    this.buttons.forEach((row, block) =>
      row.forEach((button, head) => {
        const [on, off] = [
          block === chosen.block && head === chosen.head,
          isOff(switches, block, head),
        ];
        button.setAttribute("aria-checked", on);
        button.setAttribute(
          "aria-label",
          `block ${block}, head ${head}${off ? ", switched off" : ""}`,
        );
        button.tabIndex = on ? 0 : -1;
        button.classList.toggle("bw-off", off);
      }),
    );
  }

  #press(event) {
    const at = { row: this.chosen.block, column: this.chosen.head };
    const to = stepInGrid(event, at, { rows: this.blocks.length, columns: this.H });
    if (!to) return;
    this.buttons[to.row][to.column].focus();
    this.onChoose(to.row, to.column);
  }
}

/** One head, as a grid or as links. */
class Picture extends WeightGrid {
  /** @param {(cursor: Cursor) => void} onMove */
  constructor(onMove) {
    super(onMove);
    this.view = "grid";
    this.hint = h("p", { class: "bw-legend", id: uniqueId() });
    this.pad.setAttribute("aria-describedby", this.hint.id);
  }

  show(matrix, about) {
    super.show(matrix, about);
    const keys = "Point at it, touch it, or move with the arrow keys, Home and End.";
    const what =
      this.view === "grid"
        ? "Each row is a token that looks, each column a token that is looked at."
        : `On the left the tokens that look, on the right what they look at; links below ${FAINTEST} are left out.`;
    this.hint.textContent = `${what} ${keys}`;
  }

  paintIn(width, colors) {
    if (this.view === "grid") return super.paintIn(width, colors);
    const { T } = this.matrix;
    const { labels, room } = this.labels(colors.font, width < 500 ? 72 : 120);
    const [rows, size] = [T > 24 ? 18 : 26, Math.min(width, 620)];
    const right = size - room - 34; // room for the numbers of the token in focus
    this.links = { left: room, top: 22, right, rows };
    const context = this.empty(size, 22 + T * rows + 2, colors);
    for (let row = 0; row < T; row += 1)
      if (row !== this.cursor.row) this.#links(context, row, colors, 0.3);
    this.#links(context, this.cursor.row, colors, 1);
    this.#linkNames(context, labels, colors);
  }

  #links(context, row, { css }, alpha) {
    const { T, data } = this.matrix;
    const { left, right, top, rows } = this.links;
    const y = (i) => top + i * rows + rows / 2;
    context.globalAlpha = alpha;
    context.lineCap = "butt";
    for (let column = 0; column < T; column += 1) {
      const w = data[row * T + column];
      if (w < FAINTEST) continue;
      const ends = [left + 2, y(row), right - 2, y(column)];
      // the pale end of the scale would not be seen as a line
      this.stroke(context, css[Math.max(110, placeOf(w))], ends, 0.6 + 6 * w);
    }
    context.globalAlpha = 1;
  }

  #linkNames(context, labels, { ink, muted, focus, font }) {
    const { T, data } = this.matrix;
    const { left, right, top, rows } = this.links;
    const { row, column } = this.cursor;
    const put = (text, x, y, chosen, align) => {
      context.font = chosen ? `bold ${font}` : font;
      context.fillStyle = chosen ? ink : muted;
      context.textAlign = align;
      context.fillText(text, x, y);
    };
    put("looks", left - 4, 10, false, "right");
    put("looked at", right + 4, 10, false, "left");
    labels.forEach((label, i) => {
      const [y, w] = [top + i * rows + rows / 2, data[row * T + i]];
      put(label, left - 6, y, i === row, "right");
      put((w >= FAINTEST ? brief(w) : "").padEnd(4), right + 4, y, i === column, "left");
      put(label, right + 36, y, i === column, "left");
    });
    const mark = (x, i) =>
      this.stroke(context, focus, [x, top + i * rows + 3, x, top + (i + 1) * rows - 3], 4);
    mark(left - 1, row);
    mark(right + 1, column);
  }

  cursorAt(x, y) {
    if (this.view === "grid") return super.cursorAt(x, y);
    const { left, right, top, rows } = this.links;
    const at = this.within((y - top) / rows);
    return x < (left + right) / 2
      ? { row: at, column: mostIn(this.matrix, at) }
      : { ...this.cursor, column: at };
  }

  reveal() {
    if (this.view === "grid") super.reveal();
  }
}

/** What is switched off: the mask, the scaling, the positions, and single heads. */
class SwitchBoard {
  /** @param {() => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.boxes = {};
    const plain = (name) => this.#switch(name, (on) => (this.state[name] = on));
    const rows = [
      plain("mask"),
      plain("scaling"),
      plain("positions"),
      this.#switch("head", (on) => this.#turn([this.head], on)),
      this.#switch("block", (on) =>
        this.#turn(
          Array.from({ length: this.H }, (_, head) => head),
          on,
        ),
      ),
    ];
    this.button = button("Everything on", () => this.reset());
    this.element = h(
      "fieldset",
      { class: "bw-switches" },
      h("legend", { class: "bw-label" }, "Switches"),
      ...rows,
      this.button,
    );
    this.clear();
  }

  #switch(name, put) {
    const id = uniqueId();
    const box = h("input", {
      type: "checkbox",
      checked: true,
      "aria-describedby": id,
      onchange: () => (put(box.checked), this.#changed()),
    });
    const [text, hint] = [h("b", {}), h("span", { class: "bw-hint", id })];
    this.boxes[name] = { box, text, hint };
    return h("div", {}, h("label", {}, box, " ", text), hint);
  }

  /** Everything on, without a call of `onChange`. */
  clear() {
    /** @type {Switches} */
    this.state = { mask: true, scaling: true, positions: true, heads: new Set() };
  }

  reset() {
    this.clear();
    this.#changed();
  }

  /** Switch off what is named, and all else on, without a call of `onChange`. */
  put(names) {
    this.clear();
    for (const name of names) {
      const head = /^(\d+)\.(\d+)$/.exec(name);
      if (head) this.state.heads.add(`${head[1]} ${head[2]}`);
      else if (["mask", "scaling", "positions"].includes(name)) this.state[name] = false;
    }
  }

  /** Say which head the switches are about. */
  aim({ block, head, H, D }) {
    this.block = block;
    this.head = head;
    this.H = H;
    const say = (name, text, hint) => {
      this.boxes[name].text.textContent = text;
      this.boxes[name].hint.textContent = hint;
    };
    say("mask", "Causal mask", "Off: every token also sees the ones after it.");
    say("scaling", "Scaling", `Off: scores are not divided by √${D}, the root of the head size.`);
    say(
      "positions",
      "Positions",
      "Off: no position embedding is added. With the mask off too, the model cannot tell in which order the tokens stand.",
    );
    say(
      "head",
      `Head ${head} of block ${block}`,
      "Off: it hands nothing on. Its weights stay in the picture.",
    );
    say(
      "block",
      `All ${H} heads of block ${block}`,
      "Off: no token hands anything on in this block.",
    );
    this.#draw();
  }

  #turn(heads, on) {
    for (const head of heads) {
      if (on) this.state.heads.delete(`${this.block} ${head}`);
      else this.state.heads.add(`${this.block} ${head}`);
    }
  }

  #changed() {
    this.#draw();
    this.onChange();
  }

  #draw() {
    for (const name of ["mask", "scaling", "positions"])
      this.boxes[name].box.checked = this.state[name];
    const off = Array.from({ length: this.H }, (_, head) => isOff(this.state, this.block, head));
    const { head, block } = this.boxes;
    head.box.checked = !off[this.head];
    block.box.checked = !off.includes(true);
    block.box.indeterminate = off.includes(true) && off.includes(false);
    this.button.setAttribute("aria-disabled", !Object.keys(changesOf(this.state)).length);
  }
}

const tokenMark = (bytes) =>
  h("span", { class: "bw-mini" }, ...(bytes.length ? drawBytes(bytes) : ["(not used)"]));

/** The next token, before and after what was switched off. */
class Prediction {
  constructor() {
    this.summary = h("p", { class: "bw-summary", "aria-live": "polite" });
    this.table = h("div", {
      class: "bw-scroll",
      role: "group",
      "aria-label": "Next tokens",
      tabindex: 0,
    });
    this.note = h("p", { class: "bw-legend" });
    this.element = h(
      "div",
      {},
      h("p", { class: "bw-label" }, "Next token"),
      this.summary,
      this.table,
      this.note,
    );
  }

  /** @param {LiveReply} base  @param {LiveReply} now  @param {string} off  what is off, in words */
  show(base, now, off) {
    const [first] = base.top;
    if (!off) {
      this.#rows(
        base.top.map((token) => [token, token.probability]),
        [],
      );
      this.summary.replaceChildren(
        "Most probable: “",
        ...drawBytes(first.bytes),
        `” with ${percent(first.probability)}.`,
      );
      this.note.textContent = "Switch something off to see how these change.";
      return;
    }
    const [before, after] = [base, now].map(({ tensors }) =>
      softmaxOf(tensors["logits.last"].data),
    );
    const moved = totalVariation(before, after);
    this.#rows(
      bothTops(base.top, now.top).map((token) => [token, before[token.id], after[token.id]]),
      now.top,
    );
    this.summary.replaceChildren(
      `Without ${off}: “`,
      ...drawBytes(now.top[0].bytes),
      `” with ${percent(now.top[0].probability)}; before: “`,
      ...drawBytes(first.bytes),
      `” with ${percent(first.probability)}. Total variation distance: `,
      h("b", {}, decimal(moved)),
      ".",
    );
    this.note.textContent = `The distance is half the sum of all differences over the ${grouped(before.length)} tokens: 0 for the same probabilities, 1 where they share nothing.`;
  }

  #rows(rows, after) {
    const most = Math.max(...rows.flatMap(([, ...pair]) => pair));
    const kinds = ["bw-before", "bw-after"];
    const bar = (p, i) =>
      h("span", { class: `bw-odds ${kinds[i]}`, style: `width: ${(100 * p) / most}%` });
    const line = ([{ bytes }, ...pair]) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, tokenMark(bytes)),
        ...pair.map((p) => h("td", {}, percent(p))),
        h("td", { class: "bw-bars", "aria-hidden": "true" }, ...pair.map(bar)),
      );
    const swatch = (i, text) =>
      h(
        "th",
        { scope: "col" },
        h("span", { class: `bw-swatch ${kinds[i]}`, "aria-hidden": "true" }),
        ` ${text}`,
      );
    const head = [
      h("th", { scope: "col" }, "token"),
      swatch(0, after.length ? "before" : "probability"),
      ...(after.length ? [swatch(1, "after")] : []),
      h("td", { "aria-hidden": "true" }),
    ];
    this.table.replaceChildren(
      h(
        "table",
        { class: "bw-table bw-chances" },
        h("thead", {}, h("tr", {}, ...head)),
        h("tbody", {}, ...rows.map(line)),
      ),
    );
  }
}

/** The chosen head's numbers, to be taken away. */
class Takeaway {
  /**
   * @param {(parts: string[]) => Promise<{tensors: any[], about: Record<string, any>} | null>} get
   */
  constructor(get) {
    this.get = get;
    const { label, field } = select("Numbers of this head", [
      ["weights", "weights"],
      ["scores", "scores, before mask and softmax"],
      ["q", "queries q"],
      ["k", "keys k"],
      ["v", "values v"],
      ["all", "all five"],
    ]);
    this.select = field;
    this.status = h("span", { role: "status" });
    this.code = h("code", {});
    this.shown = h(
      "pre",
      {
        class: "bw-code bw-taken",
        tabindex: 0,
        role: "group",
        "aria-label": "Numbers as Python code",
        hidden: true,
      },
      this.code,
    );
    const bar = h(
      "div",
      { class: "bw-bar" },
      label,
      field,
      button("Copy as Python", () => this.#take((found) => this.#copy(found))),
      button("Download (JSON)", () => this.#take((found) => this.#save(found))),
      this.status,
    );
    this.element = h("div", { class: "bw-take" }, bar, this.shown);
  }

  /** Another head or text: what was said of the last one holds no more. */
  clear() {
    this.status.textContent = "";
    this.shown.hidden = true;
  }

  async #take(take) {
    this.clear();
    const { value } = this.select;
    const found = await this.get(value === "all" ? PARTS : [value]);
    if (found) await take(found);
    else
      this.status.textContent =
        "The stored example has only the weights; the others need the model.";
  }

  async #copy({ tensors, about: { text, model, off } }) {
    const said = `${model}, text: ${JSON.stringify(text.replace(/\p{Surrogate}/gu, "\uFFFD"))}${off ? `, without ${off}` : ""}`;
    this.code.textContent = tensors.map((tensor) => pythonList(tensor, said)).join("\n");
    const copied = await copyText(this.code.textContent);
    this.status.textContent = copied
      ? `Copied: ${count(tensors.length, "list")} rounded to 4 decimals.`
      : "Selected below: copy it with your keyboard.";
    this.shown.hidden = copied;
    if (!copied) getSelection().selectAllChildren(this.code);
  }

  #save({ tensors, about }) {
    const files = tensors.map((tensor) => fileOf(tensor, about));
    const content = new Blob([JSON.stringify(files.length > 1 ? files : files[0])], {
      type: "application/json",
    });
    const name = files.length > 1 ? files[0].name.replace("weights", "all") : files[0].name;
    const link = h("a", {
      href: URL.createObjectURL(content),
      download: `${name.replace(/\[(\d+)\]/, ".$1")}.json`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    this.status.textContent = `Saved as ${link.download}.`;
  }
}

/**
 * What each is called, and how it is written.
 * @type {Record<keyof Measures, [string, (x: number) => string]>}
 */
const MEASURES = {
  previous: ["on the token before", (x) => decimal(x, 2)],
  first: ["on the first token", (x) => decimal(x, 2)],
  itself: ["on itself", (x) => decimal(x, 2)],
  distance: ["tokens away, on average", (x) => decimal(x, 1)],
  entropy: ["bits of entropy", (x) => decimal(x, 2)],
};

/** Mean numbers of the chosen head. */
class Measured {
  constructor() {
    this.tiles = h("div", { class: "bw-tiles" });
    this.summary = h("p", { class: "bw-summary" });
    const caveat = h(
      "p",
      { class: "bw-legend" },
      "These are measurements of where weight goes, on this text only. A large weight says from where values are taken; it does not explain why the model predicts what it does.",
    );
    this.words = h("div", {}, this.summary, caveat);
  }

  show(matrix, mask, name) {
    const [found, even] = [measure(matrix), measure(evenly(matrix.T, mask))];
    this.tiles.hidden = !found;
    if (!found)
      return (this.summary.textContent = `${name}: there is one token, which gives all its weight to itself.`);
    this.tiles.replaceChildren(
      ...tiles(
        MEASURED.map((key) => {
          const [text, write] = MEASURES[key];
          return [`${text} (even: ${write(even[key])})`, write(found[key])];
        }),
      ),
    );
    const { previous, first, itself, distance, entropy } = found;
    const where = mask ? "back" : "away";
    this.summary.textContent =
      `${name}: of its weight a token gives on average ${decimal(previous, 2)} to the token before it, ${decimal(first, 2)} to the first token and ${decimal(itself, 2)} to itself; ` +
      `it looks ${decimal(distance, 1)} tokens ${where}, and its weights have ${decimal(entropy, 2)} bits of entropy, as much as when spread evenly over ${decimal(2 ** entropy, 1)} tokens. ` +
      `The first token is left out; “even” is what equal weights would give.`;
  }
}

/** A row of weights from 0 to 1 as swatches. */
function keyOf({ css }, mask) {
  const swatch = (w) =>
    h(
      "span",
      { class: "bw-keyed" },
      h("span", { class: "bw-swatch bw-weight", style: `background: ${css[placeOf(w)]}` }),
      ` ${w}`,
    );
  const hidden = h(
    "span",
    { class: "bw-keyed" },
    h("span", { class: "bw-swatch bw-hidden" }),
    " hidden by the mask",
  );
  return [
    "Weight: ",
    ...[0, 0.05, 0.2, 0.5, 1].flatMap((w) => [swatch(w), "  "]),
    ...(mask ? [hidden] : []),
  ];
}

class AttentionExplorer {
  constructor(model) {
    this.model = model;
    this.turn = 0;
    this.block = model.get("block");
    this.head = model.get("head");
    this.owner = model.get("model").name;
    this.live = new Live({
      model,
      most: MOST_READ,
      code: 'AttentionExplorer("The old king", model="path/of/the/folder")',
      onChange: () => this.#update(),
    });
    this.maps = new Maps((block, head) => this.choose(block, head));
    this.picture = new Picture((cursor) => this.#point(cursor));
    this.switches = new SwitchBoard(() => this.#update());
    this.prediction = new Prediction();
    this.measured = new Measured();
    this.takeaway = new Takeaway((parts) => this.#numbers(parts));
    this.stale = h("p", { class: "bw-note", role: "status", hidden: true });
    this.heading = h("p", { class: "bw-part-title" });
    this.summary = h("p", { class: "bw-summary bw-readout", "aria-live": "polite" });
    this.legend = h("p", { class: "bw-legend" });
    this.element = this.#layout();
    this.instrument = new Instrument(this, EXPERIMENTS);
    this.#watch();
    this.#example();
    this.live.start();
  }

  #layout() {
    const view = segments("View", ["grid", "links"], (name) => this.#look(name));
    const about = h(
      "p",
      { class: "bw-legend" },
      "Each small picture is one head: which tokens (rows) look at which (columns). Blocks and heads are counted from 0, as in Python. Choose one.",
    );
    const head = h(
      "div",
      { class: "bw-bar bw-head" },
      this.heading,
      h("span", { class: "bw-gap" }),
      view,
    );
    opensOn(this.maps.grid, this.picture.box);
    return this.live.frame(
      "Attention explorer",
      this.stale,
      h(
        "div",
        { class: "bw-duo" },
        h("div", {}, this.maps.element),
        h("div", {}, head, this.picture.box, this.summary),
      ),
      about,
      this.picture.hint,
      this.legend,
      fold(
        "Switch parts of the attention off",
        h("div", { class: "bw-halves bw-panel" }, this.switches.element, this.prediction.element),
      ),
      fold("Measure this head", this.measured.tiles, this.measured.words),
      fold("Take the numbers away", this.takeaway.element),
    );
  }

  /** Draw anew when the size or the theme of the page changes, and choose what Python chooses. */
  #watch() {
    this.sizes = new ResizeObserver(() => this.#resize());
    this.sizes.observe(this.picture.box);
    this.theme = onTheme(() => this.#paint());
    // what the view itself tells the model comes back one name at a time
    this.follow = () =>
      this.telling || this.choose(this.model.get("block"), this.model.get("head"));
    for (const name of ["block", "head"]) this.model.on(`change:${name}`, this.follow);
  }

  /** The type is larger or smaller. */
  resized() {
    this.#paint();
  }

  #resize() {
    const { clientWidth } = this.picture.box;
    if (clientWidth === this.width) return;
    this.width = clientWidth;
    this.#paint();
  }

  /** The stored weights: those that no mask hides. */
  #example() {
    const [
      {
        tensors: { weights },
        ...reply
      },
    ] = this.live.example("run");
    const [L, H] = weights.shape;
    const seen = weights.data;
    const n = seen.length / L;
    const tensors = Array.from({ length: L }, (_, i) => [
      `blocks.${i}.attention.weights`,
      whole(seen.subarray(i * n, (i + 1) * n), H, reply.tokens.length),
    ]);
    const base = { ...reply, tensors: Object.fromEntries(tensors) };
    this.#take({
      text: this.model.get("text"),
      name: this.model.get("model").name,
      base,
      now: base,
      changes: {},
    });
  }

  /** Another text, model or switch. */
  async #update() {
    const turn = (this.turn += 1);
    const { text, name } = this.live;
    if (name !== this.owner) this.switches.clear();
    this.owner = name;
    const changes = changesOf(this.switches.state);
    const changed = Object.keys(changes).length > 0;
    if (!this.live.ready && this.live.isExample && !changed) return this.#example();
    this.#lag(text, changes);
    const { shown } = this;
    const known = shown.text === text && shown.name === name && shown.base.tensors["logits.last"];
    const base = known ? shown.base : await this.#ask(text, {}, "base");
    if (!base || turn !== this.turn) return;
    const now = changed ? await this.#ask(text, changes, "changed") : base;
    if (now && turn === this.turn) this.#take({ text, name, base, now, changes });
  }

  #ask(text, changes, channel) {
    const want = ["blocks.*.attention.weights", "logits.last"];
    // twice as many units as characters are read, and one more: so that the answerer sees that it
    // has to cut
    return this.live.ask(
      { kind: "run", text: text.slice(-2 * (LIMIT + 1)), want, changes, options: { top: TOP } },
      channel,
    );
  }

  /**
   * Until a reply comes, what is drawn may be of another text or of other switches: say so where it
   * may take long.
   */
  #lag(text, changes) {
    const { shown } = this;
    const notes = [];
    if (text !== shown.text)
      notes.push(
        `The pictures still show “${shown.text.length > 60 ? `… ${shown.text.slice(-60)}` : shown.text}”.`,
      );
    if (JSON.stringify(changes) !== JSON.stringify(shown.changes))
      notes.push("The switches take effect when the model has answered.");
    this.stale.textContent = notes.join(" ");
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => (this.stale.hidden = !notes.length), this.live.ready ? 700 : 0);
    if (Object.keys(changes).length) this.live.need(this.switches.element);
  }

  #take(shown) {
    const before = this.shown;
    this.shown = shown;
    clearTimeout(this.waiting);
    this.stale.hidden = true;
    this.live.callout.remove();
    this.blocks = blocksOf(shown.now.tensors);
    this.names = shown.now.tokens.map(
      ({ bytes }) =>
        pieces(bytes)
          .map(({ text }) => text)
          .join("") || "(not used)",
    );
    this.drawn = { heads: new Set((shown.changes.heads ?? []).map((pair) => pair.join(" "))) };
    this.off = inWords(shown.changes, this.blocks[0].shape[0]);
    this.maps.take(this.blocks);
    this.prediction.show(shown.base, shown.now, this.off);
    const ids = ({ now }) => now.tokens.map(({ id }) => id).join(" ");
    if (!before || ids(before) !== ids(shown)) this.cursor = null;
    this.#draw(true);
  }

  choose(block, head) {
    if (block === this.block && head === this.head) return;
    this.block = block;
    this.head = head;
    this.#draw();
    this.telling = true;
    this.model.set("block", this.block);
    this.model.set("head", this.head);
    this.telling = false;
    this.model.save_changes();
  }

  /** Draw the chosen head; `all`: the small pictures are others, too. */
  #draw(all = false) {
    const [H, T] = this.blocks[0].shape;
    this.block = Math.max(0, Math.min(this.block, this.blocks.length - 1));
    this.head = Math.max(0, Math.min(this.head, H - 1));
    this.matrix = headOf(this.blocks[this.block], this.head);
    this.cursor ??= { row: T - 1, column: mostIn(this.matrix, T - 1) };
    const { block, head } = this;
    const { emb_dim, n_heads } = this.live.config;
    this.maps.mark({ block, head }, this.drawn);
    this.switches.aim({ block, head, H, D: emb_dim / n_heads });
    this.measured.show(this.matrix, this.mask, `Block ${block}, head ${head}`);
    this.takeaway.clear();
    this.heading.textContent = `Block ${block}, head ${head}${this.off ? `, without ${this.off}` : ""}`;
    const title = `Weights of block ${block}, head ${head}: ${T} by ${T}`;
    this.picture.show(this.matrix, {
      names: this.names,
      mask: this.mask,
      cursor: this.cursor,
      title,
    });
    this.#read(this.cursor);
    if (all) this.#paint();
    else this.picture.paint();
  }

  read() {
    const { heads = [], ...others } = changesOf(this.switches.state);
    const { block, head, cursor } = this;
    return {
      text: this.live.text,
      block: String(block),
      head: String(head),
      row: String(cursor.row),
      column: String(cursor.column),
      off: [...Object.keys(others), ...heads.map((pair) => pair.join("."))].join(","),
    };
  }

  /** @param {Record<string, string>} state  `off`: "mask,4.5", what is switched off */
  async apply({ text = this.model.get("text"), block, head, row, column, off = "" }) {
    this.live.put(text);
    this.switches.put(off.split(",").filter(Boolean));
    this.block = Number(block ?? this.model.get("block"));
    this.head = Number(head ?? this.model.get("head"));
    this.cursor = null;
    this.#draw();
    await this.#update();
    if (row === undefined || column === undefined) return;
    const within = (i) => Math.max(0, Math.min(this.matrix.T - 1, Number(i)));
    this.#point({ row: within(row), column: within(column) });
  }

  facts() {
    const { base, now } = this.shown;
    const found = measure(this.matrix);
    const chances = [base, now].map(({ tensors }) => softmaxOf(tensors["logits.last"].data));
    const { row } = this.cursor;
    const most = mostIn(this.matrix, row);
    return {
      previous: decimal(found.previous, 2),
      first: decimal(found.first, 2),
      row: asWord(now.tokens[row].bytes),
      most: asWord(now.tokens[most].bytes),
      weight: decimal(this.matrix.data[row * this.matrix.T + most]),
      before: asWord(base.top[0].bytes),
      beforeShare: percent(base.top[0].probability),
      after: asWord(now.top[0].bytes),
      afterShare: percent(now.top[0].probability),
      moved: decimal(totalVariation(chances[0], chances[1])),
    };
  }

  get mask() {
    return this.shown.changes.mask ?? true;
  }

  #look(view) {
    this.picture.view = view;
    this.#draw();
  }

  #paint() {
    const colors = weightColors(this.element);
    if (!colors.paper) return; // not on the page yet: the first size brings it here again
    this.picture.paint(colors);
    cancelAnimationFrame(this.frame);
    // not in one long task with the rest
    this.frame = requestAnimationFrame(() => this.maps.paint(colors));
    this.legend.replaceChildren(...keyOf(colors, this.mask));
  }

  #point(cursor) {
    this.#read(cursor);
    this.picture.paint();
  }

  /** Say one weight. */
  #read(cursor) {
    this.cursor = cursor;
    const { row, column } = cursor;
    const most = mostIn(this.matrix, row);
    const weight = (j) => decimal(this.matrix.data[row * this.matrix.T + j]);
    const token = (i) => [
      h("b", {}, "“", ...drawBytes(this.shown.now.tokens[i].bytes), "”"),
      ` (token ${i})`,
    ];
    const hidden = this.mask && column > row;
    const rest = hidden
      ? [" It cannot see ", ...token(column), ", which comes later."]
      : [" Its weight on ", ...token(column), `: ${weight(column)}.`];
    this.summary.replaceChildren(
      ...token(row),
      " looks mostly at ",
      ...token(most),
      `, weight ${weight(most)}.`,
      ...(column === most ? [] : rest),
    );
    this.picture.move(cursor, `${this.picture.title}. ${this.summary.textContent}`);
  }

  /**
   * Tensors of the chosen head, and what is to be said of them; null when there is no model to ask.
   */
  async #numbers(parts) {
    const { block, head, shown, off } = this;
    const prefix = `blocks.${block}.attention.`;
    let tensors = shown.now.tensors;
    if (parts.some((part) => part !== "weights")) {
      const reply = await this.live.ask(
        {
          kind: "run",
          text: shown.text.slice(-2 * (LIMIT + 1)),
          want: parts.map((part) => prefix + part),
          changes: shown.changes,
        },
        "numbers",
      );
      if (!reply) return null;
      tensors = reply.tensors;
    }
    const one = (part) => {
      const {
        shape: [, ...shape],
        data,
      } = tensors[prefix + part];
      const n = shape[0] * shape[1];
      return {
        name: `${prefix}${part}[${head}]`,
        shape,
        data: data.subarray(head * n, (head + 1) * n),
      };
    };
    // the text that was read: its end, where it was too long
    const text = decode(shown.now.tokens.flatMap(({ bytes }) => bytes)) ?? shown.text;
    const model = shown.name === this.model.get("model").name ? shown.name : "your model";
    return { tensors: parts.map(one), about: { model, text, off } };
  }

  stop() {
    clearTimeout(this.waiting);
    cancelAnimationFrame(this.frame);
    this.sizes.disconnect();
    this.theme.disconnect();
    this.instrument.stop();
    for (const name of ["block", "head"]) this.model.off(`change:${name}`, this.follow);
    this.live.stop();
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const explorer = new AttentionExplorer(model);
  el.append(explorer.element);
  return () => explorer.stop();
}

export default { render };
