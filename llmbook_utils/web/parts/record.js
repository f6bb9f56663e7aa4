/** What the site's record of a reader's progress knows of a question or an exercise. */

/** Call `tell` when the record knows it. @param {HTMLElement} element  @param {string} name */
export function whenKnown(element, name, tell) {
  element.dataset.bwKnown = name;
  element.addEventListener("llmbook:known", (event) => {
    tell(/** @type {CustomEvent} */ (event).detail.right);
  });
}
