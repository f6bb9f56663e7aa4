/** Models that count, as in llmbook_utils/ngram.py: the same words, counts and draws. */

const WORD = / ?[\p{L}\p{M}\p{N}'’-]+| ?[^\p{White_Space}\p{L}\p{M}\p{N}'’-]|\p{White_Space}+/gu;

/**
 * Words and signs with the spaces before them: joined, they are the text again.
 * @param {string} text
 * @returns {string[]}
 */
export const splitWords = (text) => text.match(WORD) ?? [];

/** @typedef {Map<string, Map<string, number>>} Table  from a context to what followed it */

/** The name of a context in a table. @param {string[]} words */
const keyOf = (words) => words.join("\u0000");

/**
 * For contexts of 0, 1, … words: how often each word followed each.
 * @param {string[]} words
 * @param {number} nTables
 * @returns {Table[]}
 */
export function countFollowers(words, nTables) {
  return Array.from({ length: nTables }, (_, n) => {
    /** @type {Table} */
    const table = new Map();
    for (let i = n; i < words.length; i += 1) {
      const key = keyOf(words.slice(i - n, i));
      const followers = table.get(key) ?? new Map();
      followers.set(words[i], (followers.get(words[i]) ?? 0) + 1);
      table.set(key, followers);
    }
    return table;
  });
}

/**
 * What followed the last words, as many of them as were seen together.
 * @param {Table[]} tables
 * @param {string[]} words
 * @returns {{context: string[], followers: Map<string, number>}}
 */
export function seenFollowers(tables, words) {
  for (let n = Math.min(tables.length - 1, words.length); n >= 0; n -= 1) {
    const context = words.slice(words.length - n);
    const followers = tables[n].get(keyOf(context));
    if (followers) return { context, followers };
  }
  throw new Error("the tables are empty; count a text of one word or more");
}

/** How often a context was seen. @param {Map<string, number>} followers */
export const totalOf = (followers) => [...followers.values()].reduce((sum, n) => sum + n, 0);

/**
 * Draw words, one after the other, each from what followed the last ones.
 * @param {Table[]} tables
 * @param {string[]} words
 * @param {number} nNew
 * @param {() => number} draw  numbers in [0, 1)
 * @returns {string[]} the new words
 */
export function writeOn(tables, words, nNew, draw) {
  const written = [...words];
  for (let i = 0; i < nNew; i += 1) {
    const { followers } = seenFollowers(tables, written);
    const place = draw() * totalOf(followers);
    let sum = 0;
    for (const [word, count] of followers) {
      sum += count;
      if (sum > place) {
        written.push(word);
        break;
      }
    }
  }
  return written.slice(words.length);
}

/**
 * The most frequent first, and of equals the one that came first.
 * @param {Map<string, number>} followers
 * @returns {[string, number][]}
 */
export const mostCommon = (followers, most = 5) =>
  [...followers].sort((one, other) => other[1] - one[1]).slice(0, most);
