"""Pretraining on files of tokens, with one process or several, stopped at any time.

    llmbook prepare TEXTS --out TOKENS
    llmbook train TOKENS --recipe profiles/mini.toml --out RUN

`torchrun -m llmbook_utils train ...` does the second with several processes. Built in
appendices/d-training-loop.ipynb. Left out: models of which a single block does not fit
on one device, and runs over several machines whose number changes.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import tiktoken
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler, Subset

from llmbook_utils.checkpoint import load_checkpoint, save_checkpoint
from llmbook_utils.config import GPTConfig
from llmbook_utils.env import check_compiler
from llmbook_utils.files.shards import TokenShards, read_index
from llmbook_utils.loss import Batch
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import save_pretrained
from llmbook_utils.runs.recipe import Recipe, create_schedule, settle_recipe
from llmbook_utils.runs.sharding import gather, shard
from llmbook_utils.tokenizer import get_encoding
from llmbook_utils.train import History, Progress, create_optimizer, train

CHECKPOINT = "checkpoint.safetensors"  # in the folder of a run


class OwnPart(Sampler[list[int]]):
    """Of each batch the part of one process, so that all together see the batch.

    Every process shuffles with the same seed: together they take the very batches that
    a single process would take.
    """

    def __init__(self, batches: BatchSampler, rank: int, processes: int):
        if batches.batch_size % processes:
            raise ValueError(
                f"a batch of {batches.batch_size} cannot be divided among {processes} "
                "processes; choose a multiple"
            )
        self.batches, self.rank, self.processes = batches, rank, processes

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch[self.rank :: self.processes]


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
    order = RandomSampler(windows, generator=generator)  # the same in every process
    batches = BatchSampler(order, recipe.batch_size, drop_last=True)
    part = OwnPart(batches, rank, processes)
    train_loader = DataLoader(windows, batch_sampler=part, generator=generator)
    if "validation" not in {s["split"] for s in read_index(Path(tokens))["shards"]}:
        return train_loader, None
    held_out = TokenShards(tokens, "validation", length)
    # spread evenly: neighbors are of one text, and would stand for that text only
    n = min(recipe.eval_windows, len(held_out))
    spread = [i * len(held_out) // n for i in range(n)]
    return train_loader, DataLoader(Subset(held_out, spread), recipe.batch_size)


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


def start_or_resume(
    out: Path,
    recipe: Recipe,
    encoding: tiktoken.Encoding,
    device: torch.device,
    rank: int,
) -> tuple[GPTModel, torch.optim.Optimizer, Progress]:
    """The model, its optimizer and how far they are: at the start, or as in `out`."""
    if rank == 0:
        settle_recipe(out, recipe)
    torch.manual_seed(recipe.seed)  # the same weights in every process
    model = GPTModel(recipe.model, recipe.init).to(device)
    optimizer = create_optimizer(
        model, recipe.lr, weight_decay=recipe.weight_decay, betas=recipe.betas
    )
    progress = Progress()
    if (out / CHECKPOINT).is_file():  # read before the model is wrapped
        progress = load_checkpoint(out / CHECKPOINT, model, optimizer)
    elif rank == 0 and 0 in recipe.keep:
        save_pretrained(model, encoding, out / "kept/000000")
    if rank:
        # dropout of its own, and after a restart not the draws of the steps before
        torch.manual_seed(recipe.seed + rank + 1000 * progress.step)
    return model, optimizer, progress


def spread(
    model: GPTModel,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    processes: int,
    device: torch.device,
) -> nn.Module:
    """The model as it is trained: for one process or several, compiled or not."""
    trained: nn.Module = model
    if processes > 1 and recipe.sharded:
        shard(model, optimizer, device)  # in place
    elif processes > 1:
        trained = DistributedDataParallel(model)
    if recipe.compile:
        trained.compile()  # in place, too: at the first step
    return trained


def save_step(
    out: Path,
    recipe: Recipe,
    encoding: tiktoken.Encoding,
    run: tuple[GPTModel, torch.optim.Optimizer],
    progress: Progress,
    first: bool,
    stop: bool,
) -> None:
    """Write what is due after a step, and stop if told so; only the first writes."""
    step = progress.step
    due = stop or step == recipe.steps or step % recipe.checkpoint_every == 0
    if due or step in recipe.keep:
        model, optimizer = gather(*run)  # of a divided model, by all processes
        if first and due:
            save_checkpoint(out / CHECKPOINT, model, optimizer, progress)
        if first and step in recipe.keep:
            save_pretrained(model, encoding, out / "kept" / f"{step:06}")
    if stop:
        raise KeyboardInterrupt(f"stopped after step {step}; run it again to continue")


def pretrain(tokens: str | Path, out: str | Path, recipe: Recipe) -> History:
    """Train a model on a prepared folder; a run that was begun in `out` continues.

    Into `out` go the recipe, metrics.jsonl, checkpoint.safetensors, the models of the
    steps to keep and, at the end, the folder `model` for `load_pretrained`. Ctrl-C
    saves a checkpoint and raises KeyboardInterrupt; of several processes, which it
    reaches at different steps, it ends all, and the last checkpoint stays. Tokens or a
    recipe that do not fit raise ValueError.
    """
    out, (rank, processes, device) = Path(out), start_processes()
    first, alone = rank == 0, processes == 1  # only the first process writes
    sharded = recipe.sharded and not alone  # then whatever is computed takes them all
    encoding = read_encoding(tokens, recipe.model)
    if recipe.compile:
        check_compiler(device)
    train_loader, val_loader = create_loaders(tokens, recipe, rank, processes)
    place = torch.device("cpu") if sharded else device  # no GPU holds the whole
    model, optimizer, progress = start_or_resume(out, recipe, encoding, place, rank)
    trained = spread(model, optimizer, recipe, processes, device)

    def save(progress: Progress, record: dict[str, float]) -> None:
        run = (model, optimizer)
        save_step(out, recipe, encoding, run, progress, first, stop=bool(came))

    # of several processes each would hear of Ctrl-C at another step, and wait for ever
    with signals_noted() if alone else nullcontext() as came:
        history = train(
            trained,
            train_loader,
            optimizer=optimizer,
            max_steps=recipe.steps,
            schedule=create_schedule(recipe),
            accumulate=recipe.accumulate,
            clip=recipe.clip,
            dtype=torch.bfloat16 if recipe.bf16 else None,
            val_loader=val_loader if first or sharded else None,
            eval_every=recipe.eval_every,
            metrics=out / "metrics.jsonl" if first else None,
            on_step=save if first or sharded else None,
            progress=progress,
        )
    whole, _ = gather(model, optimizer)
    if first:
        save_pretrained(whole, encoding, out / "model")
    if not alone:
        distributed.destroy_process_group()
    return history
