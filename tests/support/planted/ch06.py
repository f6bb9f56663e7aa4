"""Wrong answers to chapter 6's exercises, and words that their verdicts must hold."""

import math

import torch
from torch.nn import functional as F


def read(index, after=lambda logits: logits):
    def answer(model, ids, mask):
        logits = model(ids)
        return after(logits[torch.arange(len(ids)), index(mask)])

    return answer


def pooled(pool):
    return lambda model, ids, mask: pool(model(ids), mask)


def real_mean(logits, mask):
    return (logits * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def counts(labels, verdicts, positive=1):
    pairs = [
        (y == positive, v == positive) for y, v in zip(labels, verdicts, strict=True)
    ]
    return (
        pairs.count((True, True)),
        pairs.count((False, True)),
        pairs.count((True, False)),
        pairs.count((False, False)),
    )


def divide(a, b):
    return a / b if b else 0


def scores(change, positive=1, safe=True):
    """The right four numbers from the counts, some of them changed."""

    def answer(labels, verdicts):
        tp, fp, fn, tn = counts(labels, verdicts, positive)
        share = divide if safe else (lambda a, b: a / b)
        right = {
            "accuracy": share(tp + tn, tp + fp + fn + tn),
            "precision": share(tp, tp + fp),
            "recall": share(tp, tp + fn),
            "f1": share(2 * tp, 2 * tp + fp + fn),
        }
        return tuple((right | change(tp, fp, fn, tn, **right)).values())

    return answer


def logit(p):
    return math.log(p / (1 - p))


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def balanced(
    weights=(1.0, 1.0), pool="mean", missing=False, numbers=False, first=False
):
    def answer(logits, labels):
        logits = logits.softmax(1) if first else logits
        losses = F.cross_entropy(logits, labels, reduction="none")
        if pool == "plain":
            return losses.mean()
        if pool == "sum of all":
            return losses.sum()
        classes = [0, 1] if missing else labels.unique().tolist()
        means = [weights[c] * losses[labels == c].mean() for c in classes]
        total = sum(means)
        result = total if pool == "sum" else total / len(means)
        return torch.tensor(result.item()) if numbers else result

    return answer


def leak(found):
    """Leaks by a set of training keys; `found` picks what is returned."""

    def answer(train, test, key):
        seen = {key(text): (text, label) for text, label in train}
        return found(seen, test, key)

    return answer


def slow_leaks(train, test, key):
    return [m for m in test if any(key(m[0]) == key(other[0]) for other in train)]


def once_each(seen, test, key):
    found = {}
    for text, label in test:
        if key(text) in seen:
            found.setdefault(key(text), (text, label))
    return list(found.values())


def by_words(messages):
    spam = {w for text, label in messages if label for w in text.split()}
    ham = {w for text, label in messages if not label for w in text.split()}
    return lambda texts: [int(len(set(t.split()) & (spam - ham)) > 2) for t in texts]


PLANTED = {
    "6.1": [
        ("recall", "which does not depend on the mix", [0.8, 0.8, 0.8]),
        ("equal classes", "for equal classes, three times", [0.988, 0.988, 0.988]),
        ("accuracy", "that is the accuracy", [0.895, 0.971, 0.988]),
        ("false share", "the precision is the rest", [0.012, 0.101, 0.553]),
        ("percentages", "these are percentages", [98.8, 89.9, 44.7]),
        ("order", "in the opposite order", [0.447, 0.899, 0.988]),
        ("one wrong", "with 1% of spam the precision is not 0.8", [0.988, 0.899, 0.8]),
        ("two only", "expected three numbers", [0.988, 0.899]),
    ],
    "6.2": [
        (
            "last position",
            "at the last position, which is padding",
            pooled(lambda z, m: z[:, -1]),
        ),
        ("first token", "at the first token", pooled(lambda z, m: z[:, 0])),
        ("mean", "the mean over all positions", pooled(lambda z, m: z.mean(1))),
        ("real mean", "the mean over the real tokens", pooled(real_mean)),
        ("early", "one token too early", read(lambda m: m.sum(1) - 2)),
        (
            "late",
            "one position too late",
            read(lambda m: m.sum(1).clamp(max=m.shape[1] - 1)),
        ),
        ("one end", "read where the first one ends", read(lambda m: m[0].sum() - 1)),
        (
            "largest",
            "its largest logit over all positions",
            pooled(lambda z, m: z.max(1).values),
        ),
        (
            "probabilities",
            "these are probabilities",
            read(lambda m: m.sum(1) - 1, lambda z: z.softmax(-1)),
        ),
        ("everything", "the logits of all positions", pooled(lambda z, m: z)),
        (
            "all pairs",
            "takes all positions of all rows",
            pooled(lambda z, m: z[:, m.sum(1) - 1]),
        ),
        (
            "classes",
            "you return the classes",
            read(lambda m: m.sum(1) - 1, lambda z: z.argmax(-1)),
        ),
        ("transposed", "expected (B, K)", read(lambda m: m.sum(1) - 1, lambda z: z.T)),
        (
            "list",
            "expected a tensor, got list",
            read(lambda m: m.sum(1) - 1, lambda z: z.tolist()),
        ),
        ("too far", "your code stopped with IndexError", read(lambda m: m.sum(1))),
    ],
    "6.3": [
        (
            "swapped",
            "have changed places",
            scores(
                lambda *_, precision, recall, **__: {
                    "precision": recall,
                    "recall": precision,
                }
            ),
        ),
        (
            "class 0",
            "0 for the positive class",
            scores(lambda *_, **__: {}, positive=0),
        ),
        (
            "percent",
            "these are percentages",
            scores(lambda *_, **right: {k: 100 * v for k, v in right.items()}),
        ),
        (
            "order",
            "accuracy first, F1 last",
            scores(lambda *_, accuracy, f1, **__: {"accuracy": f1, "f1": accuracy}),
        ),
        (
            "share of 1",
            "share of verdicts that are 1",
            scores(
                lambda tp, fp, fn, tn, **_: {
                    "accuracy": (tp + fp) / (tp + fp + fn + tn)
                }
            ),
        ),
        (
            "errors",
            "the share of errors",
            scores(
                lambda tp, fp, fn, tn, **_: {
                    "accuracy": (fp + fn) / (tp + fp + fn + tn)
                }
            ),
        ),
        (
            "precision of all",
            "your precision divides by all",
            scores(lambda tp, fp, fn, tn, **_: {"precision": tp / (tp + fp + fn + tn)}),
        ),
        (
            "specificity",
            "its name is specificity",
            scores(lambda tp, fp, fn, tn, **_: {"recall": divide(tn, tn + fp)}),
        ),
        (
            "recall of all",
            "your recall divides by all",
            scores(lambda tp, fp, fn, tn, **_: {"recall": tp / (tp + fp + fn + tn)}),
        ),
        (
            "plain mean",
            "the plain mean of precision and recall",
            scores(
                lambda *_, precision, recall, **__: {"f1": (precision + recall) / 2}
            ),
        ),
        (
            "product",
            "the product of precision and recall",
            scores(lambda *_, precision, recall, **__: {"f1": precision * recall}),
        ),
        (
            "half",
            "lacks a factor of 2",
            scores(
                lambda *_, precision, recall, **__: {
                    "f1": divide(precision * recall, precision + recall)
                }
            ),
        ),
        ("division by 0", "a division by 0", scores(lambda *_, **__: {}, safe=False)),
        (
            "ones",
            "where no verdict is 1, precision",
            scores(
                lambda tp, fp, *_, precision, **__: {
                    "precision": precision if tp + fp else 1
                }
            ),
        ),
        (
            "three",
            "expected accuracy, precision, recall and F1, got 3",
            lambda y, v: (1, 1, 1),
        ),
    ],
    "6.4": [
        ("as it is", "nothing is corrected", lambda p, t, r: p),
        ("added", "to a probability; they", lambda p, t, r: p + logit(r) - logit(t)),
        (
            "reversed",
            "in the wrong direction",
            lambda p, t, r: sigmoid(logit(p) - logit(r) + logit(t)),
        ),
        ("kept", "is still there, too", lambda p, t, r: sigmoid(logit(p) + logit(r))),
        (
            "not put in",
            "the real one is not in",
            lambda p, t, r: sigmoid(logit(p) - logit(t)),
        ),
        (
            "log-odds",
            "those are log-odds",
            lambda p, t, r: logit(p) - logit(t) + logit(r),
        ),
        ("ratio", "what is multiplied are the odds", lambda p, t, r: p * r / t),
        (
            "half a rule",
            "but ham's did not",
            lambda p, t, r: p * r / t / (p * r / t + 1 - p),
        ),
        (
            "odds",
            "a probability is odds / (1 + odds)",
            lambda p, t, r: math.exp(logit(p) - logit(t) + logit(r)),
        ),
        ("mean", "the mean of the model's probability", lambda p, t, r: (p + r) / 2),
        ("difference", "take their logits", lambda p, t, r: sigmoid(logit(p) + r - t)),
        (
            "ham",
            "that is the probability of ham",
            lambda p, t, r: 1 - sigmoid(logit(p) - logit(t) + logit(r)),
        ),
        (
            "base 10",
            "expected 0.336",
            lambda p, t, r: sigmoid((logit(p) - logit(t) + logit(r)) / math.log(10)),
        ),
    ],
    "6.5": [
        ("beginning", "only the beginning is kept", lambda ids, n: ids[:n]),
        ("end", "only the end is kept", lambda ids, n: ids[-n:]),
        (
            "longer end",
            "one more than the end, not the other",
            lambda ids, n: ids if len(ids) <= n else ids[: n // 2] + ids[n // 2 - n :],
        ),
        (
            "minus zero",
            "for n = 1 the first id is kept",
            lambda ids, n: (
                ids if len(ids) <= n else ids[: n - n // 2] + ids[-(n // 2) :]
            ),
        ),
        (
            "short lists",
            "a list of 10 is short enough",
            lambda ids, n: (
                ids[: n - n // 2] + ids[len(ids) - n // 2 :]
                if n < 12
                else ids + ids[:2]
            ),
        ),
        ("too many", "for n = 4 you keep 8 ids", lambda ids, n: ids[:n] + ids[-n:]),
    ],
    "6.6": [
        ("nothing", "nothing is found", lambda train, test, key: []),
        (
            "the others",
            "that do not leak",
            leak(lambda seen, test, key: [m for m in test if key(m[0]) not in seen]),
        ),
        (
            "texts",
            "not their texts",
            leak(lambda seen, test, key: [t for t, _ in test if key(t) in seen]),
        ),
        (
            "of train",
            "these are messages of `train`",
            leak(
                lambda seen, test, key: [
                    seen[key(t)] for t, _ in test if key(t) in seen
                ][:2]
            ),
        ),
        ("once each", "are two leaks; return both", leak(once_each)),
        (
            "reversed",
            "not in the order of `test`",
            leak(lambda seen, test, key: [m for m in test if key(m[0]) in seen][::-1]),
        ),
        ("slow", "use a set", slow_leaks),
    ],
    "6.7": [
        ("plain", "that is the plain mean", balanced(pool="plain")),
        ("sum", "that is the sum over the batch", balanced(pool="sum of all")),
        ("two means", "that is the sum of the two means", balanced(pool="sum")),
        ("ham alone", "of the ham messages alone", balanced((2.0, 0.0))),
        ("spam alone", "of the spam messages alone", balanced((0.0, 2.0))),
        ("softmax", "does the softmax itself", balanced(first=True)),
        ("number", "the loss has no gradient", balanced(numbers=True)),
        ("missing", "is in the batch, the loss is NaN", balanced(missing=True)),
    ],
    "6.8": [
        ("never", "no spam is found at all", lambda m: lambda texts: [0] * len(texts)),
        ("words", "the check asks for 0.90", by_words),
        ("one verdict", "verdicts of 0 or 1, got 1", lambda m: lambda texts: [1]),
        ("list", "returns a function from texts", lambda m: [0] * 463),
    ],
}
