"""The n-gram writer in Chromium: the same counts and draws as Python's, and a reader's hands."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from widget_pages import WAYS, Reader, assert_clean, both_themes, load, site_folder

from llmbook_utils.files.datasets import load_text
from llmbook_utils.generate import uniform_numbers
from llmbook_utils.ngram import (
    count_followers,
    seen_followers,
    split_words,
    write_on,
)
from llmbook_utils.widgets import NgramWriter

pytestmark = pytest.mark.site

STORY = load_text("story")
TABLES = count_followers(split_words(STORY), 3)
BEGINNINGS = [
    "The tortoise looked at the",
    "The tortoise",
    "Ibby looked at the",
    "said Mrs.",
    "zebra",
    "",
    "Ünï — 3\n\n",
]
CALL = """async ([counted, beginnings, seeds]) => {
    const { countFollowers, mostCommon, seenFollowers, splitWords, writeOn } = await import("./views/ngram-math.js");
    const { uniformNumbers } = await import("./engine/sampling.js");
    const tables = countFollowers(splitWords(counted), 3);
    return beginnings.map((text) => {
        const words = splitWords(text);
        const models = [1, 2, 3].map((n) => tables.slice(0, n));
        return [
            words,
            models.map((model) => mostCommon(seenFollowers(model, words).followers)),
            models.map((model) => seeds.map((seed) => writeOn(model, words, 30, uniformNumbers(seed)))),
        ];
    });
}"""
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pages = both_themes(NgramWriter(BEGINNINGS[0], STORY))
    return site_folder(tmp_path_factory.mktemp("ngrams"), pages)


@pytest.fixture(params=WAYS)
def user(request: pytest.FixtureRequest, open_page: Open) -> Reader:
    return Reader(open_page(has_touch=request.param == "touch"), request.param)


def column(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=name, exact=True)


def shows(page: Page, name: str, expected: list[str]) -> None:
    """Wait until a column has these words, in this order; it follows what is typed a little later."""
    drawn = [word.replace(" ", "␣").replace("\n", "⏎") for word in expected]
    expect(column(page, name).locator(".bw-word .bw-token")).to_have_text(drawn)


def common(text: str) -> list[str]:
    """The likeliest words of the trigram model, as Python counts."""
    followers = seen_followers(TABLES, split_words(text))
    return [word for word, _ in followers.most_common(5)]


def beginning(page: Page) -> Locator:
    return page.get_by_role("textbox", name="A beginning")


def test_counts_and_draws_are_those_of_python(open_page: Open) -> None:
    found = open_page().evaluate(CALL, [STORY, BEGINNINGS, [0, 1, 2]])
    for text, (pieces, likely, written) in zip(BEGINNINGS, found, strict=True):
        before = split_words(text)
        assert pieces == before
        for n in (1, 2, 3):
            counted = seen_followers(TABLES[:n], before).most_common(5)
            assert [tuple(pair) for pair in likely[n - 1]] == counted
            for seed in (0, 1, 2):
                draw = partial(next, uniform_numbers(seed))
                assert written[n - 1][seed] == write_on(TABLES[:n], before, 30, draw)


def test_a_word_is_appended_and_the_tables_follow(user: Reader) -> None:
    page = user.page
    shows(page, "trigram", common(BEGINNINGS[0]))
    first = common(BEGINNINGS[0])[0]
    user.press(column(page, "trigram").locator(".bw-word").first)
    expect(beginning(page)).to_have_value(BEGINNINGS[0] + first)
    after = common(BEGINNINGS[0] + first)
    expect(column(page, "trigram").locator(".bw-word")).to_have_count(len(after))
    shows(page, "trigram", after)
    expect(column(page, "mini")).to_contain_text("must be loaded first")


def test_a_reader_types_and_lets_a_model_write(user: Reader) -> None:
    page = user.page
    user.write(beginning(page), "said Mrs. ")
    expect(column(page, "trigram")).to_contain_text("after")
    expect(column(page, "trigram").locator(".bw-word").first).to_contain_text("Dunnage")
    user.press(page.get_by_role("button", name="Let the model trigram write"))
    draw = partial(next, uniform_numbers(1))
    new = write_on(TABLES, split_words("said Mrs."), 20, draw)
    expect(page.locator(".bw-story")).to_have_text("said Mrs." + "".join(new))
    expect(page.locator(".bw-summary")).to_contain_text("20 words by trigram")


def test_what_was_never_seen_is_said(open_page: Open) -> None:
    page = open_page()
    beginning(page).fill("The zebra")
    for name in ("bigram", "trigram"):
        expect(column(page, name)).to_contain_text("never seen")
    expect(column(page, "bigram").locator(".bw-word").first).to_contain_text(".")


def test_mini_stands_beside_them_when_it_is_loaded(open_page: Open) -> None:
    page = open_page()
    first = column(page, "mini").locator(".bw-word").first
    expect(first).to_contain_text("window")  # the stored example
    load(page)
    beginning(page).fill("They looked out of the")
    # the page's copy of the weights is rounded to 8 bits
    expect(first).to_contain_text(re.compile(r"(29|30)\.\d %"), timeout=20_000)
    expect(first).to_contain_text("window")
    page.get_by_role("button", name="Let the model mini write").click()
    expect(page.locator(".bw-summary")).to_contain_text(
        "20 tokens by mini", timeout=20_000
    )
    expect(page.locator(".bw-story")).to_contain_text("They looked out of the")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_clean(open_page: Open, theme: str, width: int) -> None:
    assert_clean(open_page(theme, viewport={"width": width, "height": 900}))


def test_without_scripts_the_table_is_there(open_page: Open) -> None:
    page = open_page(wait=False, java_script_enabled=False)
    expect(page.locator(".bw-fallback table")).to_have_count(1)
