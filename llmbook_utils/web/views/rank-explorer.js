/**
 * Rank explorer: what is left of a fine-tuning when its changes are kept at low rank. All numbers
 * are a record's (tools/record_lora.py); everything here only reads them.
 *
 * @typedef {{rank: number, numbers: number, right: number, f1: number}} Kept
 * @typedef {{name: string, shapes: number[][], missing: number[], random: number}} Layer
 * @typedef {{numbers: number, messages: number, kept: Kept[], randoms: number[][], layers:
 *   Layer[]}} Shown
 */
import { frame, h, opensOn, select, tiles } from "../parts/dom.js";
import { keyed, Plot, svg } from "../parts/drawing.js";
import { grouped, percent } from "../parts/numbers.js";
import { Stepper } from "../parts/stepper.js";

const [HEIGHT, LOW_HEIGHT] = [215, 150]; // pixels

/** The share of a norm that is missing at a rank. @param {number[]} missing  in thousandths */
export const missingAt = (missing, rank) => (missing[rank] ?? 0) / 1000;

/**
 * How many numbers matrices take: as they are, and as two thin ones of a rank each.
 * @param {number[][]} shapes
 */
export function sizes(shapes, rank) {
  const sum = (size) => shapes.reduce((all, shape) => all + size(shape), 0);
  return { whole: sum(([m, n]) => m * n), thin: sum(([m, n]) => rank * (m + n)) };
}

/**
 * Where a rank stands: 0 at the left, then each doubling as far from the last one.
 * @returns {(rank: number) => number}
 */
export const rankPlace = (most, left, right) => (rank) =>
  left + ((right - left) * Math.log2(rank + 1)) / Math.log2(most + 1);

class RankExplorer {
  constructor(model) {
    this.model = model;
    /** @type {Shown} */
    this.shown = model.get("record");
    this.most = this.shown.kept.at(-1).rank;
    const { layers } = this.shown;
    this.layer = layers.find(({ name }) => name === model.get("layer")) ?? layers[0];
    const names = layers.map(({ name }) => /** @type {[string, string]} */ ([name, name]));
    this.layers = select("Change of", names, () => this.#choose());
    this.layers.field.value = this.layer.name;
    this.steps = new Stepper({ noun: "rank", onStep: () => this.update() });
    this.tiles = h("div", { class: "bw-tiles" });
    this.curve = new Plot({
      kind: "bw-plot bw-rx-curve",
      height: HEIGHT,
      left: 48,
      below: "rank that is kept",
      paint: (plot) => this.#paintCurve(plot),
    });
    this.right = new Plot({
      kind: "bw-plot bw-rx-right",
      height: LOW_HEIGHT,
      left: 48,
      below: "rank that is kept, in all matrices",
      paint: (plot) => this.#paintRight(plot),
    });
    this.summary = h("p", { class: "bw-summary", "aria-live": "polite" });
    this.element = frame("Rank explorer", ...this.#parts());
    this.follow = () => this.#go(model.get("rank"));
    model.on("change:rank", this.follow);
    this.#go(model.get("rank"));
    this.update();
  }

  #parts() {
    const legend = h(
      "p",
      { class: "bw-legend" },
      ...keyed("bw-rx-key-change", "the change that training made"),
      ...keyed("bw-rx-key-random", "a random matrix of equal norm"),
    );
    opensOn(this.steps.element, this.curve.element);
    for (const plot of [this.curve, this.right])
      plot.element.addEventListener("click", (event) => this.#press(plot, event));
    return [
      h(
        "div",
        { class: "bw-bar" },
        this.layers.label,
        this.layers.field,
        h("span", { class: "bw-gap" }),
        this.steps.element,
      ),
      this.tiles,
      this.curve.element,
      legend,
      this.right.element,
      this.summary,
    ];
  }

  #choose() {
    const { layers } = this.shown;
    this.layer = layers.find(({ name }) => name === this.layers.field.value) ?? layers[0];
    this.update();
  }

  /** Go to a rank that was measured, from the outside. */
  #go(rank) {
    const index = this.shown.kept.findIndex((kept) => kept.rank === rank);
    if (index < 0 || (this.now && this.now.rank === rank)) return;
    this.steps.reset(this.shown.kept.length - 1, index);
    this.update();
  }

  /** A press on a plot goes to the nearest rank. */
  #press(plot, { clientX }) {
    const x = clientX - plot.element.getBoundingClientRect().left;
    const away = this.shown.kept.map(({ rank }) => Math.abs(plot.x(rank) - x));
    this.steps.go(away.indexOf(Math.min(...away)));
  }

  get random() {
    return this.shown.randoms[this.layer.random];
  }

  update() {
    const { shown, layer, steps } = this;
    this.now = shown.kept[steps.step];
    const { rank } = this.now;
    steps.position.textContent = `rank ${rank}`;
    steps.slider.setAttribute("aria-valuetext", `rank ${rank}`);
    this.tiles.replaceChildren(...tiles(this.#numbers()));
    for (const plot of [this.curve, this.right]) plot.draw();
    this.summary.textContent = this.#sentence();
    this.model.set("rank", rank);
    this.model.set("layer", layer.name);
    this.model.save_changes();
  }

  /** @returns {[string, string][]} */
  #numbers() {
    const { shown, now, layer } = this;
    const { whole, thin } = sizes(layer.shapes, now.rank);
    return [
      ["of the change's norm is missing", percent(missingAt(layer.missing, now.rank))],
      ["would be, were it random", percent(missingAt(this.random, now.rank))],
      [`numbers instead of ${grouped(whole)}`, grouped(thin)],
      [`of ${grouped(shown.messages)} test messages right`, grouped(now.right)],
      ["spam F1", now.f1.toFixed(3)],
    ];
  }

  #sentence() {
    const { shown, now, layer } = this;
    const { whole, thin } = sizes(layer.shapes, now.rank);
    const of = layer.shapes.length > 1 ? `all ${layer.shapes.length} matrices` : layer.name;
    const last = /** @type {Kept} */ (shown.kept.at(-1));
    const size =
      thin >= whole && now.rank > 0
        ? `That takes ${grouped(thin)} numbers, no fewer than the ${grouped(whole)} of the change itself.`
        : `That takes ${grouped(thin)} numbers instead of ${grouped(whole)}.`;
    return `At rank ${now.rank}, ${percent(missingAt(layer.missing, now.rank))} of the norm of what training changed in ${of} is missing; of a random matrix it would be ${percent(missingAt(this.random, now.rank))}. ${size} With this rank in all matrices the classifier gets ${grouped(now.right)} of ${grouped(shown.messages)} test messages right; with the whole change ${grouped(last.right)}.`;
  }

  /** Marks across: the last rank, and those before it that have room. */
  #across(plot) {
    let next = Infinity;
    /** @type {[number, string][]} */
    const marks = [];
    for (const { rank } of [...this.shown.kept].reverse()) {
      if (next - plot.x(rank) < 34) continue;
      marks.push([rank, String(rank)]);
      next = plot.x(rank);
    }
    return marks;
  }

  #marker(plot, y) {
    const x = plot.x(this.now.rank);
    return [
      svg("line", { class: "bw-rx-marker", x1: x, x2: x, y1: plot.top, y2: plot.bottom }),
      svg("circle", { class: "bw-rx-dot", cx: x, cy: y, r: 5 }),
    ];
  }

  /** @param {Plot} plot */
  #paintCurve(plot) {
    plot.x = rankPlace(this.most, plot.left, plot.right);
    plot.y = (share) => plot.bottom - share * (plot.bottom - plot.top);
    const points = (missing) =>
      missing.map((share, rank) => /** @type {[number, number]} */ ([rank, share / 1000]));
    const here = missingAt(this.layer.missing, this.now.rank);
    plot.show(
      `How much of the norm is missing at each rank. At rank ${this.now.rank}: ${percent(here)}; of a random matrix ${percent(missingAt(this.random, this.now.rank))}.`,
      {
        across: this.#across(plot),
        up: [0, 0.25, 0.5, 0.75, 1].map((share) => [share, `${100 * share} %`]),
        title: "share of the norm that is missing",
      },
      plot.line("bw-rx-random", points(this.random)),
      plot.line("bw-rx-change", points(this.layer.missing)),
      ...this.#marker(plot, plot.y(here)),
    );
  }

  /** @param {Plot} plot */
  #paintRight(plot) {
    const { kept, messages } = this.shown;
    const shares = kept.map(({ right }) => right / messages);
    const low = Math.min(0.95, Math.floor(20 * Math.min(...shares)) / 20);
    plot.x = rankPlace(this.most, plot.left, plot.right);
    plot.y = (share) => plot.bottom - ((share - low) / (1 - low)) * (plot.bottom - plot.top);
    const half = (1 + low) / 2;
    const points = kept.map(({ rank }, i) => /** @type {[number, number]} */ ([rank, shares[i]]));
    plot.show(
      `The share of test messages that are right at each measured rank. At rank ${this.now.rank}: ${percent(this.now.right / messages)}.`,
      {
        across: this.#across(plot),
        up: [low, half, 1].map((share) => [share, `${Number((100 * share).toFixed(1))} %`]),
        title: "test messages that are right",
      },
      plot.line("bw-rx-change", points),
      ...points.map(([rank, share]) =>
        svg("circle", { class: "bw-rx-point", cx: plot.x(rank), cy: plot.y(share), r: 3 }),
      ),
      ...this.#marker(plot, plot.y(this.now.right / messages)),
    );
  }

  stop() {
    this.steps.stop();
    this.curve.stop();
    this.right.stop();
    this.model.off("change:rank", this.follow);
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new RankExplorer(model);
  el.append(view.element);
  return () => view.stop();
}

export default { render };
