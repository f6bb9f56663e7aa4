/**
 * Reads a model's files in the browser: those that the site ships, and those that a reader drops on
 * a widget, as `save_pretrained` wrote them. As llmbook_utils/pretrained.py and gpt2_files.py: what
 * does not fit is refused with the reason.
 *
 * @typedef {import("./gpt.js").Config} Config
 * @typedef {{dtype: string, shape: number[], data_offsets: [number, number]}} Entry
 */
import { parameterShapes } from "./gpt.js";
import { halfToNumber } from "./half.js";

/** The sizes that GPT-2's config.json must name. */
const SIZES = ["vocab_size", "n_positions", "n_embd", "n_head", "n_layer"];

/** What config.json may say of everything that the model has no choice in. */
const FIXED = {
  activation_function: ["gelu_new", "gelu_pytorch_tanh"],
  layer_norm_epsilon: [1e-5],
  scale_attn_weights: [true],
  scale_attn_by_inverse_layer_idx: [false],
  add_cross_attention: [false],
};

/** What our layers are called in GPT-2's files. */
const GPT2_NAMES = [
  ["token_embedding", "wte"],
  ["position_embedding", "wpe"],
  ["blocks", "h"],
  ["norm_1", "ln_1"],
  ["attention.qkv", "attn.c_attn"],
  ["attention.out", "attn.c_proj"],
  ["norm_2", "ln_2"],
  ["feed_forward.up_proj", "mlp.c_fc"],
  ["feed_forward.down_proj", "mlp.c_proj"],
  ["final_norm", "ln_f"],
  ["head", "lm_head"],
  ["scale", "weight"],
  ["shift", "bias"],
];

/** The most parameters that a page takes: as 32-bit numbers they fill a gigabyte. */
export const MOST_PARAMETERS = 2 ** 28;

/**
 * Files up to this size are read at once: the browser takes longer to hand out a hundred pieces
 * than a small file.
 */
const AT_ONCE = 2 ** 26;

/** @param {string} name  of one of our parameters */
export const gpt2Name = (name) =>
  GPT2_NAMES.reduce((renamed, [ours, theirs]) => renamed.replace(ours, theirs), name);

/** GPT-2's files hold the layers inside a block as (in, out). */
const isTransposed = (name) => name.includes(".c_") && name.endsWith(".weight");

/** @param {string} text  the contents of config.json  @returns {Config} */
export function readConfig(text) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error("config.json is not valid JSON; get it again");
  }
  const kind = JSON.stringify(content?.model_type);
  if (kind !== '"gpt2"')
    throw new Error(`config.json is not a GPT-2's: its model_type is ${kind}, expected "gpt2"`);
  checkConfig(content);
  return {
    vocab_size: content.vocab_size,
    context_length: content.n_positions,
    emb_dim: content.n_embd,
    n_heads: content.n_head,
    n_layers: content.n_layer,
    qkv_bias: content.qkv_bias ?? true,
    tie_embeddings: content.tie_word_embeddings ?? true,
  };
}

/**
 * Throws for sizes that cannot be, and for what this model has no choice in.
 * @param {Record<string, any>} content
 */
function checkConfig(content) {
  const refuse = (key, why) => {
    throw new Error(`config.json: ${key} is ${JSON.stringify(content[key])}${why}`);
  };
  for (const key of SIZES) {
    const fits = Number.isInteger(content[key]) && content[key] > 0;
    if (!fits) refuse(key, "; expected a whole number above 0");
  }
  /** @type {Record<string, any[]>} */
  const allowed = { ...FIXED, n_inner: [null, 4 * content.n_embd] };
  for (const [key, values] of Object.entries(allowed)) {
    if (key in content && !values.includes(content[key]))
      refuse(key, `, but this model has ${JSON.stringify(values[0])} only`);
  }
  const { n_embd, n_head } = content;
  if (n_embd % n_head)
    throw new Error(`config.json: n_embd ${n_embd} cannot be divided among ${n_head} heads`);
}

/**
 * The header of a safetensors file: the length of a JSON text in 8 bytes, and the text.
 * @param {Blob} file
 * @returns {Promise<{entries: Record<string, Entry>, start: number}>}  `start`: where the numbers
 *   begin
 */
export async function readHeader(file) {
  const first = new Uint8Array(await file.slice(0, 9).arrayBuffer());
  const isPickle =
    (first[0] === 0x80 && first[1] >= 2 && first[1] <= 5) ||
    (first[0] === 0x50 && first[1] === 0x4b);
  if (isPickle && first[8] !== 0x7b) {
    throw new Error(
      "model.safetensors is a pickle, which can run any code when it is opened, so it is not; save the model as safetensors",
    );
  }
  const cut = `model.safetensors is broken or cut off after ${file.size.toLocaleString("en-US")} bytes; get it again`;
  if (first.length < 9) throw new Error(cut);
  const length = Number(new DataView(first.buffer).getBigUint64(0, true));
  const start = 8 + length;
  if (first[8] !== 0x7b || start > file.size) throw new Error(cut);
  let entries;
  try {
    entries = JSON.parse(await file.slice(8, start).text());
  } catch {
    throw new Error(cut);
  }
  delete entries.__metadata__;
  for (const { data_offsets } of Object.values(entries))
    if (start + data_offsets[1] > file.size) throw new Error(cut);
  return { entries, start };
}

const bytesOf = { F32: 4, F16: 2, BF16: 2, I8: 1 };

/** All 65,536 halves, so that one is a look-up. */
let halves = null;

/** @param {string} dtype  @param {ArrayBuffer} data  @returns {ArrayLike<number>} */
function toNumbers(dtype, data) {
  if (dtype === "F32") return new Float32Array(data);
  if (dtype === "I8") return new Int8Array(data);
  const bits = new Uint16Array(data);
  if (dtype === "BF16")
    return new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer);
  halves ??= Float32Array.from({ length: 65_536 }, (_, half) => halfToNumber(half));
  return Float32Array.from(bits, (half) => halves[half]);
}

/**
 * The numbers of one tensor, in rows as PyTorch has them, at a place that the kernel gave.
 * @param {Float32Array} into
 * @param {ArrayLike<number>} numbers
 * @param {number[]} shape
 * @param {{transposed?: boolean, scale?: ArrayLike<number> | null}} stored
 */
function place(into, numbers, [rows, cols = 1], { transposed = false, scale = null }) {
  if (transposed) {
    for (let r = 0; r < rows; r += 1)
      for (let c = 0; c < cols; c += 1) into[r * cols + c] = numbers[c * rows + r];
  } else if (scale) {
    for (let r = 0; r < rows; r += 1)
      for (let i = r * cols; i < r * cols + cols; i += 1) into[i] = numbers[i] * scale[r];
  } else into.set(numbers);
}

/** One fast pass: a sum with NaN or infinity in it is not finite. */
function isFiniteThroughout(numbers) {
  let sum = 0;
  for (let i = 0; i < numbers.length; i += 1) sum += numbers[i];
  return Number.isFinite(sum);
}

/** What a file may hold beside the parameters: causal masks, and what must then say nothing new. */
const isExtra = (name, config) =>
  /\.attn\.(bias|masked_bias)$/.test(name) ||
  (name === "lm_head.weight" && config.tie_embeddings) ||
  (name.endsWith(".c_attn.bias") && !config.qkv_bias);

/**
 * Throws if q/k/v biases that there should not be are not 0, or a tied output layer is not the
 * table.
 */
async function checkExtras(entries, config, numbersOf) {
  for (const name of Object.keys(entries)) {
    if (name === "lm_head.weight" && config.tie_embeddings) {
      const table = await numbersOf("wte.weight");
      const same = (await numbersOf(name)).every((number, i) => number === table[i]);
      if (!same)
        throw new Error(
          "tensor lm_head.weight differs from wte.weight, but config.json says that they are one; set its tie_word_embeddings to false",
        );
    } else if (
      name.endsWith(".c_attn.bias") &&
      !config.qkv_bias &&
      (await numbersOf(name)).some((number) => number !== 0)
    ) {
      throw new Error(
        `tensor ${name} is not zero, but config.json says that q, k and v have no bias; set its qkv_bias to true`,
      );
    }
  }
}

/**
 * The parameters of a model, by our names. The site's own file has our names and 8-bit rows, each
 * with its scale; all others have GPT-2's names.
 * @param {Config} config
 * @param {Blob} file  in the safetensors format
 * @param {(n: number) => Float32Array} alloc
 * @returns {Promise<import("./gpt.js").Parameters>}
 */
export async function readParameters(config, file, alloc) {
  const { entries: found, start } = await readHeader(file);
  const entries = Object.fromEntries(
    Object.entries(found).map(([name, entry]) => [name.replace(/^transformer\./, ""), entry]),
  );
  const isOurs = "token_embedding.weight" in entries;
  const shapes = parameterShapes(config);
  const stored = (name) => (isOurs ? name : gpt2Name(name));
  checkNames(entries, Object.keys(shapes).map(stored), config);
  const numbersOf = await tensorReader(file, entries, start);
  await checkExtras(entries, config, numbersOf);
  const parameters = new Map();
  for (const [ours, shape] of Object.entries(shapes)) {
    const name = stored(ours);
    const transposed = !isOurs && isTransposed(name);
    checkShape(name, entries[name].shape, transposed ? [...shape].reverse() : shape);
    const scale = `${name}.scale` in entries ? await numbersOf(`${name}.scale`) : null;
    const into = alloc(shape.reduce((a, b) => a * b));
    place(into, await numbersOf(name), shape, { transposed, scale });
    if (!isFiniteThroughout(into))
      throw new Error(
        `tensor ${name} holds NaN or infinite values; use a checkpoint from before the training diverged`,
      );
    parameters.set(ours, into);
  }
  return parameters;
}

/**
 * A function that reads the numbers of one tensor.
 * @param {Blob} file
 * @param {Record<string, Entry>} entries
 * @param {number} start
 * @returns {Promise<(name: string) => Promise<ArrayLike<number>>>}
 */
export async function tensorReader(file, entries, start) {
  const whole = file.size <= AT_ONCE ? await file.arrayBuffer() : null;
  const bytes = (from, to) => whole?.slice(from, to) ?? file.slice(from, to).arrayBuffer();
  return async (name) => {
    const { dtype, shape, data_offsets } = entries[name];
    const [from, to] = data_offsets;
    if (!(dtype in bytesOf))
      throw new Error(`tensor ${name} holds ${dtype}; expected F32, F16 or BF16`);
    const expected = shape.reduce((a, b) => a * b, bytesOf[dtype]);
    if (to - from !== expected)
      throw new Error(
        `tensor ${name} has ${to - from} bytes where its shape needs ${expected}; get the file again`,
      );
    return toNumbers(dtype, await bytes(start + from, start + to));
  };
}

function checkNames(entries, expected, config) {
  const wanted = new Set(expected);
  const isScale = (name) =>
    name.endsWith(".weight.scale") && wanted.has(name.slice(0, -".scale".length));
  const missing = expected.filter((name) => !(name in entries));
  const unexpected = Object.keys(entries).filter(
    (name) => !wanted.has(name) && !isScale(name) && !isExtra(name, config),
  );
  for (const [kind, names] of Object.entries({ missing, unexpected })) {
    if (!names.length) continue;
    throw new Error(
      `${names.length} of the tensors ${kind}, the first is ${names[0]}; model.safetensors and config.json are not of one model`,
    );
  }
}

function checkShape(name, found, expected) {
  if (found.join() === expected.join()) return;
  throw new Error(
    `tensor ${name} has the shape (${found.join(", ")}), but config.json asks for (${expected.join(", ")}); the two files are not of one model`,
  );
}
