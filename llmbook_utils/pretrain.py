"""Pretraining as a command: texts to files of tokens, and a model trained on them.

    python -m llmbook_utils.pretrain prepare TEXTS --out TOKENS
    python -m llmbook_utils.pretrain train TOKENS --recipe profiles/mini.toml --out RUN

Under `torchrun` the second one trains with several processes. Built in
appendices/d-training-loop.ipynb. Left out: models that do not fit on one device, and
runs over several machines whose number changes.
"""

import argparse
import json
import os
import signal
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import tiktoken
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler, Subset

from llmbook_utils.checkpoint import load_checkpoint, save_checkpoint
from llmbook_utils.config import GPTConfig
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import save_pretrained
from llmbook_utils.schedule import Schedule
from llmbook_utils.shards import TokenShards, prepare, read_index
from llmbook_utils.tokenizer import get_encoding
from llmbook_utils.train import Batch, History, Progress, create_optimizer, train


class OwnPart(Sampler[list[int]]):
    """Of each batch the part of one process, so that all together see the batch.

    Every process shuffles with the same seed: together they take the very batches that
    a single process would take.
    """

    def __init__(self, batches: BatchSampler, rank: int, processes: int):
        if batches.batch_size % processes:
            raise ValueError(
                f"a batch of {batches.batch_size} cannot be parted among {processes} "
                "processes; choose a multiple"
            )
        self.batches, self.rank, self.processes = batches, rank, processes

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch[self.rank :: self.processes]


@dataclass(frozen=True)
class Recipe:
    """All the choices of a pretraining run; a file of TOML may hold any of them."""

    model: GPTConfig
    init: str = "gpt2"
    steps: int = 1000  # optimizer steps
    batch_size: int = 32  # windows a batch, of all processes together
    accumulate: int = 1  # batches a step
    lr: float = 1e-3  # at its peak
    warmup_steps: int = 0
    floor: float = 0.1  # share of the peak at the end
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    bf16: bool = False
    seed: int = 1
    eval_every: int = 250
    eval_windows: int = 256  # of the validation split, evenly spread
    checkpoint_every: int = 250
    keep: tuple[int, ...] = ()  # steps whose model is kept

    def __post_init__(self) -> None:
        create_schedule(self)  # which checks what it takes
        for name in ("batch_size", "accumulate", "eval_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")


def create_schedule(recipe: Recipe) -> Schedule:
    """The learning rate of each step."""
    return Schedule(recipe.lr, recipe.steps, recipe.warmup_steps, recipe.floor)


def read_recipe(path: str | Path, **changes: Any) -> Recipe:
    """The recipe of a TOML file, with some values changed.

    Unknown keys, wrong types and values out of range raise ValueError.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    shape = content.pop("model", {})
    if not isinstance(shape, dict):
        raise ValueError(f"{path}: model is {shape!r}; expected a table, [model]")
    for given, kind in ((content, Recipe), (shape, GPTConfig)):
        names = [f.name for f in fields(kind)]
        if unknown := [name for name in given if name not in names]:
            raise ValueError(f"{path}: unknown {unknown[0]!r}; there are {names}")
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (content | changes).items()
    }
    for name, value in settings.items():
        wanted = type(getattr(Recipe, name))
        if not isinstance(value, (int, float) if wanted is float else wanted):
            raise ValueError(f"{path}: {name} is {value!r}; it must be {wanted}")
    try:
        return Recipe(GPTConfig(**shape), **settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def start_processes() -> tuple[int, int, torch.device]:
    """This process's number, how many there are, and its device.

    `torchrun` says so in the environment; without it there is one process.
    """
    gpu = torch.cuda.is_available()
    if "RANK" not in os.environ:
        return 0, 1, torch.device("cuda" if gpu else "cpu")
    distributed.init_process_group("nccl" if gpu else "gloo")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else "cpu"
    return distributed.get_rank(), distributed.get_world_size(), torch.device(device)


def create_loaders(
    tokens: str | Path, recipe: Recipe, rank: int = 0, processes: int = 1
) -> tuple[DataLoader[Batch], DataLoader[Batch] | None]:
    """The batches to learn from, and those to measure on, if the folder has any."""
    length = recipe.model.context_length
    windows = TokenShards(tokens, "train", length)
    generator = torch.Generator().manual_seed(recipe.seed)
    order = RandomSampler(windows, generator=generator)
    batches = BatchSampler(order, recipe.batch_size, drop_last=True)
    part = OwnPart(batches, rank, processes)
    train_loader = DataLoader(windows, batch_sampler=part, generator=generator)
    if "validation" not in {s["split"] for s in read_index(Path(tokens))["shards"]}:
        return train_loader, None
    held_out = TokenShards(tokens, "validation", length)
    n = min(recipe.eval_windows, len(held_out))
    spread = [i * len(held_out) // n for i in range(n)]
    return train_loader, DataLoader(Subset(held_out, spread), recipe.batch_size)


def settle_recipe(out: Path, recipe: Recipe) -> None:
    """Write the recipe into the run's folder, or check that the run there has it too.

    Raises ValueError where a run of another recipe has begun in the folder.
    """
    path, ours = out / "recipe.json", json.loads(json.dumps(asdict(recipe)))
    if path.is_file():
        theirs = json.loads(path.read_text(encoding="utf-8"))
        if other := [name for name in ours if ours[name] != theirs.get(name)]:
            name = other[0]
            raise ValueError(
                f"{out} holds a run with {name} = {theirs.get(name)}, not "
                f"{ours[name]}; go on with its recipe, or give another --out"
            )
    else:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(ours, indent=2) + "\n", encoding="utf-8")


def read_encoding(tokens: str | Path, config: GPTConfig) -> tiktoken.Encoding:
    """The tokenizer of a prepared folder; ValueError where the model's size differs."""
    encoding = get_encoding(tokens)
    if encoding.n_vocab != config.vocab_size:
        raise ValueError(
            f"{tokens} was made with {encoding.n_vocab:,} tokens, but the model has "
            f"{config.vocab_size:,}; make the two the same"
        )
    return encoding


@contextmanager
def signals_noted() -> Iterator[list[int]]:
    """A list that Ctrl-C, or the system's wish to end the process, adds a number to."""
    came: list[int] = []
    signs = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(sign, lambda n, _: came.append(n)) for sign in signs]
    try:
        yield came
    finally:
        for sign, handler in zip(signs, before, strict=True):
            signal.signal(sign, handler)


def pretrain(tokens: str | Path, out: str | Path, recipe: Recipe) -> History:
    """Train a model on a prepared folder; what was begun in `out` goes on there.

    Into `out` go the recipe, metrics.jsonl, checkpoint.safetensors, the models of the
    steps to keep and, at the end, the folder `model` for `load_pretrained`. Ctrl-C
    saves a checkpoint and raises KeyboardInterrupt; of several processes, which it
    reaches at different steps, it ends all, and the last checkpoint stays. Tokens or a
    recipe that do not fit raise ValueError.
    """
    out, (rank, processes, device) = Path(out), start_processes()
    first, alone = rank == 0, processes == 1  # only the first process writes
    encoding = read_encoding(tokens, recipe.model)
    train_loader, val_loader = create_loaders(tokens, recipe, rank, processes)
    if first:
        settle_recipe(out, recipe)
    torch.manual_seed(recipe.seed)
    model = GPTModel(recipe.model, recipe.init).to(device)
    optimizer = create_optimizer(
        model, recipe.lr, weight_decay=recipe.weight_decay, betas=recipe.betas
    )
    checkpoint, progress = out / "checkpoint.safetensors", Progress()
    if checkpoint.is_file():
        progress = load_checkpoint(checkpoint, model, optimizer)
    elif first and 0 in recipe.keep:
        save_pretrained(model, encoding, out / "kept/000000")
    if not first:
        torch.manual_seed(recipe.seed + rank + 1000 * progress.step)  # own dropout

    def save(progress: Progress, record: dict[str, float]) -> None:
        step, end = progress.step, progress.step == recipe.steps or bool(came)
        if end or step % recipe.checkpoint_every == 0:
            save_checkpoint(checkpoint, model, optimizer, progress)
        if step in recipe.keep:
            save_pretrained(model, encoding, out / "kept" / f"{step:06}")
        if came:
            raise KeyboardInterrupt(f"stopped after step {step}; run it again to go on")

    with signals_noted() if alone else nullcontext() as came:
        history = train(
            model if alone else DistributedDataParallel(model),
            train_loader,
            optimizer=optimizer,
            max_steps=recipe.steps,
            schedule=create_schedule(recipe),
            accumulate=recipe.accumulate,
            clip=recipe.clip,
            dtype=torch.bfloat16 if recipe.bf16 else None,
            val_loader=val_loader if first else None,
            eval_every=recipe.eval_every,
            metrics=out / "metrics.jsonl" if first else None,
            on_step=save if first else None,
            progress=progress,
        )
    if first:
        save_pretrained(model, encoding, out / "model")
    if not alone:
        distributed.destroy_process_group()
    return history


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m llmbook_utils.pretrain", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_prepare(commands)
    add_train(commands)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog} {given.command}: {error}\n")
    except KeyboardInterrupt as error:
        parser.exit(130, f"{error}\n")


def add_prepare(commands: Any) -> None:
    """The options of `prepare`."""
    text = "turn texts into shards of tokens, with several processes"
    parser = commands.add_parser("prepare", help=text, description=text)
    option = parser.add_argument
    option(
        "source",
        help="a folder of .txt files, or a manifest (.tsv with columns "
        "file and, where wanted, split and repeat)",
    )
    option("--out", required=True, metavar="FOLDER", help="a new folder for the tokens")
    option(
        "--tokenizer",
        default="gpt2",
        help="gpt2 (the default) or a folder with vocab.json and merges.txt",
    )
    option(
        "--vocab-size",
        type=int,
        metavar="N",
        help="learn a tokenizer of N tokens from the texts instead",
    )
    option(
        "--sample",
        type=int,
        default=20_000_000,
        metavar="CHARACTERS",
        help="how much text the tokenizer is learned from (default %(default)s)",
    )
    option(
        "--validation-share",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="the end of each text that is kept for validation, where the manifest "
        "does not say (default %(default)s)",
    )
    option(
        "--leave-out",
        type=Path,
        metavar="FILE",
        help="drop the paragraphs that "
        "hold a word of this file, one a line, from the training part",
    )
    option("--processes", type=int, metavar="N", help="default: one a core")
    parser.set_defaults(run=run_prepare)


def run_prepare(given: argparse.Namespace) -> None:
    words = given.leave_out.read_text("utf-8").split() if given.leave_out else ()
    index = prepare(
        given.source,
        given.out,
        tokenizer=given.tokenizer,
        vocab_size=given.vocab_size,
        sample=given.sample,
        validation_share=given.validation_share,
        left_out=words,
        processes=given.processes,
    )
    for shard in index["shards"]:
        print(
            "{file}: {texts} texts, {tokens:,} tokens, {bytes:,} bytes".format(**shard)
        )


def add_train(commands: Any) -> None:
    """The options of `train`."""
    text = "train a model on prepared tokens, or go on with a run that was stopped"
    parser = commands.add_parser(
        "train",
        help=text,
        description=text,
        epilog=(
            "With several processes: torchrun --nproc-per-node 2 -m "
            "llmbook_utils.pretrain train ... They share each batch, and learn what "
            "one process would."
        ),
    )
    option = parser.add_argument
    option("tokens", help="a folder that prepare has made")
    option(
        "--recipe",
        required=True,
        metavar="FILE",
        help="the model's shape and all settings as TOML, such as profiles/mini.toml",
    )
    option(
        "--out",
        required=True,
        metavar="FOLDER",
        help="for checkpoints, metrics and the model",
    )
    option("--steps", type=int, help="another number of optimizer steps")
    option("--seed", type=int, help="another seed")
    parser.set_defaults(run=run_train)


def run_train(given: argparse.Namespace) -> None:
    asked = {"steps": given.steps, "seed": given.seed}
    changes = {name: value for name, value in asked.items() if value is not None}
    recipe = read_recipe(given.recipe, **changes)
    history = pretrain(given.tokens, given.out, recipe)
    if history.records:
        last = history.records[-1]
        print("step {step}: loss {loss:.3f}".format(**last), end="")
        print(f", validation {last['val_loss']:.3f}" if "val_loss" in last else "")
    print(f"the model is in {Path(given.out) / 'model'}")


if __name__ == "__main__":
    main()
