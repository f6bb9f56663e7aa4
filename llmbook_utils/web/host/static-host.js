/**
 * Mounts the book's widgets on a static page, where there is no kernel: each `<div class="bw-mount"
 * data-bw-module>` when it comes near the viewport. The div gets `data-bw-ready` when its widget
 * works, `data-bw-error` when it does not, and then keeps its fallback. Leaves out what the book's
 * widgets do not use of anywidget's front-end interface.
 */

/** The part of a notebook's model that the widgets use. */
export class StaticModel {
  #state;
  #listeners = new Map();
  /** @type {Promise<{send: (message: object) => void}> | null} */
  #answerer = null;

  /** @param {Record<string, any>} state  @param {string} [name]  of the widget */
  constructor(state, name = "") {
    this.#state = { ...state };
    this.name = name;
  }

  get(name) {
    return this.#state[name];
  }

  set(name, value) {
    if (Object.is(this.#state[name], value)) return;
    this.#state[name] = value;
    this.#emit(`change:${name}`);
  }

  /** A page has nobody to save to. */
  save_changes() {}

  on(event, listener) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
  }

  off(event, listener) {
    this.#listeners.set(
      event,
      (this.#listeners.get(event) ?? []).filter((other) => other !== listener),
    );
  }

  /**
   * Answers arrive as `msg:custom`, as they do from a kernel: the content, and the buffers of its
   * tensors.
   */
  async send(message) {
    try {
      this.#answerer ??= import("./page-answerer.js").then(({ connect }) =>
        connect(
          (name) => this.get(name),
          (content, buffers) => this.#emit("msg:custom", content, buffers),
        ),
      );
      (await this.#answerer).send(message);
    } catch {
      this.#answerer = null; // so that the next request tries again
      this.#emit(
        "msg:custom",
        {
          kind: "error",
          seq: message.seq,
          message: "a part of the page could not be loaded; is the page online?",
        },
        [],
      );
    }
  }

  /** Bring the widget into a state, as a link names it. @param {Record<string, string>} state */
  open(state) {
    this.#emit("llmbook:open", state);
  }

  /** The address of a state of this widget. @param {Record<string, string>} state */
  link(state) {
    return `${location.href.split("#")[0]}#${this.name}?${new URLSearchParams(state)}`;
  }

  /** Draw a text as a QR code. @param {string} text  @param {HTMLCanvasElement} canvas */
  async drawCode(text, canvas) {
    const { generate } = await import("../vendor/lean-qr.js");
    /** @type {any} */ (generate)(text).toCanvas(canvas, {
      on: [0, 0, 0],
      off: [255, 255, 255],
      pad: 4,
    });
  }

  #emit(event, ...values) {
    for (const listener of this.#listeners.get(event) ?? []) listener(...values);
  }
}

/**
 * What a widget was stored with: on the page, or in a file beside the modules.
 * @param {HTMLElement} root
 */
async function stateOf(root) {
  const { bwState } = root.dataset;
  if (!bwState)
    return JSON.parse(root.querySelector('script[type="application/json"]')?.textContent ?? "");
  const response = await fetch(new URL(`../${bwState}`, import.meta.url));
  if (!response.ok) throw new Error(`${bwState} could not be loaded (${response.status})`);
  return response.json();
}

/**
 * What stands on paper in place of each widget that works: a control there would be of no use.
 * @type {{root: HTMLElement, el: HTMLElement, fallback: Element}[]}
 */
const printed = [];
addEventListener("beforeprint", () => {
  for (const { root, el, fallback } of printed) {
    root.append(fallback);
    el.hidden = true;
  }
});
addEventListener("afterprint", () => {
  for (const { el, fallback } of printed) {
    fallback.remove();
    el.hidden = false;
  }
});

/** @param {HTMLElement} root */
export async function mount(root) {
  const name = root.dataset.bwModule ?? "";
  if (!/^[a-z0-9-]+$/.test(name)) throw new Error(`${name} is not the name of a widget`);
  const [state, { default: widget }] = await Promise.all([
    stateOf(root),
    import(`../views/${name}.js`),
  ]);
  const model = new StaticModel(state, name);
  const el = document.createElement("div");
  await widget.render({ model, el });
  const fallback = root.querySelector(".bw-fallback");
  fallback?.remove();
  root.append(el);
  if (fallback) printed.push({ root, el, fallback });
  root.dataset.bwReady = "1";
  root.dispatchEvent(new CustomEvent("llmbook:mounted", { bubbles: true }));
  return model;
}

/** Each widget's model, once it is mounted. @type {Map<HTMLElement, Promise<StaticModel>>} */
const mounted = new Map();

/** Mount a widget once. @param {HTMLElement} root */
function mountOnce(root) {
  const known = mounted.get(root);
  if (known) return known;
  const model = mount(root);
  mounted.set(root, model);
  model.catch((error) => {
    root.dataset.bwError = String(error);
    console.error(error);
  });
  return model;
}

/** Open the state that the page's address names: `#sampling-lab?temperature=0.5`. */
async function openLinked() {
  const link = /^#([a-z0-9-]+)\?(.*)$/.exec(location.hash);
  /** @type {HTMLElement | null} */
  const root = link && document.querySelector(`.bw-mount[data-bw-module="${link[1]}"]`);
  if (!link || !root) return;
  for (let at = root.closest("details"); at; at = at.parentElement?.closest("details") ?? null)
    at.open = true;
  root.scrollIntoView();
  try {
    (await mountOnce(root)).open(Object.fromEntries(new URLSearchParams(link[2])));
    root.scrollIntoView();
  } catch {
    // told where it was mounted
  }
}

const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      mountOnce(/** @type {HTMLElement} */ (target));
    }
  },
  { rootMargin: "800px" },
);
for (const root of document.querySelectorAll(".bw-mount")) observer.observe(root);
openLinked();
addEventListener("hashchange", openLinked);
