"""Deeper parts and solutions are closed until a reader opens them: a `<details>` that works without scripts.

A section whose heading begins with "Deeper:", or with "Exercise" in Appendix C, keeps its heading
and its first paragraph in sight, which say what it is and who needs it or lead back to the
exercise; deeper.js opens it for links, searches and print.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.writers.html5 import HTML5Translator

from book_site.reading_time import OPENER

SOLUTIONS = "appendices/c-exercise-solutions"
SOLUTION = "Exercise "


class folded(nodes.Element):
    """What a deeper part or a solution hides; `what` it is, in the words of its summary."""


def visit(self: HTML5Translator, node: folded) -> None:
    self.body.append(
        '<details class="deeper"><summary>'
        f'<span class="deeper-closed">Read this {node["what"]}</span>'
        f'<span class="deeper-open">Close this {node["what"]}</span></summary>\n'
    )


def depart(self: HTML5Translator, node: folded) -> None:
    self.body.append("</details>\n")


def seen_first(section: nodes.section) -> int:
    """How many children of a deeper section stay in sight: its heading and its first paragraph."""
    second = section.children[1:2]
    return 2 if second and isinstance(second[0], nodes.paragraph) else 1


# where the script puts its switch: a place of its height, so that nothing moves when it comes
PLACE = '<div class="deeper-place" data-what="{}"></div>'


class FoldDeeperParts(SphinxPostTransform):
    default_priority = 210  # after myst-nb has folded inputs and outputs
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        solutions = self.env.docname == SOLUTIONS
        opener, what = (SOLUTION, "solution") if solutions else (OPENER, "part")
        for section in list(self.document.findall(nodes.section)):
            title = section.next_node(nodes.title)
            if title is not None and title.astext().startswith(opener):
                cut = seen_first(section)
                inside = section.children[cut:]
                del section[cut:]
                section += folded("", *inside, what=what)
                section["classes"].append("deeper-part")
        if any(True for _ in self.document.findall(folded)):
            title = self.document.next_node(nodes.title)
            all_of_them = "solutions" if solutions else "deeper parts"
            place = nodes.raw("", PLACE.format(all_of_them), format="html")
            title.parent.insert(title.parent.index(title) + 1, place)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(folded, html=(visit, depart))
    app.add_post_transform(FoldDeeperParts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
