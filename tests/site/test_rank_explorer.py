"""The rank explorer in Chromium, operated as a reader does, against the record."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from widget_pages import WAYS, Reader, assert_clean, both_themes, html, site_folder

from llmbook_utils.runs.results import load_result
from llmbook_utils.widgets import RankExplorer
from llmbook_utils.widgets.base import percent
from llmbook_utils.widgets.rank_explorer import missing

pytestmark = pytest.mark.site

RECORD = load_result("lora")
LAYERS = RECORD["change"]["layers"]
OUT = "blocks.5.attention.out"
# the module with a model that keeps what it is told
NOTEBOOK = """async (state) => {
    const widget = (await import("./views/rank-explorer.js")).default;
    const told = {};
    const listeners = {};
    const model = {
        get: (name) => told[name] ?? state[name],
        set: (name, value) => (told[name] = value),
        save_changes: () => (told.saved = true),
        on: (event, listener) => (listeners[event] = listener),
        off: () => (told.stopped = true),
    };
    const el = document.createElement("div");
    const stop = widget.render({ model, el });
    document.body.append(el);
    el.querySelector("[aria-label='Next rank']").click();
    const after = { ...told };
    told.rank = 64;
    listeners["change:rank"]();
    const shown = el.querySelector(".bw-position").textContent;
    stop();
    return [after, shown, told.stopped];
}"""
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pages = both_themes(RankExplorer())
    pages["other"] = html(RankExplorer(rank=1, layer=OUT))
    return site_folder(tmp_path_factory.mktemp("ranks"), pages)


@pytest.fixture(params=WAYS)
def user(request: pytest.FixtureRequest, open_page: Open) -> Reader:
    return Reader(open_page("light", has_touch=request.param == "touch"), request.param)


def tiles(page: Page) -> list[str]:
    return page.locator(".bw-tiles b").all_inner_texts()


def sentence(page: Page) -> Locator:
    return page.locator(".bw-summary[aria-live=polite]")


def expected(rank: int, names: list[str]) -> list[str]:
    """The tiles' numbers, straight from the record."""
    (kept,) = (k for k in RECORD["change"]["kept"] if k["rank"] == rank)
    shapes = [LAYERS[name]["shape"] for name in names]
    test, kind = kept["test"], names[0].split(".", 2)[2]
    alike = [n for n in LAYERS if n.endswith(kind)] if len(names) == 1 else names

    def share(part: str, group: list[str]) -> str:
        return percent(missing([LAYERS[n][part] for n in group])[rank] / 1000)

    return [
        share("singular", names),
        share("random", alike),
        f"{rank * sum(map(sum, shapes)):,}",
        f"{test['true_positives'] + test['true_negatives']:,}",
        f"{test['f1']:.3f}",
    ]


def test_the_stored_rank_and_layer_are_shown(open_page: Open) -> None:
    page = open_page("light")
    assert tiles(page) == expected(8, [*LAYERS])
    assert page.locator(".bw-tiles").inner_text().count("4,718,592") == 1
    other = open_page("other")
    assert tiles(other) == expected(1, [OUT])
    expect(sentence(other)).to_contain_text(f"training changed in {OUT} is missing")


def test_buttons_slider_and_arrows_walk_through_the_ranks(user: Reader) -> None:
    page = user.page
    user.press(page.get_by_role("button", name="Next rank"))
    assert tiles(page) == expected(16, [*LAYERS])
    user.press(page.get_by_role("button", name="Previous rank"))
    user.press(page.get_by_role("button", name="Previous rank"))
    assert tiles(page) == expected(4, [*LAYERS])
    slider = page.get_by_role("slider", name="rank")
    slider.focus()
    page.keyboard.press("Home")
    assert tiles(page)[:3] == ["100 %", "100 %", "0"]
    expect(slider).to_have_attribute("aria-valuetext", "rank 0")
    page.keyboard.press("End")
    assert tiles(page)[:2] == ["0 %", "0 %"]
    expect(sentence(page)).to_contain_text("no fewer than the 4,718,592")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".bw-position")).to_have_text("rank 128")


def test_a_layer_of_its_own(open_page: Open) -> None:
    page = open_page("light")
    page.get_by_label("Change of").select_option(OUT)
    assert tiles(page) == expected(8, [OUT])
    expect(sentence(page)).to_contain_text("That takes 4,096 numbers instead of 65,536")
    names = page.get_by_label("Change of").locator("option").all_inner_texts()
    assert names == ["all matrices", *LAYERS]


def test_a_press_on_a_plot_goes_to_the_nearest_rank(user: Reader) -> None:
    page = user.page
    for plot in (".bw-rx-curve", ".bw-rx-right"):
        box = page.locator(plot).bounding_box()
        assert box
        for share, rank in ((0.98, 256), (0.05, 0)):
            at = {"x": share * box["width"], "y": box["height"] / 2}
            if user.way == "touch":
                page.locator(plot).tap(position=at)
            else:
                page.locator(plot).click(position=at)
            expect(page.locator(".bw-position")).to_have_text(f"rank {rank}")


def test_a_notebook_is_told_and_can_tell(open_page: Open) -> None:
    page = open_page("light")
    after, shown, stopped = page.evaluate(NOTEBOOK, RankExplorer().state())
    assert (after["rank"], after["layer"], after["saved"]) == (16, "all matrices", True)
    assert shown == "rank 64" and stopped


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_the_dial_and_what_it_changes_are_on_one_screen(
    open_page: Open, width: int, height: int
) -> None:
    page = open_page("light", viewport={"width": width, "height": height})
    page.locator("main").evaluate("main => main.style.maxWidth = '740px'")
    tops = page.locator(".bw-bar").bounding_box()
    ends = page.locator(".bw-rx-right").bounding_box()
    assert tops and ends
    assert ends["y"] + ends["height"] - tops["y"] <= height
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wrong_for_assistive_technology(open_page: Open, theme: str) -> None:
    assert_clean(open_page(theme))
