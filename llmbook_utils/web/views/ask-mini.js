/**
 * Ask mini: a request is answered by the model as it was pretrained and by the same model with the
 * adapter for instructions in its weights, each token with the probability that it had.
 *
 * @typedef {{id: number, bytes: number[], plain: number}} Candidate
 * @typedef {Candidate & {alternatives: Candidate[]}} Told
 * @typedef {{instruction: string, input: string, output: string, kind: string}} Entry
 */
import { normalize, split, strip } from "../engine/text.js";
import { NumberInput } from "../parts/controls.js";
import {
  button,
  fold,
  frame,
  h,
  line,
  opensOn,
  select,
  shareBar,
  tableHead,
  uniqueId,
} from "../parts/dom.js";
import { Instrument } from "../parts/instrument.js";
import { chip, Listbox } from "../parts/listbox.js";
import { Live } from "../parts/live.js";
import { count, percent } from "../parts/numbers.js";
import { formatPrompt, Tokenizer } from "../parts/prompts.js";
import { asWord, decode, drawBytes, spoken } from "../parts/tokens.js";
import { EXPERIMENTS } from "./experiments/ask-mini.js";

const END = "<|endoftext|>";
const PUNCTUATION = /[!-/:-@[-`{-~]/g;
const UNSURE = 0.5; // below that a token is marked

/** The two that answer, and what is said of them. */
const MODELS = {
  base: {
    title: "before fine-tuning",
    about: "mini as it was pretrained: it continues any text in the manner of its stories",
  },
  tuned: {
    title: "after fine-tuning",
    about: "the same mini with the adapter that learned from requests and answers",
  },
};

/** The words of an answer as `normalize` of llmbook_utils/evaluate.py has them. */
export const wordsOf = (text) =>
  split(text.toLowerCase().replace(PUNCTUATION, "")).filter(
    (word) => !["a", "an", "the"].includes(word),
  );

/** Whether an answer has the words of the reference in their order. */
export const matches = (answer, reference) =>
  wordsOf(answer).join(" ") === wordsOf(reference).join(" ");

/** @param {number[]} bytes */
const isEnd = (bytes) => decode(bytes) === END;

/** A token as text, with marks only for what could not be seen. @param {number[]} bytes */
function drawText(bytes) {
  const text = decode(bytes);
  return text === null || /[^\P{C}]|[^\P{Z} ]/u.test(text) ? drawBytes(bytes) : [text];
}

/** The text of tokens, without what ends it. @param {{bytes: number[]}[]} tokens */
export const textOf = (tokens) =>
  new TextDecoder().decode(
    Uint8Array.from(tokens.filter(({ bytes }) => !isEnd(bytes)).flatMap(({ bytes }) => bytes)),
  );

/**
 * The first token with which an answer is no longer the beginning of the reference; -1 for none.
 * @param {Told[]} tokens
 * @param {string} reference
 */
export function parting(tokens, reference) {
  const bytes = [...new TextEncoder().encode(reference)];
  let at = 0;
  return tokens.findIndex((token) => {
    if (isEnd(token.bytes)) return at < bytes.length;
    const same = token.bytes.every((byte, i) => byte === bytes[at + i]);
    at += token.bytes.length;
    return !same;
  });
}

/**
 * The alternative at a token that goes on as the reference does.
 * @param {Told[]} tokens
 * @param {number} at  the token that `parting` found
 * @param {string} reference
 * @returns {Candidate | undefined}
 */
export function wanted(tokens, at, reference) {
  const before = tokens.slice(0, at).reduce((sum, { bytes }) => sum + bytes.length, 0);
  const rest = [...new TextEncoder().encode(reference)].slice(before);
  return tokens[at].alternatives.find(({ bytes }) =>
    isEnd(bytes) ? !rest.length : bytes.every((byte, i) => byte === rest[i]),
  );
}

/** A number with its name, its field and its slider. */
class Dial extends NumberInput {
  /**
   * @param {{label: string, least: number, most: number, whole?: boolean, hint?: string}} options
   * @param {{value: number, step: number}} first
   */
  constructor(options, { value, step }) {
    // a number is taken with the next request
    super({ ...options, onChange: () => {} }, { min: options.least, max: options.most, step });
    this.element = h(
      "div",
      { class: "bw-setting" },
      this.name(),
      this.field,
      ...(options.whole ? [] : [this.slider]),
      this.error,
      ...this.hints,
    );
    this.put(value);
  }

  get used() {
    return this.value;
  }

  put(value) {
    this.value = value;
    this.slider.value = value;
    this.show(value);
  }

  slide(at) {
    this.put(at);
  }

  /** Take a value of a link; what is out of bounds is not taken. */
  take(value) {
    const fits = value >= this.least && value <= this.most;
    if (fits && (!this.whole || Number.isInteger(value))) this.put(value);
  }
}

/** What one of the two models wrote. */
class Answer {
  /** @param {{title: string, about: string, onChoose: (answer: Answer) => void}} options */
  constructor({ title, about, onChoose }) {
    this.title = title;
    /** @type {Told[]} */
    this.tokens = [];
    this.why = "";
    this.list = new Listbox({
      label: `Tokens: ${title}`,
      kind: "bw-am-said",
      onChoose: () => onChoose(this),
    });
    this.verdict = h("p", { class: "bw-am-verdict" });
    this.said = h("p", { class: "bw-am-note", role: "status" });
    // no section: a deck of slides takes each that is inside of it for a slide
    this.element = h(
      "div",
      { class: "bw-am-answer" },
      h("p", { class: "bw-part-title" }, title),
      h("p", { class: "bw-legend" }, about),
      this.list.element,
      this.verdict,
      this.said,
    );
  }

  /** Wait for an answer. */
  open() {
    this.tokens = [];
    this.why = "";
    this.list.show([], 0);
    this.said.textContent = "…";
    this.verdict.textContent = "";
    this.element.setAttribute("aria-busy", "true");
  }

  /** @param {Told} token */
  add(token) {
    const index = this.tokens.push(token) - 1;
    const ends = isEnd(token.bytes);
    const name = ends ? "end of the answer" : spoken(token.bytes);
    const shown = ends ? ["■ end"] : drawText(token.bytes);
    const one = chip(index, `${name}, ${percent(token.plain)}`, ...shown);
    one.classList.toggle("bw-am-unsure", token.plain < UNSURE);
    one.classList.toggle("bw-am-end", ends);
    one.style.setProperty("--bw-am-share", `${Math.round(100 * token.plain)}%`);
    one.title = percent(token.plain);
    this.list.add(one);
  }

  /** @param {string} why  @param {string | null} reference */
  close(why, reference) {
    this.why = why;
    this.element.setAttribute("aria-busy", "false");
    this.said.textContent = `${this.#ending()} ${this.#doubt()}`;
    if (reference !== null) this.judge(reference);
  }

  get text() {
    return textOf(this.tokens);
  }

  /** The token that had the smallest probability, but for the end. */
  get least() {
    const words = this.tokens.filter(({ bytes }) => !isEnd(bytes));
    return words.reduce((least, one) => (one.plain < least.plain ? one : least), words[0]);
  }

  #ending() {
    const n = count(this.tokens.length, "token");
    if (this.why === "end") return `It ended its answer itself, after ${n}.`;
    if (this.why === "stopped") return `You stopped it after ${n}.`;
    return `It was cut off after ${n}: it had not come to an end.`;
  }

  #doubt() {
    if (!this.least) return "";
    const { id, bytes, plain, alternatives } = this.least;
    const other = alternatives.find((one) => one.id !== id);
    const next = other ? `; “${asWord(other.bytes)}” had ${percent(other.plain)}` : "";
    return `It was least sure of “${asWord(bytes)}”: ${percent(plain)}${next}.`;
  }

  /** Say whether the answer matches, and if not, where it goes another way. */
  judge(reference) {
    const right = matches(this.text, reference);
    this.verdict.classList.toggle("bw-am-right", right);
    if (right) return (this.verdict.textContent = "✓ Matches the reference.");
    // what never came to an end was no answer that could have gone another way
    const at = this.why === "end" ? parting(this.tokens, strip(reference)) : -1;
    const where = at < 0 ? "" : this.#parted(at, strip(reference));
    return (this.verdict.textContent = `✗ Does not match the reference.${where}`);
  }

  #parted(at, reference) {
    this.list.mark(at);
    const { bytes, plain } = this.tokens[at];
    const taken = isEnd(bytes) ? "the end" : `“${asWord(bytes)}”`;
    const better = wanted(this.tokens, at, reference);
    const instead = better
      ? `${isEnd(better.bytes) ? "The end" : `“${asWord(better.bytes)}”`}, as in the reference, had ${percent(better.plain)}.`
      : "What the reference has there is not among the most probable tokens.";
    return ` It leaves it at ${taken} (${percent(plain)}). ${instead}`;
  }
}

class AskMini {
  constructor(model) {
    this.model = model;
    this.adapter = model.get("adapter");
    /** @type {Entry[]} */
    this.tests = model.get("tests");
    this.turn = 0;
    /** The stream that is heard, and whether a request is being answered. */
    this.running = null;
    this.busy = false;
    this.wanted = false;
    this.live = new Live({
      model,
      label: "Your request",
      loads: "Ask",
      onChange: () => this.#changed(),
    });
    this.tokenizer = new Tokenizer(this.live);
    this.answers = { base: this.#answer("base"), tuned: this.#answer("tuned") };
    this.#controls();
    const pair = h(
      "div",
      { class: "bw-am-pair" },
      this.answers.base.element,
      this.answers.tuned.element,
    );
    this.panel = h("div", { class: "bw-panel bw-am-panel", "aria-live": "polite" });
    this.element = this.#layout(pair);
    opensOn(this.go, pair);
    this.instrument = new Instrument(this, EXPERIMENTS);
    this.#example();
    this.live.start();
  }

  /** @param {"base" | "tuned"} name */
  #answer(name) {
    return new Answer({ ...MODELS[name], onChoose: (answer) => this.#detail(answer) });
  }

  #controls() {
    const kinds = [...new Set(this.tests.map(({ kind }) => kind))];
    /** @type {[string, string][]} */
    const names = kinds.map((kind) => [kind, kind.replaceAll("_", " ")]);
    this.kinds = select("Try one:", [["", "your own"], ...names], () => this.#next());
    this.another = button("Another", () => this.#next());
    const id = uniqueId();
    this.input = h("textarea", {
      class: "bw-text",
      id,
      rows: 1,
      spellcheck: "false",
      oninput: () => this.#changed(),
    });
    this.inputLabel = h("label", { for: id, class: "bw-label" }, "A text to go with it, if any");
    for (const field of [this.live.field, this.input])
      field.addEventListener(
        "keydown",
        (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.#ask(),
      );
    this.go = button("Ask", () => this.#ask(), "bw-primary");
    this.halt = button("Stop", () => this.#stop());
  }

  #dials() {
    const { temperature, seed } = this.model.get("options");
    const hint = "0: always the most probable token. Above: tokens are drawn, with the seed.";
    this.temperature = new Dial(
      { label: "Temperature", least: 0, most: 5, hint },
      { value: temperature, step: 0.05 },
    );
    this.seed = new Dial(
      { label: "Seed", least: 0, most: 2 ** 32 - 1, whole: true },
      { value: seed, step: 1 },
    );
    return h("div", { class: "bw-settings" }, this.temperature.element, this.seed.element);
  }

  /** @param {HTMLElement} pair */
  #layout(pair) {
    this.reference = h("p", { class: "bw-summary" });
    this.normal = h("p", { class: "bw-legend" });
    this.prompt = h("pre", {
      class: "bw-code",
      tabindex: 0,
      role: "group",
      "aria-label": "Prompt",
    });
    return frame(
      "Ask mini",
      h(
        "p",
        { class: "bw-am-intro" },
        "Ask for something small, as of a child: the opposite of a word, the plural, who did what in a sentence. Both answers come from the same 5.9 million numbers, before and after fine-tuning.",
      ),
      h("div", { class: "bw-bar" }, this.kinds.label, this.kinds.field, this.another),
      this.live.label,
      this.live.field,
      this.inputLabel,
      this.input,
      h("div", { class: "bw-bar bw-am-go" }, this.go, this.halt),
      pair,
      this.reference,
      h(
        "p",
        { class: "bw-legend" },
        "The bar under a token is its probability, dotted where it is below 50 %. Choose a token, by a press or with the arrow keys, to see what else could have come.",
      ),
      this.panel,
      this.live.bar,
      this.live.notes,
      this.normal,
      fold("Temperature and seed", this.#dials()),
      fold("What the model reads", this.prompt),
    );
  }

  #example() {
    this.input.value = this.model.get("input");
    for (const [name, answer] of Object.entries(this.answers)) {
      answer.open();
      for (const reply of this.live.example(name)) this.#take(answer, reply, this.#expected());
    }
    this.#changed();
    this.#settle();
  }

  /** @returns {Entry | undefined} the entry of the test part that the fields hold */
  get entry() {
    const [instruction, input] = [strip(this.live.text), strip(this.input.value)];
    return this.tests.find((one) => one.instruction === instruction && one.input === input);
  }

  #expected() {
    return this.entry?.output ?? null;
  }

  /** The next request of the chosen kind, or an empty field for one of the reader's own. */
  #next() {
    const kind = this.kinds.field.value;
    const some = this.tests.filter((one) => one.kind === kind);
    const at = some.findIndex((one) => one === this.entry);
    const { instruction, input } = some[(at + 1) % some.length] ?? { instruction: "", input: "" };
    this.live.put(instruction);
    this.input.value = input;
    this.#changed();
    if (!kind) return this.live.field.focus();
    return this.live.ready ? this.#ask() : undefined;
  }

  /** Another request or model is there. */
  #changed() {
    const { entry } = this;
    this.kinds.field.value = entry?.kind ?? "";
    this.another.setAttribute("aria-disabled", String(!entry));
    this.reference.textContent = entry
      ? `The reference answer is “${entry.output}”. ${entry.kind === "negative" ? "Training had no request of this kind." : "Training did not have this request."}`
      : "This request is none of the test part, so there is no reference answer: judge for yourself.";
    this.prompt.textContent = this.#prompt() ?? "";
    this.#label();
    if (this.wanted && this.live.ready) this.#ask();
  }

  /** What the model is to read; null where there is nothing to ask. */
  #prompt() {
    const style = this.model.get("styles")[this.model.get("style")];
    try {
      return formatPrompt(normalize(this.live.text), normalize(this.input.value), style);
    } catch {
      return null;
    }
  }

  /** Ask both models, one after the other; an answer that waits for the model comes with it. */
  async #ask() {
    this.turn += 1;
    const { turn } = this;
    this.live.cancel(this.running);
    this.wanted = !this.live.ready;
    if (this.wanted) {
      this.live.load();
      return this.#label();
    }
    this.busy = true;
    this.#label();
    const typed = this.live.text + this.input.value;
    this.normal.textContent =
      normalize(typed) === typed
        ? ""
        : "Curly quotes, long dashes and the like are read as the straight ones that the model knows.";
    const ids = await this.#ids();
    if (!ids || turn !== this.turn) return this.#finish(turn);
    const there = await this.live.ask({ kind: "adapter", adapter: this.adapter });
    if (!there || turn !== this.turn) return this.#finish(turn);
    const expected = this.#expected();
    for (const answer of Object.values(this.answers)) answer.open();
    this.panel.replaceChildren();
    await this.#hear(this.answers.tuned, ids, { adapter: this.adapter }, turn, expected);
    await this.#hear(this.answers.base, ids, {}, turn, expected);
    return this.#finish(turn);
  }

  /** The ids of the prompt; null, with a word to the reader, where it cannot be asked. */
  async #ids() {
    const prompt = this.#prompt();
    if (prompt === null) {
      this.live.note(["There is no request: say what the model should do."]);
      return null;
    }
    const found = await this.tokenizer.of(prompt);
    if (!found) return null;
    const { length } = found.tokens;
    const limit = this.live.config.context_length;
    if (!found.truncated && length < limit) return found.tokens.map(({ id }) => id);
    this.live.note([
      `The request is too long: with its prompt it has ${found.truncated ? "more than " : ""}${count(length, "token")}, but the model reads ${limit}, the answer included. Shorten it.`,
    ]);
    return null;
  }

  /** One model's answer; resolves when it is whole. */
  #hear(answer, ids, which, turn, expected) {
    if (turn !== this.turn) return Promise.resolve();
    const { max_new_tokens: most, alternatives } = this.model.get("options");
    const options = {
      max_new_tokens: Math.min(most, this.live.config.context_length - ids.length),
      alternatives,
      temperature: this.temperature.value,
      seed: this.seed.value,
    };
    /** @type {Promise<void>} */
    const heard = new Promise((resolve) => {
      const request = { kind: "continue", text: "", ids, options, ...which };
      this.running = this.live.stream(request, (reply) => {
        if (turn !== this.turn) return resolve(); // another request came
        this.#take(answer, reply, expected);
        if (["done", "error"].includes(reply.kind)) resolve();
      });
    });
    return heard;
  }

  #take(answer, reply, expected) {
    if (reply.kind === "token") answer.add(reply);
    if (reply.kind === "done") answer.close(reply.why, expected);
    if (reply.kind === "error") answer.close("stopped", null);
  }

  #finish(turn) {
    if (turn !== this.turn) return;
    this.running = null;
    this.busy = false;
    this.#label();
    this.#settle();
    this.finish?.();
  }

  /** Show what is behind the token where the tuned answer went wrong, or its first one. */
  #settle() {
    this.#detail(this.answers.tuned);
  }

  #stop() {
    this.turn += 1;
    this.live.cancel(this.running);
    this.running = null;
    this.busy = false;
    for (const answer of Object.values(this.answers))
      if (answer.element.getAttribute("aria-busy") === "true") answer.close("stopped", null);
    this.#label();
    this.finish?.();
  }

  /** What could have come in the place of the chosen token. @param {Answer} answer */
  #detail(answer) {
    const token = answer.tokens[answer.list.chosen];
    if (!token) return this.panel.replaceChildren();
    const isTaken = ({ id }) => id === token.id;
    const others = token.alternatives.some(isTaken)
      ? token.alternatives
      : [...token.alternatives, token];
    const name = (bytes) => (isEnd(bytes) ? ["■ end of the answer"] : drawBytes(bytes));
    const row = (one) => {
      const found = line(
        [h("span", { class: "bw-am-token" }, ...name(one.bytes)), isTaken(one) ? " ✓ taken" : ""],
        [percent(one.plain)],
        [shareBar(one.plain)],
      );
      found.classList.toggle("bw-current", isTaken(one));
      return found;
    };
    const title = h(
      "p",
      {},
      `${answer.title}, token ${answer.list.chosen + 1}: what the model found most probable here`,
    );
    const table = h(
      "table",
      { class: "bw-table", "aria-label": "Alternatives" },
      tableHead("token", "probability", ""),
      h("tbody", {}, ...others.map(row)),
    );
    return this.panel.replaceChildren(title, table);
  }

  #label() {
    this.go.textContent = `Ask${this.live.price}`;
    this.halt.setAttribute("aria-disabled", String(!this.busy));
  }

  read() {
    return {
      instruction: this.live.text,
      input: this.input.value,
      temperature: String(this.temperature.value),
      seed: String(this.seed.value),
    };
  }

  /**
   * Ask what a link says; resolves when both have answered.
   * @param {Record<string, string>} state
   */
  apply({ instruction = this.model.get("text"), input, temperature, seed }) {
    const first = this.model.get("options");
    this.live.put(instruction);
    this.input.value =
      input ?? (instruction === this.model.get("text") ? this.model.get("input") : "");
    this.temperature.take(Number(temperature ?? first.temperature));
    this.seed.take(Number(seed ?? first.seed));
    const answered = new Promise((resolve) => (this.finish = () => resolve(undefined)));
    this.#changed();
    if (!this.wanted) this.#ask();
    return this.live.ready ? answered : undefined;
  }

  facts() {
    const { tuned, base } = this.answers;
    const begin = (text) => (text.length > 60 ? `${text.slice(0, 60)} …` : text).trim();
    return {
      tuned: begin(tuned.text),
      base: begin(base.text),
      ended: String(tuned.why === "end"),
      tokens: String(tuned.tokens.length),
      written: String(base.tokens.length),
      least: tuned.least ? asWord(tuned.least.bytes) : "",
      share: tuned.least ? percent(tuned.least.plain) : "",
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
  const view = new AskMini(model);
  el.append(view.element);
  return () => view.stop();
}

export default { render };
