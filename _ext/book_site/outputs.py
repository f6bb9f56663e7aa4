"""Outputs that a page folds or leaves out: what a reader is to predict, and verdicts on answers not yet written."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


def draws(cell: nodes.Element) -> bool:
    """Tell whether a cell's output is a picture rather than text."""
    return any(
        isinstance(node, nodes.image) or node.get("format") == "html"
        for node in cell.findall(nodes.Element)
    )


def is_stub(cell: nodes.Element) -> bool:
    """Tell whether a cell waits for a reader's answer; its stored verdict says only that."""
    tags = cell.get("cell_metadata", {}).get("tags", [])
    return any(tag.startswith("exercise:") for tag in tags)


class ChooseOutputs(SphinxPostTransform):
    default_priority = 198  # just before myst-nb folds inputs and outputs
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        for cell in list(self.document.findall(nodes.container)):
            if is_stub(cell):
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
