"""Wrong answers to chapter 5's exercises, and words that their verdicts must hold."""

import math
from collections import Counter

import torch
from torch.nn import functional as F


def weighted(values, counts):
    return sum(v * n for v, n in zip(values, counts, strict=True)) / sum(counts)


def context_loss(model, ids, n, *, last=True, stride=1, off=True, restore=True):
    training = model.training
    if off:
        model.eval()
    windows = ids.unfold(0, n + 1, stride if stride == 1 else n + 1)
    with torch.no_grad():
        logits = model(windows[:, :-1])
    if restore:
        model.train(training)
    if last:
        return F.cross_entropy(logits[:, -1], windows[:, -1])
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def search(*, fill=True, switch=True, alarm=False):
    def answer(step, model, optimizer, inputs, targets):
        for weight in model.parameters():
            weight.grad = torch.full_like(weight, 1e6) if fill else None
        model.train(not switch)
        step(model, optimizer, inputs, targets)
        grads = [w.grad for w in model.parameters() if w.grad is not None]
        if not model.training:
            return "train"
        if any(grad.abs().max() > 1e5 for grad in grads):
            return "zero_grad"
        return "zero_grad" if alarm and not grads else "none"

    return answer


def accumulated(*, mean=False, whole=True, empty=True, padding=False):
    def answer(model, batches):
        if empty:
            model.zero_grad()
        numbers = [int((y != -100).sum()) for _, y in batches]
        count = sum(y.numel() for _, y in batches) if padding else sum(numbers)
        total = 0.0
        for (x, y), n in zip(batches, numbers, strict=True):
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum")
            share = max(n, 1) * len(batches) if mean else count if whole else 1
            (loss / share).backward()
            total += loss.item() / share
        return total

    return answer


def nan_mean(model, batches):
    losses = [F.cross_entropy(model(x).flatten(0, 1), y.flatten()) for x, y in batches]
    loss = torch.stack(losses).mean()
    loss.backward()
    return loss.item()


def uniform(ids, vocab_size):
    return lambda context: [1 / vocab_size] * vocab_size


def counts_only(ids, vocab_size):
    seen = Counter(ids)
    return lambda context: [seen[t] / len(ids) for t in range(vocab_size)]


def no_sum(ids, vocab_size):
    return lambda context: [0.5] * vocab_size


PLANTED = {
    "5.1": [
        ("bits for nats", "a bit has 0.693 nats", [2, 4, 0.8]),
        ("log of the mean", "mean of the logarithms", [1.269, 4, 0.8]),
        ("sum", "the loss is their mean", [5.545, 4, 0.8]),
        ("mixed", "you have mixed the two", [1.386, 7.389, 0.8]),
        ("per token", "those are bits a token", [1.386, 4, 2]),
        ("nats per byte", "those are nats per byte", [1.386, 4, 0.5545]),
    ],
    "5.2": [
        ("no power", "that is the mean loss", weighted),
        (
            "unweighted",
            "every part has got the same weight",
            lambda losses, counts: math.exp(sum(losses) / len(losses)),
        ),
        (
            "mean of perplexities",
            "you averaged the perplexities",
            lambda losses, counts: weighted([math.exp(x) for x in losses], counts),
        ),
    ],
    "5.3": [
        (
            "all positions",
            "averaged over all positions",
            lambda m, ids, n: context_loss(m, ids, n, last=False),
        ),
        (
            "side by side",
            "only every so many",
            lambda m, ids, n: context_loss(m, ids, n, stride=n),
        ),
        (
            "dropout",
            "is dropout off",
            lambda m, ids, n: context_loss(m, ids, n, off=False),
        ),
        (
            "mode",
            "restore it",
            lambda m, ids, n: context_loss(m, ids, n, restore=False),
        ),
    ],
    "5.4": [
        ("nothing", "both faults pass", lambda *a: "none"),
        ("no old gradients", "were there any gradients", search(fill=False)),
        ("training mode", "in which mode did you", search(switch=False)),
        ("alarm", "was accused of", search(alarm=True)),
        ("other word", "is none of", lambda *a: "fine"),
    ],
    "5.5": [
        ("mean of means", "need different weights", accumulated(mean=True)),
        ("undivided", "by which number do you divide", accumulated(whole=False)),
        ("not emptied", "still in the sum", accumulated(empty=False)),
        ("nan", "is 0/0", nan_mean),
    ],
    "5.6": [
        ("uniform", "the exercise asks for", uniform),
        ("zero", "becomes impossible", counts_only),
        ("no probabilities", "probabilities add up to 1", no_sum),
    ],
}
