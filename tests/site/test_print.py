"""The print edition: everything that is folded on the site stands on paper, within the margins, on the page that the contents say."""

import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import build_pdf
import build_site
import pytest
from build_pdf import BOOK, MARGINS, PAPERS, Printed, address, links
from playwright.sync_api import Browser, Page, expect
from pypdf import PageObject, PdfReader
from pypdf.generic import DictionaryObject

pytestmark = pytest.mark.site

APPENDIX, SOURCES = "appendices/e-lora", "appendices/b-references"
FALLBACKS = """() => [...document.querySelectorAll(".bw-fallback")].map(e => {
  for (const hidden of e.querySelectorAll("summary")) hidden.remove();
  return e.textContent.trim();
})"""
# what is closed on the site: deeper parts with their code, hints, outputs that a reader is to predict
CLOSED = """() => [...document.querySelectorAll("details.deeper p, article section > details:not([class]) p, details.hide .cell_output pre")]
  .map(e => e.textContent.trim()).filter(text => text.length > 20 && !/[^\\x20-\\x7e\\n’“”–]/.test(text))"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pdf")


@pytest.fixture(scope="module")
def printed(folder: Path, site: Path, browser: Browser) -> list[Printed]:
    return build_pdf.build(folder, [APPENDIX, SOURCES], site, browser=browser)


@pytest.fixture(scope="module")
def book(folder: Path, printed: list[Printed]) -> PdfReader:
    return PdfReader(folder / BOOK)


@pytest.fixture(scope="module")
def paper(printed: list[Printed]) -> str:
    """All text of the appendix on paper."""
    return text_of(PdfReader(printed[0].path).pages)


def letters(text: str) -> str:
    """A text without spaces and ligatures, which a PDF has otherwise than the page."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


def text_of(pages: list[PageObject]) -> str:
    return letters("".join(page.extract_text() for page in pages))


def fonts(page: PageObject) -> Iterator[DictionaryObject]:
    for font in page["/Resources"].get("/Font", {}).values():
        found = font.get_object()
        yield from (one.get_object() for one in found.get("/DescendantFonts", [found]))


def embedded(font: DictionaryObject) -> bool:
    described = font.get("/FontDescriptor", DictionaryObject())
    return font["/Subtype"] == "/Type3" or any(
        f"/FontFile{kind}" in described for kind in ("", "2", "3")
    )


def wrong_numbers(printed: list[Printed], book: PdfReader) -> list[str]:
    """Sections that are not on the page that the contents say."""
    labels = book.page_labels
    front = text_of(book.pages[: labels.index("1")])
    faults = []
    for one in printed:
        shown = [(one.title, one.first)]
        shown += [(part.title, part.page) for part in one.contents]
        for title, page in shown:
            there = text_of([book.pages[labels.index(str(page))]])
            if letters(title) not in there or letters(f"{title}{page}") not in front:
                faults.append(f"{title}: {page}")
    return faults


def test_every_page_has_a_file_and_the_book_has_them_all(
    folder: Path, printed: list[Printed], book: PdfReader
) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "b-references.pdf",
        BOOK,
        "e-lora.pdf",
    ]
    counts = [len(PdfReader(one.path).pages) for one in printed]
    assert counts == [one.count for one in printed]
    assert printed[1].first == 1 + counts[0]
    labels = book.page_labels
    assert labels[:2] == ["i", "ii"]
    assert labels[labels.index("1") :] == [str(n + 1) for n in range(sum(counts))]


def test_what_is_closed_on_the_site_stands_on_paper(page: Page, paper: str) -> None:
    page.goto(f"{APPENDIX}.html")
    closed = page.evaluate(CLOSED)
    assert len(closed) > 20
    # a footer may stand between two lines of a text, so its beginning is looked for
    assert [text for text in closed if letters(text)[:40] not in paper] == []


def test_no_widget_is_left_empty(page: Page, paper: str) -> None:
    page.goto(f"{APPENDIX}.html")
    fallbacks = page.evaluate(FALLBACKS)
    assert len(fallbacks) > 1
    assert [text for text in fallbacks if letters(text)[:40] not in paper] == []


def test_the_numbers_of_the_contents_are_true(
    printed: list[Printed], book: PdfReader
) -> None:
    assert len(printed[0].contents) > 5
    assert wrong_numbers(printed, book) == []
    own = PdfReader(printed[0].path)
    opening = text_of(own.pages[:1])
    named = [part for part in printed[0].headings if part.level == 2]
    missing = [
        p
        for p in named
        if not re.search(rf"{re.escape(letters(p.title))}{p.page}\D?", opening)
    ]
    assert missing == []
    assert [
        p.title
        for p in named
        if letters(p.title) not in text_of([own.pages[p.page - 1]])
    ] == []


def test_a_wrong_number_is_noticed(printed: list[Printed], book: PdfReader) -> None:
    part = printed[0].contents[3]
    part.page += 1
    try:
        assert wrong_numbers(printed, book) == [f"{part.title}: {part.page}"]
    finally:
        part.page -= 1


def test_fonts_are_embedded(book: PdfReader) -> None:
    found = [font for page in book.pages for font in fonts(page)]
    assert found
    assert [font["/BaseFont"] for font in found if not embedded(font)] == []


def test_nothing_stands_beyond_the_margin(printed: list[Printed]) -> None:
    assert {one.name: one.too_wide for one in printed} == {APPENDIX: [], SOURCES: []}


def test_what_is_too_wide_is_found(page: Page) -> None:
    page.set_viewport_size({"width": PAPERS["A4"][0] - sum(MARGINS), "height": 800})
    page.goto("course/licenses.html")
    assert build_pdf.beyond(page) == []
    wide = "<table><tr><td style='white-space: nowrap'>" + "wide " * 60
    page.locator("article p").first.evaluate(
        "(e, html) => { e.innerHTML = html }", wide
    )
    assert build_pdf.beyond(page) == [("wide " * 60).strip()]


def test_a_link_to_another_page_leads_there(
    printed: list[Printed], book: PdfReader
) -> None:
    first = book.page_labels.index(str(printed[1].first))
    cited = 0
    for page in book.pages[:first]:
        for link in links(page):
            assert not address(link).startswith("http://127.0.0.1")
            target = link["/Dest"][0].get_object() if "/Dest" in link else None
            cited += target is not None and target in book.pages[first + 1 :]
    assert cited > 3
    alone = [
        address(link) for p in PdfReader(printed[0].path).pages for link in links(p)
    ]
    assert [uri for uri in alone if uri.startswith("http://127.0.0.1")] == []


def test_bookmarks_lead_to_the_sections(
    printed: list[Printed], book: PdfReader
) -> None:
    tops = [entry for entry in book.outline if not isinstance(entry, list)]
    assert [entry["/Title"] for entry in tops] == [one.title for one in printed]
    below = [entry for entry in book.outline[1] if not isinstance(entry, list)]
    named = [part for part in printed[0].headings if part.level == 2]
    labels = book.page_labels
    assert [
        (entry["/Title"], labels[book.get_destination_page_number(entry)])
        for entry in below
    ] == [(part.title, str(part.page)) for part in named]


def test_the_files_say_what_they_are(printed: list[Printed], book: PdfReader) -> None:
    title = build_site.settings()["title"]
    assert book.metadata.title == title
    assert book.trailer["/Root"]["/Lang"] == "en"
    own = PdfReader(printed[0].path)
    assert own.metadata.title == f"{printed[0].title} – {title}"
    assert own.trailer["/Root"]["/Lang"] == "en"
    assert own.trailer["/Root"]["/MarkInfo"]["/Marked"]


def test_addresses_are_printed_where_the_text_does_not_say_them(
    printed: list[Printed],
) -> None:
    paper = text_of(PdfReader(printed[1].path).pages)
    assert "(https://github.com/" in paper
    assert "(https://arxiv.org/" not in paper


def test_the_menu_leads_to_the_file(
    tmp_path: Path, site: Path, folder: Path, printed: list[Printed]
) -> None:
    for one in printed:
        path = tmp_path / f"{one.name}.html"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(site / f"{one.name}.html", path)
    build_pdf.offer(tmp_path, folder, printed)
    text = (tmp_path / f"{APPENDIX}.html").read_text(encoding="utf-8")
    assert "window.print()" not in text
    [href] = re.findall(
        r'<a href="([^"]*)"\s+class="[^"]*btn-download-pdf-button', text
    )
    assert (tmp_path / APPENDIX).parent.joinpath(href).resolve().is_file()
    with pytest.raises(ValueError, match="0 buttons that print"):
        build_pdf.offer(tmp_path, folder, printed)


def test_a_page_that_is_not_there_is_named(tmp_path: Path, site: Path) -> None:
    with pytest.raises(ValueError, match=r"chapters/99: not in _toc\.yml"):
        build_pdf.build(tmp_path, ["chapters/99"], site)


def test_paper_is_white_in_the_dark(new_page: object) -> None:
    page = new_page(color_scheme="dark")
    page.goto("chapters/05b-decoding-strategies.html")
    theme = page.locator("html")
    expect(theme).to_have_attribute("data-theme", "dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(theme).to_have_attribute("data-theme", "light")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(theme).to_have_attribute("data-theme", "dark")


@pytest.mark.weekly
def test_the_whole_book(tmp_path: Path, site: Path, browser: Browser) -> None:
    printed = build_pdf.build(tmp_path / "pdf", None, site, browser=browser)
    assert [one.name for one in printed] == list(build_site.pages())
    assert {one.name: one.too_wide for one in printed if one.too_wide} == {}
    book = PdfReader(tmp_path / "pdf" / BOOK)
    assert wrong_numbers(printed, book) == []
    assert all(embedded(font) for page in book.pages for font in fonts(page))
