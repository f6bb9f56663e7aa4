"""A cache of keys and values: what earlier tokens gave is kept, not computed again.

Built in chapters/04-implementing-a-gpt-model-from-scratch-to-generate-text.ipynb.
"""

import torch
from torch import Tensor

from llmbook_utils.config import GPTConfig


class LayerCache:
    """The keys and values of one attention layer, in memory reserved once."""

    def __init__(self, keys: Tensor, values: Tensor):
        self.keys, self.values = keys, values  # (B, H, L, D) each, L the room
        self.length = 0  # tokens stored so far

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values (B, H, T, D) of T new tokens; return all so far."""
        end = self.length + k.shape[2]
        self.keys[:, :, self.length : end] = k
        self.values[:, :, self.length : end] = v
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


class KVCache:
    """One `LayerCache` per block, and which of the cached tokens are real.

    It has room for `config.context_length` tokens: 2 * n_layers * B * C numbers per
    token.
    """

    def __init__(
        self,
        config: GPTConfig,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        room = (batch_size, config.n_heads, config.context_length, config.head_dim)
        empty = torch.zeros(room, device=device, dtype=dtype)  # (B, H, L, D)
        self.layers = [
            LayerCache(empty.clone(), empty.clone()) for _ in range(config.n_layers)
        ]
        self.mask = torch.ones(batch_size, 0, dtype=torch.bool, device=device)

    @property
    def length(self) -> int:
        """How many tokens the cache holds."""
        return self.layers[0].length

    def extend(self, real: Tensor) -> Tensor | None:
        """Note which of T new tokens (B, T) are real; return it for all tokens (B, S).

        None, which spares the model a mask, says that every token is real.
        """
        self.mask = torch.cat([self.mask, real], dim=1)
        return None if self.mask.all() else self.mask
