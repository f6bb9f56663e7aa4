"""Wrong answers to Appendix D's exercises, and words that their verdicts must hold."""

import math

import torch
from torch import nn
from torch.nn import functional as F

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


def schedule(
    *,
    start=1,
    parts=1,
    climb=True,
    low="share",
    shape=lambda d: (1 + math.cos(math.pi * d)) / 2,
    moves=1,
    begin=True,
    clamp=True,
    guard=True,
):
    def answer(step, peak, steps, warmup_steps, floor):
        if climb and step < warmup_steps:
            return peak * (step + start) / (warmup_steps + parts)
        first = warmup_steps if begin else 0
        length = steps - moves - first
        d = max(0, step - first) / (max(1, length) if guard else length)
        height = shape(min(1.0, d) if clamp else d)
        if low == "rate":
            return floor + (peak - floor) * height
        if low == "on top":
            return peak * (floor + height)
        if low == "cut":
            return peak * max(floor, height)
        return peak * (floor + (1 - floor) * height) if low else peak * height

    return answer


def stepper(
    *,
    zero="once",
    divide="all",
    clip="once",
    step="once",
    returns=("mean", "before"),
):
    """One step in pieces, with the mistakes that its names say."""

    def answer(model, optimizer, batches, limit):
        counts = [int((y != -100).sum()) for _, y in batches]
        over = {
            "all": sum(counts),
            "places": sum(y.numel() for _, y in batches),
            "batches": len(batches),
            "nothing": 1,
        }
        if zero == "once":
            optimizer.zero_grad()
        weights, norm, losses = list(model.parameters()), 0.0, []
        for (x, y), n in zip(batches, counts, strict=True):
            if zero == "each":
                optimizer.zero_grad()
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum")
            own = {"mean of means": n * len(batches), "sum of means": n}
            (loss / (over | own)[divide]).backward()
            losses.append(loss.item())
            if clip == "each":
                norm = nn.utils.clip_grad_norm_(weights, limit)
            if step == "each":
                optimizer.step()
        if clip == "once":
            norm = nn.utils.clip_grad_norm_(weights, limit)
        if step == "once":
            optimizer.step()
        if clip == "late":
            norm = nn.utils.clip_grad_norm_(weights, limit)
        means = [a / n for a, n in zip(losses, counts, strict=True)]
        said = {
            "mean": sum(losses) / sum(counts),
            "sum": sum(losses),
            "last": losses[-1] / sum(counts),
            "mean of means": sum(means) / len(means),
        }
        norms = {"before": norm, "after": min(float(norm), limit)}
        return (said[returns[0]], norms[returns[1]]) if returns else None

    return answer


PLANTED = {
    "D.1": [
        ("from zero", "step 0 has the rate 0", schedule(start=0, parts=0)),
        ("one step early", "is at the peak already", schedule(parts=0)),
        ("no climb", "the climb is missing", schedule(climb=False)),
        ("no way down", "the way down is missing", schedule(shape=lambda d: 1.0)),
        ("a line", "a straight line", schedule(shape=lambda d: 1 - d)),
        ("floor as a rate", "not a rate", schedule(low="rate")),
        ("floor on top", "comes on top", schedule(low="on top")),
        ("cut off", "is cut off at the floor", schedule(low="cut")),
        ("no floor", "it should end at floor", schedule(low="")),
        ("one move too many", "the last step is not at", schedule(moves=0)),
        ("from step 0", "the cosine began at step 0", schedule(begin=False)),
        (
            "bare cosine",
            "goes from 1 to -1",
            schedule(low="", shape=lambda d: math.cos(math.pi * d)),
        ),
        (
            "quarter",
            "a quarter of a circle",
            schedule(shape=lambda d: math.cos(math.pi * d / 2)),
        ),
        (
            "degrees",
            "counts in radians",
            schedule(shape=lambda d: (1 + math.cos(math.radians(d))) / 2),
        ),
        ("up again", "half a run after the end", schedule(clamp=False)),
        ("nothing back", "return the rate", lambda *all: schedule()(*all) and None),
        ("no run left", "ZeroDivisionError", schedule(guard=False)),
        (
            "another curve",
            "no half cosine",
            schedule(shape=lambda d: 1 - d * d * (3 - 2 * d)),
        ),
    ],
    "D.2": [
        ("no step", "did not move", stepper(step="never")),
        ("a step each", "are one step", stepper(step="each")),
        ("left over", "of the step before", stepper(zero="never")),
        ("emptied each time", "only the last batch", stepper(zero="each")),
        ("mean of means", "with a single target", stepper(divide="mean of means")),
        ("sum of means", "a sum of means", stepper(divide="sum of means")),
        ("padding", "divided by all places", stepper(divide="places")),
        ("by batches", "by the number of batches", stepper(divide="batches")),
        ("not divided", "was not divided", stepper(divide="nothing")),
        ("clipped each time", "after every batch", stepper(clip="each")),
        ("not clipped", "with the whole gradient", stepper(clip="never")),
        ("clipped late", "with the whole gradient", stepper(clip="late")),
        ("norm after", "one after clipping", stepper(returns=("mean", "after"))),
        ("sum", "a sum over all targets", stepper(returns=("sum", "before"))),
        ("last", "the last batch's", stepper(returns=("last", "before"))),
        (
            "loss alone wrong",
            "though the gradient is right",
            stepper(returns=("mean of means", "before")),
        ),
        ("nothing", "return two numbers", stepper(returns=None)),
    ],
    "D.3": [
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
    "D.4": [
        ("each by its own", "by its own norm", clipper(each=True)),
        ("by value", "each number was cut off", clipper(value=True)),
        ("scaled up", "stays as it is", clipper(up=True)),
        ("copies", "still as they were", clipper(copy=True)),
        ("norm after", "wants the one before", clipper(after=True)),
        ("nothing back", "return the norm, as", lambda g, n: clipper()(g, n) and None),
    ],
    "D.5": [
        ("one bit short", "is not stored", lambda dtype: count_up(dtype, shift=1)),
        ("one too far", "does not even have", lambda dtype: count_up(dtype, plus=1)),
        ("range", "the largest number", lambda dtype: int(torch.finfo(dtype).max)),
        ("a float", "a whole number", lambda dtype: float(count_up(dtype))),
    ],
    "D.6": [
        ("from zero", "step 0 has the rate 0", trapezoid(start=0)),
        ("one step late", "should have reached 0", trapezoid(end=0)),
        ("no level part", "last at the peak, but has 0.", trapezoid(stays=False)),
        ("below zero", "after the end", trapezoid(stop=False)),
    ],
    "D.7": [
        ("no gain", "no better", Schedule(1e-3, 100, 10)),
        ("downhill", "negative", lambda step: 1e-3 * (50 - step)),
        ("a list", "must be a number", lambda step: [1e-3]),
        ("far too high", "no better", lambda step: 0.3),
    ],
}
