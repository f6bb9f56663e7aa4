/** Three requests whose answers say something about what fine-tuning did and did not do. */

/** @import { Experiment } from "../../parts/instrument.js" */

/** @import { Facts } from "../../parts/instrument.js" */

/** @param {Facts} facts */
const ending = ({ ended, tokens }) =>
  ended === "true"
    ? `and ended after ${tokens} tokens`
    : `and had not come to an end after ${tokens} tokens`;

/** @type {Experiment[]} */
export const EXPERIMENTS = [
  {
    title: "what the base model makes of a request",
    predict:
      "“What is the opposite of cold?” Which of the two models will answer, and what will the other one do?",
    set: { instruction: 'What is the opposite of "cold"?' },
    look: "Compare how both begin, and which of them comes to an end.",
    explain: (facts) =>
      `After fine-tuning it said “${facts.tuned}” ${ending(facts)}. Before, it wrote ${facts.written} tokens that begin “${facts.base}”: it continues the prompt as one more text, because texts are all that it ever learned from.`,
  },
  {
    title: "a question about the world",
    predict: "“What is the capital of France?” Has the tuned model an answer, and is it right?",
    set: { instruction: "What is the capital of France?" },
    look: "Read the tuned answer, then open its least sure token.",
    explain: (facts) =>
      `It said “${facts.tuned}”, and was least sure of “${facts.least}”, which had ${facts.share}. Fine-tuning taught the form of an answer. It could not add what neither the stories nor the requests held.`,
  },
  {
    title: "a kind of request that it never saw",
    predict:
      "Training had not one request to say the opposite with “not”. What will the tuned model do with one?",
    set: { instruction: 'Say the opposite by using "not".', input: "The soup is hot." },
    look: "Does the answer keep the sentence? Does it have a “not” in it?",
    explain: (facts) =>
      `It said “${facts.tuned}” ${ending(facts)}. Whether it follows a kind of request that training did not have shows what it learned besides the kinds: Chapter 7 counts it on forty such requests.`,
  },
];
