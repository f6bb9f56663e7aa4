"""GPT-2: token and position embeddings, a stack of transformer blocks, logits.

Built in chapters/04-implementing-a-gpt-model-from-scratch-to-generate-text.ipynb.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.attention import MultiHeadAttention, See, causal_mask, unseen
from llmbook_utils.cache import KVCache, LayerCache
from llmbook_utils.config import GPTConfig


class LayerNorm(nn.Module):
    """Bring each vector to mean 0 and variance 1, then scale and shift it as learned.

    In and out: (..., C). Source: Ba et al. (2016).
    """

    def __init__(self, emb_dim: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        # eps keeps the root away from 0; GPT-2's value, which its weights expect
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, eps=1e-5)


class FeedForward(nn.Module):
    """Widen each vector by 4, apply GELU, and bring it back to C: (..., C)."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.up_proj = nn.Linear(config.emb_dim, 4 * config.emb_dim)
        self.down_proj = nn.Linear(4 * config.emb_dim, config.emb_dim)

    def forward(self, x: Tensor, see: See = unseen) -> Tensor:
        hidden = see("feed_forward.up_proj", self.up_proj(x))  # (..., C) -> (..., 4C)
        # the tanh form: OpenAI's weights were trained with it
        hidden = see("feed_forward.gelu", F.gelu(hidden, approximate="tanh"))
        return see("feed_forward.down_proj", self.down_proj(hidden))


class TransformerBlock(nn.Module):
    """Attention, then the feed-forward network; each reads a normalized copy of x.

    In and out: (B, T, C). What the two make is added to x, the residual stream.
    `allowed`, `cache` and `see` are those of `MultiHeadAttention`.
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
        see: See = unseen,
    ) -> Tensor:
        copy = see("norm_1", self.norm_1(x))
        gathered = self.attention(copy, allowed=allowed, cache=cache, see=see)
        x = see("residual", x + self.dropout(gathered))
        copy = see("norm_2", self.norm_2(x))
        return see("output", x + self.dropout(self.feed_forward(copy, see)))


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
    # (T, S) & (B, 1, S) -> (B, T, S), and one axis more for the heads
    return (causal & (real[:, None] | itself))[:, None]


def within(place: str, see: See) -> See:
    """A `see` for a part of the model, which puts the part's name before each name."""
    if see is unseen:
        return unseen  # attention takes its fast path only then
    return lambda name, tensor: see(f"{place}.{name}", tensor)


def keep_weights(weights: list[Tensor], see: See) -> See:
    """A `see` that also appends the attention weights of each layer to a list."""

    def keep(name: str, tensor: Tensor) -> Tensor:
        tensor = see(name, tensor)
        if name.endswith("attention.weights"):
            weights.append(tensor)
        return tensor

    return keep


def check_ids(
    ids: Tensor, mask: Tensor | None, cache: KVCache | None, limit: float
) -> None:
    """Raise ValueError unless ids and mask are (B, T) and all tokens have a place."""
    if ids.dim() != 2 or 0 in ids.shape:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}; expected (B, T), T >= 1: "
            "a single text is ids[None]"
        )
    if ids.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"ids are {ids.dtype}; expected whole numbers: ids.long()")
    if mask is not None and (mask.dtype, mask.shape) != (torch.bool, ids.shape):
        raise ValueError(
            f"mask is {mask.dtype} of shape {tuple(mask.shape)}; expected torch.bool "
            f"of the ids' shape {tuple(ids.shape)}, True at real tokens: mask.bool()"
        )
    # the cache's tokens have positions, too
    n = ids.shape[1] + (cache.length if cache is not None else 0)
    if n > limit:
        raise ValueError(
            f"{n} tokens, but this model reads {limit} at most; crop the ids to their "
            "last ones"
        )


def embed(ids: Tensor, table: nn.Embedding) -> Tensor:
    """The rows of a table, (B, T) -> (B, T, C); an id without one raises ValueError."""
    try:
        return table(ids)
    except IndexError as error:  # PyTorch names neither the id nor the table
        V = table.num_embeddings
        id = int(ids[(ids < 0) | (ids >= V)][0])
        raise ValueError(
            f"id {id} is outside this model's vocabulary of {V:,} tokens; encode the "
            "text with the tokenizer that the model was trained with"
        ) from error


def positions_and_mask(
    ids: Tensor, mask: Tensor | None, cache: KVCache | None
) -> tuple[Tensor, Tensor | None]:
    """The position of each token, and which keys it may look at (None: causal).

    A cache learns which of the new tokens are real.
    """
    T, before = ids.shape[1], cache.length if cache is not None else 0
    if cache is not None:
        mask = cache.extend(torch.ones_like(ids).bool() if mask is None else mask)
    if mask is None:
        return torch.arange(before, before + T, device=ids.device), None
    # padding takes no position: the first real token has position 0
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, before:]
    return positions, attention_mask(mask, T)


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
        if config.tie_embeddings:  # one Parameter under two names, trained once
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
        see: See = unseen,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits (B, T, V); with `return_attention` also (B, H, T, S) for each layer.

        `mask` (B, T) is True at real tokens: padding is not looked at and takes no
        position. With a `cache`, `ids` are the tokens after those that it holds. `see`
        gets each value by its name, as `inside.trace` lists them. Ids or a mask of
        another shape or type, more tokens than positions, and ids outside the
        vocabulary raise ValueError.
        """
        check_ids(ids, mask, cache, self.config.context_length)
        weights: list[Tensor] = []
        if return_attention:
            see = keep_weights(weights, see)
        positions, allowed = positions_and_mask(ids, mask, cache)
        tokens = see("token_embedding", embed(ids, self.token_embedding))
        places = see("position_embedding", self.position_embedding(positions))
        x = see("embedding", self.dropout(tokens + places))  # (B, T, C)
        for i, block in enumerate(self.blocks):
            layer = cache.layers[i] if cache is not None else None
            look = within(f"blocks.{i}", see)
            x = block(x, allowed=allowed, cache=layer, see=look)
        x = see("final_norm", self.final_norm(x))
        logits = see("logits", self.head(x))  # (B, T, C) -> (B, T, V)
        return (logits, weights) if return_attention else logits


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off for a while, then go back to the mode that was on."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
