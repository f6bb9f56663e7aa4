"""The widgets' modules, served beside the pages and loaded only where a page has a widget; the palette is for all.

A widget's stored state is a file of its own, unless it is small: it is loaded when the widget
comes near the screen, and a page is not heavier than what a reader reads of it. Modules go without comments and
indentation; a notebook gets their text as it is.
"""

import html
import re
import zlib
from pathlib import Path
from typing import Any

import rjsmin
from sphinx.application import Sphinx

from llmbook_utils.widgets import write_site_files

FOLDER = "widgets"
STATE = re.compile(
    r'(<div class="bw-mount" data-bw-module="[a-z-]+")>'
    r'<script type="application/json">(.*?)</script>',
    re.DOTALL,
)
INLINE = 4000  # characters of a state that stay on the page


def write(app: Sphinx) -> None:
    folder = Path(app.outdir) / "_static" / FOLDER
    write_site_files(folder)
    for module in folder.rglob("*.js"):
        text = module.read_text(encoding="utf-8")
        module.write_text(rjsmin.jsmin(text), encoding="utf-8")


def move_states(body: str, folder: Path) -> str:
    """`body` with its large states written into a folder, each named by its checksum."""

    def move(found: re.Match[str]) -> str:
        start, state = found.groups()
        if len(state) <= INLINE:
            return found[0]
        name = f"{zlib.crc32(state.encode()):08x}.json"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(state, encoding="utf-8")
        return f'{start} data-bw-state="states/{html.escape(name)}">'

    return STATE.sub(move, body)


def load(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    app.add_css_file(f"{FOLDER}/palette.css")
    if "bw-mount" in context.get("body", ""):
        folder = Path(app.outdir) / "_static" / FOLDER / "states"
        context["body"] = move_states(context["body"], folder)
        app.add_js_file(f"{FOLDER}/host/static-host.js", type="module")
        app.add_css_file(f"{FOLDER}/style.css")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
