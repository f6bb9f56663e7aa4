/**
 * Byte-level BPE in plain JavaScript: the encoder that answers on a page without a kernel.
 *
 * A token's bytes are held as a string with one character (U+0000 to U+00FF) a byte, so that a
 * `Map` can find them: the two bytes of "é" are the string "Ã©". The ranks are the ids: of two
 * possible merges the one with the smaller id comes first. Built in Python in
 * chapters/02-working-with-text-data.ipynb; the tests hold the two to the same ids.
 *
 * @typedef {Map<string, number>} Ranks  bytes of a token -> its id
 * @typedef {{id: number, bytes: number[]}} Token
 * @typedef {{at: number, id: number}} Merge  joins the parts `at` and `at + 1` into the token `id`
 * @typedef {{text: string, tokens: Token[], merges: Merge[]}} Chunk
 */
import { LIMIT } from "./limit.js";

/**
 * GPT-2's split pattern, the same string as in llmbook_utils/tokenizer.py: no token crosses the
 * border of a chunk.
 */
export const GPT2_SPLIT = String.raw`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+`;

const pattern = new RegExp(GPT2_SPLIT, "gu");

/** @param {Iterable<number>} bytes */
const toName = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
/** @param {string} name */
const toBytes = (name) => Array.from(name, (character) => character.charCodeAt(0));

/**
 * Read ranks: 256 bytes (those of the ids 0 to 255), then for each merge, in order, the ids of the
 * two tokens that it joins, as little-endian 16-bit numbers.
 * @param {ArrayBuffer} data
 * @returns {Ranks}
 */
export function readRanks(data) {
  const names = [...toName(new Uint8Array(data, 0, 256))];
  const pairs = new DataView(data, 256);
  for (let at = 0; at < pairs.byteLength; at += 4) {
    names.push(names[pairs.getUint16(at, true)] + names[pairs.getUint16(at + 2, true)]);
  }
  return new Map(names.map((name, id) => [name, id]));
}

/**
 * How GPT-2's files write each byte: as its Latin-1 character where that can be seen, else from
 * U+0100 on.
 */
function visibleBytes() {
  const isSeen = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let hidden = 0;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isSeen(byte) ? byte : 256 + hidden++),
  );
}

/**
 * Read GPT-2's two files.
 * @param {string} vocab  a JSON object: token -> id
 * @param {string} merges  a line for each merge: the two parts
 * @returns {{ranks: Ranks, special: Map<string, number>}}  `special`: tokens that no merge makes
 */
export function readTokenizerFiles(vocab, merges) {
  let ids;
  try {
    ids = new Map(Object.entries(JSON.parse(vocab)));
  } catch {
    throw new Error("vocab.json is not valid JSON; get it again");
  }
  const byteOf = new Map(visibleBytes().map((character, byte) => [character, byte]));
  const lines = merges.split(/\r?\n/).filter((line) => line && !line.startsWith("#version"));
  const made = lines.map((line) => line.split(" ").join(""));
  const tokens = [...byteOf.keys(), ...made];
  const unknown = tokens.find(
    (token) => !ids.has(token) || [...token].some((character) => !byteOf.has(character)),
  );
  if (unknown !== undefined)
    throw new Error(
      `the tokenizer's files do not fit together: ${JSON.stringify(unknown)} is not in vocab.json`,
    );
  if (made.some((token, i) => i > 0 && ids.get(token) < ids.get(made[i - 1])))
    throw new Error("vocab.json: the ids are not in the order of the merges");
  const name = (token) => toName([...token].map((character) => Number(byteOf.get(character))));
  const ranks = new Map(tokens.map((token) => [name(token), ids.get(token)]));
  for (const token of tokens) ids.delete(token);
  return { ranks, special: ids };
}

/**
 * @param {number[]} numbers
 * @returns {number} the index of the smallest, the first among equals
 */
function indexOfSmallest(numbers) {
  let best = 0;
  for (let i = 1; i < numbers.length; i += 1) if (numbers[i] < numbers[best]) best = i;
  return best;
}

/**
 * Merge the bytes of one chunk: again and again the pair of neighbors with the smallest rank, the
 * leftmost among equals, until no pair is in the ranks.
 * @param {string} text
 * @param {Ranks} ranks
 * @returns {Chunk}
 */
export function encodeChunk(text, ranks) {
  const parts = [...toName(new TextEncoder().encode(text))];
  const rankOf = (at) =>
    (at + 1 < parts.length && ranks.get(parts[at] + parts[at + 1])) || Infinity;
  const found = parts.map((_, at) => rankOf(at)); // the rank of each part with its right neighbor
  const merges = [];
  for (let at = indexOfSmallest(found); found[at] < Infinity; at = indexOfSmallest(found)) {
    merges.push({ at, id: found[at] });
    parts.splice(at, 2, parts[at] + parts[at + 1]);
    found.splice(at, 2, rankOf(at));
    if (at > 0) found[at - 1] = rankOf(at - 1);
  }
  return {
    text,
    tokens: parts.map((part) => ({ id: Number(ranks.get(part)), bytes: toBytes(part) })),
    merges,
  };
}

/**
 * Cut a text to its first `LIMIT` characters, put U+FFFD for each lone surrogate, and tokenize what
 * that gives.
 * @param {string} text
 * @param {Ranks} ranks
 * @returns {{text: string, truncated: boolean, chunks: Chunk[]}}
 */
export function tokenize(text, ranks) {
  const characters = [...text];
  const read = characters
    .slice(0, LIMIT)
    .join("")
    .replace(/\p{Surrogate}/gu, "\uFFFD");
  const chunks = (read.match(pattern) ?? []).map((chunk) => encodeChunk(chunk, ranks));
  return { text: read, truncated: characters.length > LIMIT, chunks };
}

/** The ids of a text. @param {string} text  @param {Ranks} ranks  @returns {number[]} */
export const encode = (text, ranks) =>
  (text.match(pattern) ?? []).flatMap((chunk) =>
    encodeChunk(chunk, ranks).tokens.map(({ id }) => id),
  );
