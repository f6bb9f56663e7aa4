/**
 * The product of matrix and vectors, GELU and attention, in which nearly all of a GPT's time goes,
 * in plain JavaScript. It needs nothing of the browser; kernel-wasm.js does the same with SIMD
 * instructions, and where it cannot, this one works.
 *
 * A kernel is {alloc, linear, gelu, attend}: `alloc(n)` gives room for n numbers that the others
 * can work on.
 * @typedef {{weight: Float32Array, bias: Float32Array, rows: number, cols: number}} Linear  weight
 *   (rows, cols), bias (rows)
 * @typedef {{name: string, alloc: (n: number) => Float32Array, linear: (out: Float32Array, x:
 *   Float32Array, n: number, layer: Linear) => void, gelu: (x: Float32Array, n: number) => void,
 *   attend: typeof attend}} Kernel
 */

import { gelu, softmax } from "./functions.js";

/**
 * out[t][r] = bias[r] + sum over c of weight[r][c] * x[t][c], as `nn.Linear`: (n, cols) -> (n,
 * rows).
 *
 * Four rows at once, so that each number of x is read once for four products.
 * @param {Float32Array} out
 * @param {Float32Array} x
 * @param {number} n
 * @param {Linear} layer
 */
export function linear(out, x, n, { weight, bias, rows, cols }) {
  for (let t = 0; t < n; t += 1) {
    let r = 0;
    for (; r + 4 <= rows; r += 4) {
      let sum0 = bias[r],
        sum1 = bias[r + 1],
        sum2 = bias[r + 2],
        sum3 = bias[r + 3];
      for (let c = 0, w = r * cols, at = t * cols; c < cols; c += 1, w += 1, at += 1) {
        const value = x[at];
        sum0 += weight[w] * value;
        sum1 += weight[w + cols] * value;
        sum2 += weight[w + 2 * cols] * value;
        sum3 += weight[w + 3 * cols] * value;
      }
      const o = t * rows + r;
      out[o] = sum0;
      out[o + 1] = sum1;
      out[o + 2] = sum2;
      out[o + 3] = sum3;
    }
    for (; r < rows; r += 1) {
      let sum = bias[r];
      for (let c = 0; c < cols; c += 1) sum += weight[r * cols + c] * x[t * cols + c];
      out[t * rows + r] = sum;
    }
  }
}

/** GELU of the first n numbers, in place. @param {Float32Array} x  @param {number} n */
export function geluAll(x, n) {
  for (let i = 0; i < n; i += 1) x[i] = gelu(x[i]);
}

/**
 * The dot product of D numbers of `a` with D of `b`; four sums, so that the processor need not wait
 * for one.
 */
export function dot(a, atA, b, atB, D) {
  let sum0 = 0,
    sum1 = 0,
    sum2 = 0,
    sum3 = 0;
  let d = 0;
  for (; d + 4 <= D; d += 4) {
    sum0 += a[atA + d] * b[atB + d];
    sum1 += a[atA + d + 1] * b[atB + d + 1];
    sum2 += a[atA + d + 2] * b[atB + d + 2];
    sum3 += a[atA + d + 3] * b[atB + d + 3];
  }
  for (; d < D; d += 1) sum0 += a[atA + d] * b[atB + d];
  return sum0 + sum1 + sum2 + sum3;
}

/**
 * What one query gathers from n keys and values of D numbers, those of its head one after the
 * other from `from` on.
 * @param {Float32Array} out  gets D numbers at `outAt`
 * @param {Float32Array} q  has the query at `qAt`
 * @param {Float32Array} scores  room for n numbers
 */
export function attend(out, outAt, q, qAt, keys, values, from, n, D, scores) {
  const factor = 1 / Math.sqrt(D);
  for (let s = 0; s < n; s += 1) scores[s] = dot(q, qAt, keys, from + s * D, D) * factor;
  softmax(scores, 0, n);
  out.fill(0, outAt, outAt + D);
  for (let s = 0, v = from; s < n; s += 1) {
    for (let d = 0; d < D; d += 1, v += 1) out[outAt + d] += scores[s] * values[v];
  }
}

/** @returns {Kernel} */
export const plainKernel = () => ({
  name: "JavaScript",
  alloc: (n) => new Float32Array(n),
  linear,
  gelu: geluAll,
  attend,
});
