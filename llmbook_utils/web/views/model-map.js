/**
 * Model map: a text on its way through a GPT. Three levels: all stages in order, each with its
 * shape, its parameters and a picture of its numbers; one stage as a table of colored cells; and
 * one number, with the arithmetic that made it. The tensors come with `run`, the arithmetic with
 * `explain`; sums and colors are model-map-math.js, the two lower levels are drawn by
 * model-map-parts.js.
 */
import { gelu } from "../engine/functions.js";
import { softmaxOf } from "../engine/sampling.js";
import { STAGES } from "../engine/stages.js";
import { onTheme } from "../parts/colors.js";
import { button, fold, h, opensOn, scroller, select } from "../parts/dom.js";
import { Instrument } from "../parts/instrument.js";
import { Live } from "../parts/live.js";
import { count, grouped, percent, short } from "../parts/numbers.js";
import { asWord, drawBytes, pieces } from "../parts/tokens.js";
import {
  evaluate,
  exactly,
  limitOf,
  matrixOf,
  parametersOf,
  pythonLiteral,
  sideBySide,
  sizesOf,
  squeeze,
  summarize,
  written,
} from "./model-map-math.js";
import {
  Cells,
  Explanation,
  holdInPlace,
  paint,
  paletteOf,
  shownToken,
} from "./model-map-parts.js";

import { EXPERIMENTS } from "./experiments/model-map.js";

const MOST = 24; // tokens that are read, as in model_map.py
const TOP = 10; // next tokens
const SHOWN = 5; // of them, at first

/**
 * @import { Tensor } from "../parts/live.js"
 * @import { Token } from "../parts/tokens.js"
 * @import { Place } from "./model-map-math.js"
 * @typedef {{text: string, name: string, config: any, block: number, tokens: Token[], top: any[],
 *   tensors: Record<string, Tensor>, isStored?: boolean}} Reading
 */

const PARTS = Object.fromEntries(
  ["before", "block", "after"].map((part) => [part, STAGES.filter((s) => s.part === part)]),
);

/** The block that a tensor belongs to; null for one outside the blocks. @param {string} name */
const blockOf = (name) => (name.startsWith("blocks.") ? Number(name.split(".")[1]) : null);

/** @returns {Reading} */
const readingOf = (reply, about) => ({ ...reply, ...about });

class ModelMap {
  constructor(model) {
    this.model = model;
    this.live = new Live({
      model,
      most: MOST,
      rows: 1,
      code: 'ModelMap("The old king", model="path/of/the/folder")',
      onChange: () => this.#changed(),
    });
    this.open = null;
    this.at = { head: 0, row: 0, col: 0 };
    this.folded = true; // the whole comes first
    this.trail = [];
    this.asks = false;
    this.names = null;
    this.summary = h("p", { class: "bw-summary" });
    this.list = h("ol", { class: "bw-map" });
    this.#makePanel();
    this.themes = onTheme(() => this.#recolor());
    // the first size comes when the widget stands on the page, where it has colors
    this.arrival = new ResizeObserver(
      () => (this.arrival.disconnect(), this.#drawStrips(), this.explanation.draw()),
    );
    this.arrival.observe(this.list);
    const one = button("See how one number came about", () => this.#showOne());
    opensOn(this.live.field, this.list);
    this.element = this.live.frame(
      "Model map",
      this.list,
      this.summary,
      h("div", { class: "bw-bar" }, one),
    );
    this.instrument = new Instrument(this, EXPERIMENTS);
    this.#take(this.#stored());
    this.live.start();
  }

  /** The stored reading, with what can be made of another tensor. */
  #stored() {
    if (this.kept) return this.kept;
    this.path = this.live.example("path");
    const [reply] = this.live.example("run");
    const { tensors } = reply;
    const [{ name, config }, block] = [this.model.get("model"), this.model.get("block")];
    const { shape, data } = tensors[`blocks.${block}.feed_forward.up_proj`];
    tensors[`blocks.${block}.feed_forward.gelu`] = { shape, data: data.map(gelu) };
    const text = this.model.get("text");
    this.kept = readingOf(reply, { text, name, config, block, isStored: true });
    // exact, as its explanation is
    for (const { tensor, index, value } of this.path) put(this.kept.tensors[tensor], index, value);
    return this.kept;
  }

  /** Open the calculation that the widget came with. */
  async #showOne() {
    const { tensor, index } = this.path[Math.min(1, this.path.length - 1)]; // a product
    this.trail = [];
    await this.#go({
      tensor: tensor.replace(/^blocks\.\d+/, `blocks.${this.reading.block}`),
      index,
    });
    this.panel.scrollIntoView({ block: "start" });
    if (this.explanation.element.hidden) this.explain(true);
  }

  read() {
    const place = this.open && this.open !== "tokens" ? this.#index().join(".") : "";
    return { text: this.live.text, ...(this.open ? { open: this.open, at: place } : {}) };
  }

  /** @param {Record<string, string>} state  `open`: a stage; `at`: the place in it, "0.3.2" */
  async apply({ text = this.model.get("text"), open, at = "" }) {
    this.live.put(text);
    await this.#changed();
    this.#close();
    if (!open) return;
    const index = at.split(".").filter(Boolean).map(Number);
    if (this.live.ready || !at) await this.#follow({ tensor: open, index });
    else this.live.need(this.live.controls, () => this.apply({ text, open, at }));
  }

  facts() {
    const [one, two] = this.reading.top;
    return {
      one: asWord(one.bytes),
      oneShare: percent(one.probability),
      two: asWord(two.bytes),
      twoShare: percent(two.probability),
      tokens: String(this.reading.tokens.length),
      value: this.readout.querySelector("b")?.textContent ?? "",
    };
  }

  /** What is asked of the model with one block open. */
  #wanted(block) {
    const { before, block: inside, after } = PARTS;
    const around = [...before, ...after].map(({ name }) =>
      name === "logits" ? "logits.last" : name,
    );
    return [
      ...around.filter((name) => name !== "tokens" && name !== "probabilities"),
      ...inside.map(({ name }) => `blocks.${block}.${name}`),
      "blocks.*.output",
    ];
  }

  async #changed() {
    if (!this.live.ready && this.live.isExample)
      return this.reading === this.kept || this.#take(this.#stored());
    await this.#read(this.reading.block);
  }

  /** Ask for a reading with another block open. @returns {Promise<boolean>} */
  async #read(block) {
    const { text, name, config } = this.live;
    const at = Math.min(block, config.n_layers - 1);
    const reply = await this.live.ask({
      kind: "run",
      want: this.#wanted(at),
      options: { top: TOP },
    });
    if (!reply) return false;
    this.#take(readingOf(reply, { text, name, config, block: at }));
    return true;
  }

  /**
   * Draw a reading. What was open stays open, in the block that is open now.
   * @param {Reading} reading
   * @param {Place} [place]
   */
  #take(reading, place) {
    const renamed = (name) => name.replace(/^blocks\.\d+/, `blocks.${reading.block}`);
    const before = this.reading;
    this.reading = reading;
    this.sizes = sizesOf(reading.config, reading.tokens.length);
    if (
      before &&
      (before.name !== reading.name ||
        before.text !== reading.text ||
        before.block !== reading.block)
    )
      this.trail = [];
    if (before?.name !== reading.name) this.names = null;
    const { length } = reading.tokens;
    this.summary.textContent = `${reading.name} reads ${count(length, "token")}: from the text at the top to the next token's probabilities at the bottom. Open a stage to see its shape and its numbers, and ask how one of them came about.`;
    const refocus = this.#focus();
    this.#drawMap();
    const target = place ?? (this.open && { tensor: renamed(this.open), index: this.#index() });
    if (target) this.#openStage(target.tensor, target.index);
    refocus();
    if (target && !place && this.asks) this.explain();
  }

  /**
   * Where the focus is in the map, as a function that puts it back there once all is drawn again.
   */
  #focus() {
    const activeElement = /** @type {HTMLElement} */ (document.activeElement);
    const [name] = [...(this.rows ?? [])].find(([, { toggle }]) => toggle === activeElement) ?? [];
    if (name) return () => this.rows.get(name)?.toggle.focus({ preventScroll: true });
    return this.panel.contains(activeElement)
      ? () => activeElement.focus({ preventScroll: true })
      : () => {};
  }

  // the whole

  #drawMap() {
    this.panel.remove();
    this.rows = new Map();
    const { before, block, after } = PARTS;
    const { n_layers } = this.reading.config;
    const blocks = Array.from({ length: n_layers }, (_, i) => this.#blockItem(i, block));
    this.list.replaceChildren(
      ...before.map((stage) => this.#stageItem(stage, stage.name)),
      ...blocks,
      ...after.map((stage) => this.#stageItem(stage, stage.name)),
    );
    this.#drawStrips();
  }

  #stageItem(stage, name) {
    const axes = stage.shape.split(",");
    const shape = `${axes.join(" × ")} = ${axes.map((axis) => grouped(evaluate(axis, this.sizes))).join(" × ")}`;
    const n = evaluate(stage.parameters, this.sizes);
    const tied = name === "logits" && !n ? "the table of token_embedding" : "";
    const numbers = h(
      "span",
      { class: "bw-map-shape" },
      shape,
      n ? `, ${count(n, "parameter")}` : tied ? `, ${tied}` : "",
    );
    const picture =
      stage.name === "tokens"
        ? this.#chips()
        : h("canvas", { class: "bw-map-strip", "aria-hidden": "true" });
    const toggle = h(
      "button",
      {
        type: "button",
        class: "bw-map-stage",
        "aria-expanded": "false",
        onclick: () => this.#toggle(name),
      },
      h("span", { class: "bw-map-name" }, stage.name),
      numbers,
      h("span", { class: "bw-map-does" }, stage.does),
      picture,
    );
    const parts = stage.name === "probabilities" ? [toggle, this.#bars()] : [toggle];
    const item = h(
      "li",
      { class: `bw-map-item bw-map-${stage.name.replaceAll(/[._]/g, "-")}` },
      ...parts,
    );
    this.rows.set(name, { item, toggle, canvas: picture, stage });
    return item;
  }

  #chips() {
    return h(
      "span",
      { class: "bw-map-chips" },
      ...this.reading.tokens.map(({ bytes }) =>
        h("span", { class: "bw-mini" }, ...drawBytes(bytes)),
      ),
    );
  }

  #bars() {
    const [{ probability: most }] = this.reading.top;
    const row = ({ id, bytes, probability }) =>
      h(
        "li",
        {},
        h("span", { class: "bw-mini" }, ...drawBytes(bytes)),
        h("span", { class: "bw-map-percent" }, percent(probability)),
        h("span", {
          class: "bw-odds bw-after",
          style: `width: ${(100 * probability) / most}%`,
          "data-id": id,
        }),
      );
    const list = (from, to) =>
      h(
        "ol",
        { class: "bw-map-top", start: from + 1, "aria-label": "The most probable next tokens" },
        ...this.reading.top.slice(from, to).map(row),
      );
    return h("div", {}, list(0, SHOWN), fold("More tokens", list(SHOWN, TOP)));
  }

  /**
   * A block: its head, and inside it two ways that leave the residual stream and come back to it.
   */
  #blockItem(i, stages) {
    const isOpen = i === this.reading.block && !this.folded;
    const n = parametersOf(stages, this.sizes);
    const { T, C } = this.sizes;
    const canvas = h("canvas", { class: "bw-map-strip", "aria-hidden": "true" });
    const shape = `T × C = ${grouped(T)} × ${grouped(C)}, ${count(n, "parameter")}`;
    const does = isOpen
      ? "Attention, then a feed-forward network; each adds to the stream. The picture is what leaves the block."
      : "The same stages as in every block, with parameters of its own.";
    const toggle = h(
      "button",
      {
        type: "button",
        class: "bw-map-stage bw-map-block",
        "aria-expanded": String(isOpen),
        onclick: () => this.#toggleBlock(i),
      },
      h("span", { class: "bw-map-name" }, `blocks.${i}`),
      h("span", { class: "bw-map-shape" }, shape),
      h("span", { class: "bw-map-does" }, does),
      canvas,
    );
    const item = h("li", { class: "bw-map-item bw-map-group" }, toggle);
    this.rows.set(`block ${i}`, { toggle, canvas, strip: `blocks.${i}.output` });
    if (isOpen) item.append(this.#insideOf(i, stages));
    return item;
  }

  /** The stages of an open block, those of its two branches in lists of their own. */
  #insideOf(i, stages) {
    const cut = stages.findIndex(({ name }) => name === "residual");
    const items = (part) =>
      part.map((stage) => this.#stageItem(stage, `blocks.${i}.${stage.name}`));
    const branch = (part, label) =>
      h("li", { class: "bw-map-branch" }, h("ol", { "aria-label": label }, ...items(part)));
    return h(
      "ol",
      { "aria-label": `Inside blocks.${i}` },
      branch(stages.slice(0, cut), "Attention"),
      ...items([stages[cut]]),
      branch(stages.slice(cut + 1, -1), "Feed-forward network"),
      ...items(stages.slice(-1)),
    );
  }

  /** The small pictures, a few a frame: together they would hold the page up. */
  async #drawStrips() {
    const run = (this.drawing = {});
    if (!this.list.isConnected) return; // no colors yet
    const palettes = new Map(
      [true, false].map((isShare) => [isShare, paletteOf(this.list, isShare)]),
    );
    let since = performance.now();
    for (const [name, { canvas, strip = name }] of this.rows) {
      const tensor = this.#tensor(strip);
      if (!tensor) continue;
      const isShare = this.#isShare(strip);
      const matrix = squeeze(sideBySide(tensor), 320);
      paint(canvas, matrix, palettes.get(isShare), this.#limit(strip, matrix.data));
      if (performance.now() - since < 12) continue;
      await new Promise(requestAnimationFrame);
      if (this.drawing !== run) return;
      since = performance.now();
    }
  }

  #isShare = (name) => name.endsWith("attention.weights") || name === "probabilities";

  /** How large a number has the full color. */
  #limit(name, data) {
    if (name === "probabilities") return data.reduce((a, b) => Math.max(a, b));
    return this.#isShare(name) ? 1 : limitOf(data);
  }

  /** @returns {Tensor | undefined} */
  #tensor(name) {
    const { tensors } = this.reading;
    if (name === "logits") return tensors["logits.last"];
    if (name !== "probabilities") return tensors[name];
    tensors.probabilities ??= {
      shape: tensors["logits.last"].shape,
      data: Float32Array.from(softmaxOf(tensors["logits.last"].data)),
    };
    return tensors.probabilities;
  }

  #toggle(name) {
    const { toggle } = this.rows.get(name);
    this.trail = [];
    this.asks = false;
    if (this.open === name) return this.#close();
    const before = toggle.getBoundingClientRect().top;
    const [{ id }] = this.reading.top; // what is most probable comes first
    const isRow = !this.#tensor(this.open ?? "")?.shape[1];
    this.#openStage(
      name,
      name === "logits" || name === "probabilities"
        ? [id]
        : isRow
          ? [this.sizes.T - 1, 0]
          : this.#index(),
    );
    holdInPlace(toggle, before);
  }

  #close() {
    this.rows.get(this.open)?.toggle.setAttribute("aria-expanded", false);
    this.panel.remove();
    this.open = null;
  }

  async #toggleBlock(i) {
    const isOpen = i === this.reading.block && !this.folded;
    const focus = () => this.rows.get(`block ${i}`).toggle.focus({ preventScroll: true });
    const { toggle } = this.rows.get(`block ${i}`);
    const before = toggle.getBoundingClientRect().top;
    if (i !== this.reading.block) {
      if (!this.live.ready) return this.live.need(toggle, () => this.#toggleBlock(i));
      this.folded = false;
      if (!(await this.#read(i))) return;
    } else {
      this.folded = isOpen;
      if (isOpen && blockOf(this.open ?? "") === i) this.#close();
      this.#drawMap();
      if (this.open) this.#openStage(this.open, this.#index());
    }
    focus();
    holdInPlace(this.rows.get(`block ${i}`).toggle, before);
  }

  // one stage

  #makePanel() {
    this.back = button("← Back", () => this.#return(this.trail.length - 1));
    this.crumbs = h("ol", { class: "bw-map-crumbs" });
    const way = { class: "bw-bar", role: "group", "aria-label": "The way here" };
    this.way = h("div", way, this.back, this.crumbs);
    this.full = h("p", { class: "bw-map-full" });
    const onchange = () => this.#move({ head: Number(this.head.value) }, true);
    const { label, field } = select("Head", [], onchange);
    this.head = field;
    this.heads = h("div", { class: "bw-bar" }, label, field);
    this.cells = new Cells((row, col) => this.#move({ row, col }));
    this.readout = h("p", { class: "bw-map-readout", "aria-live": "polite" });
    this.statistics = h("p", { class: "bw-legend" });
    const show = () => ((this.asks = true), this.explain(true));
    this.how = button("Show how this value came about", show, "bw-primary");
    this.copy = button("", () => this.#copy());
    this.explanation = new Explanation((place) => this.#follow(place));
    this.body = h(
      "div",
      {},
      this.way,
      this.full,
      this.heads,
      this.cells.element,
      this.statistics,
      this.readout,
      h("div", { class: "bw-bar" }, this.how, this.copy),
      this.explanation.element,
    );
    this.table = scroller("Tokens");
    this.panel = h("div", { class: "bw-panel bw-map-panel" }, this.body, this.table);
  }

  /** The numbers that name the cursor's place in the open tensor. */
  #index() {
    const { head, row, col } = this.at;
    const { length } = this.#tensor(this.open)?.shape ?? [];
    if (this.open === "probabilities") return [col];
    if (this.open === "logits") return [this.reading.tokens.length - 1, col];
    return length === 3 ? [head, row, col] : [row, col];
  }

  /** Open a stage at a place; what lies outside it is moved to its edge. */
  #openStage(name, index) {
    if (this.open) this.rows.get(this.open)?.toggle.setAttribute("aria-expanded", false);
    const { item, toggle } = this.rows.get(name) ?? {};
    if (!item) return this.#close();
    this.open = name;
    toggle.setAttribute("aria-expanded", true);
    item.append(this.panel);
    this.live.callout.remove();
    this.body.hidden = name === "tokens";
    this.table.hidden = !this.body.hidden;
    this.explanation.hide();
    if (name === "tokens") return this.#drawTokens();
    const { shape } = this.#tensor(name);
    const isRow = shape.length === 1;
    const [head, row, col] =
      shape.length === 3 && index.length === 3
        ? index
        : [this.at.head, isRow ? 0 : (index.at(-2) ?? 0), index.at(-1) ?? 0];
    const most = (n, i) => Math.min(n - 1, i);
    this.at = {
      head: shape.length === 3 ? most(shape[0], head) : head,
      row: isRow ? 0 : most(shape.at(-2), row),
      col: most(shape.at(-1), col),
    };
    this.head.replaceChildren(
      ...Array.from({ length: shape.length === 3 ? shape[0] : 0 }, (_, i) =>
        h("option", { value: i }, String(i)),
      ),
    );
    this.head.value = this.at.head;
    this.heads.hidden = shape.length !== 3;
    this.#drawCells();
    this.#drawWay();
  }

  #drawTokens() {
    const row = ({ id, bytes }, i) =>
      h(
        "tr",
        {},
        h("td", {}, String(i)),
        h("th", { scope: "row" }, h("span", { class: "bw-mini" }, ...drawBytes(bytes))),
        h("td", {}, grouped(id)),
      );
    const head = h(
      "tr",
      {},
      ...["position", "token", "id"].map((name) => h("th", { scope: "col" }, name)),
    );
    this.table.replaceChildren(
      h(
        "table",
        { class: "bw-table" },
        h("thead", {}, head),
        h("tbody", {}, ...this.reading.tokens.map(row)),
      ),
    );
  }

  #drawCells() {
    const { open, at, reading } = this;
    const tensor = this.#tensor(open);
    this.matrix = matrixOf(tensor, at.head);
    const { T } = this.sizes;
    const isPair = /scores|weights$/.test(open);
    const axes = this.rows.get(open).stage.shape.split(",").join(" × ");
    this.full.replaceChildren(
      h("code", {}, open),
      ` ${axes} = ${tensor.shape.map(grouped).join(" × ")}${open === "logits" ? " (the last token's row)" : ""}`,
    );
    this.cells.show({
      name: `${open}${tensor.shape.length === 3 ? `, head ${at.head}` : ""}`,
      matrix: this.matrix,
      ...at,
      rowNames: tensor.shape.length === 1 ? reading.tokens.slice(-1) : reading.tokens,
      colName: isPair
        ? (c) =>
            pieces(reading.tokens[c].bytes)
              .map(({ text }) => text)
              .join("")
        : (c) => String(c),
      isShare: this.#isShare(open),
      limit: this.#limit(open, tensor.data),
      isMasked: (r, c) => isPair && c > r && T > 1,
    });
    this.#drawStatistics();
    this.#tell();
  }

  #drawStatistics() {
    const {
      matrix: { data, cols },
      reading: { tokens },
    } = this;
    const { mean, deviation, least, most } = summarize(data);
    const where = (i) =>
      data.length === cols
        ? this.#column(i)
        : `${shownToken(tokens[Math.floor(i / cols)].bytes)}, ${this.#column(i % cols)}`;
    const [a, b, c, d] = [mean, deviation, data[least], data[most]].map((x) => short(x));
    this.statistics.textContent = `Of these ${grouped(data.length)} numbers the mean is ${a}, the standard deviation ${b}, the smallest ${c} (${where(least)}), the largest ${d} (${where(most)}).`;
    this.copy.textContent = "Copy the numbers as Python";
  }

  /** What a column of the open stage stands for. */
  #column(c) {
    const {
      open,
      reading: { tokens, top },
    } = this;
    if (/scores|weights$/.test(open)) return `looks at ${shownToken(tokens[c].bytes)}`;
    if (open !== "logits" && open !== "probabilities") return `number ${c}`;
    const bytes = this.names?.(c) ?? top.find(({ id }) => id === c)?.bytes;
    return `id ${grouped(c)}${bytes ? ` ${shownToken(bytes)}` : ""}`;
  }

  /** The sentence that reads the number under the cursor. */
  #tell() {
    const {
      open,
      at: { row, col },
      matrix: { data, cols },
      reading: { tokens },
    } = this;
    const token =
      this.#tensor(open).shape.length === 1
        ? "after the last token"
        : `token ${row} ${shownToken(tokens[row].bytes)}`;
    const masked =
      /scores|weights$/.test(open) && col > row
        ? open.endsWith("scores")
          ? " Not used: the mask hides later tokens."
          : " The mask hides later tokens."
        : "";
    const place = written({ tensor: open, index: this.#index() });
    this.readout.replaceChildren(
      h("code", {}, place),
      " = ",
      h("b", {}, this.#number(data[row * cols + col])),
      `: ${token}, ${this.#column(col)}.${masked}`,
    );
    const isNamed = open === "logits" || open === "probabilities";
    if (isNamed && !this.names && this.live.ready) this.#learnNames();
  }

  /** A number with the digits that are known: of most stored ones three. */
  #number(x) {
    const isRough =
      this.reading.isStored &&
      !/logits|probabilities/.test(this.open) &&
      !this.#known({ tensor: this.open, index: this.#index() });
    return isRough ? short(x) : exactly(x);
  }

  /** The vocabulary, once for each model. */
  async #learnNames() {
    this.names = () => undefined;
    const reply = await this.live.ask({ kind: "vocabulary" });
    if (!reply) return;
    const starts = new Uint32Array(reply.lengths.length + 1);
    reply.lengths.forEach((length, id) => (starts[id + 1] = starts[id] + length));
    this.names = (id) => reply.bytes.slice(starts[id], starts[id + 1]);
    if (this.open === "logits" || this.open === "probabilities")
      (this.#tell(), this.#drawStatistics());
  }

  #move(at, isHead = false) {
    const asks = this.asks && !this.explanation.element.hidden;
    Object.assign(this.at, at);
    this.live.callout.remove();
    if (isHead) this.#drawCells();
    else (this.cells.put(this.at.row, this.at.col), this.#tell());
    if (asks) this.explain();
  }

  #copy() {
    const { open, at } = this;
    const name = open.split(".").at(-1);
    const shape = this.#tensor(open).shape;
    const comment = `# ${open}${shape.length === 3 ? `, head ${at.head}` : ""}, shape (${shape.slice(-2).join(", ")}), rounded to 4 decimals`;
    this.explanation.copy(`${comment}\n${pythonLiteral(name, this.matrix)}\n`, this.copy);
  }

  // one number

  /**
   * Show how the number under the cursor came about.
   * @param {boolean} [isAsked]  by the reader, who is told what is missing
   */
  async explain(isAsked = false) {
    const place = { tensor: this.open, index: this.#index() };
    const reply = this.#known(place) ?? (this.live.ready ? await this.#ask(place) : null);
    const isHere = this.open === place.tensor && String(this.#index()) === String(place.index);
    if (!isHere) return;
    if (reply) this.#showReply(reply);
    else this.explanation.hide();
    if (!reply && !this.live.ready && isAsked)
      this.live.need(this.how.parentElement, () => ((this.asks = true), this.explain()));
  }

  #showReply(reply) {
    this.asks = true;
    const { tokens, config } = this.reading;
    const name = (i) => [`${i} `, h("span", { class: "bw-mini" }, ...drawBytes(tokens[i].bytes))];
    this.explanation.show(
      {
        ...reply,
        arrays: Object.fromEntries(
          Object.entries(reply.tensors ?? {}).map(([key, { data }]) => [key, data]),
        ),
      },
      config,
      name,
    );
  }

  /** What needs no model: the last softmax, and the explanations of the stored example. */
  #known({ tensor, index }) {
    if (tensor === "probabilities") {
      const of = { tensor: "logits", index: [this.reading.tokens.length - 1] };
      return {
        tensor,
        index,
        value: this.#tensor(tensor).data[index[0]],
        operation: "softmax",
        of,
        at: index[0],
        allowed: this.sizes.V,
        tensors: { left: this.#tensor("logits") },
      };
    }
    if (!this.reading.isStored) return null;
    return (
      this.path.find((reply) => reply.tensor === tensor && String(reply.index) === String(index)) ??
      null
    );
  }

  /** Ask about the reading that is drawn, whatever stands in the text field by now. */
  #ask({ tensor, index }) {
    const { text, tokens, name } = this.reading;
    if (name !== this.live.name) return null;
    const which = text === this.live.text ? {} : { ids: tokens.map(({ id }) => id) };
    return this.live.ask({ kind: "explain", tensor, index, ...which });
  }

  #drawWay() {
    this.way.hidden = !this.trail.length;
    const step = (place, i) =>
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", class: "bw-map-link", onclick: () => this.#return(i) },
          written(place),
        ),
      );
    this.crumbs.replaceChildren(
      ...this.trail.map(step),
      h("li", { "aria-current": "step" }, written({ tensor: this.open, index: this.#index() })),
    );
  }

  /** Go to where an operand comes from. @param {Place} place */
  async #follow(place) {
    const block = blockOf(place.tensor);
    const here = this.open ? [{ tensor: this.open, index: this.#index() }] : [];
    const trail = [...this.trail, ...here];
    if (block !== null && block !== this.reading.block) {
      if (!this.live.ready)
        return this.live.need(this.how.parentElement, () => this.#follow(place));
      if (!(await this.#read(block))) return;
    }
    this.trail = trail;
    this.#go(place);
  }

  async #return(i) {
    const place = this.trail[i];
    const trail = this.trail.slice(0, i);
    const block = blockOf(place.tensor);
    if (block !== null && block !== this.reading.block && !(await this.#read(block))) return;
    this.trail = trail;
    this.#go(place);
  }

  /** Open a stage where the panel stands, so that the reader's eyes need not move. */
  async #go({ tensor, index }) {
    const before = this.panel.isConnected && this.panel.getBoundingClientRect().top;
    if (blockOf(tensor) !== null && this.folded) {
      this.folded = false;
      this.#drawMap();
    }
    this.#openStage(tensor, index);
    this.asks = true;
    if (before !== false) holdInPlace(this.panel, before);
    await this.explain();
    const { title, element } = this.explanation;
    (element.hidden ? this.how : title).focus({ preventScroll: true });
  }

  #recolor() {
    this.#drawStrips();
    if (this.open && this.open !== "tokens") this.cells.draw();
    this.explanation.draw();
  }

  stop() {
    this.drawing = null;
    this.live.stop();
    this.themes.disconnect();
    this.instrument.stop();
    this.arrival.disconnect();
    this.cells.observer.disconnect();
  }
}

/** Put a number into a tensor. @param {Tensor} tensor */
function put({ shape, data }, index, value) {
  data[index.reduce((at, i, axis) => at * shape[axis] + i, 0)] = value;
}

export default {
  render({ model, el }) {
    const map = new ModelMap(model);
    el.append(map.element);
    return () => map.stop();
  },
};
