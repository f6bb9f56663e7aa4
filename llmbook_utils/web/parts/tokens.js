/**
 * What the widgets that show tokens share: how bytes are shown, the text field, and the request for
 * its tokens. The view never computes tokens: it asks `{kind: "tokenize", seq, text, encoding}` and
 * draws the reply.
 *
 * @typedef {{id: number, bytes: number[]}} Token
 * @typedef {{text: string, tokens: Token[], merges: {at: number, id: number}[]}} Chunk
 * @typedef {{text: string, truncated: boolean, chunks: Chunk[]}} Reply
 * @typedef {{name: string, size: number, endOfText: number | null, ranks: string}} Encoding
 */
import { LIMIT } from "../engine/limit.js";
import { button, h, uniqueId } from "./dom.js";
import { grouped } from "./numbers.js";

const MARKS = { " ": ["␣", "space"], "\n": ["⏎", "new line"], "\t": ["⇥", "tab"] };

/** @param {number[]} bytes  [32, 104] -> "20 68" */
export const hex = (bytes) =>
  bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");

/** @param {string} character  U+00A0 -> "U+00A0" */
const codePoint = (character) =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;

/** @param {number[]} bytes  @returns {string | null} null when they are not whole characters */
export function decode(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Uint8Array.from(bytes),
    );
  } catch {
    return null;
  }
}

/**
 * Bytes as a reader sees them: white space and what has no shape as marks, bytes that are not whole
 * characters in hex.
 * @param {number[]} bytes
 * @returns {{text: string, name: string | null}[]} `name` says what a mark stands for; null for
 *   plain text
 */
export function pieces(bytes) {
  const text = decode(bytes);
  if (text === null) return [{ text: hex(bytes), name: "bytes" }];
  return (text.match(/[\p{Z}\p{C}]|[^\p{Z}\p{C}]+/gu) ?? []).map((part) => {
    if (/[\p{Z}\p{C}]/u.test(part))
      return { text: (MARKS[part] ?? [codePoint(part)])[0], name: (MARKS[part] ?? [0, "code"])[1] };
    return { text: /^\p{M}/u.test(part) ? `◌${part}` : part, name: null };
  });
}

/** @param {number[]} bytes  what a screen reader says */
export const spoken = (bytes) =>
  pieces(bytes)
    .map(({ text, name }) =>
      name === null || name === "code" ? text : name === "bytes" ? `bytes ${text}` : name,
    )
    .join(" ");

/** @param {number[]} bytes  @returns {Node[]} */
export const drawBytes = (bytes) =>
  pieces(bytes).map(({ text, name }) =>
    name === null
      ? document.createTextNode(text)
      : h("span", { class: `bw-mark bw-mark-${name === "bytes" ? "bytes" : "space"}` }, text),
  );

/** A token as a word of a sentence: without the space in front, which most have. */
export const asWord = (bytes) =>
  pieces(bytes)
    .map(({ text }, i) => (i === 0 && text === "␣" ? "" : text))
    .join("");

const LEGEND = {
  space: "␣ space",
  "new line": "⏎ new line",
  tab: "⇥ tab",
  code: "U+00A0 a character without a shape",
  bytes: "F0 9F bytes that are not whole characters",
};

/** The marks that occur among the tokens, explained. @param {Token[]} tokens */
export function legend(tokens) {
  const names = new Set(tokens.flatMap(({ bytes }) => pieces(bytes).map(({ name }) => name)));
  return Object.keys(LEGEND)
    .filter((name) => names.has(name))
    .map((name) => LEGEND[name]);
}

/** @param {Reply} reply  @returns {Token[]} */
export const tokensOf = (reply) => reply.chunks.flatMap((chunk) => chunk.tokens);

/**
 * What a reader has to know about a reply besides its tokens.
 * @param {string} asked  the text that was sent
 * @param {Reply} reply
 * @param {Encoding} encoding
 * @returns {string[]}
 */
function notices(asked, reply, encoding) {
  const found = [];
  if (reply.text === "") found.push("There is no text yet: type something to see its tokens.");
  if (reply.truncated)
    found.push(`Only the first ${grouped(LIMIT)} characters are tokenized here.`);
  if (/\p{Surrogate}/u.test(asked)) {
    found.push(
      "The text had half of a character (a lone surrogate), which no UTF-8 bytes exist for; U+FFFD stands in its place.",
    );
  }
  if (encoding.endOfText !== null && reply.text.includes("<|endoftext|>")) {
    found.push(
      `“<|endoftext|>” typed here is ordinary text like any other, not the special token ${grouped(encoding.endOfText)}.`,
    );
  }
  return found;
}

let requests = 0;

/**
 * The text field with its encoding selector and notices; `onReply(reply, encoding)` is called with
 * what to draw.
 */
export class TokenSource {
  /** @param {{model: any, onReply: (reply: Reply, encoding: Encoding) => void}} options */
  constructor({ model, onReply }) {
    this.model = model;
    this.onReply = onReply;
    this.timer = 0;
    this.seq = 0;
    this.asked = model.get("text");
    this.listen = (message) => this.#receive(message);
    model.on("msg:custom", this.listen);
    this.area = h("textarea", {
      class: "bw-text",
      id: uniqueId(),
      rows: 2,
      spellcheck: "false",
      oninput: () => this.#later(),
    });
    this.area.value = this.asked;
    const onchange = () => this.#ask();
    const names = model.get("encodings").map(({ name }, i) => h("option", { value: i }, name));
    this.select = h("select", { class: "bw-select", id: uniqueId(), onchange }, ...names);
    this.notes = h("div", { class: "bw-notes", role: "status" });
    this.element = h("div", {}, this.#bar(), this.area, this.notes);
  }

  /** Draw the stored example. */
  start() {
    this.#show(this.model.get("replies")[0]);
  }

  stop() {
    clearTimeout(this.timer);
    this.model.off("msg:custom", this.listen);
  }

  get encoding() {
    return this.model.get("encodings")[this.select.value];
  }

  #bar() {
    const label = h("label", { for: this.area.id, class: "bw-label" }, "Text");
    const choice = [
      h("label", { for: this.select.id, class: "bw-label" }, "Encoding"),
      this.select,
    ];
    const reset = button("Reset", () => this.#reset());
    const several = this.model.get("encodings").length > 1;
    return h(
      "div",
      { class: "bw-bar" },
      label,
      h("span", { class: "bw-gap" }),
      ...(several ? choice : []),
      reset,
    );
  }

  #reset() {
    this.area.value = this.model.get("text");
    this.select.value = 0;
    this.#ask();
  }

  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#ask(), 200);
  }

  #ask() {
    clearTimeout(this.timer);
    this.seq = requests += 1; // an answer to an earlier request is dropped
    this.asked = this.area.value;
    if (this.asked === this.model.get("text"))
      return this.#show(this.model.get("replies")[this.select.value]);
    this.timer = setTimeout(() => this.#note(["Reading the text …"]), 400);
    // two units a character at most, one character beyond the limit: enough for the answerer to see
    // that it has to cut
    const text = this.asked.slice(0, 2 * (LIMIT + 1));
    this.model.send({ kind: "tokenize", seq: this.seq, text, encoding: Number(this.select.value) });
  }

  #receive(message) {
    if (message.seq !== this.seq) return;
    clearTimeout(this.timer);
    if (message.kind === "error")
      return this.#note([`The text could not be tokenized: ${message.message}.`]);
    this.#show(message);
  }

  #show(reply) {
    this.#note(notices(this.asked, reply, this.encoding));
    this.onReply(reply, this.encoding);
  }

  #note(texts) {
    this.notes.replaceChildren(...texts.map((text) => h("p", { class: "bw-note" }, text)));
  }
}
