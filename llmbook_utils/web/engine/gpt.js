/**
 * The book's GPT in plain JavaScript, name by name as in llmbook_utils/model.py, attention.py and
 * cache.py: the model that runs in the reader's browser. Tests hold every number of it to
 * PyTorch's.
 *
 * An array of shape (T, C) is a Float32Array with T rows of C numbers, one after the other. A
 * class keeps its arrays and writes into them anew at each call, so that no memory is asked for
 * while the model works. `trace` (trace.js) sees every value on its way and may change it; without
 * one, attention takes the faster path.
 *
 * @typedef {{vocab_size: number, context_length: number, emb_dim: number, n_heads: number,
 *   n_layers: number, qkv_bias: boolean, tie_embeddings: boolean}} Config
 * @typedef {import("./kernel-plain.js").Kernel} Kernel
 * @typedef {Map<string, Float32Array>} Parameters  by PyTorch's names, a matrix in rows: (out, in)
 * @typedef {import("./trace.js").Trace} Trace
 */
import { softmax } from "./functions.js";
import { dot } from "./kernel-plain.js";

/**
 * The name and shape of each parameter, as `GPTModel(config).named_parameters()`.
 * @param {Config} config
 */
export function parameterShapes({
  vocab_size: V,
  context_length: L,
  emb_dim: C,
  n_layers,
  qkv_bias,
  tie_embeddings,
}) {
  /** @type {Record<string, number[]>} */
  const shapes = { "token_embedding.weight": [V, C], "position_embedding.weight": [L, C] };
  const layer = (name, rows, cols, bias = true) => {
    shapes[`${name}.weight`] = [rows, cols];
    if (bias) shapes[`${name}.bias`] = [rows];
  };
  const norm = (name) => {
    shapes[`${name}.scale`] = [C];
    shapes[`${name}.shift`] = [C];
  };
  for (let i = 0; i < n_layers; i += 1) {
    norm(`blocks.${i}.norm_1`);
    layer(`blocks.${i}.attention.qkv`, 3 * C, C, qkv_bias);
    layer(`blocks.${i}.attention.out`, C, C);
    norm(`blocks.${i}.norm_2`);
    layer(`blocks.${i}.feed_forward.up_proj`, 4 * C, C);
    layer(`blocks.${i}.feed_forward.down_proj`, C, 4 * C);
  }
  norm("final_norm");
  if (!tie_embeddings) layer("head", V, C, false);
  return shapes;
}

/**
 * What a part of the model needs to be made: the sizes, the numbers, and the kernel that
 * multiplies.
 */
class Source {
  /** @param {Config} config  @param {Parameters} parameters  @param {Kernel} kernel */
  constructor(config, parameters, kernel) {
    this.config = config;
    this.parameters = parameters;
    this.kernel = kernel;
  }

  /** @param {string} name */
  linear(name, rows, cols) {
    const bias = this.parameters.get(`${name}.bias`) ?? this.kernel.alloc(rows); // no bias: zeros
    return { weight: this.parameters.get(`${name}.weight`), bias, rows, cols };
  }

  /** Room for `n` numbers of each token. */
  room(n) {
    return this.kernel.alloc(n * this.config.context_length);
  }
}

/** x += y, the first n numbers. */
function add(x, y, n) {
  for (let i = 0; i < n; i += 1) x[i] += y[i];
}

class LayerNorm {
  constructor(source, name) {
    this.name = name;
    this.scale = source.parameters.get(`${name}.scale`);
    this.shift = source.parameters.get(`${name}.shift`);
  }

  /** (T, C) -> (T, C): each vector to mean 0 and variance 1, then scaled and shifted. */
  forward(out, x, T, trace) {
    const { scale, shift } = this;
    const C = scale.length;
    for (let t = 0, at = 0; t < T; t += 1, at += C) {
      let mean = 0;
      for (let c = 0; c < C; c += 1) mean += x[at + c];
      mean /= C;
      let variance = 0;
      for (let c = 0; c < C; c += 1) variance += (x[at + c] - mean) ** 2;
      const factor = 1 / Math.sqrt(variance / C + 1e-5);
      for (let c = 0; c < C; c += 1)
        out[at + c] = (x[at + c] - mean) * factor * scale[c] + shift[c];
    }
    trace?.see(this.name, out, [T, C]);
  }
}

class FeedForward {
  constructor(source, name, scratch) {
    const { emb_dim: C } = source.config;
    this.name = name;
    this.kernel = source.kernel;
    this.wide = scratch.wide;
    this.upProj = source.linear(`${name}.up_proj`, 4 * C, C);
    this.downProj = source.linear(`${name}.down_proj`, C, 4 * C);
  }

  /** (T, C) -> (T, 4C) -> (T, C) */
  forward(out, x, T, trace) {
    const { name, kernel, wide, upProj, downProj } = this;
    kernel.linear(wide, x, T, upProj);
    trace?.see(`${name}.up_proj`, wide, [T, upProj.rows]);
    kernel.gelu(wide, T * upProj.rows);
    trace?.see(`${name}.gelu`, wide, [T, upProj.rows]);
    kernel.linear(out, wide, T, downProj);
    trace?.see(`${name}.down_proj`, out, [T, downProj.rows]);
  }
}

/** One of the three parts of `qkv`, head by head: (T, 3, H, D) -> (H, T, D). */
function splitHeads(qkv, part, T, H, D) {
  const heads = new Float32Array(H * T * D);
  for (let h = 0; h < H; h += 1) {
    for (let t = 0; t < T; t += 1) {
      const from = ((t * 3 + part) * H + h) * D;
      heads.set(qkv.subarray(from, from + D), (h * T + t) * D);
    }
  }
  return heads;
}

/** Each query times each key of its head, times a factor: (H, T, T). */
function scoresOf(q, k, T, H, D, factor) {
  const scores = new Float32Array(H * T * T);
  for (let row = 0; row < H * T; row += 1) {
    const first = (row - (row % T)) * D; // where the keys of the head begin
    for (let s = 0; s < T; s += 1)
      scores[row * T + s] = dot(q, row * D, k, first + s * D, D) * factor;
  }
  return scores;
}

/** Softmax over each row, up to the token itself where there is a mask: (H, T, T). */
function weightsOf(scores, T, H, mask) {
  const weights = new Float32Array(H * T * T);
  for (let row = 0; row < H * T; row += 1) {
    const allowed = mask ? (row % T) + 1 : T;
    weights.set(scores.subarray(row * T, row * T + allowed), row * T);
    softmax(weights, row * T, allowed);
  }
  return weights;
}

/** The sum of a head's values, each times its weight: (H, T, D); zeros for a head that is off. */
function contextOf(weights, v, T, H, D, isOff) {
  const context = new Float32Array(H * T * D);
  for (let row = 0; row < H * T; row += 1) {
    const h = Math.floor(row / T);
    if (isOff(h)) continue;
    for (let s = 0; s < T; s += 1) {
      for (let d = 0; d < D; d += 1)
        context[row * D + d] += weights[row * T + s] * v[(h * T + s) * D + d];
    }
  }
  return context;
}

/**
 * Attention step by step, each step an array of its own that the trace sees. `qkv` (T, 3C) ->
 * joined (T, C).
 * @param {Trace} trace  may leave out the mask, the scaling or heads
 */
function explicitAttention(joined, qkv, T, H, D, name, trace) {
  const [q, k, v] = ["q", "k", "v"].map((part, i) =>
    trace.see(`${name}.${part}`, splitHeads(qkv, i, T, H, D), [H, T, D]),
  );
  const factor = trace.scaling ? 1 / Math.sqrt(D) : 1;
  const scores = trace.see(`${name}.scores`, scoresOf(q, k, T, H, D, factor), [H, T, T]);
  const weights = trace.see(`${name}.weights`, weightsOf(scores, T, H, trace.mask), [H, T, T]);
  const isOff = (h) => trace.isHeadOff(name, h);
  const context = trace.see(`${name}.context`, contextOf(weights, v, T, H, D, isOff), [H, T, D]);
  for (let h = 0; h < H; h += 1) {
    for (let t = 0; t < T; t += 1) {
      const from = (h * T + t) * D;
      joined.set(context.subarray(from, from + D), (t * H + h) * D);
    }
  }
}

/**
 * The same without the steps in between: the queries of T new tokens, the keys and values (H, L, D)
 * of S so far.
 * @param {Kernel} kernel
 */
function fusedAttention(kernel, context, qkv, T, H, D, keys, values, S, scores) {
  const C = H * D;
  const L = keys.length / C;
  for (let t = 0; t < T; t += 1) {
    const allowed = S - T + t + 1;
    for (let h = 0; h < H; h += 1) {
      kernel.attend(
        context,
        t * C + h * D,
        qkv,
        t * 3 * C + h * D,
        keys,
        values,
        h * L * D,
        allowed,
        D,
        scores,
      );
    }
  }
}

/**
 * Put the keys and values of T tokens, which lie in `qkv` (T, 3C), after the `before` ones in the
 * cache (H, L, D).
 */
function remember(keys, values, qkv, T, H, D, before) {
  const C = H * D;
  const L = keys.length / C;
  for (let t = 0; t < T; t += 1) {
    for (let h = 0; h < H; h += 1) {
      const from = t * 3 * C + C + h * D;
      const at = (h * L + before + t) * D;
      keys.set(qkv.subarray(from, from + D), at);
      values.set(qkv.subarray(from + C, from + C + D), at);
    }
  }
}

class MultiHeadAttention {
  constructor(source, name, scratch) {
    const { emb_dim: C, n_heads: H } = source.config;
    this.name = name;
    this.kernel = source.kernel;
    this.H = H;
    this.D = C / H;
    this.qkv = scratch.qkv;
    this.context = scratch.context;
    this.scores = scratch.scores;
    this.project = source.linear(`${name}.qkv`, 3 * C, C);
    this.out = source.linear(`${name}.out`, C, C);
    // the layer's cache: (H, L, D), each head's tokens one after the other
    this.keys = source.room(C);
    this.values = source.room(C);
  }

  /** (T, C) -> (T, C), for T tokens after the `before` ones whose keys and values are kept. */
  forward(out, x, T, before, trace) {
    const { name, kernel, H, D, qkv, context, keys, values, scores } = this;
    kernel.linear(qkv, x, T, this.project);
    if (trace) explicitAttention(context, qkv, T, H, D, name, trace);
    else {
      remember(keys, values, qkv, T, H, D, before);
      fusedAttention(kernel, context, qkv, T, H, D, keys, values, before + T, scores);
    }
    kernel.linear(out, context, T, this.out);
    trace?.see(`${name}.out`, out, [T, H * D]);
  }
}

class TransformerBlock {
  constructor(source, name, scratch) {
    this.name = name;
    this.hidden = scratch.hidden;
    this.norm1 = new LayerNorm(source, `${name}.norm_1`);
    this.attention = new MultiHeadAttention(source, `${name}.attention`, scratch);
    this.norm2 = new LayerNorm(source, `${name}.norm_2`);
    this.feedForward = new FeedForward(source, `${name}.feed_forward`, scratch);
  }

  /** Add to the residual stream x (T, C) what attention and the feed-forward network make of it. */
  forward(x, T, before, trace) {
    const { name, hidden, norm1, attention, norm2, feedForward } = this;
    const C = norm1.scale.length;
    norm1.forward(hidden, x, T, trace);
    attention.forward(hidden, hidden, T, before, trace);
    add(x, hidden, T * C);
    trace?.see(`${name}.residual`, x, [T, C]);
    norm2.forward(hidden, x, T, trace);
    feedForward.forward(hidden, hidden, T, trace);
    add(x, hidden, T * C);
  }
}

export class GPTModel {
  /** @param {Config} config  @param {Parameters} parameters  @param {Kernel} kernel */
  constructor(config, parameters, kernel) {
    this.config = config;
    this.parameters = parameters;
    this.kernel = kernel;
    this.length = 0; // length: how many tokens the cache holds
    const { vocab_size: V, emb_dim: C, n_layers } = config;
    const source = new Source(config, parameters, kernel);
    const table = (name) => /** @type {Float32Array} */ (parameters.get(`${name}.weight`));
    this.tokens = table("token_embedding");
    this.positions = table("position_embedding");
    this.x = source.room(C);
    const scratch = {
      hidden: source.room(C),
      qkv: source.room(3 * C),
      context: source.room(C),
      wide: source.room(4 * C),
    };
    scratch.scores = source.room(1);
    this.blocks = Array.from(
      { length: n_layers },
      (_, i) => new TransformerBlock(source, `blocks.${i}`, scratch),
    );
    this.finalNorm = new LayerNorm(source, "final_norm");
    this.hidden = scratch.hidden;
    this.head = {
      weight: parameters.get("head.weight") ?? this.tokens,
      bias: kernel.alloc(padded(V)),
      rows: V,
      cols: C,
    };
    this.logits = kernel.alloc(padded(V)).subarray(0, V);
  }

  /** Forget the tokens read so far. */
  reset() {
    this.length = 0;
  }

  /**
   * Read ids after those already read.
   * @param {number[]} ids
   * @returns {Float32Array} the logits (V) after the last one, valid until the next call
   */
  forward(ids) {
    const T = ids.length;
    this.#checkRoom(this.length, T);
    this.#embed(ids, this.length);
    for (const block of this.blocks) block.forward(this.x, T, this.length, null);
    this.length += T;
    return this.#logitsOf(T - 1);
  }

  /**
   * Read ids as a text of their own, and forget what was read before.
   * @param {number[]} ids
   * @returns {Float32Array} the normalized vector (C) of the last one, valid until the next call
   */
  lastVector(ids) {
    this.reset();
    this.#checkRoom(0, ids.length);
    this.#embed(ids, 0);
    for (const block of this.blocks) block.forward(this.x, ids.length, 0, null);
    const C = this.config.emb_dim;
    this.finalNorm.forward(this.hidden, this.x.subarray((ids.length - 1) * C), 1, null);
    return this.hidden.subarray(0, C);
  }

  /**
   * Read ids as a text of their own, and leave the cache alone; `trace` sees every value, and what
   * it changes is what the next step gets.
   * @param {number[]} ids
   * @param {Trace} trace
   */
  trace(ids, trace) {
    const T = ids.length;
    const C = this.config.emb_dim;
    this.#checkRoom(0, T);
    this.#embed(ids, 0, trace);
    for (const block of this.blocks) {
      if (!trace.isBlockOff(block.name)) block.forward(this.x, T, 0, trace);
      trace.see(`${block.name}.output`, this.x, [T, C]);
    }
    this.finalNorm.forward(this.hidden, this.x, T, trace);
    trace.seeRows("logits", T, this.config.vocab_size, (t) =>
      this.#head(this.hidden.subarray(t * C, t * C + C)),
    );
  }

  #checkRoom(before, T) {
    const { context_length: limit } = this.config;
    if (before + T > limit)
      throw new Error(`${before + T} tokens, but this model reads ${limit} at most`);
  }

  #embed(ids, before, trace) {
    const { x, hidden, tokens, positions } = this;
    const C = this.config.emb_dim;
    const T = ids.length;
    ids.forEach((id, t) => {
      x.set(tokens.subarray(id * C, id * C + C), t * C);
      hidden.set(positions.subarray((before + t) * C, (before + t + 1) * C), t * C);
    });
    if (trace && !trace.positions) hidden.fill(0, 0, T * C);
    trace?.see("token_embedding", x, [T, C]);
    trace?.see("position_embedding", hidden, [T, C]);
    add(x, hidden, T * C);
    trace?.see("embedding", x, [T, C]);
  }

  #logitsOf(t) {
    const C = this.config.emb_dim;
    this.finalNorm.forward(this.hidden, this.x.subarray(t * C, t * C + C), 1, null);
    return this.#head(this.hidden);
  }

  #head(vector) {
    this.kernel.linear(this.logits, vector, 1, this.head);
    return this.logits;
  }
}

/** The next multiple of 4: a kernel may work on four rows at a time. */
const padded = (n) => Math.ceil(n / 4) * 4;

/**
 * How many numbers a model holds, its buffers included, and in how many pieces: the room that a
 * kernel is asked for.
 */
export function roomFor(config) {
  const { vocab_size: V, context_length: L, emb_dim: C, n_layers } = config;
  const shapes = Object.values(parameterShapes(config));
  const parameters = shapes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b), 0);
  const buffers = L * (C * (10 + 2 * n_layers) + 1) + 2 * padded(V) + 4 * C + 3 * C * n_layers;
  return { parameters, numbers: parameters + buffers, pieces: shapes.length + 5 * n_layers + 10 };
}
