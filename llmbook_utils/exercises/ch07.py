"""Checks of chapter 7's exercises. Not built on a page."""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmbook_utils.evaluate import exact_match, longest_common, normalize
from llmbook_utils.exercises import exercise, fresh, numbers, require, varied
from llmbook_utils.exercises.by_hand import by_hand, must_be, must_not_be, total
from llmbook_utils.loss import IGNORED


def _close(a: float, b: float, tolerance: float = 1e-4) -> bool:
    return abs(a - b) <= tolerance


_COUNTS = {
    (8, 6, 7, 3): "nothing is shifted: 8 ids make 7 inputs and 7 targets, and the "
    "first token of a row is nobody's target",
    (7, 6, 7, 1): "you count all 4 + 3 tokens of the prompts, but the first one of "
    "each row is no target",
    (7, 6, 3, 5): "prompt and padding have changed places",
    (6, 4, 5, 3): "no end is appended: it comes after each answer, and it counts",
    (7, 4, 5, 5): "the first end of each row counts: it ends the answer and is no "
    "padding",
    (7, 9, 5, 0): "you let the padding count; after the first end of a row nothing "
    "does",
    (7, 11, 0, 3): "you let the prompts count; only the answers do",
    (7, 4, 3, 0): "those are the counts of row A alone; the batch has both",
    (7, 2, 2, 3): "those are the counts of row B alone; the batch has both",
    (14, 6, 5, 3): "14 is the number of all targets in the batch; T is that of one row",
}

by_hand(
    "7.1",
    "Which targets count?",
    hints=(
        "Write both rows down, with the `end` that is appended to each and with the "
        "padding that makes them equally long. Then shift.",
        "The longer row has 4 + 3 + 1 = 8 ids. Shifted by one, 8 ids make 7 inputs and "
        "7 targets, and the other row is padded to the same length.",
        "The first token of a prompt is nobody's target, so row A ignores 3 targets "
        "because of its prompt and row B 2. Of the answers 3 + 1 and 1 + 1 targets "
        "count. The rest of the 2 x 7 targets is padding.",
    ),
    fields=(
        "width T of the inputs",
        "targets that count",
        "left out as prompt",
        "left out as padding",
    ),
    expected="four numbers: T, the targets that count, and the two kinds ignored",
    within=1e-9,
    rules=[
        *(must_not_be(range(4), counts, why) for counts, why in _COUNTS.items()),
        must_not_be(
            0, 8, "T is not 8: 8 ids in the longer row make 7 inputs and 7 targets"
        ),
        must_be(
            0,
            7,
            "T is not {0}; count the longer row's ids, its end included, and shift",
        ),
        total(
            (1, 2, 3),
            14,
            "two rows of 7 have 14 targets, but your last three numbers add up to "
            "{sum 1 2 3}",
            1e-9,
        ),
        must_be(1, 6, "it is not {1} of the 14 targets that count"),
        must_be(
            2,
            5,
            "it is not {2} of the 14 targets that are ignored because of the prompt",
        ),
        must_be(3, 3, "it is not {3} of the 14 targets that are ignored as padding"),
    ],
    right="Right: 6 of the 14 targets count, and the first token of a row is none.",
)


Row = list[int]
Turns = tuple[Row, list[bool], int]
END = 2
# ids, whether each belongs to the answer, and length
FITS: Turns = ([11, 12, 13, 14, 21, 22, 23], [False] * 4 + [True] * 3, 7)
TWICE: Turns = ([31, 32, 41, 33, 42, 43], [False, False, True, False, True, True], 6)
SHORT: Turns = ([31, 32, 33, 41], [False] * 3 + [True], 7)
LONG: Turns = (*FITS[:2], 5)


def _marked(tokens: Row, counts: list[bool], n: int, fill: int = IGNORED) -> Row:
    row = [t if c else IGNORED for t, c in zip(tokens, counts, strict=False)]
    return [*row, *[fill] * n][:n]


def _targets(ids: Row, answer: list[bool], n: int) -> Row:
    return _marked([*ids[1:], END], [*answer[1:], True], n)


# what a mistaken function would return, given ids, answer and length
TARGET_MISTAKES: dict[str, Callable[[Row, list[bool], int], Row]] = {
    "nothing is shifted: the target at each place is the token after it": (
        lambda ids, answer, n: _marked([*ids, END], [*answer, True], n)
    ),
    "those are the inputs: shift them, and put -100 where nothing counts": (
        lambda ids, answer, n: _marked([*ids, END], [True] * (len(ids) + 1), n)
    ),
    "the targets are shifted, but what says which of them count is not: the first "
    "token of the answer is left out": (
        lambda ids, answer, n: _marked([*ids[1:], END], answer, n)
    ),
    "you shift the wrong way: the targets are the row without its first token": (
        lambda ids, answer, n: _marked([0, *ids, END], [False, *answer, True], n)
    ),
    "you shift by two places; one is enough": (
        lambda ids, answer, n: _marked([*ids[2:], END], [*answer[2:], True], n)
    ),
    "the prompt counts; its tokens should be -100": (
        lambda ids, answer, n: _marked([*ids[1:], END], [True] * len(ids), n)
    ),
    "the wrong way round: the prompt counts, and the answer is left out": (
        lambda ids, answer, n: _marked(
            [*ids[1:], END], [*(not a for a in answer[1:]), False], n
        )
    ),
    "the prompt counts and the answer is left out; only the end is right": (
        lambda ids, answer, n: _marked(
            [*ids[1:], END], [*(not a for a in answer[1:]), True], n
        )
    ),
    "the end does not count: a model that never learned it would never stop": (
        lambda ids, answer, n: _marked([*ids[1:], END], [*answer[1:], False], n)
    ),
    "everything after the first token of an answer counts; in a conversation of two "
    "turns another prompt follows": (
        lambda ids, answer, n: _marked(
            [*ids[1:], END], [True in answer[: i + 2] for i in range(len(ids))], n
        )
    ),
    "only the last answer counts; in a conversation of two turns both do": (
        lambda ids, answer, n: _marked(
            [*ids[1:], END], [all(answer[i:]) for i in range(1, len(ids) + 1)], n
        )
    ),
    "the padding counts: of all ends in a row only the first does": (
        lambda ids, answer, n: _marked([*ids[1:], END], [*answer[1:], True], n, END)
    ),
    "a row that is too long is cut before it is shifted; `length` targets need one id "
    "more": lambda ids, answer, n: _marked([*ids, END][1:n], [*answer, True][1:n], n),
    "an answer that is cut gets an end where it is cut; it has none there": (
        lambda ids, answer, n: _marked([*ids[1:n], END], [*answer[1:n], True], n)
    ),
}


def _alike(given: list[Any], mistaken: Row, least: int) -> bool:
    """Whether they begin alike: one that does not pad or cut is told so later."""
    n = min(len(given), len(mistaken))
    return n >= least and given[:n] == mistaken[:n]


def _drawn_turns(chance: random.Random) -> Turns:
    """A row that begins with a prompt, with an answer or two, of any length."""
    ids = chance.choices(range(31, 90), k=chance.randint(4, 9))
    belongs = [False, *(chance.random() < 0.5 for _ in ids[2:]), True]
    return ids, belongs, chance.randint(3, 11)


def _judge_mistakes(found: list[list[Any]], cases: Sequence[Turns]) -> None:
    """Name the mistake that explains all that was found wrong."""
    pairs = list(zip(found, cases, strict=True))
    if all(_alike(given, _targets(*case), len(given)) for given, case in pairs):
        return  # as right as it goes, but maybe too short or too long
    for message, mistake in TARGET_MISTAKES.items():
        alike = (
            _alike(given, mistake(*case), min(len(case[0]), case[2]))
            for given, case in pairs
        )
        require(not all(alike), message)


def _judge_targets(given: list[Any], case: Turns) -> None:
    """Name what is wrong with the targets of one row: length, -100, anything else."""
    ids, belongs, n = case
    expected = _targets(*case)
    about = f"for {len(ids)} ids and a length of {n}"
    advice = "fill up with -100" if len(given) < n else "cut what is left over"
    if len(given) < n and n < len(ids):
        advice = "shift first, then cut"
    require(len(given) == n, f"{about} you return {len(given)} targets; {advice}")
    wrong = {g for g, e in zip(given, expected, strict=True) if e == IGNORED != g}
    counted = all(g == e for g, e in zip(given, expected, strict=True) if e != IGNORED)
    if counted and len(wrong) == 1 and IGNORED not in given:
        require(False, f"what does not count must be -100; you write {wrong.pop()!r}")
    filled = given[len(ids) :]
    require(
        not filled or given[: len(ids)] != expected[: len(ids)] or len(wrong) != 1,
        f"after the end, fill up with -100, not with {filled and filled[0]}",
    )
    require(
        given == expected,
        f"for ids = {ids}, answer = {belongs}, end = {END} and length = {n} the "
        f"targets are {expected}, not {given}",
    )


@exercise(
    "7.2",
    "The targets of a row",
    hints=(
        "Append the end to both lists first. Does it belong to the answer? Then shift "
        "both of them in the same way.",
        "ids and end, without the first: those are the targets. answer and True, "
        "without the first: that says which of them count.",
        "Pair the two shifted lists with zip; take the token where it belongs to the "
        "answer, and -100 elsewhere. Add -100 as often as `length` asks for, and "
        "cut at the very end.",
    ),
)
def targets_of_a_row(answer: Callable[..., list[int]]) -> str:
    """Try rows that fit, one with two answers, one to be filled up, one to be cut."""
    found, changed = [], False
    drawn = map(_drawn_turns, fresh(4))
    for ids, belongs, n in (cases := (FITS, TWICE, SHORT, LONG, *drawn)):
        lists = list(ids), list(belongs)
        given = answer(*lists, END, n)
        found.append(given.tolist() if isinstance(given, Tensor) else list(given))
        changed = changed or lists != (ids, belongs)
    _judge_mistakes(found, cases)
    for given, case in zip(found, cases, strict=True):
        _judge_targets(given, case)
    require(
        not changed,
        "the targets are right, but the lists that came in have changed; make new ones",
    )
    return "Right: the answers and their ends count, and nothing else."


ROWS = [[5, 6, 7], [8], [9, 2, 4, 3]]
FILL = 2  # one of the rows has it too


def _real(rows: list[Row], left: bool = True) -> Tensor:
    """A mask (B, T) that is True at real tokens."""
    T, lengths = max(map(len, rows)), torch.tensor([[len(row)] for row in rows])
    return torch.arange(T) >= T - lengths if left else torch.arange(T) < lengths


def _filled(rows: list[Row], fill: int = FILL, left: bool = True) -> Tensor:
    T = max(map(len, rows))
    pads = [[fill] * (T - len(row)) for row in rows]
    pairs = list(zip(pads, rows, strict=True))
    return torch.tensor([[*p, *row] if left else [*row, *p] for p, row in pairs])


ID_MISTAKES = {
    "the rows are filled up on the right; there an answer would have to follow the "
    "padding": _filled(ROWS, left=False),
    "the padding is 0, whatever `fill` is": _filled(ROWS, fill=0),
    "the tokens of the shorter rows stand in the opposite order": _filled(
        [row if len(row) == 4 else row[::-1] for row in ROWS]
    ),
    "all rows are read from back to front": _filled([row[::-1] for row in ROWS]),
    "the rows come back sorted by their length; keep their order": _filled(
        sorted(ROWS, key=len)
    ),
    "the rows come back sorted by their length, the longest first; keep their order": (
        _filled(sorted(ROWS, key=len, reverse=True))
    ),
    "the rows are cut to the shortest one; fill up to the longest": torch.tensor(
        [row[-1:] for row in ROWS]
    ),
    "there is one column of padding too much: T is the length of the longest row": (
        torch.nn.functional.pad(_filled(ROWS), (1, 0), value=FILL)
    ),
}
MASK_MISTAKES = {
    "the mask is the wrong way round: True stands at real tokens": ~_real(ROWS),
    "the mask is False where a real token happens to be `fill`; make it of the lengths "
    "alone": _filled(ROWS) != FILL,
    "that is the mask of rows that are filled up on the right": _real(ROWS, left=False),
    "the mask is True everywhere, at the padding too": torch.ones(3, 4).bool(),
}


@exercise(
    "7.3",
    "Padding on the left",
    hints=(
        "How long is the longest row, and how much does each of the others lack?",
        "T = max(map(len, rows)). Each row becomes [fill] * (T - len(row)) and the row "
        "after it; the mask has False and True in the same numbers.",
        "Build two lists of lists, one with [fill] * (T - len(row)) + row and one with "
        "[False] * (T - len(row)) + [True] * len(row), and make a tensor of each.",
    ),
)
def padding_on_the_left(answer: Callable[..., tuple[Tensor, Tensor]]) -> str:
    """Compare ids and mask with the right ones, and with those of known mistakes."""
    rows = [list(row) for row in ROWS]
    ids, mask = _two_tensors(answer(rows, FILL))
    for message, mistaken in ID_MISTAKES.items():
        require(not torch.equal(ids.long(), mistaken), message)
    require(
        torch.equal(ids.long(), _filled(ROWS)),
        f"for the rows {ROWS} and fill {FILL} the ids are {_filled(ROWS).tolist()}, "
        f"not {ids.tolist()}",
    )
    require(
        mask.shape == ids.shape,
        f"the mask has the shape {tuple(mask.shape)}, the ids have {tuple(ids.shape)}",
    )
    for message, mistaken in MASK_MISTAKES.items():
        require(not torch.equal(mask.bool(), mistaken), message)
    require(
        torch.equal(mask.bool(), _real(ROWS)),
        f"for the rows {ROWS} the mask is {_real(ROWS).tolist()}, not {mask.tolist()}",
    )
    require(
        ids.dtype == torch.long,
        f"ids are whole numbers (torch.int64); yours have the type {ids.dtype}",
    )
    require(
        mask.dtype == torch.bool,
        f"the mask's places are right, but it holds {mask.dtype}, not True and False "
        "(torch.bool)",
    )
    for other in ([[4, 5]], [[4, 5], [6, 7]]):
        ids, mask = _two_tensors(answer([list(row) for row in other], FILL))
        require(
            torch.equal(ids.long(), torch.tensor(other)) and bool(mask.all()),
            f"the rows {other} need no padding, but you return {ids.tolist()} and "
            f"{mask.tolist()}",
        )
    require(rows == ROWS, "the result is right, but the rows that came in have changed")
    for chance in fresh(4):
        lengths = chance.choices(range(1, 7), k=4)
        other = [chance.choices(range(2, 9), k=n) for n in lengths]
        ids, mask = _two_tensors(answer([list(row) for row in other], FILL))
        require(
            torch.equal(ids, _filled(other)) and torch.equal(mask, _real(other)),
            f"for the rows {other} you return {ids.tolist()} and {mask.tolist()}",
        )
    return "Right: every row ends with its last token, and the mask knows the padding."


def _two_tensors(given: Any) -> tuple[Tensor, Tensor]:
    """What was returned, if it is ids and a mask."""
    require(
        not isinstance(given, Tensor),
        "you return one tensor; return two, the ids and the mask",
    )
    pair = tuple(given)
    require(len(pair) == 2, f"expected two tensors, ids and mask, got {len(pair)}")
    for name, one in zip(("ids", "mask"), pair, strict=True):
        require(
            isinstance(one, Tensor),
            f"the {name} are a {type(one).__name__}; make a tensor of it"
            if name == "ids"
            else f"the mask is a {type(one).__name__}; make a tensor of it",
        )
    ids, mask = pair
    require(
        not (ids.dtype == torch.bool and mask.dtype != torch.bool),
        "ids first, then the mask",
    )
    return ids, mask


PAIRS = [
    (
        "Ran off, and the cat saw a cat: cat!",
        "The cat ran and ran home again right now.",
    ),
    ("No, no, it is a dove!", "no no, a dove"),
]


def _shared(ours: Sequence[str], theirs: Sequence[str]) -> int:
    return (Counter(ours) & Counter(theirs)).total()


def _f1(shared: float, ours: Sequence[str], theirs: Sequence[str]) -> float:
    return 2 * shared / (len(ours) + len(theirs))


Words = Sequence[str]
F1_MISTAKES: dict[str, Callable[[Words, Words], float]] = {
    "each word counts once, however often it is there; count it as often as both have "
    "it": lambda a, b: _f1(len({*a} & {*b}), [*{*a}], [*{*b}]),
    "a word that the answer repeats counts each time, although the reference has it "
    "less often": lambda a, b: _f1(sum(w in b for w in a), a, b),
    "a word that the reference repeats counts each time, although the answer has it "
    "less often": lambda a, b: _f1(sum(w in a for w in b), a, b),
    "you count each pair of equal words, so that two in both texts make four": (
        lambda a, b: _f1(sum(x == y for x in a for y in b), a, b)
    ),
    "each shared word counts once, even where both repeat it, but the lengths are "
    "those of the whole texts": lambda a, b: _f1(len({*a} & {*b}), a, b),
    "that is the precision: what is missing from the answer costs nothing": (
        lambda a, b: _shared(a, b) / len(a)
    ),
    "that is the recall: what the answer says besides costs nothing": (
        lambda a, b: _shared(a, b) / len(b)
    ),
    "that is the plain mean of precision and recall; F1 is the harmonic one": (
        lambda a, b: (_shared(a, b) / len(a) + _shared(a, b) / len(b)) / 2
    ),
    "that is the product of precision and recall": (
        lambda a, b: _shared(a, b) ** 2 / len(a) / len(b)
    ),
    "that is the geometric mean of precision and recall; F1 is the harmonic one": (
        lambda a, b: _shared(a, b) / math.sqrt(len(a) * len(b))
    ),
    "a factor of 2 is missing": lambda a, b: _f1(_shared(a, b), a, b) / 2,
    "these are percentages; return a share from 0 to 1": (
        lambda a, b: 100 * _f1(_shared(a, b), a, b)
    ),
    "you divide what is shared by all different words of both; that is Jaccard's "
    "index": lambda a, b: len({*a} & {*b}) / len({*a, *b}),
    "you divide what is shared by the words of both, the shared ones once; that is "
    "Jaccard's index": (lambda a, b: _shared(a, b) / (len(a) + len(b) - _shared(a, b))),
    "you compare words at the same places; their order does not matter here": (
        lambda a, b: _f1(sum(map(str.__eq__, a, b)), a, b)
    ),
    "only words in the same order count; that is ROUGE-L, and here order does not "
    "matter": lambda a, b: _f1(longest_common(a, b), a, b),
    "that is the exact match: all words or nothing": lambda a, b: float(a == b),
    "that is the share of words that are not shared": (
        lambda a, b: 1 - _f1(_shared(a, b), a, b)
    ),
}
SPLIT_MISTAKES: dict[str, Callable[[str], Words]] = {
    "you compare characters; compare words": list,
    "the words are as they stand there, with capitals and punctuation; use normalize": (
        str.split
    ),
    "punctuation and articles are still there; use normalize": (
        lambda text: text.lower().split()
    ),
}


@exercise(
    "7.4",
    "Token F1",
    hints=(
        "Make two lists of words first. How many words have both, if a word that one "
        "of them has twice and the other once counts once?",
        "Counter(a) & Counter(b) keeps of each word the smaller number. Precision "
        "divides what is shared by the answer's words, recall by the reference's.",
        "F1 is 2 p r / (p + r), which is the same as twice the shared words divided by "
        "the words of both. Look at the empty lists before you divide.",
    ),
)
def token_f1(answer: Callable[[str, str], float]) -> str:
    """Try two pairs that tell the mistakes apart, then what would divide by 0."""
    given = [float(answer(*pair)) for pair in PAIRS]
    words = [(normalize(a), normalize(b)) for a, b in PAIRS]
    for message, mistake in F1_MISTAKES.items():
        alike = (_close(x, mistake(*w)) for x, w in zip(given, words, strict=True))
        require(not all(alike), message)
    for message, split in SPLIT_MISTAKES.items():
        pieces = [(split(a), split(b)) for a, b in PAIRS]
        alike = (
            _close(x, _f1(_shared(*p), *p)) for x, p in zip(given, pieces, strict=True)
        )
        require(not all(alike), message)
    for x, pair, (a, b) in zip(given, PAIRS, words, strict=True):
        expected = _f1(_shared(a, b), a, b)
        require(_close(x, expected), f"token_f1{pair} is {expected:.4f}, not {x:.4f}")
    _judge_empty(answer)
    vocabulary = ["the", "a", "sea,", "seas;", "Tide", "tide.", "late?", "no", "Yes"]
    for chance in fresh(6):
        ours, theirs = (" ".join(chance.choices(vocabulary, k=n)) for n in (5, 7))
        a, b = normalize(ours), normalize(theirs)
        if a and b:
            expected, found = _f1(_shared(a, b), a, b), float(answer(ours, theirs))
            require(
                _close(found, expected),
                f"token_f1({ours!r}, {theirs!r}) is {expected:.4f}, not {found:.4f}",
            )
    return "Right, and nothing is divided by 0."


def _judge_empty(answer: Callable[[str, str], float]) -> None:
    """Pairs that share nothing, or have nothing."""
    for ours, theirs, expected, what in (
        ("Yes.", "No.", 0.0, "no word is shared"),
        ("", "No.", 0.0, "the answer is empty"),
        ("No.", "", 0.0, "the reference is empty"),
        ("", "", 1.0, "both are empty"),
        ("", "The.", 1.0, "both have no word but an article"),
    ):
        try:
            given = float(answer(ours, theirs))
        except ZeroDivisionError:
            require(False, f"a division by 0 where {what}; token F1 is {expected} then")
        require(
            _close(given, expected),
            f"where {what}, token F1 is {expected}, not {given:g}",
        )


RIGHT_ANSWER = "The dog chased the cat."


@exercise(
    "7.5",
    "Right words, wrong answer",
    hints=(
        "Token F1 looks at the words only. What does it not look at?",
        "You may use the words dog, chased and cat once each, and articles as you "
        "like. Which order of them says something false?",
        "Let the other animal do it.",
    ),
)
def right_words(answer: str) -> str:
    """Ask for the same words in an order that says the opposite."""
    require(
        isinstance(answer, str), f"write a text, in quotes, not {type(answer).__name__}"
    )
    ours, theirs = normalize(answer), normalize(RIGHT_ANSWER)
    require(ours, "the text has no words, so that token F1 is 0")
    require(
        not exact_match(answer, RIGHT_ANSWER),
        "these are the words of the reference in its order: exact match is 1, and the "
        "answer is right",
    )
    f1 = f"token F1 is {_f1(_shared(ours, theirs), ours, theirs):.2f}"
    new = sorted({*ours} - {*theirs})
    require(not new, f"{f1}: the reference does not have {_listed(new)}")
    missing = sorted({*theirs} - {*ours})
    require(not missing, f"{f1}: the text lacks {_listed(missing)}")
    require(len(ours) == 3, f"{f1}: the reference has each of its words only once")
    require(
        ours == ["cat", "chased", "dog"],
        "token F1 is 1 and exact match is 0, but not everybody would call this a wrong "
        "answer; write a plain sentence that is false",
    )
    return "Right: token F1 is 1, exact match 0, and the wrong animal runs."


def _listed(words: Sequence[str]) -> str:
    return " and ".join(f'"{word}"' for word in words)


HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"
# what a judge said, the grade, and what a wrong one means: {grade: message}
REPLIES: list[tuple[str, float | None, dict[float, str]]] = [
    ("80", 80.0, {}),
    ("Score: 80", 80.0, {}),
    (
        "Score: 62.5",
        62.5,
        {62.0: "the part after the point is lost", 5.0: "it begins before the point"},
    ),
    (
        "95/100",
        95.0,
        {100.0: "100 is what the grade is out of", 0.95: "grades go up to 100"},
    ),
    (
        "8/10",
        80.0,
        {
            8.0: "8 of 10 is 80 of 100",
            0.8: "grades go up to 100",
            10.0: "10 is what the grade is out of",
        },
    ),
    ("I'd give it ninety", None, {90.0: "only numbers in digits count"}),
    ("", None, {}),
    (
        "between 60 and 70",
        None,
        {
            60.0: "of two numbers none is the grade",
            70.0: "of two numbers none is the grade",
            65.0: "of two numbers none is the grade, and their mean neither",
        },
    ),
    (
        "120",
        None,
        {
            120.0: "grades end at 100",
            100.0: "a judge that says 120 has not said 100",
            12.0: "that is a part of 120",
        },
    ),
    ("-5", None, {5.0: "the minus sign is lost", -5.0: "grades begin at 0"}),
    (
        HTML,
        None,
        {
            1.0: "that is the 1 of a heading, <h1>",
            100.0: "502 is a server's error",
            50.0: "that is a part of 502",
            502.0: "502 is a server's error, and grades end at 100",
        },
    ),
    ("0", 0.0, {}),
    ("100", 100.0, {}),
]


@exercise(
    "7.6",
    "Read the grade",
    hints=(
        "Find all numbers first. How many may there be, and what of one after a slash?",
        "re.findall with `-?\\d+(?:\\.\\d+)?` finds the numbers. Look for a share, "
        "such as 8/10, before that. More than one number, or none, is None.",
        "If re.search finds (number)/(number), the grade is 100 a / b. Otherwise the "
        "set of all numbers must have one element. At the end, return it only if it is "
        "from 0 to 100; mind that 0 is a grade.",
    ),
)
def read_grade(answer: Callable[[str], float | None]) -> str:
    """Try what judges say, and name what was read instead of the grade."""
    for text, expected, mistakes in [*REPLIES, *_drawn_replies()]:
        has = "there is no grade" if expected is None else f"the grade is {expected}"
        try:
            given = answer(text)
        except ValueError as error:
            require(False, f"{text!r} stops your function ({error}); {has}")
        require(
            given is None or isinstance(given, Real),
            f"for {text!r} you return {given!r}, a {type(given).__name__}; return a "
            "number or None",
        )
        if expected is None:
            require(
                given is None or not _close(given, 0),
                f"for {text!r} you return 0, but 0 is a grade; return None",
            )
        number = None if given is None else float(given)
        because = f": {mistakes[number]}" if number in mistakes else ""
        require(
            number == expected,
            f"in {text!r} {has}, but you return {given}{because}",
        )
    return "Right: what has no single grade is counted as such and not guessed."


def _drawn_replies() -> list[tuple[str, float | None, dict[float, str]]]:
    """Replies of the same kinds with other numbers."""
    replies: list[tuple[str, float | None, dict[float, str]]] = []
    for chance in fresh(2):
        n, large = chance.randint(11, 99), chance.randint(101, 999)
        replies += [(f"{n}", float(n), {}), (f"Score: {n}.5", n + 0.5, {})]
        replies += [(f"{n}/100", float(n), {}), (f"{n // 10}/10", n // 10 * 10.0, {})]
        replies += [(f"{large}", None, {}), (f"between {n - 9} and {n}", None, {})]
    return replies


def _loss(z: float) -> float:
    return math.log(1 + math.exp(-z))


_BETAS = (0.1, 0.5)
_LOSSES: list[tuple[Callable[[float], float], str]] = [
    (lambda beta: _loss(3), "beta is not in it: multiply the margin by it"),
    (lambda beta: _loss(-3 * beta), "those are the losses of the margin -3"),
    (lambda beta: _loss(3 / beta), "you divide by beta; multiply by it"),
    (lambda beta: beta * _loss(3), "beta stands inside the sigmoid, not before it"),
    (
        lambda beta: 1 / (1 + math.exp(-3 * beta)),
        "those are the sigmoids; the loss is -log of them",
    ),
    (
        lambda beta: 1 - 1 / (1 + math.exp(-3 * beta)),
        "that is 1 - sigmoid; the loss is -log(sigmoid)",
    ),
    (lambda beta: -_loss(3 * beta), "the sign of the losses is missing"),
    (
        lambda beta: _loss(3 * beta) / math.log(2),
        "those are logarithms to the base 2; take the natural one",
    ),
    (
        lambda beta: _loss(3 * beta) / math.log(10),
        "those are logarithms to the base 10; take the natural one",
    ),
    (lambda beta: _loss(4 * beta), "those are the losses of the margin 4, not 3"),
    (lambda beta: _loss(3 * (0.6 - beta)), "the two losses have changed places"),
]

by_hand(
    "7.7",
    "A preference by hand",
    hints=(
        "How much more probable did each answer become than it was for the reference?",
        "The chosen answer went from -12 to -10, the rejected one from -13 to -14. The "
        "margin is the difference of the two changes.",
        "margin = (-10 - -12) - (-14 - -13). The loss is -log(sigmoid(beta * margin)), "
        "which is log(1 + exp(-beta * margin)), with the natural logarithm.",
    ),
    fields=("margin", "loss for beta 0.1", "loss for beta 0.5"),
    expected="three numbers: margin and two losses",
    within=1e-4,
    rules=[
        *(
            must_not_be(0, value, why)
            for value, why in (
                (
                    4,
                    "that is how much more probable the chosen answer is than the "
                    "rejected one for the tuned model; the reference is not in it",
                ),
                (
                    1,
                    "1 is what the reference prefers, or the sum of the two changes; "
                    "the margin is the difference of the changes",
                ),
                (
                    -3,
                    "the margin has the wrong sign: the chosen answer comes first",
                ),
                (
                    5,
                    "you add up the two preferences; the reference's is taken away",
                ),
                (2, "that is the change of the chosen answer alone"),
                (-1, "that is the change of the rejected answer alone"),
            )
        ),
        must_be(0, 3, "the margin is not {0}"),
        *(
            must_not_be((1, 2), [loss(beta) for beta in _BETAS], why, 6e-4)
            for loss, why in _LOSSES
        ),
        *(
            must_be(
                at,
                _loss(3 * beta),
                f"for beta = {beta} the loss is not {{{at}}}",
                6e-4,
            )
            for at, beta in enumerate(_BETAS, start=1)
        ),
    ],
    right="Right: 3, 0.5544 and 0.2014. A larger beta is content with less of a "
    "margin.",
)


N, DRAWS = 60, 8000


def _scored() -> tuple[list[float], list[float]]:
    """Scores of two models on the same entries, which differ more than the models."""
    generator = random.Random(varied(7))
    entries = [generator.uniform(0.2, 0.7) for _ in range(N)]
    a = [x + 0.08 + generator.gauss(0, 0.08) for x in entries]
    return a, [x + generator.gauss(0, 0.04) for x in entries]


def _interval(values: Any, level: float = 0.95) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _interval_mistakes(a: Any, b: Any) -> list[tuple[tuple[float, float], str]]:
    """Intervals that mistakes would give, each with what to say."""
    draw = np.random.default_rng(0).integers(N, size=(2, 20_000, N))
    d = (a - b)[draw[0]].mean(axis=1)
    ends = _interval(d)
    apart = _interval(a[draw[0]].mean(axis=1) - b[draw[1]].mean(axis=1))
    b_a = "this is the interval of b - a"
    forgot = "low and high are the mean of all entries; each draw is with repetition"
    return [
        ((-ends[1], -ends[0]), f"{b_a}; take a - b"),
        (apart, "the interval is as wide as if the two lists were drawn separately: "
         "draw entries, and take both scores of each"),
        ((-apart[1], -apart[0]), f"{b_a}, and drawn apart; draw both scores together"),
        ((float((a - b).mean()),) * 2, forgot),
        (_interval(d, 0.9), "that is the 90 % interval, from quantiles 0.05 and 0.95; "
         "take 0.025 and 0.975"),
        (_interval(d, 0.99), "that is the 99 % interval; take the quantiles 0.025 and "
         "0.975"),
        (_interval(d, 0.6827), "that is the 68 % interval, one standard deviation on "
         "each side; take the quantiles 0.025 and 0.975"),
        (_interval(a - b), "that is how far single entries lie apart; draw means"),
        ((N * ends[0], N * ends[1]), "you draw sums; take the mean of each draw"),
        (_interval(a[draw[0]].mean(axis=1)), "that is the interval of a's mean alone"),
        (_interval(b[draw[0]].mean(axis=1)), "that is the interval of b's mean alone"),
        (ends[::-1], "low first, then high"),
    ]  # fmt: skip


@exercise(
    "7.8",
    "Is it better?",
    hints=(
        "Each entry has two scores. What of them is drawn, the scores or the entries?",
        "Take a - b for each entry first. Then it is the bootstrap of one list: draw "
        "as many as there are, with repetition, and take the mean, `draws` times.",
        "differences = [x - y for x, y in zip(a, b)]; a generator from the seed; "
        "`draws` means of len(differences) values that it chooses, such as with "
        "random.Random(seed).choices; then the quantiles 0.025 and 0.975 of the means.",
    ),
)
def is_it_better(answer: Callable[..., Sequence[float]]) -> str:
    """Compare with the right interval, as exactly as draws repeat, then the seed."""
    a, b = _scored()
    x, y = np.array(a), np.array(b)

    def ends(draws: int, seed: int) -> list[float]:
        found = answer(list(a), list(b), draws, seed)
        return numbers(found, 2, "two numbers, (low, high)")

    given = ends(DRAWS, 1)
    spread = float((x - y).std()) / math.sqrt(N)  # of the mean
    mistakes = _interval_mistakes(x, y)
    for (low, high), message in mistakes:
        near = 0.15 * spread * max(1.0, (high - low) / (4 * spread))
        alike = _close(given[0], low, near) and _close(given[1], high, near)
        require(not alike, message)
    mean = float((x - y).mean())
    off = [abs(end - mean) / spread for end in given]
    require(
        not all(3.2 < distance < 4.8 for distance in off),
        "the ends are as far apart as the smallest and the largest of all draws; take "
        "the quantiles 0.025 and 0.975",
    )
    draw = np.random.default_rng(1).integers(N, size=(20_000, N))
    right = _interval((x - y)[draw].mean(axis=1))
    require(
        all(_close(g, r, 0.15 * spread) for g, r in zip(given, right, strict=True)),
        f"expected about ({right[0]:.3f}, {right[1]:.3f}), not "
        f"({given[0]:.3f}, {given[1]:.3f})",
    )
    require(ends(200, 5) == ends(200, 5), "the same seed gives different intervals")
    lows = [ends(3, seed)[0] for seed in range(12)]
    require(len(set(lows)) > 1, "every seed gives the same interval; use `seed`")
    require(
        max(lows) - min(lows) > spread / 2,
        "three draws give an interval as steady as thousands; use `draws`",
    )
    return "Right: the interval of the difference, with each entry's scores together."
