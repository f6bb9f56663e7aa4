"""The index: each term of the glossary with the sections that define and use it."""

import re
from pathlib import Path

import pytest
from book_site.search import ENTRY, GLOSSARY
from book_site.terms import PAGE, Place, Term, entry, fill, label, pattern, written
from build_site import ROOT
from site_files import parse, soup, target

PLACES = [
    Place(label, f"p.html#{label}")
    for label in ("2.1", "2.2", "2.3", "3.1", "3.2", "A.1")
]
ORDER = {place.label: at for at, place in enumerate(PLACES)}


def term(name: str, *forms: str, defined: Place = PLACES[0]) -> Term:
    return Term(name, [name.casefold(), *forms], defined)


def used(term: Term) -> list[str]:
    return [place.label for place in term.places]


def place(label: str) -> tuple[bool, str, int]:
    """Where a section stands in the book."""
    chapter, _, section = label.partition(".")
    return chapter.isalpha(), chapter.zfill(2), int(section)


def test_words_are_found_in_both_numbers_and_the_longest_term_wins() -> None:
    head, attention_head, entropy = (
        term("head"),
        term("attention head"),
        term("entropy"),
    )
    texts = [
        "Attention heads.",
        "The head, attention-head",
        "Heads; entropies",
        "headless, ahead",
        "an entropy",
        "",
    ]
    fill([head, attention_head, entropy], zip(PLACES, texts, strict=True))
    assert used(head) == ["2.2", "2.3"]
    assert used(attention_head) == ["2.1", "2.2"]
    assert used(entropy) == ["2.3", "3.2"]


def test_another_name_counts_for_its_term() -> None:
    bpe = term("byte pair encoding", "bpe")
    fill(
        [bpe],
        zip(PLACES, ["BPE", "byte pair encoding", "", "BPEs", "", ""], strict=True),
    )
    assert used(bpe) == ["2.1", "2.2", "3.1"]


def test_sections_in_a_row_are_a_range_within_their_chapter() -> None:
    one = term("token", defined=PLACES[4])
    one.places += [*PLACES[:4], PLACES[5]]
    text = re.sub("<[^>]+>", "", entry(one, ORDER))
    assert text == "token 3.2, 2.1–2.3, 3.1, A.1"
    assert 'class="defines" href="../p.html#3.2"' in entry(one, ORDER)


def test_an_everyday_word_counts_only_where_it_is_explained() -> None:
    value = term("value", defined=PLACES[3])
    fill([value], ((place, "Its values.") for place in PLACES))
    assert used(value) == ["3.1", "3.2"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[2.5](../chapters/02-x.ipynb#25-y)", "2.5"),
        ("[3](../chapters/03-x.ipynb#3-y)", "3"),
        ("[the page](../appendices/e-lora.ipynb#e)", "E"),
        ("[the page](../chapters/05b-decoding.ipynb#d)", "5"),
    ],
)
def test_a_term_is_defined_in_something_with_a_number(line: str, expected: str) -> None:
    text = f"## name\n\nText.\n\nDefined in {line}.\n"
    assert label(ENTRY.search(text)) == expected


def test_the_index_has_a_list_for_each_letter() -> None:
    found = written([term("b"), term("A"), term("bb")], ORDER)
    assert re.findall("<h2>(.)</h2>", found) == ["A", "B"]
    assert pattern(["a"]).findall("a-b an A") == ["A"]


def test_every_term_of_the_glossary_stands_in_the_index(site: Path) -> None:
    glossary = (ROOT / f"{GLOSSARY}.md").read_text(encoding="utf-8")
    names = re.findall(r"^## (.+)$", glossary, re.MULTILINE)
    lines = soup(site / f"{PAGE}.html").select("ul.book-index > li")
    assert len(names) > 150
    assert [line.select_one(".index-term").get_text() for line in lines] == sorted(
        names, key=str.casefold
    )
    # a term is used where it is defined at least
    assert [line.get_text() for line in lines if not line.select("a.defines")] == []
    links = [[link.get_text() for link in line.select("a")[1:]] for line in lines]
    assert sum(bool(found) for found in links) > len(lines) / 2
    # chapters before appendices, and the sections of each in order
    assert [found for found in links if found != sorted(found, key=place)] == []


@pytest.mark.parametrize(
    ("name", "somewhere"),
    [
        ("token", "1.1"),
        ("logits", "4.1"),
        ("batch", "2.6"),
        ("LoRA", "E"),
    ],
)
def test_a_link_leads_to_a_section_that_has_the_term(
    site: Path, name: str, somewhere: str
) -> None:
    line = next(
        line
        for line in soup(site / f"{PAGE}.html").select("ul.book-index > li")
        if line.select_one(".index-term").get_text() == name
    )
    assert any(link.get_text().startswith(somewhere) for link in line.select("a"))
    for link in line.select("a")[1:4]:
        path, anchor = target(site, f"{PAGE}.html", link["href"])
        text = parse(path).find(id=anchor).get_text()
        assert re.search(name.rstrip("s"), " ".join(text.split()), re.IGNORECASE)
