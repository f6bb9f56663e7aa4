"""How pages and library must agree on code: each check yields faults."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from book import Page, tags
from sync_code import definitions, library_text, named_in
from table_of_contents import FIXED

# what pages may import before it is built, named there as a black box
BLACK_BOXES = {
    # chapter 2 reads GPT-2's vocabulary before a deeper part shows how
    ("tokenizer", "get_encoding"),
    ("pretrained", "load_pretrained"),
    # 5.3 draws with the book's numbers from the start; a deeper part shows how they are made
    ("generate", "uniform_numbers"),
    # chapter 3's class has them in its signature, chapter 4 builds them
    ("config", "GPTConfig"),
    ("cache", "LayerCache"),
    # section 5.2 shows the loop, Appendix D what a longer run needs
    ("train", "History"),
    ("train", "add_gradients"),
    ("train", "batches_of_steps"),
    ("train", "count_steps"),
}
# pages that use the whole book: they are read at any time
AT_ANY_TIME = {"intro.ipynb", "appendices/c-exercise-solutions.ipynb"}
PAGE = re.compile(r"\b(?:chapters|appendices)/[\w.-]+\.(?:ipynb|md)")


@dataclass(frozen=True)
class Built:
    """One definition in a `lib:` cell of a page."""

    page: str
    module: str
    name: str


def built(pages: list[Page]) -> list[Built]:
    """List what the pages' `lib:` cells define, in the pages' order."""
    return [
        Built(page.path, tag.removeprefix("lib:"), name)
        for page in pages
        for cell in page.code
        for tag in tags(cell)
        if tag.startswith("lib:")
        for name in named_in(cell.source)
    ]


def text_faults(page: Page, library: dict[str, str]) -> Iterator[str]:
    """Each `lib:` cell holds exactly the library's text."""
    for cell in page.code:
        for module in (tag[4:] for tag in tags(cell) if tag.startswith("lib:")):
            try:
                same = (
                    library_text(named_in(cell.source), library[module]) == cell.source
                )
            except (KeyError, ValueError) as error:
                yield f"cell {cell.id}, lib:{module}: {error}"
                continue
            if not same:
                yield f"cell {cell.id} is not the text of {module}.py; run: make sync"


def homes(source: str) -> list[str] | None:
    """List the pages that a module says it is built in; None if it does not say."""
    docstring = " ".join((ast.get_docstring(ast.parse(source)) or "").split())
    if "Not built on a page" in docstring:
        return []
    return PAGE.findall(docstring.partition("Built in")[2]) or None


def building_faults(pages: list[Page], library: dict[str, str]) -> Iterator[str]:
    """Each definition, private ones and constants too, is built on one of its pages."""
    places = built(pages)
    existing = {page.path for page in pages}
    for module, source in library.items():
        named = homes(source)
        if named is None:
            yield f'{module} says neither "Built in <page>." nor "Not built on a page."'
            continue
        for page in set(named) - set(FIXED):
            yield f"{module} names the unknown page {page}"
        for page in {one.page for one in places if one.module == module} - set(named):
            yield f"{module} is built in {page}, but its docstring does not say so"
        for name in definitions(source) if named else ():
            on = [
                one.page for one in places if (one.module, one.name) == (module, name)
            ]
            if len(on) > 1:
                yield f"{module}.{name} is built {len(on)} times: {on}"
            if not on and existing.issuperset(named):
                yield f"{module}.{name} is built on no page; tag a cell lib:{module}"


def imports(page: Page) -> Iterator[tuple[str, str]]:
    """List what a page imports from the library as (module, name)."""
    for node in (inner for outer in page.syntax for inner in ast.walk(outer)):
        if isinstance(node, ast.ImportFrom) and node.module == "llmbook_utils":
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            top, _, module = node.module.partition(".")
            if top == "llmbook_utils":
                yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            names = (alias.name.partition(".") for alias in node.names)
            yield from (
                (module, "") for top, _, module in names if top == "llmbook_utils"
            )


def import_faults(pages: list[Page], library: dict[str, str]) -> Iterator[str]:
    """A page imports only what earlier pages built, and what is built on no page."""
    known: set[tuple[str, str]] = set(BLACK_BOXES)
    for page in pages:
        for module, name in imports(page):
            module = module.partition(".")[0]
            if module not in library:
                yield f"{page.path} imports {module}, which does not exist"
            elif page.path in AT_ANY_TIME or homes(library[module]) == []:
                continue
            elif not name:
                yield f"{page.path} imports all of {module}; import names from it"
            elif (module, name) not in known:
                yield f"{page.path} imports {module}.{name}; no earlier page built it"
        known |= {(one.module, one.name) for one in built([page])}
