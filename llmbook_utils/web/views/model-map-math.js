/**
 * What the model map computes: sizes, the colors of numbers, and how one number came about, from a
 * reply to `explain`. No drawing here.
 *
 * @import { Stage } from "../engine/stages.js"
 * @typedef {{tensor: string, index: number[]}} Place  one number of one tensor
 * @typedef {{i: number, left: number, right?: number, term: number, from?: Place, and?: Place}}
 *   Term
 * @typedef {{text: string, value: number, from?: Place, isResult?: boolean}} Step
 * @typedef {{terms: Term[], columns: string[], steps: Step[], result: number, python: string[]}}
 *   Working
 */
import { count, grouped } from "../parts/numbers.js";

/** The size that each letter stands for. @param {any} config  @param {number} T */
export const sizesOf = (
  { emb_dim: C, n_heads: H, vocab_size: V, context_length: P, qkv_bias, tie_embeddings },
  T,
) => ({ T, C, H, D: C / H, V, P, B: Number(qkv_bias), U: Number(!tie_embeddings) });

/**
 * A sum of products of letters.
 * @param {string} formula  "4CC+C"
 * @param {Record<string, number>} sizes
 */
export function evaluate(formula, sizes) {
  const product = (term) =>
    [...term.replace(/^\d+/, "")].reduce((n, letter) => n * sizes[letter], parseInt(term, 10) || 1);
  return formula ? formula.split("+").reduce((sum, term) => sum + product(term), 0) : 0;
}

/** How many parameters one block has, or the stages around the blocks. @param {Stage[]} stages */
export const parametersOf = (stages, sizes) =>
  stages.reduce((sum, { parameters }) => sum + evaluate(parameters, sizes), 0);

/** @import { Tensor } from "../parts/live.js" */

/**
 * What each number in a row of tokens × numbers is: of a tensor with heads, one head's part.
 * @param {Tensor} tensor
 */
export function matrixOf({ shape, data }, head = 0) {
  const [rows, cols] = shape.length === 1 ? [1, shape[0]] : shape.slice(-2);
  const at = shape.length === 3 ? head * rows * cols : 0;
  return { rows, cols, data: data.subarray(at, at + rows * cols) };
}

/** All heads side by side, so that each row is a token's. @param {Tensor} tensor */
export function sideBySide({ shape, data }) {
  if (shape.length < 3) return matrixOf({ shape, data });
  const [H, rows, cols] = shape;
  const out = new Float32Array(data.length);
  for (let h = 0; h < H; h += 1)
    for (let r = 0; r < rows; r += 1)
      out.set(data.subarray((h * rows + r) * cols, (h * rows + r + 1) * cols), (r * H + h) * cols);
  return { rows, cols: H * cols, data: out };
}

/**
 * A matrix with fewer columns, each the number that lies furthest from 0 among those it stands for.
 */
export function squeeze({ rows, cols, data }, bins) {
  if (bins >= cols) return { rows, cols, data };
  const out = new Float32Array(rows * bins);
  for (let r = 0; r < rows; r += 1) {
    for (let c = 0; c < cols; c += 1) {
      const at = r * bins + Math.floor((c * bins) / cols);
      const x = data[r * cols + c];
      if (Math.abs(x) > Math.abs(out[at])) out[at] = x;
    }
  }
  return { rows, cols: bins, data: out };
}

/**
 * A size that 98 in 100 of the numbers do not exceed, found from at most 2,000 of them, rounded up
 * to two digits.
 */
export function limitOf(data) {
  const every = Math.max(1, Math.floor(data.length / 2000));
  const sample = Float32Array.from({ length: Math.ceil(data.length / every) }, (_, i) =>
    Math.abs(data[i * every]),
  ).sort();
  const limit =
    sample[Math.min(sample.length - 1, Math.floor(0.98 * sample.length))] || sample.at(-1);
  return limit ? Number((limit * 1.04).toPrecision(2)) : 1;
}

/** @param {Float32Array} data */
export function summarize(data) {
  let [sum, squares, least, most] = [0, 0, 0, 0];
  data.forEach((x, i) => {
    sum += x;
    if (x < data[least]) least = i;
    if (x > data[most]) most = i;
  });
  const mean = sum / data.length;
  for (const x of data) squares += (x - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / data.length), least, most };
}

/** Where a number's color stands in a table: 0 in the middle, ±limit and beyond at the ends. */
export const placeIn = (x, limit) => 255 + Math.round(255 * Math.max(-1, Math.min(1, x / limit)));

/** A number in a cell. @param {number} x  -0.1234 -> "-0.12"  @param {boolean} isNarrow */
export function brief(x, isNarrow) {
  const size = Math.abs(x);
  if (size === 0) return "0";
  if (size < (isNarrow ? 0.005 : 0.0005)) return x.toExponential(0);
  return x.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.095 || isNarrow ? 2 : 3);
}

/** A number with six digits. @param {number} x */
export const exactly = (x) =>
  x === 0 || (Math.abs(x) >= 1e-4 && Math.abs(x) < 1e6)
    ? String(Number(x.toPrecision(6)))
    : x.toExponential(5);

/** How many decimals show five digits of the largest of some numbers. @param {number[]} numbers */
export function decimalsFor(numbers) {
  const largest = numbers.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  return largest ? Math.max(2, Math.min(9, 4 - Math.floor(Math.log10(largest)))) : 4;
}

/** A tensor's name as the map writes it, with an index. @param {Place} place */
export const written = ({ tensor, index }) => `${tensor}[${index.join(", ")}]`;

/** The same inside a block, whose name need not be said again. */
const within = (block) => (place) =>
  written({
    ...place,
    tensor:
      block && place.tensor.startsWith(block) ? place.tensor.slice(block.length) : place.tensor,
  });

/**
 * Where the i-th number of a row that an explanation names stands.
 * @param {Place} place
 * @param {number} i
 * @param {any} config
 */
export function placeOf({ tensor, index }, i, { emb_dim, n_heads }) {
  const D = emb_dim / n_heads;
  // attention.out reads the heads of a token one after the other
  if (tensor.endsWith("attention.context") && index.length === 1)
    return { tensor, index: [Math.floor(i / D), index[0], i % D] };
  // attention.context reads one number of each token's value
  if (tensor.endsWith("attention.v") && index.length === 2)
    return { tensor, index: [index[0], i, index[1]] };
  return { tensor, index: [...index, i] };
}

const list = (numbers) => `[${Array.from(numbers, (x) => exactly(x)).join(", ")}]`;

/**
 * @type {Record<string, (reply: any, config: any, name: (place: Place) => string) => Omit<Working,
 *   "result">>} by the operation
 */
const WORKINGS = {
  product({ of, and, parameter, factor, bias, arrays: { left, right } }, config, name) {
    const terms = Array.from(left, (x, i) => ({
      i,
      left: x,
      right: right[i],
      term: x * right[i],
      from: placeOf(of, i, config),
      and: and && placeOf(and, i, config),
    }));
    const sum = terms.reduce((total, { term }) => total + term, 0);
    const steps = [{ text: `Sum of the ${count(terms.length, "product")}`, value: sum }];
    if (factor !== 1)
      steps.push({
        text: `divided by √${grouped(Math.round(1 / factor ** 2))} = ${exactly(1 / factor)}`,
        value: sum * factor,
      });
    if (bias) steps.push({ text: `plus the bias ${exactly(bias)}`, value: sum * factor + bias });
    const other = and ?? { tensor: parameter.name, index: parameter.index };
    return {
      terms,
      columns: [name(of), name(other), "product"],
      steps,
      python: [
        `left = ${list(left)}`,
        `right = ${list(right)}`,
        `sum(l * r for l, r in zip(left, right)) * ${exactly(factor)} + ${exactly(bias)}`,
      ],
    };
  },

  sum({ terms }, _, name) {
    const steps = terms.map(({ tensor, index, value }, i) => ({
      text: `${i ? "plus " : ""}${name({ tensor, index })}`,
      value,
      from: { tensor, index },
    }));
    steps.push({ text: "together", value: terms.reduce((sum, { value }) => sum + value, 0) });
    return {
      terms: [],
      columns: [],
      steps,
      python: [terms.map(({ value }) => exactly(value)).join(" + ")],
    };
  },

  norm({ of, at, mean, variance, scale, shift, arrays: { left } }, config, name) {
    const terms = Array.from(left, (x, i) => ({
      i,
      left: x,
      term: x,
      from: placeOf(of, i, config),
    }));
    const root = Math.sqrt(variance + 1e-5);
    const [centered, unit] = [left[at] - mean, (left[at] - mean) / root];
    const steps = [
      { text: name(placeOf(of, at, config)), value: left[at], from: placeOf(of, at, config) },
      {
        text: `minus the mean of the ${grouped(left.length)} numbers, ${exactly(mean)}`,
        value: centered,
      },
      {
        text: `divided by √(variance + 0.00001) = √${exactly(variance + 1e-5)} = ${exactly(root)}`,
        value: unit,
      },
      { text: `times the learned scale ${exactly(scale)}`, value: unit * scale },
      { text: `plus the learned shift ${exactly(shift)}`, value: unit * scale + shift },
    ];
    const python = [
      `x = ${list(left)}`,
      "mean = sum(x) / len(x)",
      "variance = sum((n - mean) ** 2 for n in x) / len(x)",
      `(x[${at}] - mean) / (variance + 1e-5) ** 0.5 * ${exactly(scale)} + ${exactly(shift)}`,
    ];
    return { terms, columns: [name(of)], steps, python };
  },

  softmax({ of, at, allowed, arrays: { left } }, config, name) {
    const largest = left.reduce((a, b) => Math.max(a, b));
    const terms = Array.from(left, (x, i) => ({
      i,
      left: x,
      term: Math.exp(x - largest),
      from: placeOf(of, i, config),
    }));
    if (at >= allowed)
      return {
        terms: [],
        columns: [],
        steps: [{ text: "hidden by the mask: a token cannot see later ones", value: 0 }],
        python: ["0.0"],
      };
    const sum = terms.reduce((total, { term }) => total + term, 0);
    const steps = [
      {
        text: `exp(${name(terms[at].from)} − the largest, ${exactly(largest)})`,
        value: terms[at].term,
        from: terms[at].from,
      },
      {
        text: `divided by the sum of all ${grouped(terms.length)}, ${exactly(sum)}`,
        value: terms[at].term / sum,
      },
    ];
    const python = [
      "from math import exp",
      `x = ${list(left)}`,
      `exp(x[${at}] - max(x)) / sum(exp(n - max(x)) for n in x)`,
    ];
    return { terms, columns: [name(of), "exp(number − largest)"], steps, python };
  },

  gelu({ terms: [{ tensor, index, value: x }] }, _, name) {
    const inner = Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
    const steps = [
      { text: `x = ${name({ tensor, index })}`, value: x, from: { tensor, index } },
      { text: "√(2/π) · (x + 0.044715 · x³)", value: inner },
      { text: "tanh of it", value: Math.tanh(inner) },
      { text: "0.5 · x · (1 + tanh)", value: 0.5 * x * (1 + Math.tanh(inner)) },
    ];
    return {
      terms: [],
      columns: [],
      steps,
      python: [
        "from math import pi, tanh",
        `x = ${exactly(x)}`,
        "0.5 * x * (1 + tanh((2 / pi) ** 0.5 * (x + 0.044715 * x**3)))",
      ],
    };
  },

  lookup({ parameter: { name, index }, value }) {
    const steps = [
      { text: `read from ${name}, row ${grouped(index[0])}, number ${index[1]}`, value },
    ];
    return {
      terms: [],
      columns: [],
      steps,
      python: [`model.state_dict()["${name}"][${index.join(", ")}]`],
    };
  },
};

/** One sentence on what was done. */
const SAYS = {
  product: ({ and, parameter }) =>
    and
      ? "A product of two rows of numbers that the model computed: number times number, and all products added."
      : `One number of a matrix product: the token's row times row ${grouped(parameter.index[0])} of the learned matrix ${parameter.name}, number times number, and all products added.`,
  sum: () => "An addition, number by number.",
  norm: () =>
    "The token's row at mean 0 and variance 1, then times a learned scale and plus a learned shift.",
  softmax: () =>
    "Each number as a power of e, divided by the sum of all of them: shares that add up to 1. The largest is subtracted first, which changes no share and keeps the powers small.",
  gelu: () => "GELU, in the form with tanh that GPT-2 uses.",
  lookup: () =>
    "Nothing is computed: the number stands in a learned table. This is where the way back ends.",
};

/** How an explained number came about. @returns {Working & {says: string}} */
export function workingOf(reply, config) {
  const made = WORKINGS[reply.operation];
  if (!made)
    return {
      says: `${reply.operation}: this number was put here.`,
      terms: [],
      columns: [],
      steps: [],
      result: reply.value,
      python: [],
    };
  const working = made(reply, config, within(/^blocks\.\d+\./.exec(reply.tensor)?.[0]));
  working.steps.at(-1).isResult = true;
  return { says: SAYS[reply.operation](reply), ...working, result: working.steps.at(-1).value };
}

/** A matrix as Python writes it, its numbers rounded to four decimals. @param {string} name */
export function pythonLiteral(name, { rows, cols, data }) {
  const row = (r) =>
    `[${Array.from(data.subarray(r * cols, (r + 1) * cols), (x) => Number(x.toFixed(4))).join(", ")}]`;
  const all = Array.from({ length: rows }, (_, r) => row(r));
  return `${name} = ${rows === 1 ? all[0] : `[\n    ${all.join(",\n    ")},\n]`}`;
}
