"""Each entry of Appendix B leads back to where it is cited."""

from back_links import CITED, REFERENCES, label, with_back_links
from book import PAGES
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sync_code import sync_references

ENTRY = "../appendices/b-references.md#gage-1994-a-new-algorithm"
TEXT = (
    "# References\n\n## 2 Text\n\n### Gage 1994: A New Algorithm\n\nPairs of bytes.\n"
)


def page(*sources):
    return new_notebook(cells=[new_markdown_cell(source) for source in sources])


def cited(text):
    return [line for line in text.splitlines() if line.startswith(CITED)]


def test_an_entry_names_the_sections_that_cite_it_in_the_book_s_order():
    two = page(
        "# 2 Text",
        f"## 2.5 Pairs\n\n### 2.5.1 By `hand`\n\nAs in [Gage]({ENTRY}), and [again]({ENTRY}).",
        f"### Deeper: More (3 min)\n\n[Gage]({ENTRY}).",
        f"## Where to read on\n\n[Gage]({ENTRY}).",
    )
    two.cells.append(new_code_cell(f"# [no citation]({ENTRY})"))
    d = page("# Appendix D Bells", f"## D.1 Warm\n\n[Gage]({ENTRY}).")
    text = with_back_links(
        TEXT, [("chapters/02.ipynb", two), ("appendices/d.ipynb", d)]
    )
    assert cited(text) == [
        f"{CITED}[2.5.1](../chapters/02.ipynb#251-by-hand), "
        "[2.5, deeper](../chapters/02.ipynb#deeper-more-3-min), "
        "[chapter 2](../chapters/02.ipynb#where-to-read-on), "
        "[D.1](../appendices/d.ipynb#d1-warm)."
    ]
    # written again from pages that cite it no more, it is as it was
    assert with_back_links(text, [("chapters/02.ipynb", page("# 2 Text"))]) == TEXT


def test_a_label_is_a_number_or_nothing():
    titles = [
        "2.5.1 Pairs",
        "5 Pretraining",
        "Appendix A Torch",
        "A.2 Tensors",
        "A ladder",
    ]
    assert [*map(label, titles)] == ["2.5.1", "chapter 5", "Appendix A", "A.2", None]


def test_every_entry_is_cited():
    references = next(one for one in PAGES if one.path == REFERENCES)
    entries = [one for one in references.sections if one.level == 3]
    assert entries
    assert [one.title for one in entries if CITED not in one.text] == []


def test_the_back_links_are_up_to_date():
    assert not sync_references(check=True), "run: make sync"
