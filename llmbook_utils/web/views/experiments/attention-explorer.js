/** What the page on attention found in mini's heads, to be tried out in the attention explorer. */

/** @import { Experiment } from "../../parts/instrument.js" */

const text = "The old king and the old queen had one son. The old king";

/** @type {Experiment[]} */
export const EXPERIMENTS = [
  {
    title: "a head that looks one token back",
    predict: "Look at head 5 of block 4: where will the dark cells be?",
    set: { text, block: "4", head: "5" },
    look: "Follow the diagonal: which token does each token look at?",
    explain: ({ previous }) =>
      `The cells one step left of the diagonal are dark: on average a token gives ${previous} of its weight to the token right before it. Nobody told the head to do so; a model that predicts text needs to know what came last.`,
  },
  {
    title: "a head that looks at the first token",
    predict:
      "What can a head do when nothing in the text is of use to it? All its weights must add up to 1.",
    set: { text, block: "3", head: "3" },
    look: "Look at the first column.",
    explain: ({ first }) =>
      `On average ${first} of the weight goes to the very first token, whatever it is. Heads that have nothing to fetch put their weight there, where it does little harm.`,
  },
  {
    title: "a head that finds what followed last time",
    predict: "“The old king” stands in the text twice. Where does the second “king” look?",
    set: { text, block: "5", head: "1", row: "13", column: "3" },
    look: "Read the sentence below the picture for the last token.",
    explain: ({ row, most, weight }) =>
      `“${row}” looks mostly at “${most}”, with weight ${weight}: at the token that followed “king” the first time. A head that continues what was there before is called an induction head.`,
  },
  {
    title: "without the causal mask",
    predict: "What happens to the prediction when each token may also look at later ones?",
    set: { text, block: "4", head: "5", off: "mask" },
    look: "Open “Switch parts of the attention off” and compare the bars before and after.",
    explain: ({ before, beforeShare, after, afterShare, moved }) =>
      `Before, “${before}” led with ${beforeShare}; now “${after}” leads with ${afterShare}, and the two distributions are ${moved} apart (0: the same, 1: nothing in common). The model was trained with the mask, and weights on later tokens are something that it has never met.`,
  },
];
