"""Print what each page asks of a reader's time, or write it into the pages: `make sync` does the second.

Written are the minutes in the headings of deeper parts, the line `**Time:**` in a page's
opening, and the column of the front page's map.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "_ext"))

from book_site.reading_time import (  # noqa: E402
    Part,
    deeper,
    five,
    main_line,
    measure,
    whole,
)

TIME = re.compile(r"^\*\*Time:\*\* .*?(?=\.|;|$)", re.MULTILINE)
ROW = re.compile(r"^\| \[.+?\]\((?P<page>[\w/.-]+\.ipynb)\) \|.*\|$", re.MULTILINE)
HEADING = re.compile(r"^### Deeper: (?P<name>.+?)(?: \(\d+ min\))?[ ]*$", re.MULTILINE)


def time_line(parts: list[Part]) -> str:
    """How a page's opening says its minutes."""
    line = f"**Time:** about {five(main_line(parts))} minutes for the main line"
    more = deeper(parts)
    return (
        f"{line}, {five(more)} more for deeper parts and optional exercises"
        if more
        else line
    )


def stamp(notebook: NotebookNode) -> list[str]:
    """Write a page's minutes into its text; return the ids of cells that changed."""
    parts = measure(notebook)
    named = {part.title: whole(part.minutes) for part in parts if part.kind == "deeper"}
    changed = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = HEADING.sub(
                lambda found: (
                    f"### Deeper: {found['name']} ({named[found['name']]} min)"
                ),
                cell.source,
            )
            text = TIME.sub(lambda _: time_line(parts), text)
            if text != cell.source:
                cell.source = text
                changed.append(cell.id)
    return changed


def with_minutes(row: str, parts: list[Part]) -> str:
    """A row of the front page's map with the minutes of its page in the last column."""
    cells = row.strip("|").split("|")
    more = deeper(parts)
    shown = f" {five(main_line(parts))}" + (f" + {five(more)}" if more else "") + " "
    return "|" + "|".join([*cells[:-1], shown]) + "|"


def stamp_map(notebook: NotebookNode) -> list[str]:
    """Write the minutes of the pages that have a line `**Time:**` into the front page's map."""
    changed = []
    for cell in notebook.cells:
        text = ROW.sub(row_with_minutes, cell.source)
        if text != cell.source:
            cell.source = text
            changed.append(cell.id)
    return changed


def row_with_minutes(row: re.Match[str]) -> str:
    path = ROOT / row["page"]
    if not path.exists():
        return row[0]
    page = nbformat.read(path, as_version=4)
    if not any(TIME.search(cell.source) for cell in page.cells):
        return row[0]
    return with_minutes(row[0], measure(page))


def table(parts: list[Part]) -> str:
    """Sections of a page with words, lines and minutes, deeper parts and exercises indented."""
    rows = [f"{'':52}{'words':>7}{'lines':>7}{'minutes':>9}"]
    for section in dict.fromkeys(part.section for part in parts):
        own = [part for part in parts if part.section == section]
        main = [part for part in own if part.kind == "main"]
        words, lines = sum(p.words for p in main), sum(p.lines for p in main)
        minutes = main_line(own)
        rows.append(f"{section[:50] or '(opening)':52}{words:7}{lines:7}{minutes:9.0f}")
        for part in own:
            if part.kind != "main":
                name = f"  {part.kind}: {part.title}"[:50]
                rows.append(f"{name:52}{part.words:7}{part.lines:7}{part.minutes:9.0f}")
    words = sum(part.words for part in parts if part.kind == "main")
    rows.append(
        f"{'main line':52}{words:7}{'':7}{main_line(parts):9.0f}   + {deeper(parts):.0f} deeper"
    )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path, help="none: all of the book's")
    found = ["intro.ipynb", "chapters/*.ipynb", "appendices/*.ipynb", "course/*.ipynb"]
    every = [path for pattern in found for path in sorted(ROOT.glob(pattern))]
    for path in parser.parse_args().pages or every:
        print(f"{path.name}\n{table(measure(nbformat.read(path, as_version=4)))}\n")


if __name__ == "__main__":
    main()
