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
    unseen,
)
from llmbook_utils.config import GPTConfig

CONFIG = GPTConfig(emb_dim=12, n_heads=3, context_length=16, drop_rate=0.0)


def random_qkv(n_queries, n_keys, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(2, 3, n, 4) for n in (n_queries, n_keys, n_keys)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_attention_is_what_loops_over_the_definition_give():
    q, k, v = random_qkv(5, 5)
    seen = {}
    gathered = explicit_attention(q, k, v, None, 0.0, seen.setdefault)
    weights = seen["attention.weights"]
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
    expected = explicit_attention(q, k, v, allowed, 0.0)
    given_ = fused_attention(q, k, v, allowed, 0.0)
    torch.testing.assert_close(given_, expected, atol=1e-6, rtol=1e-5)


def watch(name, tensor):
    """Any `see` but `unseen` makes attention go step by step."""
    return tensor


@pytest.mark.parametrize("see", [unseen, watch])
def test_a_later_token_changes_nothing_before_it(see):
    torch.manual_seed(0)
    attention, x = MultiHeadAttention(CONFIG), torch.randn(1, 9, 12)
    changed = x.clone()
    changed[0, 6] += 1
    before = attention(x, see=see)
    after = attention(changed, see=see)
    torch.testing.assert_close(before[:, :6], after[:, :6], atol=1e-7, rtol=0)
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_heads_are_split_as_one_matrix_a_head_would_be():
    torch.manual_seed(1)
    attention, x = MultiHeadAttention(CONFIG), torch.randn(2, 7, 12)
    seen = {}
    out, weights = attention(x, see=seen.setdefault), seen["attention.weights"]
    W, b = attention.qkv.weight, attention.qkv.bias
    heads = []
    for h in range(3):
        rows = [slice(12 * i + 4 * h, 12 * i + 4 * h + 4) for i in range(3)]
        q, k, v = (x @ W[r].T + b[r] for r in rows)
        alone = {}
        gathered = explicit_attention(
            q[:, None], k[:, None], v[:, None], None, 0.0, alone.setdefault
        )
        row = alone["attention.weights"]
        torch.testing.assert_close(weights[:, h], row[:, 0])
        heads.append(gathered[:, 0])
    torch.testing.assert_close(out, attention.out(torch.cat(heads, dim=-1)))


def test_dropout_leaves_the_returned_weights_whole():
    config = GPTConfig(emb_dim=12, n_heads=3, drop_rate=0.5)
    attention, x = MultiHeadAttention(config), torch.randn(1, 6, 12)
    seen = {}
    first, second = attention(x, see=seen.setdefault), attention(x, see=watch)
    weights = seen["attention.weights"]
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(1, 3, 6))
    assert not torch.equal(first, second)
    attention.eval()
    torch.testing.assert_close(attention(x), attention(x, see=watch))


@pytest.mark.parametrize("see", [unseen, watch])
def test_dropout_acts_on_both_ways_in_training_only(see):
    torch.manual_seed(0)
    attention = MultiHeadAttention(GPTConfig(emb_dim=12, n_heads=3, drop_rate=0.5))
    x = torch.randn(1, 6, 12)
    assert not torch.equal(attention(x, see=see), attention(x, see=see))
    attention.eval()
    assert torch.equal(attention(x, see=see), attention(x, see=see))


def test_a_query_that_may_look_at_nothing_gathers_nothing_on_both_ways():
    q, k, v = random_qkv(3, 3)
    allowed = torch.ones(2, 1, 3, 3, dtype=torch.bool)
    allowed[0, :, 1] = False
    gathered = explicit_attention(q, k, v, allowed, 0.0)
    assert not gathered[0, :, 1].any()
    torch.testing.assert_close(gathered, fused_attention(q, k, v, allowed, 0.0))


def test_see_is_shown_every_step_and_its_answer_takes_the_place():
    torch.manual_seed(2)
    attention, x = MultiHeadAttention(CONFIG), torch.randn(1, 4, 12)
    names = []

    def uniform(name, tensor):
        names.append(name.removeprefix("attention."))
        return tensor.fill_(1.0) if name == "attention.scores" else tensor

    out = attention(x, see=uniform)
    steps = "q k v allowed scores weights context out"
    assert names == steps.split()
    v = attention.qkv(x)[..., 24:]
    means = v.cumsum(dim=1) / torch.arange(1, 5)[:, None]  # of all tokens so far
    torch.testing.assert_close(out, attention.out(means))


def test_attention_can_stand_in_a_sequence_of_layers():
    layers = torch.nn.Sequential(MultiHeadAttention(CONFIG), torch.nn.Linear(12, 3))
    assert layers(torch.randn(2, 5, 12)).shape == (2, 5, 3)


def test_published_parameter_count():
    attention = MultiHeadAttention(GPTConfig(qkv_bias=False))
    assert sum(p.numel() for p in attention.parameters()) == 2_360_064
