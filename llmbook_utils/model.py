"""GPT-2: token and position embeddings, a stack of transformer blocks, logits.

Built in chapters/04-implementing-a-gpt-model-from-scratch-to-generate-text.ipynb.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.attention import MultiHeadAttention, causal_mask
from llmbook_utils.cache import KVCache, LayerCache
from llmbook_utils.config import GPTConfig


class LayerNorm(nn.Module):
    """Shift and scale each vector to mean 0 and variance 1, then by learned numbers.

    In and out: (..., C). Source: Ba et al. (2016).
    """

    def __init__(self, emb_dim: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, eps=1e-5)


class FeedForward(nn.Module):
    """Widen each vector by 4, apply GELU (tanh form), and narrow it again: (..., C)."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.up_proj = nn.Linear(config.emb_dim, 4 * config.emb_dim)
        self.down_proj = nn.Linear(4 * config.emb_dim, config.emb_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.gelu(self.up_proj(x), approximate="tanh"))


class TransformerBlock(nn.Module):
    """Attention and feed-forward network, each normalized first and added to its input.

    In and out: (B, T, C); the attention weights come back when they are asked for.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.norm_1 = LayerNorm(config.emb_dim)
        self.attention = MultiHeadAttention(config)
        self.norm_2 = LayerNorm(config.emb_dim)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(
        self,
        x: Tensor,
        *,
        allowed: Tensor | None = None,
        cache: LayerCache | None = None,
        return_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        gathered, weights = self.attention(
            self.norm_1(x), allowed=allowed, cache=cache, return_weights=return_weights
        )
        x = x + self.dropout(gathered)
        x = x + self.dropout(self.feed_forward(self.norm_2(x)))
        return x, weights


# layers whose result is added to the residual stream
OUTPUTS = ("attention.out.weight", "feed_forward.down_proj.weight")


def initialize(model: nn.Module) -> None:
    """Draw weights as GPT-2 did: N(0, 0.02), biases 0, and smaller at residual outputs.

    Each block adds twice to the residual stream; its output layers are scaled by
    1 / sqrt(2 * n_layers) so that the sum does not grow with depth.
    """
    outputs = [name for name, _ in model.named_parameters() if name.endswith(OUTPUTS)]
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            std = 0.02 / math.sqrt(len(outputs)) if name in outputs else 0.02
            nn.init.normal_(parameter, std=std)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def attention_mask(real: Tensor, n_queries: int) -> Tensor:
    """Which keys each query may look at when some tokens are padding: (B, 1, T, S).

    `real` (B, S) is True at real tokens; the queries are the last T. A padded query
    still sees itself: a row without any key would be 0 / 0.
    """
    n_keys = real.shape[1]
    causal = causal_mask(n_queries, n_keys, real.device)
    itself = torch.eye(n_keys, dtype=torch.bool, device=real.device)[-n_queries:]
    return (causal & (real[:, None] | itself))[:, None]


class GPTModel(nn.Module):
    """A GPT: ids (B, T) in, logits (B, T, V) out, one guess after each token.

    `init="gpt2"` draws weights as GPT-2 did; `init="torch"` keeps PyTorch's defaults.
    Source: Radford et al. (2019).
    """

    def __init__(self, config: GPTConfig, init: str = "gpt2"):
        super().__init__()
        if init not in ("gpt2", "torch"):
            raise ValueError(f"init is {init!r}; expected 'gpt2' or 'torch'")
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.emb_dim)
        self.position_embedding = nn.Embedding(config.context_length, config.emb_dim)
        self.dropout = nn.Dropout(config.drop_rate)
        self.blocks = nn.ModuleList(
            TransformerBlock(config) for _ in range(config.n_layers)
        )
        self.final_norm = LayerNorm(config.emb_dim)
        self.head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.head.weight = self.token_embedding.weight
        if init == "gpt2":
            initialize(self)

    def forward(
        self,
        ids: Tensor,
        *,
        mask: Tensor | None = None,
        cache: KVCache | None = None,
        return_attention: bool = False,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits (B, T, V); with `return_attention` also the weights of each layer.

        `mask` (B, T) is True at real tokens: padding is not looked at and takes no
        position. With a `cache`, `ids` are the tokens behind those that it holds. More
        tokens than positions raise ValueError.
        """
        positions, allowed = self.place(ids, mask, cache)
        x = self.token_embedding(ids) + self.position_embedding(positions)
        x = self.dropout(x)  # (B, T, C)
        attention = []
        for i, block in enumerate(self.blocks):
            layer = cache.layers[i] if cache is not None else None
            x, weights = block(
                x, allowed=allowed, cache=layer, return_weights=return_attention
            )
            attention.append(weights)
        logits = self.head(self.final_norm(x))  # (B, T, C) -> (B, T, V)
        return (logits, attention) if return_attention else logits

    def place(
        self, ids: Tensor, mask: Tensor | None, cache: KVCache | None
    ) -> tuple[Tensor, Tensor | None]:
        """The position of each token, and which keys it may look at (None: causal)."""
        T, before = ids.shape[1], cache.length if cache is not None else 0
        limit = self.config.context_length
        if before + T > limit:
            raise ValueError(
                f"{before + T} tokens, but this model reads {limit} at most; "
                "crop the ids to their last ones"
            )
        if cache is not None:
            new = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
            cache.mask = torch.cat([cache.mask, new], dim=1)
            mask = None if cache.mask.all() else cache.mask
        if mask is None:
            return torch.arange(before, before + T, device=ids.device), None
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, before:]
        return positions, attention_mask(mask, T)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off for a while, and then back to the mode that was on."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
