/** The page of results: the sections that answer the question in the address, or that is typed. */
import { excerpt, Index, wordsOf } from "./rank.js";

/** @import { Hit } from "./rank.js" */

const MOST = 30;
const ROOT = new URL("../../", import.meta.url);

/**
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Where a hit leads: the page marks the words. @param {Hit} hit  @param {string} query */
function addressOf({ section: { at }, words }, query) {
  const [page, anchor] = at.split("#");
  const telling = wordsOf(query).filter((word) => words.some((stem) => word.startsWith(stem)));
  return `${new URL(page, ROOT)}?highlight=${encodeURIComponent(telling.join(" "))}#${anchor}`;
}

/** @param {Hit} hit  @param {string} query */
function entry(hit, query) {
  const { title, page } = hit.section;
  const words = excerpt(hit).flatMap(({ text, marked }) => [
    marked ? element("mark", {}, text) : text,
    " ",
  ]);
  return element(
    "li",
    {},
    element("a", { href: addressOf(hit, query) }, title),
    ...(page === title ? [] : [element("span", { class: "book-search-page" }, page)]),
    element("p", { class: "context" }, ...words),
  );
}

/** @param {Index} index  @param {string} query */
function show(index, query) {
  const hits = query.trim() ? index.find(query) : [];
  const more = hits.length > MOST ? `, the first ${MOST} of ${hits.length}` : "";
  const n = Math.min(MOST, hits.length);
  const status = query.trim()
    ? n
      ? `${n} section${n === 1 ? "" : "s"} found${more}.`
      : "Nothing was found. Try fewer or other words; the glossary lists the book's terms."
    : "Type a word or a question.";
  document
    .getElementById("search-results")
    .replaceChildren(
      element("p", { role: "status" }, status),
      element(
        "ol",
        { class: "book-search" },
        ...hits.slice(0, MOST).map((hit) => entry(hit, query)),
      ),
    );
}

const response = await fetch(new URL("index.json", import.meta.url));
const index = new Index(await response.json());
/** @type {HTMLInputElement} */
const field = document.querySelector("article form.bd-search input, main form.bd-search input");
const query = new URLSearchParams(location.search).get("q") ?? "";
if (field) {
  field.value = query;
  field.addEventListener("input", () => show(index, field.value));
}
show(index, query);
