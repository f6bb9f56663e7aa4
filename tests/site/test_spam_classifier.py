"""The spam classifier in Chromium: typed into, words left out, the threshold moved, against Python's numbers."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from widget_pages import WAYS, Reader, assert_clean, both_themes, site_folder

from llmbook_utils.classify import Classifier, classify, confusion
from llmbook_utils.lora import load_adapter
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets import SpamClassifier
from llmbook_utils.widgets.base import percent
from llmbook_utils.widgets.spam_classifier import held_out, sigmoid

pytestmark = pytest.mark.site

TEXT = "You have won a prize. Call 09061234567 now!"
OTHER = "Shall we meet at seven? I can bring the cake"
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site_folder(
        tmp_path_factory.mktemp("spam"), both_themes(SpamClassifier(TEXT))
    )


@pytest.fixture(scope="module")
def python() -> Callable[[str], float]:
    """The probability that Python gives to a text."""
    model, tokenizer = load_pretrained("mini")
    load_adapter(model, "spam")
    spam = Classifier(model, tokenizer)
    return lambda text: classify(spam, [text])[0].probability


@pytest.fixture(params=WAYS)
def user(request: pytest.FixtureRequest, open_page: Open) -> Reader:
    return Reader(open_page("light", has_touch=request.param == "touch"), request.param)


def verdict(page: Page) -> Locator:
    return page.locator(".bw-sc-verdict")


def word(page: Page, text: str) -> Locator:
    return page.locator(".bw-sc-word", has_text=text)


def load(page: Page) -> None:
    page.locator(".bw-model").get_by_role("button", name="Load the model").click()
    expect(page.locator(".bw-model")).to_contain_text(
        "runs in this page", timeout=60_000
    )


def test_the_stored_verdict_shows_at_once_and_a_word_can_go(user: Reader) -> None:
    page, stored = user.page, SpamClassifier(TEXT).odds
    expect(verdict(page)).to_have_text(f"Spam: {percent(sigmoid(stored[0]))}")
    expect(word(page, "09061234567")).to_have_class("bw-button bw-sc-word bw-sc-spam")
    number = TEXT.split().index("09061234567")
    user.press(word(page, "09061234567"))
    expect(verdict(page)).to_contain_text(percent(sigmoid(stored[1 + number])))
    expect(word(page, "09061234567")).to_have_attribute("aria-pressed", "true")
    # what the other words do now has to be computed
    expect(page.get_by_text("the model has to compute it")).to_be_visible()
    user.press(page.get_by_role("button", name="Put all words back"))
    expect(verdict(page)).to_have_text(f"Spam: {percent(sigmoid(stored[0]))}")
    assert not any("safetensors" in url for url in page.log.requests)


def test_a_message_of_the_reader_s_own(
    open_page: Open, python: Callable[[str], float]
) -> None:
    page = open_page("light")
    load(page)
    page.get_by_label("A message").fill(OTHER)
    expect(verdict(page)).to_contain_text("Not spam", timeout=30_000)
    summary = page.locator(".bw-summary[aria-live]")
    expect(summary).to_contain_text("The word that counts most", timeout=30_000)
    shown = float(summary.inner_text().split("probability of ")[1].split(" %")[0])
    # the page's weights have 8 bits
    assert logit(shown / 100) == pytest.approx(logit(python(OTHER)), abs=0.6)
    for text in ("Shall", "cake"):
        word(page, text).click()
    rest = "we meet at seven? I can bring the"
    expect(summary).to_contain_text("without 2 words", timeout=30_000)
    shown = float(summary.inner_text().split("probability of ")[1].split(" %")[0])
    assert logit(shown / 100) == pytest.approx(logit(python(rest)), abs=0.6)
    page.get_by_label("A message").fill("")
    expect(summary).to_have_text("There is no message: type a word or more.")


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_the_threshold_divides_the_test_messages_as_python_does(user: Reader) -> None:
    page, tested = user.page, held_out()
    slider = page.get_by_role("slider", name="Called spam from")
    slider.focus()
    for key, at in (("ArrowRight", 0.1), ("End", 7.0), ("Home", -7.0)):
        page.keyboard.press(key)
        limit = sigmoid(at)
        found = confusion(
            tested["labels"], [sigmoid(o) >= limit for o in tested["odds"]]
        )
        cells = page.locator(".bw-sc-table button").all_inner_texts()
        assert cells == [
            f"{found.true_positives:,}",
            f"{found.false_negatives:,}",
            f"{found.false_positives:,}",
            f"{found.true_negatives:,}",
        ]
        expect(slider).to_have_attribute("aria-valuetext", percent(limit))
        numbers = page.locator(".bw-tiles b").all_inner_texts()
        assert numbers[1] == percent(found.recall)
        assert numbers[2] == f"{found.f1:.3f}"
    user.press(page.get_by_role("button", name="spam that is found"))
    first = page.locator(".bw-sc-message").first
    text = first.inner_text()
    assert tested["labels"][tested["texts"].index(text)] == 1
    user.press(first)
    expect(page.get_by_label("A message")).to_have_value(text)
    expect(verdict(page)).to_have_text("No verdict yet")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wrong_for_assistive_technology(open_page: Open, theme: str) -> None:
    assert_clean(open_page(theme))
