/** What the page on decoding found, to be tried out in the sampling lab. */

/** @import { Experiment } from "../../parts/instrument.js" */

const text = "The king said to the";

/** @type {Experiment[]} */
export const EXPERIMENTS = [
  {
    title: "what a low temperature does",
    predict:
      "At temperature 1 the leading token has about a third of the probability. How much will it have at 0.3?",
    set: { text, temperature: "0.3" },
    look: "Compare the two bars of the first row, then those of the second.",
    explain: ({ best, share, before, second }) =>
      `“${best}” has ${share} now and had ${before} before. Dividing all logits by 0.3 makes every difference between them more than three times as large, so the leader takes nearly everything, and even “${second}”, which came next, is hardly ever drawn.`,
  },
  {
    title: "what a high temperature does",
    predict:
      "At temperature 2, how much of the probability will lie outside the ten tokens that are listed?",
    set: { text, temperature: "2" },
    look: "Compare the bars of the last row, all the other tokens together.",
    explain: ({ best, share, others, othersBefore }) =>
      `The other tokens together have ${others}, where they had ${othersBefore} before, and “${best}” is down to ${share}. None of them is likely by itself, but there are thousands: at a high temperature it is these that a model nearly always draws from.`,
  },
  {
    title: "how many tokens top-p keeps",
    predict: "How many of the 4,096 tokens does it take to reach 90 % of the probability?",
    set: { text, temperature: "1", top_p: "0.9" },
    look: "Read the sentence below the table: how many tokens can be drawn?",
    explain: ({ left, best, share }) =>
      `${left} tokens are left. A few tokens have half of the probability, the next hundreds share the rest of the 90 %, and what is cut off goes to those that stay: “${best}” has ${share} now. Top-k with a fixed k cannot adapt in this way.`,
  },
  {
    title: "what a repetition penalty does",
    predict:
      "The text has “king” in it already. What will a penalty of 1.5 do to “king” as the next word?",
    set: { text, temperature: "1", repetition_penalty: "1.5" },
    look: "See which token leads now, and which bars have become shorter.",
    explain: ({ best, share, before }) =>
      `“${best}” leads now, with ${share}; before the penalty it had ${before}. The penalty lowers the logits of the tokens that stand in the text, whether a repetition would be a fault or not.`,
  },
];
