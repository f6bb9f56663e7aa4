"""Checkpoints of a training run: stop at any moment, and continue as if unstopped.

Built in appendices/d-training-loop.ipynb. One safetensors file holds the weights, the
optimizer's averages, the random states and, as JSON in its header, the model's shape
and how far the run has come; nothing in it is pickled. Left out: the random states of
NumPy and of GPUs other than CUDA's, and the settings of the loader and the schedule,
which the code that continues the run gives again.
"""

import json
import os
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from llmbook_utils.files.checkpoint import (
    check_config,
    check_weights,
    optimizer_state,
    read_checkpoint,
)
from llmbook_utils.model import GPTModel
from llmbook_utils.train import Progress


def random_states() -> dict[str, Tensor]:
    """The state of PyTorch's random numbers on the CPU and on each CUDA GPU."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state()} | {str(i): s for i, s in enumerate(gpus)}


def save_checkpoint(
    path: str | Path,
    model: GPTModel,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write a run to a file: the whole of it, or the file that was there stays.

    The `progress` is the one that `train` gives to `on_step`.
    """
    state = optimizer.state_dict()
    weights = model.named_parameters()  # a tied one once, under its first name
    tensors = {f"model.{name}": weight.detach() for name, weight in weights}
    for i, averages in state["state"].items():
        tensors |= {f"optimizer.{i}.{name}": value for name, value in averages.items()}
    tensors |= {f"random.{name}": value for name, value in random_states().items()}
    numbers = asdict(progress)
    # a header holds text only, so the one tensor of the progress goes with the others
    if (order := numbers.pop("order")) is not None:
        tensors["order"] = order
    header = {
        "config": asdict(model.config),
        "progress": numbers,
        "optimizer": state["param_groups"],
        "random": random.getstate(),
        "tensors": list(tensors),
    }
    write_whole(Path(path), tensors, header)


def write_whole(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write a file beside `path`, then put it in its place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")  # on the same disk, or it is a copy
    try:
        # what load_pretrained gave is partly transposed views, which files cannot hold
        plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(plain, part, {"checkpoint": json.dumps(header)})
        with open(part, "rb+") as file:
            os.fsync(file.fileno())  # on the disk before the old one goes
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def set_random_states(python: list[Any], states: dict[str, Tensor]) -> None:
    """Put the random numbers back to where they were, on the GPUs that are here."""
    version, numbers, gauss = python
    random.setstate((version, tuple(numbers), gauss))
    torch.set_rng_state(states.pop("cpu"))
    for gpu, state in states.items():
        if int(gpu) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, int(gpu))


def load_checkpoint(
    path: str | Path, model: GPTModel, optimizer: torch.optim.Optimizer
) -> Progress:
    """Read a run into a model and its optimizer, and return its progress for `train`.

    Random numbers continue from where they were, too: with the same loader, options
    and processor each later loss is the same, bit for bit. A file that is missing
    raises FileNotFoundError, one that is damaged or of another model ValueError; model
    and optimizer then stay as they are.
    """
    tensors, header = read_checkpoint(Path(path))

    def part(prefix: str) -> dict[str, Tensor]:
        return {k[len(prefix) :]: t for k, t in tensors.items() if k.startswith(prefix)}

    weights, found = dict(model.named_parameters()), part("model.")
    check_config(model, header["config"])
    check_weights(dict(weights), found)
    state = optimizer_state(optimizer, header["optimizer"], part("optimizer."))
    optimizer.load_state_dict(state)
    with (
        torch.no_grad()
    ):  # copied in: a tied weight stays tied, the optimizer's its own
        for name, weight in weights.items():
            weight.copy_(found[name])
    # last, since whatever ran before may have drawn
    set_random_states(header["random"], part("random."))
    return Progress(**header["progress"], order=tensors.get("order"))
