"""Files of checkpoints: read and checked before anything is changed.

Not built on a page of the book: these are checks, each with its message.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from llmbook_utils.model import GPTModel


def describe(path: Path) -> str:
    """What a file is that is not in the safetensors format, and what to do."""
    with open(path, "rb") as file:
        start = file.read(2)
    if start == b"PK" or start[:1] == b"\x80":
        return (
            "is a pickle file, as torch.save writes it; reading one can run any code, "
            "so only files of save_checkpoint are read here"
        )
    return "was cut off or is not a safetensors file; use an earlier checkpoint"


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header of a checkpoint; ValueError for any other file."""
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}; was one saved there?")
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("checkpoint", "null"))
            if header is None:
                raise ValueError(
                    f"{path} holds tensors, but not a run of save_checkpoint"
                )
            tensors = {
                name: file.get_tensor(name).clone() for name in header["tensors"]
            }
    except SafetensorError as error:
        raise ValueError(f"{path} {describe(path)} ({error})") from None
    return tensors, header


def check_config(model: GPTModel, saved: dict[str, Any]) -> None:
    """Raise ValueError where the checkpoint's model has another shape than this one."""
    ours = asdict(model.config)
    other = [name for name in ours | saved if ours.get(name) != saved.get(name)]
    if other:
        raise ValueError(
            "the checkpoint is of another model: "
            + ", ".join(f"{n} is {saved.get(n)}, not {ours.get(n)}" for n in other)
            + "; build the model with the checkpoint's numbers"
        )


def check_weights(expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    """Raise ValueError with the name of a weight that is missing or cannot be right."""
    for name in expected | found:
        if name not in found:
            raise ValueError(f"the checkpoint lacks {name}, which the model has")
        if name not in expected:
            raise ValueError(f"the checkpoint has {name}, which the model lacks")
        ours, theirs = expected[name], found[name]
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            raise ValueError(
                f"{name} is {tuple(theirs.shape)} {theirs.dtype} in the checkpoint, "
                f"but {tuple(ours.shape)} {ours.dtype} in the model"
            )
        if not theirs.isfinite().all():
            raise ValueError(f"{name} has numbers that are not finite")


def optimizer_state(
    optimizer: torch.optim.Optimizer,
    groups: list[dict[str, Any]],
    found: dict[str, Tensor],
) -> dict[str, Any]:
    """What `optimizer.load_state_dict` takes; ValueError where it does not fit."""
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    saved_sizes = [len(group["params"]) for group in groups]
    if sizes != saved_sizes:
        raise ValueError(
            f"the optimizer has groups of {sizes} weights, the checkpoint's one of "
            f"{saved_sizes}; create it in the same way"
        )
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in found.items():
        i, _, kind = name.partition(".")
        if tensor.dim() and tensor.shape != weights[int(i)].shape:
            raise ValueError(f"{kind} of weight {i} has shape {tuple(tensor.shape)}")
        state.setdefault(int(i), {})[kind] = tensor
    for group in groups:
        if "betas" in group:
            group["betas"] = tuple(group["betas"])  # JSON made it a list
    return {"state": state, "param_groups": groups}
