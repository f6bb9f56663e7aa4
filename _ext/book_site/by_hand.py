"""Exercises that are worked out by hand can be answered on the page: a form in place of the cell that waits for the answer."""

import html

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from llmbook_utils.exercises import Exercise, registered
from llmbook_utils.widgets.base import mount_html

TAG = "exercise:"


def exercises_of(cell: nodes.Element) -> list[str]:
    """The exercises whose answers a cell waits for."""
    tags = cell.get("cell_metadata", {}).get("tags", [])
    return [tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)]


def form(exercise: Exercise) -> str:
    """The exercise's fields and rules, and on paper a line for each field."""
    assert exercise.by_hand is not None
    state = {"number": exercise.number, **exercise.by_hand.page()}
    blanks = ", ".join(
        f"{html.escape(name)} <span class='by-hand-blank'></span>"
        for name in exercise.by_hand.fields
    )
    return mount_html("by-hand", state, f"<p>{blanks}</p>")


class AddForms(SphinxPostTransform):
    default_priority = 197  # before outputs are chosen
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        known = registered()
        for cell in list(self.document.findall(nodes.container)):
            for number in exercises_of(cell):
                if known[number].by_hand:
                    raw = nodes.raw("", form(known[number]), format="html")
                    cell.replace_self(raw)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(AddForms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
