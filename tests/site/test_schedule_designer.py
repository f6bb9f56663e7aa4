"""The schedule designer in Chromium, operated as a reader does, against Python's Schedule."""

import copy
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from browser import Stopwatch
from playwright.sync_api import Locator, Page, expect
from widget_pages import WAYS, Reader, assert_clean, both_themes, html, site_folder

from llmbook_utils.runs.results import load_result
from llmbook_utils.schedule import Schedule
from llmbook_utils.widgets import ScheduleDesigner

pytestmark = pytest.mark.site

RECORD = load_result("schedules")
RUNS = RECORD["runs"]
CALL = """async ([settings]) => {
    const { rateAt, sumOfRates } = await import("./views/schedule-designer.js");
    return settings.map(([schedule, steps]) => [steps.map((step) => rateAt(schedule, step)), sumOfRates(schedule)]);
}"""
# the module with a model that keeps what it is told
NOTEBOOK = """async (state) => {
    const widget = (await import("./views/schedule-designer.js")).default;
    const told = {};
    const model = { get: (name) => state[name], set: (name, value) => (told[name] = value), save_changes: () => (told.saved = true) };
    const el = document.createElement("div");
    const stop = widget.render({ model, el });
    document.body.append(el);
    const [steps] = el.querySelectorAll("input[type=number]");
    steps.value = 60;
    steps.dispatchEvent(new Event("input"));
    stop();
    return told;
}"""
Open = Callable[..., Page]


def broken() -> dict[str, Any]:
    """A record of one seed, in which some runs broke off."""
    own = copy.deepcopy({**RECORD, "seeds": [7]})
    for run in own["runs"]:
        gone = run["peak"] == 0.03
        run["training"] = [None if gone else run["training"][0]]
        run["held_out"] = [None if gone else run["held_out"][0]]
    return own


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pages = both_themes(ScheduleDesigner())
    pages["other"] = html(
        ScheduleDesigner(peak=2e-3, steps=300, warmup_steps=45, floor=0.3)
    )
    pages["one"] = html(ScheduleDesigner(peak=1.0, steps=1, warmup_steps=0, floor=1))
    pages["broken"] = html(ScheduleDesigner(peak=0.03, record=broken()))
    return site_folder(tmp_path_factory.mktemp("schedules"), pages)


@pytest.fixture(params=WAYS)
def user(request: pytest.FixtureRequest, open_page: Open) -> Reader:
    return Reader(open_page("other", has_touch=request.param == "touch"), request.param)


def field(page: Page, name: str) -> Locator:
    return page.get_by_role("spinbutton", name=name)


def slider(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=f"{name}, slider")


def sentence(page: Page) -> Locator:
    return page.locator(".bw-summary[aria-live=polite]")


def tiles(page: Page, place: int) -> dict[str, str]:
    """The numbers of the `place`-th group of tiles, by their names."""
    pairs = (
        page.locator(".bw-tiles")
        .nth(place)
        .locator("div")
        .evaluate_all(
            "tiles => tiles.map(t => [t.querySelector('span').innerText, t.querySelector('b').innerText])"
        )
    )
    return dict(pairs)


def code(page: Page) -> str:
    return page.locator(".bw-code").inner_text()


def run_of(**settings: float) -> dict[str, Any]:
    (found,) = (run for run in RUNS if run.items() >= settings.items())
    return found


def mean(losses: list[float]) -> str:
    exact = Decimal(sum(losses) / len(losses))
    return str(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))  # as toFixed(2)


def test_rates_and_their_sum_are_pythons(open_page: Open) -> None:
    random, cases = Random(1), []
    for _ in range(200):
        steps = random.choice([1, 2, 3, 10, 137, 1000])
        schedule = Schedule(
            10 ** random.uniform(-6, 0),
            steps,
            random.randrange(steps),
            random.choice([0, 0.1, 1, random.random()]),
        )
        cases.append(
            (schedule, [0, schedule.warmup_steps, steps // 2, steps - 1, steps + 5])
        )
    found = open_page().evaluate(
        CALL, [[[vars(schedule), steps] for schedule, steps in cases]]
    )
    for (schedule, steps), (rates, total) in zip(cases, found, strict=True):
        assert rates == pytest.approx(
            [schedule(step) for step in steps], rel=1e-12, abs=1e-18
        )
        assert total == pytest.approx(
            sum(map(schedule, range(schedule.steps))), rel=1e-9
        )


def test_what_is_shown_first_is_pythons(open_page: Open) -> None:
    page = open_page("other")
    schedule = Schedule(2e-3, 300, 45, 0.3)
    shown = tiles(page, 0)
    assert list(shown) == [
        "first: step 0",
        "at the peak: step 45",
        "half-way: step 149",
        "last: step 299",
        "sum of all rates",
    ]
    rates = [schedule(step) for step in (0, 45, 149, 299)]
    wanted = [*rates, sum(map(schedule, range(300)))]
    assert [float(rate) for rate in shown.values()] == pytest.approx(wanted, rel=3e-3)
    assert code(page) == "Schedule(peak=0.002, steps=300, warmup_steps=45, floor=0.3)"
    assert eval(code(page), {"Schedule": Schedule}) == schedule
    run = run_of(peak=0.003, warmup=0.2, floor=0.1, steps=240)
    expect(sentence(page)).to_contain_text(
        "The rate climbs for 45 steps to 0.002 and is 0.0006 at the last of 300 steps; the nearest recorded run (peak 0.003, "
        f"warm-up 20 %, floor 0.1, steps 240) ended with a loss of {mean(run['training'])} on the training text and {mean(run['held_out'])} on held-out text"
    )
    spread = f"{min(run['held_out']):.2f} to {max(run['held_out']):.2f} in 3 runs"
    assert tiles(page, 1)[f"held-out, {spread}"] == mean(run["held_out"])


def test_the_controls_change_the_schedule(user: Reader) -> None:
    page = user.page
    user.write(field(page, "Steps"), "1000")
    assert code(page) == "Schedule(peak=0.002, steps=1000, warmup_steps=150, floor=0.3)"
    user.slide(slider(page, "Warm-up share"), 0, "Home")
    assert "warmup_steps=0," in code(page)
    expect(sentence(page)).to_contain_text(
        "The rate starts at 0.002 and is 0.0006 at the last of 1,000 steps"
    )
    user.slide(slider(page, "Floor"), 1, "End")
    assert code(page).endswith("floor=1)")
    user.slide(slider(page, "Peak"), 1, "End")
    assert code(page) == "Schedule(peak=1, steps=1000, warmup_steps=0, floor=1)"
    assert tiles(page, 0)["sum of all rates"] == "1,000"
    user.slide(slider(page, "Steps"), 0, "Home")
    assert "steps=10," in code(page)
    user.write(field(page, "Peak"), "3e-4")
    assert code(page).startswith("Schedule(peak=0.0003, steps=10,")


def test_a_small_move_of_a_slider_always_counts(open_page: Open) -> None:
    page = open_page()
    for name, part in (
        ("Steps", "steps"),
        ("Warm-up share", "warmup_steps"),
        ("Peak", "peak"),
        ("Floor", "floor"),
    ):
        slider(page, name).focus()
        seen = []
        for _ in range(3):
            page.keyboard.press("ArrowRight")
            seen.append(float(re.search(rf"\b{part}=([\d.e-]+)", code(page))[1]))
        assert len(set(seen)) == 3 and seen == sorted(seen), (name, seen)


def test_a_wrong_number_is_told_and_not_used(open_page: Open) -> None:
    page = open_page()
    for name, value, says in (
        ("Steps", "0", "a whole number from 1 to 1,000,000; 240 is used"),
        ("Steps", "2.5", "a whole number from 1 to 1,000,000; 240 is used"),
        ("Steps", "", "a whole number from 1 to 1,000,000; 240 is used"),
        ("Peak", "0", "a number from 0.000001 to 1; 0.003 is used"),
        ("Warm-up share", "1", "a number from 0 to 0.99; 0.05 is used"),
        ("Floor", "-1", "a number from 0 to 1; 0.1 is used"),
    ):
        box, before = field(page, name), code(page)
        valid = box.input_value()
        error = page.locator(".bw-setting").filter(has=box).locator(".bw-error")
        box.fill(value)
        expect(error).to_have_text(says)
        expect(box).to_have_attribute("aria-invalid", "true")
        assert code(page) == before
        box.fill(valid)
        expect(error).to_be_empty()


def test_the_nearest_run_is_compared_and_taken(user: Reader) -> None:
    page = user.page
    cells = page.locator(".bw-compared tbody td")
    expect(cells).to_have_text(
        ["0.002", "0.003", "15 %", "20 %", "0.3", "0.1", "300", "240 (60 fewer)"]
    )
    snap = page.get_by_role("button", name="Snap to it")
    user.press(snap)
    assert code(page) == "Schedule(peak=0.003, steps=240, warmup_steps=48, floor=0.1)"
    expect(cells).to_have_text(
        ["0.003", "the same", "20 %", "the same", "0.1", "the same", "240", "the same"]
    )
    expect(snap).to_have_attribute("aria-disabled", "true")
    best = min(
        (run for run in RUNS if run["steps"] == 240),
        key=lambda run: sum(run["held_out"]),
    )
    user.write(field(page, "Peak"), "3e-4")
    user.press(page.get_by_role("button", name="Take the best"))
    expect(sentence(page)).to_contain_text(
        f"{mean(best['held_out'])} on held-out text."
    )
    assert f"warmup_steps={best['warmup_steps']}, floor={best['floor']:g})" in code(
        page
    )
    expect(page.get_by_text("No other schedule of all with 240 steps")).to_be_visible()


def test_the_grids_have_the_recorded_losses_and_choose_runs(user: Reader) -> None:
    page = user.page
    grids = page.locator(".bw-runs")
    for option, part in (("training", "training"), ("held-out", "held_out")):
        user.press(page.get_by_role("radio", name=option))
        shown = grids.nth(0).locator("b").all_inner_texts()
        shares, peaks = RECORD["grid"]["warmup"], RECORD["grid"]["peak"]
        runs = [
            run_of(peak=p, warmup=w, floor=0.1, steps=240)
            for w in shares
            for p in peaks
        ]
        assert shown == [mean(run[part]) for run in runs]
        least = min(runs, key=lambda run: sum(run[part]))
        expect(grids.nth(0).locator("button", has_text="lowest")).to_contain_text(
            mean(least[part])
        )
        others = [
            run_of(peak=0.003, warmup=0.2, floor=f, steps=s)
            for s in (60, 240)
            for f in (0, 0.1, 1)
        ]
        assert grids.nth(1).locator("b").all_inner_texts() == [
            mean(run[part]) for run in others
        ]
    expect(grids.nth(0).locator("[aria-pressed=true]")).to_have_text(
        re.compile(
            mean(run_of(peak=0.003, warmup=0.2, floor=0.1, steps=240)["held_out"])
        )
    )
    if user.way == "keyboard":
        grids.nth(0).locator("[aria-pressed=true]").focus()
        for key in (
            "ArrowUp",
            "ArrowUp",
            "ArrowUp",
            "ArrowRight",
        ):  # the third goes nowhere
            page.keyboard.press(key)
    else:
        user.press(grids.nth(0).locator("button").nth(3))
    assert code(page) == "Schedule(peak=0.01, steps=240, warmup_steps=0, floor=0.1)"
    if user.way == "keyboard":
        expect(page.locator(":focus")).to_have_attribute("aria-pressed", "true")
    user.press(grids.nth(1).locator("button").nth(2))
    assert code(page) == "Schedule(peak=0.01, steps=60, warmup_steps=0, floor=1)"
    run = run_of(peak=0.01, warmup=0.0, floor=1.0, steps=60)
    assert list(tiles(page, 1).values()) == [
        mean(run["held_out"]),
        mean(run["training"]),
    ]


def test_the_curves_are_the_recorded_ones(open_page: Open) -> None:
    page = open_page()
    plot = page.locator(".bw-plot").nth(1)
    run = run_of(peak=0.003, warmup=0.05, floor=0.1, steps=240)
    points = plot.locator(".bw-run-chosen").get_attribute("d")[1:].split("L")
    places = [tuple(map(float, point.split())) for point in points]
    assert len(places) == RECORD["points"]
    ys = [y for _, y in places]
    scale = (ys[-1] - ys[0]) / (run["curve"][0] - run["curve"][-1])
    wanted = [ys[0] + scale * (run["curve"][0] - loss) for loss in run["curve"]]
    assert ys == pytest.approx(wanted, abs=0.3)
    best = min(
        (run for run in RUNS if run["steps"] == 240),
        key=lambda run: sum(run["held_out"]),
    )
    expect(plot.locator(".bw-run-best")).to_have_count(1)
    expect(plot.locator(".bw-run-other")).to_have_count(
        13 if best["floor"] == 0.1 else 14
    )
    expect(
        plot.get_by_text(
            f"token frequencies, nothing else: {RECORD['frequency_loss']:.2f}"
        )
    ).to_be_visible()


def test_runs_that_broke_off_are_named(open_page: Open) -> None:
    page = open_page("broken")
    assert tiles(page, 1) == {
        "held-out; 1 broke off": "broke off",
        "training; 1 broke off": "broke off",
    }
    expect(sentence(page)).to_contain_text("steps 240) broke off; the lowest")
    assert (
        page.locator(".bw-runs")
        .nth(0)
        .locator("b")
        .all_inner_texts()
        .count("broke off")
        == 3
    )


def test_one_step_is_a_schedule(open_page: Open) -> None:
    page = open_page("one")
    expect(sentence(page)).to_contain_text(
        "The rate starts at 1 and is 1 at the last of 1 step;"
    )
    assert set(tiles(page, 0).values()) == {"1"}


def test_the_code_is_copied(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == code(page)
    field(page, "Floor").fill("0.2")
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_visible()


def test_a_notebook_is_told_the_schedule(open_page: Open) -> None:
    page = open_page()
    told = page.evaluate(NOTEBOOK, ScheduleDesigner().state())
    assert told == {
        "peak": 0.003,
        "steps": 60,
        "warmup_steps": 3,
        "floor": 0.1,
        "saved": True,
    }


def test_sliding_is_quick(open_page: Open) -> None:
    page = open_page()
    field(page, "Steps").fill("1000000")
    watch = Stopwatch(page)

    def press() -> None:
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(100)  # long enough for all to be drawn

    for name in ("Steps", "Warm-up share", "Peak", "Floor"):
        slider(page, name).focus()
        assert min(watch.milliseconds(press) for _ in range(3)) < 50, name


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_clean(open_page: Open, theme: str, width: int) -> None:
    assert_clean(open_page(theme, viewport={"width": width, "height": 900}))


def test_without_scripts_the_tables_are_there(open_page: Open) -> None:
    page = open_page(wait=False, java_script_enabled=False)
    expect(page.locator(".bw-fallback table")).to_have_count(2)
