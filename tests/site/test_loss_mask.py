"""The loss-mask viewer in Chromium: every input and target equal to `instruct.collate`, losses equal to PyTorch's."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from page_weights import page_answerer
from playwright.sync_api import Locator, Page, expect
from torch.nn import functional as F
from widget_pages import WAYS, Reader, assert_clean, both_themes, html, site_folder

from llmbook_utils.files.instructions import Entry
from llmbook_utils.instruct import (
    STYLES,
    Example,
    collate,
    encode_turns,
    format_prompt,
    prepare,
)
from llmbook_utils.loss import IGNORED
from llmbook_utils.widgets import LossMaskViewer
from llmbook_utils.widgets.instructions import ADAPTER, mini_tokenizer, trained_style
from llmbook_utils.widgets.tokens import show

pytestmark = [pytest.mark.site, pytest.mark.usefixtures("one_thread")]

ENTRIES = [
    Entry("Which word did I say last?", "Silver fishes swam about.", "The word about."),
    Entry("Name a pet.", "", "A cat 😀."),
    Entry("Tell {input} a story.", "{instruction}", "It rained.\n\nThen it stopped."),
]
OWN = Entry("Turn it around:\tshort", "", 'It is "long".')
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pages = both_themes(LossMaskViewer(ENTRIES, "alpaca"))
    pages["short"] = html(LossMaskViewer(ENTRIES, "phi", context_length=39))
    return site_folder(tmp_path_factory.mktemp("mask"), pages)


@pytest.fixture(params=WAYS)
def user(request: pytest.FixtureRequest, open_page: Open) -> Reader:
    return Reader(open_page("light", has_touch=request.param == "touch"), request.param)


def rows(page: Page) -> Locator:
    return page.locator(".bw-lm-strip")


def chips(page: Page) -> Locator:
    return page.locator(".bw-lm-row .bw-chip")


def shown(page: Page) -> list[list[str]]:
    """Input and target of each place of the row, as they are written."""
    read = "all => all.map(one => [...one.children].map(part => part.textContent))"
    return chips(page).evaluate_all(read)


def written(id: int) -> str:
    end = mini_tokenizer().eot_token
    return "end" if id == end else show(mini_tokenizer().decode_single_token_bytes(id))


def expected(inputs: list[int], targets: list[int]) -> list[list[str]]:
    def below(id: int) -> str:
        return str(IGNORED) if id == IGNORED else f"✓ {written(id)}"

    pairs = zip(inputs, targets, strict=True)
    return [[written(i), below(t)] for i, t in pairs]


def batch_of(entries: list[Entry], style: str, **options: Any) -> Any:
    """What the library makes of entries."""
    limit = options.get("context_length", 256)
    examples, _ = prepare(entries, mini_tokenizer(), STYLES[style], limit)
    made = collate(examples, mini_tokenizer().eot_token, **options)
    return [tensor.tolist() for tensor in made]


def assert_shown(user: Reader, inputs: list[list[int]], targets: list[Any]) -> None:
    page = user.page
    expect(rows(page)).to_have_count(len(inputs))
    for i, pair in enumerate(zip(inputs, targets, strict=True)):
        user.press(rows(page).nth(i))
        expect(rows(page).nth(i)).to_have_attribute("aria-pressed", "true")
        assert shown(page) == expected(*pair)
        marked = "all => all.map(one => one.classList.contains('bw-lm-counts'))"
        counts = [target != IGNORED for target in pair[1]]
        assert chips(page).evaluate_all(marked) == counts


@pytest.mark.parametrize("style", STYLES)
def test_every_row_is_that_of_collate(user: Reader, style: str) -> None:
    page = user.page
    user.press(page.get_by_role("radio", name=style))
    for mask_prompt, learn_end in ((True, True), (False, True), (False, False)):
        for name, wanted in (
            ("prompt masked", mask_prompt),
            ("end of the answer learned", learn_end),
        ):
            box = page.get_by_role("checkbox", name=name)
            if box.is_checked() != wanted:
                user.press(box)
        inputs, targets = batch_of(
            ENTRIES, style, mask_prompt=mask_prompt, learn_end=learn_end
        )
        said = page.locator(".bw-summary").first
        expect(said).to_contain_text(
            f"Inputs and targets are {len(inputs)} × {len(inputs[0])}"
        )
        assert_shown(user, inputs, targets)
        counted = sum(target != IGNORED for row in targets for target in row)
        expect(said).to_contain_text(f"targets {counted} count")
    assert not any("safetensors" in url for url in page.log.requests)


def test_entries_can_be_left_out_and_one_of_the_readers_own_put_in(
    user: Reader,
) -> None:
    page = user.page
    user.press(page.get_by_role("checkbox", name="Name a pet."))
    expect(rows(page)).to_have_count(2)
    for name, text in (
        ("Instruction", OWN.instruction),
        ("Answer", OWN.output),
    ):
        user.write(page.get_by_role("textbox", name=name, exact=True), text)
    expect(rows(page)).to_have_count(3)
    inputs, targets = batch_of([ENTRIES[0], ENTRIES[2], OWN], "alpaca")
    expect(rows(page).last).to_contain_text("3. your own")
    expect(page.locator(".bw-summary").first).to_contain_text(
        f"× {len(inputs[0])}", timeout=10_000
    )
    assert_shown(user, inputs, targets)
    user.write(page.get_by_role("textbox", name="Answer", exact=True), "  ")
    expect(rows(page)).to_have_count(2)
    for name in ("Which word", "Tell {input}"):
        user.press(page.get_by_role("checkbox", name=name))
    expect(page.locator(".bw-summary").first).to_contain_text("There is no row")
    expect(chips(page)).to_have_count(0)


def test_an_answer_beyond_the_context_is_cut_or_dropped(open_page: Open) -> None:
    user = Reader(open_page("short"), "mouse")
    options = {"context_length": 39}
    kept = [
        entry
        for entry in ENTRIES
        if any(
            encode_turns(
                mini_tokenizer(),
                [(entry.instruction, entry.input, entry.output)],
                STYLES["phi"],
            ).answer[1:40]
        )
    ]
    inputs, targets = batch_of(kept, "phi", **options)
    assert len(inputs[0]) == 39 and 0 < len(kept) < 3, "one is dropped, one is cut"
    dropped = user.page.locator(".bw-note", has_text="Dropped")
    expect(dropped).to_have_count(3 - len(kept))
    expect(dropped.first).to_contain_text("within the 39 that are read")
    assert_shown(user, inputs, targets)


def test_a_place_is_told_and_chosen_with_the_arrow_keys(open_page: Open) -> None:
    page = open_page("light")
    inputs, targets = batch_of(ENTRIES, "alpaca")
    told = page.locator(".bw-summary").nth(1)
    at = next(i for i, target in enumerate(targets[0]) if target != IGNORED)
    expect(told).to_contain_text(f"Place {at}:")
    expect(told).to_contain_text("It is the target, and counts.")
    chips(page).nth(at).focus()
    page.keyboard.press("ArrowLeft")
    expect(told).to_contain_text(f"Place {at - 1}:")
    expect(told).to_contain_text("part of the prompt. The target is -100")
    page.keyboard.press("End")
    expect(told).to_contain_text(f"Place {len(inputs[0]) - 1}:")
    expect(told).to_contain_text("padding")


def test_losses_are_those_of_pytorch(open_page: Open) -> None:
    page, answerer = open_page("light"), page_answerer()
    row = 0
    inputs, targets = (torch.tensor(part) for part in batch_of(ENTRIES, "alpaca"))
    page.get_by_role("button", name="Compute its losses").click()
    cells = page.locator(".bw-lm-losses tbody tr")
    expect(cells.first).to_contain_text("mean", timeout=60_000)
    found = cells.evaluate_all(
        "all => all.map(one => [...one.cells].map(c => c.textContent))"
    )
    counts = targets[row] != IGNORED
    for column, adapter in ((1, None), (2, ADAPTER)):
        answerer.adapters.wear(adapter)
        with torch.no_grad():
            logits = answerer.model.eval()(inputs[row : row + 1])[0]
        losses = F.cross_entropy(logits[counts], targets[row][counts], reduction="none")
        numbers = [losses.mean().item(), *losses.tolist()]
        assert [float(line[column]) for line in found] == pytest.approx(
            numbers, abs=0.006
        )
    names = [line[0] for line in found[1:]]
    assert names == [written(id) for id in targets[row][counts].tolist()]
    other = page.get_by_text("The adapter learned in the style")
    expect(other).to_have_count(int(trained_style() != "alpaca"))
    # another row has other losses
    rows(page).nth(1).click()
    expect(cells).to_have_count(0)


def random_examples(random: Random) -> list[Example]:
    """Rows of ids, the end of a text among them."""
    examples = []
    for _ in range(random.randint(1, 4)):
        n = random.randint(1, 12)
        ids = [random.randint(0, 5) for _ in range(n)]
        at = random.randint(0, n)
        examples.append(Example(ids, [i >= at for i in range(n)]))
    return examples


def test_the_arithmetic_is_that_of_the_library(open_page: Open) -> None:
    random, cases, found = Random(16), [], []
    for _ in range(200):
        examples = random_examples(random)
        limit = random.randint(1, 14)
        mask, learn = random.random() < 0.5, random.random() < 0.5
        options = {"contextLength": limit, "maskPrompt": mask, "learnEnd": learn}
        plain = [{"ids": one.ids, "answer": one.answer} for one in examples]
        cases.append([plain, 0, options])
        inputs, targets = collate(
            examples, 0, context_length=limit, mask_prompt=mask, learn_end=learn
        )
        kept = [any(one.answer[1 : limit + 1]) for one in examples]
        found.append([inputs.tolist(), targets.tolist(), kept])
    call = """async cases => {
        const { collate, isKept } = await import("./views/loss-mask-math.js");
        return cases.map(([examples, end, options]) => {
            const { inputs, targets } = collate(examples, end, options);
            return [inputs, targets, examples.map(one => isKept(one, options.contextLength))];
        });
    }"""
    assert open_page("light").evaluate(call, cases) == found


def test_prompts_are_those_of_the_library(open_page: Open) -> None:
    around = ["", " ", "\n\t ", "\x1c\x1f", "\u2028\u00a0", "\ufeff"]
    texts = ["Do {input} {instruction}.", "a  b", "$& $1 {{x}}", "“Ah” …"]
    cases = [
        [a + text + b, a + more + b, style]
        for style in STYLES
        for a, b in zip(around, reversed(around), strict=True)
        for text in texts
        for more in ("", "{instruction}", "The sea.")
    ]
    call = """async ([cases, styles]) => {
        const { formatPrompt } = await import("./parts/prompts.js");
        return cases.map(([a, b, style]) => formatPrompt(a, b, styles[style]));
    }"""
    styles = LossMaskViewer(ENTRIES).styles
    found = open_page("light").evaluate(call, [cases, styles])
    assert found == [format_prompt(a, b, STYLES[style]) for a, b, style in cases]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_and_axe_finds_nothing(open_page: Open, theme: str, width: int) -> None:
    page = open_page(theme, viewport={"width": width, "height": 844})
    page.get_by_role("checkbox", name="prompt masked").uncheck()
    page.get_by_role("button", name="Compute its losses").click()
    expect(page.locator(".bw-lm-losses")).to_be_visible(timeout=60_000)
    assert_clean(page)
