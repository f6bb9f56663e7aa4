"""Small models, ids, and the names of all that happens inside; for many tests."""

import math
import tempfile
from dataclasses import replace

import torch
from torch import nn
from transformers import GPT2LMHeadModel

from llmbook_utils.config import GPTConfig
from llmbook_utils.generate import Sampling
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import save_pretrained
from llmbook_utils.tokenizer import BytePairTokenizer

TINY = GPTConfig(
    vocab_size=61, context_length=24, emb_dim=24, n_heads=3, n_layers=2, drop_rate=0.0
)


def build(config=TINY, seed=0, **options):
    torch.manual_seed(seed)
    return GPTModel(config, **options).eval()


def some_ids(batch, length, seed=0, config=TINY):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocab_size, (batch, length), generator=generator)


def as_transformers(model):
    """The same weights in transformers' GPT-2."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = BytePairTokenizer({b"a": 0}, {})  # any that has few tokens
        save_pretrained(model, tokenizer.to_tiktoken(), folder)
        return GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager")


OTHER = replace(
    TINY, emb_dim=6, n_heads=2, n_layers=3, qkv_bias=False, tie_embeddings=False
)


CONFIGS = [TINY, OTHER]


T, C, H, D, V = 7, TINY.emb_dim, TINY.n_heads, TINY.head_dim, TINY.vocab_size
BLOCK = {
    "norm_1": (T, C),
    "attention.q": (H, T, D),
    "attention.k": (H, T, D),
    "attention.v": (H, T, D),
    "attention.scores": (H, T, T),
    "attention.weights": (H, T, T),
    "attention.context": (H, T, D),
    "attention.out": (T, C),
    "residual": (T, C),
    "norm_2": (T, C),
    "feed_forward.up_proj": (T, 4 * C),
    "feed_forward.gelu": (T, 4 * C),
    "feed_forward.down_proj": (T, C),
    "output": (T, C),
}


AROUND = {
    "token_embedding": (T, C),
    "position_embedding": (T, C),
    "embedding": (T, C),
    "final_norm": (T, C),
    "logits": (T, V),
    "logits.last": (V,),
}


EVERYTHING = [*AROUND, *(f"blocks.*.{name}" for name in BLOCK)]


def vivid(config, seed=0):
    """A model whose attention is far from uniform."""
    model = build(config, seed)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def lifelike(model, seed=0):
    """Set all weights as training leaves them: small vectors, norms near 1, no 0 bias.

    Then the vectors of the first block are so small that the norms' epsilon counts, and
    those inside the feed-forward network so large that the form of GELU does.
    """
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("scale"):
            nn.init.normal_(parameter, mean=1.0, std=0.1)
        elif "embedding" in name:
            nn.init.normal_(parameter, std=0.03)
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, std=1.2 / math.sqrt(parameter.shape[1]))
        else:
            nn.init.normal_(parameter, std=0.1)
    if model.config.tie_embeddings:  # logits of a size that says something
        mean = 2 / (0.03 * math.sqrt(model.config.emb_dim))
        nn.init.normal_(model.final_norm.scale, mean=mean, std=0.1 * mean)
    return model


def ids_of(n=T, seed=0):
    return some_ids(1, n, seed)[0].tolist()


def sampling(**options):
    """Sampling that draws: temperature 1 unless another one is given."""
    return Sampling(**{"temperature": 1.0, **options})
