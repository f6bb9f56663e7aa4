"""Count what the book holds, and write it into README.md and the front page: `make sync` does that.

A count stands before its noun, "76 exercises"; the nouns are those of COUNTS. README's
table of chapters gets its minutes as the front page's map does.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import nbformat
from back_links import slug
from build_site import pages
from minutes import ROOT, ROW, deeper, main_line, measure, row_with_minutes
from nbformat import NotebookNode

README = "README.md"
FRONT = "intro.ipynb"
PLANTED = ROOT / "tests" / "support" / "planted"
DEEPER_LINK = re.compile(
    r"\]\((?P<page>[\w/.-]+\.ipynb)#(?P<part>deeper-[\w-]+?-)\d+-min\)"
)
QUESTION = re.compile(r"^QuickQuestion\(", re.MULTILINE)


@cache
def notebooks() -> dict[str, NotebookNode]:
    """The pages of the site that are notebooks, by their paths."""
    paths = [path for page in pages() if (path := ROOT / f"{page}.ipynb").exists()]
    return {
        path.relative_to(ROOT).as_posix(): nbformat.read(path, as_version=4)
        for path in paths
    }


def chapters() -> Iterator[NotebookNode]:
    for path, notebook in notebooks().items():
        if path.startswith("chapters/"):
            yield notebook


def exercises() -> int:
    from llmbook_utils.exercises import registered

    return len(registered())


def planted() -> int:
    """The wrong answers with which the verdicts on exercises are tried."""
    sys.path.insert(0, str(PLANTED.parent))
    try:
        modules = [
            importlib.import_module(f"planted.{path.stem}")
            for path in sorted(PLANTED.glob("*.py"))
        ]
    finally:
        sys.path.remove(str(PLANTED.parent))
    return sum(len(cases) for one in modules for cases in one.PLANTED.values())


def questions() -> int:
    return sum(
        len(QUESTION.findall(cell.source))
        for notebook in notebooks().values()
        for cell in notebook.cells
        if cell.cell_type == "code"
    )


def widgets() -> int:
    """The kinds of widgets that a page shows."""
    from llmbook_utils import widgets

    text = "".join(
        cell.source for notebook in notebooks().values() for cell in notebook.cells
    )
    return sum(
        isinstance(getattr(widgets, name), type) and f"{name}(" in text
        for name in widgets.__all__
    )


def figures() -> int:
    return len(list((ROOT / "llmbook_utils" / "assets" / "figures").glob("*.svg")))


def main_hours() -> int:
    return round(sum(main_line(measure(page)) for page in chapters()) / 60)


def more_hours() -> int:
    return round(sum(deeper(measure(page)) for page in chapters()) / 60)


COUNTS: dict[str, Callable[[], int]] = {
    "notebooks": lambda: len(notebooks()),
    "exercises": exercises,
    "wrong answers": planted,
    "quick questions": questions,
    "kinds of widgets": widgets,
    "figures": figures,
    "hours of main line": main_hours,
    "hours of deeper parts": more_hours,
}


def with_counts(text: str) -> str:
    """`text` with each number before one of the nouns as it is now.

    >>> with_counts("0 figures, 0 of them red") != "0 figures, 0 of them red"
    True
    """
    for noun, count in COUNTS.items():
        pattern = re.compile(rf"\b\d[\d,]*(?=\s{noun.replace(' ', chr(92) + 's')}\b)")
        if pattern.search(text):
            text = pattern.sub(f"{count():,}", text)
    return text


def with_deeper_links(text: str) -> str:
    """`text` with links into deeper parts as their headings are now, minutes included."""

    def write(found: re.Match[str]) -> str:
        for cell in notebooks()[found["page"]].cells:
            for heading in re.findall(r"^### (Deeper: .+)$", cell.source, re.MULTILINE):
                if (now := slug(heading)).startswith(found["part"]):
                    return f"]({found['page']}#{now})"
        return found[0]

    return DEEPER_LINK.sub(write, text)


def stamp_counts(notebook: NotebookNode) -> list[str]:
    """Write the counts into the front page; return the ids of cells that changed."""
    changed = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = with_deeper_links(with_counts(cell.source))
            if text != cell.source:
                cell.source = text
                changed.append(cell.id)
    return changed


def sync_readme(check: bool) -> bool:
    """Write README's counts and minutes; tell whether that changes it."""
    path: Path = ROOT / README
    before = path.read_text(encoding="utf-8")
    after = with_counts(ROW.sub(row_with_minutes, before))
    if after != before and not check:
        path.write_text(after, encoding="utf-8")
    if after != before:
        print(f"{README}: {'out of date' if check else 'wrote'} its numbers")
    return after != before
