"""The base of the widgets that show a model at work, and what answers them in Python.

A widget sends `{"kind": "run" | "explain" | "vocabulary" | "continue" | …, "seq": n}`
and draws the replies. On a page without a kernel the model runs in the browser and
`web/engine/live-model.js` gives the same replies; `web/protocol.json` is the schema of
both. Not built on a page.
"""

import base64
import functools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tiktoken
import torch
import traitlets
from torch import Tensor
from torch.nn import functional as F

from llmbook_utils.classify import encode, logits_of
from llmbook_utils.config import GPTConfig
from llmbook_utils.files.hub import SHIPPED
from llmbook_utils.generate import (
    Reader,
    Sampling,
    draw,
    next_token_probabilities,
    uniform_numbers,
)
from llmbook_utils.inside.explain import explain
from llmbook_utils.inside.trace import Changes, Trace
from llmbook_utils.model import GPTModel, evaluating
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.tokenizer import END_OF_TEXT
from llmbook_utils.widgets.adapters import Adapters
from llmbook_utils.widgets.base import BookWidget, Message
from llmbook_utils.widgets.tokens import LIMIT, check_text, pack_ranks
from llmbook_utils.widgets.weights import pack, published, special_tokens

Pair = tuple[GPTModel, tiktoken.Encoding]

# what phones and word processors type, and what stands for it in the texts that `mini`
# learned from
TYPED = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛", "'"),
        **dict.fromkeys("“”„‟", '"'),
        **dict.fromkeys("–—―", "--"),
        "…": "...",
        "\u00a0": " ",
    }
)


def normalize(text: str) -> str:
    """Write quotes, dashes and dots as the texts of `mini` do.

    >>> normalize("“It’s late” — she said…")
    '"It\\'s late" -- she said...'
    """
    return text.translate(TYPED)


@functools.cache
def shipped_files(name: str) -> dict[str, bytes]:
    """The files with which a page runs a model that the book ships, by their names."""
    model, tokenizer = load_pretrained(name)
    return {f"{name}.safetensors": pack(model), f"{name}.bin": pack_ranks(tokenizer)}


def sizes(config: GPTConfig) -> dict[str, Any]:
    """A configuration as the messages have it."""
    names = "vocab_size context_length emb_dim n_heads n_layers qkv_bias tie_embeddings"
    return {name: getattr(config, name) for name in names.split()}


@functools.cache
def describe(name: str) -> dict[str, Any]:
    """What a page needs to load a shipped model."""
    model, tokenizer = load_pretrained(name)
    weights, ranks = (published(*file) for file in shipped_files(name).items())
    return {
        "name": name,
        "weights": weights,
        "ranks": ranks,
        "special": special_tokens(tokenizer),
        "config": sizes(model.config),
        "normalized": True,
    }


class Answerer:
    """Answers requests to a model, as `web/engine/live-model.js` does on a page."""

    def __init__(self, model: GPTModel, tokenizer: tiktoken.Encoding, normalized: bool):
        self.model, self.tokenizer = model, tokenizer
        self.adapters = Adapters(model)
        self.normalized = normalized
        ends = special_tokens(tokenizer)
        self.end: int | None = ends.get(END_OF_TEXT)

    def read(self, message: Message) -> tuple[list[int], Message]:
        """The ids that the model reads of a request, and what the reply says.

        The adapter that it names is in the weights from here on; without one, none.
        """
        limit, size = self.model.config.context_length, self.model.config.vocab_size
        ids = message.get("ids")
        strange = [id for id in ids or [] if not 0 <= id < size]
        if strange:
            raise ValueError(f"id {strange[0]} is not in the vocabulary of {size}")
        text = message.get("text") or ""
        last = re.sub("[\ud800-\udfff]", "\ufffd", text[-LIMIT:])
        plain = normalize(last) if self.normalized else last
        everything = self.tokenizer.encode_ordinary(plain) if ids is None else ids
        if not everything:
            raise ValueError("there is no text: type a word or more")
        most = message.get("options", {}).get("most", limit)
        kept = everything[-min(most, limit) :]
        cut = len(kept) < len(everything) or len(text) > LIMIT
        self.adapters.wear(message.get("adapter"))
        tokens = [self.token(id) for id in kept]
        return kept, {"tokens": tokens, "cut": cut, "normalized": plain != last}

    def bytes_of(self, id: int) -> list[int]:
        """The bytes of a token; none for an id that the tokenizer does not use."""
        try:
            return list(self.tokenizer.decode_single_token_bytes(id))
        except KeyError:
            return []

    def token(self, id: int) -> Message:
        return {"id": id, "bytes": self.bytes_of(id)}

    def run(self, message: Message) -> Iterator[Message]:
        """The wanted tensors of one reading, with what was changed in it.

        With `options.top`, which needs "logits.last" among the wanted, also the most
        probable next tokens.
        """
        ids, about = self.read(message)
        changes = Changes.from_message(message.get("changes", {}))
        with evaluating(self.model):
            values = Trace(self.model, message.get("want", []), changes)(ids)
        if top := message.get("options", {}).get("top", 0):
            about["top"] = self.candidates(values["logits.last"].softmax(dim=-1), top)
        yield {"kind": "run", "seq": message["seq"], **about, **with_tensors(values)}

    def candidates(self, probabilities: Tensor, n: int) -> list[Message]:
        """The n most probable tokens."""
        best = probabilities.sort(descending=True, stable=True)
        pairs = zip(best.indices[:n].tolist(), best.values[:n].tolist(), strict=True)
        return [{**self.token(id), "probability": p} for id, p in pairs]

    def explain(self, message: Message) -> Iterator[Message]:
        """How one number came about."""
        ids, about = self.read(message)
        tensor, index = message["tensor"], message["index"]
        changes = Changes.from_message(message.get("changes", {}))
        with evaluating(self.model):
            found = explain(self.model, ids, tensor, index, changes)
        arrays = found.pop("arrays")
        yield {
            **{"kind": "explain", "seq": message["seq"], **about},
            **{"tensor": tensor, "index": index, **found, **with_tensors(arrays)},
        }

    def neighbors(self, message: Message) -> Iterator[Message]:
        """The tokens whose embeddings point most nearly where the last one's does."""
        ids, about = self.read(message)
        table = self.model.token_embedding.weight.detach().float()
        alike = F.cosine_similarity(table, table[ids[-1:]])
        alike[ids[-1]] = -torch.inf  # the token itself is no neighbor
        best = alike.sort(descending=True, stable=True)
        n = min(message.get("options", {}).get("n", 10), len(table) - 1)
        pairs = zip(best.indices[:n].tolist(), best.values[:n].tolist(), strict=True)
        found = [{**self.token(id), "similarity": value} for id, value in pairs]
        vectors = with_tensors({"vectors": table[best.indices[:n]]})
        head = {"kind": "neighbors", "seq": message["seq"], **about}
        yield {**head, "neighbors": found, **vectors}

    def adapter(self, message: Message) -> Iterator[Message]:
        """Read an adapter that the book ships, for requests that name it."""
        name = message["adapter"]
        n = self.adapters.classes(name)
        yield {"kind": "adapter", "seq": message["seq"], "adapter": name, "classes": n}

    def classify(self, message: Message) -> Iterator[Message]:
        """What the head of an adapter says of a text and of others: (1 + n, classes).

        Read are the first tokens of each, as in chapter 6.
        """
        name, limit = message["adapter"], self.model.config.context_length
        most = min(message.get("options", {}).get("most", limit), limit)
        texts = [message["text"], *message.get("variants", [])]
        short = [re.sub("[\ud800-\udfff]", "\ufffd", text[:LIMIT]) for text in texts]
        if not all(text.strip() for text in short):
            raise ValueError("there is no text: type a word or more")
        ids = encode(self.tokenizer, short[0], limit + 1)
        tokens = [self.token(id) for id in ids[:most]]
        about = {"tokens": tokens, "normalized": False, "adapter": name}
        about["cut"] = len(ids) > most or len(texts[0]) > LIMIT
        with self.adapters.head(name):
            logits = logits_of(self.model, self.tokenizer, short, max_length=most)
        head = {"kind": "classify", "seq": message["seq"], **about}
        yield head | with_tensors({"logits": logits})

    def vocabulary(self, message: Message) -> Iterator[Message]:
        """The bytes of every id, one after the other, and how many each has."""
        tokens = [self.bytes_of(id) for id in range(self.model.config.vocab_size)]
        yield {
            "kind": "vocabulary",
            "seq": message["seq"],
            "lengths": [len(token) for token in tokens],
            "bytes": [byte for token in tokens for byte in token],
            "end": self.end,
        }

    def continue_(self, message: Message) -> Iterator[Message]:
        """Token after token, each with the most probable ones beside it."""
        seq, options = message["seq"], dict(message.get("options", {}))
        steps, seed = options.pop("max_new_tokens", 60), options.pop("seed", 0)
        n_others = options.pop("alternatives", 0)
        options.pop("most", None)
        sampling = Sampling(**{"temperature": 1.0, **options})
        prompt, about = self.read(message)
        yield {"kind": "started", "seq": seq, **about}
        why = "length"
        for step, (id, chances) in enumerate(
            self._draws(prompt, steps, seed, sampling)
        ):
            likely = by_probability(**chances)[:n_others].tolist()
            others = [self._chance(i, chances) for i in likely]
            about = {"kind": "token", "seq": seq, "step": step, "alternatives": others}
            yield about | self._chance(id, chances)
            if id == self.end:
                why = "end"
                break
        yield {"kind": "done", "seq": seq, "why": why}

    def _draws(
        self, prompt: list[int], steps: int, seed: int, sampling: Sampling
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Each drawn token, and the probabilities (V,) with the options and without."""
        device = self.model.token_embedding.weight.device
        ids, numbers = torch.tensor([prompt], device=device), uniform_numbers(seed)
        read = Reader(self.model, use_cache=True)
        for _ in range(steps):
            with torch.inference_mode(), evaluating(self.model):
                logits = read(ids, torch.ones_like(ids, dtype=torch.bool))
                probabilities = next_token_probabilities(logits, ids, sampling)
                new = draw(probabilities, [next(numbers)])
                ids = torch.cat([ids, new[:, None]], dim=1)
                plain = logits[0].softmax(dim=-1)
            yield int(new), {"probability": probabilities[0], "plain": plain}

    def _chance(self, id: int, chances: dict[str, Tensor]) -> Message:
        return self.token(id) | {name: p[id].item() for name, p in chances.items()}


def by_probability(probability: Tensor, plain: Tensor) -> Tensor:
    """All ids (V,), the most probable first; equals, such as 0, by `plain`."""
    order = plain.sort(descending=True, stable=True).indices
    return order[probability[order].sort(descending=True, stable=True).indices]


def with_tensors(values: dict[str, Tensor]) -> Message:
    """Tensors as a reply has them: names and shapes, and their numbers as buffers."""
    shapes = [{"name": name, "shape": list(v.shape)} for name, v in values.items()]
    floats = (v.float().cpu().contiguous().numpy() for v in values.values())
    return {"tensors": shapes, "buffers": [array.tobytes() for array in floats]}


def stored(reply: Message, exact: Collection[str] = ()) -> Message:
    """A reply as a page stores it: its numbers as base64 of 16-bit floats.

    Of the `exact` tensors what 16 bits leave over is stored as well, after a comma.
    """
    if "buffers" not in reply:
        return reply
    pairs = zip(reply["tensors"], reply["buffers"], strict=True)
    texts = [as_text(data, tensor["name"] in exact) for tensor, data in pairs]
    return {**reply, "buffers": texts}


def as_text(data: bytes, exact: bool) -> str:
    """32-bit floats as base64 of one 16-bit float each, or of two that add up."""
    numbers = np.frombuffer(data, dtype="<f4")
    half = numbers.astype("<f2")
    parts = [half, (numbers - half.astype("<f4")).astype("<f2")] if exact else [half]
    return ",".join(base64.b64encode(part.tobytes()).decode() for part in parts)


def rounded(value: Any, digits: int) -> Any:
    """The floats of a reply with so many digits; the 24 bits of one are 7 or 8.

    >>> rounded({"step": 1, "alternatives": [{"plain": 0.12345678901}]}, 7)
    {'step': 1, 'alternatives': [{'plain': 0.1234568}]}
    """
    if isinstance(value, dict):
        return {name: rounded(inner, digits) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner, digits) for inner in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


class LiveWidget(BookWidget):
    """What the widgets that ask a model share: the model, its answers, an example.

    `model` is the name of a model, the path of a folder, or a pair (model, tokenizer).
    On a page without a kernel a shipped one runs in the reader's browser; with any
    other the page shows the stored example, until the reader drops the model's files.
    """

    text = traitlets.Unicode().tag(sync=True, page=True)
    # what a page loads; a notebook needs only the name
    model: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)
    # replies to what the view asks first, so that something real is there at once
    example: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)

    def __init__(
        self, text: str, model: str | Path | Pair = "mini", **state: Any
    ) -> None:
        check_text(text)
        pair = model if isinstance(model, tuple) else load_pretrained(model)
        description = describe_any(model, pair[0])
        super().__init__(text=text, model=description, **state)
        answerer = Answerer(*pair, normalized=description["normalized"])
        self.answers = {
            "status": self._status,
            "run": answerer.run,
            "explain": answerer.explain,
            "neighbors": answerer.neighbors,
            "vocabulary": answerer.vocabulary,
            "continue": answerer.continue_,
            "adapter": answerer.adapter,
            "classify": answerer.classify,
            # Python has sent all replies before it reads this
            "stop": lambda message: iter(()),
        }
        requests = self.requests()
        replies = {name: self.ask(request) for name, request in requests.items()}
        self.example = self.keep(replies)

    def requests(self) -> dict[str, Message]:
        """What the view asks first, by the name under which it finds the replies."""
        raise NotImplementedError

    def keep(self, replies: dict[str, list[Message]]) -> dict[str, list[Message]]:
        """The replies to the requests as a page stores them."""
        return {name: [stored(r) for r in found] for name, found in replies.items()}

    def ask(self, request: Message) -> list[Message]:
        """The replies to a request about the widget's text."""
        message = {"seq": 0, "text": self.text, **request}
        return list(self.answers[message["kind"]](message))

    def _status(self, message: Message) -> Iterator[Message]:
        name = self.model["name"]
        yield {"kind": "status", "seq": message["seq"], "state": "kernel", "name": name}


def describe_any(model: str | Path | Pair, built: GPTModel) -> dict[str, Any]:
    """What a page knows of a model: of one that is not shipped, no files to load."""
    if isinstance(model, str) and model in SHIPPED:
        return describe(model)
    name = "your model" if isinstance(model, tuple) else Path(model).name
    return {"name": name, "config": sizes(built.config), "normalized": False}
