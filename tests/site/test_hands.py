"""Each widget is operated in Chromium by mouse, keyboard and touch, in a wide window and in a narrow one."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hands import TURNS, WIDGETS, Chromium, operate
from playwright.sync_api import Page

pytestmark = pytest.mark.site

MODULE = re.compile(r'class="bw-mount" data-bw-module="([a-z-]+)"')


@pytest.fixture(scope="module")
def chromium(
    open_context: Callable[..., AbstractContextManager[Page]],
) -> Iterator[Chromium]:
    """One page for all: it keeps the model."""
    with open_context(has_touch=True) as page:
        yield Chromium(page)


# weekly: each widget's own tests are Chromium's, and Firefox has this one with every change
@pytest.mark.weekly
@pytest.mark.parametrize(("name", "size"), TURNS)
def test_each_widget_is_operated_in_every_way(
    chromium: Chromium, site_url: str, name: str, size: str
) -> None:
    log = chromium.page.log
    log.console.clear()
    operate(chromium, site_url, name, size)
    assert log.console == log.missing == log.outside == []


def test_every_widget_of_the_site_is_among_them(site: Path) -> None:
    found: dict[str, set[str]] = {}
    for page in site.glob("**/*.html"):
        name = page.relative_to(site).with_suffix("").as_posix()
        for module in MODULE.findall(page.read_text(encoding="utf-8")):
            found.setdefault(module, set()).add(name)
    assert found.keys() == WIDGETS.keys()
    assert all(widget.page in found[name] for name, widget in WIDGETS.items())
