"""A tiny model and batches of numbers, for the tests of loss and training."""

import torch

from llmbook_utils.config import GPTConfig
from llmbook_utils.loss import (
    IGNORED,
)
from llmbook_utils.model import GPTModel

TINY = GPTConfig(
    vocab_size=61, context_length=24, emb_dim=24, n_heads=3, n_layers=2, drop_rate=0.0
)


def build(config=TINY, seed=0):
    torch.manual_seed(seed)
    return GPTModel(config)


def some_batch(size=4, length=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(61, (size, length + 1), generator=generator)
    return ids[:, :-1], ids[:, 1:].clone()


def uneven_batch():
    """Eight rows whose numbers of targets differ: 12, 11, … 6, and none in the last."""
    inputs, targets = some_batch(8)
    for row in range(7):
        targets[row, 12 - row :] = IGNORED
    targets[7] = IGNORED
    return inputs, targets
