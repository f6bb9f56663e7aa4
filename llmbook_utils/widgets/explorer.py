"""The tokenizer explorer: any text as tokens, ids, bytes and merges.

Not built on a page.
"""

from collections.abc import Mapping
from typing import Any

import tiktoken

from llmbook_utils.tokenizer import get_encoding
from llmbook_utils.widgets.base import table
from llmbook_utils.widgets.tokens import TokenWidget, show, tokens_of

ROWS = 100  # tokens in the fallback's table


class TokenizerExplorer(TokenWidget):
    """Show how encodings cut a text into tokens; the reader types any other text.

    `encodings` maps the names that the reader chooses from to encodings that split text
    as GPT-2 does; without it, GPT-2's. The first 2,000 characters are read. A text that
    is not a str raises TypeError; no encoding, or one that splits otherwise,
    ValueError.
    """

    module = "tokenizer-explorer"

    def __init__(
        self, text: str, encodings: Mapping[str, tiktoken.Encoding] | None = None
    ) -> None:
        super().__init__(
            text, {"GPT-2": get_encoding("gpt2")} if encodings is None else encodings
        )

    def __repr__(self) -> str:
        names = [encoding["name"] for encoding in self.encodings]
        return f"TokenizerExplorer({self.text!r}, encodings={names})"

    def fallback(self) -> str:
        pairs = zip(self.encodings, self.replies, strict=True)
        return "".join(
            self._table(encoding["name"], reply) for encoding, reply in pairs
        )

    def _table(self, name: str, reply: dict[str, Any]) -> str:
        tokens = tokens_of(reply)
        first = f", here the first {ROWS}" if len(tokens) > ROWS else ""
        total = f"{len(reply['text'])} characters make {len(tokens)} tokens in {name}"
        caption = f"{total}{first} (␣ is a space, ⏎ a new line)"
        rows = [
            [show(token["bytes"]), str(token["id"]), bytes(token["bytes"]).hex(" ")]
            for token in tokens[:ROWS]
        ]
        return table(caption, ["token", "id", "bytes"], rows)
