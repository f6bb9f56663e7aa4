"""Deeper parts and solutions on the site: closed at first, opened by links, searches, print and the switch, and without scripts."""

import re

import build_site
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.site

TALLEST = 45_000  # px at 1280, with deeper parts closed
PAGE = "chapters/05-pretraining-on-unlabeled-data.html"
CHAPTERS = [
    f"{page}.html" for page in build_site.pages() if page.startswith("chapters/")
]
SWITCH = "Open all deeper parts of this page"


def test_deeper_parts_are_closed_and_say_what_they_are_for(page: Page) -> None:
    page.goto(PAGE)
    part = page.locator("section.deeper-part").first
    expect(part.get_by_role("heading")).to_be_visible()
    expect(part.locator("> p")).to_be_visible()
    expect(part.locator("div.cell").first).to_be_hidden()


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_a_deeper_part_opens_and_closes(page: Page, way: str) -> None:
    page.goto(PAGE)
    part = page.locator("section.deeper-part").first
    summary, cell = part.locator("summary").first, part.locator("div.cell").first
    for shown, words in ((True, "Close this part"), (False, "Read this part")):
        if way == "mouse":
            summary.click()
        else:
            summary.press("Enter")
        expect(cell).to_be_visible(visible=shown)
        expect(summary).to_have_text(words, use_inner_text=True)


def test_a_deeper_part_opens_without_scripts(new_page: object) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(PAGE)
    part = page.locator("section.deeper-part").first
    part.locator("summary").first.click()
    expect(part.locator("div.cell").first).to_be_visible()
    expect(page.get_by_text(SWITCH)).to_have_count(0)


def test_a_link_into_a_deeper_part_opens_it(page: Page) -> None:
    page.goto(PAGE)
    anchor = page.locator("section.deeper-part").nth(1).get_attribute("id")
    page.goto(f"{PAGE}#{anchor}")
    opened = page.locator("section.deeper-part").nth(1)
    expect(opened.locator("div.cell").first).to_be_visible()
    expect(opened).to_be_in_viewport()
    expect(
        page.locator("section.deeper-part").first.locator("div.cell").first
    ).to_be_hidden()


def test_a_search_hit_in_a_deeper_part_opens_it(page: Page) -> None:
    page.goto(f"{PAGE}?highlight=unigram")
    hit = page.locator("details.deeper span.highlighted").first
    expect(hit).to_be_visible()
    expect(
        page.locator("section.deeper-part").first.locator("div.cell").first
    ).to_be_hidden()


def test_the_switch_opens_all_and_is_remembered(page: Page) -> None:
    page.goto(PAGE)
    switch = page.get_by_role("button", name=SWITCH)
    expect(switch).to_have_attribute("aria-pressed", "false")
    switch.press("Enter")
    closed = page.locator("details.deeper:not([open])")
    expect(closed).to_have_count(0)
    page.reload()
    switch = page.get_by_role("button", name="Close all deeper parts of this page")
    expect(switch).to_have_attribute("aria-pressed", "true")
    expect(closed).to_have_count(0)
    switch.click()
    page.reload()
    expect(page.locator("details.deeper[open]")).to_have_count(0)


def test_print_shows_everything(page: Page) -> None:
    page.goto(PAGE)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("details.deeper:not([open])")).to_have_count(0)
    expect(page.locator("details.hide:not([open])")).to_have_count(0)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("details.deeper[open]")).to_have_count(0)


def test_a_prediction_is_answered_when_asked(page: Page) -> None:
    page.goto(PAGE)
    folded = page.locator("details.hide.below-input").first
    output = folded.locator(".cell_output")
    expect(output).to_be_hidden()
    folded.get_by_text("Show what it prints").click()
    expect(output).to_be_visible()


def test_sections_say_their_minutes(page: Page) -> None:
    page.goto(PAGE)
    expect(page.locator("h2", has_text="5.2 Training an LLM")).to_contain_text(" min")
    expect(page.locator("h2", has_text="Summary")).not_to_contain_text(" min")


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_is_no_taller_than_it_may_be(page: Page, name: str) -> None:
    page.goto(name)
    assert page.evaluate("document.documentElement.scrollHeight") <= TALLEST


SOLUTIONS = "appendices/c-exercise-solutions.html"


def test_a_solution_is_closed_and_leads_back_to_its_exercise(page: Page) -> None:
    page.goto(SOLUTIONS)
    part = page.locator("section.deeper-part").first
    expect(part.get_by_role("heading")).to_be_visible()
    expect(part.locator("div.cell").first).to_be_hidden()
    part.get_by_text("Read this solution").click()
    expect(part.locator("div.cell").first).to_be_visible()
    title = part.get_by_role("heading").inner_text().removesuffix("#")
    part.get_by_role("link", name="Back to the exercise").click()
    page.wait_for_url(re.compile(r"chapters/.*#exercise-"))
    anchor = page.url.partition("#")[2]
    exercise = page.locator(f"#{anchor}").get_by_role("heading").first
    expect(exercise).to_contain_text(title)


def test_all_solutions_open_by_one_switch_which_is_no_other_page_s(page: Page) -> None:
    page.goto(SOLUTIONS)
    page.get_by_role("button", name="Open all solutions of this page").click()
    expect(page.locator("section.deeper-part div.cell").last).to_be_visible()
    page.reload()
    expect(page.locator("section.deeper-part div.cell").last).to_be_visible()
    page.goto(PAGE)
    part = page.locator("section.deeper-part").first
    expect(part.locator("div.cell").first).to_be_hidden()


def test_a_link_to_a_solution_opens_it(page: Page) -> None:
    page.goto(f"{SOLUTIONS}#exercise-3-5-softmax-that-survives")
    part = page.locator("#exercise-3-5-softmax-that-survives")
    expect(part.locator("div.cell").first).to_be_visible()
    expect(part).to_be_in_viewport()
