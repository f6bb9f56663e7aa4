/** What Sphinx's own scripts define on every page. */
declare const SphinxHighlight: { highlightSearchWords(): void };
