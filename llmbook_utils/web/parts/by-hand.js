/**
 * Verdicts on exercises that are worked out by hand, by the rules of `exercises/by_hand.py`, which
 * judges in the same way; a test compares the two.
 */

/**
 * @typedef {number | string} Value
 *
 * @typedef {{kind: string, at: number[], values: Value[], says: string, within: number[]}} Rule
 */

/**
 * A number as Python's `g` writes it. @param {number} x  @param {number} [digits]
 */
function general(x, digits = 6) {
  if (x === 0) return "0";
  const [mantissa, power] = x.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < digits) return String(Number(x.toPrecision(digits)));
  const sign = exponent < 0 ? "-" : "+";
  return `${Number(mantissa)}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** @param {Value[]} given  @param {number[]} at */
const sum = (given, at) => at.reduce((whole, i) => whole + Number(given[i]), 0);

/** A sentence with the numbers of an answer. @param {string} says  @param {Value[]} given */
const fill = (says, given) =>
  says.replace(
    /\{(?:sum((?: \d+)+)|(\d+)(?:(:,)|\^(\d+))?)\}/g,
    (_, places, place, apart, power) => {
      if (places) return general(sum(given, places.trim().split(" ").map(Number)));
      const value = given[Number(place)];
      if (typeof value === "string") return `“${value.replaceAll(" ", "␣")}”`;
      if (power) return general(value ** Number(power), 3);
      if (apart) return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
      return general(value);
    },
  );

/** @param {Value} given  @param {Value} value  @param {number} within */
const near = (given, value, within) =>
  typeof given === "number" && typeof value === "number"
    ? Math.abs(given - value) <= within
    : given === value;

/** @param {Rule} rule  @param {Value[]} given */
function breaks({ kind, at, values, within }, given) {
  if (kind === "total") return !(Math.abs(sum(given, at) - Number(values[0])) <= within[0]);
  if (kind === "begins") return !at.some((i) => String(given[i]).startsWith(String(values[0])));
  const alike = at.every((place, i) => near(given[place], values[i], within[i]));
  return alike === (kind === "slip");
}

/**
 * @param {Rule[]} rules
 * @param {Value[]} given
 * @returns {string | null} what is wrong, or null
 */
export function judge(rules, given) {
  const broken = rules.find((rule) => breaks(rule, given));
  return broken ? fill(broken.says, given) : null;
}

const NUMBER = /^[+-]?(\d+|\d{1,3}(,\d{3})+)?(\.\d*)?(e[+-]?\d+)?$/i;

/**
 * The number that a reader typed: 0.25, 1/4, 25 %, 3,000 or 1e-3.
 *
 * @param {string} text
 * @returns {number | null} null where it is none
 */
export function readNumber(text) {
  const plain = text.replaceAll("−", "-").replace(/\s+/g, "");
  const parts = plain.replace(/%$/, "").split("/");
  if (parts.length > 2 || !parts.every((part) => NUMBER.test(part) && /\d/.test(part))) return null;
  const [above, below = 1] = parts.map((part) => Number(part.replaceAll(",", "")));
  const value = above / below / (plain.endsWith("%") ? 100 : 1);
  return Number.isFinite(value) ? value : null;
}
