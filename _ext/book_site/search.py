"""The book's search: it finds sections, not pages, and knows the glossary's terms.

Sphinx's own ranks whole pages, of which each is a hundred screens long. What is written here at
build time is one file with the text of each section; `search/search.js` ranks them in the browser.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

SCRIPTS = Path(__file__).parent / "search"
FOLDER = "search"
GLOSSARY = "course/glossary"
# no sentences of the book
SILENT = (nodes.literal_block, nodes.raw, nodes.comment, nodes.math_block, nodes.math)
ENTRY = re.compile(
    r"^## (?P<name>.+)\n+(?P<text>(?:.*\n+)*?)Defined in \[(?P<label>[^\]]*)\]\(\.\./(?P<page>[^)#]+)\.ipynb#(?P<slug>[^)]+)\)",
    re.MULTILINE,
)
ALSO = re.compile(r"Also called ([^.;]+)[.;]|\b([\w-]+) for short\.")


def own(section: nodes.section, kinds: tuple[type, ...], inside: bool) -> str:
    """The text of a section without its subsections: of certain nodes, or outside them."""

    def texts(node: nodes.Node, within: bool) -> Iterator[str]:
        if isinstance(node, nodes.Text) and within == inside:
            yield node.astext()
        for child in node.children:
            if not isinstance(child, (nodes.section, nodes.title)):
                yield from texts(child, within or isinstance(child, kinds))

    return " ".join(" ".join(texts(section, False)).split())


def sections(app: Sphinx, name: str) -> Iterator[dict[str, Any]]:
    """Each section of a page: its title, where it is, what it says, and the letters of its formulas."""
    doctree = app.env.get_doctree(name)
    page = doctree.next_node(nodes.title).astext()
    for section in doctree.findall(nodes.section):
        formulas = own(section, (nodes.math, nodes.math_block), inside=True)
        yield {
            "title": section.next_node(nodes.title).astext(),
            "page": page,
            "at": f"{app.builder.get_target_uri(name)}#{section['ids'][0]}",
            "text": own(section, SILENT, inside=False),
            "more": " ".join(sorted(set(re.findall(r"[A-Za-z]{2,}", formulas)))),
        }


def terms(app: Sphinx) -> Iterator[dict[str, Any]]:
    """The glossary's terms, what they are also called, and the section that explains each."""
    path = Path(app.env.doc2path(GLOSSARY))
    anchors = {
        # titles are set with typographic apostrophes, and typed with plain ones
        section.next_node(nodes.title).astext().replace("’", "'"): section["ids"][0]
        for section in app.env.get_doctree(GLOSSARY).findall(nodes.section)
    }
    for entry in ENTRY.finditer(path.read_text(encoding="utf-8")):
        slugs = app.env.metadata[entry["page"]].get("myst_slugs", {})
        if entry["slug"] not in slugs:
            raise ValueError(
                f"{path.name}: {entry['name']} is said to be defined in {entry['page']}"
                f"#{entry['slug']}, which is no heading there"
            )
        also = [long or short for long, short in ALSO.findall(entry["text"])]
        names = [name.strip() for one in also for name in re.split(r",| or ", one)]
        uri = app.builder.get_target_uri(entry["page"])
        at = f"{uri}#{slugs[entry['slug']][1]}"
        places = [
            at,
            f"{app.builder.get_target_uri(GLOSSARY)}#{anchors[entry['name']]}",
        ]
        yield {"names": [entry["name"], *filter(None, names)], "places": places}


def write(app: Sphinx, error: Exception | None) -> None:
    if error is not None:
        return
    pages = sorted(app.env.found_docs)
    index = {
        "sections": [one for page in pages for one in sections(app, page)],
        "terms": list(terms(app)) if GLOSSARY in app.env.found_docs else [],
    }
    folder = Path(app.outdir) / "_static" / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    (folder / "index.json").write_text(text, encoding="utf-8")
    for script in SCRIPTS.glob("*.js"):
        shutil.copy(script, folder)


def load(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    if pagename == "search":
        app.add_js_file(f"{FOLDER}/page.js", type="module")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", load)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
