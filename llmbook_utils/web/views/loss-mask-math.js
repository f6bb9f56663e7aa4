/**
 * From conversations to a batch: what `encode_turns`, `prepare` and `collate` of
 * llmbook_utils/instruct.py do with one request each.
 *
 * @typedef {{ids: number[], answer: boolean[]}} Example  `answer`: whether an id belongs to one
 * @typedef {{contextLength: number, maskPrompt: boolean, learnEnd: boolean}} Options
 * @typedef {{inputs: number[][], targets: number[][]}} Batch
 * @typedef {"prompt" | "answer" | "end" | "padding"} Part
 */

/** What stands for a target that does not count in the loss. */
export const IGNORED = -100;

/** @param {number[]} prompt  @param {number[]} reply  @returns {Example} */
export const exampleOf = (prompt, reply) => ({
  ids: [...prompt, ...reply],
  answer: [...prompt.map(() => false), ...reply.map(() => true)],
});

/**
 * Whether anything of the answer is within the context; an entry without that is dropped.
 * @param {Example} example
 * @param {number} contextLength
 */
export const isKept = ({ answer }, contextLength) =>
  answer.slice(1, contextLength + 1).some(Boolean);

/**
 * A batch of examples: inputs and targets, each (B, T).
 * @param {Example[]} examples
 * @param {number} end  the id that ends an answer and fills up rows
 * @param {Options} options
 * @returns {Batch}
 */
export function collate(examples, end, { contextLength, maskPrompt, learnEnd }) {
  const longest = Math.max(...examples.map(({ ids }) => ids.length + 1));
  const length = Math.min(longest, contextLength + 1);
  const rows = examples.map(({ ids, answer }) => {
    const whole = [...ids, ...Array(Math.max(1, length - ids.length)).fill(end)].slice(0, length);
    const counts = (at) =>
      at <= ids.length && // of all those ends only the first counts
      (!maskPrompt || at === ids.length || answer[at]) &&
      (learnEnd || whole[at] !== end);
    const targets = whole.map((id, at) => (counts(at) ? id : IGNORED)).slice(1);
    return { inputs: whole.slice(0, -1), targets };
  });
  return { inputs: rows.map(({ inputs }) => inputs), targets: rows.map(({ targets }) => targets) };
}

/**
 * What the target at each place of a row is, whether it counts or not.
 * @param {Example} example
 * @param {number} width  T
 * @returns {Part[]}
 */
export const partsOf = ({ ids, answer }, width) =>
  Array.from({ length: width }, (_, at) => {
    if (at + 1 > ids.length) return "padding";
    if (at + 1 === ids.length) return "end";
    return answer[at + 1] ? "answer" : "prompt";
  });

/**
 * The loss of each target that counts, in nats; null for the others.
 * @param {{shape: number[], data: Float32Array}} logits  (T, V)
 * @param {number[]} targets
 */
export function lossesOf({ shape: [, V], data }, targets) {
  return targets.map((target, at) => {
    if (target === IGNORED) return null;
    const row = data.subarray(at * V, at * V + V);
    let max = -Infinity;
    for (let id = 0; id < V; id += 1) if (row[id] > max) max = row[id];
    let sum = 0;
    for (let id = 0; id < V; id += 1) sum += Math.exp(row[id] - max);
    return Math.log(sum) + max - row[target];
  });
}

/** The mean of those that are numbers; null where none is. @param {(number | null)[]} numbers */
export function meanOf(numbers) {
  const known = numbers.filter((number) => number !== null);
  return known.length ? known.reduce((sum, number) => sum + number, 0) / known.length : null;
}
