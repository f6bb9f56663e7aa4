/**
 * The tensors inside a GPT, in the order in which they are made: llmbook_utils/inside/stages.json,
 * written here by tools/build_stages.py. llmbook_utils/inside/stages.py says what each field means.
 *
 * @typedef {{name: string, part: string, shape: string, operation: string | null, of: string[],
 *   layer: string | null, parameters: string, does: string}} Stage
 */

/** @type {Stage[]} */
export const STAGES = [
  {"name": "tokens", "part": "before", "shape": "T", "operation": null, "of": [], "layer": null, "parameters": "", "does": "The text, cut into tokens; each has an id."},
  {"name": "token_embedding", "part": "before", "shape": "T,C", "operation": "lookup", "of": [], "layer": "token_embedding", "parameters": "VC", "does": "Looks up one row of a learned table for each id: what the token is."},
  {"name": "position_embedding", "part": "before", "shape": "T,C", "operation": "lookup", "of": [], "layer": "position_embedding", "parameters": "PC", "does": "Looks up one row for each position: where the token stands."},
  {"name": "embedding", "part": "before", "shape": "T,C", "operation": "sum", "of": ["token_embedding", "position_embedding"], "layer": null, "parameters": "", "does": "Adds the two: one vector per token. Here the residual stream begins."},
  {"name": "norm_1", "part": "block", "shape": "T,C", "operation": "norm", "of": ["stream"], "layer": "norm_1", "parameters": "2C", "does": "Brings each vector to mean 0 and variance 1, then scales and shifts it."},
  {"name": "attention.q", "part": "block", "shape": "H,T,D", "operation": "linear", "of": ["norm_1"], "layer": "attention.qkv", "parameters": "CC+BC", "does": "Queries: what each token looks for."},
  {"name": "attention.k", "part": "block", "shape": "H,T,D", "operation": "linear", "of": ["norm_1"], "layer": "attention.qkv", "parameters": "CC+BC", "does": "Keys: what each token is found by."},
  {"name": "attention.v", "part": "block", "shape": "H,T,D", "operation": "linear", "of": ["norm_1"], "layer": "attention.qkv", "parameters": "CC+BC", "does": "Values: what each token passes on."},
  {"name": "attention.scores", "part": "block", "shape": "H,T,T", "operation": "scores", "of": ["attention.q", "attention.k"], "layer": null, "parameters": "", "does": "Each query times each key, divided by √D: how well they match."},
  {"name": "attention.weights", "part": "block", "shape": "H,T,T", "operation": "softmax", "of": ["attention.scores"], "layer": null, "parameters": "", "does": "Softmax of the scores up to the token itself: shares that add up to 1."},
  {"name": "attention.context", "part": "block", "shape": "H,T,D", "operation": "gather", "of": ["attention.weights", "attention.v"], "layer": null, "parameters": "", "does": "The values, mixed in these shares."},
  {"name": "attention.out", "part": "block", "shape": "T,C", "operation": "linear", "of": ["attention.context"], "layer": "attention.out", "parameters": "CC+C", "does": "Joins the heads and mixes them: what attention adds to the stream."},
  {"name": "residual", "part": "block", "shape": "T,C", "operation": "sum", "of": ["stream", "attention.out"], "layer": null, "parameters": "", "does": "What entered the block, plus attention.out: the first addition."},
  {"name": "norm_2", "part": "block", "shape": "T,C", "operation": "norm", "of": ["residual"], "layer": "norm_2", "parameters": "2C", "does": "As norm_1, with scales and shifts of its own."},
  {"name": "feed_forward.up_proj", "part": "block", "shape": "T,4C", "operation": "linear", "of": ["norm_2"], "layer": "feed_forward.up_proj", "parameters": "4CC+4C", "does": "Makes each token's vector four times as long, each token by itself."},
  {"name": "feed_forward.gelu", "part": "block", "shape": "T,4C", "operation": "gelu", "of": ["feed_forward.up_proj"], "layer": null, "parameters": "", "does": "Lets large numbers pass and turns negative ones to almost 0."},
  {"name": "feed_forward.down_proj", "part": "block", "shape": "T,C", "operation": "linear", "of": ["feed_forward.gelu"], "layer": "feed_forward.down_proj", "parameters": "4CC+C", "does": "Makes the vectors short again: what the network adds to the stream."},
  {"name": "output", "part": "block", "shape": "T,C", "operation": "sum", "of": ["residual", "feed_forward.down_proj"], "layer": null, "parameters": "", "does": "residual plus feed_forward.down_proj: the second addition, and the way out."},
  {"name": "final_norm", "part": "after", "shape": "T,C", "operation": "norm", "of": ["stream"], "layer": "final_norm", "parameters": "2C", "does": "The stream once more at mean 0 and variance 1."},
  {"name": "logits", "part": "after", "shape": "T,V", "operation": "linear", "of": ["final_norm"], "layer": "head", "parameters": "UVC", "does": "One number for each token of the vocabulary; drawn after the last token."},
  {"name": "probabilities", "part": "after", "shape": "V", "operation": null, "of": [], "layer": null, "parameters": "", "does": "Softmax of these logits: how probable each next token is."},
];
