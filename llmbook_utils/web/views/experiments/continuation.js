/** What can be found out about mini from what it writes. */

/** @import { Experiment } from "../../parts/instrument.js" */

/** @type {Experiment[]} */
export const EXPERIMENTS = [
  {
    title: "the same words, another draw",
    predict:
      "The model gets the same first words again but draws with other random numbers. Will it tell the same story?",
    set: { text: "Once upon a time", seed: "7" },
    look: "Read how the text goes on, then press “Another one”.",
    explain: ({ seed, words }) =>
      `With seed ${seed} it goes on “${words} …”. The model gives probabilities; chance picks one token after another, and the seed decides how chance falls. The same seed draws the same story.`,
  },
  {
    title: "a question",
    predict:
      "What does a model that has read only stories make of a question about the capital of France?",
    set: { text: "What is the capital of France?", seed: "0" },
    look: "Is what it writes an answer?",
    explain: ({ words }) =>
      `It goes on “${words} …”. It does not answer; it continues, as a story would. A model answers only after it has been trained to follow instructions.`,
  },
  {
    title: "words that do not exist",
    predict: "“The glimfrod” is in no book. Will the model stop?",
    set: { text: "The glimfrod opened its eyes and", seed: "0" },
    look: "How does it go on after a word that it cannot know?",
    explain: ({ words, tokens }) =>
      `It writes ${tokens} tokens: “${words} …”. A word that is not in the vocabulary is read in pieces, and the words around it are enough to go on from.`,
  },
];
