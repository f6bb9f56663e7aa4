"""The book's pages, as its tests read them."""

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from book_site.address import slug as slug
from book_site.reading_time import FENCE, MATH, widgets_of
from nbformat import NotebookNode
from table_of_contents import FIXED

ROOT = Path(__file__).resolve().parents[2]
SPAN = re.compile(r"`+([^`]*)`+")


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def plain(markdown: str) -> str:
    """Leave out code blocks and formulas, and of code spans all but their words."""
    text = MATH.sub("", FENCE.sub("", markdown))
    return SPAN.sub(lambda span: re.sub(r"[^\w ]", "", span[1]), text)


@dataclass(frozen=True)
class Section:
    """A heading with the Markdown below it, down to the next heading of its level."""

    level: int
    title: str
    text: str

    @property
    def own(self) -> str:
        """The text up to the next heading of any level."""
        return re.split(r"^#{1,6} ", self.text, flags=re.MULTILINE)[0]


@dataclass(frozen=True)
class Page:
    """A notebook, or a Markdown page as a notebook with one cell."""

    path: str
    notebook: NotebookNode

    @property
    def is_chapter(self) -> bool:
        return self.path.startswith("chapters/")

    @property
    def cells(self) -> list[NotebookNode]:
        return list(self.notebook.cells)

    @property
    def code(self) -> list[NotebookNode]:
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @property
    def visible_code(self) -> list[NotebookNode]:
        """The code that a reader of the page sees."""
        hidden = {"hide-input", "remove-input", "colab-setup", "page-check"}
        return [cell for cell in self.code if not hidden & set(tags(cell))]

    @cached_property
    def markdown(self) -> str:
        sources = [cell.source for cell in self.cells if cell.cell_type == "markdown"]
        return FENCE.sub("", "\n\n".join(sources))

    @cached_property
    def sections(self) -> list[Section]:
        lines, starts = self.markdown.splitlines(), []
        for number, line in enumerate(lines):
            if match := re.match(r"(#{1,6}) +(.+)", line):
                starts.append((number, len(match[1]), match[2].strip()))
        found = []
        for index, (first, level, title) in enumerate(starts):
            after = [start for start, other, _ in starts[index + 1 :] if other <= level]
            text = "\n".join(lines[first + 1 : after[0] if after else None])
            found.append(Section(level, title.replace("`", ""), text))
        return found

    def section(self, title: str) -> Section | None:
        return next((one for one in self.sections if one.title == title), None)

    @cached_property
    def widget_names(self) -> set[str]:
        """The names of our widgets that the page imports."""
        return widgets_of(self.notebook)

    def tagged(self, tag: str) -> list[NotebookNode]:
        return [cell for cell in self.cells if tag in tags(cell)]

    @cached_property
    def syntax(self) -> list[ast.stmt]:
        """All statements of the page's code, in order."""
        return [node for cell in self.code for node in ast.parse(cell.source).body]


def read(path: Path, name: str) -> Page:
    """Read a page; `name` is its path in the book."""
    if path.suffix == ".ipynb":
        return Page(name, nbformat.read(path, as_version=4))
    cell = nbformat.v4.new_markdown_cell(path.read_text(encoding="utf-8"))
    return Page(name, nbformat.v4.new_notebook(cells=[cell]))


def all_pages() -> list[Page]:
    """Read the pages that exist: in the order of the table of contents, others last."""
    found = ["*.ipynb", "chapters/*.ipynb", "appendices/*", "course/*.*"]
    paths = [path for pattern in found for path in sorted(ROOT.glob(pattern))]
    names = [path.relative_to(ROOT).as_posix() for path in paths if path.is_file()]
    order = {name: place for place, name in enumerate(FIXED)}
    names.sort(key=lambda name: order.get(name, len(order)))
    return [read(ROOT / name, name) for name in names]


PAGES = all_pages()
NOTEBOOKS = [page for page in PAGES if page.path.endswith(".ipynb")]
CHAPTERS = [page for page in PAGES if page.is_chapter]
