"""What the book's terms and the map of CONTRIBUTING.md must be like; each check yields faults."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from book import FENCE, Page, Section, slug
from book_code import homes

DEFINED = re.compile(
    r"^Defined in \[[^\]]+\]\(\.\./([^)#]+)#([^)]+)\)\.$", re.MULTILINE
)
MAP = "CONTRIBUTING.md"
HEADER = re.compile(r"^\| *page *\| *module *\| *test *\| *widget *\|$", re.MULTILINE)


def terms(markdown: str) -> list[str]:
    """List the bold terms of a text; labels that end in punctuation are none."""
    text = FENCE.sub("", markdown)
    text = re.sub(r"`[^`]*`", lambda span: span[0].strip("`").replace("*", ""), text)
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("|")]
    bold = re.findall(r"\*\*([^*]+?)\*\*", "\n".join(lines))
    return [" ".join(term.split()) for term in bold if term[-1] not in ".:!?"]


def forms(term: str) -> list[str]:
    """Give the singulars that a term may stand under in the glossary."""
    term = term.casefold()
    return [term, term.removesuffix("s"), re.sub("ies$", "y", term)]


def glossary_faults(pages: list[Page], glossary: Page) -> Iterator[str]:
    """Each term has an entry, which links to the section that defines it."""
    entries = {one.title.casefold(): one for one in glossary.sections if one.level == 2}
    titles = [one.title for one in glossary.sections if one.level == 2]
    if titles != sorted(set(titles), key=str.casefold):
        yield "the entries are not sorted, or one is there twice"
    first: dict[str, tuple[str, list[str]]] = {}
    for page in pages:
        for term in terms(page.markdown):
            entry = next((form for form in forms(term) if form in entries), None)
            if entry is None:
                yield f"{page.path}: **{term}** has no entry in the glossary"
            else:
                first.setdefault(entry, (page.path, holders(page, term)))
    for key, entry in entries.items():
        yield from entry_faults(entry, first.get(key))


def holders(page: Page, term: str) -> list[str]:
    """List the anchors of the first section with a term, and of those around it."""
    around: list[Section] = []
    for one in page.sections:
        around = [*(other for other in around if other.level < one.level), one]
        if term in terms(one.own):
            break
    return [slug(other.title) for other in around]


def entry_faults(entry: Section, first: tuple[str, list[str]] | None) -> Iterator[str]:
    link = DEFINED.search(entry.text)
    if link is None:
        yield f"{entry.title!r} has no line `Defined in [2.5](../chapters/...#...).`"
    elif first is None:
        yield f"{entry.title!r} is bold on no page"
    elif link[1] != first[0] or link[2] not in first[1]:
        found = f"{link[1]}#{link[2]}"
        yield f"{entry.title!r} links to {found}, but is first bold in {first}"


def map_rows(text: str) -> list[list[str]]:
    """Read the table page | module | test | widget as rows of four cells."""
    header = HEADER.search(text)
    lines = text[header.end() :].strip().splitlines()[1:] if header else []
    end = next((at for at, line in enumerate(lines) if line[:1] != "|"), len(lines))
    return [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in lines[:end]
    ]


def links(cell: str) -> list[str]:
    return [target.rstrip("/") for target in re.findall(r"\]\(([^)#]+)", cell)]


def map_faults(root: Path, widgets: Iterable[str]) -> Iterator[str]:
    """The map names every page, module, test and widget, and is true."""
    rows = map_rows((root / MAP).read_text(encoding="utf-8"))
    if not rows:
        yield f"{MAP} has no table | page | module | test | widget |"
        return
    for row in rows:
        if len(row) != 4:
            yield f"a row has {len(row)} cells: {row}"
            return
        yield from row_faults(root, row)
    for column, expected in enumerate(files(root)):
        listed = {target for row in rows for target in links(row[column])}
        for path in sorted(expected - listed):
            yield f"the map does not name {path}"
    for widget in widgets:
        if not any(f"`{widget}`" in row[3] for row in rows):
            yield f"the map does not name the widget `{widget}`"


def files(root: Path) -> Iterator[set[str]]:
    """Give the pages and the modules that the map must name."""
    pages = ["*.ipynb", "chapters/*.ipynb", "appendices/*", "course/*.*"]
    modules = [
        "llmbook_utils/[!_]*.py",
        "llmbook_utils/files/[!_]*.py",
        "llmbook_utils/inside/[!_]*.py",
        "llmbook_utils/runs/[!_]*.py",
        "llmbook_utils/exercises",
        "llmbook_utils/widgets",
    ]
    for patterns in (pages, modules):
        found = [path for pattern in patterns for path in root.glob(pattern)]
        yield {
            path.relative_to(root).as_posix() for path in found if path.name[0] != "."
        }


def own_tests(module: str) -> list[str]:
    """What the tests of a module may be called: with the name of its room, or without."""
    path = Path(module)
    return [
        f"tests/unit/test_{path.name}",
        f"tests/unit/test_{path.parent.name}_{path.name}",
    ]


def row_faults(root: Path, row: list[str]) -> Iterator[str]:
    """Links exist; the row's modules are built, its widgets shown, on its pages."""
    pages, modules, tests = (links(cell) for cell in row[:3])
    for path in (*pages, *modules, *tests):
        if not (root / path).exists():
            yield f"the map names {path}, which does not exist"
    for module in (path for path in modules if (root / path).is_file()):
        text = (root / module).read_text(encoding="utf-8")
        built = [page for page in homes(text) if (root / page).exists()]
        if built and not set(built) & set(pages):
            yield f"{module} is built in {built}, but its row names {pages}"
        if not set(tests) & set(own_tests(module)):
            yield f"the row of {module} does not name {own_tests(module)[0]}"
    texts = [
        (root / page).read_text(encoding="utf-8")
        for page in pages
        if (root / page).exists()
    ]
    for widget in re.findall(r"`(\w+)`", row[3]):
        if pages and not any(widget in text for text in texts):
            yield f"the map puts {widget} on {pages}, which do not show it"
