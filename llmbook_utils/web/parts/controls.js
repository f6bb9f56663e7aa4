/** Controls that several widgets have. */
import { h, uniqueId } from "./dom.js";

/**
 * One number: a slider and a field. What is out of bounds is not taken, and said. A kind of it has `put(value)`, which
 * takes a value; `slide(at)`, which takes the slider's; `write(bound)` and `used`, for the message.
 */
export class NumberInput {
  /**
   * @param {{label: string, least: number, most?: number, whole?: boolean, hint?: string, onChange: () => void}} options
   * @param {Record<string, any>} sides  attributes of the slider
   */
  constructor(options, sides) {
    Object.assign(this, options);
    const { label, least, most, whole, hint } = this;
    const about = uniqueId();
    this.id = uniqueId();
    this.field = h("input", { type: "number", class: "bw-number", id: this.id, min: least, max: most, step: "any", inputmode: whole ? "numeric" : "decimal", "aria-describedby": hint && about, oninput: () => this.#read() });
    this.slider = h("input", { type: "range", ...sides, "aria-label": `${label}, slider`, oninput: () => this.#slide() });
    this.error = h("span", { class: "bw-error", role: "status" });
    this.hints = hint ? [h("span", { class: "bw-hint", id: about }, hint)] : [];
  }

  /** The name of the field. */
  name() {
    return h("label", { for: this.id, class: "bw-label" }, this.label);
  }

  /** Put a number into the field, and its name to the slider. */
  show(number) {
    if (this.field.valueAsNumber !== number) this.field.value = number;
    this.slider.setAttribute("aria-valuetext", String(number));
    this.#verdict(true);
  }

  #verdict(valid) {
    const kind = this.whole ? "a whole number" : "a number";
    this.field.setAttribute("aria-invalid", !valid);
    this.error.textContent = valid ? "" : `${kind} from ${this.write(this.least)} to ${this.write(this.most)}; ${this.used} is used`;
  }

  #read() {
    const value = this.field.value === "" ? NaN : Number(this.field.value);
    const valid = value >= this.least && value <= this.most && (!this.whole || Number.isInteger(value));
    if (!valid) return this.#verdict(false);
    this.put(value);
    this.onChange();
  }

  #slide() {
    this.slide(this.slider.valueAsNumber);
    this.onChange();
  }
}

/** Python code with a button that copies it. */
export class PythonCode {
  /** @param {string} label */
  constructor(label) {
    this.code = h("code", {});
    this.button = h("button", { type: "button", class: "bw-button", onclick: () => this.#copy() }, "Copy");
    this.box = h("pre", { class: "bw-code", tabindex: 0, role: "group", "aria-label": label }, this.code);
  }

  /** @param {string} text */
  show(text) {
    if (this.code.textContent === text) return;
    this.code.textContent = text;
    this.button.textContent = "Copy";
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.code.textContent);
      this.button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(this.code); // without the right to copy: the reader's own keys do it
      this.button.textContent = "Selected: copy it with your keyboard";
    }
  }
}
