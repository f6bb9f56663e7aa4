/**
 * What is seen of a model at work, and what is changed: the same names and shapes as in
 * llmbook_utils/inside/trace.py.
 *
 * @typedef {{tensor: string, index: number[], value: number | number[]}} Replacement
 * @typedef {{mask?: boolean, scaling?: boolean, positions?: boolean, heads?: [number, number][],
 *   blocks?: number[], replace?: Replacement[]}} Changes  `heads` (block, head) and `blocks` are
 *   those switched off
 * @typedef {{name: string, shape: number[], data: Float32Array}} Tensor
 */

/** @param {string} pattern  "blocks.*.attention.weights": the star stands for any number */
const matcher = (pattern) =>
  new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "\\d+")}$`);

/**
 * Where an index of fewer or as many numbers as the shape has begins, and how many numbers lie
 * there.
 */
function locate({ tensor, index }, shape) {
  const fits =
    index.length <= shape.length &&
    index.every((i, axis) => Number.isInteger(i) && i >= 0 && i < shape[axis]);
  if (!fits)
    throw new Error(
      `index [${index.join(", ")}] lies outside ${tensor}, which has the shape (${shape.join(", ")})`,
    );
  let size = 1;
  let at = 0;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    if (axis < index.length) at += index[axis] * size;
    size *= shape[axis];
  }
  return { at, n: shape.slice(index.length).reduce((a, b) => a * b, 1) };
}

export class Trace {
  /** @param {string[]} wanted  names or patterns of tensors to keep  @param {Changes} changes */
  constructor(wanted = [], changes = {}) {
    this.wanted = wanted.map(matcher);
    this.mask = changes.mask ?? true;
    this.scaling = changes.scaling ?? true;
    this.positions = changes.positions ?? true;
    this.headsOff = new Set(
      (changes.heads ?? []).map(([block, head]) => `blocks.${block}.attention ${head}`),
    );
    this.blocksOff = new Set((changes.blocks ?? []).map((block) => `blocks.${block}`));
    this.replace = changes.replace ?? [];
    this.applied = new Set();
    /** @type {Map<string, Tensor>} */
    this.tensors = new Map();
  }

  isHeadOff(attention, head) {
    return this.headsOff.has(`${attention} ${head}`);
  }

  isBlockOff(block) {
    return this.blocksOff.has(block);
  }

  /** Change what is to be changed, keep a copy of what is wanted, and hand the values back. */
  see(name, data, shape) {
    const n = shape.reduce((a, b) => a * b);
    for (const replacement of this.replace)
      if (replacement.tensor === name) this.#put(replacement, data, shape);
    if (this.#wants(name)) this.tensors.set(name, { name, shape, data: data.slice(0, n) });
    return data;
  }

  /**
   * The same for a large tensor that is made row by row; of one that nobody wants, only the last
   * row is made.
   */
  seeRows(name, rows, cols, makeRow) {
    const changed = this.replace.some(({ tensor }) => tensor === name);
    const data = new Float32Array(rows * cols);
    for (let row = this.#wants(name) || changed ? 0 : rows - 1; row < rows; row += 1)
      data.set(makeRow(row), row * cols);
    this.see(name, data, [rows, cols]);
    this.see(`${name}.last`, data.slice((rows - 1) * cols), [cols]);
  }

  /** Throws for a replacement of a tensor that the model does not have. */
  checkApplied() {
    const lost = this.replace.find(({ tensor }) => !this.applied.has(tensor));
    if (lost) throw new Error(`there is no tensor ${lost.tensor} to replace a value of`);
  }

  #wants(name) {
    return this.wanted.some((pattern) => pattern.test(name));
  }

  #put(replacement, data, shape) {
    const { at, n } = locate(replacement, shape);
    const values = [].concat(replacement.value);
    if (values.length !== 1 && values.length !== n)
      throw new Error(`${values.length} values for ${n} numbers of ${replacement.tensor}`);
    for (let i = 0; i < n; i += 1) data[at + i] = values[values.length === 1 ? 0 : i];
    this.applied.add(replacement.tensor);
  }
}
