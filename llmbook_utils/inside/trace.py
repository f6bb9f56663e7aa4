"""See every value on the way through a GPT, change it, and ask how it came about.

Not built on a page. The names and shapes are those of the engine that runs in the
browser (`widgets/static/trace.js`); T are tokens, C the embedding, H heads, D the head
size, V the vocabulary:

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
from torch.nn import functional as F

from llmbook_utils.attention import causal_mask
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

    @torch.no_grad()
    def __call__(self, ids: Sequence[int]) -> dict[str, Tensor]:
        """The wanted tensors for ids (T,), T at most the model's context length."""
        model, T = self.model, len(ids)
        device = model.token_embedding.weight.device
        model.place(torch.tensor([ids], device=device), None, None)  # checks T
        positions = model.position_embedding(torch.arange(T, device=device))
        tokens = model.token_embedding(torch.tensor(ids, device=device))
        x = self.see("token_embedding", tokens) + self.see(
            "position_embedding", positions * self.changes.positions
        )
        x = self.see("embedding", x)
        for i, block in enumerate(model.blocks):
            if i not in self.changes.blocks:
                x = self._block(f"blocks.{i}", block, x)
            x = self.see(f"blocks.{i}.output", x)
        logits = model.head(self.see("final_norm", model.final_norm(x)))
        self.see("logits.last", self.see("logits", logits)[-1])
        for replacement in self.changes.replace:
            if replacement.tensor not in self.replaced:
                raise ValueError(
                    f"there is no tensor {replacement.tensor} to replace a value of"
                )
        return self.values

    def _block(self, name: str, block: Any, x: Tensor) -> Tensor:
        attention, down_proj = block.attention, block.feed_forward.down_proj
        qkv = attention.qkv(self.see(f"{name}.norm_1", block.norm_1(x)))
        gathered = self._attend(f"{name}.attention", qkv, attention.n_heads)
        x = x + self.see(f"{name}.attention.out", attention.out(gathered))
        x = self.see(f"{name}.residual", x)
        hidden = block.feed_forward.up_proj(self.see(f"{name}.norm_2", block.norm_2(x)))
        hidden = F.gelu(
            self.see(f"{name}.feed_forward.up_proj", hidden), approximate="tanh"
        )
        hidden = self.see(f"{name}.feed_forward.gelu", hidden)
        return x + self.see(f"{name}.feed_forward.down_proj", down_proj(hidden))

    def _attend(self, name: str, qkv: Tensor, H: int) -> Tensor:
        """Queries, keys and values (T, 3C) as the context of each token (T, C)."""
        T, changes = len(qkv), self.changes
        heads = qkv.view(T, 3, H, -1).permute(1, 2, 0, 3)  # (3, H, T, D)
        q, k, v = (
            self.see(f"{name}.{part}", tensor)
            for part, tensor in zip("qkv", heads, strict=True)
        )
        root = math.sqrt(q.shape[-1]) if changes.scaling else 1.0
        scores = self.see(f"{name}.scores", q @ k.transpose(-2, -1) / root)
        if changes.mask:
            scores = scores.masked_fill(~causal_mask(T, T, scores.device), -torch.inf)
        weights = self.see(f"{name}.weights", torch.softmax(scores, dim=-1))
        context = weights @ v
        for head in range(H):
            if self.is_off(name, head):
                context[head] = 0
        context = self.see(f"{name}.context", context)
        return context.transpose(0, 1).reshape(T, -1)  # (H, T, D) -> (T, C)

    def is_off(self, name: str, head: int) -> bool:
        """Whether a head of the attention `name` is switched off."""
        off = [f"blocks.{block}.attention.{h}" for block, h in self.changes.heads]
        return f"{name}.{head}" in off

    def see(self, name: str, tensor: Tensor) -> Tensor:
        """Change what is to be changed, keep what is wanted, and hand it on."""
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
