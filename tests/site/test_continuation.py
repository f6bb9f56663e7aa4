"""The front page: the model continues the reader's words, on a phone and with the keyboard."""

from collections.abc import Callable

import pytest
from browser import Stopwatch
from playwright.sync_api import Locator, Page, Route, expect

pytestmark = pytest.mark.site

PROMPT = "The bear said to the little girl"
WEIGHTS = "mini.safetensors"


def story(page: Page) -> Locator:
    return page.locator(".bw-story")


def finished(page: Page) -> str:
    """What was written, when it is whole."""
    expect(story(page)).to_have_attribute("aria-busy", "false", timeout=20_000)
    return story(page).inner_text()


def words(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Your words")


def button(page: Page, name: str) -> Locator:
    return page.locator(".bw").get_by_role("button", name=name)


@pytest.fixture
def front(new_page: Callable[..., Page]) -> Callable[..., Page]:
    """The front page with a widget that works; options are those of a browser context."""

    def opened(**options: object) -> Page:
        page = new_page(**options)
        page.goto("intro.html")
        expect(page.locator(".bw-mount")).to_have_attribute("data-bw-ready", "1")
        return page

    return opened


def asked_for(page: Page, name: str) -> int:
    return sum(name in url for url in page.log.requests)


def test_a_reader_with_a_phone_gets_a_continuation(front: Callable[..., Page]) -> None:
    page = front(has_touch=True, viewport={"width": 390, "height": 844})
    example = finished(page)
    assert example.startswith('"I am never late," said the rabbit,')
    assert asked_for(page, WEIGHTS) == 0, "nothing is loaded before it is asked for"
    words(page).tap()
    words(page).fill(PROMPT)
    button(page, "Continue").tap()
    expect(story(page)).to_contain_text(PROMPT, timeout=20_000)
    written = finished(page)
    assert written.startswith(PROMPT)
    assert len(written) > len(PROMPT) + 100
    expect(page.locator(".bw-summary")).to_contain_text(
        "76 tokens, drawn with seed 12."
    )
    button(page, "Another one").tap()
    expect(page.locator(".bw-summary")).to_contain_text("seed 13.", timeout=20_000)
    assert finished(page) != written
    assert asked_for(page, WEIGHTS) == 1
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "the page must not scroll sideways"
    assert page.log.outside == page.log.missing == page.log.console == []


def test_a_press_always_brings_something_new(front: Callable[..., Page]) -> None:
    page = front(viewport={"width": 1280, "height": 800})
    seen = [finished(page)]
    for seed in (13, 14):  # the words stay, the draw changes
        button(page, "Continue").click()
        expect(page.locator(".bw-summary")).to_contain_text(
            f"seed {seed}.", timeout=20_000
        )
        seen.append(finished(page))
    words(page).fill(PROMPT)
    button(page, "Continue").click()
    expect(story(page)).to_contain_text(PROMPT, timeout=20_000)
    expect(page.locator(".bw-summary")).to_contain_text("seed 14.", timeout=20_000)
    assert len({*seen, finished(page)}) == 4


def test_the_keyboard_is_enough_and_the_page_stays_free(
    front: Callable[..., Page],
) -> None:
    page = front(viewport={"width": 1280, "height": 800})
    words(page).focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("“Well,” said the wolf — and")
    page.keyboard.press("Control+Enter")
    expect(story(page)).to_contain_text("said the wolf", timeout=20_000)
    finished(page)
    expect(page.locator(".bw-notes")).to_contain_text("Curly quotes")

    def another_one() -> None:
        button(page, "Another one").focus()
        page.keyboard.press("Enter")
        expect(story(page)).to_have_attribute("aria-busy", "true")
        finished(page)

    n_tokens = 76
    assert Stopwatch(page).milliseconds(another_one) / n_tokens < 12


def test_what_was_written_stays_when_the_model_does_not_come(
    front: Callable[..., Page],
) -> None:
    page = front(viewport={"width": 1280, "height": 800})
    example = finished(page)

    def refuse(route: Route) -> None:
        route.fulfill(status=503, body="")

    page.context.route(f"**/{WEIGHTS}*", refuse)
    words(page).fill(PROMPT)
    button(page, "Continue").click()
    bar = page.locator(".bw-model")
    expect(bar).to_contain_text("could not be loaded", timeout=20_000)
    expect(bar).to_contain_text("503")
    assert story(page).inner_text() == example
    page.context.unroute(f"**/{WEIGHTS}*")
    button(page, "Try again").click()
    expect(story(page)).to_contain_text(PROMPT, timeout=20_000)
    assert finished(page).startswith(PROMPT)


def test_no_words_is_said_and_stopping_is_possible(front: Callable[..., Page]) -> None:
    page = front(viewport={"width": 1280, "height": 800})
    example = finished(page)
    words(page).fill("")
    button(page, "Continue").click()
    expect(page.locator(".bw-notes")).to_contain_text(
        "there is no text", timeout=20_000
    )
    assert story(page).inner_text() == example
    words(page).fill(PROMPT)
    page.evaluate(
        """() => {
            const named = (name) => [...document.querySelectorAll(".bw button")]
                .find((button) => button.textContent === name);
            const story = document.querySelector(".bw-story span + span");
            new MutationObserver(() => named("Stop").click())
                .observe(story, { childList: true });
            named("Continue").click();
        }"""
    )
    expect(page.locator(".bw-summary")).to_contain_text("You stopped it.")
    assert PROMPT in finished(page)
