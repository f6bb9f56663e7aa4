"""The training time machine in Chromium, operated as a reader does; its numbers against the record's."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import Stopwatch
from playwright.sync_api import Locator, Page, expect
from widget_pages import Reader, assert_clean, both_themes, html, site_folder

from llmbook_utils.runs.results import load_result
from llmbook_utils.widgets import TrainingTimeMachine

pytestmark = pytest.mark.site

MINI = load_result("mini")
SENTENCE = [piece.replace(" ", "␣") for piece in MINI["sentence"]]
AT = {snapshot["step"]: snapshot for snapshot in MINI["snapshots"]}
STEPS = list(AT)
# the tokens that stood there before, and the places just after those
FOLLOWED = {5: [2], 12: [2, 6], 13: [3]}


def own_record() -> dict[str, Any]:
    """A short run of another sentence, with markup in what it says and no validation."""
    record = copy.deepcopy(MINI)
    record["sentence"] = ["<b>", " a", " c"]
    record["curve"] = {"training": [[10, 2.5], [20, 2.25]], "validation": []}
    record["snapshots"] = [AT[0] | {"step": 20, "seconds": 7260.4}]
    found = record["snapshots"][0]
    found["attention"] = [[1.0], [0.25, 0.75], [0.5, 0.25, 0.25]]
    found["sample"] = "<img src=x onerror=alert(1)> One\x00two"
    found["neighbors"] = {"cat": [["dog", -0.5]], " cat": [["\n", 0.25]]}
    return record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pages = both_themes(TrainingTimeMachine(step=1000))
    pages["own"] = html(TrainingTimeMachine(own_record()))
    pages["twice"] = html(TrainingTimeMachine(), TrainingTimeMachine(step=0))
    return site_folder(tmp_path_factory.mktemp("machine"), pages)


Open = Callable[..., Page]


@pytest.fixture(params=("mouse", "touch", "keyboard"))
def reader(request: pytest.FixtureRequest, open_page: Open) -> Reader:
    return Reader(open_page(has_touch=request.param == "touch"), request.param)


def view(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).check(force=True)


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="recorded step")


def expect_step(page: Page, step: int) -> None:
    """The position, the sentence, the tiles and the chart are of a step."""
    found = AT[step]
    expect(page.locator(".bw-position")).to_have_text(f"step {step:,} of 5,000")
    sentence = page.locator(".bw-summary")
    expect(sentence).to_contain_text(f"At step {step:,}, after ")
    bits = f"needs {found['bits_per_byte']:.2f} bits for a byte"
    expect(sentence).to_contain_text(bits)
    tiles = page.locator(".bw-tiles")
    expect(tiles).to_contain_text(f"{found['bits_per_byte']:.2f} bits per byte")
    expect(page.locator(".bw-tm-chart text.bw-tm-name-now")).to_have_text(
        f"step {step:,}"
    )


def test_a_step_is_chosen_with_the_slider_and_the_buttons(reader: Reader) -> None:
    page = reader.page
    expect_step(page, 1000)
    reader.press(page.get_by_role("button", name="Next recorded step"))
    expect_step(page, 1700)
    reader.press(page.get_by_role("button", name="Previous recorded step"))
    reader.press(page.get_by_role("button", name="Previous recorded step"))
    expect_step(page, 600)
    reader.slide(slider(page), 0, "Home")
    expect_step(page, 0)
    tiles = page.locator(".bw-tiles")
    expect(tiles).to_contain_text("– training loss")
    expect(tiles).to_contain_text("– validation loss")
    reader.slide(slider(page), 1, "End")
    expect_step(page, 5000)
    expect(tiles).to_contain_text("41.0 M tokens read")
    expect(tiles).to_contain_text("101 min of training")
    loss = dict(MINI["curve"]["training"])[5000]
    expect(tiles).to_contain_text(f"{loss:.2f} training loss (steps 4,976–5,000)")
    last = dict(MINI["curve"]["validation"])[5000]
    expect(tiles).to_contain_text(f"{last:.2f} validation loss (step 5,000)")
    expect(page.locator(".bw-summary")).to_contain_text(
        "after 41.0 M tokens (1.71 times its training texts) and 1 h 41 min"
    )
    name = slider(page).get_attribute("aria-valuetext")
    assert name == "step 5,000 of 5,000"


@pytest.mark.parametrize("way", ["mouse", "touch"])
def test_the_chart_leads_to_the_nearest_step(open_page: Open, way: str) -> None:
    page = open_page(has_touch=way == "touch")
    chart = page.locator(".bw-tm-chart")
    press = chart.click if way == "mouse" else chart.tap
    ticks = page.locator(".bw-tm-tick")
    expect(ticks).to_have_count(len(STEPS))
    for axis in ("logarithmic", "linear"):
        page.get_by_role("radio", name=axis).check(force=True)
        # in the linear picture steps 0 and 20 lie as good as one on the other
        for at, step in [(11, 5000), (7, 1700), (0, 0)]:
            box, tick = chart.bounding_box(), ticks.nth(at).bounding_box()
            assert box is not None and tick is not None
            press(position={"x": tick["x"] + 4 - box["x"], "y": 100})
            expect_step(page, step)
    expect(page.locator(".bw-tm-chart svg")).to_have_attribute(
        "aria-label", re.compile(r"linear\. step 0: no loss measured yet")
    )


def test_it_plays_to_the_end(open_page: Open) -> None:
    page = open_page()
    page.clock.install()
    reader = Reader(page, "keyboard")
    reader.press(page.get_by_role("button", name="Play"))
    expect_step(page, 1700)
    page.clock.run_for(2000)
    expect_step(page, 3500)
    reader.press(page.get_by_role("button", name="Pause"))
    page.clock.run_for(5000)
    expect_step(page, 3500)
    reader.press(page.get_by_role("button", name="Play"))
    page.clock.run_for(9000)
    expect_step(page, 5000)
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_nothing_plays_where_motion_is_not_wanted(open_page: Open) -> None:
    page = open_page(reduced_motion="reduce")
    expect(page.get_by_role("button", name="Play")).to_have_count(0)
    page.get_by_role("button", name="Next recorded step").click()
    expect_step(page, 1700)


def test_the_texts_are_the_records_with_their_repetitions(open_page: Open) -> None:
    page = open_page()
    for step in (0, 150, 1000):
        slider(page).fill(str(STEPS.index(step)))
        for key, way in (("sample", "drawn at random"), ("greedy", "greedy")):
            text = page.get_by_label(f"Text of step {step:,}, {way}")
            shown = text.text_content() or ""
            expected = re.sub("[\x00-\x09\x0b-\x1f]", code_point, AT[step][key])
            assert shown == MINI["prompt"] + expected
            marked = " ".join(text.locator("mark").all_text_contents())
            words = len(re.findall(r"[^\W_]+(?:['’][^\W_]+)*", marked))
            assert words == len(repeated(AT[step][key]))
    expect(
        page.get_by_text("Drawn with seed 4, temperature 0.7, top_p 0.95.")
    ).to_be_visible()
    broken = page.get_by_text("� stands for bytes")
    expect(broken).to_be_hidden()
    slider(page).fill("0")
    expect(broken).to_be_visible()


def code_point(found: re.Match[str]) -> str:
    return f"U+{ord(found[0]):04X}"


def repeated(text: str) -> set[int]:
    """The places of words of which four in a row stood in the text before."""
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())
    runs = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    again = [i for i, run in enumerate(runs) if run in runs[:i]]
    return {i + k for i in again for k in range(4)}


def readout(step: int, i: int, j: int, other: int | None = None) -> str:
    weights = AT[step]["attention"][i]
    most = weights.index(max(weights))
    says = f"At step {step:,} “{SENTENCE[i]}” (token {i}) looks most at “{SENTENCE[most]}” (token {most}), weight {weights[most]:.3f}."
    if j != most:
        says += f" Its weight on “{SENTENCE[j]}” (token {j}): {weights[j]:.3f}."
    if other is not None:
        then = AT[other]["attention"][i][j]
        says += f" At step {other:,} it gives “{SENTENCE[j]}” (token {j}) {then:.3f}."
    return says


def test_a_cell_of_the_head_is_read_out(reader: Reader) -> None:
    page = reader.page
    view(page, "attention")
    said = page.locator(".bw-readout").first
    expect(said).to_have_text(readout(1000, 5, 2))
    pad = page.get_by_role("application")
    if reader.way == "keyboard":
        pad.focus()
        for key, at in [
            ("ArrowDown", (6, 2)),
            ("ArrowLeft", (6, 1)),
            ("End", (6, 6)),
            ("ArrowUp", (5, 5)),
            ("ArrowRight", (5, 5)),
            ("Home", (5, 0)),
        ]:
            page.keyboard.press(key)
            expect(said).to_have_text(readout(1000, *at))
    else:
        point = (
            pad.locator("canvas").hover
            if reader.way == "mouse"
            else pad.locator("canvas").tap
        )
        for row, column, seen in [(12, 6, 6), (3, 9, 3), (9, -1, 9)]:
            point(position=cell(pad, row, column))
            if column < 0:  # the name of a token: where it looks most
                weights = AT[1000]["attention"][row]
                seen = weights.index(max(weights))
            expect(said).to_have_text(readout(1000, row, seen))
    spoken = page.locator("[aria-live]")
    expect(spoken).to_have_count(1)
    expect(spoken).to_have_text(said.inner_text())


def corner(pad: Locator, row: int, column: int) -> tuple[float, float]:
    """Where a cell begins in the canvas of 14 tokens; left of the first one are the names."""
    box = pad.locator("canvas").bounding_box()
    assert box is not None
    edge = box["width"] - 2 - 14 * CELL
    return edge + column * CELL, edge + row * CELL


def cell(pad: Locator, row: int, column: int) -> dict[str, float]:
    """The middle of a cell."""
    x, y = corner(pad, row, column)
    return {"x": max(4, x + CELL / 2), "y": y + CELL / 2}


# for each cell below the diagonal how many points of its dashed frame's upper edge have the color of ink
INK = """(canvas, [left, top, n]) => {
    const { data } = canvas.getContext("2d").getImageData(left, top, 14 * n, 14 * n);
    const isDark = (x, y) => Math.max(...data.slice(4 * (y * 14 * n + x), 4 * (y * 14 * n + x) + 3)) < 90;
    const inks = (row, column) =>
        Array.from({ length: n - 12 }, (_, i) => isDark(column * n + 6 + i, row * n + 3)).filter(Boolean).length;
    return Array.from({ length: 14 }, (_, row) => Array.from({ length: row }, (_, column) => inks(row, column)));
}"""


def dashed_cells(page: Page) -> set[tuple[int, int]]:
    """The cells in whose frame strokes of ink and gaps alternate."""
    pad = page.get_by_role("application").first
    rows = pad.locator("canvas").evaluate(INK, [*corner(pad, 0, 0), CELL])
    return {
        (i, j)
        for i, inks in enumerate(rows)
        for j, ink in enumerate(inks)
        if 8 < ink < CELL - 16
    }


def followed(step: int) -> float:
    rows = AT[step]["attention"]
    return sum(rows[i][j] for i, js in FOLLOWED.items() for j in js) / len(FOLLOWED)


def others(step: int) -> float:
    rows = AT[step]["attention"]
    given = []
    for js in FOLLOWED.values():
        see = [i for i in range(max(js) + 1, 14) if i not in FOLLOWED]
        given.append(sum(rows[i][j] for i in see for j in js) / len(see))
    return sum(given) / len(given)


def test_what_followed_a_token_before_is_measured(open_page: Open) -> None:
    page = open_page()
    view(page, "attention")
    assert dashed_cells(page) == {(i, j) for i, js in FOLLOWED.items() for j in js}
    bars = page.locator(".bw-tm-bars")
    means = [f"{step:,}: {followed(step):.2f} and {others(step):.2f}" for step in STEPS]
    expect(bars.locator("svg")).to_have_attribute(
        "aria-label",
        f"The mean at each step, and what the other tokens give: {', '.join(means)}",
    )
    highest = max(STEPS, key=followed)
    bars.locator(f'[data-index="{STEPS.index(highest)}"]').click()
    expect_step(page, highest)
    expect(page.get_by_text("stood in the sentence before")).to_contain_text(
        f"on average, {followed(highest):.2f} of the weight: “␣old” (token 5)"
    )
    expect(page.get_by_text("stood in the sentence before")).to_contain_text(
        f"The other tokens that see these places give them {others(highest):.2f}."
    )


def rows_of(snapshot: dict[str, Any], word: str) -> list[str]:
    found = snapshot["neighbors"][word]
    return [f"{token.replace(' ', '␣')}{cosine:.3f}" for token, cosine in found]


def test_the_neighbors_of_a_word(reader: Reader) -> None:
    page = reader.page
    view(page, "neighbors")
    word = page.get_by_role("radio", name="mother")
    if reader.way == "keyboard":
        page.get_by_role("radio", name="king").focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        expect(word).to_be_checked()
    else:
        reader.press(word)
    rows = page.locator(".bw-neighbors tbody tr")
    expect(rows).to_have_text(rows_of(AT[1000], " mother"))
    says = "At step 1,000 the embedding nearest to that of “␣mother” is that of “␣father”, cosine 0.805."
    expect(page.locator("[aria-live]")).to_have_text(says)
    expect(page.get_by_text(says).first).to_be_visible()


def test_two_steps_beside_each_other(reader: Reader) -> None:
    page = reader.page
    reader.press(page.get_by_role("button", name="Pin this step"))
    other = page.get_by_label("Compare with")
    expect(other).to_have_value(str(STEPS.index(1000)))
    expect(page.locator(".bw-position")).to_contain_text("(pinned)")
    reader.slide(slider(page), 1, "End")
    expect_step(page, 5000)
    then, now = AT[1000], AT[5000]
    expect(page.locator(".bw-summary")).to_contain_text("and at step 1,000 1.65.")
    expect(page.locator(".bw-tiles")).to_contain_text(
        "bits per byte; at step 1,000: 1.65"
    )
    expect(page.locator(".bw-tm-chart text.bw-tm-name-other")).to_have_text(
        "compared: step 1,000"
    )
    expect(page.locator(".bw-tm-text")).to_have_count(4)
    expect(page.locator(".bw-tm-text").last).to_contain_text(
        then["greedy"].strip()[:30]
    )
    view(page, "attention")
    expect(page.get_by_role("application")).to_have_count(2)
    expect(page.locator(".bw-readout").first).to_have_text(readout(5000, 5, 2, 1000))
    view(page, "neighbors")
    expect(page.locator(".bw-neighbors table")).to_have_count(2)
    tables = page.locator(".bw-neighbors table")
    expect(tables.first.locator("tbody tr")).to_have_text(rows_of(now, " king"))
    expect(tables.last.locator("tbody tr")).to_have_text(rows_of(then, " king"))
    known = {token for token, _ in then["neighbors"][" king"]}
    shared = sum(token in known for token, _ in now["neighbors"][" king"])
    expect(page.locator(".bw-readout:visible")).to_contain_text(
        f"Of these 6 tokens step 1,000 has {shared} too."
    )
    other.select_option("nothing")
    expect(page.locator(".bw-neighbors table")).to_have_count(1)
    view(page, "texts")
    expect(page.locator(".bw-tm-text")).to_have_count(2)


def test_a_record_of_ones_own(open_page: Open) -> None:
    page = open_page("own")
    expect(page.locator(".bw-summary")).to_have_text(
        "At step 20, after 0 tokens (0.00 times its training texts) and 2 h 1 min on 2 CPU cores, x86_64, your model needs 3.31 bits "
        "for a byte of text that it was not trained on."
    )
    tiles = page.locator(".bw-tiles")
    expect(tiles).to_contain_text("2.25 training loss (steps 11–20)")
    expect(tiles).to_contain_text("– validation loss")
    expect(page.get_by_role("button", name="Play")).to_have_count(0)
    text = page.get_by_label("Text of step 20, drawn at random")
    expect(text).to_contain_text("<img src=x onerror=alert(1)> OneU+0000two")
    expect(text.locator("img")).to_have_count(0)
    view(page, "attention")
    expect(page.get_by_text("stood in the sentence before")).to_be_hidden()
    expect(page.locator(".bw-readout").first).to_contain_text(
        "“␣c” (token 2) looks most at “<b>” (token 0), weight 0.500."
    )
    view(page, "neighbors")
    page.get_by_role("radio", name="␣cat").check(force=True)
    expect(page.locator(".bw-neighbors tbody tr")).to_have_text("⏎0.250")
    page.get_by_role("radio", name="linear").check(force=True)
    assert_clean(page)


def test_two_on_a_page_do_not_disturb_each_other(open_page: Open) -> None:
    page = open_page("twice")
    first, second = page.locator(".bw").all()
    second.get_by_role("button", name="Next recorded step").click()
    expect(second.locator(".bw-position")).to_have_text("step 20 of 5,000")
    expect(first.locator(".bw-position")).to_have_text("step 5,000 of 5,000")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(open_page: Open, theme: str, width: int) -> None:
    page = open_page(theme, viewport={"width": width, "height": 800})
    view(page, "attention")
    assert_clean(page)
    page.get_by_label("Compare with").select_option("step 0")
    for name in ("texts", "attention", "neighbors"):
        view(page, name)
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert over <= 0
    assert_clean(page)
    view(page, "texts")
    assert_clean(page)


CELL = 40  # px
STEPPING = """() => {
    const slider = document.querySelector(".bw-stepper input");
    for (let i = 0; i < 12; i += 1) {
        slider.value = i;
        slider.dispatchEvent(new Event("input"));
        document.body.offsetHeight;
    }
}"""


def test_a_step_is_drawn_in_no_long_task(open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Compare with").select_option("step 0")
    watch = Stopwatch(page)
    for name in ("texts", "attention", "neighbors"):
        view(page, name)
        assert watch.milliseconds(lambda: page.evaluate(STEPPING)) / 12 < 50, name


PURE = """async () => {
    const { lossAt, repetitions, followers, copying, givenByOthers, largest, stepPlace, stepTicks, duration, inShort } =
        await import("./views/time-machine-math.js");
    const axis = { least: 20, last: 5000, left: 30, right: 630 };
    const place = (log) => stepPlace({ ...axis, log });
    return {
        loss: [0, 1, 10, 11, 20, 21].map((step) => lossAt({ training: [[10, 3], [20, 2]], validation: [[20, 2.5]] }, step)),
        plain: repetitions("a b c d, a B c! d e").parts,
        none: repetitions(""),
        one: repetitions("it's it's it's it's it's"),
        found: followers(["a", "a", "b", "a"]),
        mean: copying([[1], [0.5, 0.5], [0.2, 0.3, 0.5], [0.1, 0.2, 0.3, 0.4]], followers(["a", "a", "b", "a"])),
        others: [givenByOthers([[1], [0.5, 0.5], [0.2, 0.3, 0.5]], [{ row: 1, columns: [0] }]), givenByOthers([[1], [1, 0]], [{ row: 1, columns: [0] }])],
        largest: [largest([1, 3, 3]), largest([2])],
        log: [0, 20, 5000].map(place(true)),
        linear: [0, 2500, 5000].map(place(false)),
        lone: stepPlace({ least: 5, last: 5, log: true, left: 0, right: 10 })(5),
        ticks: [stepTicks({ ...axis, log: true }, place(true)), stepTicks({ ...axis, log: false }, place(false))],
        durations: [0, 59.6, 1162, 6037].map(duration),
        short: [0, 9999, 163840, 999_600, 8_192_000].map(inShort),
    };
}"""


def test_what_is_computed_from_a_record(open_page: Open) -> None:
    found = open_page().evaluate(PURE)
    training = [None, (1, 10, 3), (1, 10, 3), (11, 20, 2), (11, 20, 2), None]
    assert found["loss"] == [
        {
            "training": t and dict(zip(("from", "to", "loss"), t, strict=True)),
            "validation": {"at": 20, "loss": 2.5} if i >= 4 else None,
        }
        for i, t in enumerate(training)
    ]
    assert found["plain"] == [
        {"text": "a b c d, ", "again": False},
        {"text": "a B c! d", "again": True},
        {"text": " e", "again": False},
    ]
    assert found["none"] == {"parts": [], "again": 0, "words": 0}
    assert (found["one"]["again"], found["one"]["words"]) == (4, 5)
    assert found["found"] == [{"row": 3, "columns": [1, 2]}]
    assert found["mean"] == pytest.approx(0.5)
    assert found["others"] == [0.2, None]
    assert found["largest"] == [1, 0]
    assert found["log"] == pytest.approx([30, 60, 630])
    assert found["linear"] == [30, 330, 630]
    assert found["lone"] == 30
    logarithmic, linear = found["ticks"]
    assert {100, 1000} < set(logarithmic) and min(logarithmic) >= 20
    assert linear == [0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000]
    assert found["durations"] == ["0 s", "1 min 0 s", "19 min 22 s", "1 h 41 min"]
    assert found["short"] == ["0", "9,999", "164 k", "1.0 M", "8.2 M"]


def test_the_stored_state_can_be_read(folder: Path) -> None:
    page = (folder / "own.html").read_text(encoding="utf-8")
    assert "onerror" in page
    assert "<img" not in page.replace("&lt;", "")
    state = re.search(r'json">(.*?)</script>', page, re.S)
    assert state is not None
    assert json.loads(state[1])["record"]["sentence"] == ["<b>", " a", " c"]
