"""Record LoRA against full fine-tuning on the SMS Spam Collection, and what full fine-tuning changed.

    OMP_NUM_THREADS=1 python tools/record_lora.py --out results/lora.json --adapter llmbook_utils/assets/adapters/spam

Each run trains `mini` with a new head on messages of chapter 6's training part: all weights, or LoRA of some rank beside
layers of the blocks. Runs of one seed on as many messages see the same ones in the same order and begin with the same head.
Then what the first run changed in each matrix of a block is taken apart: its singular values, those of a random matrix of
equal norm, and the accuracy that is left where only the largest of them are kept. The file is written anew after each run,
and runs that it holds are not repeated, so that the tool can be stopped and started again; `--only` and `--seeds` choose
runs. About half an hour of one thread. Another processor or version of PyTorch changes the last digits, and with them a
message or two.
"""

import argparse
import json
import platform
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from llmbook_utils.classify import (
    confusion,
    drop_near_duplicates,
    fine_tune,
    log_odds,
    logits_of,
    replace_head,
    split,
)
from llmbook_utils.files.datasets import fetch
from llmbook_utils.files.labeled import Message, read_labeled
from llmbook_utils.lora import (
    LAYERS,
    add_lora,
    linear_layers,
    save_adapter,
    trainable_parameters,
)
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.runs.results import versions, write_result

EPOCHS = 2
LR = {"full": 5e-4, "lora": 1e-3}
ATTENTION, FEED_FORWARD = LAYERS[:2], LAYERS[2:]
FEW = 1000  # training messages of most runs, drawn by the seed


@dataclass(frozen=True)
class Run:
    """What is trained, on how many messages."""

    name: str
    rank: int = 8  # 0: all weights
    layers: Sequence[str] = LAYERS  # that have LoRA
    examples: int | None = FEW  # None: all


RUNS = [
    Run("all messages, full", 0, examples=None),
    Run("all messages, rank 8", examples=None),
    Run("full", 0),
    *[Run(f"rank {rank}", rank) for rank in (1, 2, 4, 8, 16)],
    Run("attention", layers=ATTENTION),
    Run("feed-forward", layers=FEED_FORWARD),
]
SEEDS = (0, 1, 2)
SHIPPED = ("all messages, rank 8", 0)  # the adapter that comes with the book
# singular values that are kept of a change
KEPT = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]


class Data:
    """The messages in three parts."""

    def __init__(self) -> None:
        self.tokenizer = load_pretrained("mini")[1]
        every = read_labeled(fetch("sms-spam"))
        parts = split(drop_near_duplicates(every))
        self.train, self.validation, self.test = parts

    def examples(self, n: int | None, seed: int) -> list[Message]:
        """`n` messages of the training part, or all."""
        return self.train if n is None else random.Random(seed).sample(self.train, n)

    def counts(self, model: GPTModel, messages: Sequence[Message]) -> dict[str, Any]:
        """What the verdicts on messages are worth."""
        ordered = sorted(messages, key=lambda m: len(m[0]))
        logits = logits_of(model, self.tokenizer, [text for text, _ in ordered])
        found = confusion(
            [label for _, label in ordered], (log_odds(logits) > 0).int().tolist()
        )
        return {
            "true_positives": found.true_positives,
            "false_positives": found.false_positives,
            "false_negatives": found.false_negatives,
            "true_negatives": found.true_negatives,
            "accuracy": round(found.accuracy, 5),
            "f1": round(found.f1, 5),
        }


def build(run: Run, seed: int) -> GPTModel:
    """`mini` with a new head, ready for a run."""
    model = replace_head(load_pretrained("mini")[0], seed=seed)
    torch.manual_seed(seed)
    return add_lora(model, run.rank, 2 * run.rank, run.layers) if run.rank else model


def measure(data: Data, run: Run, seed: int) -> tuple[GPTModel, dict[str, Any]]:
    """Train once, and judge."""
    model, lr = build(run, seed), LR["lora" if run.rank else "full"]
    messages = data.examples(run.examples, seed)
    start = time.process_time()
    history = fine_tune(
        model, data.tokenizer, messages, epochs=EPOCHS, lr=lr, seed=seed
    )
    seconds = time.process_time() - start
    trained, total = trainable_parameters(model)
    losses = [record["loss"] for record in history.records]
    return model.eval(), {
        "run": run.name,
        "rank": run.rank,
        "examples": len(messages),
        "seed": seed,
        "trained": trained,
        "parameters": total,
        "steps": len(losses),
        "seconds": round(seconds, 1),
        "last_loss": round(sum(losses[-50:]) / len(losses[-50:]), 5),
        "validation": data.counts(model, data.validation),
        "test": data.counts(model, data.test),
    }


@torch.no_grad()
def changes(tuned: GPTModel) -> dict[str, Any]:
    """The singular values of each matrix's change, and of a random matrix of equal norm."""
    before = linear_layers(load_pretrained("mini")[0], LAYERS)
    torch.manual_seed(0)
    found = {}
    for name, linear in linear_layers(tuned, LAYERS).items():
        change = linear.weight - before[name].weight
        noise = torch.randn(change.shape)
        noise *= change.norm() / noise.norm()
        found[name] = {
            "shape": list(change.shape),
            "norm": significant(change.norm().item()),
            "of_weight": significant(
                (change.norm() / before[name].weight.norm()).item()
            ),
            "singular": [significant(s) for s in torch.linalg.svdvals(change).tolist()],
            "random": [significant(s) for s in torch.linalg.svdvals(noise).tolist()],
        }
    return found


def significant(number: float, digits: int = 4) -> float:
    return float(f"{number:.{digits}g}")


@torch.no_grad()
def kept(data: Data, tuned: GPTModel) -> Iterator[dict[str, Any]]:
    """The test part's counts where of each change only the largest singular values are kept."""
    before = linear_layers(load_pretrained("mini")[0], LAYERS)
    after = linear_layers(tuned, LAYERS)
    parts = {
        name: torch.linalg.svd(m.weight - before[name].weight, full_matrices=False)
        for name, m in after.items()
    }
    whole = {name: m.weight.clone() for name, m in after.items()}
    for rank in KEPT:
        for name, (U, S, V) in parts.items():
            # the last one is the change itself, not its product
            low = (U[:, :rank] * S[:rank]) @ V[:rank]
            weight = whole[name] if rank == max(KEPT) else before[name].weight + low
            after[name].weight.data = weight.clone()
        numbers = sum(rank * sum(m.weight.shape) for m in after.values())
        yield {"rank": rank, "numbers": numbers, "test": data.counts(tuned, data.test)}


def about(data: Data) -> dict[str, Any]:
    """What the runs have in common."""
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "date": date.today().isoformat(),
        "device": f"CPU, one thread ({platform.machine()})",
        "dtype": "float32",
        "versions": versions(),
        "recipe": {"epochs": EPOCHS, "lr": LR, "alpha": "2 * rank"},
        "messages": {
            name: {"messages": len(part), "spam": sum(label for _, label in part)}
            for name, part in parts.items()
        },
        "runs": [],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[run.name for run in RUNS])
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Data()
    record = (
        json.loads(options.out.read_text("utf-8"))
        if options.out.exists()
        else about(data)
    )
    done = {(r["run"], r["seed"]) for r in record["runs"]}
    for run, seed in ((run, seed) for run in RUNS for seed in options.seeds):
        if run.name not in options.only or (run.name, seed) in done:
            continue
        model, result = measure(data, run, seed)
        record["runs"].append(result)
        print(run.name, seed, result["seconds"], result["test"], flush=True)
        if (run.name, seed) == SHIPPED:
            save_adapter(model, options.adapter, torch.float16)
        if (run, seed) == (RUNS[0], SEEDS[0]):
            record["change"] = {"seed": seed, "layers": changes(model)}
            record["change"]["kept"] = list(kept(data, model))
        write_result(record, options.out)


if __name__ == "__main__":
    main()
