/** Tokenizer explorer: a text as tokens, and how byte pair encoding built each of them. */
import { frame, h, opensOn, reveal, segments, tiles } from "../parts/dom.js";
import { chip, Listbox } from "../parts/listbox.js";
import { count, grouped } from "../parts/numbers.js";
import { Stepper } from "../parts/stepper.js";
import { drawBytes, hex, legend, spoken, tokensOf, TokenSource } from "../parts/tokens.js";

/** @import { Chunk, Reply } from "../parts/tokens.js" */

const SHOW = {
  text: (token) => drawBytes(token.bytes),
  ids: (token) => [String(token.id)],
  bytes: (token) => [hex(token.bytes)],
};

/**
 * The parts of a chunk after its first `step` merges.
 * @param {Chunk} chunk
 * @param {number} step
 * @returns {number[][]} the bytes of each part
 */
export function partsAfter(chunk, step) {
  const parts = Array.from(new TextEncoder().encode(chunk.text), (byte) => [byte]);
  for (const { at } of chunk.merges.slice(0, step))
    parts.splice(at, 2, [...parts[at], ...parts[at + 1]]);
  return parts;
}

/** @param {Reply} reply */
export function counts(reply) {
  const tokens = tokensOf(reply).length;
  const bytes = new TextEncoder().encode(reply.text).length;
  return {
    characters: [...reply.text].length,
    bytes,
    tokens,
    ratio: tokens ? bytes / tokens : null,
  };
}

/**
 * The token to open first: the first of a chunk that took at least two merges.
 * @param {Reply} reply
 */
export function mostTelling(reply) {
  let index = 0;
  for (const { tokens, merges } of reply.chunks) {
    if (merges.length > 1) return index;
    index += tokens.length;
  }
  return 0;
}

class Explorer {
  constructor(model) {
    this.show = "text";
    this.chosen = null;
    this.source = new TokenSource({
      model,
      onReply: (reply, encoding) => this.#take(reply, encoding),
    });
    this.tiles = h("div", { class: "bw-tiles" });
    this.legend = h("p", { class: "bw-legend" });
    this.strip = new Listbox({ label: "Tokens", onChoose: (index) => this.#choose(index) });
    this.summary = h("p", { class: "bw-summary", "aria-live": "polite" });
    this.facts = h("div", { class: "bw-facts" });
    this.steps = new Stepper({ noun: "step", playable: true, onStep: () => this.#drawStep() });
    this.parts = h("div", {
      class: "bw-parts",
      role: "group",
      "aria-label": "Parts of the chunk",
      tabindex: 0,
    });
    this.caption = h("p", { class: "bw-caption", "aria-live": "polite" });
    this.element = this.#layout();
    this.source.start();
  }

  #layout() {
    const shown = segments("Show as", Object.keys(SHOW), (show) => {
      this.show = show;
      this.#drawStrip();
    });
    this.details = h(
      "div",
      { class: "bw-panel" },
      this.facts,
      this.steps.element,
      this.parts,
      this.caption,
    );
    const row = h("div", { class: "bw-bar" }, shown, this.legend);
    const hint = h(
      "p",
      { class: "bw-legend" },
      "Choose a token, by a click or with the arrow keys, to see how it was built.",
    );
    opensOn(this.source.area, this.strip.element);
    return frame(
      "Tokenizer explorer",
      this.source.element,
      row,
      this.strip.element,
      hint,
      this.summary,
      this.details,
      this.tiles,
    );
  }

  #take(reply, encoding) {
    this.reply = reply;
    this.encoding = encoding;
    this.tokens = tokensOf(reply);
    this.owners = reply.chunks.flatMap((chunk, i) => chunk.tokens.map(() => i));
    this.chosen ??= mostTelling(reply);
    this.chosen = Math.max(0, Math.min(this.chosen, this.tokens.length - 1));
    const { characters, bytes, tokens, ratio } = counts(reply);
    const average = ratio === null ? "–" : ratio.toFixed(2);
    this.tiles.replaceChildren(
      ...tiles([
        ["characters", grouped(characters)],
        ["bytes", grouped(bytes)],
        ["tokens", grouped(tokens)],
        ["bytes per token", average],
      ]),
    );
    this.legend.textContent = legend(this.tokens).join("   ");
    this.#drawStrip();
    this.#open();
  }

  #drawStrip() {
    let index = 0;
    const chunks = this.reply.chunks.map(({ tokens }, i) => {
      const chips = tokens.map((token) => this.#chip(token, index++));
      return h(
        "span",
        { role: "group", class: "bw-chunk", "aria-label": `chunk ${i + 1}` },
        ...chips,
      );
    });
    this.strip.show(chunks, this.chosen);
  }

  #chip(token, index) {
    const label = `${spoken(token.bytes)}, id ${token.id}`;
    return chip(index, label, ...SHOW[this.show](token));
  }

  #choose(index) {
    this.chosen = index;
    this.#open();
  }

  /** Draw what belongs to the chosen token. */
  #open() {
    const token = this.tokens[this.chosen];
    this.details.hidden = !token;
    const { characters, tokens } = counts(this.reply);
    this.summary.textContent = `${count(characters, "character")} make ${count(tokens, "token")} in ${this.encoding.name}`;
    if (!token) return this.steps.reset(0);
    const chunk = this.reply.chunks[this.owners[this.chosen]];
    this.summary.append(
      "; chosen is token ",
      `${grouped(this.chosen + 1)}, “`,
      ...drawBytes(token.bytes),
      `”, with id ${token.id}.`,
    );
    this.#drawFacts(token, chunk);
    if (chunk !== this.chunk) this.steps.reset(chunk.merges.length);
    this.chunk = chunk;
    this.#drawStep();
  }

  #drawFacts(token, chunk) {
    const row = (name, ...value) => h("div", {}, h("span", {}, name), " ", h("b", {}, ...value));
    const parts = chunk.tokens.length === 1 ? "one token" : count(chunk.tokens.length, "token");
    const whole = drawBytes([...new TextEncoder().encode(chunk.text)]);
    this.facts.replaceChildren(
      row("Token", ...drawBytes(token.bytes)),
      row("Id", String(token.id)),
      row("Bytes", hex(token.bytes)),
      row("Chunk", ...whole, ` (${parts}, ${count(chunk.merges.length, "merge")})`),
    );
  }

  #drawStep() {
    const { chunk, steps } = this;
    const joined = chunk.merges[steps.step - 1]?.at;
    const next = chunk.merges[steps.step]?.at;
    const role = (i) =>
      i === joined ? " bw-joined" : i === next || i === next + 1 ? " bw-next" : "";
    const draw = (bytes, i) =>
      h("span", { class: `bw-part${role(i)}` }, h("span", {}, ...drawBytes(bytes)));
    const parts = partsAfter(chunk, steps.step);
    this.parts.replaceChildren(...parts.map(draw));
    reveal(this.parts, this.parts.children[joined ?? next]);
    this.caption.replaceChildren(...this.#explain(parts));
  }

  /** @param {number[][]} parts  @returns {(Node | string)[]} */
  #explain(parts) {
    const { chunk, steps, encoding } = this;
    const done = steps.step === steps.last;
    const end = done ? " No two neighbors are in the list of merges: these are the tokens." : "";
    if (steps.step === 0) {
      const merge = done ? end : " The pair with the dashed border merges first.";
      return [`The chunk starts as ${count(parts.length, "byte")}.${merge}`];
    }
    const { at, id } = chunk.merges[steps.step - 1];
    const [left, right] = partsAfter(chunk, steps.step - 1).slice(at, at + 2);
    const place = `merge ${grouped(id - 255)} of ${grouped(encoding.size - 256)}`;
    return [
      "“",
      ...drawBytes(left),
      "” and “",
      ...drawBytes(right),
      `” become “`,
      ...drawBytes(parts[at]),
      `”, token ${id}: ${place} in the list.${end}`,
    ];
  }

  stop() {
    this.steps.stop();
    this.source.stop();
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const explorer = new Explorer(model);
  el.append(explorer.element);
  return () => explorer.stop();
}

export default { render };
