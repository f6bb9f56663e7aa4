/** The two functions that a GPT bends numbers with, for the engine and for the views. */

const FACTOR = -2 * Math.sqrt(2 / Math.PI);

/**
 * GELU in its tanh form: x / 2 * (1 + tanh(u)) = x / (1 + exp(-2u)).
 * Source: Hendrycks and Gimpel (2016).
 * @param {number} x
 */
export const gelu = (x) => x / (1 + Math.exp(FACTOR * x * (1 + 0.044715 * x * x)));

/**
 * Turn `n` scores from `at` on into weights that add up to 1, in place.
 * @param {Float32Array | Float64Array} scores
 * @param {number} at
 * @param {number} n
 */
export function softmax(scores, at, n) {
  let max = -Infinity;
  for (let i = at; i < at + n; i += 1) if (scores[i] > max) max = scores[i];
  let sum = 0;
  for (let i = at; i < at + n; i += 1) sum += scores[i] = Math.exp(scores[i] - max);
  for (let i = at; i < at + n; i += 1) scores[i] /= sum;
}
