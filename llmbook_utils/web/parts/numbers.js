/** How numbers read, in every widget alike. */

/** @param {number} n  1234567 -> "1,234,567" */
export const grouped = (n) => n.toLocaleString("en-US");

/** @param {number} n  @param {string} noun  (1, "token") -> "1 token" */
export const count = (n, noun) => `${grouped(n)} ${noun}${n === 1 ? "" : "s"}`;
