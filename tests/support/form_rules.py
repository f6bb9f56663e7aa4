"""The form of a chapter: a main line that stands alone and keeps to its time, and deeper parts."""

import copy
import re
from collections import defaultdict

from book import FENCE, tags
from book_rules import name, rule
from book_site.reading_time import (
    EXERCISE_TITLE,
    OPENER,
    SECTION,
    main_line,
    measure,
)
from main_line import dependencies
from minutes import stamp
from sync_code import put_away

FORMED = re.compile(r"chapters/|appendices/[adef]-")
HEADING = re.compile(r"^(#{1,3}) +(.+)", re.MULTILINE)
PREDICT = "> **Predict.**"
UNSEEN = {"remove-cell", "remove-input", "page-check"}
WORDS, MINUTES, SECTION_MINUTES, COLUMNS = 6000, 120, 40, 88
LONG = (7500, 150)  # words and minutes of a chapter in several pages


def headings(cell) -> list[re.Match[str]]:
    """The headings of a Markdown cell down to the third level."""
    if cell.cell_type != "markdown":
        return []
    return list(HEADING.finditer(FENCE.sub("", cell.source.strip())))


def is_deeper(heading: re.Match[str]) -> bool:
    return heading[2].startswith(OPENER)


@rule
def deeper_parts_are_whole(page):
    """A deeper part is a heading, its first sentence, and cells with its tag up to the next heading."""
    inside = False
    for cell in page.cells:
        found = headings(cell)
        if found and found[0].start() == 0:
            inside = is_deeper(found[0])
        for heading in found[1:] if found and found[0].start() == 0 else found:
            if inside or is_deeper(heading):
                yield f"{name(cell)}: {heading[2]!r} must open a cell of its own"
        if inside != ("deeper" in tags(cell)):
            yield f"{name(cell)} {'lacks' if inside else 'has'} the tag deeper"
        if found and is_deeper(found[0]):
            first = cell.source.split("\n\n")[1:2]
            if not first or not 5 <= len(first[0].split()) <= 70:
                yield f"{name(cell)} does not say in a sentence what it is for"


@rule
def subsections_are_numbered(page):
    """Third-level headings of a numbered section count up, unless they are deeper or an exercise."""
    if not FORMED.match(page.path):
        return
    number, count = "", 0
    for one in page.sections:
        if one.level == 2:
            match = SECTION.match(one.title)
            number, count = match["number"] if match else "", 0
        elif one.level == 3 and number and not one.title.startswith(OPENER):
            if EXERCISE_TITLE.fullmatch(one.title):
                continue
            count += 1
            if not one.title.startswith(f"{number}.{count} "):
                yield f"{one.title!r} does not begin with {number}.{count}"


@rule
def predictions_are_folded(page):
    """What a reader is asked to predict is folded, and its answer comes after."""
    asked = False
    for cell in page.cells:
        folded = "hide-output" in tags(cell)
        if asked and cell.cell_type == "markdown":
            yield f"{name(cell)} stands between a prediction and its cell"
        elif asked and not folded:
            yield f"{name(cell)} answers a prediction; tag it hide-output"
        elif folded and not asked:
            yield f"{name(cell)} is folded, but nobody is asked to predict it"
        asked = cell.cell_type == "markdown" and PREDICT in cell.source
        if asked and not cell.source.strip().split("\n\n")[-1].startswith(PREDICT):
            yield f"{name(cell)} continues after its prediction"


@rule
def exercises_say_if_they_are_required(page):
    """An exercise's text begins with `*Required.*` or `*Optional.*`."""
    if not FORMED.match(page.path):
        return
    for one in page.sections:
        marked = re.match(r"\*(Required|Optional)\.\*", one.text.strip())
        if one.level == 3 and EXERCISE_TITLE.fullmatch(one.title) and not marked:
            yield f"{one.title!r} does not begin with *Required.* or *Optional.*"


@rule
def main_line_keeps_to_its_time(page):
    """At most 6,000 words and 120 minutes, and no section over 40 minutes."""
    if not FORMED.match(page.path):
        return
    parts = measure(page.notebook)
    words = sum(part.words for part in parts if part.kind == "main")
    if words > WORDS:
        yield f"the main line has {words} words, not {WORDS} at most"
    if main_line(parts) > MINUTES:
        yield f"the main line takes {main_line(parts):.0f} minutes, not {MINUTES}"
    sections = dict.fromkeys(part.section for part in parts)
    for section in filter(SECTION.match, sections):
        if main_line(parts, section) > SECTION_MINUTES:
            minutes = f"{main_line(parts, section):.0f} minutes"
            yield f"{section!r} takes {minutes}, not {SECTION_MINUTES} at most"


def long_chapters_keep_to_their_time(pages, words=LONG[0], minutes=LONG[1]):
    """A chapter in several pages: at most 7,500 words and 150 minutes together."""
    chapters = defaultdict(list)
    for page in pages:
        if found := re.match(r"chapters/(\d+)", page.path):
            chapters[found[1]].append(measure(page.notebook))
    for number, measured in chapters.items():
        if len(measured) == 1:
            continue  # `main_line_keeps_to_its_time` holds it
        parts = [part for page in measured for part in page]
        read = sum(part.words for part in parts if part.kind == "main")
        if read > words:
            yield f"chapter {number} has {read} words, not {words} at most"
        if main_line(parts) > minutes:
            yield f"chapter {number} takes {main_line(parts):.0f} minutes, not {minutes}"


@rule
def minutes_are_true(page):
    """The minutes in the text are computed, and what only tests need is put away."""
    notebook = copy.deepcopy(page.notebook)
    hidden = [cell.get("id") for cell in notebook.cells if put_away(cell)]
    for id in hidden + stamp(notebook):
        yield f"cell {id} is out of date; run: make sync"


@rule
def main_line_stands_alone(page):
    """The main line uses no name that only a deeper part or an exercise defines."""
    for id, used in dependencies(page) if FORMED.match(page.path) else ():
        yield f"cell {id} uses {used!r}, which the main line has not defined"


@rule
def code_fits_the_column(page):
    """No line of code is wider than the column on a laptop, folded code included."""
    shown = [cell for cell in page.code if not UNSEEN & set(tags(cell))]
    for cell in shown:
        for line in cell.source.splitlines():
            if len(line) > COLUMNS:
                yield f"{name(cell)}: a line of {len(line)} characters: {line[:60]}"
