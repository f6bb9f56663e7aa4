/**
 * On paper nothing can be opened and no theme be chosen: whatever is folded is open there, and the
 * page is light. Both are as before when it has been printed. The looks are in print.css.
 */
addEventListener("beforeprint", () => {
  /** @type {HTMLDetailsElement[]} */
  const closed = Array.from(document.querySelectorAll("article details:not([open])"));
  const { theme } = document.documentElement.dataset;
  for (const part of closed) part.open = true;
  document.documentElement.dataset.theme = "light";
  addEventListener(
    "afterprint",
    () => {
      for (const part of closed) part.open = false;
      document.documentElement.dataset.theme = theme;
    },
    { once: true },
  );
});
