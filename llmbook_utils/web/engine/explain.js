/**
 * How one number of a model at work came about, from the numbers before it: the same answers as
 * `explain` in llmbook_utils/inside/explain.py. A part is {tensor, index}; `left` and `right` are
 * arrays that are multiplied number by number.
 */
import { Trace } from "./trace.js";

/** What each tensor inside a block is made of: the operation, and where its input comes from. */
const BLOCK_RULES = {
  norm_1: { operation: "norm", of: "stream" },
  "attention.q": { operation: "linear", of: "norm_1", layer: "attention.qkv", part: 0 },
  "attention.k": { operation: "linear", of: "norm_1", layer: "attention.qkv", part: 1 },
  "attention.v": { operation: "linear", of: "norm_1", layer: "attention.qkv", part: 2 },
  "attention.scores": { operation: "scores" },
  "attention.weights": { operation: "softmax" },
  "attention.context": { operation: "gather" },
  "attention.out": { operation: "linear", of: "attention.context", layer: "attention.out" },
  residual: { operation: "sum", of: ["stream", "attention.out"] },
  norm_2: { operation: "norm", of: "residual" },
  "feed_forward.up_proj": { operation: "linear", of: "norm_2", layer: "feed_forward.up_proj" },
  "feed_forward.gelu": { operation: "gelu", of: "feed_forward.up_proj" },
  "feed_forward.down_proj": {
    operation: "linear",
    of: "feed_forward.gelu",
    layer: "feed_forward.down_proj",
  },
  output: { operation: "sum", of: ["residual", "feed_forward.down_proj"] },
};

/**
 * The rule of a tensor, with whole names.
 * @param {string} tensor
 * @param {import("./gpt.js").Config} config
 */
function ruleOf(tensor, { n_layers, tie_embeddings }) {
  const found = /^blocks\.(\d+)\.(.*)$/.exec(tensor);
  if (found && Number(found[1]) < n_layers && found[2] in BLOCK_RULES) {
    const [, block, part] = found;
    const stream = Number(block) === 0 ? "embedding" : `blocks.${Number(block) - 1}.output`;
    const whole = (name) => (name === "stream" ? stream : `blocks.${block}.${name}`);
    const { of, layer, ...rule } = BLOCK_RULES[part];
    return {
      ...rule,
      prefix: `blocks.${block}.attention`,
      of: Array.isArray(of) ? of.map(whole) : of && whole(of),
      layer: layer && whole(layer),
    };
  }
  const others = {
    token_embedding: { operation: "lookup", parameter: "token_embedding.weight" },
    position_embedding: { operation: "lookup", parameter: "position_embedding.weight" },
    embedding: { operation: "sum", of: ["token_embedding", "position_embedding"] },
    final_norm: { operation: "norm", of: `blocks.${n_layers - 1}.output` },
    logits: {
      operation: "linear",
      of: "final_norm",
      layer: tie_embeddings ? "token_embedding" : "head",
    },
  };
  if (!(tensor in others)) throw new Error(`there is no tensor ${tensor}`);
  return others[tensor];
}

/**
 * The numbers that share all but the last index: a row, copied.
 * @param {import("./trace.js").Tensor} tensor
 */
function row({ shape, data }, ...index) {
  const n = shape.at(-1);
  const at = index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
  return data.slice(at * n, at * n + n);
}

const operations = {
  lookup({ parameter }, { ids, trace }, [t, c]) {
    const n = parameter.startsWith("token") ? ids[t] : t;
    if (parameter.startsWith("position") && !trace.positions) return { operation: "off" };
    return { parameter: { name: parameter, index: [n, c] } };
  },

  sum({ of }, { value }, index) {
    return { terms: of.map((tensor) => ({ tensor, index, value: value(tensor, index) })) };
  },

  norm({ of }, { model, tensors, tensor }, [t, c]) {
    const left = row(tensors.get(of), t);
    const mean = left.reduce((a, b) => a + b, 0) / left.length;
    const variance = left.reduce((sum, x) => sum + (x - mean) ** 2, 0) / left.length;
    const parameter = (name) => model.parameters.get(`${tensor}.${name}`)[c];
    return {
      of: { tensor: of, index: [t] },
      at: c,
      mean,
      variance,
      scale: parameter("scale"),
      shift: parameter("shift"),
      arrays: { left },
    };
  },

  linear({ of, layer, part }, { model, tensors }, index) {
    const { n_heads: H, emb_dim: C } = model.config;
    const source = tensors.get(of);
    const heads = index.length === 3; // q, k and v are cut into heads
    const [t, r] = heads ? [index[1], part * C + index[0] * (C / H) + index[2]] : index;
    const left = source.shape.length === 3 ? joined(source, t) : row(source, t);
    const right = model.parameters
      .get(`${layer}.weight`)
      .slice(r * left.length, (r + 1) * left.length);
    const bias = model.parameters.get(`${layer}.bias`)?.[r] ?? 0;
    return {
      operation: "product",
      of: { tensor: of, index: [t] },
      parameter: { name: `${layer}.weight`, index: [r] },
      factor: 1,
      bias,
      arrays: { left, right },
    };
  },

  scores({ prefix }, { model, tensors, trace }, [h, t, s]) {
    const [q, k] = [`${prefix}.q`, `${prefix}.k`];
    const factor = trace.scaling ? 1 / Math.sqrt(model.config.emb_dim / model.config.n_heads) : 1;
    return {
      operation: "product",
      of: { tensor: q, index: [h, t] },
      and: { tensor: k, index: [h, s] },
      factor,
      bias: 0,
      arrays: { left: row(tensors.get(q), h, t), right: row(tensors.get(k), h, s) },
    };
  },

  softmax({ prefix }, { tensors, trace }, [h, t, s]) {
    const scores = row(tensors.get(`${prefix}.scores`), h, t);
    const allowed = trace.mask ? t + 1 : scores.length;
    return {
      of: { tensor: `${prefix}.scores`, index: [h, t] },
      at: s,
      allowed,
      arrays: { left: scores.slice(0, allowed) },
    };
  },

  gather({ prefix }, { tensors, trace }, [h, t, d]) {
    if (trace.isHeadOff(prefix, h)) return { operation: "off" };
    const weights = row(tensors.get(`${prefix}.weights`), h, t);
    const right = weights.map((_, s) => row(tensors.get(`${prefix}.v`), h, s)[d]);
    return {
      operation: "product",
      of: { tensor: `${prefix}.weights`, index: [h, t] },
      and: { tensor: `${prefix}.v`, index: [h, d] },
      factor: 1,
      bias: 0,
      arrays: { left: weights, right },
    };
  },

  gelu({ of }, { value }, index) {
    return { terms: [{ tensor: of, index, value: value(of, index) }] };
  },
};

/** (H, T, D) -> the C numbers of one token. */
function joined(tensor, t) {
  const [H, , D] = tensor.shape;
  const out = new Float32Array(H * D);
  for (let h = 0; h < H; h += 1) out.set(row(tensor, h, t), h * D);
  return out;
}

/**
 * @param {import("./gpt.js").GPTModel} model
 * @param {number[]} ids
 * @param {import("./trace.js").Changes} changes
 * @param {string} tensor
 * @param {number[]} index  one number for each axis
 * @returns {{value: number, operation: string, arrays: Record<string, Float32Array>} &
 *   Record<string, any>}
 */
export function explain(model, ids, changes, tensor, index) {
  const rule = ruleOf(tensor, model.config);
  const inputs = ["q", "k", "v", "scores", "weights"].map((part) => `${rule.prefix}.${part}`);
  const trace = new Trace(
    [tensor, ...[].concat(rule.of ?? []), ...(rule.prefix ? inputs : [])],
    changes,
  );
  model.trace(ids, trace);
  trace.checkApplied();
  const { tensors } = trace;
  const found = tensors.get(tensor);
  if (!found) throw new Error(`${tensor} is not computed: its block is switched off`);
  const outside =
    index.length !== found.shape.length ||
    index.some((i, axis) => !(Number.isInteger(i) && i >= 0 && i < found.shape[axis]));
  if (outside)
    throw new Error(
      `index [${index.join(", ")}] names no number of ${tensor}, which has the shape (${found.shape.join(", ")})`,
    );
  const value = (name, at) => row(tensors.get(name), ...at.slice(0, -1))[at.at(-1)];
  const reply = { value: value(tensor, index), operation: rule.operation, arrays: {} };
  if (trace.applied.has(tensor)) return { ...reply, operation: "replaced" };
  if (rule.operation === "sum" && !rule.of.every((name) => tensors.has(name)))
    return { ...reply, operation: "off" };
  return {
    ...reply,
    ...operations[rule.operation](rule, { ids, model, trace, tensors, tensor, value }, index),
  };
}
