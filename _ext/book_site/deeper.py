"""Deeper parts are closed until a reader opens them: a `<details>` that works without scripts.

A section whose heading begins with "Deeper:" keeps its heading and its first paragraph in
sight, which say what it is and who needs it; deeper.js opens it for links, searches and print.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.writers.html5 import HTML5Translator

from book_site.reading_time import OPENER


class folded(nodes.Element):
    """What a deeper part hides."""


def visit(self: HTML5Translator, node: folded) -> None:
    self.body.append(
        '<details class="deeper"><summary>'
        '<span class="deeper-closed">Read this part</span>'
        '<span class="deeper-open">Close this part</span></summary>\n'
    )


def depart(self: HTML5Translator, node: folded) -> None:
    self.body.append("</details>\n")


def seen_first(section: nodes.section) -> int:
    """How many children of a deeper section stay in sight: its heading and its first paragraph."""
    second = section.children[1:2]
    return 2 if second and isinstance(second[0], nodes.paragraph) else 1


# where the script puts its switch: a place of its height, so that nothing moves when it comes
PLACE = '<div class="deeper-place"></div>'


class FoldDeeperParts(SphinxPostTransform):
    default_priority = 210  # after myst-nb has folded inputs and outputs
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        for section in list(self.document.findall(nodes.section)):
            title = section.next_node(nodes.title)
            if title is not None and title.astext().startswith(OPENER):
                cut = seen_first(section)
                inside = section.children[cut:]
                del section[cut:]
                section += folded("", *inside)
                section["classes"].append("deeper-part")
        if any(True for _ in self.document.findall(folded)):
            title = self.document.next_node(nodes.title)
            place = nodes.raw("", PLACE, format="html")
            title.parent.insert(title.parent.index(title) + 1, place)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(folded, html=(visit, depart))
    app.add_post_transform(FoldDeeperParts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
