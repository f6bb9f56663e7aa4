/** Tokens in a row of which one is chosen, by a click or with the arrow keys. */
import { h } from "./dom.js";
import { stepInList } from "./keys.js";

/**
 * One of the tokens.
 * @param {number} index
 * @param {string} label
 * @param {...(Node | string)} content
 */
export const chip = (index, label, ...content) =>
  h(
    "span",
    { role: "option", class: "bw-chip", "data-index": index, "aria-label": label },
    ...content,
  );

export class Listbox {
  /**
   * @param {{label: string, kind?: string, onChoose: (index: number) => void}} options  `kind`: a
   *   class of its own
   */
  constructor({ label, kind = "", onChoose }) {
    this.onChoose = onChoose;
    this.chosen = 0;
    /** @type {HTMLElement[]} */
    this.chips = [];
    this.element = h("div", {
      class: kind ? `bw-strip ${kind}` : "bw-strip",
      role: "listbox",
      "aria-label": label,
      "aria-orientation": "horizontal",
      onclick: ({ target }) => this.#click(target.closest(".bw-chip")),
      onkeydown: (event) => this.#press(event),
    });
  }

  /**
   * Take other chips, by themselves or in groups; the focus stays in the list.
   * @param {Node[]} content
   */
  show(content, chosen = this.chosen) {
    const focused = this.element.contains(document.activeElement);
    this.element.replaceChildren(...content);
    this.chips = [...this.element.querySelectorAll(".bw-chip")];
    this.chips.forEach((_, i) => this.#draw(i, i === chosen));
    this.chosen = chosen;
    if (focused) this.chips[chosen]?.focus();
  }

  /** Add a chip at the end. @param {HTMLElement} content */
  add(content) {
    this.element.append(content);
    const index = this.chips.push(content) - 1;
    this.#draw(index, index === this.chosen);
  }

  /** Mark another one as chosen, without a call of `onChoose`. @param {number} index */
  mark(index) {
    if (this.chips[this.chosen]) this.#draw(this.chosen, false);
    if (this.chips[index]) this.#draw(index, true);
    this.chosen = index;
  }

  /** Only the chosen one can be reached by Tab. */
  #draw(index, isChosen) {
    this.chips[index].setAttribute("aria-selected", String(isChosen));
    this.chips[index].tabIndex = isChosen ? 0 : -1;
  }

  #click(element) {
    if (element) this.#choose(Number(element.dataset.index));
  }

  #press(event) {
    const to = stepInList(event, this.chosen, this.chips.length - 1);
    if (to !== null && this.chips[to]) this.#choose(to);
  }

  #choose(index) {
    this.mark(index);
    this.chips[index].focus();
    this.onChoose(index);
  }
}
