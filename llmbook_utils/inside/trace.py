"""See every value on the way through a GPT, and change what you like on the way.

Not built on a page. The model itself runs: it shows each value to a `see`, and what
that returns takes the value's place. The engine that runs in the browser gives the same
names and shapes; T are tokens, C the embedding, H heads, D the head size, V the
vocabulary:

    token_embedding, position_embedding, embedding      (T, C)
    blocks.0.norm_1                                     (T, C)
    blocks.0.attention.q, .k, .v                        (H, T, D)
    blocks.0.attention.scores, .weights                 (H, T, T)
    blocks.0.attention.context                          (H, T, D)
    blocks.0.attention.out                              (T, C)
    blocks.0.residual, blocks.0.norm_2                  (T, C)
    blocks.0.feed_forward.up_proj, .gelu                  (T, 4C)
    blocks.0.feed_forward.down_proj, blocks.0.output       (T, C)
    final_norm                                          (T, C)
    logits, logits.last                                 (T, V), (V,)
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from llmbook_utils.model import GPTModel


@dataclass(frozen=True)
class Replacement:
    """Other numbers for a part of a tensor: `index` may name fewer axes than it has."""

    tensor: str
    index: Sequence[int]
    value: float | Sequence[float]


@dataclass(frozen=True)
class Changes:
    """What is done otherwise than the model would."""

    mask: bool = True  # False: every token sees all tokens
    scaling: bool = True  # False: scores are not divided by the root of D
    positions: bool = True  # False: no position embedding is added
    heads: Sequence[Sequence[int]] = ()  # (block, head) that gather nothing
    blocks: Sequence[int] = ()  # blocks that are passed by
    replace: Sequence[Replacement] = field(default=())

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Changes":
        """Changes out of their JSON form."""
        replace = [Replacement(**item) for item in message.get("replace", [])]
        return cls(**{**message, "replace": replace})


NO_CHANGES = Changes()


def matches(pattern: str, name: str) -> bool:
    """Whether a name is that of a pattern, in which a star stands for any number.

    >>> matches("blocks.*.residual", "blocks.11.residual")
    True
    """
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", r"\d+"), name))


class Trace:
    """The values that a model computes for one text, as it computes them.

    `Trace(model, want=["blocks.*.attention.weights"])(ids)` gives the wanted tensors by
    their names; `changes` says what to do otherwise. Without changes they are the very
    values of `model(ids)`. Wrong names and indices of replacements raise ValueError.
    """

    def __init__(
        self,
        model: GPTModel,
        want: Sequence[str] = (),
        changes: Changes = NO_CHANGES,
    ):
        self.model, self.want, self.changes = model, want, changes
        self.values: dict[str, Tensor] = {}
        self.replaced: set[str] = set()
        self.stream = torch.empty(0)  # what entered the block that is at work

    @torch.no_grad()
    def __call__(self, ids: Sequence[int]) -> dict[str, Tensor]:
        """The wanted tensors for ids (T,), T at most the model's context length."""
        device = self.model.token_embedding.weight.device
        logits = self.model(torch.tensor([ids], device=device).long(), see=self.see)
        self.note("logits.last", logits[0, -1])
        for replacement in self.changes.replace:
            if replacement.tensor not in self.replaced:
                raise ValueError(
                    f"there is no tensor {replacement.tensor} to replace a value of"
                )
        return self.values

    def see(self, name: str, tensor: Tensor) -> Tensor:
        """What the model shows, of a batch of one: change it, note it, hand it on."""
        if self.is_skipped(name):  # the block computes, but nobody looks
            if not name.endswith(".output"):
                return tensor
            tensor = self.stream  # what entered it comes out
        if name.endswith("attention.allowed"):
            return tensor if self.changes.mask else torch.ones_like(tensor)
        if name == "position_embedding":  # (T, C), the same for the whole batch
            return self.note(name, tensor * self.changes.positions)
        value = self.note(name, self.switched(name, tensor[0]))[None]
        if name == "embedding" or name.endswith(".output"):
            self.stream = value
        return value

    def switched(self, name: str, tensor: Tensor) -> Tensor:
        """A value with scaling and heads switched off as the changes say."""
        if name.endswith("attention.scores") and not self.changes.scaling:
            return tensor * math.sqrt(self.model.config.head_dim)
        if name.endswith("attention.context"):  # (H, T, D)
            attention = name.removesuffix(".context")
            off = [self.is_off(attention, head) for head in range(len(tensor))]
            off_heads = torch.tensor(off, device=tensor.device)[:, None, None]
            return tensor.masked_fill(off_heads, 0.0)
        return tensor

    def is_off(self, attention: str, head: int) -> bool:
        """Whether a head of the attention of that name is switched off."""
        off = [f"blocks.{block}.attention.{h}" for block, h in self.changes.heads]
        return f"{attention}.{head}" in off

    def is_skipped(self, name: str) -> bool:
        """Whether a value lies in a block that is passed by."""
        return any(name.startswith(f"blocks.{i}.") for i in self.changes.blocks)

    def note(self, name: str, tensor: Tensor) -> Tensor:
        """Replace what is to be replaced, keep what is wanted, and hand it on."""
        for replacement in self.changes.replace:
            if replacement.tensor == name:
                tensor = replace(tensor, replacement)
                self.replaced.add(name)
        if any(matches(pattern, name) for pattern in self.want):
            self.values[name] = tensor
        return tensor


def check_index(name: str, index: Sequence[int], tensor: Tensor) -> None:
    """Raise ValueError for an index that names nothing in a tensor."""
    sizes = zip(index, tensor.shape, strict=False)
    if len(index) > tensor.dim() or not all(0 <= i < size for i, size in sizes):
        raise ValueError(
            f"index {list(index)} lies outside {name}, which has the shape "
            f"{tuple(tensor.shape)}"
        )


def replace(tensor: Tensor, replacement: Replacement) -> Tensor:
    """A copy of the tensor with the replacement's numbers."""
    check_index(replacement.tensor, replacement.index, tensor)
    changed = tensor.clone()
    part = changed[tuple(replacement.index)]
    values = torch.tensor(replacement.value, dtype=tensor.dtype, device=tensor.device)
    if values.numel() not in (1, part.numel()):
        raise ValueError(
            f"{values.numel()} values for {part.numel()} numbers of "
            f"{replacement.tensor}"
        )
    changed[tuple(replacement.index)] = (
        values if values.numel() == 1 else values.view_as(part)
    )
    return changed
