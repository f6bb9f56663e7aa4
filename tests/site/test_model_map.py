"""The model map in Chromium, operated as a reader does; its numbers against PyTorch's."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import torch
from browser import Stopwatch
from models import vivid
from playwright.sync_api import Locator, Page, expect
from saved_models import SMALL, tokenizer  # noqa: F401
from widget_pages import (
    Reader,
    adopt,
    assert_clean,
    both_themes,
    load,
    ready,
    site_folder,
    text_field,
)

from llmbook_utils.files.hub import SHIPPED
from llmbook_utils.inside.trace import Trace
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.widgets import ModelMap

pytestmark = pytest.mark.site

TEXT = "The old king had a son"
OTHER = "Once upon a time there was a little girl"
NUMBER = r"-?\d[\d.]*(?:e[-+]?\d+)?"


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: tiktoken.Encoding,  # noqa: F811
) -> Path:
    pages = both_themes(ModelMap(TEXT))
    folder = site_folder(tmp_path_factory.mktemp("map"), pages)
    save_pretrained(vivid(SMALL), tokenizer, folder / "own")
    return folder


Open = Callable[..., Page]


@pytest.fixture
def open_map(open_page: Open) -> Open:
    """Opens a page with a map and one calculation in it."""

    def opened(*args: Any, **options: Any) -> Page:
        page = open_page(*args, **options)
        page.get_by_role("button", name="See how one number came about").click()
        return page

    return opened


def stage(page: Page, name: str) -> Locator:
    exactly = re.compile(rf"^{re.escape(name)}$")
    named = page.locator(".bw-map-name").filter(has_text=exactly)
    return page.locator("button.bw-map-stage").filter(has=named)


def readout(page: Page) -> Locator:
    return page.locator(".bw-map-readout")


def title(page: Page) -> Locator:
    return page.locator(".bw-map-how .bw-part-title")


def how(page: Page) -> Locator:
    return page.get_by_role("button", name="Show how this value came about")


def rows(page: Page, table: str) -> list[list[str]]:
    """The texts of the cells of a table."""
    return page.locator(f"{table} tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )


def traced(text: str, name: str) -> torch.Tensor:
    model, encoding = load_pretrained("mini")
    ids = encoding.encode_ordinary(text)[-24:]
    return Trace(model, [name])(ids)[name]


def test_the_whole_is_there_before_any_model(open_page: Open) -> None:
    page = open_page()
    assert page.locator(".bw-map-panel").count() == 0
    assert page.locator(".bw-map-name").count() == 13
    stage(page, "blocks.0").click()
    names = page.locator(".bw-map-name").all_inner_texts()
    assert names[:5] == [
        *("tokens", "token_embedding", "position_embedding", "embedding", "blocks.0")
    ]
    assert names[5:19] == [
        *("norm_1", "attention.q", "attention.k", "attention.v", "attention.scores"),
        *("attention.weights", "attention.context", "attention.out", "residual"),
        *(
            "norm_2",
            "feed_forward.up_proj",
            "feed_forward.gelu",
            "feed_forward.down_proj",
        ),
        "output",
    ]
    assert names[19:] == [
        *(f"blocks.{i}" for i in range(1, 6)),
        *("final_norm", "logits", "probabilities"),
    ]
    expect(stage(page, "feed_forward.up_proj")).to_contain_text(
        "T × 4C = 6 × 1,024, 263,168 parameters"
    )
    expect(page.locator(".bw-map-top li").first).to_contain_text("36.8 %")
    assert "mini.safetensors" not in "".join(page.log.requests)
    # every picture has more than one color
    page.wait_for_timeout(300)
    colors = page.locator("canvas.bw-map-strip").evaluate_all(
        """canvases => canvases.map(canvas => { const { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        return new Set(new Uint32Array(data.buffer)).size; })"""
    )
    assert len(colors) == 26
    assert min(colors) > 5


def test_the_way_back_to_the_table_and_forth(open_map: Open) -> None:
    page = open_map()
    expect(title(page)).to_contain_text("How blocks.0.attention.scores[")
    # what is written adds up: the products, the others, their sum, the root
    *products, others = rows(page, ".bw-map-how .bw-scroll")
    for _, left, right, product in products:
        assert float(left) * float(right) == pytest.approx(float(product), abs=6e-5)
    total = sum(float(row[-1]) for row in [*products, others])
    steps = rows(page, ".bw-map-steps")
    assert total == pytest.approx(float(steps[0][1]), abs=5e-4)
    root = float(steps[1][0].split("= ")[1])
    assert float(steps[0][1]) / root == pytest.approx(float(steps[1][1]), abs=1e-4)
    value = float(re.findall(f"= ({NUMBER}) came", title(page).inner_text())[0])
    assert float(steps[-1][1]) == pytest.approx(value, abs=1e-4)
    passed = [re.findall(r"How (.*) =", title(page).inner_text())[0]]
    for name in ("attention.q", "norm_1", "embedding", "token_embedding"):
        page.locator(".bw-map-how .bw-map-link").first.click()
        expect(title(page)).to_contain_text(f"{name}[")
        expect(title(page)).to_be_focused()
        passed.append(re.findall(r"How (.*) =", title(page).inner_text())[0])
        found = traced(TEXT, passed[-1].split("[")[0])
        index = [int(i) for i in re.findall(r"\d+", passed[-1].split("[")[1])]
        value = float(re.findall(f"= ({NUMBER}) came", title(page).inner_text())[0])
        assert value == pytest.approx(found[tuple(index)].item(), abs=1e-5)
        assert float(rows(page, ".bw-map-steps")[-1][1]) == pytest.approx(value, 1e-3)
    expect(page.locator(".bw-map-how")).to_contain_text("the way back ends")
    expect(page.locator(".bw-map-crumbs li")).to_have_text(passed)
    page.get_by_role("button", name="← Back").click()
    expect(title(page)).to_contain_text(passed[3])
    page.locator(".bw-map-crumbs .bw-map-link").first.click()
    expect(title(page)).to_contain_text(passed[0])
    expect(page.locator(".bw-map-crumbs")).to_be_hidden()
    assert "mini.safetensors" not in "".join(page.log.requests)


def test_what_is_not_stored_is_asked_of_the_model_that_the_reader_loads(
    open_map: Open,
) -> None:
    page = open_map()
    page.get_by_role("grid").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".bw-map-how")).to_be_hidden()
    how(page).click()
    callout = page.locator(".bw-need")
    expect(callout).to_contain_text("the model has to compute it")
    stage(page, "blocks.3").click()
    expect(stage(page, "blocks.3")).to_have_attribute("aria-expanded", "false")
    expect(stage(page, "blocks.0")).to_have_attribute("aria-expanded", "true")
    callout.get_by_role("button", name="Load it").click()
    # what was asked last is done as soon as the model is there
    expect(stage(page, "blocks.3")).to_have_attribute(
        "aria-expanded", "true", timeout=20_000
    )
    expect(readout(page)).to_contain_text("blocks.3.attention.scores[")
    expect(callout).to_have_count(0)


@pytest.fixture
def exact(open_map: Open) -> Page:
    """With mini from its own files, whose weights are not rounded to 8 bits."""
    page = open_map(permissions=["clipboard-read", "clipboard-write"])
    adopt(page, SHIPPED["mini"])
    return page


def check_operands(page: Page) -> None:
    """Each linked number is the one that stands where its link leads."""
    links = page.locator(".bw-map-how .bw-scroll .bw-map-link").evaluate_all(
        "links => links.map(link => link.getAttribute('aria-label'))"
    )
    for label in links[:4]:
        value, place = label.split(", go to ")
        tensor, index = place.removesuffix("]").split("[")
        found = traced(TEXT, tensor)[tuple(int(i) for i in index.split(", "))].item()
        assert float(value) == pytest.approx(found, rel=1e-3, abs=1e-4), place


def test_every_stage_can_be_asked_and_its_calculation_holds_in_python(
    exact: Page,
) -> None:
    page = exact
    stage(page, "blocks.2").click()
    expect(stage(page, "blocks.2")).to_have_attribute("aria-expanded", "true")
    names = page.locator(".bw-map-name").all_inner_texts()
    asked = [name for name in names if not name.startswith("blocks.")]
    for name in asked:
        if name in ("tokens", "probabilities"):
            continue
        if stage(page, name).get_attribute("aria-expanded") == "false":
            stage(page, name).click()
        page.get_by_role("grid").focus()
        page.keyboard.press("ArrowRight")
        place = readout(page).locator("code").inner_text()
        how(page).click()
        expect(title(page)).to_contain_text(f"How {place} = ")
        tensor, index = place.removesuffix("]").split("[")
        found = traced(TEXT, tensor)[tuple(int(i) for i in index.split(", "))].item()
        value = float(readout(page).locator("b").inner_text())
        assert value == pytest.approx(found, rel=1e-4, abs=1e-4), place
        last = float(rows(page, ".bw-map-steps")[-1][1])
        assert last == pytest.approx(value, rel=2e-3, abs=1e-4), place
        expect(page.locator(".bw-map-how")).not_to_contain_text("which rounds")
        check_operands(page)
        page.get_by_role("button", name="Copy the calculation").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        *lines, result = page.evaluate("navigator.clipboard.readText()").split("\n")
        known: dict[str, Any] = {"model": load_pretrained("mini")[0]}
        exec("\n".join(lines), known)
        assert float(eval(result, known)) == pytest.approx(found, rel=1e-3, abs=1e-4)


def test_probabilities_are_explained_from_the_logits(exact: Page) -> None:
    page = exact
    stage(page, "probabilities").click()
    expected = traced(TEXT, "logits.last").softmax(dim=-1)
    best = int(expected.argmax())
    expect(readout(page).locator("code")).to_have_text(f"probabilities[{best}]")
    how(page).click()
    exp, share = rows(page, ".bw-map-steps")
    assert float(exp[1]) == 1
    assert float(share[1]) == pytest.approx(expected[best].item(), abs=1e-4)
    page.locator(".bw-map-steps .bw-map-link").click()
    expect(title(page)).to_contain_text(f"How logits[5, {best}]")
    page.locator(".bw-map-how .bw-scroll .bw-map-link").first.click()
    expect(title(page)).to_contain_text("How final_norm[5, ")


@pytest.mark.parametrize("way", ["mouse", "touch", "keyboard"])
def test_cells_heads_and_stages_by_all_means(open_map: Open, way: str) -> None:
    page = open_map(has_touch=way == "touch")
    reader = Reader(page, way)
    reader.press(stage(page, "attention.k"))
    page.get_by_label("Head", exact=True).select_option("6")
    expect(readout(page)).to_contain_text("blocks.0.attention.k[6, ")
    grid = page.get_by_role("grid", name="blocks.0.attention.k, head 6")
    if way == "keyboard":
        grid.focus()
        for key in ("Home", "ArrowUp", "PageDown", "End", "ArrowLeft"):
            page.keyboard.press(key)
    else:
        canvas = page.locator(".bw-map-all canvas")
        box = canvas.bounding_box()
        assert box is not None
        place = {"x": box["width"] * 30.5 / 32, "y": box["height"] * 4.5 / 6}
        (canvas.tap if way == "touch" else canvas.click)(position=place)
    expect(readout(page)).to_contain_text("blocks.0.attention.k[6, 4, 30]")
    expect(readout(page)).to_contain_text("token 4 “␣a”, number 30")
    found = traced(TEXT, "blocks.0.attention.k")[6, 4, 30].item()
    value = float(readout(page).locator("b").inner_text())
    assert value == pytest.approx(found, rel=5e-3)
    selected = grid.locator("[aria-selected]")
    expect(selected).to_have_count(1)
    assert grid.get_attribute("aria-activedescendant") == selected.get_attribute("id")
    if way != "keyboard":
        reader.press(grid.get_by_role("gridcell").first)
        expect(readout(page)).to_contain_text("blocks.0.attention.k[6, 0, ")
    reader.press(stage(page, "blocks.0"))
    expect(stage(page, "attention.k")).to_have_count(0)
    reader.press(stage(page, "tokens"))
    expect(page.locator(".bw-map-panel")).to_contain_text("1,188")
    reader.press(stage(page, "tokens"))
    expect(page.locator(".bw-map-panel")).to_have_count(0)


def test_texts_that_are_empty_strange_or_long(open_map: Open) -> None:
    page = open_map()
    load(page)
    text_field(page).fill("")
    expect(page.locator(".bw-notes")).to_contain_text("there is no text")
    expect(page.locator(".bw-map-chips")).to_have_text("The␣old␣king␣had␣a␣son")
    text_field(page).fill("😀 é")
    expect(page.locator(".bw-map-chips .bw-mini").first).to_contain_text("F0")
    expect(page.locator(".bw-notes")).to_be_empty()
    text_field(page).fill("the king " * 1200)
    expect(page.locator(".bw-notes")).to_contain_text("only its last 24 tokens")
    expect(page.locator(".bw-summary")).to_contain_text("reads 24 tokens")
    expect(page.get_by_role("grid").get_by_role("row")).to_have_count(25)
    expect(title(page)).to_contain_text("attention.scores[")
    page.get_by_role("button", name="Reset").click()
    expect(page.locator(".bw-summary")).to_contain_text("reads 6 tokens")


def test_a_model_of_ones_own(open_map: Open, folder: Path) -> None:
    page = open_map()
    adopt(page, folder / "own")
    expect(page.locator(".bw-map-block")).to_have_count(SMALL.n_layers)
    expect(stage(page, "logits")).to_contain_text(f"× {SMALL.vocab_size}, the table")
    model, encoding = load_pretrained(folder / "own")
    ids = encoding.encode_ordinary(TEXT)[-24:]
    last = Trace(model, ["logits.last"])(ids)["logits.last"].softmax(dim=-1)
    shown = page.locator(".bw-map-percent").first.inner_text()
    assert float(shown.split()[0]) == pytest.approx(100 * last.max().item(), rel=1e-2)
    page.get_by_role("button", name="Back to mini").click()
    expect(page.locator(".bw-map-block")).to_have_count(6)


def test_the_numbers_can_be_copied(open_map: Open) -> None:
    page = open_map(permissions=["clipboard-read", "clipboard-write"])
    stage(page, "residual").click()
    page.get_by_role("button", name="Copy the numbers as Python").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    known: dict[str, Any] = {}
    exec(page.evaluate("navigator.clipboard.readText()"), known)
    found = traced(TEXT, "blocks.0.residual")
    assert torch.tensor(known["residual"]).allclose(found, atol=1e-3, rtol=1e-3)
    page.evaluate("() => { navigator.clipboard.writeText = async () => { throw 0; }; }")
    stage(page, "logits").click()
    page.get_by_role("button", name="Copy the numbers as Python").click()
    expect(page.get_by_role("textbox", name="Python")).to_have_value(
        re.compile(r"^# logits, shape \(4096\), rounded to 4 decimals\nlogits = \[")
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_and_the_page_does_not_scroll_sideways(
    open_map: Open, theme: str, width: int
) -> None:
    page = open_map(theme, viewport={"width": width, "height": 844})
    page.wait_for_timeout(200)
    assert_clean(page)
    if width == 390:
        return
    load(page)
    for name in ("norm_1", "feed_forward.gelu", "attention.weights", "probabilities"):
        stage(page, name).click()
        how(page).click()
        expect(title(page)).to_contain_text(f"{name}[")
    assert_clean(page)


def test_the_theme_can_change_while_the_page_is_open(open_map: Open) -> None:
    page = open_map()
    cell = page.get_by_role("gridcell").first
    before = cell.evaluate("cell => getComputedStyle(cell).backgroundColor")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    expect(page.get_by_role("gridcell").first).not_to_have_css(
        "background-color", before
    )


def turn_to(page: Page, name: str) -> None:
    """Close a stage that is open, and open it."""
    if stage(page, name).get_attribute("aria-expanded") == "true":
        stage(page, name).click()
    stage(page, name).click()


def test_the_page_stays_free(open_map: Open) -> None:
    page = open_map()
    load(page)
    text_field(page).fill("the old king had a son " * 20)
    expect(page.locator(".bw-summary")).to_contain_text("reads 24 tokens")
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("block", lambda: stage(page, "blocks.1").click()),
        ("block", lambda: stage(page, "blocks.0").click()),
        ("up_proj", lambda: turn_to(page, "feed_forward.up_proj")),
        ("how", lambda: how(page).click()),
        ("move", lambda: page.keyboard.press("ArrowDown")),
        ("logits", lambda: turn_to(page, "logits")),
        ("text", lambda: text_field(page).fill(OTHER)),
    ]
    watch = Stopwatch(page)

    def done(step: Callable[[], Any]) -> None:
        step()
        page.wait_for_timeout(450)

    for name, step in steps:
        assert watch.milliseconds(partial(done, step)) < 250, name


@pytest.mark.parametrize("where", ["stage", "panel"])
def test_the_focus_stays_when_a_model_arrives(open_map: Open, where: str) -> None:
    page = open_map()
    stage(page, "final_norm").click()
    focused = stage(page, "final_norm") if where == "stage" else how(page)
    focused.focus()
    page.evaluate(
        """[...document.querySelectorAll(".bw-model button")]
        .find((button) => button.textContent.startsWith("Load")).click()"""
    )
    ready(page)
    page.wait_for_timeout(500)  # long enough for the map to be drawn again
    expect(focused).to_be_focused()
