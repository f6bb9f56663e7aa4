/**
 * Requests as a model reads them, and what they are as tokens: what llmbook_utils/instruct.py does.
 *
 * @typedef {{plain: string, with_input: string}} PromptStyle
 * @typedef {import("./tokens.js").Token} Token
 * @typedef {{tokens: Token[], truncated: boolean}} Tokenized  `truncated`: the text is longer than
 *   what is tokenized
 */
import { strip } from "../engine/text.js";

/** @import { Live } from "./live.js" */

/**
 * The text that a model reads before it answers; a request without an instruction is refused.
 * @param {string} instruction
 * @param {string} input
 * @param {PromptStyle} style
 */
export function formatPrompt(instruction, input, style) {
  const asked = { instruction: strip(instruction), input: strip(input) };
  if (!asked.instruction) throw new Error("the instruction is empty; say what the model should do");
  const template = asked.input ? style.with_input : style.plain;
  // both at once: what a reader typed is no place to fill in
  return template.replace(/\{(instruction|input)\}/g, (_, name) => asked[name]);
}

/** What texts are as tokens, each asked for once; no model has to be there. */
export class Tokenizer {
  /** @param {Live} live  @param {Record<string, Token[]>} [known]  those that are stored */
  constructor(live, known = {}) {
    this.live = live;
    /** @type {Map<string, Tokenized>} */
    this.known = new Map(
      Object.entries(known).map(([text, tokens]) => [text, { tokens, truncated: false }]),
    );
    /** @type {Map<string, Promise<Tokenized | null>>} */
    this.asked = new Map();
  }

  /** Null where they could not be had; the reader is told. @param {string} text */
  async of(text) {
    const known = this.known.get(text);
    if (known) return known;
    const asked = this.asked.get(text) ?? this.#ask(text);
    this.asked.set(text, asked);
    const found = await asked;
    this.asked.delete(text); // one that failed is tried again
    if (found) this.known.set(text, found);
    return found;
  }

  /** @param {string} text  @returns {Promise<Tokenized | null>} */
  async #ask(text) {
    const request = { kind: "tokenize", text, encoding: 0 };
    const reply = await this.live.ask(request, `tokenize ${text}`);
    if (!reply) return null;
    const tokens = reply.chunks.flatMap((chunk) => chunk.tokens);
    return { tokens, truncated: reply.truncated };
  }
}
