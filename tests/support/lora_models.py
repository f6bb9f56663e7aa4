"""Models with LoRA that has learned something, and whether two have the same weights."""

import torch
from models import TINY, build, lifelike
from torch import nn

from llmbook_utils.lora import LAYERS, add_lora, lora_layers


def with_lora(rank=4, alpha=6, seed=0, classes=0, config=TINY, layers=LAYERS):
    """A model whose LoRA has learned something, with a new head where `classes` says."""
    model = lifelike(build(config, seed))
    if classes:
        model.head = nn.Linear(config.emb_dim, classes)
    add_lora(model, rank, alpha, layers)
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.B, std=0.1)
    return model.eval()


def weights_of(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )
