"""Where the exercise of each solution in Appendix C stands: a line that `make sync` writes below the heading."""

import re
from collections.abc import Iterable, Iterator

from back_links import slug
from nbformat import NotebookNode

SOLUTIONS = "appendices/c-exercise-solutions.ipynb"
HEADING = re.compile(r"^### (Exercise (?:\d+|[A-Z])\.\d+: .+)$", re.MULTILINE)
LINK = "[Back to the exercise]"
SOLUTION = re.compile(
    rf"{HEADING.pattern}\n*(?:{re.escape(LINK)}\([^)\n]*\)\n*)?", re.MULTILINE
)


def exercises(pages: Iterable[tuple[str, NotebookNode]]) -> Iterator[tuple[str, str]]:
    """Each exercise of the pages: its heading, and the address of that."""
    for path, notebook in pages:
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                for title in HEADING.findall(cell.source):
                    yield title, f"../{path}#{slug(title.replace('`', ''))}"


def link_back(
    notebook: NotebookNode, pages: Iterable[tuple[str, NotebookNode]]
) -> list[str]:
    """Write the links into Appendix C; return the ids of cells that changed.

    Raises ValueError for a solution without an exercise.
    """
    places, changed = dict(exercises(pages)), []

    def write(found: re.Match[str]) -> str:
        if found[1] not in places:
            raise ValueError(f"no page has the exercise {found[1]!r}")
        return f"### {found[1]}\n\n{LINK}({places[found[1]]})\n\n"

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = SOLUTION.sub(write, cell.source).rstrip()
            if text != cell.source:
                cell.source = text
                changed.append(cell.id)
    return changed
