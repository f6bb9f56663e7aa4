"""Record what schedules do to a training: a grid of short runs on the book's story, for the schedule designer.

    OMP_NUM_THREADS=1 python tools/record_schedules.py --out results/schedules.json

Every run trains the same small GPT, with `mini`'s tokenizer, on the first nine tenths of the story; the last tenth is
held out. Only the schedule differs: peak, share of the steps that warm up, floor, steps. Each is run once for every seed,
which sets the first weights and the order of the windows. Ten to fifteen minutes of one thread; the file is written anew after
each seed. Another processor or version of PyTorch changes the last digits, and those of a run that climbs too fast more.
"""

import argparse
import json
import math
import os
import platform
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import torch

from llmbook_utils.config import GPTConfig
from llmbook_utils.data import create_dataloader
from llmbook_utils.files.datasets import load_text
from llmbook_utils.loss import Loader, evaluate
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.runs.results import versions
from llmbook_utils.schedule import Schedule
from llmbook_utils.train import create_optimizer, train

MODEL = GPTConfig(
    vocab_size=4096,
    context_length=64,
    emb_dim=64,
    n_heads=4,
    n_layers=2,
    drop_rate=0.0,
)
BATCH = 4
HELD_OUT = 0.1  # the share of the story at its end
GRID = {
    "peak": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
    "warmup": [0.0, 0.05, 0.2],  # share of the steps
    "floor": [0.0, 0.1, 1.0],
    "steps": [60, 240],
}
POINTS = 30  # of a curve, each the mean of the same number of steps


class Data:
    """The story in two parts, as windows of the model's context length."""

    def __init__(self) -> None:
        self.tokenizer = load_pretrained("mini")[1]
        story = load_text("story")
        cut = round(len(story) * (1 - HELD_OUT))
        self.parts = {"training": story[:cut], "held_out": story[cut:]}

    def loader(self, part: str, seed: int | None = None) -> Loader:
        """The windows, shuffled by a seed or all of them in order."""
        length = MODEL.context_length
        return create_dataloader(
            self.parts[part],
            self.tokenizer,
            batch_size=BATCH,
            context_length=length,
            stride=length,
            shuffle=seed is not None,
            drop_last=seed is not None,
            seed=seed or 0,
        )

    def ids(self, part: str) -> list[int]:
        return self.tokenizer.encode_ordinary(self.parts[part])


def frequency_loss(ids: Sequence[int]) -> float:
    """The training loss, in nats, of the best guess that knows only how frequent each token is."""
    shares = [n / len(ids) for n in Counter(ids).values()]
    return -sum(share * math.log(share) for share in shares)


def thin(losses: Sequence[float], every: int) -> list[float]:
    """Means over every so many steps."""
    starts = range(0, len(losses), every)
    return [round(statistics.fmean(losses[i : i + every]), 3) for i in starts]


def train_once(data: Data, schedule: Schedule, seed: int) -> dict[str, Any]:
    """One run: the losses of its steps, and those on both parts after the last one, None where it broke off."""
    torch.manual_seed(seed)
    model = GPTModel(MODEL)
    losses: list[float] = []
    try:
        train(
            model,
            data.loader("training", seed),
            optimizer=create_optimizer(model, schedule.peak),
            max_steps=schedule.steps,
            schedule=schedule,
            on_step=lambda _, record: losses.append(record["loss"]),
        )
    except FloatingPointError:
        return {"losses": losses, "training": None, "held_out": None}
    after = {p: round(evaluate(model, data.loader(p)), 3) for p in data.parts}
    return {"losses": losses, **after}


def setting_of(peak: float, warmup: float, floor: float, steps: int) -> dict[str, Any]:
    """A run's schedule, as it is given to `Schedule`, and nothing measured yet."""
    schedule = Schedule(peak, steps, round(warmup * steps), floor)
    measured: dict[str, Any] = {"curve": [], "training": [], "held_out": []}
    return {**asdict(schedule), "warmup": warmup, **measured}


def add_seed(data: Data, run: dict[str, Any], seed: int) -> None:
    """Train with a seed's weights and order; the first seed's curve is kept."""
    schedule = Schedule(
        **{k: run[k] for k in ("peak", "steps", "warmup_steps", "floor")}
    )
    found = train_once(data, schedule, seed)
    if not run["curve"]:
        run["curve"] = thin(found["losses"], run["steps"] // POINTS)
    for part in data.parts:
        run[part].append(found[part])


def describe(data: Data) -> dict[str, Any]:
    """What all runs have in common."""
    ids = {part: data.ids(part) for part in data.parts}
    return {
        "date": date.today().isoformat(),
        "device": f"{torch.get_num_threads()} thread, {platform.machine()}",
        "versions": versions(),
        "text": "story",
        "tokens": {part: len(ids[part]) for part in ids},
        "model": asdict(MODEL),
        "parameters": sum(p.numel() for p in GPTModel(MODEL).parameters()),
        "batch_size": BATCH,
        "grid": GRID,
        "points": POINTS,
        "equal_loss": round(math.log(MODEL.vocab_size), 3),
        "frequency_loss": round(frequency_loss(ids["training"]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="runs of each schedule")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["TQDM_DISABLE"] = "1"
    data = Data()
    about = describe(data)
    runs = [setting_of(*values) for values in product(*GRID.values())]
    for seed in range(given.seeds):
        for run in runs:
            add_seed(data, run, seed)
            print(seed, run["peak"], run["warmup"], run["floor"], run["steps"])
        record = {**about, "seeds": list(range(seed + 1)), "runs": runs}
        text = json.dumps(record, separators=(",", ":"))
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
