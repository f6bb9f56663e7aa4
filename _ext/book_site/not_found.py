"""404.html, which a server shows at any address: its links must not be relative to the page's own."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from sphinx.application import Sphinx

NAME = "404"
LINK = re.compile(
    r'((?:href|src|action|data-content_root)=")(?!https?:|//|/|#|data:|mailto:)(?:\./)?([^"]*)'
)
BODY = """<section><h1>This page does not exist</h1>
<p>The address may be mistyped, or the page has moved. <a href="{home}">Go to the front page</a>,
or <a href="search.html">search the book</a>.</p></section>"""


def page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    home = app.builder.get_target_uri(app.config.root_doc)
    yield NAME, {"title": "Page not found", "body": BODY.format(home=home)}, "page.html"


def anchor(markup: str, base: str) -> str:
    """Every relative link in `markup` made relative to `base`, the path of the site on its server."""
    return LINK.sub(lambda match: f"{match[1]}{base}{match[2]}", markup)


def rewrite(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        path = app.outdir / f"{NAME}.html"
        base = urlsplit(app.config.html_baseurl).path or "/"
        path.write_text(
            anchor(path.read_text(encoding="utf-8"), base), encoding="utf-8"
        )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-collect-pages", page)
    app.connect("build-finished", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
