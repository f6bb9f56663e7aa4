"""Plots stand in the pages as SVG: in the page's colors, named, with ids of their own."""

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.site

PAGE = "chapters/05-pretraining-on-unlabeled-data.html"
PLOT = ".bw-plot svg"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_plot_takes_the_colors_of_the_page(new_page: object, theme: str) -> None:
    page = new_page(color_scheme=theme)
    page.goto(PAGE)
    plot = page.locator(PLOT).first
    expect(plot).to_have_attribute("role", "img")
    assert len(plot.get_attribute("aria-label")) > 40
    color = "e => getComputedStyle(e).fill"
    ink = page.evaluate("getComputedStyle(document.querySelector('article p')).color")
    assert plot.locator("text").first.evaluate(color) == ink


def test_no_id_is_there_twice(page: Page) -> None:
    page.goto(PAGE)
    ids = page.locator(f"{PLOT} [id]").evaluate_all("all => all.map(e => e.id)")
    assert ids and len(set(ids)) == len(ids)
