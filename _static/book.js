// the theme takes the focus away from its switch; who uses the keyboard keeps it
document.addEventListener("click", (event) => {
  if (event.detail === 0) event.target.closest(".theme-switch-button")?.focus();
});
