/** Controls that several widgets have. */
import { button, h, uniqueId } from "./dom.js";

/**
 * One number: a slider and a field. What is out of bounds is not taken, and said. A subclass
 * says how a value is taken and written.
 */
export class NumberInput {
  /**
   * @param {{label: string, least: number, most?: number, whole?: boolean, hint?: string, onChange:
   *   () => void}} options
   * @param {Record<string, any>} sides  attributes of the slider
   */
  constructor(options, sides) {
    const { label, least, most = Infinity, whole = false, hint, onChange } = options;
    this.label = label;
    this.least = least;
    this.most = most;
    this.whole = whole;
    this.onChange = onChange;
    const about = uniqueId();
    this.id = uniqueId();
    this.field = h("input", {
      type: "number",
      class: "bw-number",
      id: this.id,
      min: least,
      max: most,
      step: "any",
      inputmode: whole ? "numeric" : "decimal",
      "aria-describedby": hint && about,
      oninput: () => this.#read(),
    });
    this.slider = h("input", {
      type: "range",
      ...sides,
      "aria-label": `${label}, slider`,
      oninput: () => this.#slide(),
    });
    this.error = h("span", { class: "bw-error", role: "status" });
    this.hints = hint ? [h("span", { class: "bw-hint", id: about }, hint)] : [];
  }

  /** Take a value, without a call of `onChange`. @param {number} value @returns {void} */
  put(value) {
    throw new Error(`nothing takes ${value}`);
  }

  /** Take the slider's value. @param {number} at @returns {void} */
  slide(at) {
    throw new Error(`nothing takes ${at}`);
  }

  /** A bound as the message has it. @param {number} bound @returns {string} */
  write(bound) {
    return String(bound);
  }

  /**
   * The value that stays in use while the field holds none that can be.
   * @returns {number | string}
   */
  get used() {
    return "another";
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
    this.error.textContent = valid
      ? ""
      : `${kind} from ${this.write(this.least)} to ${this.write(this.most)}; ${this.used} is used`;
  }

  #read() {
    const value = this.field.value === "" ? NaN : Number(this.field.value);
    const valid =
      value >= this.least && value <= this.most && (!this.whole || Number.isInteger(value));
    if (!valid) return this.#verdict(false);
    this.put(value);
    this.onChange();
  }

  #slide() {
    this.slide(this.slider.valueAsNumber);
    this.onChange();
  }
}

/** Copy a text; false where the page has no right to. @param {string} text */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Python code with a button that copies it. */
export class PythonCode {
  /** @param {string} label */
  constructor(label) {
    this.code = h("code", {});
    this.button = button("Copy", () => this.#copy());
    this.box = h(
      "pre",
      { class: "bw-code", tabindex: 0, role: "group", "aria-label": label },
      this.code,
    );
  }

  /** @param {string} text */
  show(text) {
    if (this.code.textContent === text) return;
    this.code.textContent = text;
    this.button.textContent = "Copy";
  }

  async #copy() {
    const copied = await copyText(this.code.textContent);
    this.button.textContent = copied ? "Copied" : "Selected: copy it with your keyboard";
    if (!copied) getSelection()?.selectAllChildren(this.code); // the reader's own keys do the rest
  }
}
