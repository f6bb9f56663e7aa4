"""A description of each page, for search engines and for the cards that messengers show (Open Graph)."""

import html
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LONGEST = 200
CARD = "_static/card.png"


def describe(doctree: nodes.document) -> str:
    """The page's first paragraph outside call-outs, lists and tables, cut at a word."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if isinstance(paragraph.parent, nodes.section) and text:
            return (
                text
                if len(text) <= LONGEST
                else text[: LONGEST - 1].rsplit(" ", 1)[0] + "…"
            )
    return ""


def plain(markup: str) -> str:
    return html.unescape(re.sub("<[^>]+>", "", markup))


def properties(
    title: str, description: str, site: str, base: str, pagename: str
) -> dict[str, str]:
    """Open Graph names and values; address and picture must be absolute, so they need the base URL."""
    values = {
        "title": title,
        "description": description,
        "site_name": site,
        "type": "article",
        "locale": "en",
    }
    if base:
        values |= {
            "url": f"{base}{pagename}.html",
            "image": base + CARD,
            "image:alt": site,
        }
    return values


def tags(values: dict[str, str]) -> str:
    described = (
        f'<meta name="description" content="{html.escape(values["description"])}" />\n'
    )
    return described + "".join(
        f'<meta property="og:{name}" content="{html.escape(value)}" />\n'
        for name, value in values.items()
    )


def add(
    app: Sphinx,
    pagename: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    if doctree is None:
        return
    title, base = plain(context["title"]), app.config.html_baseurl
    values = properties(
        title, describe(doctree) or title, app.config.html_title, base, pagename
    )
    context["metatags"] = context.get("metatags", "") + tags(values)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
