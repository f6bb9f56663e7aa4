"""Outputs that a page folds or leaves out: what a reader is to predict, and verdicts on answers not yet written."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from book_site.by_hand import exercises_of


def draws(cell: nodes.Element) -> bool:
    """Tell whether a cell's output is a picture rather than text."""
    return any(
        isinstance(node, nodes.image) or node.get("format") == "html"
        for node in cell.findall(nodes.Element)
    )


class ChooseOutputs(SphinxPostTransform):
    default_priority = 198  # just before myst-nb folds inputs and outputs
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        for cell in list(self.document.findall(nodes.container)):
            if exercises_of(cell):  # its stored verdict says only that it waits
                cell.children = [
                    part
                    for part in cell.children
                    if part.get("nb_element") != "cell_code_output"
                ]
            if cell.get("hide_mode") == "output":
                what = "draws" if draws(cell) else "prints"
                cell["prompt_show"] = f"Show what it {what}"
                cell["prompt_hide"] = f"Hide what it {what}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(ChooseOutputs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
