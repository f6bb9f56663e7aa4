"""Wrong answers to appendix A's exercises, and words that their verdicts must hold."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Value:
    """The class that section A.4 builds."""

    def __init__(self, data, parents=(), local_grads=()):
        self.data, self.grad = data, 0.0
        self.parents, self.local_grads = parents, local_grads

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def tanh(self):
        t = math.tanh(self.data)
        return Value(t, (self,), (1 - t * t,))


def divides(
    value=lambda u, v: u / v,
    grads=lambda u, v: (1 / v, -u / v**2),
    parents=lambda one, other: (one, other),
):
    """A way to divide, with one of its three parts replaced."""

    def divide(one, other):
        u, v = one.data, other.data
        return Value(value(u, v), parents(one, other), grads(u, v))

    return divide


def only_a_number(one, other):
    return one.data / other.data


def fills_grad(one, other):
    one.grad += 1 / other.data
    other.grad -= one.data / other.data**2
    return divides()(one, other)


def first_and_last_only(one, other):
    """Right for different numbers, wrong for one divided by itself."""
    if one is other:
        return Value(1.0, (one,), (1 / one.data,))
    return divides()(one, other)


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


def differences(up=1.0, down=1.0, width=2.0, copy=True, flat=False):
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


def epoch(softmax=False, reset="before", number=True, result="mean", mode=True):
    def answer(model, optimizer, batches):
        if mode:
            model.train()
        weighted, plain, seen = 0, 0, 0
        for points, classes in batches:
            logits = model(points)
            loss = F.cross_entropy(logits.softmax(1) if softmax else logits, classes)
            if reset == "before":
                optimizer.zero_grad()
            loss.backward()
            if reset == "between":
                optimizer.zero_grad()
            optimizer.step()
            last = loss.item() if number else loss
            weighted, plain = weighted + last * len(classes), plain + last
            seen += len(classes)
            if result == "early":
                return weighted / seen
        return {
            "mean": weighted / seen,
            "of means": plain / len(batches),
            "sum": weighted,
            "sum by batches": weighted / len(batches),
            "sum of means": plain,
            "last": last,
            "means by points": plain / seen,
            "none": None,
        }[result]

    return answer


def no_step(model, optimizer, batches):
    model.train()
    losses = [F.cross_entropy(model(x), y).item() * len(y) for x, y in batches]
    return sum(losses) / sum(len(y) for _, y in batches)


def detached(model, optimizer, batches):
    return torch.tensor(epoch()(model, optimizer, batches))


def small_steps(model, optimizer, batches):
    """The loss is divided by the number of points before backward."""
    model.train()
    total, seen = 0.0, 0
    for x, y in batches:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        (loss / len(y)).backward()
        optimizer.step()
        total, seen = total + loss.item() * len(y), seen + len(y)
    return total / seen


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
        ("neighbors", "swaps two neighboring axes", [(3, 2, 4), (1, 4, 12), 19]),
        ("strides of x", "are the strides of x", [(4, 3, 2), (12, 4, 1), 19]),
        ("fresh", "no number was moved", [(4, 3, 2), (6, 2, 1), 21]),
        ("lengths", "are the lengths of y's axes", [(4, 3, 2), (4, 3, 2), 19]),
        ("bytes", "you count bytes", [(4, 3, 2), (4, 16, 48), 76]),
        ("bytes of int64", "you count bytes", [(4, 3, 2), (8, 32, 96), 152]),
        ("rows of 3", "a row of 4 numbers", [(4, 3, 2), (1, 3, 12), 18]),
        ("tables of 8", "3 rows of 4", [(4, 3, 2), (1, 4, 8), 15]),
        ("fresh place", "use y's strides", [(4, 3, 2), (1, 4, 12), 21]),
        ("from one", "counted from 0", [(4, 3, 2), (1, 4, 12), 20]),
        ("indices", "added up the indices", [(4, 3, 2), (1, 4, 12), 5]),
        ("strides of x, again", "only 24 places", [(4, 3, 2), (1, 4, 12), 41]),
        ("two axes", "holds a different number", [(4, 3, 2), (1, 4, 12), 7]),
        ("in quotes", "is text; give numbers", [(4, 3, 2), (1, 4, 12), "19"]),
        ("two facts", "expected a shape", [(4, 3, 2), (1, 4, 12)]),
    ],
    "A.2": [
        ("a number", "got one of type float", only_a_number),
        ("whole", "cuts the decimals off", divides(value=lambda u, v: u // v)),
        ("product", "is the product", divides(value=lambda u, v: u * v)),
        ("upside down", "upside down", divides(value=lambda u, v: v / u)),
        (
            "no parents",
            "has no parents",
            divides(parents=lambda *_: (), grads=lambda *_: ()),
        ),
        (
            "one parent",
            "is not among the parents",
            divides(parents=lambda u, v: (u,), grads=lambda u, v: (1 / v,)),
        ),
        (
            "copies",
            "is a new object",
            divides(parents=lambda u, v: (Value(u.data), Value(v.data))),
        ),
        ("no gradients", "as many local gradients", divides(grads=lambda u, v: ())),
        ("in forward", "changed in the forward pass", fills_grad),
        (
            "order",
            "stand in the wrong order",
            divides(grads=lambda u, v: (-u / v**2, 1 / v)),
        ),
        ("of a product", "those of a product", divides(grads=lambda u, v: (v, u))),
        (
            "of a difference",
            "those of a difference",
            divides(grads=lambda u, v: (1.0, -1.0)),
        ),
        ("sign", "one wrong sign", divides(grads=lambda u, v: (1 / v, u / v**2))),
        ("no u", "leave out u", divides(grads=lambda u, v: (1 / v, -1 / v**2))),
        ("once", "only once", divides(grads=lambda u, v: (1 / v, -u / v))),
        ("constant", "as a constant", divides(grads=lambda u, v: (1 / v, 0.0))),
        ("else", "differences find", divides(grads=lambda u, v: (u, -v))),
        ("by itself", "is always 1", first_and_last_only),
    ],
    "A.3": [
        ("softmax", "does the softmax itself", epoch(softmax=True)),
        ("between", "has not changed at all", epoch(reset="between")),
        ("no step", "has not changed at all", no_step),
        ("no reset", "gradients of earlier batches", epoch(reset="never")),
        ("early", "only the first batch", epoch(result="early")),
        ("small steps", "not those of a right loop", small_steps),
        ("mode", "call train() first", epoch(mode=False)),
        ("graphs", "a tensor with a history", epoch(number=False)),
        ("a tensor", "return a plain number", detached),
        ("nothing", "nothing comes back", epoch(result="none")),
        ("mean of means", "the mean over batches", epoch(result="of means")),
        ("sum", "the sum over all points;", epoch(result="sum")),
        ("sum by batches", "divided by the number", epoch(result="sum by batches")),
        ("sum of means", "the sum of the batches' means", epoch(result="sum of means")),
        ("last", "the last batch alone", epoch(result="last")),
        ("means by points", "a mean already", epoch(result="means by points")),
    ],
    "A.4": [
        ("from the left", "compared from the right", left_aligned),
        ("equal only", "different numbers of axes", equal_lengths_only),
        ("the larger one", "do not fit together", largest),
        ("zero", "gives way to 0", largest_that_fits),
        ("a list", "a shape is a tuple", as_list),
    ],
    "A.5": [
        ("one path", "straight into the sum is missing", [3, -4]),
        ("other path", "through the product is missing", [-2, -4]),
        ("gradients of u", "the square comes after it", [-0.5, 2]),
        ("sign", "b: the sign is wrong", [1, 4]),
    ],
    "A.6": [
        ("one side", "too coarse", differences(down=0.0, width=1.0)),
        ("no factor 2", "twice what it should be", differences(width=1.0)),
        ("in place", "x itself was changed", differences(copy=False)),
        ("flat", "the result has shape", differences(flat=True)),
        ("autograd", "do without", by_autograd),
    ],
    "A.7": [
        ("by rank", "do all shuffle alike", share(by_rank=True)),
        ("no epoch", "has the order of epoch 0", share(by_epoch=False)),
        ("in order", "is not shuffled", share(shuffled=False)),
        ("uneven", "the shares have the lengths", share(fill=False)),
        ("divided first", "before you divide", share(early=True)),
        ("one more", "for each are enough", too_much),
    ],
    "A.8": [
        ("a line", "only", nn.Linear(2, 2)),
        ("large", "40 are allowed", nn.Linear(2, 20)),
        ("no parameters", "layers in a list", nn.Tanh()),
        ("one logit", "logits of the shape", nn.Linear(2, 1)),
        ("a function", "expected a trained module", torch.tanh),
    ],
}
