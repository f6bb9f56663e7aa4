"""Exercises by hand: rules are read in order, and say what an answer is."""

import pytest

from llmbook_utils import exercises
from llmbook_utils.exercises import Wrong, check
from llmbook_utils.exercises.by_hand import (
    ByHand,
    Rule,
    begins,
    by_hand,
    must_be,
    must_not_be,
    relative,
    total,
)

HINTS = ("look", "look again", "it is 2 and 3")


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> ByHand:
    monkeypatch.setattr(exercises, "_registry", {})
    return by_hand(
        "0.1",
        "Two and three",
        hints=HINTS,
        fields=("first", "second"),
        expected="two numbers",
        rules=[
            must_not_be((0, 1), (3, 2), "the other way round"),
            total((0, 1), 5, "they add up to {sum 0 1}", 0.1),
            must_be(0, 2, "not {0}", 0.2),
            must_be(1, 3, "not {1:,} or {1^2}", 0.15),
        ],
        right="Right: 2 and 3.",
    )


@pytest.mark.parametrize(
    "answer, says",
    [
        ([3, 2], "the other way round"),
        ([3.01, 2.01], "the other way round"),  # within half a percent, or 0.005
        ([1, 2], "they add up to 3"),
        ([2.5, 2.5], "not 2.5"),
        ([1.9, 3.19], "not 3 or 10.2"),
        ([float("nan"), 3], "they add up to nan"),
        ([2], "expected two numbers, got 1"),
        ([2, "3"], "['3'] is text"),
        ("23", "expected two numbers, got '23'"),
        (5, "expected two numbers, got 5"),
    ],
)
def test_the_first_broken_rule_speaks(sums: ByHand, answer: object, says: str) -> None:
    with pytest.raises(Wrong) as wrong:
        sums.judge(answer)
    assert says in str(wrong.value)


@pytest.mark.parametrize("answer", [[2, 3], (2.1, 2.9), [(2,), 3], iter([2, 3])])
def test_right_answers_pass_as_they_may_be_written(
    sums: ByHand, answer: object
) -> None:
    assert sums.judge(answer) == "Right: 2 and 3."


def test_check_and_hint_know_it(
    sums: ByHand, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check("0.1", [2, 3])
    assert "not started" in check("0.1", None).message
    assert exercises.registered()["0.1"].by_hand is sums


def test_texts_are_compared_as_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercises, "_registry", {})
    table = by_hand(
        "0.2",
        "Words",
        hints=HINTS,
        fields=("one",),
        expected="one word",
        rules=[
            begins((0,), " ", "no space before {0}"),
            must_be(0, " a", "not {0}"),
        ],
        right="Right.",
        text=True,
    )
    assert table.judge(["␣a"]) == table.judge([b" a"]) == "Right."
    for answer, says in ((["a"], "no space before “a”"), ([" b"], "not “␣b”")):
        with pytest.raises(Wrong, match=says):
            table.judge(answer)


@pytest.mark.parametrize(
    "rule", [must_be(2, 1, "no"), must_be((0, 1), 1, "no"), must_not_be(0, (1, 2), "")]
)
def test_a_rule_that_fits_no_field_is_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match="there are 2 fields"):
        by_hand(
            "0.3",
            "x",
            hints=HINTS,
            fields=("a", "b"),
            expected="two",
            rules=[rule],
            right="Right.",
        )


def test_another_exercise_of_that_number_is_refused(sums: ByHand) -> None:
    with pytest.raises(ValueError, match="'Two and three' already"):
        by_hand("0.1", "y", hints=HINTS, fields=("a",), expected="", rules=[], right="")


def test_rounding_is_relative_for_large_numbers() -> None:
    assert relative(0.001) == 0.005 and relative(-2000) == 10
