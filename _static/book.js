// the theme takes the focus away from its switch; whoever uses the keyboard keeps it
document.addEventListener("click", ({ detail, target }) => {
  const element = /** @type {Element} */ (target);
  /** @type {HTMLElement | null} */
  const button = element.closest(".theme-switch-button");
  if (detail === 0) button?.focus();
});

// a formula that is wider than the page scrolls, by the keys too
addEventListener("load", async () => {
  await /** @type {any} */ (window).MathJax?.startup?.promise;
  /** @type {NodeListOf<HTMLElement>} */
  const formulas = document.querySelectorAll('mjx-container[display="true"]');
  for (const formula of formulas) formula.tabIndex = 0;
});
