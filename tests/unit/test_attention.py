"""Attention: against loops, the fast way against the explicit one, blind to the future."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbook_utils.attention import (
    MultiHeadAttention,
    explicit_attention,
    fused_attention,
)
from llmbook_utils.config import GPTConfig

CONFIG = GPTConfig(emb_dim=12, n_heads=3, context_length=16, drop_rate=0.0)


def random_qkv(n_queries, n_keys, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(2, 3, n, 4) for n in (n_queries, n_keys, n_keys)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_attention_is_what_loops_over_the_definition_give():
    q, k, v = random_qkv(5, 5)
    gathered, weights = explicit_attention(q, k, v, None, 0.0)
    for b, h, t in torch.cartesian_prod(*map(torch.arange, (2, 3, 5))).tolist():
        scores = [q[b, h, t] @ k[b, h, s] / math.sqrt(4) for s in range(t + 1)]
        total = sum(math.exp(score) for score in scores)
        row = [math.exp(score) / total for score in scores]
        torch.testing.assert_close(weights[b, h, t, : t + 1], torch.tensor(row))
        expected = sum(w * v[b, h, s] for s, w in enumerate(row))
        torch.testing.assert_close(gathered[b, h, t], expected)
        assert not weights[b, h, t, t + 1 :].any()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 8), st.booleans(), st.integers(0, 9))
def test_the_fused_way_equals_the_explicit_one(n_queries, earlier, masked, seed):
    q, k, v = random_qkv(n_queries, n_queries + earlier, seed)
    allowed = None
    if masked:
        allowed = torch.rand(2, 1, n_queries, n_queries + earlier) < 0.5
        allowed[..., 0] = True
    expected, _ = explicit_attention(q, k, v, allowed, 0.0)
    given_, _ = fused_attention(q, k, v, allowed, 0.0)
    torch.testing.assert_close(given_, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("return_weights", [False, True])
def test_a_later_token_changes_nothing_before_it(return_weights):
    torch.manual_seed(0)
    attention, x = MultiHeadAttention(CONFIG), torch.randn(1, 9, 12)
    changed = x.clone()
    changed[0, 6] += 1
    before, _ = attention(x, return_weights=return_weights)
    after, _ = attention(changed, return_weights=return_weights)
    torch.testing.assert_close(before[:, :6], after[:, :6], atol=1e-7, rtol=0)
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_heads_are_split_as_one_matrix_a_head_would_be():
    torch.manual_seed(1)
    attention, x = MultiHeadAttention(CONFIG), torch.randn(2, 7, 12)
    out, weights = attention(x, return_weights=True)
    W, b = attention.qkv.weight, attention.qkv.bias
    heads = []
    for h in range(3):
        rows = [slice(12 * i + 4 * h, 12 * i + 4 * h + 4) for i in range(3)]
        q, k, v = (x @ W[r].T + b[r] for r in rows)
        gathered, row = explicit_attention(
            q[:, None], k[:, None], v[:, None], None, 0.0
        )
        torch.testing.assert_close(weights[:, h], row[:, 0])
        heads.append(gathered[:, 0])
    torch.testing.assert_close(out, attention.out(torch.cat(heads, dim=-1)))


def test_dropout_leaves_the_returned_weights_whole():
    config = GPTConfig(emb_dim=12, n_heads=3, drop_rate=0.5)
    attention, x = MultiHeadAttention(config), torch.randn(1, 6, 12)
    first, weights = attention(x, return_weights=True)
    second, _ = attention(x, return_weights=True)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(1, 3, 6))
    assert not torch.equal(first, second)
    attention.eval()
    torch.testing.assert_close(attention(x)[0], attention(x, return_weights=True)[0])


def test_published_parameter_count():
    attention = MultiHeadAttention(GPTConfig(qkv_bias=False))
    assert sum(p.numel() for p in attention.parameters()) == 2_360_064
