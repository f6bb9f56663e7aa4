"""What the book's site needs beyond Jupyter Book, one idea a module."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

MODULES = (
    "repository",
    "templates",
    "mathjax",
    "widgets",
    "plots",
    "by_hand",
    "outputs",
    "deeper",
    "minutes",
    "front",
    "progress",
    "terms",
    "metadata",
    "icons",
    "first_paint",
    "search",
    "lean",
    "not_found",
    "sitemap",
)


def setup(app: "Sphinx") -> dict[str, bool]:
    for module in MODULES:
        app.setup_extension(f"{__name__}.{module}")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
