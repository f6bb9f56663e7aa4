"""How many minutes a page asks of a reader, computed from its cells; the tools and the tests share it.

A page is cut at its headings into parts: the main line of each section, deeper parts, and
exercises. Hints, formulas and code that is hidden are not counted.
"""

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

WORDS, LINES = 180, 12  # a minute
CELL, QUESTION, WIDGET, EXERCISE = 0.25, 1, 6, 8  # minutes each
OPENER = "Deeper:"  # how the heading of a deeper part begins
DEEPER = re.compile(rf"{OPENER} (?P<name>.+?)(?: \(\d+ min\))?")
SECTION = re.compile(r"(?P<number>(?:\d+|[A-Z])\.\d+) ")
EXERCISE_TITLE = re.compile(r"Exercise (?P<number>(?:\d+|[A-Z])\.\d+): .+")
FENCE = re.compile(r"^ *(```+|~~~+).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
MATH = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$[^$\n]+\$", re.DOTALL)
SKIPPED = re.compile(
    f"<details>.*?</details>|{FENCE.pattern}|{MATH.pattern}", re.DOTALL | re.MULTILINE
)
UNSEEN = {"remove-cell", "page-check", "colab-setup"}
INPUT_UNSEEN = {"remove-input", "hide-input"}


@dataclass
class Part:
    """What stands between two headings that matter, and what it costs a reader."""

    section: str  # the second-level heading above it, "" for the page's opening
    title: str = ""  # the deeper part or the exercise
    kind: str = "main"  # or "deeper", "required", "optional"
    words: int = 0
    lines: int = 0
    cells: int = 0
    questions: int = 0
    widgets: int = 0

    @property
    def minutes(self) -> float:
        """Minutes of a reader's time; an exercise has its own measure."""
        if self.kind in ("required", "optional"):
            return EXERCISE
        read = self.words / WORDS + self.lines / LINES + self.cells * CELL
        return read + self.questions * QUESTION + self.widgets * WIDGET


def begin(section: str, level: int, title: str) -> Part:
    """The part that begins with a heading of the second or third level."""
    if level == 2:
        return Part(title)
    if match := DEEPER.fullmatch(title):
        return Part(section, match["name"], "deeper")
    if EXERCISE_TITLE.fullmatch(title):
        return Part(section, title, "optional")
    return Part(section)


def pieces(markdown: str) -> Iterator[tuple[int, str, str]]:
    """Cut Markdown at headings of levels 1 to 3 into (level, title, text below it); level 0 has no heading."""
    level, title, lines = 0, "", list[str]()
    for line in SKIPPED.sub(" ", markdown).splitlines():
        if match := re.match(r"(#{1,3}) +(.+)", line):
            yield level, title, "\n".join(lines)
            level, title, lines = len(match[1]), match[2].strip(), []
        else:
            lines.append(line)
    yield level, title, "\n".join(lines)


def shows(source: str, widgets: set[str]) -> str:
    """The name of the widget that a cell's last line makes, or ""."""
    last = ast.parse(source).body[-1:]
    call = last[0].value if last and isinstance(last[0], ast.Expr) else None
    name = getattr(getattr(call, "func", None), "id", "")
    return name if name in widgets else ""


def widgets_of(notebook: NotebookNode) -> set[str]:
    """The names that a page imports from the widgets."""
    names = set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                if getattr(node, "module", None) == "llmbook_utils.widgets":
                    names |= {alias.name for alias in node.names}
    return names


def count_code(part: Part, cell: NotebookNode, widgets: set[str]) -> None:
    """Add a code cell to the part that it stands in."""
    tags = set(cell.metadata.get("tags", []))
    if tags & UNSEEN or any(tag.startswith("exercise:") for tag in tags):
        return
    widget = shows(cell.source, widgets)
    if widget == "QuickQuestion":
        part.questions += 1
    elif widget:
        part.widgets += 1
    if not tags & INPUT_UNSEEN:
        part.lines += sum(bool(line.strip()) for line in cell.source.splitlines())
    if not tags & INPUT_UNSEEN or cell.outputs:
        part.cells += not widget


def measure(notebook: NotebookNode) -> list[Part]:
    """The parts of a page in order."""
    widgets, parts = widgets_of(notebook), [Part("")]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            count_code(parts[-1], cell, widgets)
            continue
        for level, title, text in pieces(cell.source):
            if level > 1:
                parts.append(begin(parts[-1].section, level, title))
            part = parts[-1]
            if part.kind == "optional" and text.strip().startswith("*Required.*"):
                part.kind = "required"
            part.words += len(re.findall(r"\S*\w\S*", f"{title} {text}"))
    return parts


def main_line(parts: list[Part], section: str | None = None) -> float:
    """Minutes of the main line, required exercises included: of a page, or of one section."""
    return sum(
        part.minutes
        for part in parts
        if part.kind in ("main", "required") and section in (None, part.section)
    )


def deeper(parts: list[Part]) -> float:
    """Minutes of a page's deeper parts and optional exercises."""
    return sum(part.minutes for part in parts if part.kind in ("deeper", "optional"))


def five(minutes: float) -> int:
    """Minutes as a page's opening says them, a multiple of five."""
    return 5 * max(1, round(minutes / 5))


def whole(minutes: float) -> int:
    return max(1, math.ceil(minutes - 1e-9))
