"""What a reader has read and passed, noted by the browser alone: the scripts, and what there is to read."""

import html
import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx

from book_site.reading_time import EXERCISE_TITLE, SECTION

FOLDER = "progress"
PAGE = "course/progress"
COLUMNS = ("Page", "Sections read", "Quick questions", "Exercises passed")
SCRIPTS = Path(__file__).parent / FOLDER
QUESTION = 'data-bw-module="quick-question"'


def questions_of(path: Path) -> int:
    """How many quick questions a notebook asks."""
    if path.suffix != ".ipynb":
        return 0
    outputs = [
        str(output.get("data", {}).get("text/html", ""))
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
    ]
    return sum(output.count(QUESTION) for output in outputs)


def pages(app: Sphinx) -> Iterator[dict[str, Any]]:
    """Each page that has sections or exercises to go through, in the book's order."""
    for page in app.env.collect_relations():
        if not page.startswith(("chapters/", "appendices/")):
            continue
        tree = app.env.get_doctree(page)
        titles = [
            (section["ids"][0], section.next_node(nodes.title).astext())
            for section in tree.findall(nodes.section)
        ]
        own = [EXERCISE_TITLE.match(title) for _, title in titles]
        solutions = page.endswith("exercise-solutions")
        yield {
            "page": page,
            "title": app.env.titles[page].astext(),
            "sections": [id for id, title in titles if SECTION.match(title)],
            "exercises": [found["number"] for found in own if found and not solutions],
            "questions": questions_of(Path(app.env.doc2path(page))),
        }


@cache  # a build needs it twice
def book(app: Sphinx) -> list[dict[str, Any]]:
    return [page for page in pages(app) if page["sections"] or page["exercises"]]


def write(app: Sphinx, error: Exception | None) -> None:
    if error is not None:
        return
    folder = Path(app.outdir) / "_static" / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(book(app), ensure_ascii=False, separators=(",", ":"))
    (folder / "book.json").write_text(text, encoding="utf-8")
    for file in SCRIPTS.iterdir():
        shutil.copy(file, folder)


def table(app: Sphinx, pagename: str) -> str:
    """The table as it is for somebody who has read nothing; the script writes the numbers."""

    def of(count: int) -> str:
        return f"<td>{f'0 of {count}' if count else '–'}</td>"

    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    rows = "".join(
        f'<tr data-page="{page["page"]}"><th scope="row"><a href="{app.builder.get_relative_uri(pagename, page["page"])}">'
        f"{html.escape(page['title'])}</a></th>"
        f"{of(len(page['sections']))}{of(page['questions'])}{of(len(page['exercises']))}</tr>"
        for page in book(app)
    )
    return (
        '<div id="progress-table"><div class="pst-scrollable-table-container"><table class="table">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></div>"
    )


def load(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    if pagename == PAGE:
        first, end, rest = context["body"].partition("</p>")
        context["body"] = first + end + table(app, pagename) + rest
    app.add_js_file(f"{FOLDER}/page.js", type="module")
    app.add_css_file(f"{FOLDER}/progress.css")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", load)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
