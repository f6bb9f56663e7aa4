"""The model map: a text on its way through a GPT, down to single numbers.

Not built on a page.
"""

import math
import re
from pathlib import Path

import numpy as np
import traitlets

from llmbook_utils.inside.stages import Stage, stages_of
from llmbook_utils.widgets.base import Message, percent, table
from llmbook_utils.widgets.live import LiveWidget, Pair, rounded, stored
from llmbook_utils.widgets.tokens import show

MOST = 24  # tokens that are read
TOP = 10  # next tokens


BEFORE, BLOCK, AFTER = map(stages_of, ("before", "block", "after"))


def letters(config: Message, T: int) -> dict[str, int]:
    """The size that each letter stands for."""
    C, H = config["emb_dim"], config["n_heads"]
    return {
        **{"T": T, "C": C, "H": H, "D": C // H, "V": config["vocab_size"]},
        **{"P": config["context_length"], "B": int(config["qkv_bias"])},
        "U": int(not config["tie_embeddings"]),
    }


def evaluate(formula: str, sizes: dict[str, int]) -> int:
    """A sum of products of letters.

    >>> evaluate("4CC+C", {"C": 10})
    410
    """
    terms = (re.fullmatch(r"(\d*)(\w*)", term) for term in formula.split("+"))
    return sum(
        int(term[1] or 1) * math.prod(sizes[letter] for letter in term[2])
        for term in terms
        if term and term[0]
    )


class ModelMap(LiveWidget):
    """Show each stage of a model that reads a text, its numbers, and how each is made.

    `block` is open at first, and its tensors are stored: about 20 kB of the page a
    token, so the text is best short. The last 24 tokens of a longer one are read. A
    block that the model does not have raises ValueError, one that is not a whole number
    TypeError; what LiveWidget refuses is refused.
    """

    module = "model-map"
    block = traitlets.Int().tag(sync=True, page=True)

    def __init__(
        self, text: str, block: int = 0, model: str | Path | Pair = "mini"
    ) -> None:
        if isinstance(block, bool) or not isinstance(block, int):
            raise TypeError(f"block is {block!r}; expected a whole number")
        super().__init__(text, model, block=block)

    def keep(self, replies: dict[str, list[Message]]) -> dict[str, list[Message]]:
        (run,) = replies["run"]
        path = [stored(reply, exact=arrays(reply)) for reply in self._path(run)]
        # the view makes this one of `up_proj`
        run = without(run, f"blocks.{self.block}.feed_forward.gelu")
        run = stored(run, exact=["logits.last"])
        return {"run": [rounded(run, 8)], "path": rounded(path, 8)}

    def __repr__(self) -> str:
        return f"ModelMap({self.text!r}, block={self.block})"

    def requests(self) -> dict[str, Message]:
        """The tensors of the whole and of one block, and the next tokens."""
        blocks = self.model["config"]["n_layers"]
        if not 0 <= self.block < blocks:
            raise ValueError(f"block is {self.block}; expected 0 to {blocks - 1}")
        inside = [f"blocks.{self.block}.{stage.name}" for stage in BLOCK]
        around = [stage.name for stage in BEFORE + AFTER if stage.operation]
        around[around.index("logits")] = "logits.last"
        want = [*around, *inside, "blocks.*.output"]
        return {"run": {"kind": "run", "want": want, "options": {"top": TOP}}}

    def ask(self, request: Message) -> list[Message]:
        options = {"most": MOST, **request.get("options", {})}
        return super().ask({**request, "options": options})

    def _path(self, run: Message) -> list[Message]:
        """Explanations from one attention weight back to the embedding table."""
        tensors = arrays(run)
        name = f"blocks.{self.block}.attention"
        weights = tensors[f"{name}.weights"][:, -1].copy()  # (H, T)
        if weights.shape[1] > 2:
            # a look at the first token, or at itself, often means nothing
            weights[:, [0, -1]] = 0
        head, s = (int(i) for i in np.unravel_index(weights.argmax(), weights.shape))
        step: tuple[str, list[int]] | None
        step = (f"{name}.weights", [head, weights.shape[1] - 1, s])
        path = []
        while step and step[0] in tensors:
            request = {"kind": "explain", "tensor": step[0], "index": step[1]}
            path += self.ask(request)
            step = source(path[-1])
        return path

    def fallback(self) -> str:
        (run,) = self.example["run"]
        tokens = " ".join(f"{show(t['bytes'])} ({t['id']})" for t in run["tokens"])
        caption = (
            f"The stages of {self.model['name']} as it reads “{self.text}”: "
            f"{len(run['tokens'])} tokens, {tokens} (␣ is a space)."
        )
        head = ["stage", "what it does", "shape", "parameters"]
        rows = [[token["bytes"], token["probability"]] for token in run["top"]]
        chances = [[show(b), percent(p)] for b, p in rows]
        return table(caption, head, self._rows(len(run["tokens"]))) + table(
            f"The {len(rows)} most probable next tokens.",
            ["token", "probability"],
            chances,
        )

    def _rows(self, T: int) -> list[list[str]]:
        """Name, sentence, shape and parameters of each stage, one block for all."""
        config = self.model["config"]
        sizes, n = letters(config, T), config["n_layers"]

        def row(stage: Stage, name: str, times: int = 1) -> list[str]:
            axes = [f"{a} = {evaluate(a, sizes):,}" for a in stage.shape.split(",")]
            parameters = evaluate(stage.parameters, sizes) if stage.parameters else 0
            each = f"{times} × " if times > 1 and parameters else ""
            return [name, stage.does, ", ".join(axes), f"{each}{parameters:,}"]

        blocks = "blocks.0" if n == 1 else f"blocks.0 to {n - 1}"
        return [
            *(row(stage, stage.name) for stage in BEFORE),
            *(row(stage, f"{blocks}: {stage.name}", n) for stage in BLOCK),
            *(row(stage, stage.name) for stage in AFTER),
        ]


def arrays(reply: Message) -> dict[str, np.ndarray]:
    """The tensors of a reply by their names."""
    pairs = zip(reply["tensors"], reply["buffers"], strict=True)
    return {
        t["name"]: np.frombuffer(data, "<f4").reshape(t["shape"]) for t, data in pairs
    }


def source(reply: Message) -> tuple[str, list[int]] | None:
    """The number that an explained one has most from; None for a parameter."""
    operation = reply["operation"]
    if operation in ("sum", "gelu"):
        return reply["terms"][0]["tensor"], reply["terms"][0]["index"]
    if operation not in ("product", "norm", "softmax"):
        return None
    found = arrays(reply)
    if operation == "product":
        at = int(np.abs(found["left"] * found["right"]).argmax())
    else:
        at = reply["at"]
    return reply["of"]["tensor"], [*reply["of"]["index"], at]


def without(reply: Message, name: str) -> Message:
    """A reply with one tensor less."""
    at = [tensor["name"] for tensor in reply["tensors"]].index(name)
    lists = ("tensors", "buffers")
    return {**reply, **{key: reply[key][:at] + reply[key][at + 1 :] for key in lists}}
