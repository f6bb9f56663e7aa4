"""The code that a page shows is the code that the library ships."""

import pytest
from book import NOTEBOOKS, PAGES, ROOT
from book_code import building_faults, built, import_faults, text_faults

MODULES = [
    *ROOT.glob("llmbook_utils/[!_]*.py"),
    *ROOT.glob("llmbook_utils/*/__init__.py"),
]
LIBRARY = {
    (path.parent.name if path.stem == "__init__" else path.stem): path.read_text(
        "utf-8"
    )
    for path in MODULES
}


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.path)
def test_pages_show_the_librarys_text(page):
    assert not list(text_faults(page, LIBRARY))


def test_every_definition_is_built_on_one_page():
    faults = list(building_faults(PAGES, LIBRARY))
    assert not faults, "\n".join(faults)


def test_pages_import_only_what_earlier_pages_built():
    faults = list(import_faults(NOTEBOOKS, LIBRARY))
    assert not faults, "\n".join(faults)


def test_something_is_built():
    assert built(NOTEBOOKS), "no page has a lib: cell"
