/** What the page on text data found about mini's embeddings, to be tried out in the map. */

/** @import { Experiment } from "../../parts/instrument.js" */

const text =
  "king queen prince princess dog cat horse red blue green two three four said asked cried answered mother father";

/** @type {Experiment[]} */
export const EXPERIMENTS = [
  {
    title: "who is near a king",
    predict: "Which three of all 4,096 tokens lie nearest to “king”?",
    set: { text, word: "king" },
    look: "Read the sentence below the picture, and open the list of the nearest tokens.",
    explain: ({ one, oneIs, two, twoIs, three, threeIs }) =>
      `“${one}” (${oneIs}), “${two}” (${twoIs}) and “${three}” (${threeIs}). The model never saw a definition: tokens that stand in like sentences get like vectors.`,
  },
  {
    title: "numbers are near numbers",
    predict: "And “three”? Will small words such as “the” be near it?",
    set: { text, word: "three" },
    look: "See where the numbers stand in the picture, and what the sentence names.",
    explain: ({ one, oneIs, two, twoIs, three, threeIs }) =>
      `“${one}” (${oneIs}), “${two}” (${twoIs}) and “${three}” (${threeIs}) are nearest. What counts is not how a word is spelled but in which places it is used.`,
  },
  {
    title: "ways of speaking",
    predict: "Old stories are full of dialogue. What is nearest to “said”?",
    set: { text, word: "said" },
    look: "Compare the group of “said” with the other groups.",
    explain: ({ one, oneIs, two, twoIs, three, threeIs }) =>
      `“${one}” (${oneIs}), “${two}” (${twoIs}) and “${three}” (${threeIs}): other ways to speak. In the texts that mini learned from, they follow a quotation mark just as “said” does.`,
  },
];
