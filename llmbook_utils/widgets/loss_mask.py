"""The loss-mask viewer: which targets of a batch of instructions count in the loss.

Not built on a page.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import traitlets
from torch import Tensor

from llmbook_utils.files.instructions import Entry, load_instructions
from llmbook_utils.instruct import (
    collate,
    end_of,
    find_style,
    format_prompt,
    prepare,
)
from llmbook_utils.loss import IGNORED
from llmbook_utils.widgets.base import Message, table
from llmbook_utils.widgets.instructions import (
    InstructionWidget,
    mini_tokenizer,
    trained_style,
)
from llmbook_utils.widgets.tokens import check_text, show

KINDS = ("opposite", "question", "count_words", "story")  # of the entries shown first


class LossMaskViewer(InstructionWidget):
    """Show a batch of instructions: inputs, targets one token later, and which count.

    The reader chooses among the `entries`, adds one of their own, takes another prompt
    style, and makes the two faults that `collate` can be told to make. Without
    `entries`, four of the book's training part; without a `style`, the one in which the
    shipped adapter, whose losses can be computed, was trained.

    An unknown style, a context length that is not a whole number above 0 and up to that
    of `mini`, and entries of which none has an answer within it raise ValueError; an
    entry that is no `Entry` raises TypeError.
    """

    module = "loss-mask"
    entries: traitlets.List = traitlets.List().tag(sync=True, page=True)
    style = traitlets.Unicode().tag(sync=True, page=True)
    mask_prompt = traitlets.Bool().tag(sync=True, page=True)
    learn_end = traitlets.Bool().tag(sync=True, page=True)
    context_length = traitlets.Int().tag(sync=True, page=True)
    # the style in which the adapter was trained
    trained = traitlets.Unicode().tag(sync=True, page=True)
    # the tokens of each text of the entries in the first style
    known: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)

    def __init__(
        self,
        entries: Sequence[Entry] | None = None,
        style: str | None = None,
        *,
        mask_prompt: bool = True,
        learn_end: bool = True,
        context_length: int = 256,
    ) -> None:
        chosen = some_entries() if entries is None else list(entries)
        for i, entry in enumerate(chosen):
            if not isinstance(entry, Entry):
                kind = type(entry).__name__
                raise TypeError(f"entry {i} is {kind}; expected Entry")
            for text in (entry.instruction, entry.input, entry.output):
                check_text(text)
        trained = trained_style()
        style = trained if style is None else style
        template = find_style(style)
        if not chosen:
            raise ValueError("there are no entries; give at least one")
        texts = [
            text
            for e in chosen
            for text in (
                format_prompt(e.instruction, e.input, template),
                e.output.strip(),
            )
        ]
        super().__init__(
            "",
            entries=[asdict(entry) for entry in chosen],
            style=style,
            trained=trained,
            mask_prompt=bool(mask_prompt),
            learn_end=bool(learn_end),
            context_length=context_length,
            known={text: tokens_of(text) for text in texts},
        )
        longest = self.model["config"]["context_length"]
        if not 1 <= context_length <= longest:
            raise ValueError(
                f"context_length is {context_length}; expected 1 to {longest}"
            )
        self.batch()

    def __repr__(self) -> str:
        faults = f"mask_prompt={self.mask_prompt}, learn_end={self.learn_end}"
        return f"LossMaskViewer({len(self.entries)} entries, {self.style!r}, {faults})"

    def requests(self) -> dict[str, Message]:
        """None: losses are computed when the reader asks for them."""
        return {}

    def batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets (B, T), those of `instruct.collate`."""
        tokenizer, limit = mini_tokenizer(), self.context_length
        entries = [Entry(**entry) for entry in self.entries]
        examples, _ = prepare(entries, tokenizer, find_style(self.style), limit)
        return collate(
            examples,
            end_of(tokenizer),
            context_length=limit,
            mask_prompt=self.mask_prompt,
            learn_end=self.learn_end,
        )

    def fallback(self) -> str:
        inputs, targets = self.batch()
        B, T = inputs.shape
        counted = int((targets != IGNORED).sum())
        caption = (
            f"A batch of {B} rows and {T} columns in the prompt style {self.style}. Of "
            f"its {B * T} targets {counted} count in the loss (␣ is a space, ⏎ a new "
            "line); the others are -100"
        )
        rows = [self._row(i, row) for i, row in enumerate(targets.tolist(), start=1)]
        return table(caption, ["row", "targets that count", "others"], rows)

    def _row(self, number: int, targets: list[int]) -> list[str]:
        counted = [id for id in targets if id != IGNORED]
        read = mini_tokenizer().decode_single_token_bytes
        shown = " | ".join(show(read(id)) for id in counted)
        return [str(number), shown, str(len(targets) - len(counted))]


def tokens_of(text: str) -> list[dict[str, Any]]:
    """The tokens of a text, as messages have them."""
    tokenizer = mini_tokenizer()
    ids = tokenizer.encode_ordinary(text)
    read = tokenizer.decode_single_token_bytes
    return [{"id": id, "bytes": list(read(id))} for id in ids]


def some_entries() -> list[Entry]:
    """The first entry of each of some kinds, out of the training part."""
    entries = load_instructions("train")
    return [next(e for e in entries if e.kind == kind) for kind in KINDS]
