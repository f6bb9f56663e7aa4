"""Make slides of chapters and appendices, in _build/course/slides: figures, the key code, predictions and widgets.

Which cells are shown follows from what they are (`slides_of`); a page's cells may say otherwise by the slide type that
JupyterLab sets: "slide" shows a cell, "skip" leaves it out. The prose that is not shown is in the speaker's notes.
nbconvert's reveal export writes a page for each deck; what the decks share is beside them once.
"""

import argparse
import html
import re
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import build_site
import nbformat
from book_site import mathjax, plots
from book_site.reading_time import EXERCISE_TITLE, SECTION, shows, widgets_of
from book_site.widgets import move_states
from exercise_cells import tags
from nbconvert.exporters import SlidesExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

from llmbook_utils.widgets import write_site_files

HERE = Path(__file__).parent / "slides"
SLIDES = build_site.ROOT / "_build" / "course" / "slides"
APPENDICES = re.compile(r"appendices/[ade]-")
REVEAL = (
    "dist/reset.css",
    "dist/reveal.css",
    "dist/reveal.js",
    "plugin/notes/notes.js",
    "LICENSE",
)
UNSEEN = {"remove-cell", "page-check", "colab-setup", "parameters"}
GOALS, SUMMARY, READ_ON = "What you will be able to do", "Summary", "Where to read on"
LINES = 22  # of code and output that fit on a slide
LONGEST = 26  # lines of code; what is longer is read in the book
CHARACTERS = 640  # of text that fit on a slide
LINK = re.compile(r"(?<!!)\[([^\]]*(?:\[[^\]]*\][^\]]*)*)\]\((?!https?:)[^)]*\)")
SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[A-Z*`$])")


@dataclass
class Slide:
    """A title and what is shown below it; a slide with `starts` begins a new stack, one to the right of the others."""

    title: str
    level: int = 3
    starts: bool = False
    cells: list[NotebookNode] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def names() -> list[str]:
    """The pages that have slides: the chapters and the appendices with exercises of their own."""
    return [
        page
        for page in build_site.pages()
        if page.startswith("chapters/") or APPENDICES.match(page)
    ]


def markdown(text: str, **metadata: object) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(text, metadata=metadata)


def blocks(source: str) -> Iterator[tuple[str, str]]:
    """Cut Markdown into (kind, text): heading, quote, table, formula, list or prose."""
    kinds = {"#": "heading", ">": "quote", "|": "table", "$$": "formula"}
    for text in re.split(r"\n\s*\n", source.strip()):
        kind = next((kinds[sign] for sign in kinds if text.startswith(sign)), "prose")
        if re.match(r"([-*]|\d+\.) ", text):
            kind = "list"
        # a heading with its text on the next line
        head, _, rest = text.partition("\n")
        if kind == "heading" and rest:
            yield kind, head
            yield from blocks(rest)
        elif text:
            yield kind, text


def unlinked(text: str) -> str:
    """Links within the book lead nowhere from a deck: their words stay."""
    return LINK.sub(r"\1", text)


def cut(text: str, most: int = CHARACTERS) -> list[str]:
    """A list cut between its points, or another text between its sentences, into parts that fit on a slide."""
    mark = re.compile(r"\n(?=(?:[-*]|\d+\.) )")
    listed = re.match(r"([-*]|\d+\.) ", text)
    glue, parts = ("\n", mark.split(text)) if listed else (" ", SENTENCE.split(text))
    # as many parts as are needed, of about the same length
    most = len(text) // -(-len(text) // most) + max(map(len, parts)) // 2
    found = [parts[0]]
    for part in parts[1:]:
        if len(found[-1]) + len(part) > most:
            found.append(part)
        else:
            found[-1] += glue + part
    return found


def chosen(cell: NotebookNode) -> str:
    """What the page itself says of a cell: "slide", "skip", … or "" where the rules decide."""
    return cell.metadata.get("slideshow", {}).get("slide_type", "").strip("-")


def printed(cell: NotebookNode) -> str:
    """What a cell prints as text."""
    return "".join(out.get("text", "") for out in cell.outputs)


def defines(cell: NotebookNode) -> bool:
    return re.search(r"^(?:class|def) ", cell.source, re.MULTILINE) is not None


def is_figure(cell: NotebookNode) -> bool:
    return any(
        "bw-figure" in out.get("data", {}).get("text/html", "") for out in cell.outputs
    )


def code_cell(cell: NotebookNode) -> NotebookNode:
    """A cell's code alone."""
    return nbformat.v4.new_code_cell(cell.source)


def output_cell(cell: NotebookNode, fragment: bool = False) -> NotebookNode:
    """A cell's outputs alone; as a fragment they come with the next key. Plots take the page's colors."""
    shown = nbformat.v4.new_code_cell(
        "", outputs=[as_html(out, cell) for out in cell.outputs]
    )
    shown.metadata["transient"] = {"remove_source": True}
    if fragment:
        shown.metadata["slideshow"] = {"slide_type": "fragment"}
    return shown


def as_html(output: NotebookNode, cell: NotebookNode) -> NotebookNode:
    svg = output.get("data", {}).get("image/svg+xml")
    if not svg:
        return output
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    drawn = plots.themed("".join(svg), alt, zlib.crc32(cell.id.encode()))
    return nbformat.v4.new_output("display_data", {"text/html": drawn})


class Deck:
    """The slides of a page, made by reading its cells in order."""

    def __init__(self, notebook: NotebookNode):
        self.widgets = widgets_of(notebook)
        self.slides: list[Slide] = []
        self.section = self.title = ""
        self.quote = ""  # a question or a warning that the next code answers
        self.prose: list[str] = []  # read, and not yet in the notes of a slide
        self.exercises: list[str] = []
        for cell in notebook.cells:
            if chosen(cell) != "skip":
                (self.read_code if cell.cell_type == "code" else self.read_text)(cell)
        self.end_section()

    @property
    def inside(self) -> bool:
        """Whether the cell stands in a numbered section."""
        return SECTION.match(self.section) is not None

    def add(
        self, *cells: NotebookNode, title: str | None = None, **options: Any
    ) -> Slide:
        """A new slide; what was read before it is in its notes."""
        title = self.title or self.section if title is None else title
        slide = Slide(title, cells=list(cells), notes=self.prose, **options)
        self.prose = []
        self.slides.append(slide)
        return slide

    # text

    def read_text(self, cell: NotebookNode) -> None:
        if tags(cell) & {"deeper"} and chosen(cell) not in ("slide", "subslide"):
            return
        if any(tag.startswith("hints:") for tag in tags(cell)):
            return
        found = [(kind, unlinked(text)) for kind, text in blocks(cell.source)]
        for at, (kind, text) in enumerate(found):
            if kind == "heading":
                self.read_heading(*text.split(" ", 1))
            elif self.section == READ_ON:
                continue
            elif self.section in (GOALS, SUMMARY) and kind == "list":
                self.points(text)
            elif self.inside and kind in ("table", "formula"):
                self.add(markdown(text))
            elif self.inside and kind == "quote":
                self.read_quote(text, last=at == len(found) - 1)
            else:
                self.prose.append(text)

    def read_heading(self, signs: str, title: str) -> None:
        self.show_quote()
        self.say_on()
        if len(signs) == 1:
            self.add(title=title, level=1, starts=True)
        elif len(signs) == 2:
            self.end_section()
            self.section, self.title = title, ""
            if SECTION.match(title):
                self.add(level=2, starts=True)
        elif EXERCISE_TITLE.fullmatch(title):
            self.exercises.append(title.removeprefix("Exercise ").replace(":", "", 1))
            self.title = title
        else:
            self.title = title
            if self.inside:
                self.name_step(title)

    def name_step(self, title: str) -> None:
        """Name a sub-section on the slide of its section."""
        head = next(slide for slide in reversed(self.slides) if slide.level == 2)
        if not head.cells:
            head.cells.append(markdown(""))
        head.cells[0].source += f"- {title}\n"

    def say_on(self) -> None:
        """Prose that no slide follows belongs to the last one."""
        if self.slides and self.prose:
            self.slides[-1].notes += self.prose
        self.prose = []

    def end_section(self) -> None:
        """The exercises of a section, by their titles; their texts are in the notes."""
        self.say_on()
        if self.exercises:
            self.title = ""
            listed = "\n".join(f"- {title}" for title in self.exercises)
            alone = self.section == "Exercises"
            title = (
                self.section if alone else "Exercise" + "s" * (len(self.exercises) > 1)
            )
            for part in cut(listed):
                self.add(markdown(part), title=title, starts=alone)
        self.exercises = []

    def points(self, text: str) -> None:
        for at, part in enumerate(cut(text)):
            self.add(markdown(part), level=3, starts=at == 0)

    def read_quote(self, text: str, last: bool) -> None:
        """A quote at the end of a cell belongs to the code below it."""
        self.show_quote()
        self.quote = text
        if not last:
            self.show_quote()

    def show_quote(self) -> None:
        if self.quote:
            self.add(*self.quoted())

    def quoted(self) -> list[NotebookNode]:
        """The waiting quote as a cell; what is too long of it goes into the notes."""
        if not self.quote:
            return []
        shown, *rest = cut(self.quote, most=420)
        self.prose += [re.sub(r"^> ?", "", part, flags=re.MULTILINE) for part in rest]
        self.quote = ""
        return [markdown(shown)]

    # code

    def read_code(self, cell: NotebookNode) -> None:
        forced = chosen(cell) in ("slide", "subslide")
        widget = shows(cell.source, self.widgets)
        # what can be operated is shown wherever it stands; a question of a deeper part is not
        if (
            widget
            and (self.inside or forced)
            and not ("deeper" in tags(cell) and widget == "QuickQuestion")
        ):
            self.show_quote()
            self.add(output_cell(cell))
        elif is_figure(cell) and not self.inside and "deeper" not in tags(cell):
            # a figure of the opening is under the name of the page
            self.add(output_cell(cell), title=self.slides[0].title)
        elif forced or (self.inside and self.is_key(cell)):
            self.show_code(cell)
        elif "deeper" not in tags(cell):
            self.show_quote()

    def is_key(self, cell: NotebookNode) -> bool:
        """What draws, prints or defines is shown; preparations and what only tests need is not."""
        if tags(cell) & (UNSEEN | {"deeper"}) or any(
            tag.startswith("exercise:") for tag in tags(cell)
        ):
            return False
        hidden = tags(cell) & {"remove-input", "hide-input"}
        return bool(cell.outputs) or (defines(cell) and not hidden)

    def show_code(self, cell: NotebookNode) -> None:
        lines, result = len(cell.source.splitlines()), len(printed(cell).splitlines())
        folded = "hide-output" in tags(cell)
        drawn = bool(cell.outputs) and not result
        above = self.quoted()
        long = lines > LONGEST and not chosen(cell)
        if long or tags(cell) & {"remove-input", "hide-input"}:
            seen = [output_cell(cell, fragment=folded)] if cell.outputs else []
            if above or seen:
                self.add(*above, *seen)
            return
        lines += 4 * len(above)
        apart = drawn or lines + result > LINES
        slide = self.add(*above, code_cell(cell))
        if cell.outputs:
            if apart:
                slide = self.add()
            slide.cells.append(output_cell(cell, fragment=folded and not apart))


def notes(slide: Slide) -> NotebookNode:
    text = "\n\n".join(slide.notes)
    return markdown(text, slideshow={"slide_type": "notes"})


def slides_of(notebook: NotebookNode) -> list[Slide]:
    """What a deck shows of a page.

    Title and goals; a slide for each section, with its steps; figures, plots, tables, formulas and widgets; code that
    prints, draws or defines, with its output, which comes by a key where a prediction is asked for; warnings; quick
    questions; the titles of the exercises; the summary. Deeper parts are left out, but for their widgets.
    """
    return Deck(notebook).slides


def deck(notebook: NotebookNode) -> NotebookNode:
    """A page as the notebook that nbconvert makes slides of."""
    cells = []
    for slide in slides_of(notebook):
        kind = "slide" if slide.starts or not cells else "subslide"
        title = markdown(
            f"{'#' * slide.level} {slide.title}", slideshow={"slide_type": kind}
        )
        cells += [title, *slide.cells]
        cells += [notes(slide)] if slide.notes else []
    title = build_site.settings()["title"]
    heading = next(cell.source for cell in cells).lstrip("# ")
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"title": f"{heading} – {title}"}
    )


def exporter() -> SlidesExporter:
    return SlidesExporter(
        template_name="slides",
        extra_template_basedirs=[str(HERE.parent)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config=Config(),
    )


def write_shared(folder: Path) -> None:
    """What all decks load: reveal.js, MathJax, the widgets with their model, and the look."""
    spec = find_spec("sphinx_revealjs")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "reveal.js is not installed; run: pip install -e '.[course]'"
        )
    reveal = Path(spec.origin).parent / "_static" / "revealjs"
    for name in REVEAL:
        (folder / "reveal" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(reveal / name, folder / "reveal" / name)
    mathjax.copy_to(folder / "mathjax")
    write_site_files(folder / "widgets")
    for name in ("slides.css", "slides.js"):
        shutil.copy(HERE / name, folder)
    style = build_site.settings()["sphinx"]["config"]["html_theme_options"][
        "pygments_light_style"
    ]
    sheet = HtmlFormatter(style=style).get_style_defs(".highlight")
    (folder / "pygments.css").write_text(sheet, encoding="utf-8")


LIST = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Slides – {title}</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="widgets/palette.css">
<style>body {{ max-width: 40rem; margin: 3rem auto; font: 1.1rem/1.6 sans-serif; color: var(--bw-ink) }}</style>
</head><body><h1>{title}: slides</h1><ul>{decks}</ul></body></html>"""


def write_list(folder: Path, decks: dict[str, str]) -> None:
    items = "".join(
        f'<li><a href="{name}">{html.escape(title)}</a></li>'
        for name, title in decks.items()
    )
    title = html.escape(build_site.settings()["title"])
    (folder / "index.html").write_text(
        LIST.format(title=title, decks=items), encoding="utf-8"
    )


def build(folder: Path, pages: list[str] | None = None) -> list[Path]:
    """Write the decks of some pages (none named: all) into a folder, with what they share."""
    known = names()
    if unknown := sorted(set(pages or []) - set(known)):
        raise ValueError(
            f"{', '.join(unknown)}: no page with slides; these have: {', '.join(known)}"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_shared(folder)
    written, titles = [], {}
    for page in pages or known:
        notebook = deck(nbformat.read(build_site.ROOT / f"{page}.ipynb", as_version=4))
        body, _ = exporter().from_notebook_node(notebook)
        path = folder / f"{Path(page).name}.html"
        path.write_text(
            move_states(body, folder / "widgets" / "states"), encoding="utf-8"
        )
        titles[path.name] = notebook.metadata.title.split(" – ")[0]
        written.append(path)
    write_list(folder, titles)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", help="as in _toc.yml; none: all")
    decks = build(SLIDES, parser.parse_args().pages or None)
    print(
        f"{len(decks)} decks are in {SLIDES}; to show them: python -m http.server --directory {SLIDES}"
    )


if __name__ == "__main__":
    main()
