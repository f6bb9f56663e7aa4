/** The page of a reader's progress: a table, and what can be done with the record. */
import { empty, load, merge, read, store } from "./record.js";

/**
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children
 */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** @param {number} n  @param {number} all */
const of = (n, all) => (all ? `${n} of ${all}` : "–");

/** @param {import("./page.js").Page} page  @param {import("./record.js").Progress} record */
function row({ page, title, sections, exercises, questions }, record) {
  const read = sections.filter((id) => record.sections[page]?.[id]).length;
  const passed = exercises.filter((number) => record.exercises[number]).length;
  const right = Object.values(record.questions[page] ?? {}).filter(Boolean).length;
  const link = make("a", { href: new URL(`../../${page}.html`, import.meta.url).href }, title);
  const cells = [
    of(read, sections.length),
    of(Math.min(right, questions), questions),
    of(passed, exercises.length),
  ];
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, link),
    ...cells.map((text) => make("td", {}, text)),
  );
}

/** @param {import("./record.js").Progress} record */
function save(record) {
  const text = `${JSON.stringify(record, null, 1)}\n`;
  const href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  make("a", { href, download: "llmbook-progress.json" }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}

/** What the buttons have done, said to who listens. */
const said = make("p", { className: "progress-said" });
said.setAttribute("role", "status");

/** @param {(record: import("./record.js").Progress) => void} show */
function openFile(show) {
  const field = /** @type {HTMLInputElement} */ (
    make("input", { type: "file", accept: ".json,application/json" })
  );
  field.addEventListener("change", async () => {
    try {
      const record = merge(load(), read(await field.files[0].text()));
      store(record);
      show(record);
      said.textContent = "The record of the file has been added to yours.";
    } catch (error) {
      said.textContent = `Nothing was changed: ${error.message}.`;
    }
  });
  field.click();
}

/** @param {(record: import("./record.js").Progress) => void} show */
function buttons(show) {
  const change = (record, text) => {
    store(record);
    show(record);
    said.textContent = text;
  };
  const erase = () => {
    if (confirm("Erase what this browser has noted of your reading?"))
      change({ ...empty(), ...(load().off ? { off: true } : {}) }, "The record is empty now.");
  };
  const turn = () => {
    const { off, ...record } = load();
    const text = off ? "Your reading is noted again." : "From now on nothing is noted.";
    change(off ? record : { ...record, off: true }, text);
  };
  const one = (text, onclick) => make("button", { type: "button", onclick }, text);
  return make(
    "p",
    { className: "progress-buttons" },
    one("Save it as a file", () => save(load())),
    one("Add a file", () => openFile(show)),
    one(load().off ? "Note my reading again" : "Note nothing from now on", turn),
    one("Erase it", erase),
  );
}

/**
 * @param {HTMLElement} place
 * @param {import("./page.js").Page[]} pages
 * @param {import("./record.js").Progress} record
 * @param {(record: import("./record.js").Progress) => void} show
 */
export function showTable(place, pages, record, show) {
  const names = ["Page", "Sections read", "Quick questions", "Exercises passed"];
  const head = names.map((name) => make("th", { scope: "col" }, name));
  const table = make(
    "table",
    { className: "table" },
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...pages.map((page) => row(page, record))),
  );
  place.replaceChildren(make("div", { className: "pst-scrollable-table-container" }, table));
  place.append(buttons(show), said);
}
