"""The widgets' modules, served beside the pages and loaded only where a page has a widget; the palette is for all."""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from llmbook_utils.widgets import write_site_files

FOLDER = "widgets"


def write(app: Sphinx) -> None:
    write_site_files(Path(app.outdir) / "_static" / FOLDER)


def load(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    app.add_css_file(f"{FOLDER}/palette.css")
    if "bw-mount" in context.get("body", ""):
        app.add_js_file(f"{FOLDER}/host/static-host.js", type="module")
        app.add_css_file(f"{FOLDER}/style.css")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
