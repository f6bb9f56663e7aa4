"""LoRA: train two thin matrices beside each frozen weight, and add them up at the end.

Built in appendices/e-lora.ipynb. Left out: dropout before A, other ranks for some of
the layers, and embeddings.
"""

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.files.adapter import (
    Adapter,
    find_adapter,
    read_adapter,
    write_adapter,
)
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import gpt2_name

# all linear layers of a block; each name is the end of the layer's full one
LAYERS = (
    "attention.qkv",
    "attention.out",
    "feed_forward.up_proj",
    "feed_forward.down_proj",
)


class LoRALinear(nn.Module):
    """A frozen linear layer plus a learned change of low rank: (..., in) -> (..., out).

    The change of the weight is alpha / rank * B A, with A (rank, in) drawn at random as
    `nn.Linear` draws and B (out, rank) zero, so that at first nothing changes. `weight`
    and `bias` are those of `linear`, under the names that they had. A rank that the
    layer cannot have, and an alpha of 0 or less, raise ValueError. Source: Hu et al.
    (2021), section 4.1.

    >>> linear, x = nn.Linear(6, 4), torch.randn(2, 6)
    >>> lora = LoRALinear(linear, rank=2, alpha=4)
    >>> torch.equal(lora(x), linear(x)), lora.change().shape
    (True, torch.Size([4, 6]))
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float):
        super().__init__()
        check_sizes(rank, alpha, "the layer", linear)
        self.weight, self.bias = linear.weight, linear.bias
        self.A = nn.Parameter(self.weight.new_empty(rank, linear.in_features))
        self.B = nn.Parameter(self.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.alpha, self.rank = alpha, rank
        self.base: Tensor | None = None  # the weight before merging

    def forward(self, x: Tensor) -> Tensor:
        frozen = F.linear(x, self.weight, self.bias)
        if self.base is not None:  # the change is in the weight
            return frozen
        # (..., in) -> (..., rank) -> (..., out): B A itself is never made
        return frozen + self.alpha / self.rank * (x @ self.A.T @ self.B.T)

    def change(self) -> Tensor:
        """What is added to the weight: (out, in), of rank `rank` at most."""
        return self.alpha / self.rank * (self.B @ self.A)


def check_sizes(rank: int, alpha: float, name: str, linear: nn.Linear) -> None:
    """Raise ValueError unless the layer can have a change of this rank and scale."""
    rows, cols = linear.weight.shape
    whole = isinstance(rank, int) and not isinstance(rank, bool)
    if not whole or not 1 <= rank <= min(rows, cols):
        raise ValueError(
            f"rank is {rank!r}; {name} is {rows} x {cols}, so the rank must be a whole "
            f"number from 1 to {min(rows, cols)}"
        )
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha is {alpha}; it must be above 0, for example {rank}")


def linear_layers(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear layers whose names end in one of the patterns, by their full names.

    In a pattern * stands for anything: "blocks.5.*". One that no layer matches, and a
    layer whose weight another part uses or that is trained in full, raise ValueError.
    """
    linears = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    found: dict[str, nn.Linear] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        names = [name for name in linears if fnmatchcase(name, f"*{pattern}")]
        if not names:
            known = sorted({name.split(".", 2)[-1] for name in linears})
            raise ValueError(
                f"no linear layer's name ends in {pattern!r}; there are "
                + ", ".join(known)
            )
        found |= {name: linears[name] for name in names}
    if "head" in found:
        raise ValueError(
            "the layer 'head' cannot have LoRA: a new head is trained in full, and a "
            "language model's shares its weights with the embedding; name layers of "
            f"the blocks: {', '.join(LAYERS)}"
        )
    return found


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The layers that have LoRA, by their full names."""
    return {n: m for n, m in model.named_modules() if isinstance(m, LoRALinear)}


def has_new_head(model: GPTModel) -> bool:
    """Whether the head is a new one, which gives no logits for tokens."""
    return model.head.out_features != model.config.vocab_size


def replace(model: nn.Module, layers: dict[str, nn.Module]) -> None:
    """Put layers into the places that their names say."""
    for name, layer in layers.items():
        place, _, last = name.rpartition(".")
        setattr(model.get_submodule(place), last, layer)


def add_lora(
    model: GPTModel, rank: int, alpha: float, layers: Sequence[str] = LAYERS
) -> GPTModel:
    """Freeze the model, and give its `layers` a change of low rank that can be trained.

    A new head stays trainable, in full. The names are those of `linear_layers`. Numbers
    and names that cannot be, and a model that has LoRA already, raise ValueError, and
    the model is as it was. Returns the same model.
    """
    if lora_layers(model):
        raise ValueError("the model has LoRA layers; call remove_lora(model) first")
    found = linear_layers(model, layers)
    for name, linear in found.items():
        check_sizes(rank, alpha, f"the layer {name!r}", linear)
    model.requires_grad_(False)
    if has_new_head(model):
        model.head.requires_grad_(True)
    replace(model, {n: LoRALinear(linear, rank, alpha) for n, linear in found.items()})
    return model


def trainable_parameters(model: nn.Module) -> tuple[int, int]:
    """How many numbers are trained, and how many there are; a tied weight counts once.

    >>> trainable_parameters(nn.Linear(3, 2).requires_grad_(False))
    (0, 8)
    """
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    return trained, sum(p.numel() for p in parameters)


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Add each change to its weight: the model is as fast as before, and says the same.

    The weights from before are kept for `unmerge`. A model without LoRA, and one that
    is merged already, raise ValueError.
    """
    for layer in checked_layers(model, merged=False):
        layer.base = layer.weight.data
        layer.weight.data = layer.base + layer.change()


def unmerge(model: nn.Module) -> None:
    """Take the changes out again: the weights are those from before, bit for bit.

    A model without LoRA, and one that is not merged, raise ValueError.
    """
    for layer in checked_layers(model, merged=True):
        assert layer.base is not None  # checked
        layer.weight.data, layer.base = layer.base, None


def checked_layers(model: nn.Module, merged: bool) -> list[LoRALinear]:
    """The layers with LoRA, if there are any and all of them are merged, or none is."""
    layers = list(lora_layers(model).values())
    if not layers:
        raise ValueError("the model has no LoRA layers; add_lora or load_adapter first")
    if any((layer.base is not None) != merged for layer in layers):
        # twice would add the change twice
        state, call = ("not merged", "merge") if merged else ("merged", "unmerge")
        raise ValueError(f"the model is {state} already; call {call}(model) first")
    return layers


def remove_lora(model: nn.Module) -> None:
    """Put plain linear layers back, with the weights as they are: merged or the base's.

    They stay frozen.
    """
    replace(model, {name: plain(layer) for name, layer in lora_layers(model).items()})


def plain(layer: LoRALinear) -> nn.Linear:
    """A linear layer with the weight and the bias of this one, which are not copied."""
    rows, cols = layer.weight.shape
    linear = nn.Linear(cols, rows, bias=layer.bias is not None, device="meta")
    linear.weight, linear.bias = layer.weight, layer.bias
    return linear


def save_adapter(
    model: GPTModel, path: str | Path, dtype: torch.dtype | None = None
) -> None:
    """Write what LoRA learned into a folder, as `peft` does: it opens it, too.

    adapter_config.json says which layers, rank and alpha; adapter_model.safetensors
    holds A and B of each, and a new head. `dtype` is that of the stored numbers; None
    keeps the model's. A model without LoRA, and numbers that are not finite, raise
    ValueError.
    """
    layers = lora_layers(model)
    if not layers:
        raise ValueError("the model has no LoRA layers; there is nothing to save")
    first = next(iter(layers.values()))
    head = dict(model.head.named_parameters()) if has_new_head(model) else {}
    matrices = {gpt2_name(name): (layer.A, layer.B) for name, layer in layers.items()}
    write_adapter(Adapter(first.rank, first.alpha, matrices, head), Path(path), dtype)


def load_adapter(model: GPTModel, name_or_path: str | Path) -> GPTModel:
    """Give a base model the LoRA layers, and the head, of an adapter.

    It is a folder with an adapter, or the name of one that the book ships. A head in it
    takes the place of `model.head`: keep that one if you want it back. Everything is
    frozen; `merge` adds the changes to the weights. A folder that lacks a file raises
    FileNotFoundError; an adapter of another base, a broken one and a model that has
    LoRA already raise ValueError, and the model is as it was. Returns the same model.
    """
    if lora_layers(model):
        raise ValueError("the model has LoRA layers; call remove_lora(model) first")
    folder = find_adapter(name_or_path)
    try:
        made = layers_of(read_adapter(folder), model)
    except ValueError as error:
        raise ValueError(f"the adapter in {folder}: {error}") from error
    replace(model, made)
    return model.requires_grad_(False)


def layers_of(adapter: Adapter, model: GPTModel) -> dict[str, nn.Module]:
    """The layers that an adapter puts into a model; ValueError if one does not fit."""
    linears = linear_layers(model, LAYERS)
    ours = {gpt2_name(name): name for name in linears}
    made: dict[str, nn.Module] = {}
    for theirs, (A, B) in adapter.matrices.items():
        if theirs not in ours:
            raise ValueError(
                f"it changes {theirs!r}, which this model of {model.config.n_layers} "
                "blocks lacks; load the base that it was made for"
            )
        name = ours[theirs]
        change, weight = (len(B), A.shape[1]), tuple(linears[name].weight.shape)
        if change != weight:
            raise ValueError(
                f"it changes {theirs!r} as a layer of shape {change}, but this model's "
                f"has {weight}; load the base that it was made for"
            )
        layer = LoRALinear(linears[name], adapter.rank, adapter.alpha)
        layer.load_state_dict({"A": A, "B": B}, strict=False)
        made[name] = layer
    if adapter.head:
        n, C = adapter.head["weight"].shape
        if model.config.emb_dim != C:
            raise ValueError(
                f"its head is {n} x {C}, but this model's vectors have "
                f"{model.config.emb_dim} numbers; load the base that it was made for"
            )
        head = nn.Linear(C, n, bias="bias" in adapter.head)
        head.load_state_dict(adapter.head)
        made["head"] = head.to(model.head.weight)
    return made
