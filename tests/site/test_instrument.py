"""What all live widgets can do in Chromium: experiments whose numbers are shown, links to a state, lectures."""

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Page, expect
from widget_pages import adopt, assert_clean, html, mount_all, site_folder

from llmbook_utils.files.hub import SHIPPED
from llmbook_utils.widgets import (
    AskMini,
    AttentionExplorer,
    Continuation,
    EmbeddingMap,
    LossMaskViewer,
    ModelMap,
    SamplingLab,
)

pytestmark = pytest.mark.site

KINGS = "The old king and the old queen had one son. The old king"
WIDGETS = {
    "sampling-lab": SamplingLab("The sea is"),
    "attention-explorer": AttentionExplorer("The sea is late", block=4, head=5),
    "embedding-map": EmbeddingMap("king queen dog cat red blue"),
    "model-map": ModelMap("The sea is late"),
    "continuation": Continuation("The sea"),
    "loss-mask": LossMaskViewer(),
    "ask-mini": AskMini(),
}
NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e-\d+)?(?: %)?")
# numbers of an explanation that are no findings: what was set, and what a scale's ends mean
CONSTANTS = {"0.3", "2", "90 %", "0", "1"}


def share(text: str) -> float:
    return float(text.removesuffix(" %"))


# what each explanation claims of its numbers, in the order in which it names them
CLAIMS: dict[str, list[Callable[[list[str], str], bool]]] = {
    "sampling-lab": [
        lambda n, _: share(n[0]) > 95 and 25 < share(n[1]) < 40,
        lambda n, _: share(n[0]) > 85 and share(n[1]) < 50 and share(n[2]) < 5,
        lambda n, _: 100 < int(n[0]) < 1000,
        lambda n, text: "king" not in text.split("leads now")[0] and share(n[0]) > 4,
    ],
    "attention-explorer": [
        lambda n, _: share(n[0]) > 0.4,
        lambda n, _: share(n[0]) > 0.5,
        lambda n, text: "“king” looks mostly at “and”" in text and share(n[0]) > 0.4,
        lambda n, text: share(n[2]) > 0.4 and "“was” led" in text,
    ],
    "embedding-map": [
        lambda _, text: all(name in text for name in ("queen", "prince", "princess")),
        lambda _, text: all(name in text for name in ("four", "two", "five")),
        lambda _, text: all(name in text for name in ("cried", "answered", "says")),
    ],
    "model-map": [
        lambda n, text: "“time” leads" in text and share(n[1]) > 4 * share(n[2]),
        lambda n, text: "time" not in text.split("leads")[0] and share(n[0]) < 20,
        lambda n, text: "It gives 1:" in text,
    ],
    "continuation": [
        lambda _, text: "With seed 7" in text,
        lambda _, text: "Paris" not in text,
        lambda n, _: int(n[0]) > 10,
    ],
    "loss-mask": [
        lambda n, _: float(n[0]) > 2 * float(n[1]) and float(n[2]) > 10 * float(n[3]),
        lambda n, _: int(n[0]) > int(n[1]) / 3,
        lambda n, _: int(n[0]) < int(n[1]) / 3,
    ],
    "ask-mini": [
        lambda n, text: "ended after" in text and int(n[0]) < 30 < int(n[1]),
        lambda _, text: "Paris" not in text,
        lambda _, text: "ended after" in text,
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pages = {name: html(widget) for name, widget in WIDGETS.items()}
    pages["dark"] = html(*WIDGETS.values(), theme="dark")
    return site_folder(tmp_path_factory.mktemp("instrument"), pages)


Open = Callable[..., Page]


def shown(page: Page) -> str:
    """All that a widget says outside its guide, and what its fields hold."""
    return page.evaluate(
        """() => { const copy = document.querySelector(".bw").cloneNode(true);
        copy.querySelector(".bw-guide").remove();
        return copy.textContent; }"""
    )


def set_up(page: Page) -> None:
    page.get_by_role("button", name="Set it up for me").click()
    expect(page.locator(".bw-guide").get_by_text("Look.")).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("name", WIDGETS)
def test_experiments_explain_what_is_shown(open_page: Open, name: str) -> None:
    page = open_page(name)
    page.get_by_role("button", name="Experiments").click()
    guide = page.locator(".bw-guide")
    set_up_button = guide.get_by_role("button", name="Set it up for me")
    expect(set_up_button).to_contain_text("(loads 6.0 MB, once)")
    explain = guide.get_by_role("button", name="Explain")
    for claim in CLAIMS[name]:
        expect(explain).to_have_attribute("aria-disabled", "true")
        set_up(page)
        explain.click()
        text = guide.locator("p").last.inner_text()
        numbers = NUMBER.findall(text)
        found = [number for number in numbers if number not in CONSTANTS]
        everything = shown(page)
        assert [number for number in found if number not in everything] == [], text
        assert claim(found, text), text
        guide.get_by_role("button", name="Next →").click()
    expect(guide).to_contain_text(f"Experiment 1 of {len(CLAIMS[name])}")


def link_of(page: Page) -> str:
    page.get_by_role("button", name="Link", exact=True).click()
    return page.locator(".bw-address a").get_attribute("href")


def test_a_link_opens_the_state_that_it_was_made_of(open_page: Open) -> None:
    page = open_page("sampling-lab")
    page.get_by_role("checkbox", name="Top-p").check()
    page.get_by_role("spinbutton", name="Top-p").fill("0.8")
    page.get_by_role("spinbutton", name="Temperature").fill("0.5")
    said = page.locator(".bw-summary").all_inner_texts()
    link = link_of(page)
    code = page.locator(".bw-address canvas")
    assert int(code.get_attribute("width")) > 29  # modules: drawn here, asked of nobody
    page.goto("about:blank")
    page.goto(link)
    mount_all(page)
    expect(page.get_by_role("spinbutton", name="Top-p")).to_have_value("0.8")
    assert page.locator(".bw-summary").all_inner_texts() == said
    assert link_of(page) == link
    # a wrong value is not taken, an unknown name is nothing
    page.goto("about:blank")
    page.goto(f"{link.split('#')[0]}#sampling-lab?temperature=77&nonsense=1")
    mount_all(page)
    expect(page.get_by_role("spinbutton", name="Temperature")).to_have_value("1")


def test_the_model_is_loaded_once_for_all_pages(open_page: Open) -> None:
    page = open_page("attention-explorer")
    page.get_by_role("button", name="Experiments").click()
    set_up(page)
    page.get_by_role("button", name="Next →").click()
    page.get_by_role("button", name="Next →").click()
    set_up(page)
    said, link = page.locator(".bw-readout").inner_text(), link_of(page)
    assert "“␣and” (token 3)" in said
    page.log.requests.clear()
    page.goto("about:blank")
    page.goto(link)  # the browser has kept the model: it comes by itself
    expect(page.locator(".bw-model")).to_contain_text("runs in this page")
    expect(page.locator(".bw-readout")).to_have_text(said)
    # another widget on another page
    page.goto(page.url.split("attention")[0] + "embedding-map.html")
    expect(page.locator(".bw-model")).to_contain_text("runs in this page")
    page.get_by_role("option", name="space cat").click()
    expect(page.locator(".bw-summary")).to_contain_text("Nearest to “cat”")
    assert not any("mini.safetensors" in url for url in page.log.requests)


def test_a_lecture_is_given_with_keys_alone(open_page: Open) -> None:
    page = open_page("sampling-lab", viewport={"width": 1280, "height": 720})
    page.get_by_role("button", name="Full screen").click()
    widget, guide = page.locator(".bw"), page.locator(".bw-guide")
    expect(widget).to_have_class(re.compile("bw-lecture"))
    expect(page.locator(".bw-fold").first).to_be_hidden()
    size = "e => parseFloat(getComputedStyle(e).fontSize)"
    before = widget.evaluate(size)
    assert before >= 24
    page.keyboard.press("+")
    assert widget.evaluate(size) > before
    page.keyboard.press("e")
    expect(guide).to_contain_text("Experiment 1")
    page.keyboard.press("s")
    expect(guide.get_by_text("Look.")).to_be_visible(timeout=30_000)
    page.keyboard.press("x")
    expect(guide.get_by_text("Explain. ")).to_be_visible()
    page.keyboard.press("n")
    expect(guide).to_contain_text("Experiment 2")
    page.keyboard.press("d")
    expect(page.locator(".bw-fold").first).to_be_visible()
    page.keyboard.press("l")
    expect(page.locator(".bw-address canvas")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator(".bw-keys")).to_be_visible()
    # a letter that is written is no command
    page.get_by_role("textbox", name="Text").focus()
    page.keyboard.type("find")
    expect(widget).to_have_class(re.compile("bw-lecture"))
    page.locator(".bw-guide").click()
    page.get_by_role("slider", name="Temperature").focus()
    page.keyboard.press("f")
    expect(widget).not_to_have_class(re.compile("bw-lecture"))


@pytest.mark.parametrize("width", [390, 1280])
def test_guides_and_links_are_accessible_and_fit(open_page: Open, width: int) -> None:
    page = open_page("dark", viewport={"width": width, "height": 844})
    for name in ("Experiments", "Link"):
        for button in page.get_by_role("button", name=name, exact=True).all():
            button.click()
    expect(page.locator(".bw-address canvas").last).to_be_visible()
    assert_clean(page)


@pytest.mark.parametrize("name", ["sampling-lab", "attention-explorer", "model-map"])
def test_experiments_say_that_they_are_about_the_books_model(
    open_page: Open, name: str
) -> None:
    page = open_page(name)
    adopt(page, SHIPPED["mini"])
    page.get_by_role("button", name="Experiments").click()
    page.get_by_role("button", name="Set it up for me").click()
    guide = page.locator(".bw-guide")
    expect(guide).to_contain_text(
        "The experiments are about mini: go back to it first."
    )
    expect(page.get_by_role("button", name="Explain")).to_be_disabled()


def test_the_code_of_a_lecture_leads_to_what_is_shown(open_page: Open) -> None:
    page = open_page("sampling-lab", viewport={"width": 1280, "height": 720})
    page.get_by_role("button", name="Full screen").click()
    page.keyboard.press("l")
    canvas = page.locator(".bw-address canvas")
    expect(canvas).to_be_visible()
    address = page.locator(".bw-address a").get_attribute("href")
    png = canvas.evaluate("e => e.toDataURL().split(',')[1]")
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("L")
    # a camera sees more than one pixel for each square
    large = picture.resize(
        (picture.width * 8, picture.height * 8), Image.Resampling.NEAREST
    )
    assert [code.text for code in zxingcpp.read_barcodes(large)] == [address]
