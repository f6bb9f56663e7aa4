"""Record how well spam is told from ham: baselines, fine-tuned models, parts of them, few labels.

    OMP_NUM_THREADS=1 python tools/record_classifier.py --out results/sms-spam.json

Everything is measured on the SMS Spam Collection without its near-duplicates, in the parts that `classify.split` makes,
and on the challenge set. The test part and the challenge set are read after training only. A run is one pass through
`RUNS`: its name, what is trained, and on what. The file is written anew after every run, and runs that it holds are not
repeated, so that the tool can be stopped and started again; `--only` chooses runs by their name. About an hour of one thread.
Another processor or version of PyTorch changes the last digits, and with them a message or two.
"""

import argparse
import json
import os
import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from llmbook_utils.classify import (
    balance,
    confusion,
    drop_near_duplicates,
    fine_tune,
    fit_temperature,
    last_position,
    log_odds,
    logit,
    logits_of,
    replace_head,
    split,
    train_only,
)
from llmbook_utils.files.datasets import fetch
from llmbook_utils.files.labeled import Message, read_challenge, read_labeled
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.runs.baselines import BASELINES, naive_bayes
from llmbook_utils.runs.results import versions, write_result

PADDED = 96  # tokens, where the last position is read: cut or filled up to them


@dataclass(frozen=True)
class Run:
    """One way to train, with as many seeds as it says."""

    name: str
    seeds: int = 3
    examples: int | None = None  # of the training part, drawn by the seed; None: all
    balanced: bool = False
    last_blocks: int | None = None  # None: everything is trained
    random_weights: bool = False
    read_last_position: bool = False  # every row then has the same length
    epochs: int = 2
    lr: float = 5e-4
    everything: bool = False  # also validation part, challenge set and calibration


RUNS = [
    Run("all messages", everything=True),
    Run("random weights", random_weights=True, everything=True),
    Run("balanced", balanced=True, everything=True),
    Run("50 messages", seeds=5, examples=50, epochs=12),
    Run("100 messages", seeds=5, examples=100, epochs=10),
    Run("300 messages", seeds=5, examples=300, epochs=6),
    Run("1000 messages", seeds=5, examples=1000, epochs=2),
    Run("random, 50", seeds=5, examples=50, epochs=12, random_weights=True),
    Run("random, 100", seeds=5, examples=100, epochs=10, random_weights=True),
    Run("head", balanced=True, last_blocks=0, lr=5e-3),
    Run("1 block", balanced=True, last_blocks=1, lr=1e-3),
    Run("3 blocks", balanced=True, last_blocks=3),
    Run("last position", balanced=True, read_last_position=True),
]


class Data:
    """The three parts, and the challenge set."""

    def __init__(self) -> None:
        self.collection = read_labeled(fetch("sms-spam"))
        self.kept = drop_near_duplicates(self.collection)
        self.train, self.validation, self.test = split(self.kept)
        rows = read_challenge()
        self.challenge = [(row["text"], int(row["label"] == "spam")) for row in rows]

    def examples(self, n: int | None, seed: int) -> list[Message]:
        """`n` messages of the training part with both labels among them, or all."""
        draw = random.Random(seed)
        while n is not None:
            some = draw.sample(self.train, n)
            if 0 < sum(label for _, label in some) < n:
                return some
        return self.train

    def describe(self) -> dict[str, Any]:
        parts = ("collection", "kept", "train", "validation", "test", "challenge")
        return {
            part: {"messages": len(found), "spam": sum(y for _, y in found)}
            for part in parts
            for found in [getattr(self, part)]
        }


def texts_of(messages: Sequence[Message]) -> list[str]:
    return [text for text, _ in messages]


def labels_of(messages: Sequence[Message]) -> list[int]:
    return [label for _, label in messages]


def counted(labels: Sequence[int], verdicts: Sequence[int]) -> list[int]:
    """Right and wrong as in `Confusion`, in its order."""
    return list(asdict(confusion(labels, verdicts)).values())


def calibration(odds: torch.Tensor, labels: Sequence[int]) -> float:
    """The loss per message in nats, of log-odds."""
    wanted = torch.tensor(labels, dtype=odds.dtype)
    return round(F.binary_cross_entropy_with_logits(odds, wanted).item(), 4)


def build(run: Run, seed: int) -> tuple[GPTModel, Any]:
    """The model that a run begins with."""
    model, tokenizer = load_pretrained("mini")
    if run.random_weights:
        torch.manual_seed(seed)
        model = GPTModel(model.config)
    replace_head(model, seed=seed)
    train_only(model, run.last_blocks)
    return model, tokenizer


def measure(run: Run, seed: int, data: Data) -> dict[str, Any]:
    """Train, then count verdicts, and the loss before and after temperature and prior."""
    messages = data.examples(run.examples, seed)
    if run.balanced:
        messages = balance(messages, seed)
    model, tokenizer = build(run, seed)
    how: dict[str, Any] = {}
    if run.read_last_position:
        how = {"read_at": last_position, "length": PADDED, "max_length": PADDED}
    start = time.process_time()
    history = fine_tune(
        model, tokenizer, messages, epochs=run.epochs, lr=run.lr, seed=seed, **how
    )
    seconds = time.process_time() - start
    parts = ("test", "validation", "challenge") if run.everything else ("test",)
    odds = {
        part: log_odds(logits_of(model, tokenizer, texts_of(found), **how))
        for part in parts
        for found in [getattr(data, part)]
    }
    found = {
        "run": run.name,
        "seed": seed,
        "messages": len(messages),
        "spam": sum(labels_of(messages)),
        "steps": len(history.records),
        "seconds": round(seconds, 1),
    }
    for part in parts:
        labels = labels_of(getattr(data, part))
        found[part] = counted(labels, (odds[part] > 0).tolist())
    shift = logit(share(data.train)) - logit(share(messages)) if run.balanced else 0.0
    labels = labels_of(data.test)
    found["shift"] = round(shift, 4)
    found["test_shifted"] = counted(labels, (odds["test"] + shift > 0).tolist())
    return found | (corrected(odds, shift, data) if run.everything else {})


def corrected(
    odds: dict[str, torch.Tensor], shift: float, data: Data
) -> dict[str, Any]:
    """What the shift and a temperature of the validation part make of the loss."""
    labels = labels_of(data.test)
    shifted = odds["test"] + shift
    temperature = fit_temperature(
        odds["validation"] + shift, labels_of(data.validation)
    )
    return {
        "temperature": round(temperature, 3),
        "loss": {
            "as trained": calibration(odds["test"], labels),
            "shifted": calibration(shifted, labels),
            "shifted, temperature": calibration(shifted / temperature, labels),
        },
    }


def share(messages: Sequence[Message]) -> float:
    return sum(labels_of(messages)) / len(messages)


def judged(baseline: Callable[..., Any], messages: list[Message], data: Data) -> Any:
    """What a baseline that has seen the messages gets right."""
    verdicts = baseline(messages)
    return {
        part: counted(labels_of(found), verdicts(texts_of(found)))
        for part in ("validation", "test", "challenge")
        for found in [getattr(data, part)]
    }


def baselines(data: Data) -> dict[str, Any]:
    """All of them on the training part, and naive Bayes on few messages of it."""
    few = {
        run.name: [
            judged(naive_bayes, data.examples(run.examples, seed), data)
            for seed in range(run.seeds)
        ]
        for run in RUNS
        if run.examples is not None
    }
    whole = {name: judged(made, data.train, data) for name, made in BASELINES.items()}
    return {"whole": whole, "naive Bayes, few": few}


def describe(data: Data) -> dict[str, Any]:
    """What all runs have in common."""
    found = versions() | {"scikit-learn": metadata.version("scikit-learn")}
    return {
        "date": date.today().isoformat(),
        "device": f"{torch.get_num_threads()} thread, {platform.machine()}",
        "dtype": "float32",
        "versions": found,
        "model": "mini",
        "data": data.describe(),
        "counts": ["spam as spam", "ham as spam", "spam as ham", "ham as ham"],
        "settings": [asdict(run) for run in RUNS],
        "baselines": baselines(data),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", help="names of runs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["TQDM_DISABLE"] = "1"
    data = Data()
    old = json.loads(given.out.read_text("utf-8")) if given.out.exists() else {}
    record = describe(data) | {"runs": old.get("runs", [])}
    done = {(run["run"], run["seed"]) for run in record["runs"]}
    chosen = [run for run in RUNS if given.only is None or run.name in given.only]
    # one seed after the other: an early stop leaves some of each
    seeds = range(max(run.seeds for run in chosen))
    todo = [(run, seed) for seed in seeds for run in chosen if seed < run.seeds]
    for run, seed in todo:
        if (run.name, seed) not in done:
            record["runs"].append(measure(run, seed, data))
            print(record["runs"][-1], flush=True)
            write_result(record, given.out)


if __name__ == "__main__":
    main()
