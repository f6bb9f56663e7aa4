"""A GPT's shape in one place: the four sizes of GPT-2, and the book's own small one.

Built in chapters/04-implementing-a-gpt-model-from-scratch-to-generate-text.ipynb.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class GPTConfig:
    """The sizes that define a GPT; the defaults are those of the smallest GPT-2.

    >>> GPTConfig(emb_dim=256, n_heads=8).head_dim
    32
    """

    vocab_size: int = 50257  # V, entries of the vocabulary
    context_length: int = 1024  # the most tokens that the model can look at
    emb_dim: int = 768  # C, numbers in a token's vector
    n_heads: int = 12  # H, attention heads in each block
    n_layers: int = 12  # blocks
    drop_rate: float = 0.1  # share of activations set to zero in training
    qkv_bias: bool = True  # whether queries, keys and values have a bias
    tie_embeddings: bool = True  # whether the output layer is the embedding table

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"{name} is {value!r}; it must be a whole number, 1 or more"
                )
        if self.emb_dim % self.n_heads:
            raise ValueError(
                f"emb_dim {self.emb_dim} cannot be divided among {self.n_heads} heads; "
                "choose n_heads that divides emb_dim"
            )
        if not 0 <= self.drop_rate < 1:
            raise ValueError(f"drop_rate is {self.drop_rate}; it must be in [0, 1)")

    @property
    def head_dim(self) -> int:
        """D, the numbers that each head works on."""
        return self.emb_dim // self.n_heads


GPT2_SMALL = GPTConfig()
GPT2_MEDIUM = replace(GPT2_SMALL, emb_dim=1024, n_heads=16, n_layers=24)
GPT2_LARGE = replace(GPT2_SMALL, emb_dim=1280, n_heads=20, n_layers=36)
GPT2_XL = replace(GPT2_SMALL, emb_dim=1600, n_heads=25, n_layers=48)
MINI = GPTConfig(
    vocab_size=4096,
    context_length=256,
    emb_dim=256,
    n_heads=8,
    n_layers=6,
    drop_rate=0.0,
)
