"""Where each entry of Appendix B is cited: its last line, which `make sync` writes."""

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from nbformat import NotebookNode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "_ext"))

from book_site.address import slug
from book_site.reading_time import FENCE, OPENER

REFERENCES = "appendices/b-references.md"
CITED = "*Cited in* "
NUMBER = re.compile(r"Appendix [A-Z]|(?:[A-Z]\.)?\d[\d.]*")
PLACE = re.compile(
    r"^(?P<marks>#{1,3}) +(?P<title>.+)|\]\([^)\s]*b-references\.md#(?P<entry>[\w-]+)\)",
    re.MULTILINE,
)
ENTRY = re.compile(r"^### (.+)\n((?:(?!#).*\n?)*)", re.MULTILINE)


def label(title: str) -> str | None:
    """What a link to a section says; None where its heading has no number.

    >>> label("2.5.1 The smallest pieces"), label("Appendix D Bells"), label("5 Pretraining")
    ('2.5.1', 'Appendix D', 'chapter 5')
    >>> label("A.2 Tensors"), label("A ladder"), label("Deeper: More")
    ('A.2', None, None)
    """
    found = NUMBER.match(title)
    return f"chapter {found[0]}" if found and found[0].isdigit() else found and found[0]


def citations(path: str, notebook: NotebookNode) -> Iterator[tuple[str, str, str]]:
    """Each citation of a page: the entry's anchor, what its link says, and the link."""
    page, section, here = "", "", ("", "")
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for found in PLACE.finditer(FENCE.sub("", cell.source)):
            title = (found["title"] or "").replace("`", "")
            name, link = label(title), f"../{path}#{slug(title)}"
            if found["marks"] == "#":
                page, here = name or "", (name or "", link)
            elif found["marks"] == "##":
                section = name or page
                here = (section, link)
            elif title.startswith(OPENER):
                here = (f"{section}, deeper", link)
            elif name:  # an exercise belongs to the section in which it stands
                here = (name, link)
            elif found["entry"] and here[0]:
                yield found["entry"], *here


def with_back_links(text: str, pages: Iterable[tuple[str, NotebookNode]]) -> str:
    """Appendix B with the places at which each entry is cited, in the book's order."""
    cited: dict[str, dict[str, str]] = defaultdict(dict)
    for path, notebook in pages:
        for entry, name, link in citations(path, notebook):
            cited[entry].setdefault(name, link)

    def write(entry: re.Match[str]) -> str:
        kept = [p for p in entry[2].strip().split("\n\n") if not p.startswith(CITED)]
        places = [f"[{name}]({link})" for name, link in cited[slug(entry[1])].items()]
        if places:
            kept.append(f"{CITED}{', '.join(places)}.")
        return "\n\n".join([f"### {entry[1]}", *kept]) + "\n\n"

    return ENTRY.sub(write, text).rstrip() + "\n"
