"""Multi-head causal self-attention: each token gathers from itself and those before it.

Built in chapters/03-coding-attention-mechanisms.ipynb. Left out: attention between two
texts, and kernels of our own: PyTorch's fused one is the fast path.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.cache import LayerCache
from llmbook_utils.config import GPTConfig


def causal_mask(n_queries: int, n_keys: int, device: torch.device) -> Tensor:
    """Which of the keys each query may look at: (T, S), True at itself and before.

    The queries are the last T of S tokens, so the triangle is aligned bottom right.

    >>> causal_mask(2, 3, torch.device("cpu")).int().tolist()
    [[1, 1, 0], [1, 1, 1]]
    """
    allowed = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return allowed.tril(n_keys - n_queries)


def explicit_attention(
    q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None, drop_rate: float
) -> tuple[Tensor, Tensor]:
    """Attention step by step: what is gathered (B, H, T, D), and the weights.

    `q` is (B, H, T, D), `k` and `v` are (B, H, S, D), the weights (B, H, T, S).
    `allowed`, True where a query may look, can be broadcast to the weights; None is the
    causal mask. Dropout acts on what is gathered and leaves the returned weights whole.
    Source: Vaswani et al. (2017), equation 1.
    """
    if allowed is None:
        allowed = causal_mask(q.shape[2], k.shape[2], q.device)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    weights = torch.softmax(scores.masked_fill(~allowed, -torch.inf), dim=-1)
    return F.dropout(weights, drop_rate) @ v, weights


def fused_attention(
    q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None, drop_rate: float
) -> tuple[Tensor, None]:
    """The same in one compiled function, which never holds all the weights at once."""
    T, S = q.shape[2], k.shape[2]
    # is_causal aligns its triangle top left, which is right only without earlier keys
    is_causal = allowed is None and T == S
    if allowed is None and 1 < T < S:
        allowed = causal_mask(T, S, q.device)
    gathered = F.scaled_dot_product_attention(
        q, k, v, attn_mask=allowed, dropout_p=drop_rate, is_causal=is_causal
    )
    return gathered, None


class MultiHeadAttention(nn.Module):
    """Split the vectors among heads, let each attend, and join what they gathered.

    In and out: (B, T, C); with `return_weights` also the weights (B, H, T, S), else
    None. `allowed` is as in `explicit_attention`. With a `cache`, x are the tokens
    behind those that it holds, and S counts both.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.n_heads = config.n_heads
        self.drop_rate = config.drop_rate
        self.qkv = nn.Linear(config.emb_dim, 3 * config.emb_dim, bias=config.qkv_bias)
        self.out = nn.Linear(config.emb_dim, config.emb_dim)

    def forward(
        self,
        x: Tensor,
        *,
        allowed: Tensor | None = None,
        cache: LayerCache | None = None,
        return_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, 3, self.n_heads, C // self.n_heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # (B, T, 3, H, D) -> 3 x (B, H, T, D)
        if cache is not None:  # used in 4.7
            k, v = cache.append(k, v)
        attend = explicit_attention if return_weights else fused_attention
        gathered, weights = attend(q, k, v, allowed, self.drop_rate * self.training)
        gathered = gathered.transpose(1, 2)  # (B, H, T, D) -> (B, T, H, D)
        return self.out(gathered.reshape(B, T, C)), weights
