"""What a reader is asked to predict is folded below the question, and says so."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


def draws(cell: nodes.Element) -> bool:
    """Tell whether a cell's output is a picture rather than text."""
    return any(
        isinstance(node, nodes.image) or node.get("format") == "html"
        for node in cell.findall(nodes.Element)
    )


class NameFoldedOutputs(SphinxPostTransform):
    default_priority = 198  # just before myst-nb folds inputs and outputs
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        for cell in self.document.findall(nodes.container):
            if cell.get("hide_mode") == "output":
                what = "draws" if draws(cell) else "prints"
                cell["prompt_show"] = f"Show what it {what}"
                cell["prompt_hide"] = f"Hide what it {what}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(NameFoldedOutputs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
