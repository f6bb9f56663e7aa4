/** What the loss of a row says before and after fine-tuning, and what two faults do. */

/** @import { Experiment } from "../../parts/instrument.js" */

/** @type {Experiment[]} */
export const EXPERIMENTS = [
  {
    title: "where fine-tuning lowers the loss",
    predict:
      "Only the answer counts. At which of its targets will the loss fall most when the model is fine-tuned?",
    set: {},
    look: "Compare the two columns, and the last line, the end of the answer.",
    explain: ({ base, tuned, endBase, endTuned }) =>
      `The mean falls from ${base} to ${tuned}. The end of the answer falls from ${endBase} to ${endTuned}: in the stories no text ended after one sentence, and in the requests every answer does.`,
  },
  {
    title: "a prompt that is not masked",
    predict: "How many targets will count when the prompts count, too?",
    set: { mask_prompt: "false" },
    look: "Read the sentence under the batch.",
    explain: ({ counted, all, base, tuned }) =>
      `${counted} of ${all} count now, most of them the same words of the template in every row. The mean of this row is ${base} before and ${tuned} after, and it says little about answers.`,
  },
  {
    title: "an end that is not learned",
    predict: "Without the ends, how many targets will be missing?",
    set: { learn_end: "false" },
    look: "Look at the last target of the answer.",
    explain: ({ counted, all }) =>
      `${counted} of ${all} count: one less per row. It is a small change in the batch and a large one in the answers, because a model that was never taught to stop goes on until it is cut off.`,
  },
];
