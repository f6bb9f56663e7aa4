/** N-gram writer: what counting models and a trained one expect next; each can be let write. */
import { uniformNumbers } from "../engine/sampling.js";
import { button, h, opensOn, shareBar } from "../parts/dom.js";
import { Live } from "../parts/live.js";
import { count, percent } from "../parts/numbers.js";
import { decode, drawBytes, spoken } from "../parts/tokens.js";
import {
  countFollowers,
  mostCommon,
  seenFollowers,
  splitWords,
  totalOf,
  writeOn,
} from "./ngram-math.js";

const COUNTING = ["unigram", "bigram", "trigram"];
const ROWS = 5; // words in a model's table
const NEW = 20; // words that a model writes at once

const bytesOf = (text) => [...new TextEncoder().encode(text)];

/** A model's column: what it looks at, its likeliest words, and the button that lets it write. */
class Column {
  /** @param {{name: string, onWord: (word: string) => void, onWrite: () => void}} options */
  constructor({ name, onWord, onWrite }) {
    this.name = name;
    this.onWord = onWord;
    this.about = h("p", { class: "bw-legend" });
    this.list = h("ol", { class: "bw-next-words" });
    this.write = button("Write", onWrite);
    this.write.setAttribute("aria-label", `Let the model ${name} write`);
    const title = h("p", { class: "bw-label" }, name);
    this.element = h(
      "div",
      { role: "group", "aria-label": name },
      title,
      this.about,
      this.list,
      this.write,
    );
  }

  /**
   * @param {(Node | string)[]} about
   * @param {{bytes: number[], probability: number}[]} rows
   */
  show(about, rows) {
    const at = [...this.list.children].indexOf(document.activeElement?.parentElement);
    this.about.replaceChildren(...about);
    this.list.replaceChildren(...rows.map((row) => h("li", {}, this.#word(row))));
    // whoever appends word after word with the keyboard stays in the list
    if (at >= 0) (this.list.children[at] ?? this.list.lastChild)?.firstChild.focus();
  }

  #word({ bytes, probability }) {
    const word = decode(bytes);
    const shown = h("span", { class: "bw-token" }, ...drawBytes(bytes));
    const share = h("span", {}, percent(probability));
    const pressed = () => word !== null && this.onWord(word);
    const made = h(
      "button",
      { type: "button", class: "bw-word", onclick: pressed, "aria-disabled": word === null },
      shown,
      shareBar(probability),
      share,
    );
    made.setAttribute("aria-label", `append ${spoken(bytes)}, ${percent(probability)}`);
    return made;
  }
}

class NgramWriter {
  constructor(model) {
    this.model = model;
    this.tables = countFollowers(splitWords(model.get("counted")), COUNTING.length);
    this.seed = 0;
    this.running = null;
    this.live = new Live({
      model,
      label: "A beginning",
      code: 'NgramWriter("The sea", text, model="path/of/the/folder")',
      onChange: () => this.#draw(),
    });
    this.columns = [...COUNTING, this.live.name].map(
      (name, n) =>
        new Column({ name, onWord: (word) => this.#append(word), onWrite: () => this.#write(n) }),
    );
    this.prompt = h("span", { class: "bw-prompt" });
    this.written = h("span", {});
    this.story = h("p", { class: "bw-story", "aria-live": "polite" }, this.prompt, this.written);
    this.summary = h("p", { class: "bw-summary", role: "status" });
    const legend = h(
      "p",
      { class: "bw-legend" },
      "Press a word to append it. ␣ is a space, ⏎ a new line.",
    );
    const columns = h(
      "div",
      { class: "bw-columns" },
      ...this.columns.map(({ element }) => element),
    );
    opensOn(this.live.field, columns);
    this.element = this.live.frame("What comes next?", columns, legend, this.story, this.summary);
    this.#draw();
    this.live.start();
  }

  /** The text that is continued: a space at its end belongs to the next word. */
  get text() {
    return this.live.text.replace(/ +$/, "");
  }

  #append(word) {
    this.live.text = this.text + word;
  }

  #draw() {
    const words = splitWords(this.text);
    COUNTING.forEach((_, n) => {
      const { context, followers } = seenFollowers(this.tables.slice(0, n + 1), words);
      const total = totalOf(followers);
      const rows = mostCommon(followers, ROWS).map(([word, times]) => ({
        bytes: bytesOf(word),
        probability: times / total,
      }));
      const missed = context.length < n && context.length < words.length;
      const after = context.length
        ? ["after ", h("span", { class: "bw-mini" }, ...drawBytes(bytesOf(context.join(""))))]
        : ["after anything"];
      this.columns[n].show(
        [missed ? "never seen together; " : "", ...after, `: ${count(total, "word")}`],
        rows,
      );
    });
    this.#drawModel();
  }

  /** The trained model's column: the stored example, its answer, or how to get one. */
  async #drawModel() {
    const column = this.columns[COUNTING.length];
    column.write.textContent = this.live.ready ? "Write" : "Load";
    column.write.hidden = !this.live.ready && !this.model.get("model").weights;
    if (!this.live.ready)
      return this.live.isExample
        ? column.show(["after the whole text"], this.live.example("run")[0].top)
        : column.show(["must be loaded first"], []);
    const asked = this.text;
    const options = { top: ROWS };
    const reply = await this.live.ask({
      kind: "run",
      text: asked,
      want: ["logits.last"],
      options,
    });
    if (reply && asked === this.text) column.show(["after the whole text"], reply.top);
    if (!reply) column.show(["no text, no answer"], []);
  }

  #write(n) {
    this.seed += 1;
    if (n < COUNTING.length) return this.#writeCounted(n);
    if (!this.live.ready) return this.live.load();
    const { text } = this;
    const options = { max_new_tokens: NEW, temperature: 1, seed: this.seed };
    const decoder = new TextDecoder(); // a character may come in several tokens
    this.story.setAttribute("aria-busy", true); // read aloud when it is whole
    return this.live.stream({ kind: "continue", text, options }, (reply) => {
      if (reply.kind === "started") this.#open(text);
      if (reply.kind === "token")
        this.written.append(decoder.decode(Uint8Array.from(reply.bytes), { stream: true }));
      if (reply.kind === "done") this.#close(this.live.name, "token");
      if (reply.kind === "error") this.story.setAttribute("aria-busy", false);
    });
  }

  #writeCounted(n) {
    const { text } = this;
    this.#open(text);
    const draw = uniformNumbers(this.seed);
    this.written.append(...writeOn(this.tables.slice(0, n + 1), splitWords(text), NEW, draw));
    this.#close(COUNTING[n], "word");
  }

  #open(text) {
    this.prompt.textContent = text;
    this.written.textContent = "";
    this.summary.textContent = "";
  }

  #close(name, noun) {
    this.story.setAttribute("aria-busy", false);
    this.summary.textContent = `${count(NEW, noun)} by ${name}, drawn with seed ${this.seed}. Press Write again for others.`;
  }

  stop() {
    this.live.stop();
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new NgramWriter(model);
  el.append(view.element);
  return () => view.stop();
}

export default { render };
