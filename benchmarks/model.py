"""Our GPT beside `transformers` on the same weights and data, in one run.

    python benchmarks/model.py [--shapes mini gpt2] [--only train generate load]
                               [--kinds float32 bfloat16] [--runs 5]
    python benchmarks/model.py --device cuda [--nanogpt FOLDER] [--batch 32]

Training steps (forward, loss, backward, clipping, AdamW) in float32 and under bfloat16
autocast, greedy generation with a cache, and loading. A processor that has no
instructions for bfloat16 takes minutes for a step: leave that kind out there. Both
sides run in turn, after a warm-up; the table has medians. `transformers` runs its fused
attention, and as its loss PyTorch's cross-entropy. Memory is measured in processes of
their own, on Linux: the most private memory, without files that are mapped, beyond what
was there before the model. The last lines are the limits of the machine, measured in
the same run.

With `--device cuda` (or `cpu`, which shows that it works) the rows are others: steps of
GPT-2 with 124 million weights under bfloat16, with and without torch.compile, beside
transformers and, if its folder is given, nanoGPT, as tokens a second and as a share of
the GPU's peak; what reading loss and norm at each step costs; a vocabulary padded to a
multiple of 64; greedy generation of one text and of sixteen.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import on_device
import torch
import transformers
from torch.nn import functional as F
from transformers import GPT2LMHeadModel

from llmbook_utils.config import GPT2_SMALL, MINI, GPTConfig
from llmbook_utils.generate import generate, stream
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.tokenizer import BytePairTokenizer
from llmbook_utils.train import Progress, create_optimizer, take_step

SHAPES = {  # and the size of a training batch
    "mini": (replace(MINI, drop_rate=0.0), 32, 256),
    "gpt2": (replace(GPT2_SMALL, drop_rate=0.0), 2, 256),
}
KINDS = {"float32": None, "bfloat16": torch.bfloat16}
TOKENIZER = BytePairTokenizer.train("x", 257).to_tiktoken()  # any will do


def ours(folder: Path) -> GPTModel:
    return load_pretrained(folder, tokenizer=TOKENIZER)[0]


def theirs(folder: Path) -> GPT2LMHeadModel:
    return GPT2LMHeadModel.from_pretrained(folder, attn_implementation="sdpa")


def some_ids(config: GPTConfig, batch: int, length: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(config.vocab_size, (batch, length), generator=generator)


def our_step(folder: Path, ids: torch.Tensor, kind: str) -> Callable[[], None]:
    """A training step of the book's, as a function without arguments."""
    model, progress = ours(folder), Progress()
    optimizer = create_optimizer(model, 1e-4)
    batch = (ids[:, :-1], ids[:, 1:])
    return lambda: take_step(model, optimizer, [batch], progress, dtype=KINDS[kind])


def their_step(folder: Path, ids: torch.Tensor, kind: str) -> Callable[[], None]:
    """The same step with their model."""
    model = theirs(folder).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    inputs, targets = ids[:, :-1], ids[:, 1:].flatten()

    def run() -> None:
        dtype = KINDS[kind]
        with torch.autocast("cpu", dtype) if dtype else nullcontext():
            logits = model(inputs, use_cache=False).logits
            loss = F.cross_entropy(logits.flatten(0, 1), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()

    return run


def in_turn(runs: int, *functions: Callable[[], object]) -> list[float]:
    """Median seconds of each function, run alternately after a warm-up."""
    times: list[list[float]] = [[] for _ in functions]
    for run in range(runs + 1):
        for function, found in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if run:
                found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in times]


def private_memory() -> int:
    """KiB of this process that no file backs."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1])


def most_memory(function: Callable[[], object]) -> int:
    """The most private memory while a function runs, beyond what was there, in KiB."""
    before, most, done = private_memory(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, private_memory())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    kept = function()
    done.set()
    watcher.join()
    del kept
    return most - before


def measure_memory(what: str, side: str, name: str, kind: str, folder: Path) -> None:
    """Print the memory of one side: what a process of its own runs."""
    config, batch, length = SHAPES[name]
    ids = some_ids(config, batch, length + 1)

    def train() -> None:
        step = (our_step if side == "ours" else their_step)(folder, ids, kind)
        for _ in range(3):
            step()

    load = ours if side == "ours" else theirs
    print(most_memory(train if what == "train" else lambda: load(folder)))


def memory(what: str, name: str, kind: str, folder: Path) -> tuple[float, float]:
    """MiB of both sides, each measured in a process of its own."""
    found = []
    for side in ("ours", "theirs"):
        command = [sys.executable, __file__, "--memory", what, side, name, kind, folder]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(int(run.stdout.split()[-1]) / 1024)
    return found[0], found[1]


def train_rows(name: str, folder: Path, runs: int, kinds: list[str]) -> None:
    config, batch, length = SHAPES[name]
    ids = some_ids(config, batch, length + 1)
    for kind in kinds:
        steps = our_step(folder, ids, kind), their_step(folder, ids, kind)
        what = f"training step, {name}, {kind}, {batch} × {length}"
        row(f"{what}, s", *in_turn(runs, *steps))
        del steps
        row(f"{what}, MiB", *memory("train", name, kind, folder))


def generate_rows(name: str, folder: Path, runs: int) -> None:
    config = SHAPES[name][0]
    our, their = ours(folder), theirs(folder).eval()
    ids = some_ids(config, 1, 16)
    their.generation_config.eos_token_id = None

    def reference() -> torch.Tensor:
        mask = torch.ones_like(ids)
        return their.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=128,
            do_sample=False,
            pad_token_id=0,
        )

    same = torch.equal(generate(our, ids, 128), reference())
    times = in_turn(runs, lambda: generate(our, ids, 128), reference)
    row(f"128 tokens, greedy, cached, {name}, same tokens: {same}, s", *times)
    row(f"a token at length 256 and at 32, {name}, ms", *cost_by_length(our, runs))


def cost_by_length(model: GPTModel, runs: int) -> tuple[float, float]:
    """Milliseconds for a token near length 256 and near 32: medians of all runs."""
    times: dict[int, list[float]] = {}
    for _ in range(runs):
        start = time.perf_counter()
        for length, _ in enumerate(stream(model, some_ids(MINI, 1, 1), 255), 2):
            now = time.perf_counter()
            times.setdefault(length, []).append(now - start)
            start = now
    late, early = ([t for n in range(a, a + 33) for t in times[n]] for a in (224, 16))
    return 1000 * statistics.median(late), 1000 * statistics.median(early)


def load_rows(name: str, folder: Path, runs: int) -> None:
    size = (folder / "model.safetensors").stat().st_size / 2**20
    times = in_turn(runs, lambda: ours(folder), lambda: theirs(folder))
    row(f"loading, {name}, file of {size:.0f} MiB, s", *times)
    row(f"loading, {name}, private MiB", *memory("load", name, "float32", folder))


def row(what: str, mine: float, other: float) -> None:
    print(
        f"| {what} | {mine:.3f} | {other:.3f} | {other / max(mine, 1e-9):.2f} |",
        flush=True,
    )


def limits() -> None:
    """How fast this machine multiplies matrices, and reads a large one."""
    a, b = torch.randn(512, 768), torch.randn(768, 3072)
    wide, x = torch.randn(50257, 768), torch.randn(1, 768)
    square, read = in_turn(20, lambda: a @ b, lambda: F.linear(x, wide))
    print(
        f"\n512 × 768 by 768 × 3,072: {2 * 512 * 768 * 3072 / square / 1e9:.0f} GFLOP/s"
    )
    gigabytes = wide.numel() * 4 / 1e9
    print(f"a vector by 768 × 50,257: {gigabytes / read:.0f} GB of weights a second")


ROWS: dict[str, Callable[..., None]] = {
    "train": train_rows,
    "generate": generate_rows,
    "load": load_rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=[*SHAPES], choices=[*SHAPES])
    parser.add_argument("--only", nargs="+", default=[*ROWS], choices=[*ROWS])
    parser.add_argument("--kinds", nargs="+", default=[*KINDS], choices=[*KINDS])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--memory", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--device", help="measure on it: cuda, or cpu to try it out")
    parser.add_argument("--batch", type=int, default=32, help="windows, with --device")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a window")
    parser.add_argument("--layers", type=int, default=12, help="blocks, fewer to try")
    parser.add_argument("--nanogpt", type=Path, help="a clone of nanoGPT")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if args.memory:
        *what, folder = args.memory
        return measure_memory(*what, Path(folder))
    print(f"Python {platform.python_version()}, {platform.machine()}", end=", ")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}", end=", ")
    print(f"transformers {transformers.__version__}\n")
    if args.device:
        config = on_device.shape(args.length, args.layers)
        return on_device.measure(
            args.device,
            config,
            args.batch,
            args.runs,
            args.nanogpt,
            KINDS[args.kinds[-1]],
        )
    print("| what | ours | transformers | transformers / ours |\n|---|---|---|---|")
    for name in args.shapes:
        with TemporaryDirectory() as folder:
            torch.manual_seed(0)
            save_pretrained(GPTModel(SHAPES[name][0]), TOKENIZER, folder)
            for rows in args.only:
                kinds = (args.kinds,) if rows == "train" else ()
                ROWS[rows](name, Path(folder), args.runs, *kinds)
    limits()


if __name__ == "__main__":
    main()
