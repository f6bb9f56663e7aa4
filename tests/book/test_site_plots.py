"""The plots of the pages, as the site shows them, are whole: every text of the SVG is still there."""

from xml.etree import ElementTree

import pytest
from book import NOTEBOOKS
from book_site.plots import themed

SVG = "image/svg+xml"
PLOTS = [
    pytest.param(output.data[SVG], id=f"{page.path}-{cell.id}")
    for page in NOTEBOOKS
    for cell in page.code
    for output in cell.outputs
    if SVG in output.get("data", {})
]


def texts(svg):
    """The texts of an SVG, each joined from its pieces."""
    found = ElementTree.fromstring(svg).iterfind(".//{http://www.w3.org/2000/svg}text")
    return ["".join(one.itertext()).strip() for one in found]


@pytest.mark.parametrize("svg", PLOTS)
def test_a_plot_on_the_site_has_the_texts_of_the_notebook(svg):
    on_site = themed(svg, "what it shows", 1)
    assert texts(on_site) == texts(svg)
    assert "font-family" not in on_site
