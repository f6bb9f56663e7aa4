/**
 * What the book's widgets share. Joined in front of each widget's own file (see llmbook_utils/widgets/base.py), so that
 * one self-contained module runs in a notebook and on a page.
 */

/**
 * Make an element. A key `onclick` and the like adds a listener; a value that is false, null or undefined leaves its
 * attribute out, true makes it empty.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An id that no other element on the page has. */
export const uniqueId = () => `bw-${Math.random().toString(36).slice(2, 10)}`;

/** @param {number} n  1234567 -> "1,234,567" */
export const grouped = (n) => n.toLocaleString("en-US");

/** @param {number} n  @param {string} noun  (1, "token") -> "1 token" */
export const count = (n, noun) => `${grouped(n)} ${noun}${n === 1 ? "" : "s"}`;

/**
 * The frame of a widget, named by its title.
 * @param {string} title
 * @param {...Node} children
 */
export function frame(title, ...children) {
  const id = uniqueId();
  // JupyterLab takes the arrow keys of a focused element for its own, unless the element itself says otherwise
  const onfocusin = (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true");
  // no landmark: a page may have several widgets of the same name
  return h("div", { class: "bw", role: "group", "aria-labelledby": id, onfocusin }, h("p", { class: "bw-title", id }, title), ...children);
}

/**
 * Numbers with their names, side by side.
 * @param {[string, string][]} pairs  (name, number)
 */
export const tiles = (pairs) => pairs.map(([name, number]) => h("div", {}, h("b", {}, number), " ", h("span", {}, name)));

/**
 * A row of options of which one is chosen.
 * @param {string} legend
 * @param {string[]} options
 * @param {(option: string) => void} onChoose
 */
export function segments(legend, options, onChoose) {
  const name = uniqueId();
  const segment = (option, i) =>
    h(
      "label",
      { class: "bw-segment" },
      h("input", { type: "radio", name, checked: i === 0, onchange: () => onChoose(option) }),
      h("span", {}, option),
    );
  return h("fieldset", { class: "bw-segments" }, h("legend", {}, legend), ...options.map(segment));
}

/**
 * Scroll a box, and nothing around it, until the element is in sight.
 * @param {HTMLElement} box  positioned, so that offsets count from it
 * @param {HTMLElement | undefined} element
 */
export function reveal(box, element) {
  if (!element) return;
  const hidden = element.offsetTop < box.scrollTop || element.offsetTop + element.offsetHeight > box.scrollTop + box.clientHeight;
  if (hidden) box.scrollTop = element.offsetTop - box.clientHeight / 3;
}

/**
 * Steps from 0 to a maximum: buttons, a slider, and the left and right arrow keys on any of them. With `playable` a
 * button walks through the steps. `first` is the number that the reader sees for step 0.
 */
export class Stepper {
  /** @param {{noun: string, playable?: boolean, first?: number, onStep: (step: number) => void}} options */
  constructor({ noun, playable = false, first = 0, onStep }) {
    Object.assign(this, { noun, first, onStep, step: 0, last: 0, timer: 0 });
    const button = (text, label, onclick) =>
      h("button", { type: "button", class: "bw-button", "aria-label": label, onclick }, text);
    this.previous = button("←", `Previous ${noun}`, () => this.go(this.step - 1));
    this.next = button("→", `Next ${noun}`, () => this.go(this.step + 1));
    this.play = h("button", { type: "button", class: "bw-button bw-play", onclick: () => this.toggle() }, "Play");
    this.slider = h("input", { type: "range", min: 0, "aria-label": noun, oninput: () => this.go(this.slider.valueAsNumber) });
    this.position = h("span", { class: "bw-position" });
    const controls = [this.previous, ...(playable ? [this.play] : []), this.next, this.slider, this.position];
    const onkeydown = (event) => this.#press(event);
    this.element = h("div", { class: "bw-stepper", role: "group", "aria-label": noun, onkeydown }, ...controls);
  }

  /** Take a new maximum and start at `step`, without a call of `onStep`. */
  reset(last, step = 0) {
    this.stop();
    this.last = last;
    this.step = Math.min(step, last);
    this.#draw();
  }

  go(step) {
    this.stop();
    this.#move(step);
  }

  toggle() {
    if (this.timer) return this.stop();
    if (this.last === 0) return;
    this.play.textContent = "Pause";
    this.timer = setInterval(() => (this.step < this.last ? this.#move(this.step + 1) : this.stop()), 1000);
    this.#move(this.step < this.last ? this.step + 1 : 0);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    this.play.textContent = "Play";
  }

  #move(step) {
    this.step = Math.max(0, Math.min(step, this.last));
    this.#draw();
    this.onStep(this.step);
  }

  #press(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move || event.target === this.slider) return;
    event.preventDefault();
    this.go(this.step + move);
  }

  #draw() {
    const { step, last, first, slider } = this;
    slider.max = last;
    slider.value = step;
    this.position.textContent = `${this.noun} ${grouped(step + first)} of ${grouped(last + first)}`;
    slider.setAttribute("aria-valuetext", this.position.textContent);
    // not `disabled`: the button that was just pressed would lose the focus
    this.previous.setAttribute("aria-disabled", step === 0);
    this.next.setAttribute("aria-disabled", step === last);
    this.play.setAttribute("aria-disabled", last === 0);
  }
}
