"""On a slow connection a page shows its text nearly as soon as it would without the book's own code."""

from pathlib import Path

import benchmark
import pytest
from playwright.sync_api import Browser
from serve import served

pytestmark = pytest.mark.site


def test_the_text_is_there_soon(site: Path, browser: Browser) -> None:
    first_visit = benchmark.load("first_visit")
    page = "chapters/02-working-with-text-data.html"
    with served(site, first_visit.Compressing) as url:
        (ours, peer), _ = first_visit.compare(browser, url + page, runs=1)
    # with a sheet for each part it was 1.42
    assert peer > 1000 and ours < 1.35 * peer
