/**
 * Deeper parts, and solutions in Appendix C, open for a link into them and for a search that finds
 * something in them (for print: print.js); a switch at the page's top opens all of them, and the
 * browser remembers it. Without scripts each part still opens by itself.
 */
const FOLDED = "details.deeper";
// solutions are remembered by themselves: who wants all deeper parts does not want all answers
const remembering = (what) => `llmbook-${what === "solutions" ? "solutions" : "deeper"}`;
const LATER = 50; // milliseconds; Sphinx's marks come 10 after the page is there

/**
 * @param {string} query
 * @returns {HTMLDetailsElement[]}
 */
function details(query) {
  return Array.from(document.querySelectorAll(query));
}

/** @param {Element} element */
function openAround(element) {
  const own = element.matches(".deeper-part") ? element.querySelector(FOLDED) : null;
  for (let at = own ?? element; at; at = at.parentElement?.closest("details") ?? null)
    if (at instanceof HTMLDetailsElement) at.open = true;
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target?.closest(".deeper-part, details")) return;
  openAround(target);
  target.scrollIntoView();
}

/**
 * A browser may refuse to store anything; then the switch holds for this page only.
 * @param {string} what
 */
function remembered(what) {
  try {
    return localStorage.getItem(remembering(what)) === "open";
  } catch {
    return false;
  }
}

/** @param {string} what  @param {boolean} open */
function remember(what, open) {
  try {
    localStorage.setItem(remembering(what), open ? "open" : "closed");
  } catch {
    // nothing is lost but the memory of it
  }
}

/** @param {HTMLDetailsElement[]} parts */
function addSwitch(parts) {
  /** @type {HTMLElement} */
  const place = document.querySelector(".deeper-place");
  const { what } = place.dataset;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "deeper-switch";
  const show = (open) => {
    button.setAttribute("aria-pressed", String(open));
    button.textContent = `${open ? "Close" : "Open"} all ${what} of this page`;
    for (const part of parts) part.open = open;
  };
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-pressed") !== "true";
    show(open);
    remember(what, open);
  });
  show(remembered(what));
  place.append(button);
}

function openMarks() {
  const found = document.querySelectorAll("article span.highlighted");
  for (const mark of found) openAround(mark);
  if (found.length && !location.hash) found[0].scrollIntoView({ block: "center" });
}

function start() {
  const parts = details(FOLDED);
  if (parts.length) addSwitch(parts);
  openTarget();
  addEventListener("hashchange", openTarget);
  addEventListener("load", () => setTimeout(openMarks, LATER));
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
