"""Wrong answers to appendix A's exercises, and words that their verdicts must hold."""

import torch
from torch import nn
from torch.nn import functional as F


def left_aligned(one, other):
    longer = max(len(one), len(other))
    one = (*one, *[1] * (longer - len(one)))
    other = (*other, *[1] * (longer - len(other)))
    return fitted(one, other)


def fitted(one, other, strict=True):
    pairs = list(zip(one, other, strict=strict))
    if any(n != m and 1 not in (n, m) for n, m in pairs):
        raise ValueError("these do not fit")
    return tuple(n if m == 1 else m for n, m in pairs)


def padded(one, other, join):
    longer = max(len(one), len(other))
    one = (*[1] * (longer - len(one)), *one)
    other = (*[1] * (longer - len(other)), *other)
    return join(one, other)


def largest(one, other):
    return padded(one, other, lambda a, b: tuple(map(max, a, b)))


def largest_that_fits(one, other):
    def join(a, b):
        fitted(a, b)
        return tuple(map(max, a, b))

    return padded(one, other, join)


def equal_lengths_only(one, other):
    if len(one) != len(other):
        raise ValueError("different numbers of axes")
    return fitted(one, other)


def as_list(one, other):
    return list(padded(one, other, fitted))


def slopes(up=1.0, down=1.0, width=2.0, copy=True, flat=False):
    def answer(f, x, h=1e-4):
        result = torch.zeros_like(x)
        for i in range(x.numel()):
            high, low = (x.clone(), x.clone()) if copy else (x, x.clone())
            high.view(-1)[i] += up * h
            low.view(-1)[i] -= down * h
            result.view(-1)[i] = (f(high) - f(low)) / (width * h)
        return result.view(-1) if flat else result

    return answer


def by_autograd(f, x, h=1e-4):
    x = x.clone().requires_grad_()
    f(x).backward()
    return x.grad


def epoch(softmax=False, reset="before", number=True, by_points=True, mode=True):
    def answer(model, optimizer, batches):
        if mode:
            model.train()
        total, seen = 0, 0
        for points, classes in batches:
            logits = model(points)
            loss = F.cross_entropy(logits.softmax(1) if softmax else logits, classes)
            if reset == "before":
                optimizer.zero_grad()
            loss.backward()
            if reset == "between":
                optimizer.zero_grad()
            optimizer.step()
            weight = len(classes) if by_points else 1
            total += (loss.item() if number else loss) * weight
            seen += weight
        return total / seen

    return answer


def share(by_rank=False, by_epoch=True, shuffled=True, fill=True, early=False):
    def answer(n, rank, processes, epoch, seed=0):
        chance = torch.Generator()
        chance.manual_seed(1000 * seed + epoch * by_epoch + 77 * rank * by_rank)
        order = list(range(n))
        if shuffled and not early:
            order = torch.randperm(n, generator=chance).tolist()
        while fill and len(order) % processes:
            order.append(order[len(order) - n])
        own = order[rank::processes]
        if early:  # divided first, shuffled then
            own = [own[i] for i in torch.randperm(len(own), generator=chance).tolist()]
        return own

    return answer


def too_much(n, rank, processes, epoch, seed=0):
    own = share()(n, rank, processes, epoch, seed)
    return own + own[:1]


PLANTED = {
    "A.1": [
        ("of x", "is the shape of x", [(2, 3, 4), (12, 4, 1), 19]),
        ("strides of x", "are the strides of x", [(4, 3, 2), (12, 4, 1), 19]),
        ("fresh", "no number was moved", [(4, 3, 2), (6, 2, 1), 21]),
        ("fresh place", "use y's strides", [(4, 3, 2), (1, 4, 12), 21]),
        ("two facts", "expected a shape", [(4, 3, 2), (1, 4, 12)]),
    ],
    "A.2": [
        ("from the left", "compared from the right", left_aligned),
        ("equal only", "different numbers of axes", equal_lengths_only),
        ("the larger one", "do not fit together", largest),
        ("zero", "gives way to 0", largest_that_fits),
        ("a list", "a shape is a tuple", as_list),
    ],
    "A.3": [
        ("one path", "straight into the sum is missing", [3, -4]),
        ("other path", "through the product is missing", [-2, -4]),
        ("slopes of u", "the square comes after it", [-0.5, 2]),
        ("sign", "b: the sign is wrong", [1, 4]),
    ],
    "A.4": [
        ("one side", "too coarse", slopes(down=0.0, width=1.0)),
        ("no factor 2", "twice what it should be", slopes(width=1.0)),
        ("in place", "x itself was changed", slopes(copy=False)),
        ("flat", "the result has shape", slopes(flat=True)),
        ("autograd", "do without", by_autograd),
    ],
    "A.5": [
        ("softmax", "does the softmax itself", epoch(softmax=True)),
        ("between", "has not changed at all", epoch(reset="between")),
        ("no reset", "slopes of earlier batches", epoch(reset="never")),
        ("graphs", "a tensor with a history", epoch(number=False)),
        ("mean of means", "the mean over batches", epoch(by_points=False)),
        ("mode", "call train() first", epoch(mode=False)),
    ],
    "A.6": [
        ("by rank", "do all shuffle alike", share(by_rank=True)),
        ("no epoch", "has the order of epoch 0", share(by_epoch=False)),
        ("in order", "is not shuffled", share(shuffled=False)),
        ("uneven", "the shares have the lengths", share(fill=False)),
        ("divided first", "before you divide", share(early=True)),
        ("one more", "for each are enough", too_much),
    ],
    "A.7": [
        ("a line", "only", nn.Linear(2, 2)),
        ("large", "40 are allowed", nn.Linear(2, 20)),
        ("no parameters", "layers in a list", nn.Tanh()),
        ("one logit", "logits of the shape", nn.Linear(2, 1)),
        ("a function", "expected a trained module", torch.tanh),
    ],
}
