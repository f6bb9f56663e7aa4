/**
 * Spam classifier: how probably a message is spam, what each of its words does to that, and what a
 * threshold makes of messages that no training saw. The model is asked for logits; log-odds are the
 * difference of the two.
 *
 * @typedef {{texts: string[], labels: number[], odds: number[]}} Tested
 *   a text, its label (1: spam) and its log-odds at one place each
 */
import { button, fold, frame, h, line, opensOn, tableHead, tiles, uniqueId } from "../parts/dom.js";
import { Live, rowOf } from "../parts/live.js";
import { count, decimal, grouped, percent } from "../parts/numbers.js";

const AT_ONCE = 8; // messages that the model reads before it answers: a new one waits no longer
const SHOWN = 40; // messages of a cell of the table
const FULL_COLOR = 4; // log-odds at which a word has all of its color
const [LOW, HIGH, STEP] = [-7, 7, 0.1]; // of the threshold's slider, in log-odds

/** The probability that log-odds stand for. @param {number} odds */
export const sigmoid = (odds) => 1 / (1 + Math.exp(-odds));

/** The log-odds of a probability. @param {number} p */
export const logit = (p) => Math.log(p / (1 - p));

/** @param {string} text */
export const wordsOf = (text) => text.split(/\s+/u).filter(Boolean);

/**
 * The places in the test at which a threshold is right and wrong, by what is said and what is so.
 * @param {Tested} tested
 * @param {number} threshold  a probability
 */
export function confusion({ labels, odds }, threshold) {
  /** @type {{caught: number[], wronged: number[], missed: number[], passed: number[]}} */
  const cells = { caught: [], wronged: [], missed: [], passed: [] };
  odds.forEach((one, i) => {
    const says = sigmoid(one) >= threshold;
    const cell = labels[i] ? (says ? "caught" : "missed") : says ? "wronged" : "passed";
    cells[cell].push(i);
  });
  return cells;
}

/**
 * Precision, recall and their harmonic mean; null where there is nothing to divide by.
 * @param {{caught: number[], wronged: number[], missed: number[]}} cells
 */
export function measures({ caught, wronged, missed }) {
  const share = (part, whole) => (whole ? part / whole : null);
  const [tp, fp, fn] = [caught.length, wronged.length, missed.length];
  return {
    precision: share(tp, tp + fp),
    recall: share(tp, tp + fn),
    f1: share(2 * tp, 2 * tp + fp + fn),
  };
}

/** What the cells of the table hold. */
const CELLS = {
  caught: "spam that is found",
  missed: "spam that gets through",
  wronged: "called spam by mistake",
  passed: "rightly let through",
};

/** The test messages under a threshold: a table, what follows from it, and the messages. */
class TestPart {
  /** @param {Tested} tested  @param {{onChoose: (text: string) => void}} options */
  constructor(tested, { onChoose }) {
    this.tested = tested;
    this.onChoose = onChoose;
    this.cell = "wronged";
    this.tiles = h("div", { class: "bw-tiles" });
    this.cells = Object.fromEntries(
      Object.keys(CELLS).map((cell) => [cell, button("", () => this.#choose(cell))]),
    );
    this.title = h("p", { class: "bw-label" });
    this.list = h("ul", { class: "bw-sc-list" });
    this.element = h("div", {}, this.tiles, this.#table(), this.title, this.list);
  }

  #table() {
    const { caught, missed, wronged, passed } = this.cells;
    return h(
      "table",
      { class: "bw-sc-table" },
      tableHead("", "called spam", "let through"),
      h("tbody", {}, line(["spam"], [caught], [missed]), line(["not spam"], [wronged], [passed])),
    );
  }

  #choose(cell) {
    this.cell = cell;
    this.#draw();
  }

  /** @param {number} threshold */
  show(threshold) {
    this.found = confusion(this.tested, threshold);
    this.#draw();
  }

  #draw() {
    const { precision, recall, f1 } = measures(this.found);
    const share = (x) => (x === null ? "–" : percent(x));
    this.tiles.replaceChildren(
      ...tiles([
        ["precision: of what is called spam, is spam", share(precision)],
        ["recall: of the spam, is called spam", share(recall)],
        ["F1", f1 === null ? "–" : decimal(f1)],
      ]),
    );
    for (const [cell, control] of Object.entries(this.cells)) {
      control.textContent = grouped(this.found[cell].length);
      control.setAttribute("aria-pressed", cell === this.cell);
      control.setAttribute("aria-label", `${this.found[cell].length}: ${CELLS[cell]}`);
    }
    const places = this.#inOrder();
    const rest = places.length - SHOWN;
    this.title.textContent = `${count(places.length, "message")}: ${CELLS[this.cell]}${rest > 0 ? `; the ${SHOWN} nearest to the threshold` : ""}`;
    this.list.replaceChildren(...places.slice(0, SHOWN).map((i) => this.#message(i)));
  }

  /** The places of the chosen cell, those nearest to the threshold first. */
  #inOrder() {
    const { odds } = this.tested;
    const called = this.cell === "caught" || this.cell === "wronged";
    return [...this.found[this.cell]].sort((a, b) =>
      called ? odds[a] - odds[b] : odds[b] - odds[a],
    );
  }

  #message(i) {
    const { texts, odds } = this.tested;
    const ask = button(texts[i], () => this.onChoose(texts[i]), "bw-sc-message");
    return h("li", {}, h("span", { class: "bw-sc-p" }, percent(sigmoid(odds[i]))), ask);
  }

  /** What is said of a threshold. */
  get sentence() {
    const { caught, wronged, missed } = this.found;
    const spam = caught.length + missed.length;
    return `Of ${grouped(this.tested.texts.length)} messages that no training saw, ${caught.length} of ${spam} spam messages are found and ${count(wronged.length, "other message")} called spam by mistake.`;
  }
}

class SpamClassifier {
  constructor(model) {
    this.model = model;
    this.adapter = model.get("adapter");
    this.threshold = model.get("threshold");
    this.turn = 0;
    /** The words of the message, those left out, and what each does to the log-odds. */
    this.words = [];
    /** @type {Set<number>} */
    this.left = new Set();
    /** @type {(number | null)[]} */
    this.changes = [];
    /** @type {number | null} */
    this.odds = null;
    this.live = new Live({
      model,
      most: model.get("most"),
      label: "A message",
      code: 'SpamClassifier("your message")',
      onChange: () => this.#changed(),
    });
    this.test = new TestPart(model.get("tested"), { onChoose: (text) => this.#take(text) });
    this.restore = button("Put all words back", () => this.#restore());
    this.summary = h("p", { class: "bw-summary", "aria-live": "polite" });
    this.said = h("p", { class: "bw-summary", role: "status" });
    this.element = frame(
      "Spam, or not?",
      this.live.element,
      this.#picture(),
      h("div", { class: "bw-bar" }, this.restore),
      this.summary,
      this.#legend(),
      fold(
        `${grouped(this.test.tested.texts.length)} messages that no training saw`,
        this.#dial(),
        this.said,
        this.test.element,
      ),
    );
    this.#move(this.threshold);
    this.live.start();
  }

  #picture() {
    this.verdict = h("p", { class: "bw-sc-verdict" });
    this.fill = h("span", { class: "bw-sc-fill" });
    this.mark = h("span", { class: "bw-sc-mark" });
    this.text = h("p", { class: "bw-sc-words" });
    const meter = h("div", { class: "bw-sc-meter", "aria-hidden": "true" }, this.fill, this.mark);
    const picture = h("div", {}, this.verdict, meter, this.text);
    opensOn(this.live.field, picture);
    return picture;
  }

  #legend() {
    return h(
      "p",
      { class: "bw-legend" },
      h("span", { class: "bw-sc-key bw-sc-spam" }, "speaks for spam"),
      h("span", { class: "bw-sc-key bw-sc-ham" }, "speaks against it"),
      " The change of the log-odds when the word is left out. Press a word to leave it out.",
    );
  }

  #dial() {
    const id = uniqueId();
    this.slider = h("input", {
      type: "range",
      id,
      min: LOW,
      max: HIGH,
      step: STEP,
      oninput: () => this.#move(sigmoid(this.slider.valueAsNumber)),
    });
    this.slider.value = logit(this.threshold);
    this.at = h("output", { class: "bw-number-shown", for: id });
    return h(
      "div",
      { class: "bw-bar" },
      h("label", { for: id, class: "bw-label" }, "Called spam from a probability of"),
      this.slider,
      this.at,
    );
  }

  /** @param {number} threshold */
  #move(threshold) {
    this.threshold = threshold;
    this.at.textContent = percent(threshold);
    this.slider.setAttribute("aria-valuetext", percent(threshold));
    this.test.show(threshold);
    this.said.textContent = this.test.sentence;
    this.#draw();
    this.model.set("threshold", threshold);
    this.model.save_changes();
  }

  /** Another text or model is there. */
  #changed() {
    this.words = wordsOf(this.live.text);
    this.left.clear();
    this.changes = this.words.map(() => null);
    return this.#judge(this.live.field);
  }

  #take(text) {
    this.live.text = text;
    this.live.field.focus();
  }

  #restore() {
    this.left.clear();
    this.#judge(this.restore);
  }

  /** @param {number} i */
  #toggle(i) {
    if (!this.left.delete(i)) this.left.add(i);
    this.#judge(this.text);
    this.text.querySelectorAll("button")[i]?.focus();
  }

  get kept() {
    return this.words.flatMap((_, i) => (this.left.has(i) ? [] : [i]));
  }

  /** The message without the words that are left out, and without one more. @param {number} [i] */
  without(i) {
    return this.kept
      .filter((j) => j !== i)
      .map((j) => this.words[j])
      .join(" ");
  }

  /** Ask for the verdict, and then for what each word does. @param {HTMLElement} anchor */
  async #judge(anchor) {
    this.turn += 1;
    const { turn } = this;
    if (!this.kept.length) return this.#show(null);
    const isStored = this.live.isExample && this.left.size < 2;
    if (isStored) this.#fromExample();
    if (!this.live.ready) {
      if (!isStored) this.#show(null);
      if (!isStored || this.left.size) this.live.need(anchor, () => this.#judge(anchor));
      return null;
    }
    const [odds] = await this.#ask(this.without(), []);
    if (turn !== this.turn || odds === undefined) return null;
    this.#show(odds);
    return this.#explain(turn, odds);
  }

  /** What the stored replies say: of the whole message, and of one without a single word. */
  #fromExample() {
    const [reply] = this.live.example("classify");
    const [whole, ...others] = oddsOf(reply);
    const [gone] = this.left;
    // what the words do to the rest, without one, is not among them
    this.changes = this.words.map((_, i) =>
      gone === undefined && i < others.length ? whole - others[i] : null,
    );
    this.#show(gone === undefined ? whole : (others[gone] ?? null));
  }

  /** The log-odds of a text and of others like it; [] where no model answers. */
  async #ask(text, variants) {
    const { adapter } = this;
    this.asked ??= this.live.ask({ kind: "adapter", adapter });
    const there = await this.asked;
    if (!there) {
      this.asked = undefined; // the next message tries again
      return [];
    }
    const reply = await this.live.ask({ kind: "classify", adapter, text, variants });
    return reply ? oddsOf(reply) : [];
  }

  /** Leave out one word after the other. @param {number} turn  @param {number} whole */
  async #explain(turn, whole) {
    const { kept } = this;
    if (kept.length < 2) return;
    const asked = kept.slice(0, this.model.get("most_words"));
    this.changes = this.words.map(() => null);
    for (let from = 0; from < asked.length; from += AT_ONCE) {
      const some = asked.slice(from, from + AT_ONCE);
      const [first, ...rest] = some.map((i) => this.without(i));
      const odds = await this.#ask(first, rest);
      if (turn !== this.turn || !odds.length) return;
      some.forEach((i, at) => (this.changes[i] = whole - odds[at]));
    }
    this.#draw();
  }

  /** @param {number | null} odds */
  #show(odds) {
    this.odds = odds;
    this.#draw();
    return null;
  }

  #draw() {
    const p = this.odds === null ? null : sigmoid(this.odds);
    const isSpam = p !== null && p >= this.threshold;
    this.verdict.textContent =
      p === null ? "No verdict yet" : `${isSpam ? "Spam" : "Not spam"}: ${percent(p)}`;
    this.verdict.classList.toggle("bw-sc-is-spam", isSpam);
    this.fill.style.width = `${100 * (p ?? 0)}%`;
    this.mark.style.left = `${100 * this.threshold}%`;
    this.restore.setAttribute("aria-disabled", !this.left.size);
    this.#drawWords();
    this.summary.textContent = this.#sentence(p);
  }

  #drawWords() {
    const buttons = [...this.text.querySelectorAll("button")];
    if (buttons.length !== this.words.length)
      this.text.replaceChildren(
        ...this.words.flatMap((_, i) => [button("", () => this.#toggle(i), "bw-sc-word"), " "]),
      );
    this.text.querySelectorAll("button").forEach((word, i) => this.#drawWord(word, i));
  }

  #drawWord(word, i) {
    const [isLeft, change] = [this.left.has(i), this.changes[i]];
    const strength = Math.min(1, Math.abs(change ?? 0) / FULL_COLOR);
    word.textContent = this.words[i];
    word.setAttribute("aria-pressed", isLeft);
    word.classList.toggle("bw-sc-spam", !isLeft && change !== null && change > 0);
    word.classList.toggle("bw-sc-ham", !isLeft && change !== null && change < 0);
    word.style.setProperty("--bw-sc-strength", `${Math.round(100 * strength)}%`);
    const does = change === null || isLeft ? "" : `, ${signed(change)} log-odds`;
    word.setAttribute("aria-label", `${this.words[i]}${isLeft ? ", left out" : does}`);
    word.title = isLeft ? "left out; press to put it back" : `${does.slice(2)}`;
  }

  /** @param {number | null} p */
  #sentence(p) {
    if (!this.words.length) return "There is no message: type a word or more.";
    if (!this.kept.length) return "Every word is left out.";
    if (p === null || this.odds === null) return "The model has not read this message yet.";
    const verdict = `Spam with a probability of ${percent(p)}, log-odds ${signed(this.odds)}${this.left.size ? `, without ${count(this.left.size, "word")}` : ""}.`;
    const known = this.kept.filter((i) => this.changes[i] !== null);
    if (!known.length) return verdict;
    const size = (i) => Math.abs(this.changes[i] ?? 0);
    const loudest = known.reduce((best, i) => (size(i) > size(best) ? i : best));
    const rest = percent(sigmoid(this.odds - (this.changes[loudest] ?? 0)));
    return `${verdict} The word that counts most is “${this.words[loudest]}”: without it, the probability is ${rest}.`;
  }

  stop() {
    this.turn += 1;
    this.live.stop();
  }
}

/** @param {number} x  2.345 -> "+2.35", -0.2 -> "−0.20" */
const signed = (x) => `${x < 0 ? "−" : "+"}${decimal(Math.abs(x), 2)}`;

/**
 * The log-odds of each text of a reply.
 * @param {import("../parts/live.js").LiveReply} reply
 * @returns {number[]}
 */
function oddsOf({ tensors: { logits } }) {
  return Array.from({ length: logits.shape[0] }, (_, i) => {
    const [ham, spam] = rowOf(logits, i);
    return spam - ham;
  });
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new SpamClassifier(model);
  el.append(view.element);
  return () => view.stop();
}

export default { render };
