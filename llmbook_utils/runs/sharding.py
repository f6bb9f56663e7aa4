"""FSDP2: a model and its optimizer, divided among processes and put together again.

Not built on a page of the book; appendices/d-training-loop.ipynb says what it is good
for. What is divided is the memory of the GPUs: the model is built, read from a
checkpoint and written to one as a whole, in the memory of the computer. Left out:
models that do not fit there either.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed

from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import NoDraws
from llmbook_utils.train import create_optimizer

# fully_shard is imported where it is used: half a second, and PyTorch 2.6 or newer


def shard(
    model: GPTModel, optimizer: torch.optim.Optimizer, device: torch.device
) -> None:
    """Leave each process its part of every weight and average, on its device.

    Each row of a matrix is in one process. A block is a unit: its weights are collected
    before it computes and let go after it. All processes have to call this, with equal
    weights.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import distribute_tensor

    if device.type == "cuda":
        torch.cuda.set_device(device)  # fully_shard takes the current one
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    before, state = list(model.parameters()), optimizer.state_dict()
    for unit in (*model.blocks, model):  # the whole at last: it takes what is left
        fully_shard(unit, mesh=mesh)
    part_of = dict(zip(before, model.parameters(), strict=True))
    for group in optimizer.param_groups:
        group["params"] = [part_of[weight] for weight in group["params"]]
    weights: Any = [w for group in optimizer.param_groups for w in group["params"]]
    optimizer.load_state_dict(
        with_averages(
            state,
            lambda i, average: distribute_tensor(average, mesh, weights[i].placements),
        )
    )


def gather(
    model: GPTModel, optimizer: torch.optim.Optimizer
) -> tuple[GPTModel, torch.optim.Optimizer]:
    """A model and its optimizer as a whole, as they are if nobody has divided them.

    All processes have to call this. The first gets copies in the computer's memory, the
    others only shapes.
    """
    divided: Any = model
    if not hasattr(divided, "reshard"):  # fully_shard brings it
        return model, optimizer
    divided.reshard()  # an evaluation leaves the last unit collected
    place = "cpu" if distributed.get_rank() == 0 else "meta"

    def whole(part: Any) -> Tensor:
        return part.full_tensor().to(place)

    with torch.device(place), NoDraws():
        copy = GPTModel(model.config, init="torch")
    with torch.no_grad():
        for ours, part in zip(copy.parameters(), model.parameters(), strict=True):
            ours.copy_(whole(part))
    its_optimizer = create_optimizer(copy, lr=0.0)  # the same groups
    state = with_averages(optimizer.state_dict(), lambda _, part: whole(part))
    its_optimizer.load_state_dict(state)
    return copy, its_optimizer


def with_averages(
    state: dict[str, Any], change: Callable[[int, Tensor], Tensor]
) -> dict[str, Any]:
    """The state of an optimizer, each average changed: by its weight's number."""
    changed = {
        i: {
            # the count of steps is a single number, which every process has
            name: change(i, value) if value.dim() else value
            for name, value in averages.items()
        }
        for i, averages in state["state"].items()
    }
    return state | {"state": changed}
