/** The page of a reader's progress: a table, and what can be done with the record. */
import { empty, load, merge, read, sectionsRead, store } from "./record.js";

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

/**
 * The numbers of the table, which the page has for somebody who has read nothing.
 *
 * @param {import("./page.js").Page[]} pages
 * @param {import("./record.js").Progress} record
 */
export function fillTable(pages, record) {
  for (const page of pages) {
    const cells = document.querySelectorAll(`#progress-table tr[data-page="${page.page}"] td`);
    if (!cells.length) return;
    const right = Object.values(record.questions[page.page] ?? {}).filter(Boolean).length;
    const passed = page.exercises.filter((number) => record.exercises[number]).length;
    const texts = [
      of(sectionsRead(record, page), page.sections.length),
      of(Math.min(right, page.questions), page.questions),
      of(passed, page.exercises.length),
    ];
    cells.forEach((cell, i) => (cell.textContent = texts[i]));
  }
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

/**
 * What can be done with the record, below its table.
 *
 * @param {(record: import("./record.js").Progress) => void} show
 */
export function addButtons(show) {
  const place = document.getElementById("progress-table");
  if (!place) return;
  const change = (record, text) => {
    store(record);
    show(record);
    said.textContent = text;
  };
  const erase = () => {
    if (confirm("Erase what this browser has noted of your reading?"))
      change({ ...empty(), ...(load().off ? { off: true } : {}) }, "The record is empty now.");
  };
  const one = (text, onclick) => make("button", { type: "button", onclick }, text);
  const name = (off) => (off ? "Note my reading again" : "Note nothing from now on");
  const turn = one(name(load().off), () => {
    const { off, ...record } = load();
    const text = off ? "Your reading is noted again." : "From now on nothing is noted.";
    change(off ? record : { ...record, off: true }, text);
    turn.textContent = name(!off);
  });
  const buttons = [
    one("Save it as a file", () => save(load())),
    one("Add a file", () => openFile(show)),
    turn,
    one("Erase it", erase),
  ];
  place.append(make("p", { className: "progress-buttons" }, ...buttons), said);
}
