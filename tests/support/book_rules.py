"""What every page of the book must be like: each rule takes a page and yields faults.

`test_book_style.py` holds the pages to the rules, `test_book_checks.py` the rules to
pages that break them.
"""

import ast
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median

from book import FENCE, MATH, PAGES, ROOT, SPAN, Page, plain, slug, tags
from book_site.reading_time import shows
from build_site import repository_url
from repository import setup_cell
from table_of_contents import FIXED

Rule = Callable[[Page], Iterator[str]]
RULES: list[Rule] = []

GOALS, SUMMARY, EXERCISES = "What you will be able to do", "Summary", "Exercises"
READ_ON = "Where to read on"
TAGS = re.compile(
    r"colab-setup|parameters|(hide|remove)-input|hide-output|remove-cell|deeper|page-check|"
    r"nbval-ignore-output|times|lib:\w+|"
    r"(exercise|hints|solution):(\d+|[A-Z])\.\d+"
)
HTML = {"details", "summary", "br", "kbd", "sub", "sup"}
MYST = {
    "a directive": r"^ *(`{3,}|~{3,})\{|^ *:{3,}",
    "a role": r"\{[\w:+-]+\}`code`",
    "a target": r"^\([\w-]+\)=",
    "a substitution": r"\{\{",
    "a comment": r"^%|^\+\+\+",
}
HYPE = re.compile(
    r"\b(simply|obviously|trivial(ly)?|basically|of course|needless to say|"
    r"amazing(ly)?|incredibl[ey]|revolutionary|game.changing|cutting.edge|"
    r"groundbreaking|seamless(ly)?|effortless(ly)?|delve[sd]?|"
    r"(?<!not )just (use|run|call|add|take|put|set|type|write|do|pass|need)s?)\b",
    re.IGNORECASE,
)
MACHINE = re.compile(
    r"(?<![\w.<])/(home|Users|root|tmp|private|opt|usr|mnt|var)/\w|[A-Z]:\\\w|"
    r"site-packages|\bat 0x[0-9a-f]{6,}"
)
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
IMAGES = ("image/png", "image/jpeg", "image/svg+xml")


def rule(check: Rule) -> Rule:
    RULES.append(check)
    return check


def name(cell) -> str:
    first = cell.source.strip().splitlines()[:1] or ["(empty)"]
    return f"cell {cell.get('id')} ({first[0][:50]})"


def subheadings(page: Page, title: str) -> list[str]:
    """List the third-level headings below a section's."""
    titles = [(one.level, one.title) for one in page.sections]
    start = titles.index((2, title)) + 1
    ends = [at for at in range(start, len(titles)) if titles[at][0] <= 2]
    below = titles[start : ends[0] if ends else None]
    return [one for level, one in below if level == 3]


# headings and the chapters' skeleton


@rule
def title_is_fixed(page):
    """One title, the table of contents' own; levels go down one at a time."""
    titles = [one.title for one in page.sections if one.level == 1]
    if page.path.startswith(("chapters/", "appendices/")) and page.path not in FIXED:
        yield "the table of contents has no such page"
    expected = [title for level, title in FIXED.get(page.path, []) if level == 1]
    if len(titles) != 1 or (expected and titles != expected):
        yield f"the title is {titles}, not {expected}"
    levels = [one.level for one in page.sections]
    if levels[:1] != [1]:
        yield "the page does not begin with its title"
    for before, after in pairwise(page.sections):
        if after.level > before.level + 1:
            yield f"{after.title!r} is {after.level - before.level} levels down"


@rule
def sections_are_fixed(page):
    """A chapter has its numbered sections, the skeleton's four, and no others."""
    if not page.is_chapter or page.path not in FIXED:
        return
    fixed = [title for level, title in FIXED[page.path] if level == 2]
    expected = [GOALS, *fixed, SUMMARY, EXERCISES, READ_ON]
    found = [one.title for one in page.sections if one.level == 2]
    for title in expected:
        if title not in found:
            yield f"the section {title!r} is missing"
    for title in found:
        if title not in expected:
            yield f"the section {title!r} is not in the table of contents"
    if sorted(found) == sorted(expected) and found != expected:
        yield f"the sections stand in another order: {found}"


@rule
def subsections_are_fixed(page):
    """The named third-level headings stand in their section, in order."""
    section = ""
    wanted: dict[str, list[str]] = {}
    for level, title in FIXED.get(page.path, []):
        section = title if level == 2 else section
        if level == 3:
            wanted.setdefault(section, []).append(title)
    for section, titles in wanted.items():
        if page.section(section):
            below = [
                re.sub(r"^\d+\.\d+\.\d+ ", "", one)
                for one in subheadings(page, section)
            ]
            found = [one for one in below if one in titles]
            if found != titles:
                yield f"{section!r} needs the sub-headings {titles}, but has {found}"


@rule
def solutions_and_references_go_by_chapter(page):
    """Appendices B and C have one section a chapter, with its title, in order."""
    if page.path not in (
        "appendices/b-references.md",
        "appendices/c-exercise-solutions.ipynb",
    ):
        return
    order = [headings[0][1] for headings in FIXED.values()]
    found = [one.title for one in page.sections if one.level == 2]
    for title in found:
        if title not in order:
            yield f"{title!r} is not the title of a chapter or appendix"
    if found != sorted(found, key=lambda one: order.index(one) if one in order else -1):
        yield f"the sections are not in the book's order: {found}"


@rule
def goals_say_what_and_how_long(page):
    """A chapter opens with at least three goals, what you need, and the time."""
    goals = page.section(GOALS)
    if page.is_chapter and goals:
        if len(re.findall(r"^[-*] ", goals.text, re.MULTILINE)) < 3:
            yield "fewer than three goals in the list"
        if "**You need:**" not in goals.text:
            yield "no line `**You need:** ...`"
        if not re.search(r"\*\*Time:\*\*.*\d.*\b(minutes|hours)\b", goals.text):
            yield "no line `**Time:** about 90 minutes ...`"


@rule
def summary_is_short(page):
    """A summary has five to eight sentences."""
    summary = page.section(SUMMARY)
    if page.is_chapter and summary:
        count = len(re.findall(r"[.!?](?=\s|$)", plain(summary.own).strip()))
        if not 5 <= count <= 8:
            yield f"the summary has {count} sentences, not 5 to 8"


@rule
def reading_on_leads_to_the_references(page):
    """The last section links into Appendix B."""
    section = page.section(READ_ON)
    if (
        page.is_chapter
        and section
        and "appendices/b-references.md#" not in section.text
    ):
        yield "no link to an entry of ../appendices/b-references.md"


def same_chapter(one: Page, other: Page) -> bool:
    """Tell whether two pages are different pages of one chapter: 05-…, 05b-…."""
    return one.path != other.path and one.path[:11] == other.path[:11]


@rule
def readers_get_to_work(page):
    """A chapter has exercises, quick questions, a prediction and a pitfall."""
    if not page.is_chapter:
        return
    pages = [page, *(one for one in PAGES if same_chapter(one, page))]
    exercises = [
        one.title
        for each in pages
        for one in each.sections
        if one.title.startswith("Exercise ")
    ]
    code = [cell for each in pages for cell in each.code]
    questions = sum(cell.source.count("QuickQuestion(") for cell in code)
    if len(exercises) < 6:
        yield f"{len(exercises)} exercises, not at least 6"
    if questions < 3:
        yield f"{questions} quick questions, not at least 3"
    for opener in ("**Predict.**", "**Pitfall.**"):
        if f"> {opener}" not in page.markdown:
            yield f"no call-out `> {opener} ...`"


# prose


@rule
def markdown_is_portable(page):
    """No MyST syntax, which Jupyter and Colab show as raw text."""
    texts = [cell.source for cell in page.cells if cell.cell_type == "markdown"]
    for what, pattern in MYST.items():
        for text in texts:
            if what != "a directive":
                text = SPAN.sub("`code`", MATH.sub("", FENCE.sub("", text)))
            if match := re.search(pattern, text, re.MULTILINE):
                around = text[match.start() : match.end() + 30]
                yield f"{what} of MyST: {around!r}"


@rule
def html_is_plain(page):
    """Only the few HTML elements that every reader program shows."""
    for tag in re.findall(
        r"</?([a-zA-Z][\w-]*)(?=[\s/>])[^>]*>|<!--", plain(page.markdown)
    ):
        if tag.lower() not in HTML:
            yield f"<{tag or '!--'}> is not one of {sorted(HTML)}"


@rule
def callouts_open_in_bold(page):
    """A block quote is a call-out and opens with a bold word and a full stop."""
    for quote in re.findall(r"(?:^>.*\n?)+", page.markdown, re.MULTILINE):
        if not re.match(r"> \*\*[A-Z][^*]*\.\*\* ", quote.replace("\n", " ")):
            yield f"no bold opener as in `> **Pitfall.** ...`: {quote[:60]!r}"


@rule
def voice_is_plain(page):
    """No hype, and nothing that tells readers how easy it is."""
    for match in HYPE.finditer(plain(page.markdown)):
        yield f"{match[0]!r}: say it without"


@rule
def links_lead_somewhere(page):
    """Each relative link names a file of the book and, with an anchor, a heading."""
    known = {one.path: one for one in PAGES} | {page.path: page}
    folder = (ROOT / page.path).parent
    for link in re.findall(r"\]\(<?([^)\s>]+)", plain(page.markdown)):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        path = (folder / target).resolve() if target else ROOT / page.path
        inside = path.is_relative_to(ROOT)
        other = known.get(path.relative_to(ROOT).as_posix()) if inside else None
        if other is None and not (inside and path.exists()):
            yield f"{link} leads to no file"
        elif anchor and (other is None or anchor not in anchors(other)):
            yield f"{link} leads to no heading of that page"


def anchors(page: Page) -> set[str]:
    return {slug(one.title) for one in page.sections if one.level <= 3}


# cells


@rule
def code_is_plain_python(page):
    """No magics: papermill, tests and readers run the cells as Python."""
    for cell in page.code:
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            yield f"{name(cell)} is not Python: {error}"


@rule
def tags_are_known(page):
    """A mistyped tag would switch its check off."""
    for cell in page.cells:
        for tag in tags(cell):
            if not TAGS.fullmatch(tag):
                yield f"{name(cell)} has the unknown tag {tag!r}"


@rule
def cell_ids_are_stable(page):
    """Ids are unique and not the cells' numbers, which change with every new cell."""
    ids = [cell.get("id", "") for cell in page.cells if page.path.endswith(".ipynb")]
    for id in ids:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{2,63}", id) or re.fullmatch(
            r"(cell|id)?-?\d{1,4}", id
        ):
            yield f"{id!r} is no lasting id; give the cell a name"
        if ids.count(id) > 1:
            yield f"{id!r} names {ids.count(id)} cells"


@rule
def cells_are_short(page):
    """At most 25 lines (library text 72, hidden 40); half of the main line's at most 8."""
    sizes = []
    for cell in page.code:
        size = len(cell.source.strip().splitlines())
        hidden = cell not in page.visible_code
        library = any(tag.startswith("lib:") for tag in tags(cell))
        limit = 40 if hidden else 72 if library else 25
        sizes += [] if hidden or "deeper" in tags(cell) else [size]
        if not 1 <= size <= limit:
            yield f"{name(cell)} has {size} lines, not 1 to {limit}"
    if page.is_chapter and sizes and median(sizes) > 8:
        yield f"the median code cell has {median(sizes)} lines, not 8 at most"


@rule
def prose_comes_first(page):
    """Prose before every visible code cell says what to look for."""
    before = None
    for cell in page.cells:
        if cell in page.visible_code:
            if before is None or before.cell_type != "markdown":
                yield f"{name(cell)} comes without prose before it"
            before = cell
        elif cell.cell_type == "markdown":
            before = cell


@rule
def prose_carries_the_code(page):
    """7 to 30 words a line of code: chapter 1 is light on code and exempt."""
    if not page.is_chapter or page.path.startswith("chapters/01"):
        return
    words = len(re.findall(r"\S*\w\S*", plain(page.markdown)))
    code = [line for cell in page.visible_code for line in cell.source.splitlines()]
    lines = len([line for line in code if line.strip()])
    if lines and not 7 <= words / lines <= 30:
        ratio = f"{words / lines:.1f}"
        yield f"{words} words to {lines} lines of code: {ratio}, not 7 to 30"


@rule
def unstable_outputs_are_asserted(page):
    """What nbval may not compare, the next code cell asserts, unless it is a time.

    Times are printed and never judged: a page must not stop on a busy machine.
    """
    for cell, after in pairwise([*page.code, None]):
        if {"nbval-ignore-output", "times"} & set(tags(cell)) == {
            "nbval-ignore-output"
        }:
            text = after.source if after else ""
            if not re.search(r"^\s*assert\b", text, re.MULTILINE):
                yield f"{name(cell)} ignores its output; assert it in the next cell"


@rule
def parameters_can_be_turned(page):
    """One `parameters` cell with nothing but assignments, for papermill."""
    cells = page.tagged("parameters")
    needs = page.is_chapter or re.match(r"appendices/[ade]-", page.path)
    if len(cells) > 1 or (needs and not cells):
        yield f"{len(cells)} cells are tagged parameters, not one"
    for cell in cells:
        for node in ast.parse(cell.source).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                yield f"the parameters cell holds {ast.unparse(node)!r}"


@rule
def first_cell_prepares_colab(page):
    """The first code cell, and only it, fetches the package, from our address."""
    tagged = [cell for cell in page.code if "colab-setup" in tags(cell)]
    if tagged != page.code[:1]:
        yield "colab-setup tags another cell than the first code cell"
    url = repository_url()
    if any(cell.source != setup_cell(url) for cell in tagged):
        yield f"the first code cell is not the one for {url!r}; run: make repository"


# outputs


@rule
def cells_were_run_in_order(page):
    """Execution counts go 1, 2, 3, ..."""
    counts = [cell.execution_count for cell in page.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}; run: make execute"


@rule
def outputs_are_clean(page):
    """No error, warning or stderr, and nothing of the machine they were made on."""
    for cell in page.code:
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"{name(cell)} ended in {output.ename}"
            if output.get("name") == "stderr":
                yield f"{name(cell)} wrote to stderr: {output.text[:60]!r}"
            texts = [output.get("text", ""), *output.get("data", {}).values()]
            for match in filter(None, (MACHINE.search(str(text)) for text in texts)):
                yield f"{name(cell)} shows something of the machine: {match[0]!r}"


@rule
def widgets_have_html(page):
    """A widget is stored as HTML, without the view that only a live kernel can fill."""
    for cell in page.code:
        data = [output.get("data", {}) for output in cell.outputs]
        if any(WIDGET_VIEW in one for one in data):
            yield f"{name(cell)} stores a widget view; run: make execute"
        if shows_widget(page, cell) and not any("text/html" in one for one in data):
            yield f"{name(cell)} ends in a widget, but its output has no text/html"


def shows_widget(page: Page, cell) -> bool:
    """Tell whether a cell's last line makes one of our widgets."""
    return bool(shows(cell.source, page.widget_names))


@rule
def images_have_alt_text(page):
    """Plots have alt text in the cell's metadata, other pictures in their markup."""
    for alt in re.findall(r"!\[([^\]]*)\]\(", page.markdown):
        if len(alt) < 20:
            yield f"the alt text {alt!r} of a picture says too little"
    for cell in page.code:
        data = [output.get("data", {}) for output in cell.outputs]
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if any(kind in one for one in data for kind in IMAGES) and len(alt) < 20:
            yield f"{name(cell)}: metadata mystnb.image.alt is {alt!r}"
        html = "".join(one.get("text/html", "") for one in data)
        for element in re.findall(r"<(?:svg|img)\b[^>]*>", html):
            if not re.search(r'role="img"|aria-hidden|alt="[^"]', element):
                yield f"{name(cell)} has {element[:60]} without role or alt"


@rule
def metadata_is_minimal(page):
    """One kernel, no versions, no widget state, no times."""
    if not page.path.endswith(".ipynb"):
        return
    kernel = page.notebook.metadata.get("kernelspec", {})
    language = page.notebook.metadata.get("language_info", {})
    if kernel.get("name") != "python3" or language.get("name") != "python":
        yield "kernelspec is not python3, or language_info is missing"
    if "version" in language:
        yield "language_info has a version"
    if "widgets" in page.notebook.metadata:
        yield "the notebook stores widget state"
    if any("execution" in cell.metadata for cell in page.cells):
        yield "cells store the times of their run"
