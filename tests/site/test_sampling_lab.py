"""The sampling lab in Chromium, operated as a reader does, against the numbers of generate.py."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from browser import Stopwatch
from models import sampling, vivid
from playwright.sync_api import Locator, Page, expect
from saved_models import SMALL, tokenizer  # noqa: F401
from widget_pages import (
    WAYS,
    Reader,
    adopt,
    assert_clean,
    both_themes,
    html,
    load,
    site_folder,
)

from llmbook_utils.config import GPTConfig
from llmbook_utils.generate import (
    draw,
    generate,
    next_token_probabilities,
    penalize,
    uniform_numbers,
)
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.tokenizer import get_encoding
from llmbook_utils.widgets import SamplingLab
from llmbook_utils.widgets.base import percent

pytestmark = pytest.mark.site

TEXT = "The old king and the old queen had one son. The old"
FIRST = {"temperature": 0.8, "top_k": 50, "top_p": 0.95}
CALL = """async ([cases]) => {
    const { NextToken, drawMany } = await import("./views/sampling-lab.js");
    const { uniformNumbers } = await import("./engine/sampling.js");
    return cases.map(([logits, ids, options, seed]) => {
        const next = new NextToken(Float32Array.from(logits), ids);
        const { probabilities, steps, top_p } = next.with(options);
        const drawn = drawMany(probabilities, Array.from({ length: 50 }, uniformNumbers(seed)));
        return [Array.from(probabilities), steps, drawn, next.order, top_p];
    });
}"""
# the quickest of eight moves of each slider: what else the machine does can only slow them
SLIDE = """(slider) => {
    for (let i = 0; i < 8; i += 1) {
        slider.value = slider.valueAsNumber + (i % 2 ? 1 : -1) * slider.step;
        slider.dispatchEvent(new Event("input"));
        document.body.offsetHeight;
    }
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:  # noqa: F811
    pages = both_themes(SamplingLab(TEXT, **FIRST))
    folder = site_folder(tmp_path_factory.mktemp("lab"), pages)
    save_pretrained(vivid(SMALL), tokenizer, folder / "own")
    return folder


Open = Callable[..., Page]


@pytest.fixture(scope="module")
def plain() -> tuple[torch.Tensor, torch.Tensor]:
    """The logits (1, V) of `mini` after TEXT, and its ids (1, T)."""
    model, tokenizer = load_pretrained("mini")  # noqa: F811
    ids = torch.tensor([tokenizer.encode_ordinary(TEXT)])
    with torch.inference_mode():
        return model.eval()(ids)[:, -1], ids


def rows(page: Page, name: str) -> list[list[str]]:
    table = page.get_by_role("group", name=name, exact=True).locator("tbody")
    return table.evaluate(
        "body => [...body.rows].map(r => [...r.cells].map(c => c.innerText.trim()))"
    )


def field(page: Page, name: str) -> Locator:
    return page.get_by_role("spinbutton", name=name)


def sentence(page: Page) -> Locator:
    return page.locator(".bw-summary[aria-live=polite]")


@pytest.fixture(params=WAYS)
def user(request: pytest.FixtureRequest, open_page: Open) -> Reader:
    return Reader(open_page(has_touch=request.param == "touch"), request.param)


def test_the_stored_example_has_pythons_numbers(open_page: Open, plain: Any) -> None:
    page = open_page()
    logits, ids = plain
    before = logits.softmax(dim=-1)[0]
    after = next_token_probabilities(logits, ids, sampling(**FIRST))[0]
    order = before.argsort(descending=True)[:10].tolist()
    shown = rows(page, "Tokens and their probabilities")
    for place, (id, row) in enumerate(zip(order, shown[:10], strict=True), 1):
        chance = percent(float(after[id])) if after[id] else "–"
        assert [row[0], *row[2:5]] == [
            str(place),
            str(id),
            percent(float(before[id])),
            chance,
        ]
    rest = 1 - float(before[order].sum())
    assert shown[10][1:5] == ["all 4,086 others together", "", percent(rest), "–"]
    left = int((after > 0).sum())
    expect(sentence(page)).to_have_text(
        f"At temperature 0.8 the most probable next token is “␣woman” with {percent(float(after.max()))}; "
        f"{left} tokens of 4,096 can be drawn."
    )
    assert not any("mini." in url for url in page.log.requests)


def test_options_change_what_is_drawn_without_a_model(user: Reader) -> None:
    page = user.page
    steps = partial(rows, page, "Steps")
    assert [row[:2] for row in steps()] == [
        ["the model's own", "4,096"],
        ["repetition penalty", "off"],
        ["temperature 0.8", "4,096"],
        ["top-k 50", "50"],
        ["top-p 0.95", "8"],
        ["min-p", "off"],
    ]
    user.press(page.get_by_role("checkbox", name="Top-p"))
    expect(sentence(page)).to_contain_text("50 tokens of 4,096")
    user.write(field(page, "Top-k"), "3")
    expect(sentence(page)).to_contain_text("3 tokens of 4,096")
    user.press(page.get_by_role("checkbox", name="Top-k"))
    expect(sentence(page)).to_contain_text("4,096 tokens of 4,096")
    user.press(page.get_by_role("checkbox", name="Min-p"))
    expect(sentence(page)).to_contain_text(
        "3 tokens of 4,096"
    )  # a tenth of ␣woman's and more
    user.press(page.get_by_role("checkbox", name="Repetition penalty"))
    expect(sentence(page)).to_contain_text("“␣woman”")
    user.slide(page.get_by_role("slider", name="Repetition penalty"), 1, "End")
    expect(field(page, "Repetition penalty")).to_have_value("3")
    assert steps()[1][:2] == ["repetition penalty 3", "4,096"]
    user.slide(page.get_by_role("slider", name="Temperature"), 0, "Home")
    expect(sentence(page)).to_contain_text("which is always taken; 1 token of 4,096")
    assert steps()[5][1].startswith("0.1: nothing to cut")
    assert not any("mini." in url for url in page.log.requests)


def test_a_wrong_number_is_told_beside_its_field(open_page: Open) -> None:
    page = open_page()
    for name, value, says in (
        ("Temperature", "6", "a number from 0 to 5; 0.8 is used"),
        ("Temperature", "", "a number from 0 to 5; 0.8 is used"),
        ("Top-k", "0", "a whole number from 1 to 4,096; 50 is used"),
        ("Top-k", "2.5", "a whole number from 1 to 4,096; 50 is used"),
        ("Top-p", "0", "a number from 0.001 to 1; 0.95 is used"),
        ("Seed", "-1", "a whole number from 0 to 4,294,967,295; 0 is used"),
        ("Length", "201", "a whole number from 1 to 200; 60 is used"),
    ):
        box, before = field(page, name), sentence(page).inner_text()
        valid = box.input_value()
        error = page.locator(".bw-setting").filter(has=box).locator(".bw-error")
        box.fill(value)
        expect(error).to_have_text(says)
        expect(box).to_have_attribute("aria-invalid", "true")
        assert sentence(page).inner_text() == before
        box.fill(valid)
        expect(error).to_be_empty()
        expect(box).to_have_attribute("aria-invalid", "false")


def test_the_tokens_are_paged_and_found(user: Reader) -> None:
    page = user.page
    user.press(page.get_by_role("button", name="Next page"))
    table = partial(rows, page, "Tokens and their probabilities")
    assert [row[0] for row in table()][:10] == [str(place) for place in range(11, 21)]
    user.slide(page.get_by_role("slider", name="page"), 1, "End")
    assert table()[-2][0] == "4096"
    _, tokenizer = load_pretrained("mini")  # noqa: F811
    names = [tokenizer.decode_single_token_bytes(id) for id in range(4096)]
    find = page.get_by_role("searchbox", name="Find a token")
    for text, wanted in (("␣king", b" king"), ("é", "é".encode()), ("zzzz", b"zzzz")):
        user.write(find, text)
        ids = {str(id) for id, name in enumerate(names) if wanted in name}
        expect(page.get_by_text("of 4,096 found.")).to_contain_text(f"{len(ids)} token")
        assert {row[2] for row in table()[:-1]} == ids
    user.write(find, "1188")
    assert table()[0][:3] == ["2", "␣king", "1188"]
    user.write(find, "")
    assert table()[0][0] == "1"


def test_all_tokens_are_drawn_with_the_cuts(open_page: Open) -> None:
    page = open_page()
    user = Reader(page, "keyboard")
    user.press(page.get_by_role("radio", name="all tokens"))
    curve = page.locator(".bw-curve").get_by_role("img")
    for what, option in (
        ("probabilities", None),
        ("running sum of the probabilities", "running sum"),
    ):
        if option:
            user.press(page.get_by_role("radio", name=option))
        name = f"The {what} of all 4,096 tokens, from the most to the least probable; after the cuts 8 are left."
        expect(curve).to_have_attribute("aria-label", name)
        expect(curve.locator(".bw-cut-name")).to_have_text(
            ["top-k: 50 left", "top-p: 8 left"]
        )
        ends = curve.locator(".bw-curve-line").evaluate_all(
            "lines => lines.map(line => line.getPointAtLength(line.getTotalLength()).x)"
        )
        cuts = curve.locator(".bw-cut-line:not(.bw-level)").evaluate_all(
            "lines => lines.map(l => +l.getAttribute('x1'))"
        )
        assert ends[2] == pytest.approx(cuts[1], abs=0.2), (
            "the kept end where the last cut is"
        )
        assert cuts[1] < cuts[0] < ends[0]
    level = curve.locator(".bw-level")
    expect(level).to_have_count(1)  # top-p, as a height of the running sum
    user.press(page.get_by_role("checkbox", name="Top-p"))
    expect(level).to_have_count(0)
    user.write(field(page, "Temperature"), "0")
    expect(curve).to_have_attribute(
        "aria-label", re.compile("after the cuts 1 are left")
    )


def test_draws_are_pythons(open_page: Open, plain: Any) -> None:
    page = open_page(has_touch=True)
    user = Reader(page, "touch")
    user.press(page.get_by_role("radio", name="draws"))
    logits, ids = plain
    chances = next_token_probabilities(logits, ids, sampling(**FIRST))
    for seed, n in ((0, 1000), (7, 10_000), (7, 1)):
        user.write(field(page, "Seed"), str(seed))
        user.press(page.get_by_role("radio", name=f"{n:,}", exact=True))
        numbers = uniform_numbers(seed)
        drawn = [int(draw(chances, [next(numbers)])) for _ in range(n)]
        order = [int(id) for id in chances[0].argsort(descending=True)[:8]]
        shown = [row[2].split()[-2] for row in rows(page, "Draws and probabilities")]
        assert shown == [f"{drawn.count(id):,}" for id in order]
    user.press(page.get_by_role("button", name="Another seed", exact=True))
    expect(field(page, "Seed")).to_have_value("8")
    user.press(page.get_by_role("radio", name="100", exact=True))
    scope: dict[str, Any] = {}
    exec(page.locator(".bw-code").first.text_content(), scope)
    counts = [row[2].split()[-2] for row in rows(page, "Draws and probabilities")]
    assert counts == [str(scope["drawn"].count(id)) for id in order]


def test_each_token_of_the_continuation_is_opened(user: Reader) -> None:
    page = user.page
    chips = page.get_by_role("listbox", name="Tokens of the continuation").get_by_role(
        "option"
    )
    expect(chips).to_have_count(60)
    expect(chips.first).to_have_attribute("aria-selected", "true")
    model, tokenizer = load_pretrained("mini")  # noqa: F811
    ids = torch.tensor([tokenizer.encode_ordinary(TEXT)])
    whole = generate(model, ids, 60, **FIRST, seed=0)
    if user.way == "keyboard":
        chips.first.focus()
        for key in ("End", "Home", *["ArrowRight"] * 6, "ArrowLeft"):
            page.keyboard.press(key)
    else:
        user.press(chips.nth(5))
    expect(chips.nth(5)).to_be_focused()
    expect(chips.nth(5)).to_have_attribute("aria-selected", "true")
    read = whole[:, : ids.shape[1] + 5]
    with torch.inference_mode():
        logits = model.eval()(read)[:, -1]
    after = next_token_probabilities(logits, read, sampling(**FIRST))[0]
    shown = rows(page, "Alternatives")
    for id, row in zip(
        after.argsort(descending=True)[:5].tolist(), shown, strict=False
    ):
        before = float(logits.softmax(dim=-1)[0, id])
        assert row[1:3] == [
            percent(before),
            percent(float(after[id])) if after[id] else "–",
        ]
    drawn = int(whole[0, ids.shape[1] + 5])
    assert [row[0] for row in shown if "drawn" in row[0]] == [
        f"{tokenizer.decode([drawn]).replace(' ', '␣')} drawn"
    ]
    user.write(field(page, "Temperature"), "1")
    expect(page.get_by_text("options have changed since")).to_be_visible()
    user.press(page.get_by_role("button", name="Reset"))
    user.write(field(page, "Temperature"), "0.8")
    expect(page.get_by_text("options have changed since")).to_be_hidden()


def test_the_model_is_loaded_and_goes_on(user: Reader) -> None:
    page = user.page
    user.write(field(page, "Length"), "200")
    user.write(page.get_by_role("textbox", name="Text"), "The little girl")
    expect(page.locator(".bw-model")).to_have_class(re.compile("bw-wanted"))
    expect(page.get_by_text("The next token after")).to_contain_text(
        TEXT
    )  # what is drawn stays, and says of what
    user.press(page.get_by_role("button", name="Continue (loads"))
    chips = page.get_by_role("listbox", name="Tokens of the continuation").get_by_role(
        "option"
    )
    expect(page.locator(".bw-prompt")).to_have_text("The little girl", timeout=20_000)
    expect(page.get_by_text("The next token after")).to_contain_text("The little girl")
    expect(chips.nth(2)).to_be_visible()
    user.press(page.get_by_role("button", name="Stop"))
    expect(page.get_by_text("You stopped it.")).to_be_visible()
    assert chips.count() < 200
    user.write(field(page, "Length"), "3")
    user.press(page.get_by_role("button", name="Another seed, and continue"))
    expect(page.get_by_text("3 tokens drawn with")).to_contain_text("seed=1.")


def test_a_continuation_replaces_one_that_is_running(
    open_page: Open, folder: Path
) -> None:
    page = open_page()
    adopt(page, folder / "own")
    # a text that leaves room in the context, in which two continuations could get in each other's way
    page.get_by_role("textbox", name="Text").fill("a")
    expect(page.get_by_text("The next token after")).to_contain_text("“a”")
    field(page, "Length").fill("11")
    go = page.get_by_role("button", name="Continue", exact=True)
    for _ in range(3):
        go.evaluate("button => button.click()")
    expect(page.get_by_text("11 tokens drawn")).to_be_visible(timeout=20_000)
    page.get_by_text("The same tokens in Python").click()
    assert_code_draws_what_is_shown(page, folder)


def assert_code_draws_what_is_shown(page: Page, folder: Path) -> None:
    """Run the copied code, with the path put in, and compare every token."""
    code = page.locator(".bw-code").last.text_content()
    *lines, last = code.replace(
        '"path/of/the/folder"', json.dumps(str(folder / "own"))
    ).split("\n")
    scope: dict[str, Any] = {}
    exec("\n".join([*lines, f"new = {last}"]), scope)
    ids, new = scope["ids"], scope["new"]
    tokens = [
        scope["tokenizer"].decode_single_token_bytes(id)
        for id in new[0, ids.shape[1] :].tolist()
    ]
    shown = page.locator(".bw-told .bw-chip").all_inner_texts()
    assert len(shown) == len(tokens)
    for token, text in zip(tokens, shown, strict=True):
        if token.decode(errors="replace").isalpha():
            assert text == token.decode()


def test_a_model_of_ones_own_and_its_vocabulary(open_page: Open, folder: Path) -> None:
    page = open_page()
    adopt(page, folder / "own")
    expect(sentence(page)).to_contain_text("of 300 can be drawn")
    expect(field(page, "Top-k")).to_have_attribute("max", "300")
    model, own = load_pretrained(folder / "own")
    ids = torch.tensor([own.encode_ordinary(TEXT)[-model.config.context_length :]])
    with torch.inference_mode():
        logits = model.eval()(ids)[:, -1]
    page.get_by_role("checkbox", name="Repetition penalty").check()
    after = next_token_probabilities(
        logits, ids, sampling(**FIRST, repetition_penalty=1.2)
    )[0]
    expect(sentence(page)).to_contain_text(f"{int((after > 0).sum())} tokens of 300")
    shown = {
        row[2]: row[4] for row in rows(page, "Tokens and their probabilities")[:10]
    }
    for id, chance in shown.items():
        assert chance == (percent(float(after[int(id)])) if after[int(id)] else "–")
    page.get_by_role("searchbox").fill("he")
    names = {str(id): own.decode_single_token_bytes(id) for id in range(own.n_vocab)}
    found = [row[2] for row in rows(page, "Tokens and their probabilities")[:-1]]
    assert set(found) == {id for id, name in names.items() if b"he" in name} != set()
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(page.get_by_text("60 tokens drawn")).to_contain_text(
        "repetition_penalty=1.2"
    )
    page.get_by_text("The same tokens in Python").click()
    assert_code_draws_what_is_shown(page, folder)
    assert len(rows(page, "Alternatives")) in (5, 6)
    page.get_by_role("button", name="Back to mini").click()
    expect(sentence(page)).to_contain_text("of 4,096 can be drawn")


def test_any_text(open_page: Open) -> None:
    page = open_page()
    load(page)
    prompt = page.get_by_text("The next token after")
    area = page.get_by_role("textbox", name="Text")
    for text, shown in (
        ("😀 a cat", "😀 a cat"),
        ("the cat " * 1250, "… "),
        ("“Oh” <b>", "“Oh” <b>"),
    ):
        area.fill(text)
        expect(prompt).to_contain_text(f"“{shown}")
    area.fill("")
    expect(page.locator(".bw-notes").first).to_contain_text("there is no text")
    expect(prompt).to_contain_text("“Oh” <b>")
    area.fill("\u201cOh\u201d")
    expect(prompt).to_have_text("The next token after “\u201cOh\u201d”:")
    page.get_by_role("radio", name="draws").check()
    code = page.locator(".bw-code").first.text_content()
    assert "ids = torch.tensor([[" in code, "what was rewritten is given by its ids"


def test_the_code_is_copied(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_text("The same tokens in Python").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    last = "generate(model, ids, 60, temperature=0.8, top_k=50, top_p=0.95, seed=0, eos_id=4095)"
    assert copied.split("\n")[-1] == last
    assert f'encode_ordinary("{TEXT}")' in copied


def test_every_step_is_pythons(open_page: Open) -> None:
    random, cases = Random(4), []
    for _ in range(60):
        V = random.choice([5, 60, 400])
        options = {
            "temperature": random.choice([0, 0.3, 1, 4]),
            "top_k": random.choice([None, 1, 7, V, V + 1]),
            "top_p": random.choice([None, 0.2, 0.9]),
            "min_p": random.choice([None, 0.07, 1]),
            "repetition_penalty": random.choice([1, 1.4, 0.6]),
        }
        logits = [random.gauss(0, 3) for _ in range(V)]
        cases.append(
            [logits, random.sample(range(V), 3), options, random.randrange(2**32)]
        )
    page = open_page()
    for (logits, ids, options, seed), (found, steps, drawn, order, level) in zip(
        cases, page.evaluate(CALL, [cases]), strict=True
    ):
        numbers, read = torch.tensor([logits]).double(), torch.tensor([ids])
        expected = next_token_probabilities(numbers, read, sampling(**options))
        assert found == pytest.approx(expected[0].tolist(), abs=1e-6)
        stream = uniform_numbers(seed)
        assert drawn == [int(draw(expected, [next(stream)])) for _ in range(50)]
        seen = penalize(numbers, read, options["repetition_penalty"])[0]
        assert order == seen.sort(descending=True, stable=True).indices.tolist()
        if options["top_p"] is None or options["temperature"] == 0:
            assert level is None
        else:  # in the running sum before any cut
            least = {**options, "top_p": None, "min_p": None}
            kept = next_token_probabilities(numbers, read, sampling(**least))[0] > 0
            uncut = next_token_probabilities(
                numbers, read, sampling(**{**least, "top_k": None})
            )
            expected_level = options["top_p"] * float(uncut[0][kept].sum())
            assert level == pytest.approx(expected_level, abs=1e-6)
        names = ["temperature", "top_k", "top_p", "min_p"]
        used, before = {"repetition_penalty": options["repetition_penalty"]}, None
        if used["repetition_penalty"] != 1:
            assert steps[1] == {
                "name": "repetition_penalty",
                "left": len(logits),
                "cut": None,
                "largest": pytest.approx(float(seen.softmax(dim=-1).max())),
            }
        by_name = {step["name"]: step for step in steps}
        for name in names:
            used[name] = options[name]
            p = next_token_probabilities(numbers, read, sampling(**used))[0]
            step = by_name.get(name)
            if step is None:
                assert options[name] is None or options["temperature"] == 0
                continue
            cut = (
                None
                if name == "temperature"
                else pytest.approx(1 - float(before[p > 0].sum()), abs=1e-9)
            )
            assert step == {
                "name": name,
                "left": int((p > 0).sum()),
                "cut": cut,
                "largest": pytest.approx(float(p.max())),
            }
            before = p


def test_any_numbers_are_ordered(open_page: Open) -> None:
    random = Random(5)
    choices = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e-310, -1e-310, 3e9]
    cases = [
        [random.choice([*choices, random.gauss(0, 1)]) for _ in range(n)]
        for n in (0, 1, 9, 500)
    ]
    found = open_page().evaluate(
        """async (cases) => cases.map((await import("./engine/sampling.js")).byProbability)""",
        cases,
    )
    for numbers, order in zip(cases, found, strict=True):
        assert order == sorted(range(len(numbers)), key=lambda id: -numbers[id])


def test_a_large_vocabulary_follows_the_sliders(open_page: Open, folder: Path) -> None:
    config = GPTConfig(
        vocab_size=50257, context_length=8, emb_dim=16, n_heads=2, n_layers=1
    )
    options = {
        "temperature": 0.9,
        "top_k": 40_000,
        "top_p": 0.99,
        "min_p": 1e-6,
        "repetition_penalty": 1.1,
    }
    lab = SamplingLab(
        "The old king", **options, model=(vivid(config), get_encoding("gpt2"))
    )
    (folder / "large.html").write_text(html(lab), encoding="utf-8")
    page = open_page("large")
    expect(sentence(page)).to_contain_text("of 50,257 can be drawn")
    sliders = page.locator(".bw-settings input[type=range]")
    watch = Stopwatch(page)
    for view in ("the most probable", "all tokens", "draws"):
        page.get_by_role("radio", name=view).check()
        assert sliders.count() == 5
        for at in range(5):
            slide = partial(sliders.nth(at).evaluate, SLIDE)
            assert watch.milliseconds(slide) / 8 < 50, (view, at)


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_every_view_fits_and_axe_finds_nothing(
    open_page: Open, theme: str, width: int
) -> None:
    page = open_page(
        theme, viewport={"width": width, "height": 800}, reduced_motion="reduce"
    )
    page.get_by_text("The same tokens in Python").click()
    field(page, "Temperature").fill("9")
    for view in ("all tokens", "draws", "the most probable"):
        page.get_by_role("radio", name=view).check()
        if view == "draws":
            page.get_by_text("The same draws in Python").click()
        assert_clean(page)
    field(page, "Temperature").fill("0")
    page.get_by_role("searchbox").fill("unfindable")
    assert_clean(page)


def test_without_javascript_the_fallback_is_there(open_page: Open) -> None:
    page = open_page(wait=False, java_script_enabled=False)
    expect(page.locator("caption")).to_contain_text("which leaves 8 of 4,096 tokens")
    expect(page.locator("table tbody tr")).to_have_count(15)
    expect(page.locator(".bw-fallback p strong")).to_have_text(TEXT)


def test_a_table_that_is_drawn_again_keeps_the_focus(open_page: Open) -> None:
    page = open_page()
    table = page.get_by_role("group", name="Tokens and their probabilities", exact=True)
    table.focus()
    page.evaluate(
        """() => {
            const slider = document.querySelector("input[type=range]");
            slider.value = slider.max;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        }"""
    )
    page.wait_for_timeout(300)  # long enough for the table to be drawn again
    expect(table).to_be_focused()
