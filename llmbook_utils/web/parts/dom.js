/** Elements, and what frames every widget. */

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
