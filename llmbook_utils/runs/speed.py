"""How fast a model trains, and which share of the hardware's peak that is.

Not built on a page: profiles/speed.ipynb and benchmarks/model.py measure with it.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from llmbook_utils.config import GPTConfig
from llmbook_utils.model import GPTModel

# FLOP/s of dense bfloat16 matrix products, by a part of the GPU's name. Source:
# NVIDIA's data sheets of the SXM modules
PEAKS = {"H200": 989.4e12, "H100": 989.4e12, "A100": 312e12}


@dataclass(frozen=True)
class Speed:
    """What a training step takes."""

    milliseconds: float  # the median
    tokens_per_second: float


def flops_per_token(config: GPTConfig) -> int:
    """Floating-point operations that training needs for a token, by PaLM's count.

    Six for each weight that multiplies, and the products of attention: all positions
    count, although half are masked. Source: Chowdhery et al. (2022), appendix B.

    >>> from llmbook_utils.config import GPT2_SMALL
    >>> f"{flops_per_token(GPT2_SMALL):,}"
    '855,166,464'
    """
    with torch.device("meta"):  # shapes without numbers
        model = GPTModel(config)
    # looked up, not multiplied; the tied head is, and counts as the token embedding
    looked_up = model.position_embedding.weight.numel()
    if not config.tie_embeddings:
        looked_up += model.token_embedding.weight.numel()
    weights = sum(weight.numel() for weight in model.parameters()) - looked_up
    attention = 12 * config.n_layers * config.emb_dim * config.context_length
    return 6 * weights + attention


def share_of_peak(config: GPTConfig, tokens_per_second: float) -> float | None:
    """The model's FLOP/s as a share of the GPU's peak (MFU), where that is known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((peak for part, peak in PEAKS.items() if part in name), None)
    return peak and flops_per_token(config) * tokens_per_second / peak


def time_steps(
    step: Callable[[], object], tokens: int, n_steps: int, n_warm_up: int
) -> Speed:
    """Time a training step of so many tokens, after some that warm up.

    The GPU works on while Python goes ahead: it is waited for once a step.
    """
    times = []
    for i in range(n_warm_up + n_steps):
        start = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if i >= n_warm_up:
            times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    return Speed(1000 * seconds, tokens / seconds)
