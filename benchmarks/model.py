"""Our GPT beside `transformers` on the same weights and data, in one run.

    python benchmarks/model.py [--shapes mini gpt2] [--runs 5]

Training steps (forward, loss, backward, AdamW) in fp32 and under bf16 autocast, and
greedy generation with a cache. Both run in turn, five times after a warm-up; the table
has medians. `transformers` runs its fused attention.
"""

import argparse
import platform
import resource
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel

from llmbook_utils.config import GPT2_SMALL, MINI, GPTConfig
from llmbook_utils.generate import generate
from llmbook_utils.model import GPTModel

SHAPES = {"mini": (MINI, 32, 256), "gpt2": (GPT2_SMALL, 2, 256)}


def peer(config: GPTConfig) -> GPT2LMHeadModel:
    """The same shape in transformers, without dropout."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.emb_dim,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            attn_implementation="sdpa",
        )
    )


def step(model: torch.nn.Module, ids: torch.Tensor, bf16: bool) -> Callable[[], None]:
    """One training step as a function without arguments."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    inputs, targets = ids[:, :-1], ids[:, 1:].flatten()
    model.train()

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            out = model(inputs)
            logits = getattr(out, "logits", out).flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def in_turn(
    ours: Callable[[], object], theirs: Callable[[], object], runs: int
) -> tuple[float, float]:
    """Median seconds of both, run alternately after one warm-up each."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for function, found in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            function()
            if run:
                found.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def train_rows(name: str, runs: int) -> None:
    config, batch, length = SHAPES[name]
    config = replace(config, drop_rate=0.0)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(config.vocab_size, (batch, length + 1), generator=generator)
    ids = ids[:, : config.context_length + 1]
    for bf16 in (False, True):
        mine, theirs = in_turn(
            step(GPTModel(config), ids, bf16), step(peer(config), ids, bf16), runs
        )
        kind = "bf16" if bf16 else "fp32"
        row(f"training step, {name}, {kind}, {batch} x {length}", mine, theirs)


def generate_rows(name: str, runs: int) -> None:
    config = SHAPES[name][0]
    ours, theirs = GPTModel(config).eval(), peer(config).eval()
    ids = torch.randint(config.vocab_size, (1, 16))
    options = {"max_new_tokens": 128, "do_sample": False, "pad_token_id": 0}
    mask = torch.ones_like(ids)

    def reference() -> None:
        theirs.generate(ids, attention_mask=mask, eos_token_id=None, **options)

    mine, their = in_turn(lambda: generate(ours, ids, 128), reference, runs)
    row(f"128 tokens, greedy with cache, {name}", mine, their)


def row(what: str, mine: float, theirs: float) -> None:
    print(f"| {what} | {mine:.3f} | {theirs:.3f} | {theirs / mine:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=[*SHAPES], choices=[*SHAPES])
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}", end=", ")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    print("\n| what | ours, s | theirs, s | theirs / ours |\n|---|---|---|---|")
    for name in args.shapes:
        train_rows(name, args.runs)
        generate_rows(name, args.runs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory of the whole run: {peak:.1f} GiB")


if __name__ == "__main__":
    main()
