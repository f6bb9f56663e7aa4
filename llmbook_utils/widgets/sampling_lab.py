"""The sampling lab: from the probabilities of all tokens to the one that is drawn.

Not built on a page.
"""

import base64
import html
from pathlib import Path
from typing import Any

import numpy as np
import torch
import traitlets

from llmbook_utils.generate import Sampling, next_token_probabilities
from llmbook_utils.widgets.base import Message, percent, table
from llmbook_utils.widgets.live import LiveWidget, Pair, rounded, stored
from llmbook_utils.widgets.tokens import show

ROWS = 15  # tokens in the fallback's table
# the bounds of the view's controls, where generate.py has none
LIMITS = {"temperature": (0, 5), "repetition_penalty": (0.5, 3), "seed": (0, 2**32 - 1)}
OFF = {"top_k": None, "top_p": None, "min_p": None, "repetition_penalty": 1.0}
WHOLE = ("top_k", "seed")


class SamplingLab(LiveWidget):
    """Show the next token's probabilities under the options of `generate`, and draws.

    The options mean what they do in `llmbook_utils.generate.next_token_probabilities`;
    the reader changes them. One of a wrong type raises TypeError, one out of range
    ValueError; what LiveWidget refuses is refused.
    """

    module = "sampling-lab"
    options: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)

    def __init__(
        self,
        text: str,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        model: str | Path | Pair = "mini",
    ) -> None:
        options = {
            **{"temperature": temperature, "top_k": top_k, "top_p": top_p},
            **{"min_p": min_p, "repetition_penalty": repetition_penalty, "seed": seed},
        }
        check(options)
        super().__init__(text, model, options=options)

    def keep(self, replies: dict[str, list[Message]]) -> dict[str, list[Message]]:
        (run,), (vocabulary,) = replies["run"], replies["vocabulary"]
        self._logits = np.frombuffer(run["buffers"][0], dtype="<f4")
        return {
            "run": [stored(run, exact=["logits.last"])],
            "vocabulary": [packed(vocabulary)],
            "continue": [rounded(reply, 7) for reply in replies["continue"]],
        }

    def __repr__(self) -> str:
        return f"SamplingLab({', '.join([repr(self.text), *used(self.options)])})"

    def requests(self) -> dict[str, Message]:
        """The logits, the vocabulary, and a continuation with the first options."""
        more = {"max_new_tokens": 60, "alternatives": 5}
        return {
            "run": {"kind": "run", "want": ["logits.last"]},
            "vocabulary": {"kind": "vocabulary"},
            "continue": {"kind": "continue", "options": {**self.options, **more}},
        }

    def fallback(self) -> str:
        ids = [token["id"] for token in self.example["run"][0]["tokens"]]
        logits = torch.tensor(self._logits)[None]
        sampling = sampling_of(self.options)
        after = next_token_probabilities(logits, torch.tensor([ids]), sampling)[0]
        before = logits.softmax(dim=-1)[0]
        best = before.sort(descending=True, stable=True).indices[:ROWS].tolist()
        (vocabulary,) = self.example["vocabulary"]
        data = list(base64.b64decode(vocabulary["bytes"]))
        ends = np.cumsum([0, *vocabulary["lengths"]])
        rows = [
            [show(data[ends[id] : ends[id + 1]]), str(id)]
            + [percent(float(p[id])) for p in (before, after)]
            for id in best
        ]
        return table(self._caption(after), ["token", "id", "before", "after"], rows) + (
            f"<p><strong>{html.escape(self.text)}</strong>{html.escape(self._words())}</p>"
        )

    def _caption(self, after: torch.Tensor) -> str:
        left, size = int((after > 0).sum()), len(after)
        return (
            f"The next token after “{self.text}”: the {ROWS} most probable ones, "
            f"before and after {', '.join(used(self.options))}, which leaves {left:,} "
            f"of {size:,} tokens to draw from (␣ is a space, ⏎ a new line). Below, a "
            "continuation drawn with these options."
        )

    def _words(self) -> str:
        tokens = [r for r in self.example["continue"] if r["kind"] == "token"]
        return b"".join(bytes(t["bytes"]) for t in tokens).decode(errors="replace")


def used(options: dict[str, Any]) -> list[str]:
    """The options that are not off, as Python writes them.

    >>> used({"temperature": 0.7, "top_k": None, "repetition_penalty": 1.0, "seed": 3})
    ['temperature=0.7', 'seed=3']
    """
    pairs = options.items()
    return [f"{n}={v}" for n, v in pairs if n not in OFF or v != OFF[n]]


def sampling_of(options: dict[str, Any]) -> Sampling:
    """The options of `Sampling` among those of the view, which has a seed as well."""
    return Sampling(**{n: v for n, v in options.items() if n != "seed"})


def check(options: dict[str, Any]) -> None:
    """Raise for an option that the view's controls cannot show."""
    for name, value in options.items():
        kinds = int if name in WHOLE else (int, float)
        off = name in OFF and OFF[name] is None and value is None
        if not off and (isinstance(value, bool) or not isinstance(value, kinds)):
            wanted = "a whole number" if name in WHOLE else "a number"
            none = " or None" if name in OFF and OFF[name] is None else ""
            raise TypeError(f"{name} is {value!r}; expected {wanted}{none}")
    sampling_of(options)  # which refuses what cannot be meant
    for name, (least, most) in LIMITS.items():
        if not least <= options[name] <= most:
            raise ValueError(f"{name} is {options[name]}; expected {least} to {most}")


def packed(vocabulary: Message) -> Message:
    """A vocabulary with its bytes as base64: a third of the characters."""
    data = bytes(vocabulary["bytes"])
    return {**vocabulary, "bytes": base64.b64encode(data).decode()}
