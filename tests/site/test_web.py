"""All widgets as the pages load them and as a notebook gets them."""

import gzip
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page
from widget_pages import html, site_folder

from llmbook_utils.widgets import (
    WIDGETS,
    AskMini,
    AttentionExplorer,
    Continuation,
    EmbeddingMap,
    LossMaskViewer,
    ModelMap,
    NgramWriter,
    QuickQuestion,
    RankExplorer,
    SamplingLab,
    ScheduleDesigner,
    SlidingWindow,
    SpamClassifier,
    TokenizerExplorer,
    TrainingTimeMachine,
)
from llmbook_utils.widgets.base import percent

pytestmark = pytest.mark.site

NAMES = [widget.module for widget in WIDGETS]
MOST = 160_000  # bytes of code, gzip, of all widgets; tests/site/test_pages.py weighs each page
# what a view draws at first, out of the page's modules and out of a notebook's text
BOTH = """async ([name, state]) => {
    const { StaticModel } = await import("./host/static-host.js");
    const draw = async (folder) => {
        const { default: widget } = await import(`./${folder}/${name}.js`);
        const el = document.createElement("div");
        document.body.append(el);
        await widget.render({ model: new StaticModel(state), el });
        return [el.textContent, el.querySelectorAll("*").length];
    };
    return [await draw("views"), await draw("joined")];
}"""
STATE = "mount => JSON.parse(mount.querySelector('script').textContent)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    every = [
        TokenizerExplorer("The pugs hug 😀 lamplighters"),
        SlidingWindow("In the evening they lit the lamp and went home"),
        QuickQuestion("How many?", [("one", True, "yes"), ("two", False, "no")]),
        Continuation("Once upon a time", max_new_tokens=5),
        EmbeddingMap("king queen boy girl sea ship"),
        SamplingLab("The old king"),
        AttentionExplorer("The old king had one son"),
        ModelMap("The old king"),
        NgramWriter(
            "The tortoise", "The tortoise looked at the sea. The sea was late."
        ),
        TrainingTimeMachine(),
        ScheduleDesigner(),
        RankExplorer(),
        SpamClassifier("Call now to claim"),
        LossMaskViewer(),
        AskMini(),
    ]
    assert [widget.module for widget in every] == NAMES
    folder = site_folder(tmp_path_factory.mktemp("web"), {"all": html(*every)})
    (folder / "joined").mkdir()
    for widget in every:
        path = folder / "joined" / f"{widget.module}.js"
        path.write_text(widget._esm, encoding="utf-8")
    return folder


def test_code_of_all_widgets_is_light_and_comes_once(
    open_page: Callable[..., Page], folder: Path
) -> None:
    page = open_page("all")
    page.wait_for_load_state("networkidle")
    paths = [urlsplit(url).path[1:] for url in page.log.requests if "data:" not in url]
    code = [path for path in paths if path.endswith((".js", ".css"))]
    assert len(code) == len(set(code))
    assert {f"views/{name}.js" for name in NAMES} < set(code)
    sizes = {name: len(gzip.compress((folder / name).read_bytes())) for name in code}
    assert sum(sizes.values()) <= MOST, sizes


def test_a_notebooks_one_text_shows_what_the_modules_show(
    open_page: Callable[..., Page],
) -> None:
    page = open_page("all", reduced_motion="reduce")
    for name in NAMES:
        state = page.locator(f'[data-bw-module="{name}"]').evaluate(STATE)
        modules, text = page.evaluate(BOTH, [name, state])
        assert modules[1] > 5
        assert text == modules


def test_python_and_javascript_write_a_probability_alike(
    open_page: Callable[..., Page],
) -> None:
    powers = [mantissa * 10**-power for power in range(12) for mantissa in (1, 0.31416)]
    chances = [0, *powers, 0.9994, 0.99951, 1 - 1e-9, 2 / 3]
    call = "import('./parts/numbers.js').then(({ percent }) => chances.map(percent))"
    found = open_page("all", wait=False).evaluate(f"chances => {call}", chances)
    assert found == [percent(chance) for chance in chances]
