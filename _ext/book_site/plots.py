"""Plots in the page's own colors: their SVG stands in the page instead of in an `<img>`, which no style reaches."""

import html
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

HEAD = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>\s*", re.DOTALL)
SIZE = re.compile(r'(<svg[^>]*?) width="[\d.]+pt" height="[\d.]+pt"')
ID = re.compile(r'(\bid="|xlink:href="#|url\(#)')
FONT = re.compile(r"(?:; )?font-family: [^;\"]*")  # the page's own
WIDE = 400  # points; a plot of two panels scrolls by itself on a phone

logger = logging.getLogger(__name__)


def themed(svg: str, alt: str, number: int) -> str:
    """The SVG of a plot for the page: ink follows the text's color, ids are its own."""
    svg = SIZE.sub(r"\1", HEAD.sub("", svg))
    # matplotlib's ink and paper
    svg = svg.replace("#000000", "currentColor").replace("fill: #ffffff", "fill: none")
    svg = FONT.sub("", svg)
    svg = ID.sub(rf"\g<1>plot-{number}-", svg)
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])  # type: ignore[index]
    wide = " bw-plot-wide" if width > WIDE else ""
    named = svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt)}"', 1)
    # what scrolls by itself must be reached by keyboard
    focus = ' tabindex="0" role="group" aria-label="Plot"' if wide else ""
    return f'<div class="bw-plot{wide}" style="--bw-width: {width:.0f}"{focus}>{named}</div>'


class InlinePlots(SphinxPostTransform):
    default_priority = 220  # after myst-nb has chosen the outputs
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        plots = [
            image
            for image in self.document.findall(nodes.image)
            if image["uri"].endswith(".svg") and image.get("alt")
        ]
        for number, image in enumerate(plots):
            path = Path(self.app.srcdir) / image["uri"]
            if path.exists():
                text = themed(path.read_text(encoding="utf-8"), image["alt"], number)
                image.replace_self(nodes.raw("", text, format="html"))
            else:
                logger.warning("the plot %s is not there", path)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(InlinePlots)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
