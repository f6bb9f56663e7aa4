/**
 * Answers a widget's requests on a page without a kernel, with the same messages that Python sends in a notebook.
 * Loaded at the first request. A later kind of request is one more entry in `answers`.
 */
import { readRanks, tokenize } from "./bpe.js";

/** @type {Map<string, Promise<import("./bpe.js").Ranks>>} */
const loaded = new Map();

/** @param {string} source  a file beside this module, or a data: URL */
async function load(source) {
  const response = await fetch(new URL(source, import.meta.url));
  if (!response.ok) throw new Error(`${source} could not be loaded (${response.status}); is the page online?`);
  return readRanks(await response.arrayBuffer());
}

/** @param {string} source */
function ranksFrom(source) {
  if (!loaded.has(source)) {
    const ranks = load(source);
    loaded.set(source, ranks);
    ranks.catch(() => loaded.delete(source)); // so that the next request tries again
  }
  return loaded.get(source);
}

const answers = {
  /** @param {{seq: number, text: string, encoding: number}} message */
  async tokenize({ seq, text, encoding }, get) {
    const ranks = await ranksFrom(get("encodings")[encoding].ranks);
    return { kind: "tokenize", seq, ...tokenize(text, ranks) };
  },
};

/**
 * @param {{kind: string, seq: number}} message
 * @param {(name: string) => any} get  reads the widget's state
 */
export async function answer(message, get) {
  try {
    return await answers[message.kind](message, get);
  } catch (error) {
    return { kind: "error", seq: message.seq, message: String(error?.message ?? error) };
  }
}
