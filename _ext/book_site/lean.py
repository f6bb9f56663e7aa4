"""What a first visit does not need is not on the page: the theme's icon script, formulas' code where there are none.

The theme's script of all its icons weighs more than a chapter; icons.py has the few that are used.
Sphinx's search is loaded with every page; search.py has the book's own, for the page of results.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

# each with what it is for, in the message that says that a theme no longer has it
NEVER = {
    "the script of all icons": r'<script[^>]*src="[^"]*fontawesome\.js[^"]*"></script>',
    "Sphinx's search": r'<script[^>]*src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>',
}
FORMULA = '<div class="math|<span class="math'
MATHJAX = r'<script>window\.MathJax = .*?</script>|<script[^>]*src="[^"]*mathjax/[^"]*"></script>'
DEAD = (
    "searchindex.js",
    "_static/searchtools.js",
    "_static/language_data.js",
    "_static/scripts/fontawesome.js",
    "_static/scripts/fontawesome.js.map",
    "_static/scripts/fontawesome.js.LICENSE.txt",
)


def slim(page: str) -> tuple[str, set[str]]:
    """A page without what it does not need, and the names of what was found."""
    found = set()
    for name, pattern in NEVER.items():
        page, n = re.subn(pattern, "", page)
        found |= {name} if n else set()
    return page if re.search(FORMULA, page) else re.sub(MATHJAX, "", page), found


def rewrite(app: Sphinx, error: Exception | None) -> None:
    """Slim all pages; a theme that has changed is an error, since its weight would come back unseen."""
    if error is not None:
        return
    found: set[str] = set()
    for path in Path(app.outdir).rglob("*.html"):
        page, names = slim(path.read_text(encoding="utf-8"))
        path.write_text(page, encoding="utf-8")
        found |= names
    if missing := NEVER.keys() - found:
        raise ValueError(
            f"no page has {' and '.join(sorted(missing))}: adapt NEVER in lean.py to the theme"
        )
    for name in DEAD:
        (Path(app.outdir) / name).unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
