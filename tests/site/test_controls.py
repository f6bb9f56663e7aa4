"""What a reader operates on a page besides its widgets: search, theme, folds, downloads, navigation, the 404 page."""

import json
import re
from collections.abc import Callable
from html import unescape
from itertools import pairwise
from pathlib import Path

import build_site
import pytest
from site_files import target

pytestmark = pytest.mark.site

PAGES = list(build_site.pages())
NOTEBOOK = next(page for page in PAGES if (build_site.ROOT / f"{page}.ipynb").exists())
CHAPTER = next(page for page in PAGES if page.startswith("chapters/"))
HEADING = re.compile(r"<h1>(.*?)<")
NEXT = re.compile(r'<a class="right-next"\s+href="([^"]+)"')
THEME = "document.documentElement.dataset.theme"
MODE = "document.documentElement.dataset.mode"


def test_the_bare_address_leads_to_the_front_page(page: object) -> None:
    page.goto("")
    page.wait_for_url(f"**/{PAGES[0]}.html")
    assert page.log.missing == page.log.outside == []


def test_the_search_dialog_opens_by_keyboard_and_finds(page: object) -> None:
    page.goto(f"{CHAPTER}.html")
    page.keyboard.press("Control+k")
    page.locator("#pst-search-dialog input").fill("language models")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=language+models*")
    page.locator(f"#search-results li a[href*='{CHAPTER}.html']").first.wait_for()
    assert page.log.console == page.log.outside == []


def test_search_finds_each_page_by_its_words(page: object, site: Path) -> None:
    page.goto("search.html?q=attention")
    page.locator("#search-results li").first.wait_for()
    for name in PAGES:
        title = HEADING.search((site / f"{name}.html").read_text(encoding="utf-8"))[1]
        words = [word for word in unescape(title).split()[-4:] if word.isalpha()]
        page.locator("main form.bd-search input").fill(" ".join(words))
        page.locator(f"#search-results li a[href*='{name}.html']").first.wait_for()
    assert page.log.console == page.log.outside == []


def test_the_theme_switch_works_by_keyboard(page: object) -> None:
    page.goto(f"{PAGES[0]}.html")
    switch = page.get_by_role("button", name="Color mode")
    switch.focus()
    seen = {page.evaluate(MODE): page.evaluate(THEME)}
    for _ in range(2):
        page.keyboard.press("Enter")
        seen[page.evaluate(MODE)] = page.evaluate(THEME)
    assert seen == {"auto": "light", "light": "light", "dark": "dark"}
    while page.evaluate(MODE) != "dark":
        page.keyboard.press("Space")
    page.goto(f"{PAGES[-1]}.html")
    assert page.evaluate(THEME) == "dark"


def test_the_download_button_gives_the_notebook(page: object) -> None:
    page.goto(f"{NOTEBOOK}.html")
    page.get_by_role("button", name="Download this page").focus()
    page.keyboard.press("Enter")
    link = page.locator("a.btn-download-source-button")
    link.wait_for(state="visible")
    answer = page.request.get(link.evaluate("a => a.href"))
    assert answer.ok
    assert json.loads(answer.text())["nbformat"] == 4


def test_folded_code_opens_by_keyboard(page: object) -> None:
    page.goto(f"{CHAPTER}.html")
    fold = page.locator("article details.hide").first
    assert fold.get_attribute("open") is None
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    assert fold.locator("pre").first.is_visible()


def test_the_skip_link_comes_first_and_skips(page: object) -> None:
    page.goto(f"{PAGES[0]}.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to main content"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main-content")


def test_the_narrow_page_has_its_navigation_behind_a_button(
    new_page: Callable[..., object],
) -> None:
    page = new_page(viewport={"width": 390, "height": 800})
    page.goto(f"{PAGES[0]}.html")
    entry = page.get_by_role("navigation", name="Main").get_by_role("link").last
    assert not entry.is_visible()
    page.locator(".primary-toggle:visible").first.click()
    entry.wait_for(state="visible")
    entry.click()
    page.wait_for_url(f"**/{PAGES[-1]}.html")


def test_next_leads_through_the_whole_book(page: object, site: Path) -> None:
    for name, following in pairwise(f"{page}.html" for page in PAGES):
        link = NEXT.search((site / name).read_text(encoding="utf-8"))[1]
        assert target(site, name, link) == (site / following, "")
    page.goto(f"{PAGES[-2]}.html")
    page.locator("a.right-next").click()
    page.wait_for_url(f"**/{PAGES[-1]}.html")
    assert page.locator("a.right-next").count() == 0


@pytest.mark.parametrize(
    "address", ["no-such-page.html", "chapters/no-such-page.html", "a/b/c/"]
)
def test_a_wrong_address_gets_a_page_that_helps(
    page: object, site_url: str, address: str
) -> None:
    answer = page.goto(address)
    assert answer.status == 404
    assert page.log.missing == [f"404 {page.url}"]
    assert (
        page.locator("article h1").inner_text().startswith("This page does not exist")
    )
    assert (
        page.evaluate(
            "getComputedStyle(document.querySelector('.bd-article')).paddingTop"
        )
        != "0px"
    )
    page.get_by_role("link", name="front page").click()
    page.wait_for_url(f"{site_url}{PAGES[0]}.html")
    page.go_back()
    page.get_by_role("link", name="search the book").click()
    page.wait_for_url(f"{site_url}search.html")
