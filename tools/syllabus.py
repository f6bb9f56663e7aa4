"""Write the tables of course/syllabus.md from tools/syllabus.toml: `make sync` does that.

The description says which sections a week reads, what is shown and what is handed in. Minutes,
exercises, titles and links come from the pages.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import marked
import nbformat
from back_links import slug
from book_site.reading_time import SECTION, Part, pieces, shows, widgets_of
from minutes import ROOT, five, main_line, measure

PLAN, PAGE = "tools/syllabus.toml", "course/syllabus.md"
FOUND = ("chapters/*.ipynb", "appendices/[ade]-*.ipynb")
SPOKEN = {"ngram": "n-gram", "ask mini": "“Ask mini”"}


@dataclass
class Section:
    """A numbered section: where it is, what it costs, what stands in it."""

    number: str
    link: str
    minutes: float = 0.0
    exercises: dict[str, str] = field(default_factory=dict)  # required: number to link


@dataclass
class Book:
    """What a syllabus can name: sections, optional exercises, deeper parts, widgets."""

    sections: dict[str, Section] = field(default_factory=dict)
    optional: dict[str, str] = field(default_factory=dict)
    deeper: dict[str, tuple[str, float]] = field(default_factory=dict)
    widgets: dict[str, list[str]] = field(default_factory=dict)  # by their pages

    def between(self, named: Iterable[str]) -> list[Section]:
        """The sections of `["1.2", "2.1-2.4"]`, in the book's order."""
        numbers, found = list(self.sections), []
        for one in named:
            first, _, last = one.partition("-")
            for number in (first, last or first):
                if number not in self.sections:
                    raise ValueError(f"no section {number}")
            ends = numbers.index(first), numbers.index(last or first)
            found += [self.sections[n] for n in numbers[ends[0] : ends[1] + 1]]
        return found


def add_widgets(book: Book, path: str, notebook: nbformat.NotebookNode) -> None:
    """Note each widget's link: the nearest heading above the cell that shows it."""
    names, title = widgets_of(notebook), ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found = [name for _, name, _ in pieces(cell.source) if name]
            title = found[-1] if found else title
        elif (name := shows(cell.source, names)) and name != "QuickQuestion":
            book.widgets.setdefault(name, []).append(
                f"../{path}#{slug(title.replace('`', ''))}"
            )


def titles(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """The headings of deeper parts by what stands between "Deeper:" and the minutes."""
    found = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^### (Deeper: .+)$", cell.source, re.MULTILINE):
                name = re.sub(r"^Deeper: | \(\d+ min\)$", "", heading)
                found[name] = heading.replace("`", "")
    return found


def add_page(book: Book, path: str) -> None:
    notebook = nbformat.read(ROOT / path, as_version=4)
    parts = measure(notebook)
    own = [p for p in dict.fromkeys(p.section for p in parts) if SECTION.match(p)]
    for title in own:
        number = SECTION.match(title)["number"]  # type: ignore[index]
        link = f"../{path}#{slug(title.replace('`', ''))}"
        book.sections[number] = Section(number, link, main_line(parts, title))
    # the opening is read with the first section, the summary with the last
    where, order = {}, list(dict.fromkeys(p.section for p in parts))
    for title in order:
        if title not in own:
            before = order.index(title) < order.index(own[0])
            where[title] = own[0] if before else own[-1]
    for title, at in where.items():
        number = SECTION.match(at)["number"]  # type: ignore[index]
        book.sections[number].minutes += main_line(parts, title)
    add_parts(book, path, parts, titles(notebook))
    add_widgets(book, path, notebook)


def add_parts(
    book: Book, path: str, parts: list[Part], headings: dict[str, str]
) -> None:
    """Note the exercises and the deeper parts of a page."""
    for part in parts:
        if part.kind == "deeper":
            link = f"../{path}#{slug(headings[part.title])}"
            book.deeper.setdefault(part.title, (link, part.minutes))
        elif part.kind in ("required", "optional"):
            number = part.title.removeprefix("Exercise ").partition(":")[0]
            link = f"../{path}#{slug(part.title.replace('`', ''))}"
            if part.kind == "optional":
                book.optional[number] = link
            else:
                section = SECTION.match(part.section)["number"]  # type: ignore[index]
                book.sections[section].exercises[number] = link


@cache
def book() -> Book:
    """All pages of chapters and of the appendices that teach."""
    found = Book()
    for pattern in FOUND:
        for path in sorted(ROOT.glob(pattern)):
            add_page(found, path.relative_to(ROOT).as_posix())
    return found


def spoken(widget: str) -> str:
    """A widget's name in words: `ModelMap` is the "model map"."""
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", widget).lower()
    for name, better in SPOKEN.items():
        words = words.replace(name, better)
    return words


def widget_link(book: Book, name: str, row: dict[str, Any]) -> str:
    """A link to a widget on one of the row's pages, else on its first; KeyError where no page has it."""
    pages = {section.link.partition("#")[0] for section in book.between(row["read"])}
    found = [one for one in book.widgets[name] if one.partition("#")[0] in pages]
    return f"[{spoken(name)}]({(found or book.widgets[name])[0]})"


def minutes_of(book: Book, row: dict[str, Any]) -> tuple[float, float]:
    """Minutes of the row's main line, and of the deeper parts and optional exercises that it adds."""
    sections = book.between(row["read"])
    more = sum(book.deeper[name][1] for name in row.get("deeper", []))
    return sum(s.minutes for s in sections), more + 8 * len(row.get("also", []))


def linked(items: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"[{name}]({link})" for name, link in items)


def cells(book: Book, name: str, row: dict[str, Any]) -> Iterator[str]:
    """The four cells of one row."""
    sections = book.between(row["read"])
    minutes, more = minutes_of(book, row)
    time = f"{five(minutes)} min" + (f" + {five(more)}" if more else "")
    yield f"{name}<br>{row['title']}<br>{time}"
    parts = [
        (f"deeper: {title}", book.deeper[title][0]) for title in row.get("deeper", [])
    ]
    read = [f"[{s.number}]({s.link}) ({max(1, round(s.minutes))})" for s in sections]
    yield ", ".join([*read, linked(parts)] if parts else read)
    yield ", ".join(widget_link(book, name, row) for name in row.get("show", [])) or "—"
    required = [pair for s in sections for pair in s.exercises.items()]
    also = [(number, book.optional[number]) for number in row.get("also", [])]
    given = [linked(required), linked(also) and f"also {linked(also)}"]
    yield "; ".join(filter(None, [*given, row["grade"]]))


def table(book: Book, plan: dict[str, Any]) -> str:
    """One syllabus as a Markdown table, with its sums below."""
    lines = [
        f"| {plan['unit']} | Read (minutes) | Show | Exercises; what to grade |",
        "|---|---|---|---|",
    ]
    for at, row in enumerate(plan["rows"], 1):
        name = row.get("name", f"{plan['unit']} {at}")
        lines.append(f"| {' | '.join(cells(book, name, row))} |")
    read = {s.number for row in plan["rows"] for s in book.between(row["read"])}
    total = sum(minutes_of(book, row)[0] for row in plan["rows"])
    more = sum(minutes_of(book, row)[1] for row in plan["rows"])
    lines += ["", f"Together about {total / 60:.0f} hours of main line"]
    lines[-1] += f" and {more / 60:.1f} hours of what is added to it." if more else "."
    left = [s for n, s in book.sections.items() if n not in read and n[0].isdigit()]
    if left:
        lines[-1] += f" Left out: {linked((s.number, s.link) for s in left)}."
    return "\n".join(lines)


def plans() -> dict[str, Any]:
    return tomllib.loads((ROOT / PLAN).read_text(encoding="utf-8"))


def page() -> str:
    """course/syllabus.md as it should be; ValueError where the description names what is not there."""
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    for name, plan in plans().items():
        try:
            text = marked.replaced(text, f"### {plan['heading']}", table(book(), plan))
        except (KeyError, ValueError) as error:
            raise ValueError(f"{PLAN}, [{name}]: {error}") from error
    return text


def sync(check: bool) -> bool:
    """Write the tables; tell whether that changes the page."""
    return marked.write(ROOT / PAGE, page(), check)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only report")
    check = parser.parse_args().check
    return int(sync(check) and check)


if __name__ == "__main__":
    sys.exit(main())
