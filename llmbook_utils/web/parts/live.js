/**
 * What the widgets that ask a model share: the text field, the model's state with the button that
 * loads it, a place for the reader's own model, and requests whose replies hold tensors. In a
 * notebook Python answers and nothing has to be loaded; on a page the stored example shows until
 * the reader asks for the model.
 *
 * @typedef {{shape: number[], data: Float32Array}} Tensor
 * @typedef {Record<string, any> & {tensors: Record<string, Tensor>}} LiveReply
 */
import { halfToNumber } from "../engine/half.js";
import { LIMIT } from "../engine/limit.js";
import { button, frame, h, uniqueId } from "./dom.js";
import { count, grouped, megabytes } from "./numbers.js";

/**
 * Numbers as they come: from the page's worker, from a kernel (a view of bytes), or stored (base64
 * of 16-bit floats, two for each number that has to be exact).
 */
function toFloats(buffer) {
  if (buffer instanceof Float32Array) return buffer;
  if (typeof buffer !== "string")
    return new Float32Array(
      buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength),
    );
  const [numbers, rest] = buffer.split(",").map(fromBase64);
  return rest ? numbers.map((number, i) => number + rest[i]) : numbers;
}

const fromBase64 = (text) => {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return Float32Array.from(new Uint16Array(bytes.buffer), halfToNumber);
};

/**
 * A reply with its tensors by their names.
 * @param {Record<string, any>} content
 * @param {any[]} buffers
 * @returns {LiveReply}
 */
function unpack(content, buffers) {
  const tensors = (content.tensors ?? []).map(({ name, shape }, i) => [
    name,
    { shape, data: toFloats(buffers[i]) },
  ]);
  return { ...content, tensors: Object.fromEntries(tensors) };
}

/**
 * The last row of a tensor's last axis at an index of the axes before it.
 * @param {Tensor} tensor
 */
export function rowOf({ shape, data }, ...index) {
  const n = shape[shape.length - 1];
  const at = index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
  return data.subarray(at * n, at * n + n);
}

const FILES = {
  config: "config.json",
  weights: "model.safetensors",
  vocab: "vocab.json",
  merges: "merges.txt",
};

/**
 * The files of a model among others, by what they are; throws an error that names what is missing.
 * @param {File[]} files
 */
function modelFiles(files) {
  const named = (name) => files.find((file) => file.name === name);
  const missing = Object.values(FILES).filter((name) => !named(name));
  if (!missing.length)
    return Object.fromEntries(Object.entries(FILES).map(([kind, name]) => [kind, named(name)]));
  const pickle = files.some(({ name }) => /\.(bin|pt|pth|ckpt|pkl)$/.test(name));
  const why = pickle
    ? " A pickled file (.bin, .pt) is not opened, because it can run any code: save the model with save_pretrained."
    : "";
  throw new Error(
    `Missing: ${missing.join(", ")}. Give the four files that save_pretrained writes, together.${why}`,
  );
}

/**
 * All files that were dropped, those in folders too.
 * @param {DataTransfer} transfer
 * @returns {Promise<File[]>}
 */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const filesOf = async (entry) => {
    if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
    const inside = await new Promise((resolve, reject) =>
      entry.createReader().readEntries(resolve, reject),
    );
    return (await Promise.all(inside.filter(({ isFile }) => isFile).map(filesOf))).flat();
  };
  return (await Promise.all(entries.map(filesOf))).flat();
}

let liveRequests = 0;

/** A widget's line to its model, and the controls that belong to it. */
export class Live {
  /**
   * @param {{model: any, most?: number, label?: string, rows?: number, loads?: string, code?:
   *   string, onChange: () => void}} options `most`: how many tokens are read; `onChange` is called
   *   when another text or model is there; `loads`: the name of the widget's own button that loads
   *   the model; `code`: the Python code that makes this widget with a model of one's own
   */
  constructor({ model, most, label = "Text", rows = 2, loads = "", onChange, code = "" }) {
    this.model = model;
    this.most = most;
    this.loads = loads;
    this.onChange = onChange;
    this.code = code;
    this.state = "unknown";
    this.name = model.get("model").name;
    this.kept = false;
    this.loaded = 0; // bytes
    this.message = "";
    this.timer = 0;
    this.config = model.get("model").config;
    this.pending = new Map(); // seq -> {channel, receive}
    /** What waits for the model. @type {(() => void) | null} */
    this.wanted = null;
    this.callout = h("div", { class: "bw-note bw-need", role: "status" });
    this.listen = (content, buffers) => this.#receive(content, buffers ?? []);
    model.on("msg:custom", this.listen);
    this.field = h("textarea", {
      class: "bw-text",
      id: uniqueId(),
      rows,
      spellcheck: "false",
      oninput: () => this.#later(),
    });
    this.field.value = model.get("text");
    this.bar = h("div", { class: "bw-model" });
    this.notes = h("div", { class: "bw-notes", role: "status" });
    this.own = this.#ownModel();
    this.label = h("label", { for: this.field.id, class: "bw-label" }, label);
    const reset = button("Reset", () => this.#reset());
    this.controls = h(
      "div",
      { class: "bw-bar bw-ask" },
      this.label,
      h("span", { class: "bw-gap" }),
      reset,
    );
    this.element = h("div", {}, this.controls, this.field, this.bar, this.notes);
  }

  /** Ask what is there; the answer leads to the first `onChange`. */
  start() {
    this.#drawBar();
    this.model.send({
      kind: "status",
      seq: this.#register("status", (content) => this.#take(content)),
    });
  }

  stop() {
    clearTimeout(this.timer);
    this.model.off("msg:custom", this.listen);
    this.pending.clear();
  }

  /** Whether requests are answered. */
  get ready() {
    return this.state === "ready" || this.state === "kernel";
  }

  /**
   * Say beside what was touched that it needs the model, and load it there; a model that is at hand
   * comes by itself.
   * @param {HTMLElement} anchor
   * @param {(() => void) | null} [then]  what is done when the model has answered for the text
   */
  need(anchor, then = null) {
    if (this.ready) return;
    this.wanted = then;
    anchor.after(this.callout);
    if (this.kept && this.state === "absent") this.load();
    this.#drawCallout();
  }

  /** What a button says that loads the model on its way: " (loads 6.0 MB, once)", or nothing. */
  get price() {
    const { weights } = this.model.get("model");
    const isNeeded = this.state === "absent" && !this.kept && weights;
    return isNeeded ? ` (loads ${megabytes(weights.bytes)}, once)` : "";
  }

  get text() {
    return this.field.value;
  }

  set text(text) {
    this.field.value = text;
    this.#later(0);
  }

  /** Take a text without a call of `onChange`. @param {string} text */
  put(text) {
    clearTimeout(this.timer);
    this.field.value = text;
  }

  /** Whether the text is the stored example's. */
  get isExample() {
    return this.text === this.model.get("text") && this.name === this.model.get("model").name;
  }

  /**
   * The stored replies to one of the requests with which the widget was made.
   * @returns {LiveReply[]}
   */
  example(name) {
    return this.model.get("example")[name].map((content) => unpack(content, content.buffers ?? []));
  }

  /**
   * Ask for one reply about the text. Of two requests in one channel only the later one is
   * answered. Null when there is no model yet (the reader is invited to load it; tokens need none)
   * or when an error came (the reader is told).
   * @param {Record<string, any>} request
   * @param {string} [channel]
   * @returns {Promise<LiveReply | null>}
   */
  ask(request, channel = request.kind) {
    if (request.kind !== "tokenize" && !this.#invite()) return Promise.resolve(null);
    return new Promise((resolve) => {
      const seq = this.#register(channel, (content, buffers) => {
        this.pending.delete(seq);
        this.#settle(content);
        resolve(content.kind === "error" ? null : unpack(content, buffers));
      });
      this.#send(request, seq);
    });
  }

  /**
   * Ask for many replies about the text; `onReply` gets each, the last one of kind "done" or
   * "error".
   * @param {Record<string, any>} request
   * @param {(reply: LiveReply) => void} onReply
   * @returns {number | null} what `cancel` takes; null when there is no model yet
   */
  stream(request, onReply, channel = request.kind) {
    if (!this.#invite()) return null;
    const seq = this.#register(channel, (content, buffers) => {
      if (["done", "error"].includes(content.kind)) this.pending.delete(seq);
      this.#settle(content);
      onReply(unpack(content, buffers));
    });
    this.pending.get(seq).isStream = true;
    this.#send(request, seq);
    return seq;
  }

  /** Stop a stream: it ends with a reply of kind "done". */
  cancel(seq) {
    if (this.pending.has(seq)) this.model.send({ kind: "stop", seq, of: seq });
  }

  /** Tell the reader something about the last request. @param {string[]} texts */
  note(texts) {
    this.notes.replaceChildren(...texts.map((text) => h("p", { class: "bw-note" }, text)));
  }

  /** A frame onto which a reader can drop a model's files. */
  frame(title, ...children) {
    const element = frame(title, this.element, ...children, this.own);
    element.addEventListener("dragover", (event) => {
      if (this.state === "kernel" || ![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      element.classList.add("bw-dropping");
    });
    element.addEventListener("dragleave", () => element.classList.remove("bw-dropping"));
    element.addEventListener("drop", (event) => {
      element.classList.remove("bw-dropping");
      if (this.state === "kernel" || !event.dataTransfer.files.length) return;
      event.preventDefault();
      droppedFiles(event.dataTransfer).then(
        (files) => this.#adopt(files),
        (error) => this.#refuse(String(error.message)),
      );
    });
    return element;
  }

  #send(request, seq) {
    clearTimeout(this.working);
    this.working = setTimeout(() => this.note(["The model is working …"]), 600);
    if (["vocabulary", "adapter", "tokenize"].includes(request.kind))
      return this.model.send({ ...request, seq });
    const options = this.most ? { most: this.most, ...request.options } : (request.options ?? {});
    // twice as many units as characters are read, and one more: enough for the answerer to see that
    // it has to cut
    this.model.send({ text: this.text.slice(-2 * (LIMIT + 1)), ...request, options, seq });
  }

  #register(channel, receive) {
    for (const [seq, other] of this.pending) {
      if (other.channel !== channel) continue;
      if (other.isStream) this.cancel(seq);
      this.pending.delete(seq);
    }
    const seq = (liveRequests += 1);
    this.pending.set(seq, { channel, receive });
    return seq;
  }

  #receive(content, buffers) {
    if (content.kind === "status" && content.seq === undefined) this.#take(content);
    else if (content.kind === "adopted") this.#adopted(content);
    else this.pending.get(content.seq)?.receive(content, buffers);
  }

  /** What a reply says besides its numbers. */
  #settle(content) {
    clearTimeout(this.working);
    if (content.kind === "error") return this.note([`That did not work: ${content.message}.`]);
    if (!content.tokens) return;
    const notes = [];
    if (content.cut)
      notes.push(
        `The text is longer than what is read here: only its last ${count(content.tokens.length, "token")}.`,
      );
    if (content.normalized)
      notes.push(
        "Curly quotes, long dashes, … and the like are read as straight quotes, -- and ..., as they stand in the texts that the model learned from.",
      );
    this.note(notes);
  }

  #later(wait = 300) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.onChange(), wait);
  }

  #reset() {
    this.text = this.model.get("text");
  }

  /**
   * Whether there is a model to ask; if not, the reader is shown how to get it, and one that is at
   * hand is fetched.
   */
  #invite() {
    if (this.ready) return true;
    if (this.kept && this.state === "absent") this.load();
    this.bar.classList.add("bw-wanted");
    return false;
  }

  /** Load the model that the page has for this widget. */
  load() {
    if (this.ready || this.state === "loading" || !this.model.get("model").weights) return;
    this.note([]);
    this.model.send({
      kind: "load",
      seq: this.#register("load", (content) =>
        this.#take({ state: "failed", message: content.message }),
      ),
    });
  }

  /** @param {Record<string, any>} content  a status */
  #take(content) {
    const was = this.state;
    const { state, name = this.name, kept = false, loaded = this.loaded, message = "" } = content;
    this.state = state;
    this.name = name;
    this.kept = kept; // it can be had without a network
    this.loaded = loaded;
    this.message = message;
    this.#drawBar();
    this.#drawCallout();
    if (was === "unknown" || (this.ready && was !== this.state)) this.#announce();
    // who has loaded it once need not ask for it again
    if (was === "unknown" && state === "absent" && kept) this.load();
  }

  /** Another text or model is there; then what had to wait for it. */
  async #announce() {
    await this.onChange();
    if (!this.ready) return;
    this.bar.classList.remove("bw-wanted");
    this.callout.remove();
    const { wanted } = this;
    this.wanted = null;
    wanted?.();
  }

  #drawCallout() {
    if (!this.callout.isConnected) return;
    const published = this.model.get("model").weights;
    const focused = this.callout.contains(document.activeElement);
    const load = (text) => button(text, () => this.load(), "bw-primary");
    const say = (...parts) => this.callout.replaceChildren(...parts);
    if (this.state === "loading") this.#drawProgress(this.callout, published.bytes);
    else if (this.state === "failed")
      say(`✗ The model could not be loaded: ${this.message}. `, load("Try again"));
    else if (published)
      say(
        "This is not in the stored example: the model has to compute it. ",
        load(`Load it (${megabytes(published.bytes)}, once)`),
      );
    else
      say(
        "This is not in the stored example, and its model is not on this page. You can use a model of your own, below.",
      );
    if (focused) this.callout.querySelector("button")?.focus();
  }

  #drawBar() {
    const published = this.model.get("model").weights;
    const say = (...parts) => this.bar.replaceChildren(...parts);
    const focused = this.bar.contains(document.activeElement);
    this.bar.hidden = this.state === "kernel";
    this.own.hidden = this.state === "kernel" || this.state === "unknown";
    if (this.state === "loading") this.#drawProgress(this.bar, published.bytes);
    else if (this.state === "ready" && this.name === this.model.get("model").name)
      say(h("span", {}, `${this.name} runs in this page. Nothing that you type leaves it.`));
    else if (this.state === "ready")
      say(
        h("span", {}, `Your own model runs in this page (${sizeOf(this.config)}).`),
        button(`Back to ${this.model.get("model").name}`, () => this.#leave()),
      );
    else if (this.state === "failed")
      say(
        h("span", {}, `✗ The model could not be loaded: ${this.message}.`),
        button("Try again", () => this.load(), "bw-primary"),
      );
    else if (published && this.loads)
      say(
        h(
          "span",
          {},
          `What you see is a stored example. For words of your own, change it and press ${this.loads}.`,
        ),
      );
    else if (published && this.kept)
      say(
        h("span", {}, "What you see is a stored example. For words of your own:"),
        button("Use the model", () => this.load(), "bw-primary"),
      );
    else if (published)
      say(
        h("span", {}, "What you see is a stored example. For words of your own:"),
        button(`Load the model (${megabytes(published.bytes)})`, () => this.load(), "bw-primary"),
      );
    else say(h("span", {}, "What you see is a stored example: its model is not on this page."));
    if (focused) (this.bar.querySelector("button") ?? this.field).focus();
  }

  #drawProgress(box, bytes) {
    const shown = `${megabytes(this.loaded)} of ${megabytes(bytes)}`;
    const meter = box.querySelector("progress");
    if (!meter) {
      const cancel = button("Cancel", () =>
        this.model.send({ kind: "cancel", seq: this.#register("cancel", () => {}) }),
      );
      return box.replaceChildren(
        h("progress", { max: bytes, value: this.loaded, "aria-label": "Loading the model" }),
        h("span", {}, shown),
        cancel,
      );
    }
    meter.value = this.loaded;
    meter.nextSibling.textContent = shown;
  }

  #ownModel() {
    const id = uniqueId();
    const input = h("input", {
      type: "file",
      multiple: true,
      id,
      onchange: () => input.files.length && this.#adopt([...input.files]),
    });
    this.verdict = h("p", { class: "bw-verdict", role: "status" });
    const list = Object.values(FILES).flatMap((name, i) => [i ? ", " : "", h("code", {}, name)]);
    const how = h(
      "p",
      {},
      "Drop a folder that ",
      h("code", {}, "save_pretrained"),
      " wrote onto this widget, or choose its four files: ",
      ...list,
      ". They are read here, in the browser, and sent nowhere.",
    );
    const python = h("p", {}, "In a notebook: ", h("code", {}, this.code));
    return h(
      "details",
      { class: "bw-details bw-own", hidden: true },
      h("summary", {}, "Use a model of your own"),
      how,
      h("label", { for: id, class: "bw-label" }, "Files of the model "),
      input,
      this.verdict,
      python,
    );
  }

  #adopt(files) {
    try {
      const found = modelFiles(files);
      this.verdict.textContent = "Reading the files …";
      const seq = this.#register("adopt", ({ message }) => this.#refuse(message));
      this.model.send({ kind: "adopt", seq, files: found });
    } catch (error) {
      this.#refuse(error.message);
    }
  }

  #refuse(why) {
    this.own.open = true;
    this.verdict.textContent = `✗ ${why.replace(/\.$/, "")}. What was here before goes on.`;
  }

  #adopted({ name, config }) {
    this.verdict.textContent = `✓ Read: ${sizeOf(config)}.`;
    this.name = name;
    this.config = config;
    this.state = "ready";
    this.#drawBar();
    this.#announce();
  }

  #leave() {
    this.config = this.model.get("model").config;
    this.verdict.textContent = "";
    this.state = "unknown"; // what comes next is asked anew
    this.model.send({
      kind: "leave",
      seq: this.#register("status", (content) => this.#take(content)),
    });
  }
}

/** @param {{n_layers: number, n_heads: number, emb_dim: number, vocab_size: number}} config */
const sizeOf = ({ n_layers, n_heads, emb_dim, vocab_size }) =>
  `${count(n_layers, "block")}, ${count(n_heads, "head")}, ${grouped(emb_dim)} numbers a token, ${grouped(vocab_size)} tokens`;
