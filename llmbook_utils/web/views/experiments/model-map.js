/** What the page on the model found, to be tried out in the model map. */

/** @import { Experiment } from "../../parts/instrument.js" */

/** @type {Experiment[]} */
export const EXPERIMENTS = [
  {
    title: "from a text to the next token",
    predict: "Which token will the model put after “Once upon a”, and how sure will it be of it?",
    set: { text: "Once upon a" },
    look: "Follow the text from the top down to the bars at the bottom.",
    explain: ({ one, oneShare, two, twoShare, tokens }) =>
      `The text is read as ${tokens} tokens. After them “${one}” leads with ${oneShare}, far ahead of “${two}” with ${twoShare}. Even so, most of the probability lies on thousands of other tokens, each with very little.`,
  },
  {
    title: "the same words in another order",
    predict:
      "The same words backward, “a upon Once”: will the model still expect what it expected before?",
    set: { text: "a upon Once" },
    look: "Compare the bars with those of the experiment before.",
    explain: ({ one, oneShare }) =>
      `Now “${one}” leads, with no more than ${oneShare}. Position embeddings and the causal mask tell the model the order; without them a text would be a bag of tokens.`,
  },
  {
    title: "the first token sees only itself",
    predict: "In block 0, how much weight does the first token give to itself?",
    set: { text: "Once upon a", open: "blocks.0.attention.weights", at: "0.0.0" },
    look: "Read the framed cell, and the hatched ones beside it.",
    explain: ({ value }) =>
      `It gives ${value}: the mask hides all later tokens, one is left, and the softmax of a single score is always 1.`,
  },
];
