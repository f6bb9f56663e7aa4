"""The embedding map in Chromium, operated as a reader does, against PyTorch's numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Locator, Page, expect
from widget_pages import (
    WAYS,
    Reader,
    adopt,
    assert_clean,
    both_themes,
    load,
    ready,
    site_folder,
)

from llmbook_utils.files.hub import SHIPPED
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets import EmbeddingMap

pytestmark = pytest.mark.site

WORDS = "king queen prince red blue green two three four"
CALL = """async ([name, cases]) => {
    const found = await import("./views/embedding-map.js");
    return cases.map((values) => {
        if (name === "plane") {
            const { place, share } = found.plane(values);
            return [values.map(place), share];
        }
        const result = found[name](values);
        return result ?? values; // `spread` changes what it is given
    });
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pages = both_themes(EmbeddingMap(WORDS))
    return site_folder(tmp_path_factory.mktemp("map"), pages)


Open = Callable[..., Page]


@pytest.fixture(params=WAYS)
def user(request: pytest.FixtureRequest, open_page: Open) -> Reader:
    return Reader(open_page(has_touch=request.param == "touch"), request.param)


def words(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Words").get_by_role("option")


def summary(page: Page) -> Locator:
    return page.locator(".bw-summary")


def choose(user: Reader, at: int) -> None:
    """Choose a word by a pointer, or with the arrow keys from the first one."""
    if user.way != "keyboard":
        return user.press(words(user.page).nth(at))
    words(user.page).nth(0).focus()
    user.page.keyboard.press("Home")
    for _ in range(at):
        user.page.keyboard.press("ArrowRight")


def test_a_reader_sees_the_example_and_then_any_words(user: Reader) -> None:
    page = user.page
    expect(words(page)).to_have_count(9)
    expect(summary(page)).to_contain_text("Nearest to “king” are “queen” (0.71)")
    choose(user, 4)
    expect(page.locator(".bw-need")).to_contain_text("the model has to compute it")
    expect(summary(page)).to_contain_text("Nearest to “king”")
    load(page)
    choose(user, 4)
    expect(words(page).nth(4)).to_have_attribute("aria-selected", "true")
    expect(summary(page)).to_contain_text("Nearest to “blue”")
    user.press(page.get_by_role("button", name="Add space yellow"))
    expect(page.get_by_role("textbox")).to_have_value(f"{WORDS} yellow")
    expect(words(page)).to_have_count(10)
    user.write(page.get_by_role("textbox"), "sea shore 🐉 thrumbograph, river")
    expect(words(page)).to_have_text(["␣sea", "␣shore", "␣river"])
    expect(page.locator(".bw")).to_contain_text("“thrumbograph” (4 tokens)")
    expect(page.locator("svg.bw-plane")).to_be_visible()


def test_the_focus_stays_on_a_word_when_the_words_are_read_anew(
    open_page: Open,
) -> None:
    page = open_page()
    words(page).nth(0).focus()
    page.evaluate(
        """[...document.querySelectorAll(".bw-model button")]
        .find((button) => button.textContent.startsWith("Load")).click()"""
    )
    ready(page)
    expect(summary(page)).to_contain_text("Nearest to “king”")
    page.wait_for_timeout(500)  # long enough for the words to be drawn again
    expect(words(page).nth(0)).to_be_focused()
    page.keyboard.press("End")
    expect(summary(page)).to_contain_text("Nearest to “four”")


def test_two_words_make_no_picture_and_none_is_said(open_page: Open) -> None:
    page = open_page()
    load(page)
    page.get_by_role("textbox").fill("sea")
    expect(summary(page)).to_contain_text("three words or more")
    expect(page.locator("svg.bw-plane")).not_to_be_visible()
    page.get_by_role("textbox").fill("")
    expect(page.locator(".bw-notes")).to_contain_text("there is no text")
    page.get_by_role("button", name="Reset").click()
    expect(words(page)).to_have_count(9)


def test_a_readers_own_model_is_asked(open_page: Open) -> None:
    page = open_page()
    adopt(page, SHIPPED["mini"])  # whose weights are not rounded to 8 bits
    model, encoding = load_pretrained("mini")
    table = model.token_embedding.weight.detach()
    king = encoding.encode_single_token(" king")
    alike = torch.nn.functional.cosine_similarity(table, table[king][None])
    expected = [f"{value:.3f}" for value in alike.sort(descending=True).values[1:11]]
    expect(page.locator(".bw-model")).to_contain_text("Your own model runs")
    rows = page.locator(".bw-neighbors tbody tr td:last-child")
    expect(rows).to_have_text(expected)
    page.get_by_role("button", name="Back to mini").click()
    expect(page.locator(".bw-model")).to_contain_text("stored example")


def test_the_plane_is_that_of_the_principal_components(open_page: Open) -> None:
    generator = torch.Generator().manual_seed(0)
    stretch = torch.diag(torch.tensor([3.0, 2.0, *[0.5] * 6]))
    cases = [torch.randn(n, 8, generator=generator) @ stretch for n in (3, 10, 40)]
    found = open_page().evaluate(CALL, ["plane", [case.tolist() for case in cases]])
    for case, (places, share) in zip(cases, found, strict=True):
        centered = case - case.mean(dim=0)
        _, scales, axes = torch.linalg.svd(centered.double(), full_matrices=False)
        expected = centered.double() @ axes[:2].T
        places = torch.tensor(places, dtype=torch.float64)
        signs = (places * expected).sum(dim=0).sign()
        torch.testing.assert_close(places * signs, expected, atol=1e-3, rtol=1e-3)
        kept = (scales[:2] ** 2).sum() / (scales**2).sum()
        assert share == pytest.approx(kept.item(), abs=1e-4)


def test_words_and_labels(open_page: Open) -> None:
    def token(text: str, id: int) -> dict[str, Any]:
        return {"id": id, "bytes": list(text.encode())}

    pieces = [token(" sea", 1), token(" thr", 2), token("um", 3), token(" sea", 1)]
    labels = [{"x": 0, "y": 10, "width": 40}, {"x": 20, "y": 12, "width": 40}]
    page = open_page()
    (found,) = page.evaluate(CALL, ["wholeWords", [pieces]])
    assert [word["id"] for word in found["whole"]] == [1], "a word twice is one point"
    assert found["cut"] == [{"word": "thrum", "parts": 2}]
    (spread,) = page.evaluate(CALL, ["spread", [labels]])
    assert spread[1]["y"] - spread[0]["y"] >= 15 - 1e-9


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_it_fits_and_axe_finds_nothing(open_page: Open, theme: str, width: int) -> None:
    page = open_page(theme, viewport={"width": width, "height": 800})
    assert_clean(page)
    load(page)
    page.get_by_role("textbox").fill("sea shore river thrumbograph")
    expect(words(page)).to_have_count(3)
    assert_clean(page)
