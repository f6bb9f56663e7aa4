"""Multi-head causal self-attention: each token gathers from itself and those before it.

Built in chapters/03-coding-attention-mechanisms.ipynb. Left out: attention between two
texts, and kernels of our own: PyTorch's fused one is the fast path.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.cache import LayerCache
from llmbook_utils.config import GPTConfig

# called with a name and each value on the way; what it returns takes the value's place
See = Callable[[str, Tensor], Tensor]


def unseen(name: str, tensor: Tensor) -> Tensor:
    """The `see` of a model that nobody looks into: each value stays as it is."""
    return tensor


def causal_mask(n_queries: int, n_keys: int, device: torch.device) -> Tensor:
    """Which of the keys each query may look at: (T, S), True at itself and before.

    The queries are the last T of S tokens, so the triangle is aligned bottom right.

    >>> causal_mask(2, 3, torch.device("cpu")).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    allowed = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    # with a cache S > T: the first new query also sees the S - T tokens before it
    return allowed.tril(n_keys - n_queries)


def explicit_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    allowed: Tensor | None,
    drop_rate: float,
    see: See = unseen,
) -> Tensor:
    """Attention step by step, for eyes: what is gathered (B, H, T, D).

    `q` is (B, H, T, D), `k` and `v` are (B, H, S, D). `allowed`, True where a query may
    look, can be broadcast to (B, H, T, S); None is the causal mask. `see` gets q, k, v,
    scores, weights and context, the weights before dropout. A query that may look at
    nothing gathers 0. Source: Vaswani et al. (2017), equation 1.
    """
    q, k, v = see("attention.q", q), see("attention.k", k), see("attention.v", v)
    if allowed is None:
        allowed = causal_mask(q.shape[2], k.shape[2], q.device)
    allowed = see("attention.allowed", allowed)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, H, T, S)
    scores = see("attention.scores", scores)
    weights = torch.softmax(scores.masked_fill(~allowed, -torch.inf), dim=-1)
    # a row without any key was 0 / 0, and NaN would spread to every later layer
    weights = see("attention.weights", weights.masked_fill(~allowed, 0.0))
    return see("attention.context", F.dropout(weights, drop_rate) @ v)


def fused_attention(
    q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None, drop_rate: float
) -> Tensor:
    """The same in one compiled function, which never holds all the weights at once."""
    T, S = q.shape[2], k.shape[2]
    # is_causal aligns its triangle top left, which is right only without earlier keys
    is_causal = allowed is None and T == S
    if allowed is None and 1 < T < S:
        allowed = causal_mask(T, S, q.device)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=allowed, dropout_p=drop_rate, is_causal=is_causal
    )


class MultiHeadAttention(nn.Module):
    """Split the vectors among heads, let each attend, and join what they gathered.

    In and out: (B, T, C). `allowed` is as in `explicit_attention`. With a `cache`, x
    are the tokens after those that it holds, and the keys count both. With `see`, which
    gets every value by its name, attention is computed step by step.

    >>> attention, seen = MultiHeadAttention(GPTConfig(emb_dim=8, n_heads=2)), {}
    >>> attention(torch.zeros(1, 3, 8), see=seen.setdefault).shape
    torch.Size([1, 3, 8])
    >>> seen["attention.weights"].shape  # (B, H, T, S)
    torch.Size([1, 2, 3, 3])
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.n_heads = config.n_heads
        self.drop_rate = config.drop_rate
        # queries, keys and values in one product, three times as wide
        self.qkv = nn.Linear(config.emb_dim, 3 * config.emb_dim, bias=config.qkv_bias)
        self.out = nn.Linear(config.emb_dim, config.emb_dim)

    def forward(
        self,
        x: Tensor,
        *,
        allowed: Tensor | None = None,
        cache: LayerCache | None = None,
        see: See = unseen,
    ) -> Tensor:
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, 3, self.n_heads, C // self.n_heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # (B, T, 3, H, D) -> 3 x (B, H, T, D)
        if cache is not None:  # used in 4.7
            k, v = cache.append(k, v)  # (B, H, T, D) -> (B, H, S, D)
        drop_rate = self.drop_rate if self.training else 0.0
        if see is unseen:
            gathered = fused_attention(q, k, v, allowed, drop_rate)
        else:
            gathered = explicit_attention(q, k, v, allowed, drop_rate, see)
        joined = gathered.transpose(1, 2).reshape(B, T, C)  # (B, H, T, D) -> (B, T, C)
        return see("attention.out", self.out(joined))
