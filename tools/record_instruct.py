"""Record the instruction fine-tuning of `mini`: variants of chapter 7's run, three seeds each.

    OMP_NUM_THREADS=1 python tools/record_instruct.py --out results/instructions.json \\
        --adapter llmbook_utils/assets/adapters/instruct

Each run trains `mini` on the book's instruction set and answers the test part, the unseen kind and
twenty requests more closely. The file is written anew after each run, and runs that it holds are
not repeated, so that the tool can be stopped and started again; `--only` and `--seeds` choose
runs. About two hours of one thread. Another processor or version of PyTorch changes the last
digits, and with them an answer here and there.
"""

import argparse
import json
import platform
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from llmbook_utils.evaluate import METRICS, controls, score
from llmbook_utils.files.datasets import load_text
from llmbook_utils.files.instructions import Entry, load_instructions, write_style
from llmbook_utils.instruct import (
    STYLES,
    answer,
    create_instruction_loader,
    encode_prompt,
    end_of,
    fine_tune,
    prepare,
)
from llmbook_utils.lora import add_lora, save_adapter
from llmbook_utils.loss import bits_per_byte
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.runs.results import versions, write_result

BATCH_SIZE = 16
LR = {"full": 5e-4, "lora": 2e-3}
LIMIT = 40  # tokens of an answer


@dataclass(frozen=True)
class Run:
    """What is trained, on how many entries, and with which mistake."""

    name: str
    rank: int = 0  # of LoRA; 0: all weights
    examples: int | None = None  # None: all
    epochs: int = 3
    style: str = "phi"
    mask_prompt: bool = True
    learn_end: bool = True


RUNS = [
    Run("all weights"),
    Run("rank 8", rank=8),
    Run("prompt not masked", mask_prompt=False),
    Run("end not learned", learn_end=False),
    *[Run(f"{n:,} entries", examples=n) for n in (100, 300, 1000)],
    Run("Alpaca's style", style="alpaca"),
]
SEEDS = (0, 1, 2)
SHIPPED = ("rank 8", 0)  # the adapter that comes with the book


def scores(answers: Sequence[str], entries: Sequence[Entry]) -> dict[str, Any]:
    """Each metric as mean, low, high."""
    found = score(answers, entries)["all"]
    return {
        name: [round(x, 4) for x in (s.mean, s.low, s.high)]
        for name, s in found.items()
    }


def per_kind(answers: Sequence[str], entries: Sequence[Entry]) -> dict[str, Any]:
    """The means of all metrics by kind, in the order of METRICS, and the entries."""
    return {
        kind: [*(round(s.mean, 4) for s in by_name.values()), by_name["format"].n]
        for kind, by_name in score(answers, entries, lambda e: e.kind).items()
    }


def judge(model: GPTModel, tokenizer: Any, style: str) -> dict[str, Any]:
    """What a model answers, and what that is worth."""
    test, unseen = load_instructions("test"), load_instructions("unseen")
    said = {}
    for name, entries in (("test", test), ("unseen", unseen)):
        said[name] = answer(
            model,
            tokenizer,
            [(e.instruction, e.input) for e in entries],
            style=STYLES[style],
            max_new_tokens=LIMIT,
        )
    lengths = [len(tokenizer.encode_ordinary(text)) for text in said["test"]]
    prompts = [
        encode_prompt(tokenizer, e.instruction, e.input, STYLES[style]) for e in test
    ]
    room = model.config.context_length
    # what the model was made for
    story_bits = bits_per_byte(
        model, tokenizer, load_text("story"), context_length=room
    )
    full = [
        n >= min(LIMIT, room - len(prompt)) - 1
        for n, prompt in zip(lengths, prompts, strict=True)
    ]
    return {
        "test": scores(said["test"], test),
        "unseen": scores(said["unseen"], unseen),
        "kinds": per_kind(said["test"], test),
        "mean_tokens": round(sum(lengths) / len(lengths), 2),
        "ran_on": round(sum(full) / len(full), 4),
        "story_bits": round(story_bits, 4),
        "answers": said["test"],
        "unseen_answers": said["unseen"],
    }


def measure(run: Run, seed: int) -> tuple[GPTModel, dict[str, Any]]:
    """Train once, and judge."""
    model, tokenizer = load_pretrained("mini")
    end, style = end_of(tokenizer), STYLES[run.style]
    torch.manual_seed(seed)
    if run.rank:
        model = add_lora(model, run.rank, 2 * run.rank)
    entries = load_instructions("train")
    if run.examples is not None:
        entries = random.Random(seed).sample(entries, run.examples)
    options = {"mask_prompt": run.mask_prompt, "learn_end": run.learn_end}
    examples, _ = prepare(entries, tokenizer, style)
    loader = create_instruction_loader(
        examples, end, batch_size=BATCH_SIZE, seed=seed, **options
    )
    validation, _ = prepare(load_instructions("validation"), tokenizer, style)
    val_loader = create_instruction_loader(
        validation, end, batch_size=BATCH_SIZE, shuffle=False
    )
    start = time.process_time()
    history = fine_tune(
        model,
        loader,
        epochs=run.epochs,
        lr=LR["lora" if run.rank else "full"],
        seed=seed,
        val_loader=val_loader,
        eval_every=max(1, len(loader) // 2),
    )
    seconds = time.process_time() - start
    steps, val_losses = history.curve("val_loss")
    return model.eval(), {
        "run": run.name,
        "seed": seed,
        **{name: value for name, value in asdict(run).items() if name != "name"},
        "steps": len(history.records),
        "seconds": round(seconds, 1),
        "val_loss": [[s, round(v, 4)] for s, v in zip(steps, val_losses, strict=True)],
        **judge(model, tokenizer, run.style),
    }


def about() -> dict[str, Any]:
    """What the runs have in common, and what they are compared with."""
    model, tokenizer = load_pretrained("mini")
    test = load_instructions("test")
    return {
        "date": date.today().isoformat(),
        "device": f"CPU, one thread ({platform.machine()})",
        "dtype": "float32",
        "versions": versions(),
        "recipe": {"batch_size": BATCH_SIZE, "lr": LR, "alpha": "2 * rank"},
        "metrics": list(METRICS),
        "base": judge(model, tokenizer, "phi"),
        "controls": {
            name: scores(answers, test) for name, answers in controls(test).items()
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
    record = (
        json.loads(options.out.read_text("utf-8")) if options.out.exists() else about()
    )
    done = {(r["run"], r["seed"]) for r in record["runs"]}
    for seed, run in ((seed, run) for seed in options.seeds for run in RUNS):
        if run.name not in options.only or (run.name, seed) in done:
            continue
        model, result = measure(run, seed)
        record["runs"].append(result)
        print(run.name, seed, result["seconds"], result["test"], flush=True)
        if (run.name, seed) == SHIPPED:
            save_adapter(model, options.adapter, torch.float16)
            write_style(options.adapter, run.style)
        write_result(record, options.out)


if __name__ == "__main__":
    main()
