/** Notes what is read and passed on a page, and shows it in the contents and on the front page. */
import { load, nameOf, sectionsRead, update } from "./record.js";
import { addButtons, fillTable } from "./table.js";

const ROOT = new URL("../../", import.meta.url);
const LONG_ENOUGH = 1000; // milliseconds that the end of a section is in sight
const STILL = 400; // milliseconds after the last scrolling

/**
 * @typedef {{
 *   page: string,
 *   title: string,
 *   sections: string[],
 *   exercises: string[],
 *   questions: number,
 * }} Page
 */

/** @param {string} url  @returns {string}  as the book names its pages */
function nameOfPage(url) {
  const { pathname } = new URL(url, location.href);
  const path = decodeURIComponent(pathname.slice(ROOT.pathname.length));
  return path.replace(/\.html$/, "").replace(/^(index)?$/, "intro");
}
const HERE = nameOfPage(location.href);
const today = () => new Date().toISOString();

/** The last block of a section that everybody sees. @param {Element} section */
function endOf(section) {
  const blocks = Array.from(section.querySelectorAll("p, pre, li, td, figure, .cell, h3"));
  return blocks.filter((block) => !block.closest("details, .bw, [hidden]")).pop();
}

/** @param {string[]} sections */
function noteSections(sections) {
  const ends = new Map();
  const waiting = new Map();
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      clearTimeout(waiting.get(target));
      if (!isIntersecting) continue;
      const note = () => {
        seen.unobserve(target);
        show(update(({ sections }) => ((sections[HERE] ??= {})[ends.get(target)] ??= today())));
      };
      waiting.set(target, setTimeout(note, LONG_ENOUGH));
    }
  });
  for (const id of sections) {
    const end = endOf(document.getElementById(id) ?? document.createElement("p"));
    if (!end) continue;
    ends.set(end, id);
    seen.observe(end);
  }
}

/** Remember the heading that a reader is at. */
function notePlace() {
  /** @type {HTMLElement[]} */
  const headings = Array.from(document.querySelectorAll("article section[id] > :is(h2, h3)"));
  const above = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 2);
  const heading = above.pop();
  if (!heading) return;
  const title = (heading.firstChild?.textContent ?? "").trim();
  const anchor = heading.parentElement?.id ?? "";
  update((record) => (record.last = { page: HERE, anchor, title }));
}

function noteScrolling() {
  let still = 0;
  addEventListener("scroll", () => {
    clearTimeout(still);
    still = setTimeout(notePlace, STILL);
  });
}

function noteAnswers() {
  document.addEventListener("llmbook:passed", (event) => {
    const { number } = /** @type {CustomEvent} */ (event).detail;
    show(update(({ exercises }) => (exercises[number] ??= today())));
  });
  document.addEventListener("llmbook:answered", (event) => {
    const { question, right } = /** @type {CustomEvent} */ (event).detail;
    const name = nameOf(question);
    show(
      update(({ questions }) => {
        const page = (questions[HERE] ??= {});
        page[name] = page[name] === true || right;
      }),
    );
  });
}

/** Tell a widget how it was answered on an earlier visit. @param {Element} widget */
function tell(widget) {
  const { bwKnown = "" } = /** @type {HTMLElement} */ (widget).dataset;
  const { questions, exercises } = load();
  const right = bwKnown in exercises || questions[HERE]?.[nameOf(bwKnown)];
  if (right === undefined) return;
  widget.dispatchEvent(new CustomEvent("llmbook:known", { detail: { right } }));
}

function tellWidgets() {
  const tellIn = (part) => part.querySelectorAll("[data-bw-known]").forEach(tell);
  document.addEventListener("llmbook:mounted", ({ target }) => tellIn(target));
  tellIn(document);
}

/** @type {Page[]} */
let pages = [];

/**
 * How much of a page is read, in words; "" where nothing is.
 *
 * @param {import("./record.js").Progress} record
 * @param {string} name
 */
function share(record, name) {
  const page = pages.find((one) => one.page === name);
  if (!page?.sections.length) return "";
  const read = sectionsRead(record, page);
  return read === 0 ? "" : read === page.sections.length ? "✓" : `${read}/${page.sections.length}`;
}

/** @param {HTMLAnchorElement} link  @param {string} text  @param {string} said */
function mark(link, text, said) {
  /** @type {HTMLElement | null} */
  let element = link.querySelector(".read-share");
  if (!element) {
    if (!text) return;
    element = document.createElement("span");
    element.className = "read-share";
    link.append(element);
  }
  element.textContent = text;
  element.title = text ? said : "";
}

/** @param {import("./record.js").Progress} record */
function showContinue(record) {
  const buttons = document.querySelector(".front-buttons");
  if (!buttons || !record.last) return;
  const { page, anchor, title } = record.last;
  /** @type {HTMLAnchorElement} */
  const link = buttons.querySelector(".front-continue") ?? document.createElement("a");
  link.className = "reference internal front-continue";
  link.href = new URL(`${page}.html#${anchor}`, ROOT).href;
  link.textContent = `Continue: ${title}`;
  if (!link.isConnected) buttons.append(" ", link);
}

/** @param {import("./record.js").Progress} record */
function show(record) {
  /** @type {NodeListOf<HTMLAnchorElement>} */
  const links = document.querySelectorAll("nav.bd-links a.internal, .front-map td:first-child a");
  for (const link of links) {
    const text = share(record, nameOfPage(link.href));
    mark(link, text, text === "✓" ? "all sections read" : "sections read");
  }
  for (const id of Object.keys(record.sections[HERE] ?? {}))
    document.querySelector(`.page-toc a[href="#${CSS.escape(id)}"]`)?.classList.add("section-read");
  showContinue(record);
  fillTable(pages, record);
}

async function start() {
  try {
    pages = await (await fetch(new URL("book.json", import.meta.url))).json();
  } catch {
    return; // the page was left, or is offline: it can be read all the same
  }
  show(load());
  addButtons(show);
  addEventListener("storage", () => show(load()));
  noteAnswers();
  tellWidgets();
  const here = pages.find(({ page }) => page === HERE);
  if (!here) return;
  noteSections(here.sections);
  noteScrolling();
}

start();
