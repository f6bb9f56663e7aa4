/**
 * How one number of a model at work came about, from the numbers before it: the same answers as
 * `explain` in llmbook_utils/inside/explain.py. A part is {tensor, index}; `left` and `right` are
 * arrays that are multiplied number by number.
 */
import { STAGES } from "./stages.js";
import { Trace } from "./trace.js";

const byName = (isInside) =>
  new Map(
    STAGES.filter(({ part, operation }) => operation && (part === "block") === isInside).map(
      (stage) => [stage.name, stage],
    ),
  );
const [IN_BLOCK, AROUND] = [byName(true), byName(false)];

/**
 * The operation that makes a tensor, and the whole names of what it works on.
 * @param {string} tensor
 * @param {import("./gpt.js").Config} config
 * @returns {{operation: string, of: string[], layer: string}}
 */
function ruleOf(tensor, { n_layers, tie_embeddings }) {
  const found = /^blocks\.(\d+)\.(.*)$/.exec(tensor);
  const block = found && Number(found[1]) < n_layers ? Number(found[1]) : null;
  const stage = found && block !== null ? IN_BLOCK.get(found[2]) : AROUND.get(tensor);
  if (!stage?.operation) throw new Error(`there is no tensor ${tensor}`);
  const inside = block === null ? "" : `blocks.${block}.`;
  const stream = block === 0 ? "embedding" : `blocks.${(block ?? n_layers) - 1}.output`;
  const isTied = stage.layer === "head" && tie_embeddings;
  return {
    operation: stage.operation,
    of: stage.of.map((name) => (name === "stream" ? stream : inside + name)),
    layer: isTied ? "token_embedding" : inside + stage.layer,
  };
}

/**
 * The numbers that share all but the last index: a row, copied.
 * @param {import("./trace.js").Tensor} tensor
 */
function row({ shape, data }, ...index) {
  const n = shape[shape.length - 1];
  const at = index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
  return data.slice(at * n, at * n + n);
}

const operations = {
  lookup({ layer }, { ids, trace }, [t, c]) {
    if (layer === "position_embedding" && !trace.positions) return { operation: "off" };
    const n = layer === "token_embedding" ? ids[t] : t;
    return { parameter: { name: `${layer}.weight`, index: [n, c] } };
  },

  sum({ of }, { value }, index) {
    return { terms: of.map((tensor) => ({ tensor, index, value: value(tensor, index) })) };
  },

  norm({ of: [of], layer }, { model, tensors }, [t, c]) {
    const left = row(tensors.get(of), t);
    const mean = left.reduce((a, b) => a + b, 0) / left.length;
    const variance = left.reduce((sum, x) => sum + (x - mean) ** 2, 0) / left.length;
    const parameter = (name) => model.parameters.get(`${layer}.${name}`)[c];
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

  linear({ of: [of], layer }, { model, tensors, tensor }, index) {
    const { n_heads: H, emb_dim: C } = model.config;
    const source = tensors.get(of);
    let [t, r] = index;
    if (index.length === 3) {
      // q, k and v come out of one layer, one after the other, and are cut into heads
      const [head, , d] = index;
      t = index[1];
      r = "qkv".indexOf(tensor.at(-1)) * C + head * (C / H) + d;
    }
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

  scores({ of: [q, k] }, { model, tensors, trace }, [h, t, s]) {
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

  softmax({ of: [of] }, { tensors, trace }, [h, t, s]) {
    const scores = row(tensors.get(of), h, t);
    const allowed = trace.mask ? t + 1 : scores.length;
    return {
      of: { tensor: of, index: [h, t] },
      at: s,
      allowed,
      arrays: { left: scores.slice(0, allowed) },
    };
  },

  gather({ of: [weights, v] }, { tensors, trace }, [h, t, d]) {
    if (trace.isHeadOff(weights.replace(".weights", ""), h)) return { operation: "off" };
    const left = row(tensors.get(weights), h, t);
    const right = left.map((_, s) => row(tensors.get(v), h, s)[d]);
    return {
      operation: "product",
      of: { tensor: weights, index: [h, t] },
      and: { tensor: v, index: [h, d] },
      factor: 1,
      bias: 0,
      arrays: { left, right },
    };
  },

  gelu({ of: [of] }, { value }, index) {
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
  const trace = new Trace([tensor, ...rule.of], changes);
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
  const value = (name, at) => {
    const { shape, data } = tensors.get(name) ?? found;
    return data[at.reduce((sum, i, axis) => sum * shape[axis] + i, 0)];
  };
  const reply = { value: value(tensor, index), operation: rule.operation, arrays: {} };
  if (trace.applied.has(tensor)) return { ...reply, operation: "replaced" };
  if (rule.operation === "sum" && !rule.of.every((name) => tensors.has(name)))
    return { ...reply, operation: "off" };
  return {
    ...reply,
    ...operations[rule.operation](rule, { ids, model, trace, tensors, tensor, value }, index),
  };
}
