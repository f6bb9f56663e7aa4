/**
 * From logits to the next token: the arithmetic of llmbook_utils/generate.py, name by name. Given
 * the same logits, options and seed, both draw the same tokens.
 *
 * @typedef {{temperature?: number, top_k?: number | null, top_p?: number | null, min_p?: number |
 *   null, repetition_penalty?: number}} SamplingOptions
 */

/**
 * Numbers in [0, 1) from a seed: "mulberry32", public domain.
 * @param {number} seed
 * @returns {() => number}
 */
export function uniformNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Throws an error that names the first option that cannot be meant.
 * @param {SamplingOptions} options
 */
export function checkOptions({
  temperature = 1,
  top_k = null,
  top_p = null,
  min_p = null,
  repetition_penalty = 1,
}) {
  const rules = [
    ["temperature", temperature, temperature >= 0 && temperature < Infinity, "0 or more"],
    ["top_k", top_k, top_k === null || (Number.isInteger(top_k) && top_k >= 1), "1 or more"],
    ["top_p", top_p, top_p === null || (top_p > 0 && top_p <= 1), "above 0, and 1 at most"],
    ["min_p", min_p, min_p === null || (min_p >= 0 && min_p <= 1), "from 0 to 1"],
    ["repetition_penalty", repetition_penalty, repetition_penalty > 0, "above 0"],
  ];
  for (const [name, value, meant, wanted] of rules)
    if (!meant) throw new Error(`${name} is ${value}; it must be ${wanted}`);
}

/**
 * @param {ArrayLike<number>} numbers
 * @returns {number} where the largest is, the first among equals
 */
export function indexOfLargest(numbers) {
  let best = 0;
  for (let i = 1; i < numbers.length; i += 1) if (numbers[i] > numbers[best]) best = i;
  return best;
}

/** Logits with those of tokens in `ids` made less likely. Source: Keskar et al. (2019). */
export function penalize(logits, ids, penalty) {
  const changed = new Float64Array(logits);
  for (const id of new Set(ids))
    changed[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
  return changed;
}

/** @param {ArrayLike<number>} logits  @param {number} temperature  above 0 */
export function softmaxOf(logits, temperature = 1) {
  const max = logits[indexOfLargest(logits)];
  const powers = new Float64Array(logits);
  for (let id = 0; id < powers.length; id += 1)
    powers[id] = Math.exp((powers[id] - max) / temperature);
  return keep(powers, () => true);
}

/** Set all but the kept probabilities to 0 and make the rest add up to 1. */
function keep(probabilities, isKept) {
  const kept = new Float64Array(probabilities.length);
  let sum = 0;
  for (let id = 0; id < kept.length; id += 1)
    if (isKept(probabilities[id], id)) sum += kept[id] = probabilities[id];
  for (let id = 0; id < kept.length; id += 1) kept[id] /= sum;
  return kept;
}

/**
 * The ids, the most probable first; among equals the smaller id. Any numbers can be ordered so. A
 * GPT-2's vocabulary takes milliseconds: the numbers are sorted by the 16-bit digits of their bits,
 * the last digit first.
 * @param {ArrayLike<number>} probabilities
 */
export function byProbability(probabilities) {
  const digits = new Uint16Array(new Float64Array(probabilities).buffer);
  /** @type {number[][]} */
  const [zeros, others] = [[], []]; // what was cut off needs no sorting
  for (let id = 0; id < probabilities.length; id += 1) {
    (probabilities[id] === 0 ? zeros : others).push(id);
    // bits are in the order of the numbers above 0, in the opposite one below
    if (probabilities[id] < 0) for (let i = 4 * id; i < 4 * id + 4; i += 1) digits[i] ^= 0xffff;
    else digits[4 * id + 3] ^= 0x8000;
  }
  let order = new Uint32Array(others);
  for (let digit = 0; digit < 4; digit += 1) {
    // where the ids with a digit go: after those with larger ones
    const places = new Uint32Array(65537);
    for (const id of order) places[65536 - digits[4 * id + digit]] += 1;
    for (let i = 1; i < 65536; i += 1) places[i] += places[i - 1];
    const sorted = new Uint32Array(order.length);
    for (const id of order) sorted[places[65535 - digits[4 * id + digit]]++] = id;
    order = sorted;
  }
  const negative = order.findIndex((id) => probabilities[id] < 0);
  const end = negative < 0 ? order.length : negative;
  return [...order.subarray(0, end), ...zeros, ...order.subarray(end)];
}

/**
 * The k-th largest of numbers from 0 up; only those that share its first 16 bits are sorted.
 * @param {Float64Array} numbers
 */
function kthLargest(numbers, k) {
  const digits = new Uint16Array(numbers.buffer);
  const counts = new Uint32Array(65536);
  for (let i = 3; i < digits.length; i += 4) counts[digits[i]] += 1;
  let [digit, rest] = [65535, k];
  for (; rest > counts[digit]; digit -= 1) rest -= counts[digit];
  const alike = numbers.filter((_, i) => digits[4 * i + 3] === digit).sort();
  return alike[alike.length - rest];
}

const largestOf = (probabilities) => probabilities[indexOfLargest(probabilities)];

/** What cuts tokens off, in the order in which it is done. */
const CUTS = {
  top_k(probabilities, k) {
    if (k >= probabilities.length) return probabilities;
    const least = kthLargest(probabilities, k);
    return keep(probabilities, (p) => p >= least);
  },

  top_p(probabilities, most) {
    const before = new Float64Array(probabilities.length); // the one that crosses top_p is kept
    let sum = 0;
    for (const id of byProbability(probabilities)) {
      before[id] = sum;
      sum += probabilities[id];
    }
    return keep(probabilities, (_, id) => before[id] < most);
  },

  min_p(probabilities, share) {
    const least = share * largestOf(probabilities);
    return keep(probabilities, (p) => p >= least);
  },
};

/**
 * Logits (V) as probabilities (V), given the ids before: repetition penalty and temperature (0: all
 * on the largest), then top-k, top-p and min-p, each if given; after each, what is left adds up to
 * 1 again.
 * @param {ArrayLike<number>} logits
 * @param {number[]} ids
 * @param {SamplingOptions} options
 * @returns {{name: string, probabilities: Float64Array}[]} what there is after each, the first of
 *   name "temperature"
 */
export function samplingSteps(logits, ids, options = {}) {
  checkOptions(options);
  const { temperature = 1, repetition_penalty = 1 } = options;
  const penalized = repetition_penalty === 1 ? logits : penalize(logits, ids, repetition_penalty);
  if (temperature === 0) {
    const probabilities = new Float64Array(penalized.length);
    probabilities[indexOfLargest(penalized)] = 1;
    return [{ name: "temperature", probabilities }];
  }
  const steps = [{ name: "temperature", probabilities: softmaxOf(penalized, temperature) }];
  for (const [name, cut] of Object.entries(CUTS)) {
    if ((options[name] ?? null) !== null)
      steps.push({
        name,
        probabilities: cut(steps[steps.length - 1].probabilities, options[name]),
      });
  }
  return steps;
}

/**
 * The probabilities (V) of the next token after all of `samplingSteps`.
 * @param {ArrayLike<number>} logits
 * @param {number[]} ids
 * @param {SamplingOptions} options
 * @returns {Float64Array}
 */
export function nextTokenProbabilities(logits, ids, options = {}) {
  const steps = samplingSteps(logits, ids, options);
  return steps[steps.length - 1].probabilities;
}

/**
 * The first token at which the running sum exceeds a number in [0, 1) times the whole.
 * @param {ArrayLike<number>} probabilities
 * @param {number} number
 */
export function draw(probabilities, number) {
  let total = 0;
  for (let id = 0; id < probabilities.length; id += 1) total += probabilities[id];
  const target = number * total;
  let sum = 0;
  for (let id = 0; id < probabilities.length; id += 1) {
    sum += probabilities[id];
    if (sum > target) return id;
  }
  return indexOfLargest(probabilities); // no sum exceeds NaN
}
