/**
 * Ranks the book's sections for a reader's question. Words count by how rare they are (BM25), more
 * in a title; a term of the glossary leads to the section that explains it.
 *
 * @typedef {{title: string, page: string, at: string, text: string, more: string}} Section
 * @typedef {{names: string[], places: string[]}} Term  where it is explained, and its own entry
 * @typedef {{section: Section, score: number, words: string[]}} Hit
 */
const STOP = new Set(
  "a an and are as at be by can could do does for from get have how i if in into is it its me my of on or should so that the their them then there they this to use was we what when where which who why will with you your".split(
    " ",
  ),
);
const [K, B] = [1.2, 0.6]; // of BM25
const [IN_TITLE, EXPLAINS, IN_FORMULA] = [2.2, 3, 0.5];
// what repeats the book's words without explaining them, and what a first reader leaves out
const LESSER =
  /^(exercise|solution|summary|further|what to read|prerequisites)|exercise \d|what you will/i;
const APART = /^(Appendix [BC]\b|Glossary)/;
const [LESS, DEEPER] = [0.45, 0.8];

/** A word without its ending, so that "caches" finds "cache". @param {string} word */
export function stem(word) {
  if (word.length < 4) return word;
  const one = word.replace(/(?:'s|s')$/, "").replace(/ies$/, "y");
  const plain = /(?:ss|us|is)$/.test(one) ? one : one.replace(/s$/, "");
  const cut = plain.replace(/(?:ing|ed)$/, "");
  const base = cut.length > 3 && /[aeiouy]/.test(cut) ? cut : plain;
  return base.replace(/([bdfgmnprt])\1$/, "$1").replace(/e$/, "");
}

/** The words of a text; "top-p" is also "top" and "p". @param {string} text */
export function wordsOf(text) {
  const found = text.toLowerCase().match(/[\p{L}\p{N}]+(?:[-'][\p{L}\p{N}]+)*/gu) ?? [];
  return found.flatMap((word) =>
    word.includes("-") ? [word.replaceAll("-", ""), ...word.split("-")] : [word],
  );
}

/** What is looked for: words without those of every question. @param {string} query */
export function wanted(query) {
  const words = wordsOf(query);
  const telling = words.filter((word) => !STOP.has(word));
  return [...new Set((telling.length ? telling : words).map(stem))];
}

/** How often each stem occurs. @param {string} text */
function counted(text) {
  const counts = new Map();
  for (const word of wordsOf(text)) {
    const key = stem(word);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

export class Index {
  /** @param {{sections: Section[], terms: Term[]}} data */
  constructor({ sections, terms }) {
    this.entries = sections.map((section) => {
      const text = counted(section.text);
      const length = [...text.values()].reduce((sum, n) => sum + n, 0);
      const title = new Set(wordsOf(section.title).map(stem));
      return { section, text, length, title, more: counted(section.more) };
    });
    this.mean = this.entries.reduce((sum, { length }) => sum + length, 0) / this.entries.length;
    this.terms = terms.flatMap(({ names, places }) =>
      names.map((name) => ({ stems: [...new Set(wordsOf(name).map(stem))], places })),
    );
    this.rare = this.#rarity();
  }

  /** The rarer a word, the more it says. @returns {Map<string, number>} */
  #rarity() {
    const holders = new Map();
    for (const { text, title, more } of this.entries)
      for (const word of new Set([...text.keys(), ...title, ...more.keys()]))
        holders.set(word, (holders.get(word) ?? 0) + 1);
    const n = this.entries.length;
    return new Map(
      [...holders].map(([word, held]) => [word, Math.log(1 + (n - held + 0.5) / (held + 0.5))]),
    );
  }

  /**
   * The sections that answer a question, the best first.
   * @param {string} query
   * @returns {Hit[]}
   */
  find(query) {
    const words = wanted(query);
    const known = words.filter((word) => this.rare.has(word));
    const whole = this.#worth(known);
    if (!whole) return [];
    const explained = this.#explained(words);
    const hits = this.entries.map((entry) => this.#hit(entry, known, whole, explained));
    return hits.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score);
  }

  /**
   * Which words of the question each section explains, by the glossary; the term's own entry does,
   * too.
   */
  #explained(words) {
    const found = new Map();
    for (const { stems, places } of this.terms) {
      if (!stems.every((part) => words.includes(part))) continue;
      for (const at of places) found.set(at, new Set([...(found.get(at) ?? []), ...stems]));
    }
    return found;
  }

  #worth(words) {
    return [...words].reduce((sum, word) => sum + (this.rare.get(word) ?? 0), 0);
  }

  #hit({ section, text, length, title, more }, words, whole, explained) {
    let [score, covered] = [0, 0];
    for (const word of words) {
      const n = text.get(word) ?? 0;
      const weight =
        (n * (K + 1)) / (n + K * (1 - B + (B * length) / this.mean)) +
        (title.has(word) ? IN_TITLE : 0) +
        (more.has(word) ? IN_FORMULA : 0);
      score += this.rare.get(word) * weight;
      covered += weight ? this.rare.get(word) : 0;
    }
    score *= (covered / whole) ** 2;
    score += EXPLAINS * this.#worth(explained.get(section.at) ?? []);
    if (LESSER.test(section.title) || APART.test(section.page)) score *= LESS;
    if (section.title.startsWith("Deeper:")) score *= DEEPER;
    return { section, words, score };
  }
}

/**
 * The part of a section that has most of the words, with them marked.
 * @param {Hit} hit
 * @returns {{text: string, marked: boolean}[]}
 */
export function excerpt({ section, words }, size = 36) {
  const parts = section.text.split(/\s+/);
  const isHit = parts.map((part) => wordsOf(part).some((word) => words.includes(stem(word))));
  let [best, most] = [0, -1];
  for (let from = 0; from === 0 || from + size <= parts.length; from += 4) {
    const found = isHit.slice(from, from + size).filter(Boolean).length;
    if (found > most) [best, most] = [from, found];
  }
  const shown = parts.slice(best, best + size).map((part, i) => ({
    text: part,
    marked: isHit[best + i],
  }));
  const ends = [best > 0, best + size < parts.length];
  const dots = { text: "…", marked: false };
  return [...(ends[0] ? [dots] : []), ...shown, ...(ends[1] ? [dots] : [])];
}
