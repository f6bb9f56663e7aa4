"""Runs that can be stopped anywhere, for the tests of checkpoints."""

import pytest
import torch
from torch.utils.data import DataLoader

from llmbook_utils.checkpoint import save_checkpoint
from llmbook_utils.config import GPTConfig
from llmbook_utils.data import SlidingWindowDataset
from llmbook_utils.model import GPTModel
from llmbook_utils.schedule import Schedule
from llmbook_utils.train import create_optimizer, train

TINY = GPTConfig(
    vocab_size=61, context_length=24, emb_dim=24, n_heads=3, n_layers=2, drop_rate=0.1
)
STEPS = 16  # passes of 6 steps each: the last pass is cut short


def build(config=TINY, seed=0):
    torch.manual_seed(seed)
    model = GPTModel(config)
    return model, create_optimizer(model, 1e-3)


def loader_of(seed):
    """Eleven shuffled batches, in the order of `seed`, or in one of the global state."""
    ids = torch.arange(400) ** 2 % 61
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    windows = SlidingWindowDataset(ids, 12, stride=9)
    options = {"batch_size": 4, "shuffle": True, "generator": generator}
    return DataLoader(windows, **options)


def go_on(model, optimizer, folder, loader, progress=None, on_step=None, steps=STEPS):
    """Train with dropout, accumulation, evaluation: up to `steps`, or to the end."""
    return train(
        model,
        loader,
        optimizer=optimizer,
        max_steps=steps,
        schedule=Schedule(peak=1e-2, steps=STEPS, warmup_steps=3),
        accumulate=2,
        val_loader=DataLoader(loader.dataset, batch_size=8),
        eval_every=4,
        metrics=folder / "metrics.jsonl",
        on_step=on_step,
        progress=progress,
    )


@pytest.fixture
def saved(tmp_path):
    """A checkpoint of two steps, and the weights and state that it must not touch."""
    path = tmp_path / "run.safetensors"
    model, optimizer = build()
    history = []

    def save(progress, record):
        history.append(progress)
        save_checkpoint(path, model, optimizer, progress)

    go_on(model, optimizer, tmp_path, loader_of(3), on_step=save, steps=2)
    return path
