"""The front page: what is above the fold, the widgets' stills and where they lead, and the map."""

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from book_site.front import MINUTES, NUMBER, stage
from bs4 import Tag
from build_site import ROOT
from draw_stills import FOLDER, STILLS
from minutes import ROW
from playwright.sync_api import Page, expect
from site_files import parse, soup, target

PAGE = "intro.html"
# shown on the front page itself, or many times in the text
ELSEWHERE = {"continuation", "quick-question", "by-hand"}
IN_VIEW = """e => {
  const { top, bottom, left, right } = e.getBoundingClientRect();
  return e.checkVisibility() && top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth;
}"""


def cards(site: Path) -> list[Tag]:
    return soup(site / PAGE).select("ul.front-strip > li")


def name_of(card: Tag) -> str:
    return Path(card.img["src"]).stem


def rows() -> list[str]:
    notebook = nbformat.read(ROOT / "intro.ipynb", as_version=4)
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    return re.findall(r"^\| \[.*\|$", text, re.MULTILINE)


@pytest.mark.parametrize("size", [(1280, 800), (1440, 900)])
def test_above_the_fold_are_a_sentence_the_live_model_and_two_ways_in(
    new_page: Callable[..., Page], size: tuple[int, int]
) -> None:
    page = new_page(viewport=dict(zip(("width", "height"), size, strict=True)))
    page.goto(PAGE)
    expect(page.locator(".bw-mount")).to_have_attribute("data-bw-ready", "1")
    seen = ["article h1", ".front-lead", ".bw-story", ".bw textarea"]
    for element in [
        *seen,
        ".bw button >> nth=0",
        *(f".front-buttons a >> nth={i}" for i in (0, 1)),
    ]:
        assert page.locator(element).first.evaluate(IN_VIEW), element


def test_a_phone_shows_the_sentence_and_both_ways_in(
    new_page: Callable[..., Page],
) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    page.goto(PAGE)
    for element in (
        ".front-lead",
        ".front-buttons a >> nth=0",
        ".front-buttons a >> nth=1",
    ):
        assert page.locator(element).first.evaluate(IN_VIEW), element


def test_the_two_ways_lead_to_chapter_1_and_to_the_widgets(site: Path) -> None:
    start, play = soup(site / PAGE).select(".front-buttons a")
    path, _ = target(site, PAGE, start["href"])
    assert path.stem.startswith("01-")
    assert (
        soup(site / PAGE).find(id=play["href"].removeprefix("#")).select(".front-strip")
    )


@pytest.mark.parametrize("name", STILLS)
def test_a_still_leads_to_the_section_with_its_widget(site: Path, name: str) -> None:
    card = next(card for card in cards(site) if name_of(card) == name)
    links = {link["href"] for link in card.select("a")}
    assert len(links) == 1
    path, anchor = target(site, PAGE, links.pop())
    section = parse(path).find(id=anchor)
    assert section.name == "section"
    assert section.select(f'.bw-mount[data-bw-module="{name}"]')


def test_every_widget_of_the_book_has_a_still(site: Path) -> None:
    pages = [path for path in site.glob("*/*.html") if path.parent.name[0] != "_"]
    shown = {m["data-bw-module"] for p in pages for m in soup(p).select(".bw-mount")}
    assert {name_of(card) for card in cards(site)} == set(STILLS) == shown - ELSEWHERE


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_still_follows_the_theme(new_page: Callable[..., Page], theme: str) -> None:
    page = new_page(viewport={"width": 1280, "height": 800}, color_scheme=theme)
    page.goto(PAGE)
    page.locator(".front-strip").scroll_into_view_if_needed()
    for picture in page.locator(f".front-strip img.only-{theme}").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_be_visible()
        page.wait_for_function("e => e.naturalWidth > 0", arg=picture.element_handle())
    other = "light" if theme == "dark" else "dark"
    expect(page.locator(f".front-strip img.only-{other}").first).to_be_hidden()
    wanted = [url for url in page.log.requests if "/stills/" in url]
    assert len(wanted) == len(STILLS)
    assert all(url.endswith("-dark.png") == (theme == "dark") for url in wanted)


def test_the_stills_that_are_shown_are_those_that_are_drawn() -> None:
    drawn = {f"{name}{suffix}.png" for name in STILLS for suffix in ("", "-dark")}
    assert {path.name for path in FOLDER.iterdir()} == drawn
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"_static/stills/([\w-]+\.png)", readme)) <= drawn


def test_the_map_has_a_station_for_each_row_with_its_minutes(site: Path) -> None:
    stations = soup(site / PAGE).select("ul.front-map > li")
    assert len(stations) == len(rows()) >= 14
    for station, row in zip(stations, rows(), strict=True):
        title = re.search(r"\[([^\]]+)\]", row)[1]
        assert station.select_one(".map-title").get_text() == title
        found = MINUTES.search(row.rsplit("|", 2)[1])
        bar = station.select_one(".map-bar")
        assert (bar is None) == (found is None)
        if found:
            drawn = re.findall(r"\d+", bar["style"])
            assert drawn == [found["main"], found["more"] or "0"]


def test_the_ways_to_read_are_cards_with_what_each_needs(site: Path) -> None:
    cards = soup(site / PAGE).select("ul.front-ways > li")
    assert len(cards) == 4
    assert all(len(card.select("p")) == 3 and card.get_text().strip() for card in cards)


def test_each_page_with_minutes_is_on_the_map() -> None:
    measured = [m["page"] for m in map(ROW.match, rows()) if m and MINUTES.search(m[0])]
    assert len(measured) >= 11


def test_a_station_belongs_to_a_part_of_the_road() -> None:
    titles = [
        "1 Understanding",
        "4 A GPT",
        "5.3 Decoding",
        "6 Spam",
        "7 Chat",
        "Appendix E LoRA",
    ]
    numbers = [NUMBER.match(title)["number"] for title in titles]
    assert numbers == ["1", "4", "5.3", "6", "7", "E"]
    assert [*map(stage, numbers)] == [
        "count",
        "build",
        "train",
        "tune",
        "tune",
        "beside",
    ]
    assert NUMBER.match("Glossary") is None and stage("") == "beside"
