// the theme takes the focus away from its switch; whoever uses the keyboard keeps it
document.addEventListener("click", ({ detail, target }) => {
  const element = /** @type {Element} */ (target);
  /** @type {HTMLElement | null} */
  const button = element.closest(".theme-switch-button");
  if (detail === 0) button?.focus();
});
