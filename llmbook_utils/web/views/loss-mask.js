/**
 * Loss-mask viewer: a batch of instructions as `collate` makes it, inputs above the targets that
 * are one token later, and which of these count in the loss. The model is asked only for losses.
 *
 * @typedef {import("./loss-mask-math.js").Example} Example
 * @typedef {import("../parts/tokens.js").Token} Token
 * @typedef {{instruction: string, input: string, output: string, own?: boolean}} Entry
 * @typedef {{entry: Entry, example: Example, cut: boolean, tokens: Token[]}} Row
 *   `tokens`: those of the example; `cut`: its texts are longer than what is tokenized
 */
import { LIMIT } from "../engine/limit.js";
import { strip } from "../engine/text.js";
import {
  button,
  fold,
  frame,
  h,
  line,
  opensOn,
  reveal,
  scroller,
  segments,
  shareBar,
  tableHead,
  uniqueId,
} from "../parts/dom.js";
import { Instrument } from "../parts/instrument.js";
import { chip, Listbox } from "../parts/listbox.js";
import { Live } from "../parts/live.js";
import { count, decimal, grouped, percent } from "../parts/numbers.js";
import { formatPrompt, Tokenizer } from "../parts/prompts.js";
import { drawBytes, spoken } from "../parts/tokens.js";
import { EXPERIMENTS } from "./experiments/loss-mask.js";
import {
  collate,
  exampleOf,
  IGNORED,
  isKept,
  lossesOf,
  meanOf,
  partsOf,
} from "./loss-mask-math.js";

/** What is said of a target by its part of the row. */
const PARTS = {
  prompt: "part of the prompt",
  answer: "part of the answer",
  end: "the end of the answer",
  padding: "padding",
};

const FIELDS = { instruction: "Instruction", input: "Input, if any", output: "Answer" };

/** @param {string} text */
const shorten = (text) => (text.length > 34 ? `${text.slice(0, 33)}…` : text);

class LossMask {
  constructor(model) {
    this.model = model;
    /** @type {string} */
    this.style = model.get("style");
    /** @type {Entry[]} */
    this.entries = model.get("entries");
    this.in = new Set(this.entries.keys());
    this.chosen = 0;
    this.turn = 0;
    this.measured = 0;
    /** @type {Row[]} */
    this.rows = [];
    /** @type {{base: (number | null)[], tuned: (number | null)[]} | null} of the chosen row */
    this.losses = null;
    this.live = new Live({
      model,
      label: FIELDS.instruction,
      rows: 1,
      onChange: () => this.update(),
    });
    this.tokenizer = new Tokenizer(this.live, model.get("known"));
    const [{ endOfText }] = model.get("encodings");
    this.end = { id: endOfText, bytes: [...new TextEncoder().encode("end")] };
    this.#controls();
    this.element = this.#layout();
    this.instrument = new Instrument(this, EXPERIMENTS);
    this.update();
    this.live.start();
  }

  #controls() {
    this.styles = segments("Prompt style", Object.keys(this.model.get("styles")), (style) => {
      this.style = style;
      this.update();
    });
    this.mask = this.#box("prompt masked", this.model.get("mask_prompt"));
    this.learn = this.#box("end of the answer learned", this.model.get("learn_end"));
    this.map = h("div", { class: "bw-lm-map", role: "group", "aria-label": "Rows of the batch" });
    this.list = new Listbox({
      label: "Inputs and targets of the row",
      kind: "bw-lm-row",
      onChoose: () => this.#tell(),
    });
    this.told = h("p", { class: "bw-summary", "aria-live": "polite" });
    this.summary = h("p", { class: "bw-summary", "aria-live": "polite" });
    this.dropped = h("div", { role: "status" });
    this.ask = button("", () => this.#measure(), "bw-primary");
    this.table = h("div", {});
  }

  #box(name, checked) {
    const input = h("input", { type: "checkbox", onchange: () => this.update() });
    input.checked = checked;
    return { input, label: h("label", { class: "bw-label" }, input, ` ${name}`) };
  }

  #layout() {
    const bar = h("div", { class: "bw-bar" }, this.styles, this.mask.label, this.learn.label);
    opensOn(bar, this.map);
    return frame(
      "Loss mask",
      bar,
      this.map,
      this.summary,
      this.dropped,
      this.list.element,
      this.told,
      this.#legend(),
      h("div", { class: "bw-bar bw-lm-ask" }, this.ask),
      this.table,
      this.live.notes,
      fold("Entries of the batch", ...this.#choices()),
    );
  }

  #legend() {
    const key = (kind, text) => [h("span", { class: `bw-lm-key ${kind}` }, text), " "];
    return h(
      "p",
      { class: "bw-legend" },
      "Each box: the input above, its target below. ",
      ...key("bw-lm-counts", "✓ counts"),
      ...key("", `${IGNORED} does not`),
      ...key("bw-lm-padding", "padding"),
      "“end” is <|endoftext|>, ␣ a space, ⏎ a new line.",
    );
  }

  /** The entries, each to be put in or left out, and the fields for one of the reader's own. */
  #choices() {
    const boxes = this.entries.map((entry, i) => {
      const { input, label } = this.#box(
        `${entry.instruction} ${entry.input}`.trim(),
        this.in.has(i),
      );
      input.addEventListener("change", () => this.#toggle(i, input.checked));
      return h("p", {}, label);
    });
    this.own = Object.fromEntries(
      Object.keys(FIELDS).map((name) => [
        name,
        name === "instruction" ? this.live.field : this.#field(),
      ]),
    );
    const fields = Object.entries(this.own).flatMap(([name, field]) => [
      h("label", { for: field.id, class: "bw-label" }, FIELDS[name]),
      field,
    ]);
    const title = "One of your own, which is in the batch as soon as it has an answer:";
    return [...boxes, h("p", {}, title), ...fields];
  }

  #field() {
    return h("textarea", {
      class: "bw-text",
      id: uniqueId(),
      rows: 1,
      spellcheck: "false",
      oninput: () => this.update(),
    });
  }

  #toggle(i, isIn) {
    if (isIn) this.in.add(i);
    else this.in.delete(i);
    this.update();
  }

  /** The entries of the batch in their order. @returns {Entry[]} */
  get batch() {
    const own = Object.fromEntries(
      Object.entries(this.own).map(([name, field]) => [name, strip(field.value)]),
    );
    const isWhole = own.instruction && own.output;
    return [
      ...this.entries.filter((_, i) => this.in.has(i)),
      ...(isWhole ? [/** @type {Entry} */ ({ ...own, own: true })] : []),
    ];
  }

  get options() {
    return {
      contextLength: this.model.get("context_length"),
      maskPrompt: this.mask.input.checked,
      learnEnd: this.learn.input.checked,
    };
  }

  /** Another batch is wanted: tokens that are not known yet are asked for. */
  async update() {
    this.turn += 1;
    const { turn, batch } = this;
    this.#check();
    const texts = batch.flatMap((entry) => this.#texts(entry));
    const missing = texts.filter((text) => !this.tokenizer.known.has(text));
    if (missing.length) await Promise.all(missing.map((text) => this.tokenizer.of(text)));
    if (turn !== this.turn) return;
    const rows = batch.map((entry) => this.#row(entry)).filter((row) => row !== null);
    const { contextLength } = this.options;
    this.losses = null;
    this.rows = rows.filter(({ example, cut }) => !cut && isKept(example, contextLength));
    this.chosen = Math.max(0, Math.min(this.chosen, this.rows.length - 1));
    this.#drop(rows.filter((row) => !this.rows.includes(row)));
    this.#draw();
  }

  /** The radio button of the style that is in use. */
  #check() {
    for (const segment of this.styles.querySelectorAll("label")) {
      const input = segment.querySelector("input");
      input.checked = segment.textContent === this.style;
    }
  }

  /** The two texts that an entry is tokenized as: no token is part of both. */
  #texts({ instruction, input, output }) {
    const style = this.model.get("styles")[this.style];
    return [formatPrompt(instruction, input, style), strip(output)];
  }

  /** An entry with its tokens; null where these could not be had. @returns {Row | null} */
  #row(entry) {
    const [prompt, reply] = this.#texts(entry).map((text) => this.tokenizer.known.get(text));
    if (!prompt || !reply) return null;
    const ids = ({ tokens }) => tokens.map(({ id }) => id);
    const example = exampleOf(ids(prompt), ids(reply));
    const cut = prompt.truncated || reply.truncated;
    return { entry, example, cut, tokens: [...prompt.tokens, ...reply.tokens] };
  }

  /** Say which entries are no rows. @param {Row[]} rows */
  #drop(rows) {
    const { contextLength } = this.options;
    const why = ({ cut, example }) =>
      cut
        ? `It is longer than the ${grouped(LIMIT)} characters that are tokenized here.`
        : `It has ${count(example.ids.length, "token")}, and nothing of its answer is within the ${contextLength} that are read: all its targets would be ${IGNORED}.`;
    const name = ({ entry }) => `Dropped: “${shorten(entry.instruction)}”. `;
    this.dropped.replaceChildren(
      ...rows.map((row) => h("p", { class: "bw-note" }, name(row) + why(row))),
    );
  }

  #draw() {
    const { rows, options, end } = this;
    if (!rows.length) {
      for (const element of [this.map, this.list.element, this.table]) element.replaceChildren();
      this.told.textContent = "";
      this.summary.textContent = "There is no row: put an entry into the batch, below.";
      this.ask.setAttribute("aria-disabled", "true");
      return;
    }
    this.made = collate(
      rows.map(({ example }) => example),
      end.id,
      options,
    );
    this.map.replaceChildren(...rows.map((row, i) => this.#strip(row, i)));
    this.summary.textContent = this.#sentence();
    this.#drawRow();
  }

  get width() {
    return this.made.inputs[0].length;
  }

  /** A row as a button: its parts as wide as they are long. @param {Row} row */
  #strip(row, i) {
    const targets = this.made.targets[i];
    /** @type {{kind: string, n: number}[]} */
    const runs = [];
    partsOf(row.example, this.width).forEach((part, at) => {
      const kind = `${part}${targets[at] === IGNORED ? "" : " bw-lm-counts"}`;
      if (runs.at(-1)?.kind === kind) runs[runs.length - 1].n += 1;
      else runs.push({ kind, n: 1 });
    });
    const bar = h(
      "span",
      { class: "bw-lm-bar", "aria-hidden": "true" },
      ...runs.map(({ kind, n }) => h("span", { class: `bw-lm-${kind}`, style: `flex-grow: ${n}` })),
    );
    const name = `${i + 1}. ${row.entry.own ? "your own" : shorten(row.entry.instruction)}`;
    const press = button("", () => this.#choose(i), "bw-lm-strip");
    const counts = targets.filter((target) => target !== IGNORED).length;
    press.append(
      h("span", { class: "bw-lm-name" }, `${name}: ${counts} of ${this.width} count`),
      bar,
    );
    press.setAttribute("aria-pressed", String(i === this.chosen));
    return press;
  }

  #choose(i) {
    this.chosen = i;
    this.losses = null;
    this.#draw();
    this.map.querySelectorAll("button")[i]?.focus();
  }

  #sentence() {
    const { targets } = this.made;
    const { maskPrompt, learnEnd } = this.options;
    const parts = this.rows.flatMap(({ example }) => partsOf(example, this.width));
    const flat = targets.flat();
    const counted = parts.filter((_, at) => flat[at] !== IGNORED);
    const number = (part) => counted.filter((one) => one === part).length;
    const padding = parts.filter((part) => part === "padding").length;
    const whole = `Inputs and targets are ${targets.length} × ${this.width}. Of ${flat.length} targets ${counted.length} count (${percent(counted.length / flat.length)}); ${padding} are padding.`;
    const prompts = maskPrompt
      ? ""
      : ` The prompts count, too, with ${number("prompt")} targets, the answers with ${number("answer")}: the model learns above all to write requests.`;
    const ends = learnEnd
      ? ` ${count(number("end"), "end")} of an answer ${number("end") === 1 ? "counts" : "count"}.`
      : " No end of an answer counts: a model that learns like this is never told to stop.";
    return whole + prompts + ends;
  }

  /** The token that an input or a target is. @param {Row} row @param {number} place  in the row */
  #token(row, place) {
    return row.tokens[place] ?? this.end;
  }

  #drawRow() {
    const row = this.rows[this.chosen];
    const targets = this.made.targets[this.chosen];
    const parts = partsOf(row.example, this.width);
    const chips = targets.map((target, at) => {
      const counts = target !== IGNORED;
      const [input, next] = [this.#token(row, at), this.#token(row, at + 1)];
      const below = counts ? ["✓ ", ...drawBytes(next.bytes)] : [String(IGNORED)];
      const one = chip(
        at,
        `${at}: ${spoken(input.bytes)}, target ${spoken(next.bytes)}, ${counts ? "counts" : "does not count"}, ${PARTS[parts[at]]}`,
        h("span", {}, ...drawBytes(input.bytes)),
        h("span", { class: "bw-lm-target" }, ...below),
      );
      one.classList.add(`bw-lm-${parts[at]}`);
      one.classList.toggle("bw-lm-counts", counts);
      return one;
    });
    const first = targets.findIndex((target) => target !== IGNORED);
    this.list.show(chips, Math.max(0, first));
    reveal(this.list.element, chips[first]);
    this.#tell();
    this.#drawLosses();
  }

  /** Say what the chosen place is. */
  #tell() {
    const at = this.list.chosen;
    const row = this.rows[this.chosen];
    const part = partsOf(row.example, this.width)[at];
    const counts = this.made.targets[this.chosen][at] !== IGNORED;
    const [input, next] = [this.#token(row, at), this.#token(row, at + 1)];
    this.told.replaceChildren(
      `Place ${at}: the input is “`,
      ...drawBytes(input.bytes),
      `” (${input.id}), the token after it “`,
      ...drawBytes(next.bytes),
      `” (${next.id}), ${PARTS[part]}. ${counts ? "It is the target, and counts." : `The target is ${IGNORED}: it does not count.`}`,
    );
  }

  /** Compute the loss of each target of the row that counts, with and without the adapter. */
  async #measure() {
    const row = this.rows[this.chosen];
    if (!row) return;
    if (!this.live.ready) {
      this.live.need(this.ask.parentElement, () => this.#measure());
      return this.live.load();
    }
    this.measured += 1;
    const { turn, chosen, measured } = this;
    // without the padding, which changes nothing before it
    const ids = this.made.inputs[chosen].slice(0, row.example.ids.length);
    const adapter = this.model.get("adapter");
    const there = await this.live.ask({ kind: "adapter", adapter });
    const request = { kind: "run", text: "", ids, want: ["logits"] };
    const base = there && (await this.live.ask(request));
    const tuned = base && (await this.live.ask({ ...request, adapter }));
    if (!tuned || turn !== this.turn || chosen !== this.chosen || measured !== this.measured)
      return;
    const targets = this.made.targets[chosen].slice(0, ids.length);
    const losses = (reply) => lossesOf(reply.tensors.logits, targets);
    this.losses = { base: losses(base), tuned: losses(tuned) };
    this.#drawLosses();
  }

  #drawLosses() {
    this.ask.textContent = `Compute its losses${this.live.price}`;
    this.ask.setAttribute("aria-disabled", "false");
    if (!this.losses) return this.table.replaceChildren();
    const { base, tuned } = this.losses;
    const row = this.rows[this.chosen];
    const most = Math.max(...[...base, ...tuned].map((loss) => loss ?? 0));
    const cell = (loss) => [decimal(loss, 2), shareBar(loss / most)];
    const lines = base.flatMap((loss, at) =>
      loss === null
        ? []
        : [line(drawBytes(this.#token(row, at + 1).bytes), cell(loss), cell(tuned[at]))],
    );
    if (!lines.length)
      return this.table.replaceChildren(h("p", {}, "No target of this row counts."));
    const means = line(["mean"], cell(meanOf(base)), cell(meanOf(tuned)));
    means.classList.add("bw-current");
    const head = tableHead("target", "before fine-tuning", "after");
    const body = h("tbody", {}, means, ...lines);
    const name = "Loss of each target that counts, in nats";
    const trained = this.model.get("trained");
    const other =
      this.style === trained
        ? ""
        : ` The adapter learned in the style ${trained}: in this one it is not at its best.`;
    return this.table.replaceChildren(
      h("p", {}, h("b", {}, `${name}.`), other),
      scroller(
        name,
        h("table", { class: "bw-table bw-lm-losses", "aria-label": name }, head, body),
      ),
    );
  }

  read() {
    return {
      style: this.style,
      mask_prompt: String(this.mask.input.checked),
      learn_end: String(this.learn.input.checked),
      row: String(this.chosen),
    };
  }

  /**
   * Take a state of a link; losses are computed where a model is there.
   * @param {Record<string, string>} state
   */
  async apply({ style = "", mask_prompt, learn_end, row = "0" }) {
    this.style = style in this.model.get("styles") ? style : this.model.get("style");
    const isOn = (value, name) => (value === undefined ? this.model.get(name) : value === "true");
    this.mask.input.checked = isOn(mask_prompt, "mask_prompt");
    this.learn.input.checked = isOn(learn_end, "learn_end");
    this.chosen = Number(row) || 0;
    await this.update();
    if (this.live.ready) await this.#measure();
  }

  facts() {
    const { targets } = this.made;
    const counted = targets.flat().filter((target) => target !== IGNORED).length;
    const { base, tuned } = this.losses ?? { base: [], tuned: [] };
    const write = (loss) => (loss === null ? "–" : decimal(loss, 2));
    const row = this.rows[this.chosen];
    const parts = partsOf(row.example, this.width);
    const of = (part, losses) => meanOf(losses.filter((_, at) => parts[at] === part));
    return {
      counted: String(counted),
      all: String(targets.flat().length),
      base: write(meanOf(base)),
      tuned: write(meanOf(tuned)),
      endBase: write(of("end", base)),
      endTuned: write(of("end", tuned)),
    };
  }

  stop() {
    this.turn += 1;
    this.instrument.stop();
    this.live.stop();
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new LossMask(model);
  el.append(view.element);
  return () => view.stop();
}

export default { render };
