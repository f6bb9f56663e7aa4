/** A walk through numbered steps. */
import { button, h } from "./dom.js";
import { grouped } from "./numbers.js";

/**
 * Steps from 0 to a maximum: buttons, a slider, and the left and right arrow keys on any of them.
 * With `playable` a button walks through the steps. `first` is the number that the reader sees for
 * step 0.
 */
export class Stepper {
  /**
   * @param {{noun: string, playable?: boolean, first?: number, onStep: (step: number) => void}}
   *   options
   */
  constructor({ noun, playable = false, first = 0, onStep }) {
    this.noun = noun;
    this.first = first;
    this.onStep = onStep;
    this.step = 0;
    this.last = 0;
    this.timer = 0;
    const arrow = (text, label, onclick) =>
      h("button", { type: "button", class: "bw-button", "aria-label": label, onclick }, text);
    this.previous = arrow("←", `Previous ${noun}`, () => this.go(this.step - 1));
    this.next = arrow("→", `Next ${noun}`, () => this.go(this.step + 1));
    this.play = button("Play", () => this.toggle(), "bw-play");
    this.slider = h("input", {
      type: "range",
      min: 0,
      "aria-label": noun,
      oninput: () => this.go(this.slider.valueAsNumber),
    });
    this.position = h("span", { class: "bw-position" });
    const controls = [
      this.previous,
      ...(playable ? [this.play] : []),
      this.next,
      this.slider,
      this.position,
    ];
    const onkeydown = (event) => this.#press(event);
    this.element = h(
      "div",
      { class: "bw-stepper", role: "group", "aria-label": noun, onkeydown },
      ...controls,
    );
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
    this.timer = setInterval(
      () => (this.step < this.last ? this.#move(this.step + 1) : this.stop()),
      1000,
    );
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
