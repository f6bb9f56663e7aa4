"""The widgets in Chromium, on a small page of their own, operated as a reader does."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import Stopwatch
from golden_tokenize import FILE
from hypothesis import strategies as st
from playwright.sync_api import Locator, Page, Route, expect
from widget_pages import (
    WAYS,
    Reader,
    assert_clean,
    both_themes,
    html,
    mount_all,
    site_folder,
    text_field,
)

from llmbook_utils.data import SlidingWindowDataset
from llmbook_utils.tokenizer import BytePairTokenizer, get_encoding
from llmbook_utils.widgets import (
    QuickQuestion,
    SlidingWindow,
    TokenizerExplorer,
)

pytestmark = pytest.mark.site

GPT2 = get_encoding("gpt2")
SMALL = BytePairTokenizer.train("hug pug hugs pugs bug", vocab_size=260).to_tiktoken()
TEXT = "The pugs hug 😀 lamplighters"
OPTIONS = [
    ("one", False, "`é` lies beyond ASCII"),
    ("two", True, "`é` takes two *bytes*"),
    ("four", False, "emoji take four"),
]
WIDGETS = {
    "explorer": TokenizerExplorer(TEXT, {"GPT-2": GPT2, "small": SMALL}),
    "window": SlidingWindow("In the evening they lit the lamp and went home", 4, 2),
    "question": QuickQuestion("How many bytes has `é`?", OPTIONS),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pages = {name: html(widget) for name, widget in WIDGETS.items()}
    pages["twice"] = html(*WIDGETS.values(), *WIDGETS.values())
    pages |= both_themes(*WIDGETS.values())
    return site_folder(tmp_path_factory.mktemp("widgets"), pages)


Open = Callable[..., Page]


@pytest.fixture(params=WAYS)
def reader(request: pytest.FixtureRequest, open_page: Open) -> Callable[[str], Reader]:
    def make(name: str) -> Reader:
        page = open_page(name, has_touch=request.param == "touch")
        return Reader(page, request.param)

    return make


def tokens(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Tokens").get_by_role("option")


def expect_tiles(page: Page, **numbers: str) -> None:
    """Each named number is shown; underscores in a name are spaces."""
    for name, number in numbers.items():
        label = page.get_by_text(name.replace("_", " "), exact=True)
        tile = page.locator(".bw-tiles div").filter(has=label)
        expect(tile.locator("b")).to_have_text(number)


def test_the_explorer_tokenizes_what_is_typed(reader: Callable[[str], Reader]) -> None:
    user = reader("explorer")
    page = user.page
    expect_tiles(page, characters="27", bytes="30", tokens="9", bytes_per_token="3.33")
    assert "gpt2.bin" not in "".join(page.log.requests)
    user.write(text_field(page), "Hello,  world")
    expect(tokens(page)).to_have_text(["Hello", ",", "␣", "␣world"])
    expect_tiles(page, tokens="4")
    expect(page.locator(".bw-summary")).to_contain_text("13 characters make 4 tokens")
    user.press(page.get_by_role("button", name="Reset"))
    expect(text_field(page)).to_have_value(TEXT)
    expect(tokens(page)).to_have_count(9)


def test_the_explorer_shows_text_ids_and_bytes(reader: Callable[[str], Reader]) -> None:
    user = reader("explorer")
    ids = GPT2.encode_ordinary(TEXT)
    expect(tokens(user.page).first).to_have_text("The")
    user.press(user.page.get_by_role("radio", name="ids"))
    expect(tokens(user.page)).to_have_text([str(id) for id in ids])
    user.press(user.page.get_by_role("radio", name="bytes"))
    shown = [GPT2.decode_single_token_bytes(id).hex(" ").upper() for id in ids]
    expect(tokens(user.page)).to_have_text(shown)
    user.press(user.page.get_by_role("radio", name="text"))
    expect(user.page.locator(".bw-legend").first).to_contain_text("␣ space")
    expect(user.page.locator(".bw-legend").first).to_contain_text(
        "not whole characters"
    )


def test_the_explorer_opens_a_token_and_walks_its_merges(
    reader: Callable[[str], Reader],
) -> None:
    user = reader("explorer")
    page = user.page
    if user.way == "keyboard":
        tokens(page).first.focus()
        for key in (
            "ArrowRight",
            "ArrowRight",
            "ArrowLeft",
            "End",
            "Home",
            "ArrowRight",
        ):
            page.keyboard.press(key)
    else:
        user.press(tokens(page).nth(1))
    expect(tokens(page).nth(1)).to_have_attribute("aria-selected", "true")
    expect(tokens(page).nth(1)).to_be_focused()
    expect(page.locator(".bw-facts")).to_contain_text("␣p")
    expect(page.locator(".bw-facts")).to_contain_text("20 70")
    parts, caption = page.locator(".bw-part"), page.locator(".bw-caption")
    expect(parts).to_have_text(["␣", "p", "u", "g", "s"])
    user.press(page.get_by_role("button", name="Next step"))
    expect(parts).to_have_text(["␣p", "u", "g", "s"])
    expect(caption).to_contain_text(
        "“␣” and “p” become “␣p”, token 279: merge 24 of 50,000"
    )
    expect(page.locator(".bw-joined")).to_have_text("␣p")
    expect(page.locator(".bw-next")).to_have_text(["u", "g"])
    user.slide(page.get_by_role("slider", name="step"), 1, "End")
    expect(parts).to_have_text(["␣p", "ugs"])
    expect(caption).to_contain_text("these are the tokens")
    user.press(page.get_by_role("button", name="Previous step"))
    expect(parts).to_have_text(["␣p", "ug", "s"])
    if user.way == "keyboard":
        page.keyboard.press("ArrowLeft")
        expect(parts).to_have_text(["␣p", "u", "g", "s"])
    user.press(page.get_by_role("button", name="Play"))
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(parts).to_have_text(["␣p", "ugs"], timeout=5000)
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_the_explorer_changes_the_encoding(reader: Callable[[str], Reader]) -> None:
    user = reader("explorer")
    page = user.page
    choice = page.get_by_label("Encoding")
    if user.way == "keyboard":
        choice.focus()
        page.keyboard.press("ArrowDown")
    else:
        choice.select_option("small")
    expect(page.locator(".bw-summary")).to_contain_text("in small")
    expect(tokens(page)).to_have_count(len(SMALL.encode_ordinary(TEXT)))
    user.write(text_field(page), "hugs")
    expect(tokens(page)).to_have_text(["hug", "s"])
    assert "gpt2.bin" not in "".join(page.log.requests)


def test_the_explorer_says_what_is_special_about_a_text(open_page: Open) -> None:
    page = open_page("explorer")
    area, notes = text_field(page), page.locator(".bw-notes")
    area.fill("")
    expect(notes).to_contain_text("no text yet")
    expect(tokens(page)).to_have_count(0)
    expect(page.locator(".bw-panel")).to_be_hidden()
    expect_tiles(page, bytes_per_token="\u2013")
    area.fill("<|endoftext|>")
    expect(notes).to_contain_text("ordinary text like any other")
    expect(tokens(page)).to_have_count(7)
    area.fill("ab " * 700)
    expect(notes).to_contain_text("Only the first 2,000 characters")
    expect_tiles(page, characters="2,000")
    area.evaluate(
        "area => { area.value = 'a\\ud83d b'; area.dispatchEvent(new Event('input')); }"
    )
    expect(notes).to_contain_text("lone surrogate")
    expect_tiles(page, bytes="6")
    area.fill("<b>bold</b> &amp;")
    expect(tokens(page).first).to_have_text("<")
    expect(notes).to_be_empty()


def test_an_answer_that_comes_too_late_is_dropped(open_page: Open) -> None:
    page = open_page("explorer")
    held: list[Route] = []
    page.route("**/gpt2.bin", lambda route: held.append(route))
    with page.expect_request("**/gpt2.bin"):
        text_field(page).fill("hugs and pugs")
    expect(page.locator(".bw-notes")).to_contain_text("Reading the text")
    page.get_by_label("Encoding").select_option("small")
    small = [b"hug", b"s", b" ", b"a", b"n", b"d", b" p", b"ug", b"s"]
    shown = [token.decode().replace(" ", "␣") for token in small]
    expect(tokens(page)).to_have_text(shown)
    with page.expect_response("**/gpt2.bin"):
        held[0].continue_()
    page.wait_for_timeout(300)
    expect(tokens(page)).to_have_text(shown)
    page.get_by_label("Encoding").select_option("GPT-2")
    expect(tokens(page)).to_have_text(["h", "ugs", "␣and", "␣p", "ugs"])


def test_a_missing_rank_file_is_told_and_tried_again(open_page: Open) -> None:
    page = open_page("explorer")
    page.route("**/gpt2.bin", lambda route: route.abort())
    text_field(page).fill("one")
    expect(page.locator(".bw-notes")).to_contain_text("could not be tokenized")
    page.unroute("**/gpt2.bin")
    text_field(page).fill("one two")
    expect(tokens(page)).to_have_text(["one", "␣two"])
    expect(page.locator(".bw-notes")).to_be_empty()
    assert all("gpt2.bin" in text for text in page.log.missing)
    assert all("Failed to load resource" in text for text in page.log.console)
    page.log.missing.clear()
    page.log.console.clear()


def test_the_window_moves(reader: Callable[[str], Reader]) -> None:
    user = reader("window")
    page = user.page
    row = page.locator(".bw-pairs tr")
    expect_tiles(
        page, tokens="10", windows="3", tokens_used="9", left_over="1", overlap="2"
    )
    expect(page.locator(".bw-note")).to_contain_text("share 2 inputs")
    expect(page.locator(".bw-note")).to_contain_text("positions 2\u20135")
    expect(row.first).to_contain_text("In818␣the262␣evening6180␣they484")
    user.press(page.get_by_role("button", name="Next window"))
    expect(page.locator(".bw-summary")).to_contain_text(
        "Window 2 of 3 reads positions 2\u20135"
    )
    expect(row.first).to_contain_text("␣evening6180␣they484␣lit6578␣the262")
    expect(row.last).to_contain_text("␣they484␣lit6578␣the262␣lamp20450")
    expect(page.locator(".bw-current")).to_contain_text("2")
    user.slide(page.get_by_role("slider", name="window"), 1, "End")
    expect(page.locator(".bw-summary")).to_contain_text("Window 3 of 3")
    user.press(page.get_by_role("button", name="Previous window"))
    expect(page.locator(".bw-summary")).to_contain_text("Window 2 of 3")
    if user.way == "keyboard":
        page.keyboard.press("ArrowLeft")
        expect(page.locator(".bw-summary")).to_contain_text("Window 1 of 3")


def test_the_window_takes_any_numbers(reader: Callable[[str], Reader]) -> None:
    user = reader("window")
    page = user.page
    context = page.get_by_role("spinbutton", name="Context length")
    stride = page.get_by_role("spinbutton", name="Stride")
    user.write(stride, "5")
    note = page.locator(".bw-note").last
    expect(note).to_contain_text("1 token is skipped: never an input are positions 4;")
    expect_tiles(page, skipped_between="1")
    user.write(stride, "4")
    expect(note).to_have_text("No token is read twice and none is skipped.")
    user.write(context, "10")
    expect(note).to_contain_text("has 10 tokens, but one window needs")
    expect(note).to_contain_text("context length + 1 = 11")
    expect(page.locator(".bw-pairs")).to_be_hidden()
    user.slide(page.get_by_role("slider", name="Context length"), 0, "Home")
    expect(context).to_have_value("1")
    expect(page.locator(".bw-error").first).to_be_empty()
    user.slide(page.get_by_role("slider", name="Stride"), 0, "Home")
    expect_tiles(page, windows="9")
    user.write(stride, "0")
    expect(page.locator(".bw-error").last).to_have_text(
        "a whole number from 1 to 1,024"
    )
    expect(stride).to_have_attribute("aria-invalid", "true")
    expect_tiles(page, windows="9")


def test_the_window_takes_any_text(reader: Callable[[str], Reader]) -> None:
    user = reader("window")
    page = user.page
    user.write(text_field(page), "one two three four five")
    expect(page.locator(".bw-summary")).to_contain_text("Window 1 of 1")
    expect(page.locator(".bw-table tbody tr")).to_have_count(1)
    summary = page.locator("summary")
    if user.way == "keyboard":
        summary.focus()
        page.keyboard.press("Enter")
    else:
        user.press(summary)
    expect(page.locator(".bw-table")).to_be_hidden()
    user.write(text_field(page), "one")
    expect(page.locator(".bw-note")).to_contain_text("1 token, but")
    user.press(page.get_by_role("button", name="Reset"))
    expect(page.locator(".bw-summary")).to_contain_text("of 3")


def test_many_windows_are_listed_by_the_hundred(open_page: Open) -> None:
    page = open_page("window")
    text_field(page).fill("one two " * 120)
    page.get_by_role("spinbutton", name="Stride").fill("1")
    expect(page.locator("summary")).to_have_text("All 237 windows")
    expect(page.locator(".bw-table tbody tr")).to_have_count(100)
    page.get_by_role("button", name="Show 100 more").click()
    expect(page.locator(".bw-table tbody tr")).to_have_count(200)
    page.get_by_role("button", name="Show 100 more").click()
    expect(page.locator(".bw-table tbody tr")).to_have_count(237)
    page.get_by_role("spinbutton", name="Context length").fill("200")
    expect(page.locator(".bw-summary")).to_contain_text("The first 64 are drawn")


def test_the_question_is_answered_at_once(reader: Callable[[str], Reader]) -> None:
    user = reader("question")
    page = user.page
    verdict, reasons = page.get_by_role("status"), page.locator(".bw-reason:visible")
    expect(reasons).to_have_count(0)
    user.press(page.get_by_role("radio", name="one"))
    expect(reasons).to_have_text(["✗ Not this one. é lies beyond ASCII"])
    expect(verdict).to_contain_text("Not this one")
    if user.way == "keyboard":
        page.keyboard.press("ArrowDown")
    else:
        user.press(page.get_by_text("two", exact=True))
    expect(reasons).to_have_text(["✓ Right. é takes two bytes"])
    expect(reasons.locator("em")).to_have_text("bytes")
    expect(verdict).to_have_text("Right.")
    user.press(page.get_by_role("button", name="Show all reasons"))
    expect(reasons).to_have_count(3)
    user.press(page.get_by_role("button", name="Show all reasons"))
    expect(reasons).to_have_count(1)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_state_fits_and_axe_finds_nothing(
    open_page: Open, theme: str, width: int
) -> None:
    page = open_page(theme, viewport={"width": width, "height": 800})
    tokens(page).nth(2).click()
    page.get_by_role("button", name="Next step").click()
    page.get_by_role("spinbutton", name="Stride").fill("6")
    page.get_by_role("radio", name="two").click()
    page.get_by_role("button", name="Show all reasons").click()
    page.emulate_media(reduced_motion="reduce")
    assert_clean(page)
    long = "unbroken" * 40 + " " + "-" * 300 + " " + "日本" * 50
    for area in text_field(page).all():
        area.fill(long)
    expect(page.locator(".bw-summary").first).to_contain_text("in GPT-2")
    expect(page.locator(".bw-facts")).to_contain_text("unbroken")
    assert_clean(page)


def test_axe_finds_nothing_where_a_widget_stands_twice(open_page: Open) -> None:
    assert_clean(open_page("twice"))


def test_the_focus_is_visible(open_page: Open) -> None:
    page = open_page("light")
    seen = set()
    for _ in range(24):
        page.keyboard.press("Tab")
        tag, width = page.evaluate(
            """() => { const e = document.activeElement;
            const ring = e.closest('.bw-segment') ?? e;
            const { outlineStyle, outlineWidth } = getComputedStyle(ring);
            const width = outlineStyle === "none" ? 0 : parseFloat(outlineWidth);
            return [e.className || e.type || e.tagName, width]; }"""
        )
        seen.add(tag)
        assert width >= 2, tag
    assert {"bw-text", "bw-select", "bw-chip", "range", "bw-number"} <= seen


def test_without_javascript_the_fallback_is_there(open_page: Open) -> None:
    page = open_page("light", wait=False, java_script_enabled=False)
    assert page.locator(".bw").count() == 0
    captions = page.locator("caption").all_inner_texts()
    assert [text.split(" (")[0] for text in captions] == [
        "27 characters make 9 tokens in GPT-2",
        "27 characters make 26 tokens in small",
        "10 tokens give 3 windows of 4 inputs, a new one every 2 tokens; the targets "
        "are the inputs one token later",
    ]
    assert page.locator("details").count() == len(OPTIONS)
    page.locator("details summary").nth(1).click()
    expect(page.get_by_text("✓ Right.")).to_be_visible()


def test_on_paper_the_fallback_stands_in_place_of_the_widget(open_page: Open) -> None:
    page = open_page("light")
    widgets, fallbacks = page.locator(".bw"), page.locator(".bw-fallback")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(fallbacks).to_have_count(len(WIDGETS))
    for fallback in fallbacks.all():
        expect(fallback).to_be_visible()
    for widget in widgets.all():
        expect(widget).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(fallbacks).to_have_count(0)
    expect(widgets.first).to_be_visible()


def test_a_widget_that_fails_keeps_its_fallback(
    open_page: Open, folder: Path, address: str
) -> None:
    broken = WIDGETS["question"].to_html().replace("quick-question", "no-such-widget")
    page = WIDGETS["question"].to_html()
    whole = html(WIDGETS["question"]).replace(page, broken + page)
    (folder / "broken.html").write_text(whole, encoding="utf-8")
    opened = open_page("broken", wait=False)
    first, second = opened.locator(".bw-mount").all()
    expect(first).to_have_attribute("data-bw-error", re.compile("no-such-widget"))
    expect(first.locator(".bw-fallback")).to_be_visible()
    expect(second).to_have_attribute("data-bw-ready", "1")
    assert len(opened.log.missing) == 1
    opened.log.missing.clear()
    opened.log.console.clear()


def test_a_widget_far_below_waits_until_it_comes_near(
    open_page: Open, folder: Path
) -> None:
    far = html(WIDGETS["question"]).replace("<h1>", '<h1 style="height: 3000px">')
    (folder / "far.html").write_text(far, encoding="utf-8")
    page = open_page("far", wait=False)
    page.wait_for_load_state("networkidle")
    assert not any("quick-question.js" in url for url in page.log.requests)
    mount_all(page)


def test_little_is_loaded_before_the_reader_does_anything(
    open_page: Open, folder: Path
) -> None:
    page = open_page("light")
    page.wait_for_load_state("networkidle")
    paths = [urlsplit(url).path for url in page.log.requests if url.startswith("http")]
    names = [path.lstrip("/") for path in paths if not path.endswith(".html")]
    assert not {"gpt2.bin", "mini.bin", "mini.safetensors"} & set(names)
    assert {"host/static-host.js", "views/tokenizer-explorer.js", "style.css"} <= set(
        names
    )
    loaded = [(folder / name).read_bytes() for name in names]
    loaded += [widget.to_html().encode() for widget in WIDGETS.values()]
    total = sum(len(gzip.compress(data)) for data in loaded)
    assert total <= 100_000


RUN = """async ([texts, answerer]) => {
    const { connect } = await import(answerer);
    const state = { encodings: [{ ranks: "gpt2.bin" }] };
    return new Promise((resolve) => {
        const replies = [];
        const take = (reply) => replies.push(reply) === texts.length && resolve(replies);
        const line = connect((name) => state[name], take);
        texts.forEach((text, seq) => line.send({ kind: "tokenize", seq, text, encoding: 0 }));
    });
}"""


def page_answers(page: Page, texts: list[str]) -> list[dict[str, Any]]:
    return page.evaluate(RUN, [texts, "./host/page-answerer.js"])


def test_the_page_answers_as_python_does(open_page: Open) -> None:
    cases = json.loads(FILE.read_text(encoding="utf-8"))
    answers = page_answers(open_page("question"), [case["text"] for case in cases])
    for seq, (case, answer) in enumerate(zip(cases, answers, strict=True)):
        assert answer == {"kind": "tokenize", "seq": seq, **case}


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_the_page_equals_tiktoken_on_any_assigned_unicode(open_page: Open) -> None:
    text = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=60)
    texts = st.lists(text, min_size=300, max_size=300).example()
    answers = page_answers(open_page("question"), texts)
    for text, answer in zip(texts, answers, strict=True):
        found = [token for chunk in answer["chunks"] for token in chunk["tokens"]]
        assert [token["id"] for token in found] == GPT2.encode_ordinary(text), text
        data = b"".join(bytes(token["bytes"]) for token in found)
        assert data == text.encode()


IDS = """async (texts) => {
    const { readRanks, tokenize } = await import("./engine/bpe.js");
    const ranks = readRanks(await (await fetch("gpt2.bin")).arrayBuffer());
    return texts.map((text) => {
        const tokens = tokenize(text, ranks).chunks.flatMap((chunk) => chunk.tokens);
        return tokens.map((token) => token.id);
    });
}"""


def test_the_page_is_quick_on_one_long_chunk(open_page: Open) -> None:
    texts = ["a" * 2000, "字" * 2000, "😀" * 2000, " " * 2000]
    page = open_page("question")
    answers = []
    taken = Stopwatch(page).milliseconds(
        lambda: answers.extend(page.evaluate(IDS, texts))
    )
    for text, ids in zip(texts, answers, strict=True):
        assert ids == GPT2.encode_ordinary(text)
    assert taken < 2000


PURE = """async ([module, name, cases]) => {
    const found = await import(module);
    return cases.map((values) => found[name](...values));
}"""


def test_the_windows_are_those_of_the_data_set(open_page: Open) -> None:
    cases = [[n, c, s] for n in range(14) for c in range(1, 6) for s in range(1, 8)]
    call = ["./views/sliding-window.js", "usage", cases]
    page = open_page("question")
    starts = page.evaluate(PURE, [call[0], "windowStarts", cases])
    usages = page.evaluate(PURE, call)
    for (n, c, s), found, usage in zip(cases, starts, usages, strict=True):
        inputs = [] if n < c + 1 else windows(n, c, s)
        assert found == [window[0] for window in inputs]
        reads = [sum(at in window for window in inputs) for at in range(n)]
        assert usage["reads"] == reads
        assert usage["used"] == (inputs[-1][-1] + 2 if inputs else 0)
        assert usage["used"] + usage["leftOver"] == n


def windows(n: int, context_length: int, stride: int) -> list[list[int]]:
    dataset = SlidingWindowDataset(list(range(n)), context_length, stride)
    return [inputs.tolist() for inputs, _ in dataset]


def test_jupyterlab_leaves_the_keys_to_what_has_the_focus(open_page: Open) -> None:
    page = open_page("window")
    slider = page.get_by_role("slider").first
    assert slider.get_attribute("data-lm-suppress-shortcuts") is None
    slider.focus()
    assert slider.get_attribute("data-lm-suppress-shortcuts") == "true"
