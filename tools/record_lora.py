"""Record LoRA against full fine-tuning on the SMS Spam Collection, and what full fine-tuning changed.

    OMP_NUM_THREADS=1 python tools/record_lora.py --out results/lora.json --adapter llmbook_utils/assets/adapters/spam

Each run trains `mini` with a new head on the training part of chapter 6: all weights, or LoRA of some rank beside the
layers of the blocks. Every run of a seed sees the same messages in the same order and begins with the same head. Then the
change of each matrix of a block in the first full run is taken apart: its singular values, those of a random matrix
of equal norm, and the accuracy that is left where only the largest of them are kept. The adapter that the book ships is that of
rank 8, first seed. The file is written anew after each run, and a run that it holds is not done again. About two hours of one
thread; another processor or version of PyTorch changes the last digits, and with them a message or two.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from llmbook_utils.classify import (
    MessageDataset,
    collate,
    confusion,
    drop_near_duplicates,
    log_odds,
    logits_of,
    replace_head,
    split,
)
from llmbook_utils.files.labeled import Message, read_labeled
from torch import Tensor
from torch.utils.data import DataLoader

from llmbook_utils.files.datasets import fetch
from llmbook_utils.lora import (
    LAYERS,
    add_lora,
    linear_layers,
    save_adapter,
    trainable_parameters,
)
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.runs.results import versions
from llmbook_utils.train import create_optimizer, train

BATCH, EPOCHS, MAX_LENGTH = 16, 2, 128
CHUNK = (
    256  # messages that are put in order of length, so that batches have little padding
)
SEEDS = (0, 1, 2)
LR = {"full": 2e-4, "lora": 2e-3}
ATTENTION, FEED_FORWARD = LAYERS[:2], LAYERS[2:]
# how each run is trained: its name, rank, and layers; rank 0: all weights
RUNS: list[tuple[str, int, Sequence[str]]] = [
    ("full", 0, ()),
    ("lora", 8, LAYERS),
    ("lora", 1, LAYERS),
    ("lora", 4, LAYERS),
    ("lora", 16, LAYERS),
    ("lora", 2, LAYERS),
    ("attention", 8, ATTENTION),
    ("feed-forward", 8, FEED_FORWARD),
]
KEPT = [
    0,
    1,
    2,
    4,
    8,
    16,
    32,
    64,
    128,
    256,
]  # singular values that are kept of a change


class ByLength:
    """Batches of messages of like length, in an order that a seed fixes."""

    def __init__(self, rows: Sequence[Sequence[int]], seed: int):
        self.lengths = [len(row) for row in rows]
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.lengths) // BATCH)

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(len(self.lengths), generator=self.generator).tolist()
        batches: list[list[int]] = []
        for at in range(0, len(order), CHUNK):
            chunk = sorted(order[at : at + CHUNK], key=lambda i: self.lengths[i])
            batches += [chunk[i : i + BATCH] for i in range(0, len(chunk), BATCH)]
        for i in torch.randperm(len(batches), generator=self.generator).tolist():
            yield batches[i]


class Data:
    """The messages in three parts."""

    def __init__(self) -> None:
        self.tokenizer = load_pretrained("mini")[1]
        every = read_labeled(fetch("sms-spam"))
        parts = split(drop_near_duplicates(every))
        self.training, self.validation, self.test = parts

    def loader(self, seed: int) -> Any:
        dataset = MessageDataset(self.training, self.tokenizer, MAX_LENGTH)
        return DataLoader(
            dataset, batch_sampler=ByLength(dataset.rows, seed), collate_fn=collate
        )  # type: ignore[arg-type]

    def counts(self, model: GPTModel, messages: Sequence[Message]) -> dict[str, Any]:
        """What the verdicts on messages are worth."""
        ordered = sorted(messages, key=lambda m: len(m[0]))
        logits = logits_of(
            model, self.tokenizer, [text for text, _ in ordered], max_length=MAX_LENGTH
        )
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


def build(rank: int, layers: Sequence[str], seed: int) -> GPTModel:
    """`mini` with a new head, ready for a run."""
    model = replace_head(load_pretrained("mini")[0], seed=seed)
    if not rank:
        return model.requires_grad_(True)
    torch.manual_seed(seed)
    return add_lora(model, rank, 2 * rank, layers)


def bytes_of(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def run(
    data: Data, name: str, rank: int, layers: Sequence[str], seed: int
) -> tuple[GPTModel, dict[str, Any]]:
    """Train once, and measure."""
    model = build(rank, layers, seed)
    lr = LR["lora" if rank else "full"]
    optimizer = create_optimizer(model, lr, weight_decay=0.01)
    loader = data.loader(seed)
    steps = EPOCHS * len(loader)
    start = time.process_time()
    history = train(
        model,
        loader,
        optimizer=optimizer,
        epochs=EPOCHS,
        schedule=lambda step: lr * (1 - step / steps),
    )
    seconds = time.process_time() - start
    trained, total = trainable_parameters(model)
    learned = [p for p in model.parameters() if p.requires_grad]
    moments = [
        t for state in optimizer.state.values() for t in state.values() if t.dim()
    ]
    losses = [record["loss"] for record in history.records]
    model.eval()
    return model, {
        "run": name,
        "rank": rank,
        "seed": seed,
        "trained": trained,
        "parameters": total,
        "steps": steps,
        "lr": lr,
        # gradients and AdamW's two averages; the weights themselves are needed either way
        "training_bytes": bytes_of([p.grad for p in learned if p.grad is not None])
        + bytes_of(moments),
        "weight_bytes": bytes_of(list(model.parameters())),
        "seconds": round(seconds, 1),
        "last_losses": round(sum(losses[-50:]) / 50, 5),
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
    parts = {
        "training": data.training,
        "validation": data.validation,
        "test": data.test,
    }
    return {
        "about": "LoRA against full fine-tuning of mini on the SMS Spam Collection; written by tools/record_lora.py",
        "date": date.today().isoformat(),
        "device": f"CPU, 1 thread ({platform.machine()})",
        "dtype": "float32",
        "versions": versions(),
        "recipe": {
            "batch": BATCH,
            "epochs": EPOCHS,
            "max_length": MAX_LENGTH,
            "lr": LR,
            "weight_decay": 0.01,
            "alpha": "2 * rank",
        },
        "messages": {
            name: {"all": len(part), "spam": sum(label for _, label in part)}
            for name, part in parts.items()
        },
        "runs": [],
    }


def done(record: dict[str, Any], name: str, rank: int, seed: int) -> bool:
    return any(
        (r["run"], r["rank"], r["seed"]) == (name, rank, seed) for r in record["runs"]
    )


def write(record: dict[str, Any], path: Path) -> None:
    """Replace the file in one step."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Data()
    record = (
        json.loads(options.out.read_text("utf-8"))
        if options.out.exists()
        else about(data)
    )
    for name, rank, layers in RUNS:
        for seed in SEEDS:
            if done(record, name, rank, seed):
                continue
            model, result = run(data, name, rank, layers, seed)
            record["runs"].append(result)
            print(name, rank, seed, result["seconds"], result["test"], flush=True)
            if (name, rank, seed) == ("lora", 8, SEEDS[0]):
                save_adapter(model, options.adapter, torch.float16)
            if (name, seed) == ("full", SEEDS[0]):
                record["change"] = {"seed": seed, "layers": changes(model)}
                record["change"]["kept"] = list(kept(data, model))
            write(record, options.out)


if __name__ == "__main__":
    main()
