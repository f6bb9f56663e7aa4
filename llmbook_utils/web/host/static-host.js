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

  /** @param {Record<string, any>} state */
  constructor(state) {
    this.#state = { ...state };
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

/** @param {HTMLElement} root */
export async function mount(root) {
  const name = root.dataset.bwModule ?? "";
  if (!/^[a-z0-9-]+$/.test(name)) throw new Error(`${name} is not the name of a widget`);
  const [state, { default: widget }] = await Promise.all([
    stateOf(root),
    import(`../views/${name}.js`),
  ]);
  const model = new StaticModel(state);
  const el = document.createElement("div");
  await widget.render({ model, el });
  root.querySelector(".bw-fallback")?.remove();
  root.append(el);
  root.dataset.bwReady = "1";
}

const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      const root = /** @type {HTMLElement} */ (target);
      mount(root).catch((error) => {
        root.dataset.bwError = String(error);
        console.error(error);
      });
    }
  },
  { rootMargin: "800px" },
);
for (const root of document.querySelectorAll(".bw-mount")) observer.observe(root);
