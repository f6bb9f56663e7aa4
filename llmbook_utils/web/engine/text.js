/** What is done to a text before it is tokenized, and to its words before they are compared. */

/**
 * What phones and word processors type, and what stands for it in the texts that `mini` learned
 * from.
 */
const TYPED = {
  "‘": "'",
  "’": "'",
  "‚": "'",
  "‛": "'",
  "“": '"',
  "”": '"',
  "„": '"',
  "‟": '"',
  "–": "--",
  "—": "--",
  "―": "--",
  "…": "...",
  "\u00a0": " ",
};
const typed = new RegExp(`[${Object.keys(TYPED).join("")}]`, "g");

/** @param {string} text */
export const normalize = (text) => text.replace(typed, (character) => TYPED[character]);

/** What Python's `strip` and `split` take for white space; `trim` takes others. */
const SPACE = String.raw`[\p{White_Space}\x1c-\x1f]+`;
const around = new RegExp(`^${SPACE}|${SPACE}$`, "gu");
const between = new RegExp(SPACE, "u");

/** @param {string} text */
export const strip = (text) => text.replace(around, "");

/** @param {string} text */
export const split = (text) => text.split(between).filter(Boolean);
