"""The embedding map: words as points, by the vectors that a model has for their tokens.

Not built on a page.
"""

from pathlib import Path

from llmbook_utils.widgets.base import Message, table
from llmbook_utils.widgets.live import LiveWidget, Pair
from llmbook_utils.widgets.tokens import show

NEIGHBORS = 10


class EmbeddingMap(LiveWidget):
    """Show words in the plane in which their embeddings differ most, and neighbors.

    `text` holds words between spaces or commas; each is read with a space before it, as
    inside a sentence, and those that are several tokens are left out. What LiveWidget
    refuses is refused.
    """

    module = "embedding-map"

    def __init__(self, text: str, model: str | Path | Pair = "mini") -> None:
        super().__init__(text, model)

    def __repr__(self) -> str:
        return f"EmbeddingMap({self.text!r})"

    def requests(self) -> dict[str, Message]:
        words = "".join(f" {word}" for word in self.text.replace(",", " ").split())
        want = ["token_embedding"]
        (reading,) = self.ask({"kind": "run", "text": words})
        return {
            "words": {"kind": "run", "text": words, "want": want},
            "neighbors": {
                "kind": "neighbors",
                "ids": [reading["tokens"][0]["id"]],
                "options": {"n": NEIGHBORS},
            },
        }

    def fallback(self) -> str:
        reply = self.example["neighbors"][0]
        word = show(reply["tokens"][0]["bytes"])
        caption = (
            f"The tokens of {self.model['name']} whose embeddings point most nearly "
            f"where that of “{word}” does (␣ is a space)"
        )
        rows = [
            [show(token["bytes"]), f"{token['similarity']:.3f}"]
            for token in reply["neighbors"]
        ]
        return table(caption, ["token", "cosine similarity"], rows)
