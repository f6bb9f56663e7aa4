/**
 * What a live widget can do besides its own: open at a state, give a link to it, lead through
 * experiments, and fill the screen for a lecture.
 *
 * @typedef {Record<string, string>} State  what can be set, by names, as a link has it
 * @typedef {Record<string, string>} Facts  what the widget shows, by names
 * @typedef {{title: string, predict: string, set: State, look: string, explain: (facts: Facts) =>
 *   string}} Experiment
 * @typedef {object} View
 * @property {() => State} read
 * @property {(state: State) => Promise<void> | void} apply  sets what a state names and leaves the
 *   rest as it was first
 * @property {() => Facts} facts
 * @property {() => void} [resized]  the type is larger or smaller
 */
import { copyText } from "./controls.js";
import { button, h } from "./dom.js";

/** @import { Live } from "./live.js" */

const OF = "mini"; // the model whose findings the experiments are
const SIZES = [1, 1.25, 1.5, 1.75, 2]; // of the type in a lecture
const KEYS = [
  ["E", "experiments: open, close"],
  ["N, P", "next, previous experiment"],
  ["S", "set it up"],
  ["X", "explain"],
  ["D", "details: show, hide"],
  ["+, −", "larger, smaller type"],
  ["L", "link and QR code"],
  ["F, Esc", "leave the full screen"],
  ["?", "these keys"],
];

/** The steps of an experiment: predict, set up, look, explain. */
class Guide {
  /** @param {{live: Live, view: View, experiments: Experiment[]}} options */
  constructor({ live, view, experiments }) {
    this.live = live;
    this.view = view;
    this.experiments = experiments;
    this.at = 0;
    /** @type {Facts | null} */
    this.facts = null;
    this.position = h("b", {});
    this.predict = h("p", {});
    this.look = h("p", { hidden: true });
    this.explanation = h("p", { hidden: true });
    this.set = button("", () => this.setUp(), "bw-primary");
    this.why = button("Explain", () => this.explain());
    const bar = h(
      "div",
      { class: "bw-bar" },
      this.set,
      this.why,
      h("span", { class: "bw-gap" }),
      button("← Previous", () => this.go(this.at - 1)),
      button("Next →", () => this.go(this.at + 1)),
    );
    this.steps = h(
      "div",
      { role: "status" },
      h("p", {}, this.position),
      this.predict,
      this.look,
      this.explanation,
    );
    this.element = h("div", { class: "bw-guide bw-note", hidden: true }, this.steps, bar);
  }

  toggle(open = this.element.hidden) {
    this.element.hidden = !open;
    if (open) this.go(this.at);
  }

  /** Show an experiment from its beginning. @param {number} index */
  go(index) {
    const n = this.experiments.length;
    this.at = (index + n) % n;
    const { title, predict } = this.experiments[this.at];
    this.facts = null;
    this.position.textContent = `Experiment ${this.at + 1} of ${n}: ${title}`;
    this.predict.replaceChildren(h("b", {}, "Predict. "), predict);
    this.look.hidden = this.explanation.hidden = true;
    this.#label();
  }

  #label() {
    this.set.textContent = `Set it up for me${this.live.price}`;
    this.why.setAttribute("aria-disabled", String(!this.facts));
  }

  /** Bring the widget into the experiment's state; what is shown then is what is explained. */
  async setUp() {
    const { at } = this;
    if (this.live.name !== OF) return this.#refuse();
    if (!this.live.ready) {
      this.live.need(this.steps, () => this.setUp());
      return this.live.load();
    }
    await this.view.apply(this.experiments[at].set);
    if (at !== this.at) return;
    this.facts = this.view.facts();
    this.look.replaceChildren(h("b", {}, "Look. "), this.experiments[at].look);
    this.look.hidden = false;
    this.#label();
  }

  /** The findings are those of one model. */
  #refuse() {
    this.look.replaceChildren(`The experiments are about ${OF}: go back to it first.`);
    this.look.hidden = false;
  }

  explain() {
    if (!this.facts) return;
    const { explain } = this.experiments[this.at];
    this.explanation.replaceChildren(h("b", {}, "Explain. "), explain(this.facts));
    this.explanation.hidden = false;
  }
}

export class Instrument {
  /**
   * @param {View & {live: Live, element: HTMLElement}} view
   * @param {Experiment[]} experiments
   */
  constructor(view, experiments) {
    const { live, element } = view;
    const { model } = live;
    this.model = model;
    this.element = element;
    this.view = view;
    this.size = 1;
    this.guide = new Guide({ live, view, experiments });
    this.open = button("Experiments", () => this.guide.toggle());
    this.open.hidden = model.get("model").name !== OF;
    this.full = button("Full screen", () => this.#toggleFull());
    this.full.hidden = !document.fullscreenEnabled;
    this.link = button("Link", () => this.#showLink());
    this.link.hidden = !model.link; // a notebook has no address
    this.address = h("div", { class: "bw-note bw-address", role: "status", hidden: true });
    this.help = this.#keys();
    const tools = h("div", { class: "bw-tools" }, this.open, this.link, this.full);
    element.querySelector(".bw-title")?.after(tools, this.guide.element, this.address, this.help);
    element.addEventListener("keydown", (event) => this.#press(event));
    element.addEventListener("fullscreenchange", () => this.#fullChanged());
    this.opened = (state) => view.apply(state);
    model.on("llmbook:open", this.opened);
  }

  get isFull() {
    return document.fullscreenElement === this.element;
  }

  #keys() {
    const rows = KEYS.flatMap(([key, does]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, does)]);
    return h("dl", { class: "bw-note bw-keys", hidden: true }, ...rows);
  }

  async #showLink() {
    this.address.hidden = !this.address.hidden;
    if (this.address.hidden) return;
    const url = this.model.link(this.view.read());
    const copied = await copyText(url);
    const said = copied ? "The link to this state is copied: " : "The link to this state: ";
    const parts = [h("p", {}, said, h("a", { href: url }, url))];
    try {
      const code = h("canvas", { role: "img", "aria-label": "QR code of the link" });
      await this.model.drawCode(url, code);
      parts.push(code);
    } catch {
      parts.push(h("p", {}, "It is too long for a QR code."));
    }
    this.address.replaceChildren(...parts);
  }

  async #toggleFull() {
    try {
      await (this.isFull ? document.exitFullscreen() : this.element.requestFullscreen());
    } catch {
      this.full.hidden = true; // the page that holds this one does not allow it
    }
  }

  #fullChanged() {
    this.element.classList.toggle("bw-lecture", this.isFull);
    this.full.textContent = this.isFull ? "Leave full screen" : "Full screen";
    this.help.hidden = true;
    this.#size(this.isFull ? 1.5 : 1);
    if (!this.isFull) this.element.classList.remove("bw-detailed");
    else {
      this.element.tabIndex = -1; // so that the keys are heard before anything is chosen
      this.element.focus();
    }
  }

  #size(size) {
    this.size = size;
    this.element.style.setProperty("--bw-size", String(size));
    this.view.resized?.();
  }

  #press(event) {
    const { target } = event;
    const writes = target.matches("textarea, select, input:not([type=range], [type=checkbox])");
    if (!this.isFull || writes || event.ctrlKey || event.metaKey || event.altKey) return;
    const turn = (by) => {
      const to = SIZES[SIZES.indexOf(this.size) + by];
      if (to) this.#size(to);
    };
    const acts = {
      e: () => this.open.hidden || this.guide.toggle(),
      n: () => this.#turn(1),
      p: () => this.#turn(-1),
      s: () => this.guide.setUp(),
      x: () => this.guide.explain(),
      d: () => this.element.classList.toggle("bw-detailed"),
      "+": () => turn(1),
      "=": () => turn(1),
      "-": () => turn(-1),
      l: () => this.#showLink(),
      f: () => this.#toggleFull(),
      "?": () => (this.help.hidden = !this.help.hidden),
    };
    const act = acts[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #turn(by) {
    if (this.open.hidden) return;
    this.guide.toggle(true);
    this.guide.go(this.guide.at + by);
  }

  stop() {
    this.model.off("llmbook:open", this.opened);
  }
}
