"""Adapters in the layout of the library `peft`: two files, each read with its checks.

Not built on a page. `lora` gives the matrices their places in a model.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from llmbook_utils.files.gpt2 import open_file

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# what peft puts before the names of GPT2LMHeadModel, and of its classifier's head
PREFIX, BLOCKS, HEAD = "base_model.model.", "transformer.", "score"
# adapters that the book ships: name -> folder
SHIPPED = Path(__file__).parents[1] / "assets/adapters"

# what peft can do besides, and what the key says where it does not
PLAIN: dict[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "use_dora": (False, None),
    "use_rslora": (False, None),
    "lora_bias": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
}


@dataclass
class Adapter:
    """What LoRA learned: `matrices` are A (rank, in) and B (out, rank) of each layer.

    The layers have the names of GPT-2's files, "h.0.attn.c_attn". `head` holds the
    tensors of a new head, (classes, C) and, where it has a bias, (classes,).
    """

    rank: int
    alpha: float
    matrices: Mapping[str, tuple[Tensor, Tensor]]
    head: Mapping[str, Tensor] = field(default_factory=dict)


def find_adapter(name_or_path: str | Path) -> Path:
    """The folder of an adapter, given by its path or by the name of a shipped one."""
    folder = Path(name_or_path)
    if isinstance(name_or_path, str) and (SHIPPED / folder.name).is_dir():
        folder = SHIPPED / folder.name if name_or_path == folder.name else folder
    if not folder.is_dir():
        known = ", ".join(
            sorted(repr(p.parent.name) for p in SHIPPED.glob(f"*/{CONFIG}"))
        )
        raise FileNotFoundError(
            f"{str(name_or_path)!r} is neither an adapter of the book ({known}) nor a "
            f"folder: there is no folder {folder.absolute()}"
        )
    return folder


def write_adapter(
    adapter: Adapter, folder: Path, dtype: torch.dtype | None = None
) -> None:
    """Write both files, under other names first; `dtype` is that of `save_adapter`."""
    tensors = {f"{PREFIX}{HEAD}.{name}": t for name, t in adapter.head.items()}
    for name, pair in adapter.matrices.items():
        for letter, tensor in zip("AB", pair, strict=True):
            tensors[f"{PREFIX}{BLOCKS}{name}.lora_{letter}.weight"] = tensor
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in tensors.items()
    }
    for name, tensor in tensors.items():
        check_finite(name, tensor)
    folder.mkdir(parents=True, exist_ok=True)
    # inside the folder, so that it is on the same disk and moving is one step
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as temporary:
        new = Path(temporary)
        text = json.dumps(to_config(adapter), indent=2) + "\n"
        (new / CONFIG).write_text(text, encoding="utf-8")
        save_file(tensors, new / WEIGHTS, metadata={"format": "pt"})
        shutil.copymode(new / CONFIG, new / WEIGHTS)  # else for its owner only
        for file in (WEIGHTS, CONFIG):
            os.replace(new / file, folder / file)


def to_config(adapter: Adapter) -> dict[str, Any]:
    """The contents of adapter_config.json."""
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if adapter.head else "CAUSAL_LM",
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": 0.0,
        "target_modules": [f"{BLOCKS}{name}" for name in adapter.matrices],
        "fan_in_fan_out": True,  # GPT-2's layers hold their weights as (in, out)
        "modules_to_save": [HEAD] if adapter.head else None,
        "bias": "none",
        "init_lora_weights": True,
        "inference_mode": True,
        "base_model_name_or_path": None,
    }


def check_finite(name: str, tensor: Tensor) -> None:
    """Raise ValueError where a tensor cannot be what was learned."""
    if not tensor.is_floating_point():
        raise ValueError(f"tensor {name!r} holds {tensor.dtype}; expected floats")
    if not tensor.isfinite().all():
        raise ValueError(
            f"tensor {name!r} holds NaN or infinite values as {tensor.dtype}; use an "
            "adapter from before the training diverged, or a dtype of more range"
        )


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder; ValueError names what is wrong with it."""
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise FileNotFoundError(
                f"the folder {folder} has no {file}; an adapter has {CONFIG} and "
                f"{WEIGHTS}"
            )
    rank, alpha = read_config(folder / CONFIG)
    tensors = {
        name.removeprefix(PREFIX).removeprefix(BLOCKS): tensor
        for name, tensor in open_file(folder / WEIGHTS).items()
    }
    for name, tensor in tensors.items():
        check_finite(name, tensor)
    head = {
        name.removeprefix(f"{HEAD}."): tensors.pop(name)
        for name in (f"{HEAD}.weight", f"{HEAD}.bias")
        if name in tensors
    }
    matrices = pairs(tensors, rank, folder / WEIGHTS)
    if head and (head.keys() == {"bias"} or head["weight"].dim() != 2):
        raise ValueError(f"{folder / WEIGHTS}: the head {HEAD!r} is no linear layer")
    return Adapter(rank, alpha, matrices, head)


def read_config(path: Path) -> tuple[int, float]:
    """Rank and alpha; what `lora` has no choice in raises ValueError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rank, alpha = content["r"], content["lora_alpha"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not describe an adapter ({type(error).__name__}: {error}); "
            "get it again"
        ) from error
    for key, values in PLAIN.items():
        if content.get(key) not in values:
            raise ValueError(
                f"{path}: {key} is {content.get(key)!r}, but plain LoRA only is read "
                f"here, with {values[0]!r}; open this adapter with peft"
            )
    if type(rank) is not int or not isinstance(alpha, int | float):
        raise ValueError(f"{path}: r is {rank!r} and lora_alpha {alpha!r}; not numbers")
    return rank, alpha


def pairs(
    tensors: dict[str, Tensor], rank: int, path: Path
) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B by their layers; ValueError for other tensors and for one alone."""
    ends = (".lora_A.weight", ".lora_B.weight")
    strange = [name for name in tensors if not name.endswith(ends)]
    if strange or not tensors:
        what = f"tensor {strange[0]!r} is no part of" if strange else "no tensor is of"
        raise ValueError(f"{path}: {what} an adapter of linear layers")
    found = {}
    for layer in dict.fromkeys(name[: -len(ends[0])] for name in tensors):
        A, B = (tensors.get(layer + end) for end in ends)
        if A is None or B is None:
            raise ValueError(f"{path}: the layer {layer!r} has one of A and B only")
        if A.dim() != 2 or B.dim() != 2 or len(A) != rank or B.shape[1] != rank:
            raise ValueError(
                f"{path}: the layer {layer!r} has A {tuple(A.shape)} and B "
                f"{tuple(B.shape)}, but {CONFIG} says that the rank is {rank}"
            )
        found[layer] = (A, B)
    return found
