"""Wrong answers to Appendix E's exercises, and words that their verdicts must hold."""

import math

import torch
from torch import nn


def layer(
    a="random",
    b="zero",
    factor=lambda alpha, rank: alpha / rank,
    frozen=True,
    base=True,
    bias=True,
    transposed=False,
    parameter=True,
    use_b=True,
    noise=False,
    module=True,
):
    """A LoRA layer with something wrong."""
    make = {"random": torch.randn, "zero": torch.zeros, "ones": torch.ones}
    wrap = nn.Parameter if parameter else (lambda tensor: tensor)

    class Layer(nn.Module):
        def __init__(self, linear, rank, alpha):
            super().__init__()
            self.linear = linear.requires_grad_(not frozen)
            n, m = linear.in_features, linear.out_features
            shapes = ((n, rank), (rank, m)) if transposed else ((rank, n), (m, rank))
            self.A, self.B = wrap(make[a](shapes[0])), wrap(make[b](shapes[1]))
            self.factor = factor(alpha, rank)

        def forward(self, x):
            change = x @ (self.A @ self.B if transposed else self.A.T @ self.B.T)
            if noise:
                change = change * (1 + torch.rand(()))
            if not use_b:
                change = 0 * change
            frozen_part = self.linear(x) if bias else x @ self.linear.weight.T
            return (frozen_part if base else 0) + self.factor * change

    return Layer if module else (lambda *arguments: Layer(*arguments).forward)


def low(keep, scaled=True, change=False):
    def answer(matrix, rank):
        U, S, V = torch.linalg.svd(matrix, full_matrices=False)
        if change:
            matrix.zero_()
        at = keep(rank)
        return (U[:, at] * S[at] if scaled else U[:, at]) @ V[at]

    return answer


def blend(
    strength=True, divide=True, alpha=True, last=False, copy=True, first_rank=False
):
    def answer(weight, adapters):
        new = weight.clone() if copy else weight
        for s, A, B, a in adapters:
            rank = len(adapters[0][1]) if first_rank else len(A)
            factor = (
                (s if strength else 1) * (a if alpha else 1) / (rank if divide else 1)
            )
            new = (
                (weight if last else new) + factor * (B @ A)
                if copy
                else new.add_(factor * (B @ A))
            )
        return new

    return answer


PLANTED = {
    "E.1": [
        ("both zero", "nothing is ever learned", layer(a="zero")),
        ("the wrong one zero", "the other way round", layer(a="zero", b="random")),
        ("both random", "B is not zero at first", layer(b="random")),
        ("A all the same", "draw it at random", layer(a="ones")),
        ("not scaled", "is not scaled", layer(factor=lambda a, r: 1)),
        ("alpha alone", "is multiplied by alpha;", layer(factor=lambda a, r: a)),
        ("alpha times rank", "alpha * rank", layer(factor=lambda a, r: a * r)),
        ("upside down", "factor is rank / alpha", layer(factor=lambda a, r: r / a)),
        ("root", "root of the rank", layer(factor=lambda a, r: a / math.sqrt(r))),
        ("subtracted", "is subtracted", layer(factor=lambda a, r: -a / r)),
        ("not frozen", "would be trained, too", layer(frozen=False)),
        ("only the change", "frozen layer's part is missing", layer(base=False)),
        ("no bias", "bias is missing", layer(bias=False)),
        ("transposed", "A is (in, rank)", layer(transposed=True)),
        ("no parameter", "A is no parameter", layer(parameter=False)),
        ("B unused", "does not depend on B", layer(use_b=False)),
        ("noise", "two calls on the same x differ", layer(noise=True)),
        ("no module", "derived from nn.Module", layer(module=False)),
    ],
    "E.2": [
        ("its own matrix", "layer's own matrix", [3 * 1024 * 1024, 131072, 3147776]),
        ("one third", "3 * 1024 outputs", [16384, 131072, 3147776]),
        ("attention only", "feed-forward layers", [32768, 49152, 3147776]),
        ("no head", "head is missing", [32768, 131072, 3145728]),
        ("a bias", "has no bias", [32768, 131072, 3147778]),
        ("two numbers", "expected three numbers", [32768, 131072]),
    ],
    "E.3": [
        ("largest", "largest rank there is", min),
        ("down", "round up", lambda m, n: m * n // (m + n)),
        ("fraction", "no whole number", lambda m, n: m * n / (m + n) + 0.1),
        ("more", "nothing is saved", lambda m, n: m * n // (m + n) + 1),
        ("half", "it is", lambda m, n: max(m, n) // 2 + 7),
    ],
    "E.4": [
        (
            "smallest",
            "keep the largest",
            low(lambda r: slice(-r, None) if r else slice(0)),
        ),
        ("all", "the matrix returned has rank", low(lambda r: slice(None))),
        ("unscaled", "is possible", low(slice, scaled=False)),
        ("in place", "has changed", low(slice, change=True)),
        ("cut out", "same shape", lambda matrix, rank: matrix[:rank]),
        (
            "first columns",
            "is possible",
            lambda m, r: torch.cat([m[:, :r], 0 * m[:, r:]], 1),
        ),
    ],
    "E.5": [
        ("no strength", "strength is not used", blend(strength=False)),
        ("no factor", "alpha / rank is missing", blend(divide=False, alpha=False)),
        ("no rank", "not divided by the rank", blend(divide=False)),
        ("last one", "only the last", blend(last=True)),
        ("in place", "copy it first", blend(copy=False)),
        ("one rank", "ranks of their own", blend(first_rank=True)),
    ],
}
