"""Every page keeps to `book_rules.py` and `form_rules.py`; the glossary and the map keep to the pages."""

import re

import pytest
from book import CHAPTERS, NOTEBOOKS, PAGES, ROOT
from book_glossary import glossary_faults, map_faults
from book_rules import RULES
from form_rules import long_chapters_keep_to_their_time  # its rules are in RULES, too

from llmbook_utils import widgets

DEFINE_TERMS = re.compile(r"chapters/|appendices/[ade]-")


def test_there_is_a_book():
    assert CHAPTERS, "chapters/ has no notebook"
    assert "intro.ipynb" in {page.path for page in NOTEBOOKS}, "there is no front page"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_page(rule, page):
    faults = list(rule(page))
    assert not faults, f"{page.path}: {rule.__doc__}\n" + "\n".join(faults)


def test_a_chapter_in_several_pages_keeps_to_its_time():
    faults = list(long_chapters_keep_to_their_time(NOTEBOOKS))
    assert not faults, "\n".join(faults)
    short = " ".join(long_chapters_keep_to_their_time(NOTEBOOKS, words=10, minutes=20))
    assert "chapter 05 has" in short
    assert "chapter 05 takes" in short


def test_glossary():
    glossary = [page for page in PAGES if page.path == "course/glossary.md"]
    assert glossary, "there is no course/glossary.md"
    defining = [page for page in PAGES if DEFINE_TERMS.match(page.path)]
    faults = list(glossary_faults(defining, glossary[0]))
    assert not faults, "\n".join(faults)


def test_map():
    named = {name: getattr(widgets, name) for name in widgets.__all__}
    shown = {name for name, item in named.items() if isinstance(item, type)}
    faults = list(map_faults(ROOT, sorted(shown - {"BookWidget"})))
    assert not faults, "\n".join(faults)
