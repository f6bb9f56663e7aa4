/**
 * Starts a deck. A slide that is too high for the screen is drawn smaller, a widget too; what a
 * widget does not show even then scrolls inside it. While a widget has the focus the keys are its
 * own; Escape gives them back to the deck.
 */
const WIDTH = 1280;
const HEIGHT = 720;
const SMALLEST = { text: 0.6, widget: 0.8 }; // below it, nothing can be read from the last row
const deck = /** @type {any} */ (window).Reveal;

/** @type {any} */ (window).MathJax = {
  loader: { load: ["core", "input/tex", "output/chtml", "a11y/assistive-mml"] },
  tex: {
    inlineMath: [
      ["$", "$"],
      ["\\(", "\\)"],
    ],
    processEscapes: true,
  },
};

/** What stands on a slide in one box, without the notes. @param {Element} slide */
function box(slide) {
  const inside = document.createElement("div");
  inside.className = "fit";
  for (const child of Array.from(slide.children))
    if (!child.matches("aside.notes")) inside.append(child);
  slide.prepend(inside);
  return inside;
}

/** @param {HTMLElement} inside */
function fit(inside) {
  const slide = /** @type {HTMLElement} */ (inside.parentElement);
  if (!slide.offsetHeight) return;
  inside.style.zoom = "1";
  inside.classList.remove("scrolls");
  const room = slide.clientHeight - 2 * parseFloat(getComputedStyle(slide).paddingTop);
  const smallest = SMALLEST[inside.querySelector(".bw-mount") ? "widget" : "text"];
  const tooLarge = () =>
    inside.getBoundingClientRect().height / deck.getScale() > room ||
    inside.scrollWidth > inside.clientWidth + 1;
  let zoom = 1;
  while (zoom > smallest && tooLarge()) {
    zoom = Math.max(smallest, zoom - 0.05);
    inside.style.zoom = String(zoom);
  }
  inside.dataset.zoom = zoom.toFixed(2);
  inside.style.setProperty("--room", `${room / zoom}px`);
  inside.classList.toggle("scrolls", inside.scrollHeight * zoom > room + 1);
}

/** Fit whenever a widget arrives or grows. @param {HTMLElement} inside */
function keepFitting(inside) {
  let last = 0;
  const watch = new ResizeObserver(() => {
    const now = Array.from(inside.children).reduce((sum, e) => sum + e.scrollHeight, 0);
    if (now !== last) fit(inside);
    last = now;
  });
  for (const child of Array.from(inside.children)) watch.observe(child);
}

addEventListener("keydown", ({ key }) => {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  if (key === "Escape" && focused?.closest(".bw-mount")) focused.blur();
});

for (const slide of document.querySelectorAll(".slides section section")) box(slide);

deck
  .initialize({
    width: WIDTH,
    height: HEIGHT,
    margin: 0,
    center: false,
    hash: true,
    slideNumber: "c/t",
    transition: "none",
    viewDistance: 2,
    keyboardCondition: () => !document.activeElement?.closest(".bw-mount"),
    plugins: [/** @type {any} */ (window).RevealNotes],
  })
  .then(() => {
    const boxes = /** @type {HTMLElement[]} */ (Array.from(document.querySelectorAll(".fit")));
    const fitCurrent = () => {
      const current = deck.getCurrentSlide()?.querySelector(".fit");
      if (current) fit(current);
    };
    boxes.forEach(keepFitting);
    deck.on("slidechanged", fitCurrent);
    fitCurrent();
    addEventListener("load", async () => {
      await /** @type {any} */ (window).MathJax?.startup?.promise;
      fitCurrent();
    });
  });
