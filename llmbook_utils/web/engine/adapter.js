/**
 * LoRA in the page: an adapter's thin matrices are added to the weights of a model, and taken out
 * again. As llmbook_utils/lora.py; the file is the one that `save_adapter` writes.
 *
 * @typedef {{A: Float32Array, B: Float32Array, rank: number}} Pair  A (rank, in), B (out, rank)
 * @typedef {{weight: Float32Array, bias: Float32Array, rows: number, cols: number}} Head
 * @typedef {{alpha: number, pairs: Map<string, Pair>, head: Head | null}} Adapter  the pairs by the
 *   names of our weights
 */
import { gpt2Name, readHeader, tensorReader } from "./checkpoint.js";
import { parameterShapes } from "./gpt.js";

/** What `peft` puts before the names of GPT-2's layers, and what it calls a classifier's head. */
const PREFIX = "base_model.model.";
const LAYERS = `${PREFIX}transformer.`;
const HEAD = `${PREFIX}score`;

/**
 * Read an adapter for a model of this shape; one of another base is refused with the shapes.
 * @param {import("./gpt.js").Config} config
 * @param {Blob} file  in the safetensors format
 * @param {number} alpha
 * @returns {Promise<Adapter>}
 */
export async function readAdapter(config, file, alpha) {
  const { entries, start } = await readHeader(file);
  const numbersOf = await tensorReader(file, entries, start);
  const floats = async (name) => Float32Array.from(await numbersOf(name));
  const pairs = new Map();
  let used = 0;
  for (const [ours, [rows, cols]] of Object.entries(parameterShapes(config))) {
    const layer = LAYERS + gpt2Name(ours).replace(/\.weight$/, "");
    const [nameA, nameB] = [`${layer}.lora_A.weight`, `${layer}.lora_B.weight`];
    if (!(nameA in entries && nameB in entries)) continue;
    const [rank, columns] = entries[nameA].shape;
    const change = [entries[nameB].shape[0], columns];
    if (change.join() !== [rows, cols].join() || entries[nameB].shape[1] !== rank)
      throw new Error(
        `the adapter is of another base: it changes ${ours} as a matrix of ${change.join(" × ")}, but this model's is ${rows} × ${cols}`,
      );
    pairs.set(ours, { A: await floats(nameA), B: await floats(nameB), rank });
    used += 2;
  }
  const head = await readHead(config, entries, floats);
  const known = used + Object.keys(entries).filter((name) => name.startsWith(`${HEAD}.`)).length;
  if (!pairs.size || known < Object.keys(entries).length)
    throw new Error("the file is no adapter of this model: a tensor in it changes no layer");
  return { alpha, pairs, head };
}

/** @returns {Promise<Head | null>} */
async function readHead({ emb_dim: C }, entries, floats) {
  const weight = entries[`${HEAD}.weight`];
  if (!weight) return null;
  const [rows, cols] = weight.shape;
  if (cols !== C)
    throw new Error(
      `the adapter is of another base: its head is ${rows} × ${cols}, but this model's vectors have ${C} numbers`,
    );
  const bias = `${HEAD}.bias` in entries ? await floats(`${HEAD}.bias`) : new Float32Array(rows);
  return { weight: await floats(`${HEAD}.weight`), bias, rows, cols };
}

/**
 * Rows of `width` numbers, those of shorter rows and zeros after them.
 * @param {Float32Array} numbers
 */
function widened(numbers, from, width) {
  const wide = new Float32Array((numbers.length / from) * width);
  for (let at = 0, to = 0; at < numbers.length; at += from, to += width)
    wide.set(numbers.subarray(at, at + from), to);
  return wide;
}

/**
 * weight += factor * B A, four of the thin rows at once, so that each weight is read and written
 * seldom.
 * @param {Float32Array} weight  (out, in)
 * @param {Pair} pair
 * @param {number} factor
 */
export function addProduct(weight, { A, B, rank }, factor) {
  const cols = A.length / rank;
  const width = 4 * Math.ceil(rank / 4);
  const thin = new Float32Array(width * cols); // zeros after A's last row
  thin.set(A);
  const wide = widened(B, rank, width);
  for (let r = 0, at = 0; at < weight.length; r += 1, at += cols) {
    for (let k = 0; k < width; k += 4) {
      const f0 = factor * wide[r * width + k];
      const f1 = factor * wide[r * width + k + 1];
      const f2 = factor * wide[r * width + k + 2];
      const f3 = factor * wide[r * width + k + 3];
      for (let w = at, a = k * cols; w < at + cols; w += 1, a += 1)
        weight[w] +=
          f0 * thin[a] + f1 * thin[a + cols] + f2 * thin[a + 2 * cols] + f3 * thin[a + 3 * cols];
    }
  }
}

/**
 * The adapters of one model, of which one at a time is in its weights. Taking it out puts back
 * copies of the weights from before, so that the base is the same, bit for bit.
 */
export class Adapters {
  /** @param {import("./gpt.js").Parameters} parameters */
  constructor(parameters) {
    this.parameters = parameters;
    /** @type {Map<string, Adapter>} */
    this.known = new Map();
    /** @type {string | null} the one that is in the weights */
    this.worn = null;
    /** @type {Map<string, Float32Array>} the weights from before */
    this.kept = new Map();
  }

  /** @param {string} name  @param {Adapter} adapter */
  add(name, adapter) {
    if (this.worn === name) this.wear(null);
    this.known.set(name, adapter);
  }

  /** @param {string} name */
  get(name) {
    const adapter = this.known.get(name);
    if (!adapter) throw new Error(`the adapter ${JSON.stringify(name)} is not loaded yet`);
    return adapter;
  }

  /**
   * Put an adapter into the weights, or with null none; whether that changed anything.
   * @param {string | null} name
   */
  wear(name) {
    if (name === this.worn) return false;
    const adapter = name === null ? null : this.get(name); // an unknown one changes nothing
    for (const [ours, before] of this.kept) this.weight(ours).set(before);
    this.kept.clear();
    this.worn = name;
    if (!adapter) return true;
    for (const [ours, pair] of adapter.pairs) {
      this.kept.set(ours, this.weight(ours).slice());
      addProduct(this.weight(ours), pair, adapter.alpha / pair.rank);
    }
    return true;
  }

  /** @param {string} ours  @returns {Float32Array} */
  weight(ours) {
    return /** @type {Float32Array} */ (this.parameters.get(ours));
  }
}
