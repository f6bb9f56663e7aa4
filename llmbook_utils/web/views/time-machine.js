/**
 * Training time machine: what a model could do at the recorded steps of its training, one step or
 * two beside each other. All numbers and texts are a record's (tools/record_run.py); everything
 * here only reads them.
 *
 * @import { LossCurve, Snapshot } from "./time-machine-math.js"
 * @typedef {{name: string, prompt: string, options: Record<string, number>, sentence: string[],
 *   layer: number, head: number, device: string, texts: {train: {tokens: number}}, words: string[],
 *   curve: LossCurve, snapshots: Snapshot[]}} Run
 */
import { onTheme } from "../parts/colors.js";
import {
  button,
  fold,
  frame,
  h,
  line,
  opensOn,
  segments,
  shareBar,
  tableHead,
  tiles,
  uniqueId,
} from "../parts/dom.js";
import { picture, Plot, svg, write } from "../parts/drawing.js";
import { count, decimal, grouped } from "../parts/numbers.js";
import { Stepper } from "../parts/stepper.js";
import { drawBytes, pieces } from "../parts/tokens.js";
import { brief, weightColors, WeightGrid } from "../parts/weight-grid.js";
import {
  copying,
  duration,
  followers,
  givenByOthers,
  inShort,
  largest,
  lossAt,
  repetitions,
  stepPlace,
  stepTicks,
} from "./time-machine-math.js";

const [CHART_HEIGHT, BARS_HEIGHT] = [230, 120]; // pixels, as all sizes here

const bytesOf = (text) => Array.from(new TextEncoder().encode(text));

/** A token with its white space as marks. */
const marked = (text) =>
  pieces(bytesOf(text))
    .map((piece) => piece.text)
    .join("");

/** A text in which characters without a shape can be seen; lines stay lines. */
const legible = (text) => text.replace(/[^\P{Cc}\n]/gu, (character) => marked(character));

/** 0.812 -> ".81", for a narrow place */
const stepName = ({ step }) => `step ${grouped(step)}`;

/** The loss over the steps; a click or touch goes to the nearest recorded one. */
class LossChart {
  /** @param {Run} run  @param {(index: number) => void} onChoose */
  constructor(run, onChoose) {
    this.run = run;
    this.log = true;
    const losses = [...run.curve.training, ...run.curve.validation].map(([, loss]) => loss);
    const steps = [
      ...run.curve.training.map(([step]) => step),
      ...run.snapshots.map(({ step }) => step),
    ].filter((step) => step > 0);
    this.range = {
      least: Math.min(...steps),
      last: Math.max(...steps),
      low: Math.floor(Math.min(...losses)),
      high: Math.ceil(Math.max(...losses)),
    };
    const paint = () => this.now && this.#paint();
    const below = "optimizer step";
    this.plot = new Plot({ kind: "bw-tm-chart", height: CHART_HEIGHT, left: 30, below, paint });
    this.plot.top = 42;
    this.plot.element.addEventListener("click", (event) => onChoose(this.#nearest(event)));
    this.element = h("div", {}, this.plot.element, this.#legend());
    this.axes = segments("Axis", ["logarithmic", "linear"], (option) => {
      this.log = option === "logarithmic";
      this.plot.draw();
    });
  }

  #legend() {
    const line = (kind) => h("span", { class: `bw-swatch bw-tm-swatch-${kind}` });
    const validation = this.run.curve.validation.length
      ? [" ", line("validation"), " validation"]
      : [];
    return h(
      "p",
      { class: "bw-legend" },
      "Loss in nats a token: ",
      line("training"),
      " training",
      ...validation,
      ". ▲ recorded steps: press the chart to go there.",
    );
  }

  show(now, other) {
    this.now = now;
    this.other = other;
    this.plot.draw();
  }

  #paint() {
    const { plot } = this;
    const { low, high, ...range } = this.range;
    const { left, right, top, bottom } = plot;
    this.axis = { ...range, left, right, log: this.log };
    plot.x = stepPlace(this.axis);
    plot.y = (loss) => bottom - ((bottom - top) * (loss - low)) / (high - low);
    const { training, validation } = this.run.curve;
    plot.show(
      this.#label(),
      this.#axes(),
      ...(this.log ? [write(left + 14, bottom + 18, "middle", "⋯")] : []),
      this.#line(validation, "validation"),
      this.#line(training, "training"),
      ...this.#recorded(),
      ...(this.other ? this.#marker(this.other, "other", 32) : []),
      ...this.#marker(this.now, "now", 14),
    );
  }

  #line(points, kind) {
    const at = points.map(
      ([step, loss]) => `${this.plot.x(step).toFixed(1)},${this.plot.y(loss).toFixed(1)}`,
    );
    return svg("polyline", { points: at.join(" "), class: `bw-tm-line bw-tm-${kind}` });
  }

  /** The marks of both axes; a logarithmic one never reaches 0. */
  #axes() {
    const { low, high } = this.range;
    const apart = Math.ceil((high - low) / 6);
    const rows = Array.from(
      { length: Math.floor((high - low) / apart) + 1 },
      (_, i) => low + i * apart,
    );
    const steps = [...new Set([0, ...stepTicks(this.axis, this.plot.x)])];
    /** @param {number} n @returns {[number, string]} */
    const marked = (n) => [n, grouped(n)];
    return { across: steps.map(marked), up: rows.map(marked) };
  }

  #recorded() {
    const y = this.plot.bottom + 2;
    return this.run.snapshots.map((snapshot) => {
      const x = this.plot.x(snapshot.step);
      return svg("path", {
        d: `M${x - 4} ${y + 7}h8l-4 -7z`,
        class: snapshot === this.now ? "bw-tm-tick bw-tm-tick-now" : "bw-tm-tick",
      });
    });
  }

  #marker(snapshot, kind, y) {
    const [x, { training }] = [this.plot.x(snapshot.step), lossAt(this.run.curve, snapshot.step)];
    const name = `${kind === "other" ? "compared: " : ""}${stepName(snapshot)}`;
    const half = 4 * name.length;
    const middle = Math.max(half, Math.min(this.plot.right + 14 - half, x));
    const line = svg("line", {
      x1: x,
      x2: x,
      y1: y + 6,
      y2: this.plot.bottom,
      class: `bw-tm-marker bw-tm-marker-${kind}`,
    });
    const dot = training
      ? [
          svg("circle", {
            cx: x,
            cy: this.plot.y(training.loss),
            r: 5,
            class: `bw-tm-dot bw-tm-dot-${kind}`,
          }),
        ]
      : [];
    return [line, ...dot, write(middle, y, "middle", name, `bw-tm-name-${kind}`)];
  }

  #label() {
    const said = (snapshot) => {
      const { training } = lossAt(this.run.curve, snapshot.step);
      return `${stepName(snapshot)}: ${training ? `training loss ${training.loss.toFixed(2)}` : "no loss measured yet"}`;
    };
    return `The loss over the optimizer steps, ${this.log ? "logarithmic" : "linear"}. ${[this.now, this.other].filter(Boolean).map(said).join("; ")}`;
  }

  #nearest({ clientX }) {
    const x = clientX - this.plot.element.getBoundingClientRect().left;
    const away = this.run.snapshots.map(({ step }) => Math.abs(this.plot.x(step) - x));
    return away.indexOf(Math.min(...away));
  }
}

/**
 * What the model goes on with after the prompt: drawn at random, and always the most probable
 * token.
 */
class Samples {
  /** @param {Run} run */
  constructor(run) {
    this.run = run;
    const settings = Object.entries(run.options)
      .sort()
      .map(([name, value]) => `${name} ${value}`)
      .join(", ");
    this.ways = [
      ["sample", "drawn at random", `Drawn with ${settings}.`],
      ["greedy", "greedy", "Always the most probable token."],
    ];
    this.box = h("div", { class: "bw-tm-pair" });
    const mark = h("mark", { class: "bw-tm-again" }, "Marked");
    this.broken = h("span", {}, " � stands for bytes that are not a whole character.");
    const legend = h(
      "p",
      { class: "bw-legend" },
      mark,
      " is what repeats four words in a row that the same text had before. Bold: the prompt, always the same.",
      this.broken,
    );
    this.element = h("div", {}, this.box, legend);
  }

  show(now, other) {
    this.now = now;
    const shown = [now, other].filter(Boolean);
    this.broken.hidden = !shown.some(({ sample, greedy }) =>
      `${sample}${greedy}`.includes("\uFFFD"),
    );
    this.box.replaceChildren(
      ...shown.flatMap((snapshot) => this.ways.map((way) => this.#sample(snapshot, way))),
    );
  }

  /** How the drawn text begins, in words. */
  sentence() {
    const text = this.run.prompt + legible(this.now.sample);
    return `Drawn at random it writes: “${text.slice(0, 100).replace(/\s+/g, " ")} …”`;
  }

  /** @param {Snapshot} snapshot  @param {string[]} way */
  #sample(snapshot, [key, way, settings]) {
    const { parts, again, words } = repetitions(snapshot[key]);
    const text = parts.map((piece) =>
      piece.again ? h("mark", { class: "bw-tm-again" }, legible(piece.text)) : legible(piece.text),
    );
    const name = `${stepName(snapshot)}, ${way}`;
    const box = h(
      "p",
      { class: "bw-tm-text", role: "group", "aria-label": `Text of ${name}`, tabindex: 0 },
      h("b", {}, this.run.prompt),
      ...text,
    );
    const share = again
      ? `${again} of ${count(words, "word")} ${again === 1 ? "is" : "are"} marked.`
      : `None of ${count(words, "word")} is marked.`;
    return h(
      "div",
      {},
      h("p", { class: "bw-tm-caption" }, h("b", {}, name)),
      box,
      h("p", { class: "bw-legend" }, `${settings} ${share}`),
    );
  }
}

/** Rows of 1, 2, 3, … weights as a square matrix. @param {number[][]} rows */
function square(rows) {
  const T = rows.length;
  const data = new Float32Array(T * T);
  rows.forEach((weights, row) => data.set(weights, row * T));
  return { T, data };
}

/**
 * One attention head on the way: its weights, and how much of them goes to what followed a token
 * before.
 */
class HeadOnTheWay {
  /**
   * @param {Run} run
   * @param {{onChoose: (index: number) => void, onSay: (sentence: string) => void}} options
   */
  constructor(run, { onChoose, onSay }) {
    this.run = run;
    this.onSay = onSay;
    this.found = followers(run.sentence);
    const [first] = this.found;
    const last = run.sentence.length - 1;
    this.cursor = first ? { row: first.row, column: first.columns[0] } : { row: last, column: 0 };
    this.grids = [0, 1].map(() => new WeightGrid((cursor) => this.#move(cursor)));
    this.captions = this.grids.map(() => h("p", { class: "bw-tm-caption" }));
    this.sides = this.grids.map(({ box }, i) => h("div", {}, this.captions[i], box));
    this.theme = onTheme(() => this.now && this.#draw());
    this.readout = h("p", { class: "bw-readout" });
    const dashed = this.found.length
      ? " Dashed: what followed the same token when it stood there before."
      : "";
    const hint = h(
      "p",
      { class: "bw-legend" },
      `Each row is a token that looks, each column a token that is looked at: the darker (in dark mode the lighter), the more. A row adds up to 1.${dashed} Point at a cell, touch it, or use the arrow keys.`,
    );
    const name = h(
      "p",
      {},
      `Block ${run.layer}, head ${run.head}, counted from 0, on a sentence that is always the same.`,
    );
    this.element = h(
      "div",
      {},
      name,
      h("div", { class: "bw-tm-pair" }, ...this.sides),
      this.readout,
      hint,
      this.#followed(onChoose),
    );
  }

  #followed(onChoose) {
    this.bars = h("div", {
      class: "bw-tm-bars",
      onclick: (event) =>
        event.target.closest("[data-index]") &&
        onChoose(Number(event.target.closest("[data-index]").dataset.index)),
    });
    this.copied = h("p", {});
    const legend = h(
      "p",
      { class: "bw-legend" },
      "That mean at every recorded step. The line across a column: what the other tokens give. Press a column to go to its step.",
    );
    return h(
      "div",
      { class: "bw-tm-followed", hidden: !this.found.length },
      this.copied,
      this.bars,
      legend,
    );
  }

  show(now, other) {
    this.now = now;
    this.other = other;
    this.sides[1].hidden = !other;
    const width = this.bars.clientWidth;
    this.#draw();
    if (!this.found.length) return;
    if (width) this.#paintBars(width);
    const { sentence } = this.run;
    const each = this.found.map(
      (follower) =>
        `“${marked(sentence[follower.row])}” (token ${follower.row}) ${copying(now.attention, [follower]).toFixed(2)}`,
    );
    const others = givenByOthers(now.attention, this.found);
    const compared =
      others === null
        ? ""
        : ` The other tokens that see these places give them ${others.toFixed(2)}.`;
    const then = other ? ` At ${stepName(other)}: ${this.#inBrief(other)}.` : "";
    this.copied.textContent = `${count(this.found.length, "token")} stood in the sentence before. To what followed there (dashed) goes, on average, ${copying(now.attention, this.found).toFixed(2)} of the weight: ${each.join(", ")}.${compared}${then}`;
  }

  /** Both means of a step. */
  #inBrief({ attention }) {
    const others = givenByOthers(attention, this.found);
    return (
      copying(attention, this.found).toFixed(2) +
      (others === null ? "" : ` and ${others.toFixed(2)}`)
    );
  }

  /** What the head does at the cursor, in words. */
  sentence() {
    const {
      run: { sentence },
      cursor: { row, column },
      now,
      other,
    } = this;
    const name = (i) => `“${marked(sentence[i])}” (token ${i})`;
    const weights = now.attention[row];
    const most = largest(weights);
    const here =
      column === most ? "" : ` Its weight on ${name(column)}: ${decimal(weights[column])}.`;
    const then = other
      ? ` At ${stepName(other)} it gives ${name(column)} ${decimal(other.attention[row][column])}.`
      : "";
    return `At ${stepName(now)} ${name(row)} looks most at ${name(most)}, weight ${decimal(weights[most])}.${here}${then}`;
  }

  paint() {
    if (this.now) this.show(this.now, this.other);
  }

  /** No token looks at a later one. */
  #move({ row, column }) {
    this.cursor = { row, column: Math.min(row, column) };
    this.#draw();
    this.onSay(this.sentence());
  }

  #draw() {
    const { cursor } = this;
    const sentence = this.sentence();
    this.readout.textContent = sentence;
    const names = this.run.sentence.map(marked);
    const dashed = this.found.flatMap(({ row, columns }) =>
      columns.map((column) => ({ row, column })),
    );
    const colors = weightColors(this.element);
    [this.now, this.other].forEach((snapshot, i) => {
      if (!snapshot) return;
      const title = `Attention weights at ${stepName(snapshot)}; move with the arrow keys, Home and End`;
      this.captions[i].replaceChildren(h("b", {}, stepName(snapshot)));
      this.grids[i].show(square(snapshot.attention), { names, mask: true, cursor, title, dashed });
      this.grids[i].move(cursor, sentence);
      if (colors.paper) this.grids[i].paint(colors); // not before it stands on the page
    });
  }

  #paintBars(width) {
    const { snapshots } = this.run;
    const pairs = snapshots.map(({ attention }) => [
      copying(attention, this.found),
      givenByOthers(attention, this.found),
    ]);
    const each = Math.min(56, width / pairs.length);
    const scale = (BARS_HEIGHT - 38) / Math.max(...pairs.flat(), 0.01);
    const bars = pairs.map((pair, i) => this.#bar(pair, i, each, scale));
    const said = snapshots
      .map((snapshot) => `${grouped(snapshot.step)}: ${this.#inBrief(snapshot)}`)
      .join(", ");
    this.bars.replaceChildren(
      picture(
        each * pairs.length,
        BARS_HEIGHT,
        `The mean at each step, and what the other tokens give: ${said}`,
        ...bars,
      ),
    );
  }

  /** @param {number[]} pair */
  #bar([share, others], i, each, scale) {
    const snapshot = this.run.snapshots[i];
    const [bottom, height] = [BARS_HEIGHT - 20, scale * share];
    const kind = snapshot === this.now ? "now" : snapshot === this.other ? "other" : "rest";
    const { step } = snapshot;
    const name = step < 1000 ? String(step) : `${Number((step / 1000).toFixed(1))}k`;
    const place = { x: (i + 0.5) * each, "text-anchor": "middle", class: `bw-tm-name-${kind}` };
    const text = (content, y) => svg("text", { ...place, y }, content);
    // all of its column can be pressed, also where the bar is low
    const column = { x: i * each, y: 0, width: each, height: BARS_HEIGHT, class: "bw-tm-column" };
    const bar = svg("rect", {
      x: i * each + 3,
      y: bottom - height,
      width: each - 6,
      height: Math.max(1, height),
      class: `bw-tm-bar bw-tm-bar-${kind}`,
    });
    const y = bottom - scale * others;
    const ends = { x1: i * each + 2, x2: (i + 1) * each - 2, y1: y, y2: y };
    const rule = (kind) => svg("line", { ...ends, class: kind });
    const rules = others === null ? [] : [rule("bw-tm-others-under"), rule("bw-tm-others")];
    const top = Math.min(y, bottom - height); // the number stands above both
    const names = [text(brief(share), top - 5), text(name, bottom + 16)];
    return svg("g", { "data-index": i }, svg("rect", column), bar, ...rules, ...names);
  }
}

/** The tokens whose embeddings point most nearly the same way as a word's. */
class Nearest {
  /** @param {Run} run  @param {(sentence: string) => void} onSay */
  constructor(run, onSay) {
    this.words = run.words;
    this.word = this.words[0];
    const plain = this.words.map((word) => word.trim());
    const names = new Set(plain).size === plain.length ? plain : this.words.map(marked);
    const choose = segments("Word", names, (name) => {
      this.word = this.words[names.indexOf(name)];
      this.show(this.now, this.other);
      onSay(this.sentence());
    });
    this.box = h("div", { class: "bw-tm-pair bw-neighbors" });
    this.said = h("p", { class: "bw-readout" });
    this.element = h(
      "div",
      {},
      h("div", { class: "bw-bar bw-tm-words" }, choose),
      this.said,
      this.box,
    );
  }

  show(now, other) {
    this.now = now;
    this.other = other;
    this.said.textContent = this.sentence();
    this.box.replaceChildren(
      ...[now, other].filter(Boolean).map((snapshot) => this.#list(snapshot)),
    );
  }

  sentence() {
    const { word, now, other } = this;
    const tokens = (snapshot) => snapshot.neighbors[word];
    const [[token, cosine]] = tokens(now);
    const shared =
      other &&
      tokens(now).filter(([token]) => tokens(other).some(([known]) => known === token)).length;
    const than = other
      ? ` Of these ${tokens(now).length} tokens ${stepName(other)} has ${shared} too.`
      : "";
    return `At ${stepName(now)} the embedding nearest to that of “${marked(word)}” is that of “${marked(token)}”, cosine ${decimal(cosine)}.${than}`;
  }

  #list(snapshot) {
    const row = ([token, cosine]) => {
      const name = h("span", { class: "bw-mini" }, ...drawBytes(bytesOf(token)));
      const found = line([name], [shareBar(cosine)], [decimal(cosine)]);
      found.cells[1].classList.add("bw-tm-track");
      return found;
    };
    const caption = h("caption", { class: "bw-tm-caption" }, h("b", {}, stepName(snapshot)));
    const body = h("tbody", {}, ...snapshot.neighbors[this.word].map(row));
    return h("table", { class: "bw-table" }, caption, tableHead("token", "", "cosine"), body);
  }
}

/**
 * One of the three views of a step.
 * @typedef {{element: HTMLElement, show: (now: Snapshot, other: Snapshot | null) => void, sentence:
 *   () => string, paint?: () => void}} View
 */

class TimeMachine {
  constructor(model) {
    this.model = model;
    /** @type {Run} */
    this.run = { ...model.get("record"), name: model.get("name") };
    const { snapshots } = this.run;
    const playable =
      snapshots.length > 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.steps = new Stepper({ noun: "recorded step", playable, onStep: () => this.update() });
    const onSay = (sentence) => (this.spoken.textContent = sentence);
    const onChoose = (index) => this.steps.go(index);
    this.chart = new LossChart(this.run, onChoose);
    this.head = new HeadOnTheWay(this.run, { onChoose, onSay });
    const samples = new Samples(this.run);
    /** @type {View[]} */
    this.views = [samples, this.head, new Nearest(this.run, onSay)];
    [this.view] = this.views;
    this.tiles = h("div", { class: "bw-tiles" });
    this.summary = h("p", { class: "bw-summary" });
    this.spoken = h("p", { class: "bw-tm-spoken", "aria-live": "polite" });
    opensOn(this.steps.slider, samples.box);
    this.element = frame(
      "Training time machine",
      this.steps.element,
      this.#choice(),
      ...this.views.map(({ element }) => element),
      this.chart.element,
      this.summary,
      fold("Compare two steps, see the numbers", this.#comparison(), this.tiles),
      this.spoken,
    );
    this.element.classList.add("bw-tm");
    this.follow = () => this.#go(model.get("step"));
    model.on("change:step", this.follow);
    this.sizes = new ResizeObserver(() => this.#resize());
    this.sizes.observe(this.element);
    this.#go(model.get("step"));
  }

  #comparison() {
    const id = uniqueId();
    const steps = this.run.snapshots.map((snapshot, i) =>
      h("option", { value: i }, stepName(snapshot)),
    );
    this.other = h(
      "select",
      { class: "bw-select", id, onchange: () => this.update() },
      h("option", { value: "" }, "nothing"),
      ...steps,
    );
    const pin = button("Pin this step", () => this.#pin());
    return h(
      "div",
      { class: "bw-bar" },
      h("label", { class: "bw-label", for: id }, "Compare with"),
      this.other,
      pin,
      h("span", { class: "bw-gap" }),
      this.chart.axes,
    );
  }

  /** Which of the views is seen. */
  #choice() {
    const names = ["texts", "attention", "neighbors"];
    const choose = segments("Show", names, (name) => {
      this.view = this.views[names.indexOf(name)];
      this.#reveal();
      this.spoken.textContent = this.view.sentence();
    });
    this.#reveal();
    return h("div", { class: "bw-bar bw-tm-words bw-tm-choice" }, choose);
  }

  #reveal() {
    for (const view of this.views) view.element.hidden = view !== this.view;
    if (this.now) this.view.show(this.now, this.compared); // what is hidden is not drawn
  }

  /** Keep the step that is shown for a comparison with those that the reader goes to next. */
  #pin() {
    this.other.value = this.steps.step;
    this.update();
  }

  /** Go to a step that was recorded, from the outside. */
  #go(step) {
    const index = this.run.snapshots.findIndex((snapshot) => snapshot.step === step);
    if (index < 0 || this.now === this.run.snapshots[index]) return;
    this.steps.reset(this.run.snapshots.length - 1, index);
    this.update();
  }

  #resize() {
    if (this.element.clientWidth === this.width) return;
    this.width = this.element.clientWidth;
    this.view.paint?.();
  }

  update() {
    const { snapshots } = this.run;
    this.now = snapshots[this.steps.step];
    const other = this.other.value === "" ? null : snapshots[this.other.value];
    this.compared = other === this.now ? null : other;
    this.#nameStep(other);
    this.tiles.replaceChildren(...tiles(this.#numbers(this.compared)));
    for (const shown of [this.chart, this.view]) shown.show(this.now, this.compared);
    this.summary.textContent = this.#sentence(this.compared);
    this.spoken.textContent = `${this.summary.textContent} ${this.view.sentence()}`;
    this.model.set("step", this.now.step);
    this.model.save_changes();
  }

  /** The stepper counts recorded steps; a reader thinks in the optimizer's. */
  #nameStep(other) {
    const name = `${stepName(this.now)} of ${grouped(this.run.snapshots.at(-1).step)}`;
    this.steps.position.textContent = other === this.now ? `${name} (pinned)` : name;
    this.steps.slider.setAttribute("aria-valuetext", name);
  }

  /** @returns {[string, string][]} */
  #numbers(other) {
    const losses = (snapshot) => lossAt(this.run.curve, snapshot.step);
    const loss = (found) => (found ? found.loss.toFixed(2) : "–");
    const { training, validation } = losses(this.now);
    const steps = training
      ? training.from === training.to
        ? ` (step ${grouped(training.to)})`
        : ` (steps ${grouped(training.from)}–${grouped(training.to)})`
      : "";
    /** @type {[string, (snapshot: Snapshot) => string][]} */
    const rows = [
      ["tokens read", (snapshot) => inShort(snapshot.tokens)],
      [
        "of training",
        ({ seconds }) => (seconds < 60 ? duration(seconds) : `${Math.round(seconds / 60)} min`),
      ],
      ["bits per byte", (snapshot) => snapshot.bits_per_byte.toFixed(2)],
      [`training loss${steps}`, (snapshot) => loss(losses(snapshot).training)],
      [
        `validation loss${validation ? ` (step ${grouped(validation.at)})` : ""}`,
        (snapshot) => loss(losses(snapshot).validation),
      ],
    ];
    return rows.map(([name, number]) => [
      other ? `${name}; at ${stepName(other)}: ${number(other)}` : name,
      number(this.now),
    ]);
  }

  #sentence(other) {
    const {
      now,
      run: {
        name,
        device,
        texts: { train },
      },
    } = this;
    const passes = (now.tokens / train.tokens).toFixed(2);
    const than = other ? `, and at ${stepName(other)} ${other.bits_per_byte.toFixed(2)}` : "";
    return `At ${stepName(now)}, after ${inShort(now.tokens)} tokens (${passes} times its training texts) and ${duration(now.seconds)} on ${device}, ${name} needs ${now.bits_per_byte.toFixed(2)} bits for a byte of text that it was not trained on${than}.`;
  }

  stop() {
    this.steps.stop();
    this.sizes.disconnect();
    this.chart.plot.stop();
    this.head.theme.disconnect();
    this.model.off("change:step", this.follow);
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new TimeMachine(model);
  el.append(view.element);
  return () => view.stop();
}

export default { render };
