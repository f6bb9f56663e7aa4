"""Checks of chapter 6's exercises. Not built on a page."""

import functools
import math
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.classify import (
    confusion,
    drop_near_duplicates,
    logit,
    replace_head,
    split,
)
from llmbook_utils.config import GPTConfig
from llmbook_utils.exercises import exercise, fresh, numbers, require, varied
from llmbook_utils.exercises.by_hand import by_hand, must_be, must_not_be
from llmbook_utils.files.datasets import fetch
from llmbook_utils.files.labeled import Message, read_labeled
from llmbook_utils.model import GPTModel

TINY = GPTConfig(
    vocab_size=31, context_length=13, emb_dim=16, n_heads=4, n_layers=2, drop_rate=0.0
)


def _close(a: float, b: float, tolerance: float = 0.002) -> bool:
    return abs(a - b) <= tolerance


_SHARES = (0.5, 0.1, 0.01)
_PRECISIONS = tuple(0.8 * s / (0.8 * s + 0.01 * (1 - s)) for s in _SHARES)

by_hand(
    "6.1",
    "Precision in the wild",
    hints=(
        "Imagine 1,000 messages. How many are spam, and how many of both kinds are "
        "accused?",
        "With 10 % spam there are 100 spam and 900 ham. 80 of the spam are accused, "
        "and 9 of the ham. What share of these accusations is right?",
        "The precision is 0.8 s / (0.8 s + 0.01 (1 - s)) for a share s of spam; put in "
        "0.5, 0.1 and 0.01.",
    ),
    fields=("with 50 % of spam", "with 10 % of spam", "with 1 % of spam"),
    expected="three numbers, for 50 %, 10 % and 1 % of spam",
    within=0.002,
    rules=[
        must_not_be(
            range(3),
            _PRECISIONS[::-1],
            "these are the three right numbers in the opposite order",
        ),
        must_not_be(
            range(3),
            [100 * x for x in _PRECISIONS],
            "these are percentages; write shares, such as 0.5 for 50 %",
            0.2,
        ),
        must_not_be(
            range(3),
            [_PRECISIONS[0]] * 3,
            "that is the precision for equal classes, three times; with less spam "
            "there is more ham to accuse",
        ),
        must_not_be(
            range(3),
            [0.8 * s + 0.99 * (1 - s) for s in _SHARES],
            "that is the accuracy: the share of all verdicts that are right",
        ),
        must_not_be(
            range(3),
            [1 - x for x in _PRECISIONS],
            "that is the share of accusations that are false; the precision is the "
            "rest",
        ),
        must_not_be(
            range(3),
            [0.8] * 3,
            "that is the recall, which does not depend on the mix",
        ),
        *(
            must_be(
                at,
                _PRECISIONS[at],
                f"with {s:.0%} of spam the precision is not {{{at}}}",
            )
            for at, s in enumerate(_SHARES)
        ),
    ],
    right="Right: 0.988, 0.899 and 0.447. The classifier is the same in all three.",
)


def _classifier(n_classes: int = 3, seed: int = 6) -> GPTModel:
    """A small model with a new head, all of whose weights differ."""
    with torch.random.fork_rng():
        torch.manual_seed(varied(seed))
        model = replace_head(GPTModel(TINY), n_classes)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
    return model.eval()


def _padded(lengths: Sequence[int], width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(varied(len(lengths)))
    mask = torch.arange(width) < torch.tensor([[n] for n in lengths])
    ids = torch.randint(1, TINY.vocab_size, mask.shape, generator=generator)
    return ids * mask, mask


VERDICT_MISTAKES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "those are the logits at the last position, which is padding for most rows": (
        lambda logits, mask: logits[:, -1]
    ),
    "those are the logits at the first token, which has seen nothing but itself": (
        lambda logits, mask: logits[:, 0]
    ),
    "you took the mean over all positions, padding included; read one position": (
        lambda logits, mask: logits.mean(dim=1)
    ),
    "you took the mean over the real tokens; only the last of them has read it all": (
        lambda logits, mask: (logits * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    ),
    "you read one token too early: the sum of the mask is the number of real tokens, "
    "and positions count from 0": (
        lambda logits, mask: logits[torch.arange(len(mask)), mask.sum(1) - 2]
    ),
    "you read one position too late, at the first padding": (
        lambda logits, mask: logits[
            torch.arange(len(mask)), mask.sum(1).clamp(max=mask.shape[1] - 1)
        ]
    ),
    "every row is read where the first one ends; each row has its own end": (
        lambda logits, mask: logits[:, int(mask[0].sum()) - 1]
    ),
    "each class has its largest logit over all positions; read them at one position": (
        lambda logits, mask: logits.max(dim=1).values
    ),
    "these are probabilities; return the logits, without softmax": (
        lambda logits, mask: logits[torch.arange(len(mask)), mask.sum(1) - 1].softmax(1)
    ),
}


@exercise(
    "6.2",
    "Read the verdict",
    hints=(
        "The model gives logits for every position. Which position has seen the whole "
        "message and nothing else, and how do you find its number in the mask?",
        "mask.sum(dim=1) counts the real tokens of each row. Positions count from 0.",
        "logits = model(ids) has the shape (B, T, K). Index it with two tensors of "
        "length B: the rows' numbers, torch.arange(B), and the positions.",
    ),
)
def read_verdict(answer: Callable[..., Tensor]) -> str:
    """Compare with the right row of logits, and with those of known mistakes."""
    model = _classifier()
    ids, mask = _padded([4, 9, 1, 6], 9)
    with torch.no_grad():
        given = answer(model, ids.clone(), mask.clone())
        logits = model(ids)
    require(isinstance(given, Tensor), f"expected a tensor, got {type(given).__name__}")
    B, K = len(ids), logits.shape[2]
    require(
        given.shape != logits.shape,
        f"you return the logits of all positions, {tuple(logits.shape)}; take one "
        "position per row",
    )
    require(
        given.shape != (B, B, K),
        f"the result has the shape {(B, B, K)}: logits[:, positions] takes all "
        "positions of all rows; give the rows' numbers, too",
    )
    require(
        given.shape != (B,) or given.is_floating_point(),
        "you return the classes; return the logits, from which more can be told",
    )
    require(
        given.shape == (B, K),
        f"the result has the shape {tuple(given.shape)}, expected (B, K) = {(B, K)}",
    )
    for message, mistake in VERDICT_MISTAKES.items():
        require(not torch.allclose(given, mistake(logits, mask), atol=1e-4), message)
    expected = logits[torch.arange(B), mask.sum(1) - 1]
    require(
        torch.allclose(given, expected, atol=1e-4),
        "these are not the logits at each row's last real token",
    )
    ids, mask = _padded([3], 3)
    with torch.no_grad():
        alone = answer(model, ids, mask)
        require(
            alone.shape == (1, K)
            and torch.allclose(alone, model(ids)[:, -1], atol=1e-4),
            "right for that batch, but not for a batch of one row without padding",
        )
    return "Right: four messages, four verdicts, whatever they are padded to."


def _scores(tp: int, fp: int, fn: int, tn: int) -> tuple[float, ...]:
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    f1 = 2 * tp / (2 * tp + fp + fn)
    return (tp + tn) / (tp + fp + fn + tn), precision, recall, f1


@exercise(
    "6.3",
    "Four numbers from two lists",
    hints=(
        "Count the four cases first: label 1 and verdict 1, label 0 and verdict 1, and "
        "so on. Everything else is division.",
        "Precision divides by the number of verdicts that are 1, recall by the number "
        "of labels that are 1.",
        "With tp, fp, fn and tn counted: (tp + tn) / all, tp / (tp + fp), "
        "tp / (tp + fn) and 2 tp / (2 tp + fp + fn), each 0 where it would be divided "
        "by 0.",
    ),
)
def four_numbers(answer: Callable[..., Sequence[float]]) -> str:
    """Try counts that tell the mistakes apart, then empty denominators."""
    tp, fp, fn, tn = 6, 3, 2, 10
    pairs = [(1, 1)] * tp + [(0, 1)] * fp + [(1, 0)] * fn + [(0, 0)] * tn
    random.Random(1).shuffle(pairs)
    labels, verdicts = (list(column) for column in zip(*pairs, strict=True))
    given = numbers(answer(labels, verdicts), 4, "accuracy, precision, recall and F1")
    accuracy, precision, recall, f1 = _scores(tp, fp, fn, tn)
    mirrored = _scores(tn, fn, fp, tp)
    mistakes: list[tuple[Sequence[float], str]] = [
        ((accuracy, recall, precision, f1), "precision and recall have changed places"),
        (mirrored, "you took 0 for the positive class; it is 1 that is looked for"),
        (
            [100 * x for x in (accuracy, precision, recall, f1)],
            "these are percentages; return shares from 0 to 1",
        ),
        ((f1, precision, recall, accuracy), "accuracy first, F1 last"),
    ]
    for value, message in mistakes:
        require(
            not all(_close(a, b, 1e-3) for a, b in zip(given, value, strict=True)),
            message,
        )
    _judge_each(given, (tp, fp, fn, tn))
    for case, name in (([1, 0], "no verdict"), ([0, 0], "neither label nor verdict")):
        try:
            empty = answer(case, [0, 0])
        except ZeroDivisionError:
            require(False, f"a division by 0 where {name} is 1; the score is 0 then")
        require(
            [round(float(x), 6) for x in empty] == [1 - sum(case) / 2, 0, 0, 0],
            f"where {name} is 1, precision, recall and F1 are 0, but you return "
            f"{tuple(empty)}",
        )
    for chance in fresh(4):
        _judge_drawn(answer, [chance.randint(1, 12) for _ in range(4)], chance)
    return "Right, and nothing is divided by 0."


def _judge_drawn(
    answer: Callable[..., Sequence[float]], counts: list[int], chance: random.Random
) -> None:
    """Compare the four numbers for other counts."""
    tp, fp, fn, tn = counts
    pairs = [(1, 1)] * tp + [(0, 1)] * fp + [(1, 0)] * fn + [(0, 0)] * tn
    chance.shuffle(pairs)
    labels, verdicts = (list(column) for column in zip(*pairs, strict=True))
    given = numbers(answer(labels, verdicts), 4, "accuracy, precision, recall and F1")
    right = _scores(tp, fp, fn, tn)
    require(
        all(_close(x, y, 1e-3) for x, y in zip(given, right, strict=True)),
        f"with tp = {tp}, fp = {fp}, fn = {fn}, tn = {tn} the four numbers are "
        f"{[round(x, 3) for x in right]}, not {[round(x, 3) for x in given]}",
    )


def _judge_each(given: Sequence[float], counts: tuple[int, int, int, int]) -> None:
    """Name what is wrong with the first of the four numbers that is."""
    tp, fp, fn, tn = counts
    total = sum(counts)
    accuracy, precision, recall, f1 = _scores(*counts)
    wrong: list[tuple[int, float, str]] = [
        (
            0,
            (tp + fp) / total,
            "that is the share of verdicts that are 1, not of right ones",
        ),
        (0, 1 - accuracy, "your accuracy is the share of errors"),
        (
            1,
            tp / total,
            "your precision divides by all messages; divide by the verdicts that are 1",
        ),
        (
            2,
            tn / (tn + fp),
            "your recall is that of the class 0 (its name is specificity)",
        ),
        (
            2,
            tp / total,
            "your recall divides by all messages; divide by the labels that are 1",
        ),
        (
            3,
            (precision + recall) / 2,
            "your F1 is the plain mean of precision and "
            "recall; it should be the harmonic one",
        ),
        (3, precision * recall, "your F1 is the product of precision and recall"),
        (3, precision * recall / (precision + recall), "your F1 lacks a factor of 2"),
        (
            3,
            math.sqrt(precision * recall),
            "your F1 is the geometric mean; it should be the harmonic one",
        ),
    ]
    for place, value, message in wrong:
        require(not _close(given[place], value, 1e-3), message)
    names = ("accuracy", "precision", "recall", "F1")
    for name, x, expected in zip(
        names, given, (accuracy, precision, recall, f1), strict=True
    ):
        require(
            _close(x, expected, 1e-3),
            f"with tp = {tp}, fp = {fp}, fn = {fn}, tn = {tn} the {name} is "
            f"{expected:.3f}, not {x:.3f}",
        )


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


PRIOR_MISTAKES: dict[str, Callable[[float, float, float], float]] = {
    "that is the probability as it came in; nothing is corrected": lambda p, t, r: p,
    "you added the shares' log-odds to a probability; they are added to log-odds": (
        lambda p, t, r: p + logit(r) - logit(t)
    ),
    "the right size in the wrong direction: take training's prior out and put the real "
    "one in": lambda p, t, r: _sigmoid(logit(p) - logit(r) + logit(t)),
    "the real prior is in, but that of training is still there, too": (
        lambda p, t, r: _sigmoid(logit(p) + logit(r))
    ),
    "training's prior is out, but the real one is not in": (
        lambda p, t, r: _sigmoid(logit(p) - logit(t))
    ),
    "those are log-odds; make a probability of them at the end": (
        lambda p, t, r: logit(p) + logit(r) - logit(t)
    ),
    "you multiplied the probability by the ratio of the shares; what is multiplied are "
    "the odds": lambda p, t, r: p * r / t,
    "spam's probability got its new share, but ham's did not": (
        lambda p, t, r: p * r / t / (p * r / t + 1 - p)
    ),
    "those are odds, p / (1 - p); a probability is odds / (1 + odds)": (
        lambda p, t, r: math.exp(logit(p) + logit(r) - logit(t))
    ),
    "that is the mean of the model's probability and the real share": (
        lambda p, t, r: (p + r) / 2
    ),
    "you added the difference of the shares to the log-odds; take their logits": (
        lambda p, t, r: _sigmoid(logit(p) + r - t)
    ),
    "that is the probability of ham": (
        lambda p, t, r: 1 - _sigmoid(logit(p) + logit(r) - logit(t))
    ),
}


@exercise(
    "6.4",
    "Another prior",
    hints=(
        "Go to log-odds, correct there, and come back.",
        "The log-odds of a share s are log(s / (1 - s)). Training's are taken out, the "
        "real ones put in.",
        "z = log(p / (1 - p)) - log(t / (1 - t)) + log(r / (1 - r)), for the "
        "probability p and the two shares t and r; then back to a probability with "
        "1 / (1 + exp(-z)).",
    ),
)
def another_prior(answer: Callable[..., float]) -> str:
    """Try three priors; look for the mistake at one that tells them apart."""
    cases = [(0.82, 0.5, 0.1), (0.3, 0.2, 0.6), (0.97, 0.4, 0.05)]
    for chance in fresh(4):
        p, t, r = (round(chance.uniform(0.05, 0.95), 2) for _ in range(3))
        cases.append((p, t, r))
    given = [float(answer(*case)) for case in cases]
    for message, mistake in PRIOR_MISTAKES.items():
        alike = (_close(x, mistake(*c)) for x, c in zip(given, cases, strict=True))
        require(not all(alike), message)
    for x, (p, t, r) in zip(given, cases, strict=True):
        expected = _sigmoid(logit(p) - logit(t) + logit(r))
        require(
            _close(x, expected),
            f"correct_prior({p}, {t}, {r}) is {x:.3f}, expected {expected:.3f}",
        )
    same = float(answer(0.7, 0.3, 0.3))
    require(_close(same, 0.7), f"where both shares are equal, 0.7 stays, not {same:g}")
    return "Right: and where both shares are equal, nothing changes."


@exercise(
    "6.5",
    "Keep both ends",
    hints=(
        "How many come from the beginning, and how many from the end?",
        "For n = 5 it is 3 and 2. Careful with the end: ids[-0:] is the whole list.",
        "tail = n // 2, head = n - tail; ids[:head] + ids[len(ids) - tail:], if the "
        "list is longer than n.",
    ),
)
def keep_ends(answer: Callable[..., list[int]]) -> str:
    """Try even and odd limits, short lists, and a limit of one."""
    ids = list(range(10, 20))
    for n in (4, 5, 9):
        given = list(answer(list(ids), n))
        require(given != ids[:n], f"for n = {n} only the beginning is kept: {given}")
        require(given != ids[-n:], f"for n = {n} only the end is kept: {given}")
        tail = n // 2
        other = ids[:tail] + ids[tail - n :]
        require(
            n % 2 == 0 or given != other,
            f"for n = {n} the beginning gets one more than the end, not the other way",
        )
        require(len(given) == n, f"for n = {n} you keep {len(given)} ids: {given}")
        require(
            given == ids[: n - tail] + ids[len(ids) - tail :],
            f"for n = {n} you keep {given}",
        )
    one = list(answer(list(ids), 1))
    require(one == [10], f"for n = 1 the first id is kept, but you return {one}")
    for n in (10, 12):
        whole = list(answer(list(ids), n))
        require(
            whole == ids,
            f"a list of 10 is short enough for n = {n}; you return {whole}",
        )
    for chance in fresh(8):
        ids = chance.sample(range(99), chance.randint(2, 30))
        n = chance.randint(1, len(ids))
        right = ids[: n - n // 2] + ids[len(ids) - n // 2 :]
        given = list(answer(list(ids), n))
        require(
            given == right, f"of {ids} and n = {n} you keep {given}, expected {right}"
        )
    return "Right: both ends stay."


@exercise(
    "6.6",
    "Find the leaks",
    hints=(
        "The same key twice means a leak. In what kind of collection is it quick to "
        "see whether something is there?",
        "Make a set of the keys of the training messages first.",
        "seen = the set of key(text) for each text of train; then all (text, label) of "
        "test with key(text) in seen, in a list.",
    ),
)
def find_leaks(answer: Callable[..., list[Message]]) -> str:
    """Try a key that folds case, and count how often it is asked."""
    train = [("Call NOW", 1), ("see you", 0), ("ok", 0)]
    test = [("call now", 1), ("later", 0), ("SEE YOU", 0), ("call now", 0), ("Ok!", 0)]
    asked = 0

    def key(text: str) -> str:
        nonlocal asked
        asked += 1
        return text.lower()

    given = list(answer(list(train), list(test), key))
    expected = [test[0], test[2], test[3]]
    require(bool(given), "nothing is found; is `key` used on both lists?")
    require(set(given) != {test[1], test[4]}, "these are the messages that do not leak")
    require(
        given != [text for text, _ in expected],
        "return whole messages, (text, label), not their texts",
    )
    require(
        given != [train[0], train[1]] and not set(given) <= set(train),
        "these are messages of `train`; the ones of `test` are asked for",
    )
    require(
        given != [test[0], test[2]],
        "two messages of `test` with the same text are two leaks; return both",
    )
    require(
        sorted(given) != sorted(expected) or given == expected,
        "the right messages, but not in the order of `test`",
    )
    require(given == expected, f"expected {expected}, got {given}")
    for chance in fresh(4):
        texts = ["Yes", "yes", "NO", "no", "Now", "ring", "RING", "sea"]
        train, test = (
            [(text, chance.randint(0, 1)) for text in chance.choices(texts, k=n)]
            for n in (3, 8)
        )
        seen = {text.lower() for text, _ in train}
        expected = [message for message in test if message[0].lower() in seen]
        given = list(answer(list(train), list(test), key))
        require(
            given == expected,
            f"with train {train} and test {test} you get {given}, not {expected}",
        )
    asked = 0
    many = [(f"message {i}", 0) for i in range(300)]
    answer(many, many, key)
    require(
        asked <= 1500,
        f"for 300 messages in each list the key was asked for {asked:,} times: each "
        "message is compared with each other one; use a set",
    )
    return "Right, and ten thousand messages would take a moment only."


@exercise(
    "6.7",
    "Balance by weights",
    hints=(
        "F.cross_entropy can give one loss per message, if it is told not to reduce.",
        'F.cross_entropy(logits, labels, reduction="none") has the shape (B). Take the '
        "mean for each class that is there, then the mean of these means.",
        "losses[labels == 0].mean() and losses[labels == 1].mean(), each only if the "
        "batch has such labels, and then the mean of the one or two.",
    ),
)
def balanced_loss(answer: Callable[..., Tensor]) -> str:
    """Try an uneven batch, a batch of one class, and whether gradients flow."""
    generator = torch.Generator().manual_seed(varied(3))
    logits = torch.randn(12, 2, generator=generator)
    # a model that leans to ham, so that the two means are never alike
    logits = (logits + torch.tensor([2.0, 0.0])).requires_grad_()
    labels = torch.tensor([0] * 9 + [1] * 3)
    losses = F.cross_entropy(logits, labels, reduction="none")
    means = [losses[labels == c].mean() for c in (0, 1)]
    given = answer(logits, labels)
    require(isinstance(given, Tensor), "return a tensor, so that it can be trained on")
    value = given.item()
    mistakes = [
        (
            losses.mean(),
            "that is the plain mean, in which ham weighs three times as much",
        ),
        (losses.sum(), "that is the sum over the batch"),
        (means[0] + means[1], "that is the sum of the two means; take their mean"),
        (means[0], "that is the loss of the ham messages alone"),
        (means[1], "that is the loss of the spam messages alone"),
        (
            F.cross_entropy(logits.softmax(1), labels, weight=torch.tensor([1.0, 3.0])),
            "F.cross_entropy takes logits and does the softmax itself",
        ),
        (
            (losses * torch.tensor([0.25] * 9 + [0.75] * 3)).mean(),
            "the weights are the right way round, but the result has to be divided by "
            "their sum",
        ),
    ]
    expected = (means[0] + means[1]) / 2
    for mistaken, message in mistakes:
        if not _close(mistaken.item(), expected.item(), 1e-4):
            require(not _close(value, mistaken.item(), 1e-4), message)
    require(
        _close(value, expected.item(), 1e-4),
        f"for 9 ham and 3 spam messages the loss is {expected.item():.4f}, not "
        f"{value:.4f}",
    )
    require(
        given.requires_grad, "the loss has no gradient; do not leave torch's tensors"
    )
    alone = answer(logits[:9], labels[:9]).item()
    require(
        not math.isnan(alone), "where only one class is in the batch, the loss is NaN"
    )
    require(
        _close(alone, means[0].item(), 1e-4),
        f"where only ham is in the batch, the loss is its mean, not {alone:.4f}",
    )
    return "Right: both classes weigh the same, however many messages they have."


@functools.cache
def _parts() -> tuple[list[Message], list[Message]]:
    """The training and the validation part of the collection."""
    kept = drop_near_duplicates(read_labeled(fetch("sms-spam")))
    training, validation, _ = split(kept)
    return training, validation


@exercise(
    "6.8",
    "Beat naive Bayes on few labels",
    hints=(
        "Look at spam messages beside ham messages. Which signs are not words at all?",
        "Numbers! Replace every run of digits by a word that says how long it is, and "
        "every currency sign by another word, before words are counted.",
        "re.sub on the text in a preprocessor of CountVectorizer(binary=True), then "
        "MultinomialNB(alpha=0.3), gets above 0.91; weighted runs of characters with a "
        "linear support vector machine get further.",
    ),
)
def few_labels(answer: Callable[..., Any]) -> str:
    """Draw 300 messages with five seeds; the mean F1 on the validation part counts."""
    training, validation = _parts()
    texts, labels = zip(*validation, strict=True)
    found = []
    for seed in range(5):
        learned = answer(random.Random(seed).sample(training, 300))
        require(callable(learned), "`learn` returns a function from texts to verdicts")
        verdicts = [int(verdict) for verdict in learned(list(texts))]
        require(
            len(verdicts) == len(texts) and {0, 1} >= set(verdicts),
            f"expected {len(texts)} verdicts of 0 or 1, got {len(verdicts)} of "
            f"{sorted(set(verdicts))[:5]}",
        )
        found.append(confusion(labels, verdicts).f1)
    mean = statistics.mean(found)
    each = ", ".join(f"{f1:.2f}" for f1 in found)
    require(
        mean > 0, "no spam is found at all: F1 is 0, although most verdicts are right"
    )
    require(mean >= 0.9, f"the mean F1 is {mean:.3f} ({each}); the check asks for 0.90")
    return f"Right: a mean F1 of {mean:.3f} ({each})."
