"""Operations per token by hand, and steps that are timed after a warm-up."""

from dataclasses import replace

import pytest
import torch

from llmbook_utils.config import GPT2_SMALL, GPTConfig
from llmbook_utils.runs.speed import flops_per_token, share_of_peak, time_steps

TINY = GPTConfig(
    vocab_size=10, context_length=4, emb_dim=8, n_heads=2, n_layers=3, qkv_bias=False
)


def test_operations_are_those_counted_by_hand():
    block = 2 * 16 + 3 * 64 + 64 + 8 + 256 + 32 + 256 + 8  # norms, attention, layers
    weights = 3 * block + 16 + 80  # the final norm, the tied head
    assert flops_per_token(TINY) == 6 * weights + 12 * 3 * 8 * 4


def test_an_untied_head_multiplies_as_the_tied_one_does():
    assert flops_per_token(replace(TINY, tie_embeddings=False)) == flops_per_token(TINY)


def test_the_share_is_known_where_the_peak_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    full = 989.4e12 / flops_per_token(GPT2_SMALL)
    assert share_of_peak(GPT2_SMALL, full / 2) == pytest.approx(0.5)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "another")
    assert share_of_peak(GPT2_SMALL, full) is None


def test_steps_are_timed_after_those_that_warm_up():
    calls = []
    speed = time_steps(lambda: calls.append(1), tokens=100, n_steps=3, n_warm_up=2)
    assert len(calls) == 5
    assert speed.tokens_per_second == pytest.approx(1e5 / speed.milliseconds)
