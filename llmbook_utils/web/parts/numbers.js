/** How numbers read, in every widget alike. */

/** @param {number} n  1234567 -> "1,234,567" */
export const grouped = (n) => n.toLocaleString("en-US");

/** @param {number} n  @param {string} noun  (1, "token") -> "1 token" */
export const count = (n, noun) => `${grouped(n)} ${noun}${n === 1 ? "" : "s"}`;

/** @param {number} bytes  6000000 -> "6.0 MB" */
export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** @param {number} p  0.3124 -> "31.2 %", 0.00000012 -> "1.2e-5 %" */
export function percent(p) {
  const n = 100 * p;
  if (n === 0 || n === 100) return `${n} %`;
  if (n < 0.001) return `${n.toExponential(1)} %`;
  if (n >= 99.95) return "> 99.9 %";
  return `${n.toFixed(n >= 10 ? 1 : n >= 1 ? 2 : 3)} %`;
}

/** A weight or a cosine. @param {number} x  0.1234 -> "0.123" */
export const decimal = (x, digits = 3) => x.toFixed(digits);

/** @param {number} x  0.00023456 -> "0.000235", 0.3 -> "0.3", 12345.6 -> "12,346" */
export function short(x) {
  if (x === 0 || Math.abs(x) >= 1000) return grouped(Math.round(x));
  return String(Number(x.toPrecision(3)));
}
