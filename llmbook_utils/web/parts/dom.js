/** Elements, and what frames every widget. */

/**
 * Make an element. A key `onclick` and the like adds a listener; a value that is false, null or
 * undefined leaves its attribute out, true makes it empty.
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

/**
 * @param {string} text
 * @param {(event: any) => void} onclick
 * @param {string} [kind]  a class of its own
 */
export const button = (text, onclick, kind = "") =>
  h("button", { type: "button", class: kind ? `bw-button ${kind}` : "bw-button", onclick }, text);

/**
 * A box that scrolls sideways, by the keys too.
 * @param {string} label
 * @param {...(Node | string)} children
 */
export const scroller = (label, ...children) =>
  h("div", { class: "bw-scroll", role: "group", "aria-label": label, tabindex: 0 }, ...children);

/**
 * A field that chooses one of several, and its name.
 * @param {string} name
 * @param {[string | number, string][]} options  (value, text)
 * @param {() => void} [onchange]
 */
export function select(name, options, onchange) {
  const id = uniqueId();
  const field = h("select", { class: "bw-select", id, onchange });
  field.append(...options.map(([value, text]) => h("option", { value }, text)));
  return { label: h("label", { for: id, class: "bw-label" }, name), field };
}

/**
 * A line of a table: its name and its cells, each as a list.
 * @param {any[]} name
 * @param {any[][]} cells
 */
export const line = (name, ...cells) =>
  h("tr", {}, h("th", { scope: "row" }, ...name), ...cells.map((cell) => h("td", {}, ...cell)));

/** A bar as wide as a share, for a cell beside its number. @param {number} share */
export const shareBar = (share) =>
  h(
    "span",
    { class: "bw-bar-track", "aria-hidden": "true" },
    h("span", { class: "bw-bar-fill", style: `width: ${Math.max(0, 100 * share).toFixed(1)}%` }),
  );

/** The head of a table. @param {...string} names  "": a column that needs none */
export const tableHead = (...names) =>
  h(
    "thead",
    {},
    h("tr", {}, ...names.map((name) => (name ? h("th", { scope: "col" }, name) : h("td", {})))),
  );

/** An id that no other element on the page has. */
export const uniqueId = () => `bw-${Math.random().toString(36).slice(2, 10)}`;

/**
 * The frame of a widget, named by its title.
 * @param {string} title
 * @param {...Node} children
 */
export function frame(title, ...children) {
  const id = uniqueId();
  // JupyterLab takes the arrow keys of a focused element for its own, unless the element itself
  // says otherwise
  const onfocusin = (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true");
  // no landmark: a page may have several widgets of the same name
  return h(
    "div",
    { class: "bw", role: "group", "aria-labelledby": id, onfocusin },
    h("p", { class: "bw-title", id }, title),
    ...children,
  );
}

/**
 * What comes on demand: it keeps its state while it is closed.
 * @param {string} title
 * @param {...Node} children
 */
export const fold = (title, ...children) =>
  h("details", { class: "bw-details bw-fold" }, h("summary", {}, title), ...children);

/**
 * Name what a widget opens on: the first control and the picture that it changes. Both are on one
 * screen; a test says so.
 * @param {HTMLElement} control
 * @param {HTMLElement} picture
 */
export function opensOn(control, picture) {
  control.dataset.bwControl = "";
  picture.dataset.bwPicture = "";
}

/**
 * Numbers with their names, side by side.
 * @param {string[][]} pairs  (name, number)
 */
export const tiles = (pairs) =>
  pairs.map(([name, number]) => h("div", {}, h("b", {}, number), " ", h("span", {}, name)));

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
  const hidden =
    element.offsetTop < box.scrollTop ||
    element.offsetTop + element.offsetHeight > box.scrollTop + box.clientHeight;
  if (hidden) box.scrollTop = element.offsetTop - box.clientHeight / 3;
}
