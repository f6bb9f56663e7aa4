"""The look of the front page: its opening beside the live model, the widgets' pictures as a strip, the map as a figure.

In a notebook it is a page of plain Markdown: links, a list with pictures, a table. Here these
get the classes that front.css dresses; the text, the links and the minutes stay as they are.
"""

import html
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

SHEET = Path(__file__).parent / "front" / "front.css"
OPENING = ("front-lead", "front-buttons", "front-note")
STRIP, MAP, WAYS = "try-the-widgets", "the-map", "four-ways-to-read"
STILL = re.compile(r"_static/stills/[\w-]+\.png")
SIZE = (720, 450)  # of a still, in CSS pixels
NUMBER = re.compile(r"(?:Appendix )?(?P<number>\d[\d.]*|[A-Z])(?= )")
MINUTES = re.compile(r"(?P<main>\d+)(?: \+ (?P<more>\d+))?")
# which part of the road a chapter is, in the colors and words of the road map in chapter 1
STAGES = {"1": "count", "2": "build", "3": "build", "4": "build", "5": "train"}
LATER = "tune"
SAID = {
    "count": "what a language model is",
    "build": "the parts and the whole, not trained",
    "train": "trained on plain text",
    "tune": "trained for a task",
    "beside": "beside the road",
}


def open_page(section: nodes.section) -> None:
    """Name the paragraphs of the opening, and the widget between them."""
    section["classes"].append("front-page")
    names = iter(OPENING)
    for node in section.children:
        if isinstance(node, nodes.section):
            return
        if isinstance(node, nodes.paragraph) and (name := next(names, None)):
            node["classes"].append(name)
        elif isinstance(node, nodes.container):
            node["classes"].append("front-model")


def both_themes(image: nodes.image) -> nodes.raw:
    """A still in light and in dark, of which a browser loads the one that it shows."""
    path = STILL.search(image["uri"])
    if path is None:
        raise ValueError(f"{image['uri']} is no still; tools/draw_stills.py makes them")
    alt, (width, height) = html.escape(image.get("alt", "")), SIZE
    size = f'loading="lazy" width="{width}" height="{height}"'
    pair = "".join(
        f'<img class="only-{theme}" src="{path[0].removesuffix(".png")}{suffix}.png" alt="{alt}" {size}/>'
        for theme, suffix in (("light", ""), ("dark", "-dark"))
    )
    return nodes.raw("", pair, format="html")


def make_strip(section: nodes.section) -> None:
    for cards in section.findall(nodes.bullet_list):
        cards["classes"].append("front-strip")
        for image in list(cards.findall(nodes.image)):
            image.replace_self(both_themes(image))


def stage(number: str) -> str:
    """The part of the road that a page's number belongs to."""
    return STAGES.get(number[0], LATER) if number[:1].isdigit() else "beside"


def bar(minutes: str) -> nodes.raw:
    """The minutes of a page, drawn to scale: main line, then what may wait."""
    found = MINUTES.search(minutes)
    if found is None:
        return nodes.raw("", "", format="html")
    main, more = int(found["main"]), int(found["more"] or 0)
    said = f"{main} min" + (f' <span class="map-more">+ {more}</span>' if more else "")
    drawn = f'<span class="map-bar" style="--main: {main}; --more: {more}"></span>'
    text = f'<p class="map-minutes">{drawn}<span>{said}</span></p>'
    return nodes.raw("", text, format="html")


def station(row: nodes.row, before: str) -> nodes.list_item:
    """A row of the table as a station of the map; `before` is the stage of the one before."""
    page, what, minutes = row.children
    title = page.astext()
    found = NUMBER.match(title)
    number = found["number"] if found else ""
    here = stage(number)
    item = nodes.list_item("", classes=["map-station", f"map-{here}"], stage=here)
    if "." in number:
        item["classes"].append("map-part")
    disc = f'<span class="map-number" aria-hidden="true">{number or "·"}</span>'
    item += nodes.raw("", disc, format="html")
    name, text = nodes.paragraph(), nodes.paragraph(classes=["map-what"])
    name["classes"].append("map-title")
    for entry, into in ((page, name), (what, text)):
        for paragraph in entry.findall(nodes.paragraph):
            into += paragraph.children
    words = nodes.container("", name, text, classes=["map-text"])
    if here != before:
        words.insert(0, nodes.paragraph("", SAID[here], classes=["map-stage"]))
    item += words
    item += bar(minutes.astext())
    return item


def draw_map(section: nodes.section) -> None:
    for table in list(section.findall(nodes.table)):
        rows = [row for body in table.findall(nodes.tbody) for row in body.children]
        stations, before = nodes.bullet_list(classes=["front-map"]), ""
        for row in rows:
            stations += station(row, before)
            before = stations[-1]["stage"]
        table.replace_self(stations)


def way(row: nodes.row) -> nodes.list_item:
    """A row of the table of ways to read as a card: its name, what one needs, what one does."""
    card = nodes.list_item()
    for entry, kind in zip(
        row.children, ("way-name", "way-needs", "way-does"), strict=True
    ):
        text = nodes.paragraph(classes=[kind])
        for paragraph in entry.findall(nodes.paragraph):
            text += paragraph.children
        card += text
    return card


def make_cards(section: nodes.section) -> None:
    for table in list(section.findall(nodes.table)):
        rows = [row for body in table.findall(nodes.tbody) for row in body.children]
        cards = nodes.bullet_list(classes=["front-ways"])
        cards += [way(row) for row in rows]
        table.replace_self(cards)


class DressFrontPage(SphinxPostTransform):
    default_priority = 230  # after all references are resolved
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        if self.env.docname != self.config.root_doc:
            return
        sections = list(self.document.findall(nodes.section))
        open_page(sections[0])
        for section in sections:
            if STRIP in section["ids"]:
                make_strip(section)
            if MAP in section["ids"]:
                draw_map(section)
            if WAYS in section["ids"]:
                make_cards(section)


def copy(app: Sphinx) -> None:
    target = Path(app.outdir) / "_static"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(SHEET, target)


def load(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    if pagename == app.config.root_doc:
        app.add_css_file(SHEET.name)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(DressFrontPage)
    app.connect("builder-inited", copy)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
