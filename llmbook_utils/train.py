"""Training: two groups of weights, a step, and the loop over the steps.

Built in chapters/05-pretraining-on-unlabeled-data.ipynb and, what a longer run needs,
in appendices/d-training-loop.ipynb. Left out: float16, which needs a gradient scaler.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from tqdm import tqdm

from llmbook_utils.env import quiet_bars
from llmbook_utils.loss import (
    Batch,
    Loader,
    check_targets,
    count_targets,
    evaluate,
    loss_of,
)


def create_optimizer(
    model: nn.Module,
    lr: float,
    *,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
) -> torch.optim.AdamW:
    """AdamW that shrinks matrices and embeddings, but not biases and norms.

    Frozen weights are left out. Source: Loshchilov and Hutter (2019).
    """
    weights = [p for p in model.parameters() if p.requires_grad]  # a tied one once
    for weight in weights:  # those of a file may be transposed views: slow to update
        weight.data = weight.data.contiguous()
    # a bias or a scale is not pulled to 0: it has its own best value, often not 0
    decay = [p for p in weights if p.dim() >= 2]
    rest = [p for p in weights if p.dim() < 2]
    groups = [
        {"params": decay, "weight_decay": weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    # fused: one pass over the memory instead of a dozen
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)


@dataclass
class Progress:
    """How far a run has come: with model and optimizer, all it needs to continue."""

    step: int = 0  # optimizer steps done
    epoch: int = 0  # passes over the data completed
    batch: int = 0  # batches used in this pass
    tokens: int = 0  # targets learned from
    seconds: float = 0.0  # time spent
    order: Tensor | None = None  # random state that this pass is shuffled with


class History:
    """What was measured, a record per step, in memory and as lines of JSON in a file.

    A record has step, loss, lr, grad_norm, tokens and seconds since the start, and
    val_loss where it was measured. The file of a run that continues after `step` is
    cut there: the later steps are measured again.

    >>> history = History()
    >>> history.add({"step": 1, "loss": 4.0})
    >>> history.add({"step": 2, "loss": 3.5, "val_loss": 3.75})
    >>> history.curve("val_loss")
    ([2], [3.75])
    """

    def __init__(self, path: str | Path | None = None, step: int = 0):
        self.records: list[dict[str, float]] = []
        self.path = Path(path) if path is not None else None
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            old = self.path.read_text() if self.path.exists() else ""
            lines = old.splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]  # after a kill
            kept = [line for line in whole if json.loads(line)["step"] <= step]
            self.path.write_text("".join(kept))

    def add(self, record: dict[str, float]) -> None:
        self.records.append(record)
        if self.path is not None:
            with open(self.path, "a") as file:
                file.write(json.dumps(record) + "\n")

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """The steps at which `name` was measured, and its values: ready for a plot."""
        records = [record for record in self.records if name in record]
        return [record["step"] for record in records], [r[name] for r in records]


def batches_of_steps(
    loader: Loader, accumulate: int, progress: Progress
) -> Iterator[list[Batch]]:
    """Yield the batches of one step after the other, pass after pass over the data.

    A pass that `progress` is in the middle of is shuffled once more as it was, and the
    batches that it has used are skipped.
    """
    shuffler = getattr(loader, "generator", None) or torch.default_generator
    while True:
        before = torch.get_rng_state()
        if progress.order is not None:
            shuffler.set_state(progress.order)
        progress.order = shuffler.get_state()  # before a single number is drawn from it
        batches = iter(loader)
        if progress.batch:  # in the middle of a pass: skip what it has used
            for _ in islice(batches, progress.batch):
                pass
            torch.set_rng_state(before)  # as if nothing had been drawn again
        while step := list(islice(batches, accumulate)):
            yield step
        progress.epoch, progress.batch, progress.order = progress.epoch + 1, 0, None


def add_gradients(
    model: nn.Module, batches: Sequence[Batch], dtype: torch.dtype | None = None
) -> tuple[float, int]:
    """Compute the gradients of the mean loss per token over all `batches` together.

    Returns that loss and the number of targets. One batch is in memory at a time, and
    the gradients are those of one big batch, also where several processes hold parts of
    it. No target at all raises ValueError.
    """
    if dtype is torch.float16:
        raise ValueError("float16 needs a gradient scaler; use torch.bfloat16")
    count = int(sum_of_processes(model, count_targets(batches)))
    check_targets(count, "a step")
    several = distributed.is_initialized()
    processes = distributed.get_world_size() if several else 1  # they average gradients
    total = 0.0
    for inputs, targets in batches:
        loss, _ = loss_of(model, inputs, targets, dtype)
        # by the targets of the whole step: a mean of means would be wrong
        (loss * processes / count).backward()
        total += loss.item()
    return sum_of_processes(model, total) / count, count


def sum_of_processes(model: nn.Module, number: float) -> float:
    """Add up a number over the processes of a run; with one, it is that number."""
    if not distributed.is_initialized():
        return number
    device = next(model.parameters()).device
    # NCCL adds up on GPUs; elsewhere the CPU does, since not every GPU has float64
    place = device if device.type == "cuda" else "cpu"
    total = torch.tensor(number, dtype=torch.float64, device=place)
    distributed.all_reduce(total)
    return total.item()


def take_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    progress: Progress,
    schedule: Callable[[int], float] | None = None,
    clip: float = 1.0,
    dtype: torch.dtype | None = None,
) -> dict[str, float]:
    """Update the weights once, with the gradients of all `batches`, clipped to a norm.

    Returns the step's record: the loss is the one before the update, the norm the one
    before clipping. If either is not finite, the weights stay as they are and
    FloatingPointError is raised.
    """
    if schedule is not None:
        for group in optimizer.param_groups:
            group["lr"] = schedule(progress.step)
    model.train()  # on_step and evaluation may have left another mode
    optimizer.zero_grad()
    loss, tokens = add_gradients(model, batches, dtype)
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip).item()
    if not math.isfinite(loss + norm):  # before the step: NaN would stay in the weights
        raise FloatingPointError(
            f"step {progress.step + 1}: the loss is {loss} and the gradients' norm "
            f"{norm}; the weights are those before it; try a lower learning rate"
        )
    optimizer.step()
    progress.step += 1
    progress.batch += len(batches)
    progress.tokens += tokens
    lr = optimizer.param_groups[0]["lr"]
    return {"step": progress.step, "loss": loss, "lr": lr, "grad_norm": norm}


def count_steps(
    loader: Loader, accumulate: int, epochs: int | None, max_steps: int | None
) -> int:
    """The optimizer steps of a run, given as passes over the data or as a number.

    What is left over at the end of a pass is a smaller step of its own.
    """
    if accumulate < 1 or len(loader) < 1:
        raise ValueError(
            f"the loader has {len(loader)} batches, and a step takes {accumulate}; "
            "both must be 1 or more"
        )
    if (epochs is None) == (max_steps is None):
        raise ValueError("give the length of the run once: as epochs or as max_steps")
    name, length = ("epochs", epochs) if max_steps is None else ("max_steps", max_steps)
    if length is None or length < 0:
        raise ValueError(f"{name} is {length}; it must be 0 or more")
    # what is left at the end of a pass is a smaller step, not dropped
    per_epoch = math.ceil(len(loader) / accumulate)
    return length if max_steps is not None else length * per_epoch


def train(
    model: nn.Module,
    train_loader: Loader,
    *,
    optimizer: torch.optim.Optimizer,
    epochs: int | None = None,
    max_steps: int | None = None,
    schedule: Callable[[int], float] | None = None,
    accumulate: int = 1,
    clip: float = 1.0,
    dtype: torch.dtype | None = None,
    val_loader: Loader | None = None,
    eval_every: int = 100,
    metrics: str | Path | None = None,
    on_step: Callable[[Progress, dict[str, float]], None] | None = None,
    progress: Progress | None = None,
) -> History:
    """Train for `epochs` or for `max_steps` in all, and return what was measured.

    - `schedule`: maps a step, counted from 0, to its learning rate; None: as it is
    - `accumulate`: batches per step; together they count as one large batch
    - `clip`: the largest norm of the gradients; math.inf: no limit
    - `dtype`: of the matrix products; None: of the weights, or torch.bfloat16
    - `val_loader`, `eval_every`: measured every so many steps, and at the end
    - `metrics`: a file for the records, a line of JSON per step
    - `on_step(progress, record)`: called after each step
    - `progress`: from a checkpoint, to continue the run where it stopped

    Numbers that make no run raise ValueError, a loss that is not finite
    FloatingPointError.
    """
    progress = progress or Progress()
    steps = count_steps(train_loader, accumulate, epochs, max_steps)
    if eval_every < 1:
        raise ValueError(f"eval_every is {eval_every}; it must be 1 or more steps")
    history = History(metrics, progress.step)
    start = time.perf_counter() - progress.seconds
    batches = batches_of_steps(train_loader, accumulate, progress)
    left = range(progress.step, steps)
    for _ in tqdm(left, "training", steps, initial=progress.step, disable=quiet_bars()):
        record = take_step(
            model, optimizer, next(batches), progress, schedule, clip, dtype
        )
        due = progress.step % eval_every == 0 or progress.step == steps  # the last, too
        if due and val_loader is not None:
            record["val_loss"] = evaluate(model, val_loader, dtype=dtype)
        progress.seconds = time.perf_counter() - start
        history.add(record | {"tokens": progress.tokens, "seconds": progress.seconds})
        if on_step is not None:
            on_step(progress, history.records[-1])
    return history
