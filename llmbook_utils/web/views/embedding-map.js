/**
 * Embedding map: words as points, by the vectors that a model has for their tokens, and the nearest
 * tokens of each.
 */
import { button, fold, h, line, opensOn, scroller, shareBar, tableHead } from "../parts/dom.js";
import { svg } from "../parts/drawing.js";
import { Instrument } from "../parts/instrument.js";
import { chip, Listbox } from "../parts/listbox.js";
import { Live, rowOf } from "../parts/live.js";
import { count, decimal, grouped } from "../parts/numbers.js";
import { asWord, decode, drawBytes, spoken } from "../parts/tokens.js";
import { EXPERIMENTS } from "./experiments/embedding-map.js";

const WIDTHS = [280, 640]; // of the picture: a narrow page has a narrow one, not a small one
const HEIGHT = 420;
const NEAR_DOT = 11; // how close the middle of a name may come to another word's dot
const NEIGHBORS = 10;
const DRAWN = 5; // of the neighbors; the list has them all

/**
 * The words of a text that are one token each, and those that are not.
 * @param {{id: number, bytes: number[]}[]} tokens
 */
export function wholeWords(tokens) {
  const words = []; // the tokens of each word
  tokens.forEach((token, at) =>
    token.bytes[0] === 32 || !words.length
      ? words.push([{ ...token, at }])
      : words.at(-1).push({ ...token, at }),
  );
  const text = (parts) =>
    new TextDecoder().decode(Uint8Array.from(parts.flatMap(({ bytes }) => bytes)));
  const seen = new Set();
  const isNew = ({ id }) => !seen.has(id) && seen.add(id);
  return {
    whole: words
      .filter((parts) => parts.length === 1)
      .map(([token]) => token)
      .filter(isNew),
    cut: words
      .filter((parts) => parts.length > 1)
      .map((parts) => ({ word: text(parts).trim(), parts: parts.length })),
  };
}

const dotProduct = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/**
 * The longest axis of the vectors, and what is left of them without it.
 * @param {number[][]} vectors  around 0
 */
function longestAxis(vectors) {
  let axis = [
    ...vectors.reduce((best, v) => (dotProduct(v, v) > dotProduct(best, best) ? v : best)),
  ];
  for (let i = 0; i < 200; i += 1) {
    const next = new Array(axis.length).fill(0);
    for (const v of vectors) {
      const share = dotProduct(v, axis);
      v.forEach((value, c) => (next[c] += share * value));
    }
    const length = Math.hypot(...next) || 1;
    axis = next.map((value) => value / length);
  }
  const rest = vectors.map((v) => {
    const share = dotProduct(v, axis);
    return v.map((value, c) => value - share * axis[c]);
  });
  return { axis, rest };
}

/**
 * The plane in which vectors differ most (their first two principal components).
 * @param {number[][]} vectors
 * @returns {{place: (v: ArrayLike<number>) => [number, number], share: number}}  `share`: of the
 *   squared differences that it keeps
 */
export function plane(vectors) {
  const mean = vectors[0].map((_, c) => vectors.reduce((sum, v) => sum + v[c], 0) / vectors.length);
  const centered = vectors.map((v) => v.map((value, c) => value - mean[c]));
  const first = longestAxis(centered);
  const second = longestAxis(first.rest);
  /** @returns {[number, number]} */
  const place = (v) => {
    const around = Array.from(v, (value, c) => value - mean[c]);
    return [dotProduct(around, first.axis), dotProduct(around, second.axis)];
  };
  const squares = (list) => list.reduce((sum, v) => sum + dotProduct(v, v), 0);
  return { place, share: squares(centered) ? 1 - squares(second.rest) / squares(centered) : 1 };
}

/**
 * Move labels up and down until none covers another, or another's dot.
 * @param {{x: number, y: number, width: number, dotX?: number, dotY?: number}[]} labels  changed in
 *   place: left edge, base line, width; the dot stays
 */
export function spread(labels, height = 15) {
  for (let round = 0; round < 300; round += 1) {
    let moved = round < 200 && keepOffDots(labels);
    for (let i = 0; i < labels.length; i += 1) {
      for (let j = 0; j < i; j += 1) {
        const [a, b] = labels[i].y < labels[j].y ? [labels[i], labels[j]] : [labels[j], labels[i]];
        if (a.x > b.x + b.width || b.x > a.x + a.width || b.y - a.y >= height) continue;
        const push = (height - (b.y - a.y)) / 2;
        a.y -= push;
        b.y += push;
        moved = true;
      }
    }
    if (!moved) return;
  }
}

/** Push labels off the dots of others; tells whether any was moved. */
function keepOffDots(labels) {
  let moved = false;
  for (const label of labels) {
    for (const { dotX, dotY } of labels) {
      if (dotX === undefined || (dotX === label.dotX && dotY === label.dotY)) continue;
      const off = label.y - 4 - dotY;
      const beside = dotX < label.x - 5 || dotX > label.x + label.width + 3;
      if (beside || Math.abs(off) >= NEAR_DOT) continue;
      label.y += (off < 0 ? -1 : 1) * Math.min(NEAR_DOT - Math.abs(off), 3);
      moved = true;
    }
  }
  return moved;
}

class EmbeddingMap {
  constructor(model) {
    this.live = new Live({
      model,
      label: "Words",
      code: 'EmbeddingMap("king queen dog cat", model="path/of/the/folder")',
      onChange: () => this.update(),
    });
    const onChoose = (index) => this.#choose(index);
    this.strip = new Listbox({ label: "Words", kind: "bw-words", onChoose });
    this.picture = scroller("Picture");
    this.picture.classList.add("bw-picture");
    this.summary = h("p", { class: "bw-summary", "aria-live": "polite" });
    this.list = h("div", { class: "bw-neighbors" });
    this.left = h("p", { class: "bw-legend" });
    const hint = h(
      "p",
      { class: "bw-legend" },
      "Choose a word, by a click or with the arrow keys, to see its nearest tokens; press one of them to add it.",
    );
    opensOn(this.strip.element, this.picture);
    this.element = this.live.frame(
      "Embedding map",
      this.strip.element,
      this.left,
      this.picture,
      this.summary,
      hint,
      fold(`The ${NEIGHBORS} nearest tokens`, this.list),
    );
    this.instrument = new Instrument(this, EXPERIMENTS);
    this.chosen = 0;
    this.sizes = new ResizeObserver(() => this.#width() !== this.width && this.#draw());
    this.sizes.observe(this.element);
    this.#takeWords(this.live.example("words")[0]);
    this.#takeNeighbors(this.live.example("neighbors")[0]);
    this.live.start();
  }

  async update() {
    if (!this.live.ready && this.live.isExample) {
      this.#takeWords(this.live.example("words")[0]);
      return this.#takeNeighbors(this.live.example("neighbors")[0]);
    }
    const words = this.live.text.split(/[\s,;]+/).filter(Boolean);
    const reply = await this.live.ask({
      kind: "run",
      text: words.map((word) => ` ${word}`).join(""),
      want: ["token_embedding"],
    });
    if (!reply) return;
    this.#takeWords(reply);
    await this.#ask();
  }

  #takeWords(reply) {
    const { whole, cut } = wholeWords(reply.tokens);
    const before = this.words?.[this.chosen]?.id;
    this.words = whole.map((token) => ({
      ...token,
      vector: Array.from(rowOf(reply.tensors.token_embedding, token.at)),
    }));
    this.chosen = Math.max(
      0,
      this.words.findIndex(({ id }) => id === before),
    );
    const parts = cut.map(({ word, parts: n }) => `“${word}” (${n} tokens)`).join(", ");
    this.left.textContent =
      parts && `Left out, because the model has no single vector for them: ${parts}.`;
    this.neighbors = null;
    // the same words stay as they are: a chip that is being pressed must not go away
    const ids = this.words.map(({ id }) => id).join();
    if (ids !== this.ids) this.#drawStrip();
    this.ids = ids;
    this.#draw();
  }

  async #ask() {
    const word = this.words[this.chosen];
    if (!word) return;
    const reply = await this.live.ask({
      kind: "neighbors",
      ids: [word.id],
      options: { n: NEIGHBORS },
    });
    if (reply && reply.tokens[0].id === this.words[this.chosen]?.id) this.#takeNeighbors(reply);
  }

  #takeNeighbors(reply) {
    this.chosen = Math.max(
      0,
      this.words.findIndex(({ id }) => id === reply.tokens[0].id),
    );
    this.neighbors = reply.neighbors.map((token, i) => ({
      ...token,
      vector: rowOf(reply.tensors.vectors, i),
    }));
    this.strip.mark(this.chosen);
    this.#draw();
  }

  read() {
    return { text: this.live.text, word: asWord(this.words[this.chosen]?.bytes ?? []) };
  }

  /** @param {Record<string, string>} state */
  async apply({ text = this.live.model.get("text"), word = "" }) {
    this.live.put(text);
    await this.update();
    const index = this.words.findIndex(({ bytes }) => asWord(bytes) === word);
    if (index >= 0) await this.#choose(index);
  }

  facts() {
    const near = (this.neighbors ?? []).map(({ bytes, similarity }) => ({
      name: asWord(bytes),
      is: similarity.toFixed(2),
    }));
    const [one, two, three] = near;
    return {
      word: asWord(this.words[this.chosen].bytes),
      one: one.name,
      oneIs: one.is,
      two: two.name,
      twoIs: two.is,
      three: three.name,
      threeIs: three.is,
    };
  }

  async #choose(index) {
    const before = this.chosen;
    this.chosen = index;
    this.strip.mark(index);
    if (index === before && this.neighbors) return;
    if (!this.live.ready) {
      this.chosen = before; // the picture stays that of the word whose neighbors are there
      this.strip.mark(before);
      this.live.need(this.strip.element, () => this.#choose(index));
      return;
    }
    this.neighbors = null;
    this.#draw();
    await this.#ask();
  }

  #drawStrip() {
    const draw = ({ bytes, id }, i) => chip(i, `${spoken(bytes)}, id ${id}`, ...drawBytes(bytes));
    this.strip.show(this.words.map(draw), this.chosen);
    this.strip.element.hidden = !this.words.length;
  }

  #draw() {
    const { words, chosen } = this;
    const enough = words.length > 2;
    this.picture.hidden = !enough;
    this.#drawList();
    if (!enough)
      return void (this.summary.textContent =
        "A picture needs three words or more that are one token each.");
    const { place, share } = plane(words.map(({ vector }) => vector));
    const isWord = new Set(words.map(({ id }) => id));
    const others = (this.neighbors ?? []).slice(0, DRAWN).filter(({ id }) => !isWord.has(id));
    const points = [
      ...words.map((word, i) => ({
        ...word,
        index: i,
        kind: i === chosen ? "chosen" : "word",
        at: place(word.vector),
      })),
      ...others.map((token) => ({ ...token, kind: "near", at: place(token.vector) })),
    ];
    this.picture.replaceChildren(this.#svg(points));
    const best = (this.neighbors ?? [])
      .slice(0, 3)
      .map(({ bytes, similarity }) => `“${asWord(bytes)}” (${similarity.toFixed(2)})`);
    const nearest = best.length
      ? `Nearest to “${asWord(words[chosen].bytes)}” are ${best.join(", ")}. `
      : "";
    this.summary.textContent = `${nearest}The picture keeps ${Math.round(100 * share)} % of the squared differences between the ${count(words.length, "vector")} of ${grouped(words[0].vector.length)} numbers.`;
  }

  /** The width of the picture, in the pixels that its names are written in. */
  #width() {
    const room = this.element.clientWidth - 30;
    return Math.min(Math.max(room, WIDTHS[0]), WIDTHS[1]);
  }

  #svg(points) {
    this.width = this.#width();
    const [xs, ys] = [0, 1].map((axis) => points.map(({ at }) => at[axis]));
    const [left, right, top, bottom] = [
      Math.min(...xs),
      Math.max(...xs),
      Math.min(...ys),
      Math.max(...ys),
    ];
    const scale = Math.min(
      (this.width - 60) / (right - left || 1),
      (HEIGHT - 60) / (bottom - top || 1),
    ); // the same both ways: distances count
    const labels = points.map((point) => {
      const x = 20 + (point.at[0] - left) * scale;
      const y = HEIGHT / 2 - (point.at[1] - (top + bottom) / 2) * scale;
      const text = asWord(point.bytes);
      const width = 7.9 * text.length + 4;
      // a name that would leave the picture stands on the left of its dot
      const start = x + 8 + width > this.width ? Math.max(0, x - 6 - width) : x + 8;
      return { ...point, dotX: x, dotY: y, x: start, y: y + 4, width, text };
    });
    spread(labels);
    // labels may have been moved out of the box
    const above = Math.min(0, ...labels.map(({ y }) => y - 14));
    const height = Math.max(HEIGHT, ...labels.map(({ y }) => y + 6)) - above;
    const title = `${points.length} tokens in the plane in which the vectors of the words differ most`;
    const plane = svg("svg", {
      viewBox: `0 ${above} ${this.width} ${height}`,
      role: "img",
      "aria-label": title,
      class: "bw-plane",
    });
    for (const label of labels) plane.append(...this.#point(label));
    plane.addEventListener(
      "click",
      (event) =>
        event.target.dataset.index !== undefined &&
        this.#choose(Number(event.target.dataset.index)),
    );
    return plane;
  }

  #point({ kind, index, dotX, dotY, x, y, width, text }) {
    const data = index === undefined ? {} : { "data-index": index };
    const dot = svg("circle", {
      cx: dotX.toFixed(1),
      cy: dotY.toFixed(1),
      r: kind === "chosen" ? 6 : 4,
      class: `bw-dot bw-dot-${kind}`,
      ...data,
    });
    const name = svg(
      "text",
      { x: x.toFixed(1), y: y.toFixed(1), class: `bw-dot-name bw-dot-name-${kind}`, ...data },
      text,
    );
    const leader = svg("line", {
      x1: dotX.toFixed(1),
      y1: dotY.toFixed(1),
      x2: (x > dotX ? x : x + width).toFixed(1),
      y2: (y - 4).toFixed(1),
      class: "bw-dot-line",
    });
    return Math.abs(y - 4 - dotY) > 4 ? [leader, dot, name] : [dot, name];
  }

  #drawList() {
    if (!this.neighbors) return this.list.replaceChildren();
    const row = ({ bytes, similarity }) => {
      const add = button("", () => this.#add(bytes));
      add.setAttribute("aria-label", `Add ${spoken(bytes)}`);
      add.append(...drawBytes(bytes));
      return line([add], [shareBar(similarity)], [decimal(similarity)]);
    };
    const caption = h(
      "caption",
      {},
      "Nearest to “",
      ...drawBytes(this.words[this.chosen].bytes),
      "” among all tokens, by cosine similarity",
    );
    const body = h("tbody", {}, ...this.neighbors.map(row));
    const head = tableHead("token", "", "similarity");
    this.list.replaceChildren(h("table", { class: "bw-table" }, caption, head, body));
  }

  #add(bytes) {
    const word = decode(bytes)?.trim();
    if (word) this.live.text = `${this.live.text.trimEnd()} ${word}`;
  }
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const view = new EmbeddingMap(model);
  el.append(view.element);
  return () => {
    view.sizes.disconnect();
    view.instrument.stop();
    view.live.stop();
  };
}

export default { render };
