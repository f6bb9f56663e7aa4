"""The attention explorer: which tokens each head of a model looks at.

Not built on a page.
"""

from pathlib import Path
from typing import Any

import numpy as np
import traitlets

from llmbook_utils.widgets.base import Message, table
from llmbook_utils.widgets.live import LiveWidget, Pair, stored
from llmbook_utils.widgets.tokens import show

MOST = 48  # tokens that are read: as many as a picture can show
TOP = 6  # next tokens
WANT = ["blocks.*.attention.weights", "logits.last"]


class AttentionExplorer(LiveWidget):
    """Show the attention weights of every head for a text, and what switches change.

    `block` and `head`, counted from 0, are the ones chosen at first; the reader chooses
    others. One of a wrong type raises TypeError, one that the model does not have
    ValueError; what LiveWidget refuses is refused.
    """

    module = "attention-explorer"
    block = traitlets.Int().tag(sync=True, page=True)
    head = traitlets.Int().tag(sync=True, page=True)

    def __init__(
        self,
        text: str,
        block: int = 0,
        head: int = 0,
        model: str | Path | Pair = "mini",
    ) -> None:
        for name, number in {"block": block, "head": head}.items():
            if isinstance(number, bool) or not isinstance(number, int):
                raise TypeError(f"{name} is {number!r}; expected a whole number")
        super().__init__(text, model, block=block, head=head)

    def __repr__(self) -> str:
        place = f"block={self.block}, head={self.head}"
        return f"AttentionExplorer({self.text!r}, {place})"

    def keep(self, replies: dict[str, list[Message]]) -> dict[str, list[Message]]:
        (run,) = replies["run"]
        self._weights = weights_of(run)
        return {"run": [stored(compact(run, self._weights), exact=["weights"])]}

    def requests(self) -> dict[str, Message]:
        check("block", self.block, self.model["config"]["n_layers"])
        check("head", self.head, self.model["config"]["n_heads"])
        options = {"most": MOST, "top": TOP}
        return {"run": {"kind": "run", "want": WANT, "options": options}}

    def fallback(self) -> str:
        (run,) = self.example["run"]
        names = [show(token["bytes"]) for token in run["tokens"]]
        numbers = self._weights[self.block, self.head]
        rows = [
            [name] + [f"{w:.2f}" if j <= i else "" for j, w in enumerate(numbers[i])]
            for i, name in enumerate(names)
        ]
        caption = (
            f"Attention weights of head {self.head} in block {self.block} (counted "
            "from 0, as in Python): each row is a token, and its numbers say how much "
            "it looks at the tokens above the columns. A row adds up to 1; what is "
            "empty is hidden by the mask (␣ is a space, ⏎ a new line)."
        )
        return table(caption, ["token", *names], rows)


def check(name: str, number: int, size: int) -> None:
    """Raise ValueError for a block or a head that a model does not have."""
    if not 0 <= number < size:
        raise ValueError(
            f"{name} is {number}; this model has {size}, counted from 0: expected 0 "
            f"to {size - 1}"
        )


def weights_of(reply: Message) -> np.ndarray:
    """The weights of all blocks (L, H, T, T) in a reply."""
    arrays = [
        np.frombuffer(data, dtype="<f4").reshape(tensor["shape"])
        for tensor, data in zip(reply["tensors"], reply["buffers"], strict=True)
        if tensor["name"] != "logits.last"
    ]
    return np.stack(arrays)


def compact(reply: Message, weights: np.ndarray) -> dict[str, Any]:
    """A reply with the weights that no mask hides as its one tensor."""
    seen = weights[:, :, *np.tril_indices(weights.shape[-1])]  # (L, H, T(T+1)/2)
    tensors = [{"name": "weights", "shape": list(seen.shape)}]
    top = [{**t, "probability": round(t["probability"], 6)} for t in reply["top"]]
    buffers = [seen.astype("<f4").tobytes()]
    return {**reply, "top": top, "tensors": tensors, "buffers": buffers}
