"""Checks of chapter 3's exercises. Not built on a page."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from llmbook_utils.attention import (
    MultiHeadAttention,
    causal_mask,
    explicit_attention,
)
from llmbook_utils.config import GPTConfig
from llmbook_utils.exercises import Wrong, exercise, fresh, require, varied
from llmbook_utils.exercises.by_hand import (
    by_hand,
    must_be,
    must_not_be,
    softmax,
    total,
)
from llmbook_utils.files.datasets import load_text
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained


def _close(given: Any, wanted: Tensor, tolerance: float = 1e-4) -> bool:
    given = torch.as_tensor(given).detach()
    same_shape = given.shape == wanted.shape
    return same_shape and bool((given - wanted).abs().max() <= tolerance)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(varied(seed)))


def _name(given: Tensor, slips: dict[str, Tensor]) -> None:
    """Say which known slip an answer is, if it is one."""
    for message, slip in slips.items():
        require(not _close(given, slip), message)


def _tensor(given: Any, what: str) -> Tensor:
    require(
        isinstance(given, Tensor),
        f"expected one tensor, {what}, but you return a {type(given).__name__}",
    )
    return given


def _softmax(scores: Tensor) -> Tensor:
    return torch.softmax(scores, dim=-1)


@exercise(
    "3.1",
    "Attention in one function",
    hints=(
        "Three steps, as by hand: scores, weights, mixture. What are the rows of the "
        "table of scores, and what are its columns?",
        "K.transpose(-2, -1) turns the keys' rows into columns, whatever stands in "
        "front. D is the length of a query, Q.shape[-1].",
        "Divide the scores by math.sqrt(Q.shape[-1]) before the softmax, let the "
        "softmax go along the last axis, and put the weights to the left of V.",
    ),
)
def attention_in_one_function(answer: Callable[..., Tensor]) -> str:
    """Compare with the formula, and with likely slips; then with axes in front."""
    Q, K, V = _random(5, 4, seed=1), _random(5, 4, seed=2), _random(5, 3, seed=3)
    scores = Q @ K.T
    weights, wanted = _softmax(scores / 2), _softmax(scores / 2) @ V
    given = _tensor(answer(Q.clone(), K.clone(), V.clone()), "the context vectors")
    causal = scores.masked_fill(~causal_mask(5, 5, Q.device), -torch.inf)
    slips = {
        "the scores have not been divided by the root of D": _softmax(scores) @ V,
        "the scores have been divided by D, which is 4 here, not by its root": _softmax(
            scores / 4
        )
        @ V,
        "the scores have been divided by the root of 2, but D is 4 here; take it from "
        "the shape of Q": _softmax(scores / math.sqrt(2)) @ V,
        "the scores have been divided by the root of the number of tokens; D is the "
        "length of a query": _softmax(scores / math.sqrt(5)) @ V,
        "the softmax goes along the columns; it is the rows of the weights that should "
        "add up to 1": torch.softmax(scores / 2, dim=-2) @ V,
        "there is no softmax: the scores themselves are used as weights": scores
        / 2
        @ V,
        "these are scores divided by their sum; softmax takes powers of e first": (
            scores / scores.sum(dim=-1, keepdim=True)
        )
        @ V,
        "the division comes after the softmax; divide the scores": _softmax(scores)
        / 2
        @ V,
        "queries and keys are exchanged: a row of the scores should belong to a "
        "query": _softmax(K @ Q.T / 2) @ V,
        "what you mix are the keys; the weights should be multiplied with V": weights
        @ K,
        "what you mix are the queries; multiply the weights with V": weights @ Q,
        "these are the weights; one more product, with V, gives the context": weights,
        "the table of weights is transposed before it meets V": weights.T @ V,
        "the future is hidden; here every token should look at every token": _softmax(
            causal / 2
        )
        @ V,
    }
    _name(given, slips)
    require(
        _close(given, wanted),
        f"for Q and K of shape (5, 4) and V of shape (5, 3) the result, of shape "
        f"{tuple(given.shape)}, is not softmax(Q Kᵀ / √D) V",
    )
    Q, K, V = (_random(2, 3, 6, d, seed=at) for at, d in enumerate((8, 8, 4)))
    wanted = _softmax(Q @ K.transpose(-2, -1) / math.sqrt(8)) @ V
    try:
        given = answer(Q.clone(), K.clone(), V.clone())
    except (RuntimeError, IndexError) as error:
        raise Wrong(
            "right for one table of tokens; with two more axes in front it stops "
            f"({type(error).__name__}): exchange the last two axes only, with "
            "transpose(-2, -1)"
        ) from error
    require(
        _close(given, wanted),
        "right for one table of tokens, but not with two more axes in front; count the "
        "axes from the end, dim=-1",
    )
    return "Right: softmax(Q Kᵀ / √D) V, with any axes in front."


@exercise(
    "3.2",
    "Repair the mask",
    hints=(
        "The weights of the past have been divided by a sum in which the future has a "
        "part. When does the future have to be taken out?",
        "Before the softmax. Which score has a power of e that is 0?",
        "scores.masked_fill(..., -torch.inf) makes a copy in which the forbidden "
        "scores are minus infinity, where its first argument is True; allowed is True "
        "at the others.",
    ),
)
def repair_the_mask(answer: Callable[[Tensor], Tensor]) -> str:
    """Compare with minus infinity before the softmax, and with likely slips."""
    scores = 1.5 * _random(5, 5, seed=4)
    ones = torch.ones(5, 5, dtype=torch.bool)
    past = ones.tril()

    def hide(hidden: Tensor, value: float = -torch.inf) -> Tensor:
        return _softmax(scores.masked_fill(hidden, value))

    kept = scores.clone()
    given = _tensor(answer(kept), "the table of weights")
    require(
        tuple(given.shape) == (5, 5),
        f"for scores of shape (5, 5) the weights have the shape {tuple(given.shape)}",
    )
    if given.isinf().any():
        late = _close(given[past], _softmax(scores)[past])
        bare = _close(given[past], scores[past])
        raise Wrong(
            "minus infinity is put in after the softmax; put it into the scores"
            if late
            else "these are masked scores; the softmax is missing"
            if bare
            else "some of the weights are infinite"
        )
    slips = {
        "these are still your colleague's weights: zero for the future, but the sum of "
        "a row depends on it": _softmax(scores) * past,
        "nothing is hidden": _softmax(scores),
        "the edge of the triangle is one place too far to the right: each token sees "
        "the next one": hide(~ones.tril(1)),
        "the softmax goes along the columns": torch.softmax(
            scores.masked_fill(~past, -torch.inf), dim=-2
        ),
        "the future has the score 0, and the power of e is then 1; hidden is minus "
        "infinity": hide(~past, 0.0),
        "these are even weights, which do not depend on the scores": past
        / past.sum(dim=-1, keepdim=True),
        "the scores are scaled already; do not divide them again": _softmax(
            scores.masked_fill(~past, -torch.inf) / math.sqrt(5)
        ),
    }
    _name(given, slips)
    require(
        not _close(given[:-1], hide(past)[:-1]),
        "the mask is upside down: the past is hidden and the future is seen",
    )
    require(
        not _close(given[1:], hide(ones.triu())[1:]),
        "no token looks at itself; the diagonal belongs to the past",
    )
    require(
        not given.isnan().any(), "some weights are nan: is there a row without any key?"
    )
    leaked = given[~past].abs().max().item()
    require(leaked == 0, f"a weight of the future is {leaked:.3g}, not 0")
    require(
        _close(given.sum(dim=-1), torch.ones(5)),
        f"the rows add up to {[round(x, 2) for x in given.sum(dim=-1).tolist()]}",
    )
    require(_close(given, hide(~past)), "the weights are not the softmax of the past")
    require(torch.equal(kept, scores), "the scores have changed; work on a copy")
    far = scores.clone()
    far[0, 4] = 200.0
    require(
        _close(answer(far.clone())[0], torch.eye(5)[0]),
        "right for ordinary scores; but with a score of 200 in the future of the first "
        "token its row is broken, so the future still takes part in the softmax",
    )
    several = _random(2, 3, 4, 4, seed=5)
    wanted = _causal_weights(several)
    try:
        given = answer(several.clone())
    except (RuntimeError, IndexError) as error:
        raise Wrong(
            "right for one table, but with two more axes in front it stops "
            f"({type(error).__name__}); the triangle needs the last two axes only"
        ) from error
    require(
        _close(given, wanted),
        "right for one table, but not for several with two more axes in front",
    )
    return "Right: the future is out before the softmax, and nothing leaks."


def _causal_weights(scores: Tensor) -> Tensor:
    """The causal weights of scaled scores (..., T, T)."""
    T = scores.shape[-1]
    return _softmax(scores.masked_fill(~causal_mask(T, T, scores.device), -torch.inf))


def _heads(x: Tensor, n_heads: int, how: str) -> Tensor:
    B, T, C = x.shape
    if how == "no transpose":
        return x.reshape(B, n_heads, T, C // n_heads)
    if how == "taking turns":
        return x.reshape(B, T, C // n_heads, n_heads).permute(0, 3, 1, 2)
    return x.reshape(B, T, n_heads, C // n_heads).transpose(1, 2)


def _multi_head(
    attention: MultiHeadAttention,
    x: Tensor,
    *,
    split: str = "",
    join: bool = True,
    divide: float = 0.0,
    mask: str = "causal",
    dim: int = -1,
    swap: bool = False,
    project: bool = True,
    n_heads: int = 0,
) -> Tensor:
    """The class's own calculation, with one thing or another done wrongly."""
    B, T, C = x.shape
    H = n_heads or attention.n_heads
    q, k, v = (_heads(part, H, split) for part in attention.qkv(x).chunk(3, dim=-1))
    q, k = (k, q) if swap else (q, k)
    scores = q @ k.transpose(-2, -1) / (divide or math.sqrt(C // H))
    ones = torch.ones(T, T, dtype=torch.bool)
    hidden = {"causal": ~ones.tril(), "one ahead": ~ones.tril(1)}.get(mask, ~ones)
    weights = torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=dim)
    weights = weights * ones.tril() if mask == "zeroed" else weights
    gathered = weights @ v
    gathered = gathered.transpose(1, 2) if join else gathered
    joined = gathered.reshape(B, T, C)
    return attention.out(joined) if project else joined


_HEAD_SLIPS: dict[str, dict[str, Any]] = {
    "the future is not hidden": {"mask": "none"},
    "the edge of the mask is one place too far to the right: each token sees the next "
    "one": {"mask": "one ahead"},
    "the weights of the future are set to zero after the softmax; the sums of the rows "
    "leak": {"mask": "zeroed"},
    "the scores have not been divided by the root of D": {"divide": 1.0},
    "the scores have been divided by the root of C, which all heads share; a head has "
    "D = C / H numbers": {"divide": math.sqrt(12)},
    "the scores have been divided by D, not by its root": {"divide": 4.0},
    "view and reshape without transpose: your heads are pieces of the text, and tokens "
    "of different pieces never meet": {"split": "no transpose", "join": False},
    "splitting without transpose: view(B, H, T, D) takes whole tokens for heads": {
        "split": "no transpose"
    },
    "joining without transpose: (B, H, T, D) has to become (B, T, H, D) before the "
    "reshape": {"join": False},
    "head 0 should have the first C / H columns; yours take turns": {
        "split": "taking turns"
    },
    "there is only one head, of all C numbers": {"n_heads": 1},
    "the output projection has not been applied": {"project": False},
    "the softmax goes along the queries; it is the rows that should add up to 1": {
        "dim": -2
    },
    "queries and keys are exchanged": {"swap": True},
}


def _filled(model: Any, library: MultiHeadAttention, C: int) -> Any:
    """Give a reader's layers the library's numbers."""
    for name in ("W_q", "W_k", "W_v", "out"):
        layer: Any = getattr(model, name, None)
        require(
            isinstance(layer, nn.Linear),
            f"the class needs a layer nn.Linear called {name} (self.{name} = ...)",
        )
        require(
            tuple(layer.weight.shape) == (C, C),
            f"{name} should go from {C} to {C} numbers, for all heads together; its "
            f"matrix has the shape {tuple(layer.weight.shape)}",
        )
        biased = layer.bias is not None
        wanted = "a bias" if name == "out" else "no bias"
        require(biased == (name == "out"), f"{name} should have {wanted}")
    with torch.no_grad():
        for name, rows in zip(
            ("W_q", "W_k", "W_v"), library.qkv.weight.chunk(3), strict=True
        ):
            getattr(model, name).weight.copy_(rows)
        model.out.load_state_dict(library.out.state_dict())
    return model


def _library(C: int, H: int) -> MultiHeadAttention:
    config = GPTConfig(emb_dim=C, n_heads=H, drop_rate=0.0, qkv_bias=False)
    library = MultiHeadAttention(config)
    with torch.no_grad():
        for at, parameter in enumerate(library.parameters()):
            parameter.copy_(_random(*parameter.shape, seed=20 + at) / 2)
    return library


@exercise(
    "3.3",
    "Multi-head attention with three matrices",
    hints=(
        "Take the lean class of this section. Which of its lines change when one layer "
        "becomes three?",
        "q, k and v come out of their layers as (B, T, C). Each needs a view with four "
        "axes and a transpose to become (B, H, T, D).",
        "A small function split(x) that does x.view(B, T, H, D).transpose(1, 2) serves "
        "all three; scaling, mask, softmax and the way back are those of the section.",
    ),
)
def multi_head_with_three_matrices(answer: Any) -> str:
    """Give it the library's numbers, compare, and name the slip."""
    require(
        isinstance(answer, type) and issubclass(answer, nn.Module),
        "expected the class MultiHead, which inherits from nn.Module",
    )
    library, x = _library(12, 3), _random(2, 5, 12, seed=7)
    model = _filled(answer(12, 3), library, 12)
    with torch.no_grad():
        given = _tensor(model(x), "the outputs (B, T, C)")
        for message, options in _HEAD_SLIPS.items():
            require(not _close(given, _multi_head(library, x, **options)), message)
        require(
            tuple(given.shape) == (2, 5, 12),
            f"for x of shape (2, 5, 12) the result has the shape {tuple(given.shape)}",
        )
        require(not given.isnan().any(), "some outputs are nan: is a row all hidden?")
        require(
            _close(given, library(x)),
            "with the library's numbers, the outputs are not the library's",
        )
        for C, H, B, T in ((12, 1, 1, 7), (8, 4, 3, 2)):
            library, x = _library(C, H), _random(B, T, C, seed=8)
            model = _filled(answer(C, H), library, C)
            require(
                _close(model(x), library(x)),
                f"right for 3 heads and 5 tokens, but not for MultiHead({C}, {H}) and "
                f"x of shape ({B}, {T}, {C})",
            )
    return "Right: three layers, and the same numbers as the library's class."


by_hand(
    "3.4",
    "Three weights by hand",
    hints=(
        "Four steps: the scores, divide them by the root of D, the powers of e, divide "
        "by their sum. Which of the keys may the third token look at?",
        "The scores are 2, 0 and 4. D is 4, so its root is 2.",
        "The scaled scores are 1, 0 and 2, with the powers 2.718, 1 and 7.389; their "
        "sum is 11.107. The context is the sum of weight times value.",
    ),
    fields=("first weight", "second weight", "third weight", "gathered"),
    expected="three weights and the context",
    within=0.006,
    rules=[
        # a slip may be rounded loosely
        must_not_be(
            range(3),
            softmax((2, 0, 4)),
            "the scores have not been divided by the root of D",
            0.011,
        ),
        must_not_be(
            range(3),
            softmax((0.5, 0, 1)),
            "the scores have been divided by D, which is 4, not by its root",
            0.011,
        ),
        must_not_be(
            range(3),
            (1 / 3, 0, 2 / 3),
            "these are the scores divided by their sum; softmax takes powers of e "
            "first",
            0.011,
        ),
        total(range(3), 1, "weights add up to 1, and yours to {sum 0 1 2}", 0.025),
        must_be(
            range(3),
            softmax((1, 0, 2)),
            "{0}, {1} and {2} add up to 1, as weights should, but are not those of the "
            "scores 2, 0 and 4; go through the four steps again",
        ),
        must_be(
            3,
            10 * softmax((1, 0, 2))[0] + 20 * softmax((1, 0, 2))[1],
            "the weights are right, but the context is not {3}: multiply each value by "
            "its weight and add up",
            0.06,
        ),
    ],
    right="Right: 0.24, 0.09 and 0.67, and 4.25 is gathered.",
)


class _NoSoftmax(TorchFunctionMode):
    """Refuse PyTorch's own softmax, by whatever name it is called."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        called = getattr(func, "__name__", "")
        require(
            "softm" not in called and "logsumexp" not in called,
            f"you call PyTorch's {called}; write softmax yourself, with exp",
        )
        return func(*args, **(kwargs or {}))


@exercise(
    "3.5",
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
    with _NoSoftmax():
        answer(_random(2, 3))
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
    "3.6",
    "Two layers, one behavior",
    hints=(
        "Which product of the two matrices decides about the scores?",
        "Multiply W_q by a matrix R from the right. What must W_k be multiplied by so "
        "that R disappears from W_q R (W_k ...)ᵀ?",
        "The inverse of R, transposed. R.inverse() needs an R that has one; it must "
        "not be the identity, but two times the identity will do.",
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


def _in_the_middle(x: Tensor) -> Tensor:
    middle = len(x) // 2
    allowed = causal_mask(len(x), len(x), x.device).clone()
    allowed[middle - 2, middle - 1] = True
    return _attend(x, allowed)


def _running_mean(x: Tensor) -> Tensor:
    return x.cumsum(dim=0) / torch.arange(1, len(x) + 1)[:, None]


@exercise(
    "3.7",
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
    x = _random(8, 6, seed=1) / 2
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
        "a leak from the last token to one in the middle goes through; compare all "
        "outputs before the changed token, not only the first",
    )
    require(
        not answer(_in_the_middle, x),
        "a leak between two neighbors in the middle of the text goes through (token 2 "
        "sees token 3, and no other leak); change every token in turn",
    )
    require(
        not answer(_row_sum, x),
        "weights that are masked after the softmax go through, although the sum of "
        "their rows depends on the future",
    )
    return "Right: it catches all leaks and accuses nobody falsely."


@exercise(
    "3.8",
    "A window into the past",
    hints=(
        "Draw the table for 5 tokens and a window of 2. How does it differ from the "
        "causal triangle?",
        "It is the causal triangle without a smaller triangle, in the lower left.",
        "tril(-n) keeps what is n or more places to the left of the diagonal; & ~ "
        "takes one Boolean table out of another.",
    ),
)
def window_into_the_past(answer: Callable[[int, int], Tensor]) -> str:
    """Compare with the distance of each pair of places."""
    drawn = [(chance.randint(2, 12), chance.randint(1, 12)) for chance in fresh(6)]
    for T, window in ((6, 1), (5, 2), (7, 3), (4, 9), *drawn):
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
    "3.9",
    "Count the numbers",
    hints=(
        "Which layers does the class have, and what shape is the matrix of each?",
        "qkv is C to 3C, and out is C to C. A bias has as many numbers as the layer "
        "has outputs; out always has one.",
        "Four matrices of C * C in all; C biases always, and 3 * C more if qkv_bias. "
        "The number of heads does not occur.",
    ),
)
def count_the_numbers(answer: Callable[[int, int, bool], int]) -> str:
    """Compare with the class itself at several sizes."""
    cases = [(12, 3, False), (12, 3, True), (12, 6, False), (64, 8, True)]
    for chance in fresh(4):
        H = chance.randint(2, 6)
        cases.append((H * chance.randint(2, 9), H, chance.random() < 0.5))
    for C, H, bias in cases:
        attention = MultiHeadAttention(GPTConfig(emb_dim=C, n_heads=H, qkv_bias=bias))
        wanted = sum(parameter.numel() for parameter in attention.parameters())
        given = answer(C, H, bias)
        call = f"count({C}, {H}, {bias})"
        require(
            isinstance(given, int | float | torch.Tensor),
            f"{call} gives {given!r:.40}; expected a number",
        )
        require(
            given != 3 * C * C + 3 * C * bias,
            f"{call} gives {given}: the output projection has not been counted",
        )
        require(
            given != wanted - C,
            f"{call} gives {given}, which lacks the bias of the output projection",
        )
        require(
            not bias or given != wanted - 3 * C,
            f"{call} gives {given}: the {3 * C} biases of queries, keys and values "
            "have not been counted",
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
    "3.10",
    "Padding on the fast path",
    hints=(
        "Two conditions have to hold for a pair: the key is not in the future, and it "
        "is real. What does True mean in PyTorch's mask?",
        "Combine causal_mask with real[:, None, None, :], which is (B, 1, 1, T). Then "
        "think of a query that is padding at the very beginning: whom may it see?",
        "torch.eye(T, dtype=torch.bool) is True on the diagonal only; | adds what it "
        "allows to the table. The result goes in as attn_mask.",
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
    "3.11",
    "Fewer keys than queries",
    hints=(
        "Queries have H heads, keys and values G of them. Which key head do the first "
        "H / G query heads share?",
        "Repeat each key head and each value head H / G times, so that there are H, "
        "and continue as usual.",
        "repeat_interleave(n, dim=1) repeats each head n times on the spot, repeat "
        "lays whole blocks side by side; then is_causal=True.",
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
    "3.12",
    "How many heads can go?",
    hints=(
        "Begin with the heads that cost least one by one, and look what happens when "
        "several of them go together.",
        "Go step by step: silence the cheapest head, and with that one silent, measure "
        "all others again. Or take the cheapest 16 of section 3.7 and exchange "
        "those that get in each other's way.",
        "cost.flatten().argsort()[:16] of section 3.7 holds the 16 cheapest; "
        "divmod(place, 8) turns a place into (block, head).",
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
