"""Checks of chapter 3's exercises. Not built on a page."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from llmbook_utils.attention import (
    MultiHeadAttention,
    causal_mask,
    explicit_attention,
)
from llmbook_utils.config import GPTConfig
from llmbook_utils.exercises import exercise, numbers, require
from llmbook_utils.files.datasets import load_text
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained


def _close(given: Any, wanted: Tensor, tolerance: float = 1e-4) -> bool:
    given = torch.as_tensor(given).detach()
    same_shape = given.shape == wanted.shape
    return same_shape and bool((given - wanted).abs().max() <= tolerance)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@exercise(
    "3.1",
    "Three weights by hand",
    hints=(
        "Four steps: the scores, divide them by the root of D, the powers of e, divide "
        "by their sum. Which of the keys may the third token look at?",
        "The scores are 2, 0 and 4. D is 4, so its root is 2.",
        "The scaled scores are 1, 0 and 2, with the powers 2.718, 1 and 7.389; their "
        "sum is 11.107. The context is the sum of weight times value.",
    ),
)
def three_weights_by_hand(answer: Any) -> str:
    """Compare with the weights and the context, and with likely slips on the way."""
    scores, values = torch.tensor([2.0, 0.0, 4.0]), torch.tensor([10.0, 20.0, 0.0])

    def result(scores: Tensor) -> Tensor:
        weights = torch.softmax(scores, dim=-1)
        return torch.cat([weights, (weights @ values)[None]])

    given = numbers(answer, 4, "three weights and the context")
    slips = {
        "the scores have not been divided by the root of D": result(scores),
        "the scores have been divided by D, which is 4, not by its root": result(
            scores / 4
        ),
        "these are the scores divided by their sum; softmax takes powers of e "
        "first": torch.tensor([1 / 3, 0.0, 2 / 3, 10 / 3]),
    }
    for message, slip in slips.items():
        require(not _close(given[:3], slip[:3], 0.006), message)
    wanted = result(scores / 2)
    require(
        _close(given[:3], wanted[:3], 0.006),
        f"the weights should add up to 1, the third being the largest; yours are "
        f"{given[:3]}",
    )
    require(
        abs(given[3] - wanted[3].item()) <= 0.06,
        f"the weights are right, but the context is not {given[3]}: multiply each "
        "value by its weight and add up",
    )
    return "Right: 0.24, 0.09 and 0.67, and 4.25 is gathered."


@exercise(
    "3.2",
    "Softmax that survives",
    hints=(
        "What can you take away from all scores of a row without changing the weights?",
        "The largest score of each row. But what is -inf minus -inf, in a row in which "
        "everything is hidden?",
        "Take the largest along the last axis with keepdim=True, and replace it by 0 "
        "where it is -inf; divide by the sum, and where that is 0, by 1 instead.",
    ),
)
def softmax_that_survives(answer: Callable[[Tensor], Tensor]) -> str:
    """Compare with PyTorch's, also for large scores and rows without any key."""
    table = _random(3, 4, 5)
    given = answer(table)
    require(
        not _close(given, torch.softmax(table, dim=0))
        and not _close(given, torch.softmax(table, dim=1)),
        "for a tensor of shape (3, 4, 5) you add up along another axis than the last",
    )
    require(
        _close(given, torch.softmax(table, dim=-1)),
        "for three tables of 4 rows and 5 columns the result is not that of "
        "torch.softmax(scores, dim=-1)",
    )
    large = torch.tensor([[300.0, 299.0, 290.0]])
    require(
        _close(answer(large), torch.softmax(large, dim=-1)),
        "scores of a few hundred overflow: take the largest of each row away first",
    )
    far = torch.tensor([[1000.0, 999.0], [-1000.0, -1000.0]])
    require(
        _close(answer(far), torch.softmax(far, dim=-1)),
        "one row near 1000 and one near -1000: each row needs its own largest score",
    )
    hidden = torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf]])
    given = answer(hidden)
    require(
        _close(given[0], torch.tensor([1.0, 0.0])), "a score of -inf is a weight of 0"
    )
    require(
        _close(given[1], torch.zeros(2)),
        f"a row of nothing but -inf should give zeros, but you get {given[1].tolist()}",
    )
    return "Right, for large scores and for rows in which all is hidden."


@exercise(
    "3.3",
    "Two layers, one behavior",
    hints=(
        "Which product of the two matrices decides about the scores?",
        "Multiply W_q by a matrix R from the right. What must W_k be multiplied by so "
        "that R disappears from W_q R (W_k ...)ᵀ?",
        "W_q @ R and W_k @ R.inverse().T, for any R that has an inverse and is not the "
        "identity; two times the identity will do.",
    ),
)
def two_layers_one_behaviour(
    answer: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
) -> str:
    """Compare scores and matrices for several random layers."""
    for seed in range(3):
        W_q, W_k, x = (
            _random(*shape, seed=10 * seed + at)
            for at, shape in enumerate([(6, 3), (6, 3), (7, 6)])
        )
        other_q, other_k = answer(W_q.clone(), W_k.clone())
        require(
            not _close(other_q, W_q, 1e-3),
            "this is the same query matrix; look for another one",
        )
        require(
            not (_close(other_q, W_k, 1e-3) and _close(other_k, W_q, 1e-3)),
            "with queries and keys exchanged, who looks and who is looked at change "
            "places: the table of scores is transposed",
        )
        require(
            tuple(other_q.shape) == tuple(other_k.shape) == (6, 3),
            f"expected two matrices of shape (6, 3), got {tuple(other_q.shape)} and "
            f"{tuple(other_k.shape)}",
        )
        scores = (x @ W_q) @ (x @ W_k).T
        given = (x @ other_q) @ (x @ other_k).T
        require(
            _close(given, scores, 1e-2 * scores.abs().max().item()),
            "the matrices are other ones, and so are the scores; what you multiply "
            "W_q by must be undone in W_k",
        )
    return "Right: other queries, other keys, the same scores."


def _attend(x: Tensor, allowed: Tensor) -> Tensor:
    scores = (x @ x.T).masked_fill(~allowed, -torch.inf)
    return torch.softmax(scores, dim=-1) @ x


def _honest(x: Tensor) -> Tensor:
    return _attend(x, causal_mask(len(x), len(x), x.device))


def _one_ahead(x: Tensor) -> Tensor:
    return _attend(x, torch.ones(len(x), len(x), dtype=torch.bool).tril(1))


def _row_sum(x: Tensor) -> Tensor:
    weights = torch.softmax(x @ x.T, dim=-1)
    return weights.tril() @ x


def _last_only(x: Tensor) -> Tensor:
    allowed = causal_mask(len(x), len(x), x.device).clone()
    allowed[len(x) // 2, -1] = True
    return _attend(x, allowed)


def _running_mean(x: Tensor) -> Tensor:
    return x.cumsum(dim=0) / torch.arange(1, len(x) + 1)[:, None]


@exercise(
    "3.4",
    "Catch the leak",
    hints=(
        "Change one token, compute again, and compare. Which outputs must not move?",
        "Try every token as the changed one: a leak may be between two tokens only. "
        "Compare all outputs before it, with a small tolerance.",
        "For t from 1 to len(x) - 1: copy x, add 1 to row t, and return False if any "
        "output before t differs by more than 1e-5; True at the end.",
    ),
)
def catch_the_leak(answer: Callable[..., bool]) -> str:
    """Show functions that leak in various ways, and others that do not."""
    x = _random(8, 6, seed=1)
    before = x.clone()
    for name, attend in (("causal attention", _honest), ("a mean", _running_mean)):
        require(
            answer(attend, x),
            f"{name} over a token and those before it does not leak, but you say that "
            "it does; outputs at and after the changed token may change",
        )
    require(
        answer(lambda x: _honest(x) + 1e-7 * torch.rand(x.shape), x),
        "differences of 0.0000001 are rounding and no leak; allow for a little",
    )
    require(torch.equal(x, before), "x has changed; work on a copy (x.clone())")
    require(
        not answer(lambda x: torch.softmax(x @ x.T, -1) @ x, x),
        "attention without any mask goes through as causal",
    )
    require(
        not answer(_one_ahead, x),
        "a mask made with tril(1) goes through: each token sees the next one",
    )
    require(
        not answer(_last_only, x),
        "a leak from the last token to one in the middle goes through; change every "
        "token in turn and compare all outputs before it",
    )
    require(
        not answer(_row_sum, x),
        "weights that are masked after the softmax go through, although the sum of "
        "their rows depends on the future",
    )
    return "Right: it catches all leaks and accuses nobody falsely."


@exercise(
    "3.5",
    "A window into the past",
    hints=(
        "Draw the table for 5 tokens and a window of 2. How does it differ from the "
        "causal triangle?",
        "It is the causal triangle without a smaller triangle, in the lower left.",
        "ones = torch.ones(T, T, dtype=torch.bool); ones.tril() & ~ones.tril(-window).",
    ),
)
def window_into_the_past(answer: Callable[[int, int], Tensor]) -> str:
    """Compare with the distance of each pair of places."""
    for T, window in ((6, 1), (5, 2), (7, 3), (4, 9)):
        places = torch.arange(T)
        distance = places[:, None] - places
        wanted = (distance >= 0) & (distance < window)
        given = answer(T, window)
        call = f"window_mask({T}, {window})"
        require(isinstance(given, Tensor), f"expected a tensor, got {type(given)}")
        require(
            given.dtype == torch.bool, f"the table should be Boolean, not {given.dtype}"
        )
        require(
            given.shape == wanted.shape,
            f"{call} has the shape {tuple(given.shape)}, expected ({T}, {T})",
        )
        require(
            not (given & (distance < 0)).any(), f"{call} lets tokens see the future"
        )
        require(given.diagonal().all(), f"in {call} some token does not look at itself")
        require(
            window >= T or not torch.equal(given, distance >= 0),
            f"{call} is the whole causal triangle; the window makes no difference",
        )
        require(
            not (given & (distance == window)).any(),
            f"{call} reaches one token too far: the window counts the token itself",
        )
        require(
            torch.equal(given, wanted),
            f"in {call} the last token sees {int(given[-1].sum())} tokens, expected "
            f"{min(window, T)}",
        )
    return "Right: each token sees itself and window - 1 tokens before it."


@exercise(
    "3.6",
    "Count the numbers",
    hints=(
        "Which layers does the class have, and what shape is the matrix of each?",
        "qkv is C to 3C, and out is C to C. A bias has as many numbers as the layer "
        "has outputs; out always has one.",
        "3 * C * C + (3 * C if qkv_bias else 0) + C * C + C. The number of heads does "
        "not occur.",
    ),
)
def count_the_numbers(answer: Callable[[int, int, bool], int]) -> str:
    """Compare with the class itself at several sizes."""
    for C, H, bias in ((12, 3, False), (12, 3, True), (12, 6, False), (64, 8, True)):
        attention = MultiHeadAttention(GPTConfig(emb_dim=C, n_heads=H, qkv_bias=bias))
        wanted = sum(parameter.numel() for parameter in attention.parameters())
        given = answer(C, H, bias)
        call = f"count({C}, {H}, {bias})"
        require(
            given != 3 * C * C + 3 * C * bias,
            f"{call} gives {given}: the output projection has not been counted",
        )
        require(
            given != wanted - C,
            f"{call} gives {given}, which lacks the bias of the output projection",
        )
        require(
            given != 3 * H * C * C + 3 * H * C * bias + C * C + C,
            f"{call} gives {given}: every head has only C / H columns, not C",
        )
        require(
            given == wanted, f"{call} gives {given}, but the class has {wanted} numbers"
        )
    require(
        answer(768, 12, False) == 2_360_064, "count(768, 12, False) is not 2,360,064"
    )
    return "Right, and 2,360,064 for the small GPT-2 without q/k/v bias."


@exercise(
    "3.7",
    "Padding on the fast path",
    hints=(
        "Two conditions have to hold for a pair: the key is not in the future, and it "
        "is real. What does True mean in PyTorch's mask?",
        "Combine causal_mask with real[:, None, None, :], which is (B, 1, 1, T). Then "
        "think of a query that is padding at the very beginning: whom may it see?",
        "allowed = causal_mask(T, T, q.device) & real[:, None, None, :], then | "
        "torch.eye(T, dtype=torch.bool), so that every query sees itself; attn_mask.",
    ),
)
def padding_on_the_fast_path(answer: Callable[..., Tensor]) -> str:
    """Compare real queries with texts that have no padding; look for nan."""
    q, k, v = (_random(2, 3, 6, 4, seed=at) for at in range(3))
    all_real = torch.ones(2, 6, dtype=torch.bool)
    wanted = explicit_attention(q, k, v, None, 0.0)
    given = answer(q, k, v, all_real)
    require(
        not _close(given, F.scaled_dot_product_attention(q, k, v)),
        "without padding, every token sees all tokens; the future is not hidden",
    )
    require(
        not given.isnan().any() and _close(given, wanted),
        "with nothing but real tokens the result should be that of causal attention; "
        "in PyTorch's mask True means may look",
    )
    real = all_real.clone()
    real[0, :2] = False  # padding on the left
    real[1, 4:] = False  # padding on the right
    given = answer(q, k, v, real)
    left = explicit_attention(q[:1, :, 2:], k[:1, :, 2:], v[:1, :, 2:], None, 0.0)
    require(
        not _close(given[:1, :, 2:], wanted[:1, :, 2:]),
        "the padding has no effect: real tokens still look at padded ones",
    )
    require(
        not given.isnan().any() and _close(given[0, :, 0], v[0, :, 0]),
        "a padded token at the beginning has nobody to look at; let it see itself, so "
        "that it gets its own value",
    )
    require(
        _close(given[:1, :, 2:], left),
        "for the text with two padded tokens on the left, the real tokens should get "
        "what they would get alone",
    )
    require(
        _close(given[1:, :, :4], wanted[1:, :, :4]),
        "for the text with padding on the right, the real tokens should not notice it",
    )
    return "Right: nobody looks at padding, and no row is empty."


@exercise(
    "3.8",
    "Fewer keys than queries",
    hints=(
        "Queries have H heads, keys and values G of them. Which key head do the first "
        "H / G query heads share?",
        "Repeat each key head and each value head H / G times, so that there are H, "
        "and continue as usual.",
        "k.repeat_interleave(q.shape[1] // k.shape[1], dim=1), the same for v, then "
        "fused_attention(q, k, v, None, 0.0).",
    ),
)
def fewer_keys_than_queries(answer: Callable[..., Tensor]) -> str:
    """Compare with attention of each group on its own."""
    for H, G in ((6, 2), (4, 4), (4, 1)):
        q = _random(2, H, 5, 4)
        k, v = _random(2, G, 5, 4, seed=1), _random(2, G, 5, 4, seed=2)
        given = answer(q, k, v)
        require(
            tuple(given.shape) == (2, H, 5, 4),
            f"for {H} query heads and {G} key heads the result has the shape "
            f"{tuple(given.shape)}, expected (2, {H}, 5, 4)",
        )
        share = H // G
        tiled = explicit_attention(
            q, k.repeat(1, share, 1, 1), v.repeat(1, share, 1, 1), None, 0.0
        )
        keys, values = (x.repeat_interleave(share, dim=1) for x in (k, v))
        wanted = explicit_attention(q, keys, values, None, 0.0)
        everything = torch.ones(5, 5, dtype=torch.bool)
        open_ = explicit_attention(q, keys, values, everything, 0.0)
        require(
            G in (1, H) or not _close(given, tiled),
            "query heads 0, 1, 2 should share key head 0; yours take turns (repeat "
            "lays whole blocks side by side)",
        )
        require(not _close(given, open_), "the future is not hidden")
        require(
            _close(given, wanted),
            f"the shape is right for {H} query heads and {G} key heads, the numbers "
            "are not",
        )
    return "Right: groups of queries share a key head, and the cache shrinks with it."


@functools.cache
def _mini() -> tuple[GPTModel, Tensor]:
    model, tokenizer = load_pretrained("mini")
    ids = [tokenizer.eot_token, *tokenizer.encode(load_text("story"))]
    return model.eval(), torch.tensor(ids[:513])


@torch.no_grad()
def _loss_without(silent: Sequence[tuple[int, int]]) -> float:
    model, ids = _mini()
    D, kept = model.config.head_dim, []
    for block, head in silent:
        weight = model.get_parameter(f"blocks.{block}.attention.out.weight")
        columns = weight[:, head * D : (head + 1) * D]
        kept.append((columns, columns.clone()))
        columns.zero_()
    try:
        logits = model(ids[:-1].view(2, 256))
    finally:
        for columns, numbers in reversed(kept):
            columns.copy_(numbers)
    return F.cross_entropy(logits.flatten(0, 1), ids[1:]).item()


@exercise(
    "3.9",
    "How many heads can go?",
    hints=(
        "Begin with the heads that cost least one by one, and look what happens when "
        "several of them go together.",
        "Go step by step: silence the cheapest head, and with that one silent, measure "
        "all others again. Or take the cheapest 16 of the page's table and exchange "
        "those that get in each other's way.",
        "order[-16:] of section 3.6 holds the 16 cheapest; divmod(place, 8) turns a "
        "place into (block, head).",
    ),
)
def how_many_heads_can_go(answer: Any) -> str:
    """Silence them all at once on two windows of the story and measure the loss."""
    heads = [(int(block), int(head)) for block, head in answer]
    for block, head in heads:
        require(
            0 <= block < 6 and 0 <= head < 8,
            f"there is no head {head} in block {block}; blocks are 0 to 5, heads 0 to "
            "7",
        )
    require(len(set(heads)) == len(heads), "some head is in the list twice")
    require(
        len(heads) >= 16, f"that is {len(heads)} heads; at least 16 should be silent"
    )
    cost = _loss_without(heads) - _loss_without([])
    require(
        not math.isnan(cost) and cost <= 0.1,
        f"{len(heads)} heads silent at once add {cost:.2f} to the loss, more than 0.10",
    )
    return (
        f"Right: {len(heads)} of 48 heads are silent, and the loss rises by {cost:.2f}."
    )
