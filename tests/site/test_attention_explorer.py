"""The attention explorer in Chromium, operated as a reader does; its numbers against PyTorch's."""

import ast
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiktoken
import torch
from browser import Stopwatch
from models import vivid
from playwright.sync_api import Download, Locator, Page, expect
from saved_models import SMALL, tokenizer  # noqa: F401
from widget_pages import (
    Reader,
    adopt,
    assert_clean,
    both_themes,
    load,
    site_folder,
    text_field,
)

from llmbook_utils.files.hub import SHIPPED
from llmbook_utils.inside.trace import Changes, Trace
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.widgets import AttentionExplorer

pytestmark = pytest.mark.site

TEXT = "The old king and the old queen had one son. The old king"
OTHER = "Once upon a time there was a little girl"
LONG = " ".join(["It was a fine morning, and the two brothers set out"] * 9)
NO_CLIPBOARD = """() => {
    navigator.clipboard.writeText = async () => { throw new Error("no"); };
}"""


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: tiktoken.Encoding,  # noqa: F811
) -> Path:
    pages = both_themes(AttentionExplorer(TEXT, block=4, head=5))
    folder = site_folder(tmp_path_factory.mktemp("attention"), pages)
    save_pretrained(vivid(SMALL), tokenizer, folder / "own")
    return folder


Open = Callable[..., Page]


@pytest.fixture
def loaded(open_page: Open) -> Page:
    page = open_page()
    load(page)
    return page


@pytest.fixture
def exact(open_page: Open) -> Page:
    """With mini from its own files, whose weights are not rounded to 8 bits."""
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    adopt(page, SHIPPED["mini"])
    return page


load_mini = functools.cache(lambda: load_pretrained("mini"))


def traced(text: str, want: list[str], **changes: Any) -> dict[str, np.ndarray]:
    model, encoding = load_mini()
    found = Trace(model, want, Changes(**changes))(encoding.encode_ordinary(text)[-48:])
    return {name: tensor.numpy() for name, tensor in found.items()}


def weights(text: str, block: int, head: int, **changes: Any) -> np.ndarray:
    name = f"blocks.{block}.attention.weights"
    return traced(text, [name], **changes)[name][head]


def chances(text: str, **changes: Any) -> torch.Tensor:
    logits = traced(text, ["logits.last"], **changes)["logits.last"]
    return torch.from_numpy(logits).softmax(dim=-1)


def readout(page: Page) -> Locator:
    return page.locator(".bw-readout")


def picture(page: Page) -> Locator:
    return page.get_by_role("application")


def expect_readout(
    page: Page, numbers: np.ndarray, names: list[str], i: int, j: int
) -> None:
    """The sentence names the weight at a row and a column, and the row's largest."""
    most = int(numbers[i].argmax())
    says = f"“{names[i]}” (token {i}) looks mostly at “{names[most]}” (token {most}), weight {numbers[i, most]:.3f}."
    if j > i:
        says += f" It cannot see “{names[j]}” (token {j}), which comes later."
    elif j != most:
        says += f" Its weight on “{names[j]}” (token {j}): {numbers[i, j]:.3f}."
    expect(readout(page)).to_have_text(says)
    name = page.locator(".bw-pad canvas").get_attribute("aria-label") or ""
    assert name.endswith(says)


def names_of(text: str) -> list[str]:
    encoding = load_mini()[1]
    pieces = [encoding.decode([id]) for id in encoding.encode_ordinary(text)[-48:]]
    return [piece.replace(" ", "␣") for piece in pieces]


@pytest.fixture(params=("mouse", "touch", "keyboard"))
def reader(request: pytest.FixtureRequest, open_page: Open) -> Reader:
    return Reader(open_page(has_touch=request.param == "touch"), request.param)


def test_a_head_is_chosen_and_its_weights_are_read_out(reader: Reader) -> None:
    page, names = reader.page, names_of(TEXT)
    heads = page.get_by_role("radiogroup", name="Head")
    expect(heads.get_by_role("radio", checked=True)).to_have_accessible_name(
        "block 4, head 5"
    )
    first = weights(TEXT, 4, 5)
    expect_readout(page, first, names, 13, int(first[13].argmax()))
    if reader.way == "keyboard":
        page.get_by_role("radio", name="block 4, head 5").focus()
        for key in ("ArrowUp", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowUp"):
            page.keyboard.press(key)
        expect(page.get_by_role("radio", name="block 3, head 3")).to_be_focused()
    else:
        reader.press(page.get_by_role("radio", name="block 3, head 3"))
    expect(page.get_by_role("radio", checked=True)).to_have_count(2)  # and the view
    expect(page.locator(".bw-head")).to_contain_text("Block 3, head 3")
    numbers, column = weights(TEXT, 3, 3), int(first[13].argmax())
    expect_readout(page, numbers, names, 13, column)
    at = move(reader, 6, 2, (13, column))
    expect_readout(page, numbers, names, *at)
    at = move(reader, 6, 9, at)
    expect_readout(page, numbers, names, *at)


def move(reader: Reader, row: int, column: int, at: tuple[int, int]) -> tuple[int, int]:
    """Go to a cell of the grid, which is 14 tokens wide."""
    pad = picture(reader.page)
    if reader.way == "keyboard":
        pad.focus()
        keys = ["ArrowUp" if row < at[0] else "ArrowDown"] * abs(row - at[0])
        keys += ["ArrowLeft" if column < at[1] else "ArrowRight"] * abs(column - at[1])
        for key in keys:
            reader.page.keyboard.press(key)
        return row, column
    box = pad.locator("canvas").bounding_box()
    assert box is not None
    cell = 40
    edge = box["width"] - 2 - 14 * cell
    place = {"x": edge + (column + 0.5) * cell, "y": edge + (row + 0.5) * cell}
    if reader.way == "touch":
        pad.locator("canvas").tap(position=place)
    else:
        pad.locator("canvas").hover(position=place)
    return row, column


def test_home_and_end_move_within_a_row_and_over_all(open_page: Open) -> None:
    page, names, numbers = open_page(), names_of(TEXT), weights(TEXT, 4, 5)
    picture(page).focus()
    for key, at in [
        ("Home", (13, 0)),
        ("ArrowLeft", (13, 0)),
        ("ArrowDown", (13, 0)),
        ("Control+Home", (0, 0)),
        ("End", (0, 13)),
        ("Control+End", (13, 13)),
    ]:
        page.keyboard.press(key)
        expect_readout(page, numbers, names, *at)


def test_the_links_are_read_out_too(reader: Reader) -> None:
    page, names, numbers = reader.page, names_of(TEXT), weights(TEXT, 4, 5)
    reader.press(page.get_by_role("radio", name="links"))
    expect(page.get_by_text("On the left the tokens that look")).to_be_visible()
    canvas = page.locator(".bw-pad canvas")
    if reader.way == "keyboard":
        picture(page).focus()
        for _ in range(4):
            page.keyboard.press("ArrowUp")
        page.keyboard.press("Home")
        return expect_readout(page, numbers, names, 9, 0)
    box = canvas.bounding_box()
    assert box is not None
    go = canvas.tap if reader.way == "touch" else canvas.hover
    go(position={"x": 20, "y": 22 + 9.5 * 26})
    expect_readout(page, numbers, names, 9, int(numbers[9].argmax()))
    go(position={"x": box["width"] - 20, "y": 22 + 4.5 * 26})
    expect_readout(page, numbers, names, 9, 4)


def test_what_is_measured_is_so(open_page: Open) -> None:
    page = open_page()
    for block, head in [(4, 5), (0, 2)]:
        page.get_by_role("radio", name=f"block {block}, head {head}").click()
        w = weights(TEXT, block, head)[1:].astype("f8")
        row, column = np.arange(1, 14)[:, None], np.arange(14)[None]
        previous, itself = w[column == row - 1].mean(), w[column == row].mean()
        distance = (w * (row - column)).sum(1).mean()
        entropy = -(w * np.log2(w, where=w > 0, out=np.zeros_like(w))).sum(1).mean()
        says = (
            f"Block {block}, head {head}: of its weight a token gives on average {previous:.2f} to the token before "
            f"it, {w[:, 0].mean():.2f} to the first token and {itself:.2f} to itself; it looks {distance:.1f} tokens "
            f"back, and its weights have {entropy:.2f} bits of entropy"
        )
        expect(page.get_by_text(says)).to_be_visible()
    even = np.mean([1 / n for n in range(2, 15)])
    expect(page.locator(".bw-tiles")).to_contain_text(f"on itself (even: {even:.2f})")


ALL_OF_4 = [[4, head] for head in range(8)]
SWITCHES: list[tuple[list[str], dict[str, Any], str]] = [
    (["Causal mask"], {"mask": False}, "the causal mask"),
    (["Scaling"], {"scaling": False}, "the scaling"),
    (["Positions"], {"positions": False}, "the positions"),
    (["Head 5 of block 4"], {"heads": [[4, 5]]}, "head 5 of block 4"),
    (["All 8 heads of block 4"], {"heads": ALL_OF_4}, "all heads of block 4"),
    (
        ["Causal mask", "Positions"],
        {"mask": False, "positions": False},
        "the causal mask and the positions",
    ),
]


def flip(reader: Reader, names: list[str]) -> None:
    for name in names:
        reader.press(reader.page.get_by_role("checkbox", name=name))


def expect_change(
    page: Page, changes: dict[str, Any], words: str, tolerance: float = 6e-4
) -> None:
    """The prediction before and after a change, and the weights after it."""
    before, after = chances(TEXT), chances(TEXT, **changes)
    moved = (before - after).abs().sum().item() / 2
    panel = page.locator(".bw-halves.bw-panel")
    expect(panel).to_contain_text(f"Without {words}: “")
    distance = float(panel.locator(".bw-summary b").inner_text())
    assert distance == pytest.approx(moved, abs=tolerance)
    rows = panel.locator("tbody tr").all_inner_texts()
    encoding = load_mini()[1]
    for row in rows[:3]:
        name, *numbers = row.split("\t")[:3]
        (id,) = encoding.encode_ordinary(
            name.strip().replace("␣", " ").replace("⏎", "\n")
        )
        found = [float(n.strip(" %")) / 100 for n in numbers]
        expected = [before[id].item(), after[id].item()]
        assert found == pytest.approx(expected, abs=tolerance)
    best = [
        encoding.decode([int(p.argmax())]).replace(" ", "␣") for p in (after, before)
    ]
    summary = panel.locator(".bw-summary").inner_text()
    assert summary.index(f"“{best[0]}” with") < summary.rindex(f"“{best[1]}” with")


def test_switches_change_weights_and_prediction_as_in_python(exact: Page) -> None:
    for names, changes, words in SWITCHES:
        flip(Reader(exact, "mouse"), names)
        expect_change(exact, changes, words)
        expect(exact.locator(".bw-head")).to_contain_text(f"head 5, without {words}")
        numbers = weights(TEXT, 4, 5, **changes)
        most = int(numbers[13].argmax())
        says = readout(exact).inner_text().split(f"(token {most}), weight ")[1]
        found = float(says.split(". ")[0].rstrip("."))
        assert found == pytest.approx(numbers[13, most], abs=6e-4)
        off = exact.locator(".bw-small-head.bw-off")
        expect(off).to_have_count(len(changes.get("heads", [])))
        exact.get_by_role("button", name="Everything on").click()
        expect(exact.get_by_role("checkbox", checked=False)).to_have_count(0)
        expect(exact.get_by_text("Switch something off")).to_be_visible()
        expect(off).to_have_count(0)


def test_a_switch_that_needs_the_model_waits_for_it(reader: Reader) -> None:
    page = reader.page
    flip(reader, ["Causal mask"])
    expect(page.get_by_text("The switches take effect when")).to_be_visible()
    expect(page.get_by_text("Switch something off")).to_be_visible()
    # where it was touched, too
    reader.press(page.locator(".bw-panel").get_by_role("button", name="Load it"))
    # the weights that a page loads have 8 bits
    expect_change(page, {"mask": False}, "the causal mask", 0.03)
    expect(page.get_by_text("The switches take effect when")).to_be_hidden()
    expect(page.get_by_role("button", name="Load it")).to_have_count(0)
    flip(reader, ["Head 5 of block 4"])
    changes = {"mask": False, "heads": [[4, 5]]}
    expect_change(page, changes, "the causal mask and head 5 of block 4", 0.03)
    block = page.get_by_role("checkbox", name="All 8 heads of block 4")
    assert block.evaluate("box => box.indeterminate")
    reader.press(page.get_by_role("radio", name="block 4, head 2"))
    expect(page.get_by_role("checkbox", name="Head 2 of block 4")).to_be_checked()


def test_a_reply_that_comes_too_late_is_dropped(loaded: Page) -> None:
    loaded.evaluate("""() => {
        document.querySelector(".bw-switches input").click();
        document.querySelector(".bw-switches button").click();
    }""")
    loaded.wait_for_timeout(500)
    expect(loaded.get_by_role("checkbox", checked=False)).to_have_count(0)
    expect(loaded.get_by_text("Switch something off")).to_be_visible()


def test_a_switch_set_back_before_the_model_came_leaves_the_example(
    open_page: Open,
) -> None:
    page = open_page()
    flip(Reader(page, "mouse"), ["Scaling", "Scaling"])
    expect(page.get_by_text("The switches take effect when")).to_be_hidden()
    assert not any("mini." in url for url in page.log.requests)


def test_other_texts_are_read(loaded: Page) -> None:
    field, names = text_field(loaded), names_of(OTHER)
    field.fill(OTHER)
    expect(readout(loaded)).to_contain_text(f"“{names[-1]}” (token {len(names) - 1})")
    field.fill("")
    expect(loaded.get_by_text("there is no text")).to_be_visible()
    expect(loaded.get_by_text(f"The pictures still show “{OTHER}”.")).to_be_visible()
    field.fill("King")
    expect(loaded.get_by_text("there is one token")).to_be_hidden()
    field.fill("a")
    expect(loaded.get_by_text("there is one token")).to_be_visible()
    expect(readout(loaded)).to_have_text(
        "“a” (token 0) looks mostly at “a” (token 0), weight 1.000."
    )
    expect(loaded.get_by_text("The pictures still show")).to_be_hidden()
    field.fill("🙂 <b>&amp;")
    expect(readout(loaded)).to_contain_text("“;”")
    loaded.get_by_role("radio", name="links").click()
    field.fill("ab c " * 2000)
    expect(loaded.get_by_text("only its last 48 tokens")).to_be_visible()
    expect(readout(loaded)).to_contain_text("(token 47)")
    loaded.get_by_role("button", name="Reset").click()
    expect(readout(loaded)).to_contain_text("(token 13)")


@pytest.mark.parametrize("view", ["grid", "links"])
def test_the_largest_text_is_drawn_without_a_long_task(loaded: Page, view: str) -> None:
    loaded.get_by_role("radio", name=view).click()
    assert time_of_a_long_text(loaded) < 200


def time_of_a_long_text(page: Page) -> float:
    """Milliseconds of all tasks while a text of 48 tokens is drawn and read out."""
    text_field(page).fill(TEXT)
    expect(readout(page)).to_contain_text("(token 13)")

    def read_on() -> None:
        text_field(page).fill(LONG)
        expect(readout(page)).to_contain_text("(token 47)")
        picture(page).focus()
        for key in ("Home", "ArrowUp", "ArrowRight"):
            page.keyboard.press(key)
        page.wait_for_timeout(150)

    return Stopwatch(page).milliseconds(read_on)


def two_frames(page: Page) -> None:
    """Until what a change asked for is drawn."""
    page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def pixels(canvas: Locator) -> np.ndarray:
    """The red of each point of a canvas."""
    read = """canvas => { const { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        return [width, Array.from(data).filter((_, i) => i % 4 === 0)]; }"""
    width, numbers = canvas.evaluate(read)
    return np.array(numbers).reshape(-1, width)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_small_picture_is_of_its_head(open_page: Open, theme: str) -> None:
    page = open_page(theme)
    found = traced(TEXT, ["blocks.*.attention.weights"])
    two_frames(page)
    small = page.locator(".bw-small-head canvas").all()
    assert len(small) == 48
    for i, canvas in enumerate(small):
        numbers = found[f"blocks.{i // 8}.attention.weights"][i % 8]
        least, most = (0xF3, 0x2B) if theme == "light" else (0x20, 0xC9)
        expected = least + np.round(255 * np.sqrt(numbers)) * (most - least) / 255
        assert np.abs(pixels(canvas) - expected).max() <= 1.5


def test_the_colors_follow_the_theme(open_page: Open) -> None:
    page = open_page()
    drawn = """() => Array.from(document.querySelectorAll("canvas"), (canvas) => canvas.toDataURL())"""
    two_frames(page)
    light = page.evaluate(drawn)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    two_frames(page)
    dark = page.evaluate(drawn)
    assert len(light) == 49
    assert not set(light) & set(dark)


def copied(page: Page, part: str) -> list[tuple[str, np.ndarray]]:
    """Comments and arrays of the copied Python code."""
    page.get_by_label("Numbers of this head").select_option(part)
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.get_by_text("rounded to 4 decimals")).to_be_visible()
    code = page.evaluate("navigator.clipboard.readText()")
    lists = [ast.literal_eval(node.value) for node in ast.parse(code).body]
    comments = [line for line in code.splitlines() if line.startswith("#")]
    return list(zip(comments, map(np.array, lists), strict=True))


def test_numbers_are_copied_as_python_code(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    ((comment, numbers),) = copied(page, "weights")
    about = "blocks.4.attention.weights[5], shape (14, 14), mini, text: "
    assert comment == f'# {about}"{TEXT}"'
    exact = weights(TEXT, 4, 5).astype("f8").tolist()
    assert np.abs(numbers - np.array(exact)).max() <= 0.5001e-4
    page.get_by_label("Numbers of this head").select_option("q")
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.get_by_text("the others need the model")).to_be_visible()


def test_all_numbers_of_a_head_are_those_of_python(exact: Page) -> None:
    flip(Reader(exact, "mouse"), ["Scaling"])
    expect(exact.locator(".bw-head")).to_contain_text("without the scaling")
    found = copied(exact, "all")
    names = ["weights", "scores", "q", "k", "v"]
    want = [f"blocks.4.attention.{name}" for name in names]
    expected = traced(TEXT, want, scaling=False)
    for name, (comment, numbers) in zip(want, found, strict=True):
        assert comment.startswith(f"# {name}[5], shape {numbers.shape}, your model, ")
        assert comment.endswith(", without the scaling")
        assert numbers == pytest.approx(expected[name][5], abs=6e-4)


def test_without_the_right_to_copy_the_code_is_selected(open_page: Open) -> None:
    page = open_page()
    page.evaluate(NO_CLIPBOARD)
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.get_by_text("Selected below")).to_be_visible()
    page.wait_for_function(
        "String(getSelection()).startsWith('# blocks.4.attention.weights[5]')"
    )
    page.get_by_role("radio", name="block 0, head 0").click()
    expect(page.locator(".bw-taken")).to_be_hidden()


def saved(page: Page, part: str) -> tuple[str, Any]:
    page.get_by_label("Numbers of this head").select_option(part)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    download: Download = waiting.value
    return download.suggested_filename, json.loads(download.path().read_text())


def test_tensors_are_downloaded(exact: Page) -> None:
    name, file = saved(exact, "k")
    assert name == "blocks.4.attention.k.5.json"
    assert (file["name"], file["shape"]) == ("blocks.4.attention.k[5]", [14, 32])
    assert file["text"] == TEXT
    expected = traced(TEXT, ["blocks.4.attention.k"])["blocks.4.attention.k"][5]
    numbers = np.array(file["values"]).reshape(file["shape"])
    assert numbers == pytest.approx(expected, abs=1e-4)
    name, files = saved(exact, "all")
    assert name == "blocks.4.attention.all.5.json"
    assert [file["name"].split(".")[-1] for file in files] == [
        f"{part}[5]" for part in ("weights", "scores", "q", "k", "v")
    ]
    weights_ = np.array(files[0]["values"]).reshape(14, 14)
    assert weights_.sum(1) == pytest.approx(1, abs=1e-5)


def test_a_model_of_the_reader_s_own(open_page: Open, folder: Path) -> None:
    page = open_page()
    flip(Reader(page, "mouse"), ["Head 5 of block 4"])
    adopt(page, folder / "own")
    expect(page.locator(".bw-small-head")).to_have_count(SMALL.n_layers * SMALL.n_heads)
    expect(page.get_by_role("radio", name="block 1, head 2")).to_be_checked()
    expect(page.get_by_role("checkbox", checked=False)).to_have_count(0)
    flip(Reader(page, "mouse"), ["All 3 heads of block 1"])
    expect(page.locator(".bw-head")).to_contain_text("without all heads of block 1")
    page.get_by_role("button", name="Back to mini").click()
    expect(page.locator(".bw-small-head")).to_have_count(48)
    expect(page.get_by_role("checkbox", checked=False)).to_have_count(0)


def test_another_text_has_the_weights_that_python_finds(exact: Page) -> None:
    text_field(exact).fill(OTHER)
    numbers, names = weights(OTHER, 4, 5), names_of(OTHER)
    last = len(names) - 1
    expect_readout(exact, numbers, names, last, int(numbers[last].argmax()))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_state_fits_and_axe_finds_nothing(
    open_page: Open, theme: str, width: int
) -> None:
    page = open_page(theme, viewport={"width": width, "height": 900})
    assert_clean(page)
    load(page)
    flip(Reader(page, "mouse"), ["Causal mask", "Head 5 of block 4"])
    text_field(page).fill("unbroken" * 40 + " " + "日本" * 50)
    expect(readout(page)).to_contain_text("(token 47)")
    page.evaluate(NO_CLIPBOARD)
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.locator(".bw-taken")).to_be_visible()
    assert_clean(page)
    page.get_by_role("radio", name="links").click()
    assert_clean(page)
