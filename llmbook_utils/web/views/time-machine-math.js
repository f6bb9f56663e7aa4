/**
 * What the time machine reads out of a record, apart from drawing it.
 *
 * @typedef {{step: number, tokens: number, seconds: number, bits_per_byte: number, sample: string,
 *   greedy: string, attention: number[][], neighbors: Record<string, [string, number][]>}} Snapshot
 * @typedef {{training: [number, number][], validation: [number, number][]}} LossCurve  (step, loss)
 * @typedef {{row: number, columns: number[]}} Follower  a token that stood there before, and what
 *   followed it then
 */
import { ticks } from "../parts/drawing.js";
import { grouped } from "../parts/numbers.js";

const RUN = 4; // words in a row that count as a repetition
const ONE_WORD = /[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*/gu;

/**
 * The losses that were measured around a step: the mean training loss since the curve's point
 * before it, and the last validation loss up to it. Null where there is none.
 * @param {LossCurve} curve
 */
export function lossAt({ training, validation }, step) {
  const at = step > 0 ? training.findIndex(([last]) => last >= step) : -1;
  const measured = validation.findLast(([measuredAt]) => measuredAt <= step);
  return {
    training:
      at < 0
        ? null
        : { from: (training[at - 1]?.[0] ?? 0) + 1, to: training[at][0], loss: training[at][1] },
    validation: measured ? { at: measured[0], loss: measured[1] } : null,
  };
}

/**
 * A text in parts: `again` are the words of which four in a row stood in it before. Case and signs
 * do not count.
 * @returns {{parts: {text: string, again: boolean}[], again: number, words: number}}  `again`,
 *   `words`: how many words
 */
export function repetitions(text, n = RUN) {
  const words = [...text.matchAll(ONE_WORD)];
  const again = words.map(() => false);
  const seen = new Set();
  for (let i = 0; i + n <= words.length; i += 1) {
    const run = words
      .slice(i, i + n)
      .map(([word]) => word.toLowerCase())
      .join(" ");
    if (seen.has(run)) again.fill(true, i, i + n);
    seen.add(run);
  }
  return {
    parts: partsOf(text, words, again),
    again: again.filter(Boolean).length,
    words: words.length,
  };
}

/**
 * Cut a text where marked words begin and end; what lies between two marked words is marked with
 * them.
 */
function partsOf(text, words, again) {
  const parts = [];
  let end = 0;
  for (let i = 0; i < words.length; i += 1) {
    if (!again[i]) continue;
    const from = words[i].index;
    while (again[i + 1]) i += 1;
    const to = words[i].index + words[i][0].length;
    parts.push(
      { text: text.slice(end, from), again: false },
      { text: text.slice(from, to), again: true },
    );
    end = to;
  }
  return [...parts, { text: text.slice(end), again: false }].filter((part) => part.text);
}

/**
 * The tokens that stood there before, each with the places just after it.
 * @param {string[]} sentence
 * @returns {Follower[]}
 */
export function followers(sentence) {
  const found = sentence.map((token, row) => {
    const before = sentence
      .slice(0, row)
      .flatMap((other, column) => (other === token ? [column + 1] : []));
    return { row, columns: before.filter((column) => column < row) };
  });
  return found.filter(({ columns }) => columns.length > 0);
}

const mean = (numbers) =>
  numbers.length ? numbers.reduce((sum, x) => sum + x, 0) / numbers.length : null;

const given = (weights, columns) => columns.reduce((sum, column) => sum + weights[column], 0);

/**
 * How much of their weight tokens give on average to what followed them before.
 * @param {number[][]} attention
 */
export const copying = (attention, found) =>
  mean(found.map(({ row, columns }) => given(attention[row], columns)));

/**
 * How much the other tokens that see the same places give them: what a head that likes these places
 * anyway would give.
 * @param {number[][]} attention  @param {Follower[]} found  @returns {number | null} null when
 *   there are no others
 */
export function givenByOthers(attention, found) {
  const rows = new Set(found.map(({ row }) => row));
  const each = found.map(({ columns }) => {
    const others = attention.filter((_, row) => row > Math.max(...columns) && !rows.has(row));
    return mean(others.map((weights) => given(weights, columns)));
  });
  return mean(each.filter((share) => share !== null));
}

/** The place of the largest number; among equals the first. @param {number[]} numbers */
export const largest = (numbers) => numbers.indexOf(Math.max(...numbers));

/**
 * Where steps lie between two edges. Step 0 has no logarithm: it lies at the left edge, before a
 * gap.
 * @param {{least: number, last: number, log: boolean, left: number, right: number, gap?: number}}
 *   axis  `least`: above 0
 * @returns {(step: number) => number}
 */
export function stepPlace({ least, last, log, left, right, gap = 30 }) {
  if (!log) return (step) => left + ((right - left) * step) / last;
  const span = Math.log(last / least) || 1;
  return (step) =>
    step <= 0 ? left : left + gap + ((right - left - gap) * Math.log(step / least)) / span;
}

/**
 * Numbers for an axis: those of 1, 2 and 5 times a power of ten that have room, rounder ones first.
 */
export function stepTicks({ least, last, log }, place, room = 44) {
  const powers = Array.from({ length: 12 }, (_, i) => 10 ** i);
  const all = log
    ? [1, 5, 2].flatMap((factor) => powers.map((power) => factor * power))
    : ticks(0, last, Math.max(1, Math.abs(place(last) - place(0)) / room));
  const kept = log ? [] : [0];
  for (const tick of all.filter((tick) => tick >= (log ? least : 0) && tick <= last)) {
    if (kept.every((other) => Math.abs(place(other) - place(tick)) >= room)) kept.push(tick);
  }
  return kept.sort((a, b) => a - b);
}

/** 1162 -> "19 min 22 s" @param {number} seconds */
export function duration(seconds) {
  const [whole, rounded] = [Math.round(seconds), Math.round(seconds / 60)];
  if (whole >= 3600) return `${Math.floor(rounded / 60)} h ${rounded % 60} min`;
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole} s`;
}

/** 8192000 -> "8.2 M" @param {number} n */
export function inShort(n) {
  if (n >= 999_500) return `${(n / 1e6).toFixed(1)} M`;
  return n >= 10_000 ? `${Math.round(n / 1000)} k` : grouped(n);
}
