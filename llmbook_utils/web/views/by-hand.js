/** An exercise that is worked out by hand, answered on the page: a field for each number. */
import { judge, readNumber } from "../parts/by-hand.js";
import { frame, h, opensOn, uniqueId } from "../parts/dom.js";
import { whenKnown } from "../parts/record.js";

class ByHand {
  constructor(model) {
    this.number = model.get("number");
    this.rules = model.get("rules");
    this.right = model.get("right");
    this.text = model.get("text");
    this.fields = model.get("fields").map((name) => this.#field(name));
    this.verdict = h("p", { class: "bw-summary bw-judged", role: "status" });
    const answer = h(
      "form",
      { class: "bw-by-hand", novalidate: true, onsubmit: (event) => this.#check(event) },
      ...this.fields.map(({ element }) => element),
      h("button", { type: "submit", class: "bw-button" }, "Check"),
    );
    opensOn(this.fields[0].input, answer);
    this.element = frame(`Exercise ${this.number}: your answer`, answer, this.verdict);
    whenKnown(this.element, this.number, () => {
      this.verdict.textContent ||= "You have solved this one before.";
    });
  }

  #field(name) {
    const id = uniqueId();
    const input = h("input", {
      type: "text",
      class: "bw-number",
      id,
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      oninput: () => input.removeAttribute("aria-invalid"),
    });
    return { name, input, element: h("div", {}, h("label", { for: id }, name), input) };
  }

  #read({ input }) {
    const { value } = input;
    if (this.text) return value.trim() === "" ? null : value.replaceAll("␣", " ");
    return readNumber(value);
  }

  #check(event) {
    event.preventDefault();
    const given = this.fields.map((field) => this.#read(field));
    const missing = this.fields.findIndex((_, i) => given[i] === null);
    if (missing >= 0) return this.#refuse(this.fields[missing]);
    const wrong = judge(this.rules, given);
    this.#say(wrong === null ? this.right : `Not yet: ${wrong}`, wrong === null);
    if (wrong !== null) return;
    const detail = { number: this.number };
    this.element.dispatchEvent(new CustomEvent("llmbook:passed", { bubbles: true, detail }));
  }

  #refuse({ name, input }) {
    const typed = input.value.trim();
    input.setAttribute("aria-invalid", "true");
    input.focus();
    this.#say(
      typed
        ? `“${typed}” is not a number (${name}); write it like 0.25, 1/4, 25 % or 3,000.`
        : `Nothing stands in the field “${name}” yet.`,
      false,
    );
  }

  #say(text, right) {
    this.verdict.textContent = text;
    this.verdict.dataset.right = right ? "yes" : "no";
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  el.append(new ByHand(model).element);
}

export default { render };
