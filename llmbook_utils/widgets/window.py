"""The sliding window: how a text becomes inputs and targets.

Not built on a page.
"""

from typing import Any

import tiktoken
import traitlets

from llmbook_utils.tokenizer import get_encoding
from llmbook_utils.widgets.base import table
from llmbook_utils.widgets.tokens import TokenWidget, show, tokens_of

ROWS = 30  # windows in the fallback's table
MOST = 1024  # the largest context length and stride


def window_starts(length: int, context_length: int, stride: int) -> range:
    """Where the windows of `SlidingWindowDataset` start; none if the text is too short.

    >>> list(window_starts(10, context_length=4, stride=2))
    [0, 2, 4]
    """
    return range(0, length - context_length, stride)


class SlidingWindow(TokenWidget):
    """Show a text's windows and their targets; the reader changes text and numbers.

    `encoding` splits text as GPT-2 does; without it, GPT-2's. The first 2,000
    characters are read. A text that is not a str or a number that is not an int raises
    TypeError, a number below 1 or above 1,024 ValueError.
    """

    module = "sliding-window"
    context_length = traitlets.Int().tag(sync=True, page=True)
    stride = traitlets.Int().tag(sync=True, page=True)

    def __init__(
        self,
        text: str,
        context_length: int = 4,
        stride: int = 4,
        encoding: tiktoken.Encoding | None = None,
    ) -> None:
        for name, value in {"context_length": context_length, "stride": stride}.items():
            if not isinstance(value, int):
                raise TypeError(f"{name} is {type(value).__name__}; expected int")
            if not 1 <= value <= MOST:
                raise ValueError(
                    f"{name} is {value}; it counts tokens and must be 1 to {MOST}"
                )
        encoding = get_encoding("gpt2") if encoding is None else encoding
        super().__init__(
            text, {"encoding": encoding}, context_length=context_length, stride=stride
        )

    def __repr__(self) -> str:
        numbers = f"context_length={self.context_length}, stride={self.stride}"
        return f"SlidingWindow({self.text!r}, {numbers})"

    def fallback(self) -> str:
        tokens = tokens_of(self.replies[0])
        starts = window_starts(len(tokens), self.context_length, self.stride)
        caption = (
            f"{len(tokens)} tokens give {len(starts)} windows of {self.context_length} "
            f"inputs, a new one every {self.stride} tokens; the targets are the inputs "
            "one token later (␣ is a space, ⏎ a new line)"
        )
        if len(starts) > ROWS:
            caption += f"; here are the first {ROWS}"
        chosen = enumerate(starts[:ROWS], 1)
        rows = [[str(n), *self._cells(tokens, start)] for n, start in chosen]
        return table(caption, ["window", "inputs", "targets"], rows)

    def _cells(self, tokens: list[dict[str, Any]], start: int) -> list[str]:
        window = tokens[start : start + self.context_length + 1]
        shown = [show(token["bytes"]) for token in window]
        return [" | ".join(shown[:-1]), " | ".join(shown[1:])]
