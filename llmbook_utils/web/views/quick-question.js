/** Quick question: options of which one is right, each answered at once with its reason. */
import { frame, h, opensOn, uniqueId } from "../parts/dom.js";
import { whenKnown } from "../parts/record.js";

const EMPHASIS = /\*(\S(?:[^*]*\S)?)\*/;

/**
 * @param {string} text  code stands between backticks, emphasis between asterisks
 * @returns {(Node | string)[]}
 */
const withCode = (text) =>
  text.split("`").flatMap((part, i) => (i % 2 ? h("code", {}, part) : withEmphasis(part)));

const withEmphasis = (text) =>
  text.split(EMPHASIS).map((part, i) => (i % 2 ? h("em", {}, part) : part));

class Question {
  constructor(model) {
    this.name = uniqueId();
    this.text = model.get("question");
    this.all = false;
    this.options = model.get("options").map((option, i) => this.#option(option, i));
    this.button = h(
      "button",
      {
        type: "button",
        class: "bw-button",
        "aria-pressed": "false",
        onclick: () => this.#toggle(),
      },
      "Show all reasons",
    );
    this.verdict = h("p", { class: "bw-summary", role: "status" }, "Choose an answer.");
    const legend = h("legend", {}, ...withCode(model.get("question")));
    const field = h(
      "fieldset",
      { class: "bw-question" },
      legend,
      ...this.options.map(({ element }) => element),
    );
    opensOn(this.options[0].input, field);
    this.element = frame(
      "Quick question",
      field,
      h("div", { class: "bw-bar" }, this.verdict, h("span", { class: "bw-gap" }), this.button),
    );
    whenKnown(this.element, this.text, (right) => {
      if (this.options.some(({ input }) => input.checked)) return;
      this.verdict.textContent = right
        ? "You have answered this one right before."
        : "You have tried this one before.";
    });
  }

  #option({ text, correct, why }, i) {
    const id = uniqueId();
    const reason = h(
      "div",
      { class: "bw-reason", id, hidden: true },
      h("strong", {}, correct ? "✓ Right. " : "✗ Not this one. "),
      ...withCode(why),
    );
    const input = h("input", {
      type: "radio",
      name: this.name,
      value: i,
      onchange: () => {
        this.#draw();
        this.#tell(correct);
      },
    });
    const label = h("label", {}, input, h("span", {}, ...withCode(text)));
    return {
      correct,
      input,
      reason,
      element: h(
        "div",
        { class: "bw-option", "data-correct": correct ? "yes" : "no" },
        label,
        reason,
      ),
    };
  }

  #toggle() {
    this.all = !this.all;
    this.button.setAttribute("aria-pressed", this.all);
    this.#draw();
  }

  #draw() {
    for (const { input, reason, element } of this.options) {
      reason.hidden = !(this.all || input.checked);
      element.classList.toggle("bw-answered", !reason.hidden);
    }
    const chosen = this.options.find(({ input }) => input.checked);
    if (chosen)
      this.verdict.textContent = chosen.correct
        ? "Right."
        : "Not this one: read why, and choose again.";
  }

  /** Who keeps a record of a reader's progress hears of it. @param {boolean} right */
  #tell(right) {
    const detail = { question: this.text, right };
    this.element.dispatchEvent(new CustomEvent("llmbook:answered", { bubbles: true, detail }));
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  el.append(new Question(model).element);
}

export default { render };
