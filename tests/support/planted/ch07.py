"""Wrong answers to chapter 7's exercises, and words that their verdicts must hold."""

import math
import random
import re
import statistics
from collections import Counter

import torch

from llmbook_utils.evaluate import longest_common, normalize

HIDE = -100


def targets(
    shift=1,
    counts_shift=1,
    hide=HIDE,
    fill=None,
    end_counts=True,
    append=True,
    choose=lambda counts: counts,
    pad=True,
    cut="after",
    same=True,
):
    """The right targets of a row, with some of the ways to go wrong."""

    def answer(ids, belongs, end, length):
        tokens, counts = list(ids), list(belongs)
        if cut == "before":
            tokens, counts = tokens[:length], counts[:length]
        if append:
            tokens, counts = [*tokens, end], [*counts, end_counts]
        if cut == "whole row":
            tokens, counts = tokens[:length], counts[:length]
        tokens, counts = tokens[shift:], choose(counts)[counts_shift:]
        row = [t if c else hide for t, c in zip(tokens, counts, strict=False)]
        filling = hide if fill is None else end if fill == "end" else fill
        row += [filling] * (length - len(row)) if pad else []
        row = row if cut == "never" else row[:length]
        if not same:
            ids.append(end)
            belongs.append(True)
        return row

    return answer


def from_first(counts):
    first = counts.index(True)
    return [i >= first for i in range(len(counts))]


def padded(left=True, fill=None, order=lambda rows: rows, extra=0, each=list, n=max):
    """Rows as a tensor, filled up to the longest, with some of the ways to go wrong."""

    def fill_up(rows, filling):
        rows = [each(row) for row in order(rows)]
        T = n(map(len, rows)) + extra
        filling = filling if fill is None else fill
        pads = [[filling] * (T - len(row)) for row in rows]
        rows = [row[-T:] for row in rows]
        return torch.tensor(
            [[*p, *r] if left else [*r, *p] for p, r in zip(pads, rows, strict=True)]
        )

    return fill_up


def real(rows, left=True):
    T, lengths = max(map(len, rows)), torch.tensor([[len(row)] for row in rows])
    return torch.arange(T) >= T - lengths if left else torch.arange(T) < lengths


def pad(ids=None, mask=lambda ids, rows, fill: real(rows), done=lambda *pair: pair):
    """Both tensors, by functions, and what is returned of them."""
    ids = ids or padded()

    def answer(rows, fill):
        made = ids(rows, fill)
        return done(made, mask(made, rows, fill))

    return answer


def unpadded_mask(ids, rows, fill):
    return torch.ones(len(rows), min(map(len, rows))).bool()


def grow_in_place(rows, fill):
    T = max(map(len, rows))
    mask = real(rows)
    for row in rows:
        row[:0] = [fill] * (T - len(row))
    return torch.tensor(rows), mask


def f1(shared=None, whole=None, words=normalize, empty=True):
    """Token F1 with another number of shared words, another formula, or other words."""

    def answer(ours, theirs):
        a, b = words(ours), words(theirs)
        if empty and (not a or not b):
            return float(a == b)
        n = shared(a, b) if shared else (Counter(a) & Counter(b)).total()
        return whole(n, len(a), len(b)) if whole else 2 * n / (len(a) + len(b))

    return answer


def distinct(ours, theirs):
    a, b = set(normalize(ours)), set(normalize(theirs))
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0


def by_precision(n, a, b):
    p, r = n / a, n / b
    return 2 * p * r / (p + r)


def empty_is_zero(ours, theirs):
    a, b = normalize(ours), normalize(theirs)
    return f1()(ours, theirs) if a and b else 0.0


def empty_is_one(ours, theirs):
    a, b = normalize(ours), normalize(theirs)
    return f1()(ours, theirs) if a and b else 1.0


NUMBER = r"-?\d+(?:\.\d+)?"


def grade(text):
    """The right reading, which the planted ones change."""
    if share := re.search(rf"({NUMBER})/(\d+)", text):
        values = {100 * float(share[1]) / float(share[2])}
    else:
        values = {float(n) for n in re.findall(NUMBER, text)}
    value = values.pop() if len(values) == 1 else None
    return value if value is not None and 0 <= value <= 100 else None


def instead(special):
    """The right reading, but for what `special` makes of some texts."""
    return lambda text: special[text] if text in special else grade(text)


def found(pick, pattern=NUMBER):
    def answer(text):
        numbers = [float(n) for n in re.findall(pattern, text)]
        return pick(numbers) if numbers else None

    return answer


def boot(
    draw=lambda a, b, g: [
        x - y for x, y in g.choices(list(zip(a, b, strict=True)), k=len(a))
    ],
    pick=statistics.fmean,
    ends=(0.025, 0.975),
    done=lambda low, high: (low, high),
    seed=lambda seed: seed,
    times=lambda draws: draws,
):
    """The right bootstrap, with some of the ways to go wrong."""

    def answer(a, b, draws, number):
        g = random.Random(seed(number))
        means = sorted(pick(draw(a, b, g)) for _ in range(times(draws)))
        last = len(means) - 1
        return done(*(means[round(end * last)] for end in ends))

    return answer


def apart(a, b, g):
    left, right = g.choices(a, k=len(a)), g.choices(b, k=len(b))
    return [x - y for x, y in zip(left, right, strict=True)]


def reversed_pairs(a, b, g):
    return [y - x for x, y in g.choices(list(zip(a, b, strict=True)), k=len(a))]


def without_repetition(a, b, g):
    return [x - y for x, y in g.sample(list(zip(a, b, strict=True)), k=len(a))]


def in_percent(a, b, g):
    return [(x - y) / y for x, y in g.choices(list(zip(a, b, strict=True)), k=len(a))]


PLANTED = {
    "7.1": [
        ("no shift", "nothing is shifted", (8, 6, 7, 3)),
        ("prompts whole", "the first one of each row is no target", (7, 6, 7, 1)),
        ("swapped", "have changed places", (7, 6, 3, 5)),
        ("no end", "no end is appended", (6, 4, 5, 3)),
        ("end ignored", "it ends the answer and is no padding", (7, 4, 5, 5)),
        ("padding counts", "you let the padding count", (7, 9, 5, 0)),
        ("prompt counts", "you let the prompts count", (7, 11, 0, 3)),
        ("row A", "row A alone", (7, 4, 3, 0)),
        ("row B", "row B alone", (7, 2, 2, 3)),
        ("all targets", "14 is the number of all targets", (14, 6, 5, 3)),
        ("only T wrong", "T is not 8: 8 ids", (8, 6, 5, 3)),
        ("another T", "T is not 6;", (6, 6, 5, 3)),
        ("a sum of 16", "add up to 16", (7, 6, 7, 3)),
        ("shares", "it is not 7 of the 14 targets that count", (7, 7, 4, 3)),
        ("one moved", "it is not 4 of the 14 targets that are ign", (7, 6, 4, 4)),
        ("three", "expected four numbers", (7, 6, 5)),
    ],
    "7.2": [
        ("no shift", "nothing is shifted", targets(0, 0)),
        (
            "inputs",
            "those are the inputs",
            targets(0, 0, choose=lambda c: [True] * len(c)),
        ),
        ("mask not shifted", "what says which of them count is not", targets(1, 0)),
        (
            "wrong way",
            "you shift the wrong way",
            lambda i, a, e, n: targets(0, 0)([0, *i], [False, *a], e, n),
        ),
        ("two places", "by two places", targets(2, 2)),
        (
            "prompt counts",
            "the prompt counts; its tokens",
            targets(choose=lambda c: [True] * len(c)),
        ),
        (
            "inverted",
            "the wrong way round",
            targets(choose=lambda c: [not x for x in c]),
        ),
        (
            "inverted, with end",
            "only the end is right",
            targets(choose=lambda c: [*(not x for x in c[:-1]), True]),
        ),
        ("end ignored", "the end does not count", targets(end_counts=False)),
        ("end not appended", "the end does not count", targets(append=False)),
        (
            "from the first on",
            "another prompt follows",
            targets(choose=from_first),
        ),
        ("padding counts", "the padding counts: of all ends", targets(fill="end")),
        ("cut first", "cut before it is shifted", targets(cut="whole row")),
        ("end after cutting", "it has none there", targets(cut="before")),
        ("not filled up", "you return 4 targets; fill up", targets(pad=False)),
        ("not cut", "cut what is left over", targets(cut="never")),
        ("zeros", "must be -100; you write 0", targets(hide=0)),
        ("None", "must be -100; you write None", targets(hide=None)),
        ("filled with 0", "not with 0", targets(fill=0)),
        ("end of 0", "the targets are [", lambda i, a, e, n: targets()(i, a, 0, n)),
        ("in place", "the lists that came in have changed", targets(same=False)),
        (
            "last answer",
            "only the last answer counts",
            targets(choose=lambda c: [all(c[i:]) for i in range(len(c))]),
        ),
        ("numbers", "your code stopped with TypeError", lambda i, a, e, n: i + e),
    ],
    "7.3": [
        (
            "right",
            "an answer would have to follow the padding",
            pad(padded(left=False), lambda i, rows, f: real(rows, left=False)),
        ),
        ("always 0", "whatever `fill` is", pad(padded(fill=0))),
        (
            "back to front",
            "read from back to front",
            pad(padded(each=lambda r: r[::-1])),
        ),
        (
            "turned",
            "of the shorter rows stand in the opposite",
            pad(padded(each=lambda r: r[::-1] if len(r) < 4 else list(r))),
        ),
        (
            "sorted",
            "sorted by their length; keep",
            pad(padded(order=lambda rows: sorted(rows, key=len))),
        ),
        (
            "longest first",
            "the longest first; keep",
            pad(padded(order=lambda rows: sorted(rows, key=len, reverse=True))),
        ),
        ("cut", "cut to the shortest one", pad(padded(n=min), unpadded_mask)),
        ("one too much", "one column of padding too much", pad(padded(extra=1))),
        (
            "fixed length",
            "[2, 2, 2, 2, 2, 5, 6, 7]",
            pad(padded(n=lambda lengths: 8)),
        ),
        (
            "inverted",
            "the mask is the wrong way round",
            pad(mask=lambda i, r, f: ~real(r)),
        ),
        ("by fill", "happens to be `fill`", pad(mask=lambda i, r, f: i != f)),
        (
            "mask of the right",
            "the mask of rows that are filled up on the right",
            pad(mask=lambda i, r, f: real(r, left=False)),
        ),
        (
            "no mask",
            "True everywhere, at the padding too",
            pad(mask=lambda i, r, f: torch.ones_like(i).bool()),
        ),
        (
            "one mask",
            "the mask has the shape (4,)",
            pad(mask=lambda i, r, f: real(r)[0]),
        ),
        (
            "whole numbers",
            "torch.int64, not True",
            pad(mask=lambda i, r, f: real(r).long()),
        ),
        (
            "causal",
            "the mask is [[False, True, True, True], [F",
            pad(mask=lambda i, r, f: torch.ones_like(i).tril().bool()),
        ),
        (
            "fractions",
            "have the type torch.float32",
            pad(done=lambda i, m: (i.float(), m)),
        ),
        ("ids only", "you return one tensor", pad(done=lambda i, m: i)),
        ("mask first", "ids first, then the mask", pad(done=lambda i, m: (m, i))),
        ("lists", "the ids are a list", pad(done=lambda i, m: (i.tolist(), m))),
        (
            "a list of bools",
            "the mask is a list",
            pad(done=lambda i, m: (i, m.tolist())),
        ),
        (
            "three",
            "got 3",
            pad(done=lambda i, m: (i, m, i.shape)),
        ),
        ("in place", "the rows that came in have changed", grow_in_place),
        (
            "never equal",
            "need no padding",
            lambda rows, fill: (
                pad()(rows, fill)
                if len(rows) > 1
                else pad(mask=lambda i, r, f: ~real(r))(rows, fill)
            ),
        ),
        (
            "ragged",
            "your code stopped with ValueError",
            lambda rows, fill: (torch.tensor(rows), torch.tensor(rows)),
        ),
    ],
    "7.4": [
        ("sets", "each word counts once, however often", distinct),
        (
            "in the reference",
            "a word that the answer repeats counts each time",
            f1(lambda a, b: sum(w in b for w in a)),
        ),
        (
            "in the answer",
            "a word that the reference repeats counts each time",
            f1(lambda a, b: sum(w in a for w in b)),
        ),
        (
            "pairs",
            "each pair of equal words",
            f1(lambda a, b: sum(x == y for x in a for y in b)),
        ),
        (
            "half a set",
            "the lengths are those of the whole texts",
            f1(lambda a, b: len(set(a) & set(b))),
        ),
        ("precision", "that is the precision", f1(whole=lambda n, a, b: n / a)),
        ("recall", "that is the recall", f1(whole=lambda n, a, b: n / b)),
        (
            "plain mean",
            "the plain mean of",
            f1(whole=lambda n, a, b: (n / a + n / b) / 2),
        ),
        ("product", "the product of", f1(whole=lambda n, a, b: n / a * n / b)),
        (
            "geometric",
            "the geometric mean of",
            f1(whole=lambda n, a, b: math.sqrt(n / a * n / b)),
        ),
        ("half", "a factor of 2 is missing", f1(whole=lambda n, a, b: n / (a + b))),
        (
            "percent",
            "these are percentages",
            f1(whole=lambda n, a, b: 200 * n / (a + b)),
        ),
        (
            "union",
            "the shared ones once; that is Jaccard",
            f1(whole=lambda n, a, b: n / (a + b - n)),
        ),
        (
            "different words",
            "by all different words of both",
            lambda x, y: (
                len({*normalize(x)} & {*normalize(y)})
                / len({*normalize(x)} | {*normalize(y)})
            ),
        ),
        (
            "places",
            "you compare words at the same places",
            f1(lambda a, b: sum(x == y for x, y in zip(a, b, strict=False))),
        ),
        ("ROUGE-L", "that is ROUGE-L", f1(longest_common)),
        ("exact", "all words or nothing", lambda x, y: normalize(x) == normalize(y)),
        ("distance", "that are not shared", lambda x, y: 1 - f1()(x, y)),
        ("characters", "you compare characters", f1(words=list)),
        ("as it stands", "with capitals and punctuation", f1(words=str.split)),
        (
            "lower case only",
            "punctuation and articles are still there",
            f1(words=lambda text: text.lower().split()),
        ),
        ("different ends", "is 0.4000, not 0.7000", lambda x, y: (f1()(x, y) + 1) / 2),
        ("nothing shared", "a division by 0 where no word is", f1(whole=by_precision)),
        ("empty", "a division by 0 where both are empty", f1(empty=False)),
        ("0 for empty", "where both are empty, token F1 is 1.0", empty_is_zero),
        ("1 for empty", "where the answer is empty, token F1 is 0.0", empty_is_one),
    ],
    "7.5": [
        ("the right one", "exact match is 1", "The dog chased the cat."),
        ("without articles", "exact match is 1", "Dog chased cat!"),
        (
            "a word more",
            'the reference does not have "no"',
            "No, the cat chased the dog.",
        ),
        (
            "two more",
            'does not have "did" and "not"',
            "The dog did not chased the cat.",
        ),
        ("another word", 'does not have "chases"', "The cat chases the dog."),
        ("a word less", 'the text lacks "chased"', "The cat, the dog."),
        ("twice", "each of its words only once", "The cat chased the dog, dog."),
        ("punctuation", "has no words", "... the!"),
        ("scrambled", "not everybody would call this", "Cat dog chased."),
        ("whom", "not everybody would call this", "The cat the dog chased."),
        ("a list", "write a text", ["The cat chased the dog."]),
    ],
    "7.6": [
        ("float", "stops your function", float),
        ("first number", "8 of 10 is 80 of 100", found(lambda n: n[0])),
        ("last number", "100 is what the grade is out of", found(lambda n: n[-1])),
        ("largest", "100 is what the grade is out of", found(max)),
        (
            "shares",
            "grades go up to 100",
            lambda text: (grade(text) or 0) / 100 if "/" in text else grade(text),
        ),
        (
            "digits only",
            "the part after the point is lost",
            found(lambda n: n[0], r"\d+"),
        ),
        ("words", "only numbers in digits count", instead({"I'd give it ninety": 90})),
        ("no reply", "in '' there is no grade", instead({"": 50.0})),
        (
            "mean",
            "none is the grade, and their mean",
            instead({"between 60 and 70": 65}),
        ),
        (
            "first of two",
            "you return 60: of two numbers",
            instead({"between 60 and 70": 60}),
        ),
        ("clamped", "has not said 100", instead({"120": 100.0})),
        ("out of range", "grades end at 100", instead({"120": 120.0})),
        ("unsigned", "the minus sign is lost", instead({"-5": 5.0})),
        (
            "heading",
            "that is the 1 of a heading",
            lambda text: 1.0 if "<" in text else grade(text),
        ),
        (
            "zero is nothing",
            "in '0' the grade is 0.0",
            lambda text: grade(text) or None,
        ),
        ("nothing is zero", "but 0 is a grade", lambda text: grade(text) or 0.0),
        ("below 100", "in '100' the grade is 100.0", instead({"100": None})),
        ("text", "return a number or None", lambda text: text),
        (
            "no match",
            "stopped with TypeError",
            lambda t: re.search(NUMBER, t)[0] and grade(t),
        ),
    ],
    "7.7": [
        ("no reference", "the reference is not in it", (4, 0.513, 0.1269)),
        ("added changes", "the difference of the changes", (1, 0.6444, 0.4741)),
        ("sign", "has the wrong sign", (-3, 0.8544, 1.7014)),
        ("added preferences", "you add up the two preferences", (5, 0.4741, 0.0789)),
        ("chosen alone", "of the chosen answer alone", (2, 0.5981, 0.3133)),
        ("rejected alone", "of the rejected answer alone", (-1, 0.7444, 0.9741)),
        ("ten", "the margin is not 10", (10, 0.3133, 0.0067)),
        ("no beta", "beta is not in it", (3, 0.0486, 0.0486)),
        ("other sign", "the losses of the margin -3", (3, 0.8544, 1.7014)),
        ("divided", "you divide by beta", (3, 0, 0.0025)),
        ("outside", "beta stands inside", (3, 0.0049, 0.0243)),
        ("sigmoid", "those are the sigmoids", (3, 0.5744, 0.8176)),
        ("rest", "that is 1 - sigmoid", (3, 0.4256, 0.1824)),
        ("no minus", "the sign of the losses", (3, -0.5544, -0.2014)),
        ("bits", "to the base 2", (3, 0.7998, 0.2906)),
        ("base 10", "to the base 10", (3, 0.2408, 0.0875)),
        ("margin 4", "the losses of the margin 4", (3, 0.513, 0.1269)),
        ("order", "the two losses have changed", (3, 0.2014, 0.5544)),
        ("one wrong", "for beta = 0.5 the loss is not 0.2", (3, 0.5544, 0.25)),
        ("two", "expected three numbers", (3, 0.5544)),
    ],
    "7.8": [
        ("apart", "as if the two lists were drawn separately", boot(apart)),
        ("reversed", "of b - a; take", boot(reversed_pairs)),
        (
            "reversed and apart",
            "of b - a, and drawn apart",
            boot(lambda a, b, g: apart(b, a, g)),
        ),
        (
            "without repetition",
            "each draw is with repetition",
            boot(without_repetition),
        ),
        ("90 %", "that is the 90 % interval", boot(ends=(0.05, 0.95))),
        ("99 %", "that is the 99 % interval", boot(ends=(0.005, 0.995))),
        ("68 %", "that is the 68 % interval", boot(ends=(0.159, 0.841))),
        (
            "entries",
            "how far single entries lie apart",
            boot(
                lambda a, b, g: [g.choice([x - y for x, y in zip(a, b, strict=True)])]
            ),
        ),
        ("sums", "you draw sums", boot(pick=sum)),
        ("a alone", "of a's mean alone", boot(lambda a, b, g: g.choices(a, k=len(a)))),
        ("b alone", "of b's mean alone", boot(lambda a, b, g: g.choices(b, k=len(b)))),
        (
            "high first",
            "low first, then high",
            boot(done=lambda low, high: (high, low)),
        ),
        ("extremes", "the smallest and the largest", boot(ends=(0, 1))),
        ("in percent", "expected about (", boot(in_percent)),
        ("no seed", "the same seed gives different", boot(seed=lambda s: None)),
        ("one seed", "every seed gives the same", boot(seed=lambda s: 3)),
        ("own draws", "use `draws`", boot(times=lambda draws: max(draws, 2000))),
        ("mean", "got 1", boot(done=lambda low, high: [(low + high) / 2])),
    ],
}
