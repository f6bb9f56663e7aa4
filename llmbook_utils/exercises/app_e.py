"""Checks of Appendix E's exercises. Not built on a page."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from llmbook_utils.exercises import Wrong, exercise, fresh, require, varied
from llmbook_utils.exercises.by_hand import by_hand, must_be, must_not_be


@exercise(
    "E.1",
    "A LoRA layer",
    hints=(
        "The layer keeps the linear layer that it gets, freezes it, and has two "
        "matrices of its own. What it returns is a sum of two parts.",
        "A is (rank, in) and random, B is (out, rank) and zero, both "
        "parameters. x goes "
        "through A first, then through B; the result is scaled and added to what the "
        "frozen layer says.",
        "self.A is an nn.Parameter around a matrix that nn.init.kaiming_uniform_ or "
        "torch.randn fills, self.B one around torch.zeros. Freezing is "
        "linear.requires_grad_(False). In forward, x @ self.A.T has the rank as its "
        "last size, and the factor is alpha / rank.",
    ),
)
def lora_layer(answer: Callable[..., Any]) -> str:
    """The start, the shapes, the sum, what learns."""
    torch.manual_seed(varied(0))
    linear = nn.Linear(6, 4)
    before = {name: p.detach().clone() for name, p in linear.named_parameters()}
    layer = answer(linear, 2, 8)
    require(isinstance(layer, nn.Module), "expected a class derived from nn.Module")
    A, B = _matrices(layer)
    x = torch.randn(5, 6)
    _judge_start(layer, linear, before, (A, B), x)
    _judge_sum(layer, linear, A, B, x)
    _judge_learning(layer, linear, A, B, x)
    plain = nn.Linear(3, 5, bias=False)
    other = answer(plain, 1, 1)
    y = torch.randn(2, 7, 3)
    require(
        torch.allclose(other(y), plain(y), atol=1e-6),
        "a layer without a bias, or x of shape (B, T, in), does not go through yet",
    )
    return "Right: a frozen layer, and beside it a change of low rank that can learn."


def _matrices(layer: nn.Module) -> tuple[nn.Parameter, nn.Parameter]:
    """A and B, if they are parameters of the right shapes."""
    own = dict(layer.named_parameters())
    for name in ("A", "B"):
        require(
            hasattr(layer, name),
            f"the layer has no attribute {name}; call it self.{name}",
        )
        require(
            name in own,
            f"{name} is no parameter, so no optimizer will find it; wrap it "
            "in nn.Parameter",
        )
    A, B = own["A"], own["B"]
    if (tuple(A.shape), tuple(B.shape)) == ((6, 2), (2, 4)):
        raise Wrong(
            "A is (in, rank) and B (rank, out); the page, as peft, has A "
            "(rank, in) and "
            "B (out, rank)"
        )
    require(
        tuple(A.shape) == (2, 6),
        f"for a layer of 6 inputs and rank 2, A should be (2, 6), and is "
        f"{tuple(A.shape)}",
    )
    require(
        tuple(B.shape) == (4, 2),
        f"for a layer of 4 outputs and rank 2, B should be (4, 2), and is "
        f"{tuple(B.shape)}",
    )
    return A, B


def _judge_start(
    layer: nn.Module,
    linear: nn.Linear,
    before: dict[str, Tensor],
    matrices: tuple[Tensor, Tensor],
    x: Tensor,
) -> None:
    """At first nothing is changed, and A is random."""
    A, B = matrices
    require(
        A.any() or B.any(),
        "A and B are both zero: then neither has a gradient, and nothing is "
        "ever learned",
    )
    require(
        A.any() or not B.any(),
        "A is zero and B random; the page has it the other way round, as the paper",
    )
    require(
        not B.any(),
        "B is not zero at first, so that the layer says something else than "
        "the frozen one",
    )
    require(len(A.unique()) > 2, "A has the same number everywhere; draw it at random")
    require(
        all(torch.equal(p, before[name]) for name, p in linear.named_parameters()),
        "the weights of the layer that was given have changed",
    )
    said, right = layer(x), linear(x)
    require(
        isinstance(said, Tensor) and said.shape == right.shape,
        "forward should return a tensor with as many numbers per row as the "
        "linear layer "
        f"has outputs, 4; it has {tuple(getattr(said, 'shape', ()))}",
    )
    require(
        said.any(), "with B = 0 the layer returns 0: the frozen layer's part is missing"
    )
    without = x @ linear.weight.T
    require(
        not torch.allclose(said, without, atol=1e-6),
        "the frozen layer's bias is missing: call the layer, do not use its "
        "weight alone",
    )
    require(
        torch.allclose(said, right, atol=1e-6),
        "with B = 0 the layer should say just what the frozen one says",
    )


@torch.no_grad()
def _judge_sum(
    layer: nn.Module, linear: nn.Linear, A: Tensor, B: Tensor, x: Tensor
) -> None:
    """What is added once B is not zero, and by which factor."""
    B.copy_(torch.randn(4, 2))
    added, right = layer(x) - linear(x), x @ A.T @ B.T  # alpha / rank = 8 / 2
    require(
        added.abs().max() > 1e-6,
        "what the layer says does not depend on B; is B used in forward?",
    )
    factors = {
        1.0: "the change is not scaled; multiply it by alpha / rank",
        8.0: "the change is multiplied by alpha; the factor is alpha / rank",
        16.0: "the change is multiplied by alpha * rank; the factor is alpha / rank",
        0.25: "the factor is rank / alpha; it should be alpha / rank",
        8 / math.sqrt(2): "the factor is alpha over the root of the rank; here it is "
        "alpha / rank",
        8 / 6: "the change is divided by the number of inputs; divide by the rank",
        -4.0: "the change is subtracted; add it",
    }
    for factor, message in factors.items():
        require(not torch.allclose(added, factor * right, atol=1e-4), message)
    twice = layer(x)
    require(torch.equal(twice, layer(x)), "two calls on the same x differ")
    require(
        torch.allclose(added, 4 * right, atol=1e-4),
        "once B is not zero, what is added is not yet alpha / rank times x A^T B^T",
    )


def _judge_learning(
    layer: nn.Module, linear: nn.Linear, A: Tensor, B: Tensor, x: Tensor
) -> None:
    """Only A and B are trained."""
    layer.zero_grad()
    layer(x).square().sum().backward()
    for name, matrix in (("A", A), ("B", B)):
        require(
            matrix.requires_grad and matrix.grad is not None and matrix.grad.any(),
            f"no gradient reaches {name}",
        )
    free = [name for name, p in linear.named_parameters() if p.requires_grad]
    require(
        not free,
        f"the {' and the '.join(free)} of the linear layer would be trained, "
        "too; freeze "
        "them",
    )
    trained = sum(p.numel() for p in layer.parameters() if p.requires_grad)
    require(
        trained == A.numel() + B.numel(),
        f"{trained} numbers are trained; A and B have {A.numel() + B.numel()}",
    )


# GPT-2 medium's width and the rank; A and B beside one qkv layer, and in one block
_C, _RANK = 1024, 8
_LAYER, _BLOCK = _RANK * 4 * _C, _RANK * 16 * _C

by_hand(
    "E.2",
    "Count before you train",
    hints=(
        "Each layer gets an A and a B; the size of a layer's own matrix does "
        "not matter.",
        "One layer of m outputs and n inputs gets rank * (m + n) numbers. A block has "
        "four such layers.",
        "For C = 1024 the four sums m + n are 4C, 2C, 5C and 5C: together "
        "16C per block "
        "and rank. The head has 1024 numbers for each class.",
    ),
    fields=("one qkv layer", "one block", "the whole model"),
    expected="three numbers: one qkv layer, one block, the model",
    within=1e-9,
    rules=[
        must_not_be(
            0, 3 * _C * _C, "the first is the layer's own matrix; count A and B"
        ),
        must_not_be(0, _RANK * 2 * _C, "the qkv layer has 3 * 1024 outputs, not 1024"),
        must_be(0, _LAYER, "one qkv layer: {0:,} is not A and B together"),
        must_not_be(
            1,
            _LAYER + _RANK * 2 * _C,
            "a block's two feed-forward layers are missing",
        ),
        must_be(1, _BLOCK, "one block: {1:,} is not right yet"),
        must_not_be(2, 24 * _BLOCK, "the new head is missing: it is trained in full"),
        must_not_be(2, 24 * _BLOCK + 2 * _C + 2, "the head of chapter 6 has no bias"),
        must_be(2, 24 * _BLOCK + 2 * _C, "the model: {2:,} is not right yet"),
    ],
    right="Right: 3.1 million of 354 million, less than one in a hundred.",
)


@exercise(
    "E.3",
    "Where it stops to pay",
    hints=(
        "Compare two counts: that of the matrix, and that of A and B at rank r.",
        "A matrix of m by n has m * n numbers, A and B together r * (m + n). "
        "Which r is "
        "the first with no fewer?",
        "r is m * n / (m + n), rounded up to a whole number. For 6 by 3: 18 "
        "/ 9 = 2, and "
        "2 * 9 is no fewer than 18.",
    ),
)
def where_it_stops_to_pay(answer: Callable[[int, int], int]) -> str:
    """The smallest rank that saves nothing, for many shapes."""
    shapes = [(8, 8), (6, 3), (7, 5), (768, 256), (256, 1024), (1, 9), (2304, 768)]
    shapes += [(chance.randint(2, 999), chance.randint(2, 999)) for chance in fresh(6)]
    for m, n in shapes:
        given, right = answer(m, n), -(-m * n // (m + n))
        require(given is not None, "return the rank, as a whole number")
        require(
            given == int(given), f"for {m} by {n} the rank is {given}; no whole number"
        )
        require(
            given != min(m, n) or right == min(m, n),
            f"for {m} by {n}: {min(m, n)} is the largest rank there is; fewer "
            "are enough "
            "to save nothing",
        )
        exact = m * n % (m + n) == 0
        require(
            exact or given != m * n // (m + n),
            f"for {m} by {n} and rank {given} there are still fewer numbers "
            f"than {m * n}; "
            "round up",
        )
        require(
            not exact or given != right + 1,
            f"for {m} by {n} rank {right} has just as many numbers, so "
            "nothing is saved "
            "with it already",
        )
        require(given == right, f"for {m} by {n} it is {right}, not {given}")
    return "Right: for a square matrix at half its size."


@exercise(
    "E.4",
    "The best matrix of rank r",
    hints=(
        "torch.linalg.svd takes a matrix apart into a sum of matrices of rank 1, the "
        "largest first.",
        "With U, S, V = torch.linalg.svd(matrix, full_matrices=False), the matrix is "
        "U times diag(S) times V. Keep the first r columns, numbers and rows.",
        "(U[:, :r] * S[:r]) scales the columns that are kept; multiply that "
        "by the rows "
        "V[:r] with @.",
    ),
)
def best_of_rank(answer: Callable[[Tensor, int], Tensor]) -> str:
    """Against the singular values that are left over, for several ranks."""
    torch.manual_seed(varied(0))
    for shape in ((7, 5), (4, 9)):
        matrix = torch.randn(shape)
        kept = matrix.clone()
        values = torch.linalg.svdvals(matrix)
        for rank in (0, 1, 3, 4):
            low = answer(matrix, rank)
            require(
                isinstance(low, Tensor) and low.shape == matrix.shape,
                f"expected a matrix of the same shape {tuple(shape)}, got "
                f"{tuple(getattr(low, 'shape', ())) or type(low).__name__}",
            )
            require(torch.equal(matrix, kept), "the matrix that was given has changed")
            error = (matrix - low).norm().item()
            least = values[rank:].norm().item()
            found = int(torch.linalg.matrix_rank(low, atol=1e-4))
            require(
                found <= rank,
                f"asked for rank {rank}, the matrix returned has rank {found}",
            )
            small = values[: len(values) - rank].norm().item()
            require(
                rank == 0 or not math.isclose(error, small, rel_tol=1e-3),
                f"rank {rank}: the smallest singular values are kept; keep the largest",
            )
            require(
                math.isclose(error, least, rel_tol=1e-3, abs_tol=1e-4),
                f"rank {rank}: the result misses the matrix by {error:.3f}, "
                f"and {least:.3f} "
                "is possible",
            )
    return "Right: no matrix of that rank comes nearer."


@exercise(
    "E.5",
    "Two adapters at once",
    hints=(
        "Merging adds a matrix to the weight; nothing says that it can be "
        "done only once.",
        "Each adapter adds strength * alpha / rank * B A; its rank is the "
        "number of rows "
        "of A.",
        "Start with a copy of the weight and add strength * alpha / len(A) * "
        "(B @ A) for "
        "each adapter in turn.",
    ),
)
def two_adapters(answer: Callable[..., Tensor]) -> str:
    """None, one and two adapters of different ranks."""
    torch.manual_seed(varied(0))
    weight = torch.randn(5, 7)
    first = (0.25, torch.randn(2, 7), torch.randn(5, 2), 8)
    second = (-1.0, torch.randn(3, 7), torch.randn(5, 3), 3)

    def change(strength: float, A: Tensor, B: Tensor, alpha: float) -> Tensor:
        return strength * alpha / len(A) * (B @ A)

    kept = weight.clone()
    alone = answer(weight, [])
    require(alone is not None, "return the new weight")
    require(
        torch.equal(torch.as_tensor(alone), kept), "without an adapter the weight stays"
    )
    one = answer(weight, [first])
    require(
        torch.equal(weight, kept),
        "the weight that was given has changed; copy it first",
    )
    require(
        not torch.allclose(one, weight + change(1, *first[1:]), atol=1e-4),
        "the strength is not used",
    )
    require(
        not torch.allclose(one, weight + 0.25 * first[2] @ first[1], atol=1e-4),
        "alpha / rank is missing",
    )
    require(
        not torch.allclose(one, weight + 8 * 0.25 * first[2] @ first[1], atol=1e-4),
        "the change is not divided by the rank",
    )
    require(
        torch.allclose(one, weight + change(*first), atol=1e-4), "one: not right yet"
    )
    both = answer(weight, [first, second])
    require(
        not torch.allclose(both, weight + change(*second), atol=1e-4),
        "of two adapters only the last is in the weight",
    )
    require(
        torch.allclose(both, weight + change(*first) + change(*second), atol=1e-4),
        "two adapters: not right yet; do they have ranks of their own?",
    )
    return "Right: adapters are added; a negative strength takes one out."
