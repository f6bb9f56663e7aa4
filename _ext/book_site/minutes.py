"""The minutes of a section's main line, beside its heading; the notebooks do not hold them."""

import html
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx

from book_site.reading_time import SECTION, Part, main_line, measure, whole


@cache
def parts_of(path: Path) -> list[Part]:
    return measure(nbformat.read(path, as_version=4))


def mark(body: str, anchor: str, minutes: float) -> str:
    """`body` with the minutes written before the link that follows the heading `anchor`."""
    link = f'<a class="headerlink" href="#{html.escape(anchor)}"'
    shown = f'<span class="section-minutes">{whole(minutes)} min</span>'
    return body.replace(link, shown + link, 1)


def add(
    app: Sphinx,
    pagename: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    if doctree is None or not pagename.startswith(("chapters/", "appendices/")):
        return
    path = Path(app.env.doc2path(pagename))
    parts = parts_of(path) if path.suffix == ".ipynb" else []
    if not any(part.words and part.lines for part in parts):
        return
    for section in doctree.findall(nodes.section):
        title = section.next_node(nodes.title).astext()
        minutes = main_line(parts, title)
        if section["ids"] and SECTION.match(title) and minutes:
            context["body"] = mark(context["body"], section["ids"][0], minutes)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
