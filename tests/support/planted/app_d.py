"""Wrong answers to Appendix D's exercises, and words that their verdicts must hold."""

import math

import torch

from llmbook_utils.schedule import Schedule


def rates(start, down):
    return [0.006 * share for share in (*start, *down)]


def cosine(parts, floor):
    return [
        floor + (1 - floor) * (1 + math.cos(math.pi * i / parts)) / 2
        for i in range(1, 5)
    ]


CLIMB = (1 / 3, 2 / 3, 1.0)


def clipper(each=False, value=False, up=False, copy=False, after=False):
    def answer(gradients, limit):
        norms = [g.norm().item() for g in gradients]
        norm = math.sqrt(sum(n * n for n in norms))
        for g, own in zip(gradients, norms, strict=True):
            factor = limit / (own if each else norm)
            factor = factor if up else min(1.0, factor)
            new = g.clamp(-limit, limit) if value else g * factor
            if not copy:
                g.copy_(new)
        return min(norm, limit) if after else norm

    return answer


def count_up(dtype, plus=0, shift=0):
    n = 1
    while torch.tensor(n, dtype=dtype) + 1 != torch.tensor(n, dtype=dtype):
        n *= 2
    return (n >> shift) + plus


def trapezoid(start=1, end=1, stays=True, stop=True):
    def answer(step, peak, steps, warmup_steps, decay_steps):
        if step < warmup_steps:
            return peak * (step + start) / (warmup_steps + start)
        left = (steps - end - step) / decay_steps
        if not stays:
            left = (steps - 1 - step) / (steps - 1 - warmup_steps)
        return peak * min(1.0, max(0.0, left) if stop else left)

    return answer


PLANTED = {
    "D.1": [
        (
            "from zero",
            "step 0 has the rate 0",
            rates((0, 1 / 3, 2 / 3), cosine(4, 0.2)),
        ),
        ("parts", "first at the peak", rates((1 / 2, 1, 1), cosine(4, 0.2))),
        ("no floor", "the last rate is 0,", rates(CLIMB, cosine(4, 0))),
        ("a line", "a straight line", rates(CLIMB, (0.8, 0.6, 0.4, 0.2))),
        ("five parts", "with five", rates(CLIMB, cosine(5, 0.2))),
        ("six numbers", "expected 7 rates", rates(CLIMB, cosine(4, 0.2))[:6]),
    ],
    "D.2": [
        ("each by its own", "by its own norm", clipper(each=True)),
        ("by value", "each number was cut off", clipper(value=True)),
        ("scaled up", "stays as it is", clipper(up=True)),
        ("copies", "still as they were", clipper(copy=True)),
        ("norm after", "wants the one before", clipper(after=True)),
        ("nothing back", "return the norm, as", lambda g, n: clipper()(g, n) and None),
    ],
    "D.3": [
        ("one bit short", "is not stored", lambda dtype: count_up(dtype, shift=1)),
        ("one too far", "does not even have", lambda dtype: count_up(dtype, plus=1)),
        ("range", "the largest number", lambda dtype: int(torch.finfo(dtype).max)),
        ("a float", "a whole number", lambda dtype: float(count_up(dtype))),
    ],
    "D.4": [
        ("from zero", "step 0 has the rate 0", trapezoid(start=0)),
        ("one step late", "should have reached 0", trapezoid(end=0)),
        ("no level part", "last at the peak, but has 0.", trapezoid(stays=False)),
        ("below zero", "after the end", trapezoid(stop=False)),
    ],
    "D.5": [
        ("no gain", "no better", Schedule(1e-3, 100, 10)),
        ("downhill", "negative", lambda step: 1e-3 * (50 - step)),
        ("a list", "must be a number", lambda step: [1e-3]),
    ],
}
