"""Ask mini: a request, and what the model answers before and after fine-tuning.

Not built on a page.
"""

import functools
from dataclasses import asdict
from typing import Any

import traitlets

from llmbook_utils.evaluate import exact_match
from llmbook_utils.files.instructions import load_instructions
from llmbook_utils.instruct import encode_prompt, find_style
from llmbook_utils.widgets.base import Message, percent, table
from llmbook_utils.widgets.instructions import (
    ADAPTER,
    InstructionWidget,
    mini_tokenizer,
    trained_style,
)
from llmbook_utils.widgets.live import rounded
from llmbook_utils.widgets.sampling_lab import OFF, check
from llmbook_utils.widgets.tokens import check_text, show

MOST = 60  # tokens of an answer
ALTERNATIVES = 5  # tokens that are told beside each
FIRST = "animal"  # the kind of the request that is there first
MODELS = {"tuned": "after fine-tuning", "base": "before"}


class AskMini(InstructionWidget):
    """Ask `mini` for something: its answers with and without the instruction adapter.

    The reader asks something else, takes requests of the test part with their reference
    answers, and opens each token to see what could have come in its place. Without an
    `instruction`, the first request is one of the test part. At a `temperature` of 0
    the most probable token is taken each time; above, tokens are drawn with `seed`.

    An empty instruction, a request that leaves no room for an answer, and a temperature
    or seed out of range raise ValueError; one of a wrong type raises TypeError.
    """

    module = "ask-mini"
    input = traitlets.Unicode().tag(sync=True, page=True)
    style = traitlets.Unicode().tag(sync=True, page=True)
    options: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)
    # requests that training did not see: instruction, input, output and kind of each
    tests: traitlets.List = traitlets.List().tag(sync=True, page=True)

    def __init__(
        self,
        instruction: str | None = None,
        input: str = "",
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        check({**OFF, "temperature": temperature, "seed": seed})
        tests = held_out()
        if instruction is None:
            first = next(one for one in tests if one["kind"] == FIRST)
            instruction, input = first["instruction"], first["input"]
        check_text(instruction)
        check_text(input)
        style = trained_style()
        self._prompt = encode_prompt(
            mini_tokenizer(), instruction, input, find_style(style)
        )
        super().__init__(
            instruction,
            input=input,
            style=style,
            options={
                **{"max_new_tokens": MOST, "alternatives": ALTERNATIVES},
                **{"temperature": temperature, "seed": seed},
            },
            tests=tests,
        )

    def __repr__(self) -> str:
        request = f"{self.text!r}, {self.input!r}"
        numbers = (f"{name}={self.options[name]}" for name in ("temperature", "seed"))
        return f"AskMini({request}, {', '.join(numbers)})"

    def requests(self) -> dict[str, Message]:
        """The continuation of the prompt, with the adapter and without."""
        limit = self.model["config"]["context_length"]
        room = limit - len(self._prompt)
        if room < 1:
            raise ValueError(
                f"the request has {len(self._prompt)} tokens with its prompt, but mini "
                f"reads {limit}, the answer included; shorten it"
            )
        options = {**self.options, "max_new_tokens": min(MOST, room)}
        ask = {"kind": "continue", "text": "", "ids": self._prompt, "options": options}
        return {"tuned": {**ask, "adapter": ADAPTER}, "base": ask}

    def keep(self, replies: dict[str, list[Message]]) -> dict[str, list[Message]]:
        """The tokens of the prompt can be left out: nothing shows them."""
        for started, *_ in replies.values():
            started["tokens"] = []
        return {
            name: [rounded(reply, 7) for reply in found]
            for name, found in replies.items()
        }

    def answer(self, name: str) -> str:
        """What "tuned" or "base" answers to the first request."""
        tokens = [r for r in self.example[name] if r["kind"] == "token"]
        end = mini_tokenizer().eot_token
        data = b"".join(bytes(t["bytes"]) for t in tokens if t["id"] != end)
        return data.decode(errors="replace").strip()

    @property
    def reference(self) -> str | None:
        """The reference answer to the first request, if it is one of the test part."""
        asked = (self.text.strip(), self.input.strip())
        found = (t for t in self.tests if (t["instruction"], t["input"]) == asked)
        return next((one["output"] for one in found), None)

    def fallback(self) -> str:
        asked = f"“{self.text}”" + (f" about “{self.input}”" if self.input else "")
        caption = f"What mini answers to {asked}, before and after fine-tuning"
        rows = [[MODELS[name], self.answer(name)] for name in ("base", "tuned")]
        head = ["mini", "answer"]
        if (reference := self.reference) is not None:
            caption += f"; the reference answer is “{reference}”"
            head.append("matches")
            for row in rows:
                row.append("yes" if exact_match(row[1], reference) else "no")
        return table(caption, head, rows) + self._tokens()

    def _tokens(self) -> str:
        """A table of the tuned answer's tokens, each with its runner-up."""
        rows = []
        for reply in self.example["tuned"]:
            if reply["kind"] == "token":
                other = next(a for a in reply["alternatives"] if a["id"] != reply["id"])
                one = [show(reply["bytes"]), percent(reply["plain"])]
                rows.append(
                    [*one, f"{show(other['bytes'])} ({percent(other['plain'])})"]
                )
        caption = (
            "The answer after fine-tuning, token by token: how probable each was, and "
            "the most probable other one (␣ is a space, ⏎ a new line)"
        )
        return table(caption, ["token", "probability", "another"], rows)


@functools.cache
def held_out() -> list[dict[str, Any]]:
    """The requests of the test part and of the kind that training did not have."""
    entries = [*load_instructions("test"), *load_instructions("unseen")]
    return [
        {name: value for name, value in asdict(entry).items() if name != "split"}
        for entry in entries
    ]
