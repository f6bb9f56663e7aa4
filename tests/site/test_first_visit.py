"""On a slow connection a page shows its text nearly as soon as it would without the book's own code."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from book import ROOT
from playwright.sync_api import Browser
from serve import served

pytestmark = pytest.mark.site


@pytest.fixture(scope="module")
def first_visit() -> ModuleType:
    """The module of the benchmark."""
    path = ROOT / "benchmarks" / "first_visit.py"
    spec = importlib.util.spec_from_file_location("first_visit", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_text_is_there_soon(
    site: Path, browser: Browser, first_visit: ModuleType
) -> None:
    page = "chapters/02-working-with-text-data.html"
    with served(site, first_visit.Compressing) as url:
        (ours, peer), _ = first_visit.compare(browser, url + page, runs=1)
    # with a sheet for each part it was 1.42
    assert peer > 1000 and ours < 1.35 * peer
