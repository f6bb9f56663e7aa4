"""The continuation: the model writes on from the reader's words.

Not built on a page.
"""

import html
from pathlib import Path
from typing import Any

import traitlets

from llmbook_utils.widgets.base import Message
from llmbook_utils.widgets.live import LiveWidget, Pair

ABOUT = (
    "This is mini, the book's own model: 5.9 million numbers, trained on old "
    "children's books, stories and novels. It has their manner of speaking and none "
    "of their sense: it knows nothing, answers nothing, and makes everything up."
)


class Continuation(LiveWidget):
    """Continue a text; the reader writes another, and asks for more.

    The `options` are those of `llmbook_utils.generate.stream`; without them, the ones
    of the command `llmbook write`. `about` is what the widget says of the
    model. What LiveWidget refuses is refused, and wrong options raise ValueError.
    """

    module = "continuation"
    options: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)
    about = traitlets.Unicode().tag(sync=True, page=True)

    def __init__(
        self,
        text: str,
        model: str | Path | Pair = "mini",
        about: str = ABOUT,
        **options: Any,
    ) -> None:
        defaults = {"max_new_tokens": 80, "temperature": 0.7, "top_p": 0.95, "seed": 0}
        super().__init__(text, model, options=defaults | options, about=about)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"Continuation({self.text!r}, {options})"

    def requests(self) -> dict[str, Message]:
        return {"continue": {"kind": "continue", "options": self.options}}

    def keep(self, replies: dict[str, list[Message]]) -> dict[str, list[Message]]:
        """No probabilities: their last digits vary by processor."""
        names = ("kind", "seq", "step", "id", "bytes", "why")
        found = replies["continue"]
        return {"continue": [{n: r[n] for n in names if n in r} for r in found]}

    def fallback(self) -> str:
        tokens = [r for r in self.example["continue"] if r["kind"] == "token"]
        data = b"".join(bytes(token["bytes"]) for token in tokens)
        words = html.escape(data.decode(errors="replace"))
        story = f"<p><strong>{html.escape(self.text)}</strong>{words}</p>"
        return f"{story}<p>{html.escape(self.about)}</p>"
