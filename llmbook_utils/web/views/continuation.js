/** Continuation: the model writes on from the reader's own words, token after token. */
import { button, h, opensOn } from "../parts/dom.js";
import { Instrument } from "../parts/instrument.js";
import { Live } from "../parts/live.js";
import { count } from "../parts/numbers.js";
import { EXPERIMENTS } from "./experiments/continuation.js";

class Continuation {
  constructor(model) {
    this.model = model;
    this.running = null;
    this.wanted = false;
    this.seed = model.get("options").seed;
    this.live = new Live({
      model,
      label: "Your words",
      loads: "Continue",
      code: 'Continuation("Once upon a time", model="path/of/the/folder")',
      onChange: () => this.#changed(),
    });
    this.live.field.addEventListener(
      "keydown",
      (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.#continue(),
    );
    this.go = button("Continue", () => this.#continue());
    this.go.classList.add("bw-primary");
    this.another = button("Another one", () => this.#begin(this.seed + 1));
    this.halt = button("Stop", () => this.live.cancel(this.running));
    this.prompt = h("span", { class: "bw-prompt" });
    this.written = h("span", {});
    this.story = h("p", { class: "bw-story", "aria-live": "polite" }, this.prompt, this.written);
    this.summary = h("p", { class: "bw-summary", role: "status" });
    const what = h("p", { class: "bw-legend" }, model.get("about"));
    this.element = this.live.frame(
      "The model continues",
      h("div", { class: "bw-bar" }, this.go, this.another, this.halt),
      this.story,
      this.summary,
      what,
    );
    opensOn(this.go, this.story);
    this.instrument = new Instrument(this, EXPERIMENTS);
    this.#open(model.get("text"));
    for (const reply of this.live.example("continue")) this.#take(reply);
    this.live.start();
  }

  /**
   * Another text needs a press of the button; only a press that had to wait for the model is made
   * up for.
   */
  #changed() {
    this.#label();
    if (this.wanted && this.live.ready) this.#begin();
  }

  /** Words that were continued already get another draw: a press always brings something new. */
  #continue() {
    this.#begin(this.live.text === this.prompt.textContent ? this.seed + 1 : this.seed);
  }

  #begin(seed = this.seed) {
    this.seed = seed;
    this.wanted = !this.live.ready;
    this.story.setAttribute("aria-busy", true); // read aloud when it is whole
    if (this.wanted) this.live.load();
    const { text } = this.live;
    const options = { ...this.model.get("options"), seed };
    // the words are shown when the model has read them: until then what was written before stays
    this.running = this.live.stream({ kind: "continue", options }, (reply) =>
      reply.kind === "started" ? this.#open(text) : this.#take(reply),
    );
    this.#label();
  }

  read() {
    return { text: this.live.text, seed: String(this.seed) };
  }

  /** Write on from a text; resolves when it is written. @param {Record<string, string>} state */
  apply({ text = this.model.get("text"), seed = String(this.model.get("options").seed) }) {
    this.live.put(text);
    const written = new Promise((resolve) => (this.finish = resolve));
    this.#begin(Number(seed));
    return this.live.ready ? written : undefined;
  }

  facts() {
    const words = this.written.textContent.trim();
    return { words: words.slice(0, 60), tokens: String(this.tokens), seed: String(this.seed) };
  }

  #open(prompt) {
    this.decoder = new TextDecoder(); // a character may come in several tokens
    this.tokens = 0;
    this.prompt.textContent = prompt;
    this.written.textContent = "";
    this.summary.textContent = "";
  }

  #take(reply) {
    if (reply.kind === "token") this.#write(reply);
    if (reply.kind === "done") this.#close(reply.why);
    if (reply.kind === "error") this.#free();
    this.#label();
  }

  #write({ bytes }) {
    this.tokens += 1;
    this.written.append(
      this.decoder.decode(Uint8Array.from(bytes), { stream: true }).replace("<|endoftext|>", ""),
    );
  }

  #close(why) {
    const ends = { length: "", end: " It ended the text here.", stopped: " You stopped it." };
    this.written.append(this.decoder.decode());
    this.#free();
    this.summary.textContent = `${count(this.tokens, "token")}, drawn with seed ${this.seed}.${ends[why]}`;
  }

  #free() {
    this.running = null;
    this.finish?.();
    this.story.setAttribute("aria-busy", false);
  }

  #label() {
    this.go.textContent = `Continue${this.live.price}`;
    this.halt.setAttribute("aria-disabled", this.running === null);
  }

  stop() {
    this.instrument.stop();
    this.live.stop();
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new Continuation(model);
  el.append(view.element);
  return () => view.stop();
}

export default { render };
