/**
 * What a reader has read and passed: kept by the browser alone, and written in a file for who asks.
 */

export const KEY = "llmbook-progress";
const VERSION = 1;

/**
 * @typedef {{page: string, anchor: string, title: string}} Place
 *
 * @typedef {{
 *   version: number,
 *   sections: Record<string, Record<string, string>>,
 *   questions: Record<string, Record<string, boolean>>,
 *   exercises: Record<string, string>,
 *   last: Place | null,
 *   off?: boolean,
 * }} Progress  dates say since when
 */

/** @returns {Progress} */
export const empty = () => ({
  version: VERSION,
  sections: {},
  questions: {},
  exercises: {},
  last: null,
});

const isMap = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The entries of a mapping that are of a type. @param {unknown} found  @param {string} type */
const entries = (found, type) =>
  isMap(found)
    ? Object.fromEntries(Object.entries(found).filter(([, value]) => typeof value === type))
    : {};

/** A mapping of mappings. @param {unknown} found  @param {string} type */
const nested = (found, type) =>
  isMap(found)
    ? Object.fromEntries(Object.entries(found).map(([name, inner]) => [name, entries(inner, type)]))
    : {};

/**
 * A record from text, of the browser's store or of a file; parts that are none are left out.
 *
 * @param {string} text
 * @returns {Progress}
 */
export function read(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new Error("this is no record of progress: it does not hold JSON");
  }
  if (!isMap(found) || found.version !== VERSION)
    throw new Error(`this is no record of progress that this page can read (version ${VERSION})`);
  const { page, anchor, title } = isMap(found.last) ? found.last : {};
  const isPlace = [page, anchor, title].every((part) => typeof part === "string");
  return {
    version: VERSION,
    sections: nested(found.sections, "string"),
    questions: nested(found.questions, "boolean"),
    exercises: entries(found.exercises, "string"),
    last: isPlace ? { page, anchor, title } : null,
    ...(found.off === true ? { off: true } : {}),
  };
}

/**
 * Of two dates the earlier one.
 *
 * @param {Record<string, string>} a
 * @param {Record<string, string>} b
 */
function earlier(a, b) {
  const both = { ...a };
  for (const [name, when] of Object.entries(b))
    if (!(name in both) || when < both[name]) both[name] = when;
  return both;
}

/**
 * All that two records hold; a right answer outweighs a wrong one.
 *
 * @param {Progress} mine
 * @param {Progress} other
 * @returns {Progress}
 */
export function merge(mine, other) {
  const pages = (a, b) => [...new Set([...Object.keys(a), ...Object.keys(b)])];
  const join = (a, b, how) =>
    Object.fromEntries(pages(a, b).map((page) => [page, how(a[page] ?? {}, b[page] ?? {})]));
  const right = (a, b) =>
    Object.fromEntries(pages(a, b).map((name) => [name, a[name] === true || b[name] === true]));
  return {
    ...mine,
    sections: join(mine.sections, other.sections, earlier),
    questions: join(mine.questions, other.questions, right),
    exercises: earlier(mine.exercises, other.exercises),
    last: mine.last ?? other.last,
  };
}

/**
 * How many sections of a page are read.
 *
 * @param {Progress} record
 * @param {{page: string, sections: string[]}} page
 */
export const sectionsRead = ({ sections: read }, { page, sections }) =>
  sections.filter((id) => read[page]?.[id]).length;

/** A short name for a question, by which it is known again while its words are the same. */
export function nameOf(text) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** @returns {Progress}  an empty one where the browser keeps none, or a damaged one */
export function load() {
  try {
    return read(localStorage.getItem(KEY) ?? "");
  } catch {
    return empty();
  }
}

/**
 * Change the record, unless the reader has switched it off.
 *
 * @param {(record: Progress) => void} change
 * @returns {Progress}
 */
export function update(change) {
  const record = load(); // another tab may have written
  if (record.off) return record;
  change(record);
  store(record);
  return record;
}

/** @param {Progress} record */
export function store(record) {
  try {
    localStorage.setItem(KEY, JSON.stringify(record));
  } catch {
    // a browser may refuse to store anything; then nothing is kept, and nothing else is lost
  }
}
