/**
 * Schedule designer: the learning rate over a run, and what recorded runs of a small GPT made of
 * such schedules. The rates are those of `Schedule` in llmbook_utils/schedule.py; the runs come
 * from tools/record_schedules.py.
 *
 * @typedef {{peak: number, steps: number, warmup_steps: number, floor: number}} Schedule
 * @typedef {Schedule & {warmup: number, curve: number[], training: (number | null)[], held_out:
 *   (number | null)[]}} Run `warmup`: the share of the steps; `curve`: training losses of the first
 *   seed, means over equally many steps each; `training`, `held_out`: the losses after the last
 *   step, one a seed, null where the training broke off
 */
import { NumberInput, PythonCode } from "../parts/controls.js";
import { fold, frame, h, opensOn, segments, tableHead, tiles } from "../parts/dom.js";
import { keyed, Plot, svg, ticks, write } from "../parts/drawing.js";
import { stepInGrid } from "../parts/keys.js";
import { count, grouped, short } from "../parts/numbers.js";

const PARTS = { "held-out": "held_out", training: "training" };
const POINTS = 240; // at which the rate is drawn
// percent of the scale's strong end, for the least and the most: ink is read on all of them
const TINTS = [6, 40];

/** The learning rate of a step, counted from 0. @param {Schedule} schedule @param {number} step */
export function rateAt({ peak, steps, warmup_steps: warmup, floor }, step) {
  if (step < warmup) return (peak * (step + 1)) / (warmup + 1);
  const done = Math.min(1, (step - warmup) / Math.max(1, steps - 1 - warmup)); // 0 at the peak
  const cosine = (1 + Math.cos(Math.PI * done)) / 2; // from 1 down to 0
  return peak * (floor + (1 - floor) * cosine);
}

/**
 * The rates of all steps added up: the climb has its half, and so has the cosine, which is as often
 * above its middle as below.
 * @param {Schedule} schedule
 */
export function sumOfRates({ peak, steps, warmup_steps: warmup, floor }) {
  const rest = steps - warmup;
  return peak * (warmup / 2 + (rest === 1 ? 1 : (rest * (1 + floor)) / 2));
}

/**
 * The steps that are read out: each by its name.
 * @param {Schedule} schedule
 * @returns {[string, number][]}
 */
export function namedSteps({ steps, warmup_steps: warmup }) {
  return [
    ["first", 0],
    ["at the peak", warmup],
    ["half-way", Math.floor((steps - 1) / 2)],
    ["last", steps - 1],
  ];
}

/** How many of the steps warm up; at least one is left. */
export const warmupSteps = (share, steps) => Math.min(steps - 1, Math.round(share * steps));

/** The line of Python that makes the schedule. @param {Schedule} schedule */
export const pythonLine = ({ peak, steps, warmup_steps, floor }) =>
  `Schedule(peak=${peak}, steps=${steps}, warmup_steps=${warmup_steps}, floor=${floor})`;

/**
 * How far a run's settings are from others: peak and steps by their ratios, warm-up and floor by
 * their differences.
 */
function distance(run, { peak, warmup, floor, steps }) {
  const ratio = (a, b) => Math.abs(Math.log(a / b));
  return (
    ratio(run.peak, peak) +
    ratio(run.steps, steps) +
    Math.abs(run.warmup - warmup) +
    Math.abs(run.floor - floor)
  );
}

/** The run whose settings are nearest; the first of several. @param {Run[]} runs @returns {Run} */
export const nearest = (runs, settings) =>
  runs.reduce((a, b) => (distance(b, settings) < distance(a, settings) ? b : a));

/**
 * The losses after the last step over the seeds.
 * @param {Run} run
 * @param {string} part  "training" or "held_out"
 * @returns {{mean: number | null, least: number, most: number, broken: number}}  `mean` null: every
 *   seed broke off
 */
export function finals(run, part) {
  const known = run[part].filter((loss) => loss !== null);
  const mean = known.length ? known.reduce((a, b) => a + b) / known.length : null;
  return {
    mean,
    least: Math.min(...known),
    most: Math.max(...known),
    broken: run[part].length - known.length,
  };
}

/**
 * How far apart the seeds of a schedule end: the median over the runs, 0 for one seed.
 * @param {Run[]} runs
 */
export function seedSpread(runs, part) {
  const widths = runs
    .map((run) => finals(run, part))
    .filter(({ mean }) => mean !== null)
    .map(({ least, most }) => most - least);
  return widths.sort((a, b) => a - b)[Math.floor(widths.length / 2)] ?? 0;
}

/** The run with the least mean loss; null where all broke off. @param {Run[]} runs */
export function bestOf(runs, part) {
  const whole = runs.filter((run) => finals(run, part).broken === 0);
  return whole.length
    ? whole.reduce((a, b) => (finals(b, part).mean < finals(a, part).mean ? b : a))
    : null;
}

/** @param {number} share  0.05 -> "5 %" */
export const percentOf = (share) => `${Number((100 * share).toFixed(1))} %`;

/** Whole numbers from 0 to `last`, evenly spread, each once. */
const stepsTo = (last) => {
  const n = Math.min(last, POINTS);
  return n ? Array.from({ length: n + 1 }, (_, i) => Math.round((i * last) / n)) : [0];
};

/** The marks of a plot with straight axes. @param {Plot} plot  @param {string} title */
const marksOf = ({ across: [x0, x1], up, width }, title) => ({
  across: ticks(x0, x1, width < 500 ? 3 : 6)
    .filter(Number.isInteger)
    .map((n) => /** @type {[number, string]} */ ([n, grouped(n)])),
  up: ticks(up[0], up[1]).map((n) => /** @type {[number, string]} */ ([n, short(n)])),
  title,
});

/**
 * What can be set. `log`: the slider goes by ratios; `least` and `most` bound the field, `from` and
 * `to` the slider.
 */
const SETTINGS = {
  steps: {
    label: "Steps",
    least: 1,
    most: 1_000_000,
    from: 10,
    to: 100_000,
    whole: true,
    log: true,
    digits: 2,
    hint: "Optimizer steps in the whole run.",
  },
  warmup: {
    label: "Warm-up share",
    least: 0,
    most: 0.99,
    from: 0,
    to: 0.99,
    step: 0.01,
    hint: "The share of the steps on which the rate still climbs.",
  },
  peak: {
    label: "Peak",
    least: 1e-6,
    most: 1,
    from: 1e-5,
    to: 1,
    log: true,
    digits: 2,
    hint: "The largest learning rate.",
  },
  floor: {
    label: "Floor",
    least: 0,
    most: 1,
    from: 0,
    to: 1,
    step: 0.01,
    hint: "The share of the peak that is left at the last step; at 1 the rate never falls.",
  },
};

/** One of the settings. */
class Dial extends NumberInput {
  /** @param {string} name  @param {() => void} onChange */
  constructor(name, value, onChange) {
    const { from, to, step, log = false, digits = 2 } = SETTINGS[name];
    super(
      { ...SETTINGS[name], onChange },
      log
        ? { min: Math.log10(from), max: Math.log10(to), step: 0.05 }
        : { min: from, max: to, step },
    );
    this.log = log;
    this.digits = digits;
    this.element = h(
      "div",
      { class: "bw-setting" },
      this.name(),
      this.field,
      this.slider,
      this.error,
      ...this.hints,
    );
    this.put(value);
  }

  write(bound) {
    return short(bound);
  }

  get used() {
    return short(this.value);
  }

  /** Take a value, without a call of `onChange`. */
  put(value) {
    this.#keep(value);
    this.slider.value = this.log ? Math.log10(value) : value;
  }

  slide(at) {
    this.#keep(this.log ? Number((10 ** at).toPrecision(this.digits)) : Number(at.toFixed(2)));
  }

  #keep(value) {
    this.value = value;
    this.show(Number(value.toPrecision(6)));
  }
}

const NAMES = { peak: "peak", warmup: "warm-up", floor: "floor", steps: "steps" };
const WRITTEN = { peak: short, warmup: percentOf, floor: short, steps: grouped };
const told = (run, names) =>
  names.map((name) => `${NAMES[name]} ${WRITTEN[name](run[name])}`).join(", ");
const sorted = (numbers) => [...new Set(numbers)].sort((a, b) => a - b);
const loss = (x) => (x === null ? "broke off" : x.toFixed(2));

/** The losses after the last step by two settings, for fixed other two; a cell chooses its run. */
class Grid {
  /** @param {{rows: string, columns: string, runs: Run[], onChoose: (run: Run) => void}} options */
  constructor({ rows, columns, runs, onChoose }) {
    this.rows = rows;
    this.columns = columns;
    this.runs = runs;
    this.onChoose = onChoose;
    this.across = sorted(runs.map((run) => run[columns]));
    this.down = sorted(runs.map((run) => run[rows]));
    this.cells = this.down.map((down) => this.across.map((across) => this.#cell(down, across)));
    this.caption = h("caption", {});
    const corner = h(
      "td",
      { class: "bw-corner", "aria-hidden": "true" },
      `${NAMES[columns]} →`,
      h("br"),
      `${NAMES[rows]} ↓`,
    );
    const head = h(
      "tr",
      {},
      corner,
      ...this.across.map((value) => h("th", { scope: "col" }, WRITTEN[columns](value))),
    );
    const line = (value, i) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, WRITTEN[rows](value)),
        ...this.cells[i].map(({ box }) => box),
      );
    const body = h("tbody", { onkeydown: (event) => this.#press(event) }, ...this.down.map(line));
    this.element = h(
      "div",
      { class: "bw-scroll" },
      h("table", { class: "bw-runs" }, this.caption, h("thead", {}, head), body),
    );
  }

  #cell(down, across) {
    const [number, mark] = [h("b", {}), h("small", {})];
    const onclick = () => cell.run && this.onChoose(cell.run);
    const button = h("button", { type: "button", "aria-pressed": false, onclick }, number, mark);
    const cell = { down, across, run: null, number, mark, button, box: h("td", {}, button) };
    return cell;
  }

  /** @param {Run} chosen  @param {(loss: number) => number} tint  percent */
  show(chosen, part, tint) {
    const fixed = Object.keys(NAMES).filter((name) => name !== this.rows && name !== this.columns);
    const same = this.runs.filter((run) => fixed.every((name) => run[name] === chosen[name]));
    const best = bestOf(same, part);
    this.caption.textContent = `Loss by ${NAMES[this.rows]} and ${NAMES[this.columns]}, with ${told(chosen, fixed)}`;
    for (const cell of this.cells.flat()) {
      cell.run =
        same.find((run) => run[this.columns] === cell.across && run[this.rows] === cell.down) ??
        null;
      this.#fill(cell, cell.run === chosen, cell.run !== null && cell.run === best, part, tint);
    }
  }

  #fill({ run, button, number, mark, box }, chosen, best, part, tint) {
    const mean = run && finals(run, part).mean;
    number.textContent = run ? loss(mean) : "–";
    mark.textContent = best ? "lowest" : "";
    box.style.setProperty("--bw-share", mean === null ? "0%" : `${tint(mean)}%`);
    button.setAttribute("aria-pressed", chosen);
    button.setAttribute("aria-disabled", !run);
    button.tabIndex = chosen ? 0 : -1;
  }

  /** The arrow keys go to the neighbor and choose it. */
  #press(event) {
    const row = this.cells.findIndex((cells) =>
      cells.some(({ button }) => button === event.target),
    );
    if (row < 0) return;
    const column = this.cells[row].findIndex(({ button }) => button === event.target);
    const size = { rows: this.down.length, columns: this.across.length };
    const to = stepInGrid(event, { row, column }, size);
    const cell = to && this.cells[to.row][to.column];
    if (!cell?.run) return;
    cell.button.focus();
    this.onChoose(cell.run);
  }
}

/** The recorded runs: the nearest one, its losses beside the others', and the grid. */
class Runs {
  /** @param {Record<string, any>} record  @param {(run: Run) => void} onChoose */
  constructor(record, onChoose) {
    this.record = record;
    this.runs = record.runs;
    this.part = "held_out";
    this.onChoose = onChoose;
    this.parts = segments("Loss on", Object.keys(PARTS), (option) => this.#turn(PARTS[option]));
    this.pairs = h("tbody", {});
    const button = (words, choose) =>
      h(
        "button",
        { type: "button", class: "bw-button", onclick: () => this.onChoose(choose()) },
        words,
      );
    this.snap = button("Snap to it", () => this.run);
    this.lead = button("Take the best", () => this.best ?? this.run);
    this.least = h("p", { class: "bw-summary" });
    this.note = h("p", { class: "bw-legend" });
    this.tiles = h("div", { class: "bw-tiles" });
    this.plot = new Plot({ height: 290, below: "step", paint: () => this.#paint() });
    this.legend = h("p", { class: "bw-legend" });
    const grid = (rows, columns) => new Grid({ rows, columns, runs: this.runs, onChoose });
    this.grids = [grid("warmup", "peak"), grid("steps", "floor")];
    this.element = this.#layout();
  }

  #layout() {
    const { seeds, parameters, tokens, batch_size: batch, model } = this.record;
    const about =
      `${count(this.runs.length, "schedule")} trained the same GPT of ${grouped(parameters)} parameters on ${grouped(tokens.training)} tokens ` +
      `of the book's story, ${batch} windows of ${model.context_length} tokens a step; ${grouped(tokens.held_out)} tokens were held out. Each ran ${seeds.length > 1 ? `${count(seeds.length, "time")}, with other first weights and another order of the windows` : "once"}.`;
    const head = tableHead("", "yours", "recorded");
    const table = h("table", { class: "bw-table bw-compared" }, head, this.pairs);
    const title = (words) => h("p", { class: "bw-part-title" }, words);
    const compared = h("div", { class: "bw-scroll" }, table);
    const near = h("div", {}, title("The nearest recorded run"), compared, this.snap);
    const end = title("Its loss after the last step");
    const ends = h("div", {}, end, this.tiles, this.least, this.lead);
    return h(
      "div",
      { class: "bw-recorded" },
      h("p", {}, about),
      h("div", { class: "bw-halves" }, near, ends),
      this.plot.element,
      this.legend,
      title("The losses of all schedules"),
      this.parts,
      h("div", { class: "bw-grids" }, ...this.grids.map(({ element }) => element)),
      this.note,
    );
  }

  #turn(part) {
    this.part = part;
    this.#grids();
  }

  /** @param {{peak: number, warmup: number, floor: number, steps: number}} settings */
  show(settings) {
    this.settings = settings;
    this.run = nearest(this.runs, settings);
    this.best = bestOf(
      this.runs.filter(({ steps }) => steps === this.run.steps),
      "held_out",
    );
    const rows = Object.keys(NAMES).map((name) => this.#pair(name));
    this.pairs.replaceChildren(...rows.map(({ row }) => row));
    this.snap.setAttribute(
      "aria-disabled",
      rows.every(({ same }) => same),
    );
    this.lead.setAttribute("aria-disabled", !this.best || this.best === this.run);
    this.least.textContent = this.#lead();
    this.tiles.replaceChildren(...tiles(this.#ends()));
    this.plot.draw();
    this.#grids();
  }

  #pair(name) {
    const [yours, recorded] = [this.settings[name], this.run[name]];
    const same = Math.abs(yours - recorded) < 1e-9;
    const rest = recorded - yours;
    const more =
      name === "steps" ? ` (${grouped(Math.abs(rest))} ${rest > 0 ? "more" : "fewer"})` : "";
    const other = same ? "the same" : h("b", {}, WRITTEN[name](recorded), more);
    return {
      same,
      row: h(
        "tr",
        {},
        h("th", { scope: "row" }, NAMES[name]),
        h("td", {}, WRITTEN[name](yours)),
        h("td", {}, other),
      ),
    };
  }

  #lead() {
    const { run, best } = this;
    const all = `all with ${grouped(run.steps)} steps`;
    if (best === run) return `No other schedule of ${all} has a lower held-out loss.`;
    return best
      ? `The lowest held-out loss of ${all} is ${loss(finals(best, "held_out").mean)}: ${told(best, ["peak", "warmup", "floor"])}.`
      : `Of ${all} none came to its end.`;
  }

  #ends() {
    const n = this.record.seeds.length;
    return Object.entries(PARTS).map(([name, part]) => {
      const { mean, least, most, broken } = finals(this.run, part);
      const spread =
        n > 1 && mean !== null ? `, ${loss(least)} to ${loss(most)} in ${n - broken} runs` : "";
      return [`${name}${spread}${broken ? `; ${broken} broke off` : ""}`, loss(mean)];
    });
  }

  #grids() {
    const means = this.runs
      .map((run) => finals(run, this.part).mean)
      .filter((mean) => mean !== null);
    const [least, most] = [Math.min(...means), Math.max(...means)];
    const tint = (mean) =>
      TINTS[0] + Math.round(((TINTS[1] - TINTS[0]) * (mean - least)) / (most - least || 1));
    for (const grid of this.grids) grid.show(this.run, this.part, tint);
    const spread =
      this.record.seeds.length > 1
        ? ` The runs of one schedule differ by ${loss(seedSpread(this.runs, this.part))}, in the median, so smaller differences say little.`
        : "";
    this.note.textContent = `Mean of a schedule's runs, in nats a token: less is better, and a stronger tint is more.${spread} Choose a cell, by a click or with the arrow keys, to take its schedule.`;
  }

  #points({ curve, steps }) {
    const every = steps / this.record.points;
    return curve.map((mean, i) => [(i + 0.5) * every, mean]);
  }

  /**
   * The curves of the runs of one length and floor, the chosen one and the best above the others.
   */
  #paint() {
    const { plot, run, best } = this;
    if (!run) return;
    const others = this.runs.filter(
      (other) =>
        other.steps === run.steps && other.floor === run.floor && other !== run && other !== best,
    );
    const all = [run, best ?? run, ...others].flatMap(({ curve }) => curve);
    plot.range([0, run.steps], [Math.floor(Math.min(...all)), Math.ceil(Math.max(...all))]);
    const lines = others.map((other) => plot.line("bw-run-other", this.#points(other)));
    if (best && best !== run) lines.push(plot.line("bw-run-best", this.#points(best)));
    const name = `The training loss over ${run.steps} steps of the nearest recorded run, of the best one and of ${others.length} others.`;
    plot.show(
      name,
      marksOf(plot, "training loss"),
      ...lines,
      plot.line("bw-run-chosen", this.#points(run)),
      ...this.#levels(),
    );
    this.#explain(others.length);
  }

  /** Two losses that need no training. */
  #levels() {
    const { plot, record } = this;
    const across = (level, words) => [
      svg("line", {
        class: "bw-cut-line bw-level",
        x1: plot.left,
        x2: plot.right,
        y1: plot.y(level),
        y2: plot.y(level),
      }),
      write(plot.right - 4, plot.y(level) - 5, "end", `${words}: ${loss(level)}`, "bw-cut-name"),
    ];
    const levels = [
      [record.equal_loss, "every token equally likely"],
      [record.frequency_loss, "token frequencies, nothing else"],
    ];
    return levels
      .filter(([level]) => level > plot.up[0] && level < plot.up[1])
      .flatMap((pair) => across(...pair));
  }

  #explain(others) {
    const { run, best } = this;
    const every = run.steps / this.record.points;
    const same = `${count(others, "other run")} with floor ${short(run.floor)}`;
    const least = best && best !== run ? keyed("bw-run-best", "lowest held-out loss") : [];
    this.legend.replaceChildren(
      ...keyed("bw-run-chosen", "nearest run"),
      ...least,
      ...keyed("bw-run-other", same),
      `a point: mean of ${count(every, "step")}, seed ${this.record.seeds[0]}`,
    );
  }

  /** What the losses say, for the summary. */
  get words() {
    const { run, best } = this;
    const [training, held] = ["training", "held_out"].map((part) => finals(run, part).mean);
    const end =
      training === null
        ? "broke off"
        : `ended with a loss of ${loss(training)} on the training text and ${loss(held)} on held-out text`;
    const least =
      best && best !== run
        ? `; the lowest with ${grouped(run.steps)} steps is ${loss(finals(best, "held_out").mean)}`
        : "";
    return `the nearest recorded run (${told(run, Object.keys(NAMES))}) ${end}${least}.`;
  }
}

class ScheduleDesigner {
  constructor(model) {
    this.model = model;
    const { steps, warmup_steps } = this.#stored();
    const first = { ...this.#stored(), warmup: warmup_steps / steps };
    const dial = (name) => new Dial(name, first[name], () => this.#draw());
    this.dials = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, dial(name)]));
    this.plot = new Plot({ height: 240, below: "step", paint: () => this.#paint() });
    this.tiles = h("div", { class: "bw-tiles" });
    this.code = new PythonCode("This schedule in Python");
    this.runs = new Runs(model.get("record"), (run) => this.#take(run));
    this.summary = h("p", { class: "bw-summary", "aria-live": "polite" });
    opensOn(this.dials.peak.slider, this.plot.element);
    this.element = frame(
      "Schedule designer",
      h(
        "div",
        { class: "bw-settings" },
        ...Object.values(this.dials).map(({ element }) => element),
      ),
      this.plot.element,
      this.summary,
      fold(
        "The rates, and the code",
        this.tiles,
        h("div", { class: "bw-code-line" }, this.code.box, this.code.button),
      ),
      fold("What such schedules did", this.runs.element),
    );
    this.#draw();
  }

  /** @returns {Schedule} */
  #stored() {
    const get = (name) => this.model.get(name);
    return {
      peak: get("peak"),
      steps: get("steps"),
      warmup_steps: get("warmup_steps"),
      floor: get("floor"),
    };
  }

  /** @param {Run} run */
  #take(run) {
    for (const [name, dial] of Object.entries(this.dials)) dial.put(run[name]);
    this.#draw();
  }

  #draw() {
    const { steps, warmup, peak, floor } = Object.fromEntries(
      Object.entries(this.dials).map(([name, dial]) => [name, dial.value]),
    );
    const climb = warmupSteps(warmup, steps);
    this.schedule = { peak, steps, warmup_steps: climb, floor };
    const named = namedSteps(this.schedule).map(([name, step]) => [
      `${name}: step ${grouped(step)}`,
      short(rateAt(this.schedule, step)),
    ]);
    this.tiles.replaceChildren(
      ...tiles([...named, ["sum of all rates", short(sumOfRates(this.schedule))]]),
    );
    this.code.show(pythonLine(this.schedule));
    this.plot.draw();
    this.runs.show({
      peak,
      steps,
      floor,
      warmup: Math.abs(climb - warmup * steps) < 0.5 ? warmup : climb / steps,
    });
    this.summary.textContent = `${this.#sentence()}; ${this.runs.words}`;
    this.#save();
  }

  /** In a notebook Python reads the schedule that is drawn. */
  #save() {
    for (const [name, value] of Object.entries(this.schedule)) this.model.set(name, value);
    this.model.save_changes();
  }

  #sentence() {
    const { steps, warmup_steps: warmup } = this.schedule;
    const climb = warmup ? `climbs for ${count(warmup, "step")} to` : "starts at";
    return `The rate ${climb} ${short(rateAt(this.schedule, warmup))} and is ${short(rateAt(this.schedule, steps - 1))} at the last of ${count(steps, "step")}`;
  }

  #paint() {
    const { plot, schedule } = this;
    const { steps, warmup_steps: warmup, peak, floor } = schedule;
    plot.range([0, Math.max(1, steps - 1)], [0, peak]);
    // the corner at the peak is one of the points
    const points = [
      ...stepsTo(warmup),
      ...stepsTo(steps - 1 - warmup).map((step) => warmup + step),
    ];
    const line = plot.line(
      "bw-line-after",
      points.map((step) => [step, rateAt(schedule, step)]),
    );
    const dots = namedSteps(schedule).map(([, step]) =>
      svg("circle", {
        class: "bw-dot",
        cx: plot.x(step),
        cy: plot.y(rateAt(schedule, step)),
        r: 5,
      }),
    );
    const name = `The learning rate over ${count(steps, "step")}: ${this.#sentence().slice(9)}.`;
    const level = floor * peak;
    const low = plot.bottom - plot.y(level) < 24; // no room under the line
    const height = plot.y(level) + (low ? -5 : 16);
    const marks = [
      ...(warmup ? this.#climb(warmup, height) : []),
      ...(floor ? this.#level(level, height) : []),
    ];
    plot.show(name, marksOf(plot, "learning rate"), ...marks, line, ...dots);
  }

  /** Where the climb ends; its name keeps away from a height. */
  #climb(warmup, away) {
    const { plot } = this;
    const [at, late] = [plot.x(warmup), plot.x(warmup) > (plot.left + plot.right) / 2];
    const [middle, low] = [(plot.top + plot.bottom) / 2, plot.bottom - 8];
    const height = Math.abs(middle - away) < Math.abs(low - away) ? low : middle;
    return [
      svg("line", { class: "bw-cut-line bw-level", x1: at, x2: at, y1: plot.top, y2: plot.bottom }),
      write(
        at + (late ? -6 : 6),
        height,
        late ? "end" : "start",
        `warm-up: ${count(warmup, "step")}`,
        "bw-cut-name",
      ),
    ];
  }

  #level(rate, height) {
    const { plot } = this;
    return [
      svg("line", {
        class: "bw-cut-line bw-level",
        x1: plot.left,
        x2: plot.right,
        y1: plot.y(rate),
        y2: plot.y(rate),
      }),
      write(
        plot.left + 0.45 * (plot.right - plot.left),
        height,
        "middle",
        `floor: ${short(rate)}`,
        "bw-cut-name",
      ),
    ];
  }

  stop() {
    for (const plot of [this.plot, this.runs.plot]) plot.stop();
  }
}

export default {
  render({ model, el }) {
    const designer = new ScheduleDesigner(model);
    el.append(designer.element);
    return () => designer.stop();
  },
};
