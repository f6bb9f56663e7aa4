"""Evaluation: metrics by hand and against rouge-score, intervals, controls, and bad judges."""

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from llmbook_utils.evaluate import (
    METRICS,
    ask_judge,
    bootstrap,
    controls,
    exact_match,
    judge_bias,
    judge_prompt,
    longest_common,
    normalize,
    obeys_format,
    pair_prompt,
    parse_choice,
    parse_grade,
    rouge_l,
    score,
    summarize,
    token_f1,
)
from llmbook_utils.files.chat import (
    Reply,
)
from llmbook_utils.files.instructions import Entry, load_instructions

SCORER = RougeScorer(["rougeL"])

# metrics


def test_normalize():
    assert normalize("The  Cat's hat,\nan egg -- a DOG!") == [
        "cats",
        "hat",
        "egg",
        "dog",
    ]


@pytest.mark.parametrize("answer, reference, wanted", [
    ("The opposite of hot is cold.", "the opposite of hot is cold", (1, 1, 1)),
    ("It is cold.", "The opposite of hot is cold.", (0, 2 * 2 / (3 + 5), 2 * 2 / (3 + 6))),
    ("", "Blue.", (0, 0, 0)),
    ("cats cats cats", "cats", (0, 2 / 4, 2 / 4)),  # said three times, right once
    ("Man bites dog.", "Dog bites man.", (0, 1, 1 / 3)),  # what fools F1
    ("It is not a cat.", "It is a cat.", (0, 6 / 7, 8 / 9)),  # what fools all but one
])  # fmt: skip
def test_metrics_by_hand(answer, reference, wanted):
    found = [
        METRICS[name](answer, reference)
        for name in ("exact match", "token F1", "ROUGE-L")
    ]
    assert found == pytest.approx(wanted)


def test_right_in_other_words_is_no_match():
    assert exact_match("five words", "It has five words.") == 0


@given(
    *[
        st.lists(
            st.sampled_from(
                ["the", "cat", "sat", "on", "a", "mat", "7", "it's", "Ünder", "x-y"]
            )
        ).map(" ".join)
    ]
    * 2
)
def test_rouge_l_is_that_of_rouge_score(answer, reference):
    theirs = SCORER.score(reference, answer)["rougeL"].fmeasure
    assert rouge_l(answer, reference) == pytest.approx(theirs)


def test_rouge_l_on_the_books_own_answers():
    entries = load_instructions("test")
    for mine, other in pairwise(entries):
        theirs = SCORER.score(mine.output, other.output)["rougeL"].fmeasure
        assert rouge_l(other.output, mine.output) == pytest.approx(theirs)


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_the_longest_common_sequence(a, b):
    def slow(a, b):
        if not a or not b:
            return 0
        if a[0] == b[0]:
            return 1 + slow(a[1:], b[1:])
        return max(slow(a[1:], b), slow(a, b[1:]))

    assert longest_common(a, b) == slow(a, b)


@settings(max_examples=40)
@given(st.text(), st.text())
def test_metrics_take_any_text_and_stay_between_0_and_1(answer, reference):
    for metric in METRICS.values():
        assert 0 <= metric(answer, reference) <= 1
    assert token_f1(answer, reference) == pytest.approx(token_f1(reference, answer))


@pytest.mark.parametrize("answer, reference, obeyed", [
    ("It is wrong.", "It is right.", 1), ("it is right", "It is right.", 0), ("four", "five", 1),
    ("Four.", "five", 0), ('"Hot" is it.', "It is cold.", 1), ("", "five", 0),
    ("One.\n\n### Instruction:\nTwo.", "One.\n\nTwo.", 0), ("One.\nTwo.", "One.", 0),
])  # fmt: skip
def test_format(answer, reference, obeyed):
    assert obeys_format(answer, reference) == obeyed


def test_each_reference_has_full_marks():
    for entry in load_instructions("test"):
        assert {
            name: m(entry.output, entry.output) for name, m in METRICS.items()
        } == dict.fromkeys(METRICS, 1.0)


# intervals and controls


def test_bootstrap_is_close_to_the_normal_interval():
    draw = random.Random(0)
    values = [float(draw.random() < 0.3) for _ in range(400)]
    mean = sum(values) / 400
    low, high = bootstrap(values)
    half = 1.96 * (mean * (1 - mean) / 400) ** 0.5
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.01)
    assert bootstrap(values) == (low, high) != bootstrap(values, seed=1)
    assert bootstrap(values, level=0.5)[0] > low
    assert bootstrap([0.5]) == (0.5, 0.5)


@pytest.mark.parametrize("values, options, message", [
    ([], {}, "no values"), ([1.0], {"level": 1}, "level is 1"), ([1.0], {"draws": 0}, "draws 0"),
])  # fmt: skip
def test_bootstrap_refuses(values, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(values, **options)


ENTRIES = [Entry("Say it.", "", f"Answer {i}.", kind) for i, kind in enumerate("aabbb")]


def test_controls_are_the_ceiling_and_the_floor():
    found = controls(ENTRIES)
    exact = {
        name: score(said, ENTRIES)["all"]["exact match"].mean
        for name, said in found.items()
    }
    assert exact == {"references": 1, "shuffled references": 0, "empty answers": 0}
    assert sorted(found["shuffled references"]) == sorted(found["references"])


def test_scores_by_kind():
    answers = ["Answer 0.", "no", "Answer 2.", "Answer 3.", "Answer 9."]
    table = score(answers, ENTRIES, lambda entry: entry.kind)
    assert table["a"]["exact match"].mean == 0.5
    assert table["b"]["exact match"].mean == pytest.approx(2 / 3)
    assert table["b"]["token F1"].n == 3
    assert summarize([1.0, 1.0]).low == 1


@pytest.mark.parametrize("answers", [[], ["one"]])
def test_there_must_be_an_answer_for_each_entry(answers):
    with pytest.raises(ValueError, match=f"{len(answers)} answers and 5 entries"):
        score(answers, ENTRIES)


# what judges say


@pytest.mark.parametrize("said, grade", [
    ("95", 95), (" 95.\n", 95), ("95/100", 95), ("8/10", 80), ("7.5 out of 10", 75), ("100%", 100),
    ("Score: 85", 85), ("**Score:** 85", 85), ("The grade is 40, for 2 reasons.", 40), ("0", 0),
    ("<think>maybe 20 or 30</think>\n70", 70), ("I would give it 60.", 60), ("Score: 60. Grade: 60", 60),
    ("I'd give it ninety", None), ("", None), ("<html><h1>502</h1></html>", None), ("150", None),
    ("-5", None), ("between 70 and 80", None), ("No.", None), ("<think>50", None), ("3/7", None),
    ("Score: 20 or score: 30", None),
])  # fmt: skip
def test_grades(said, grade):
    assert parse_grade(said) == (grade if grade is None else pytest.approx(grade))


@pytest.mark.parametrize("said, choice", [
    ("A", "A"), ("b", "B"), (" (B). ", "B"), ("Answer A is better.", "A"), ("T", "T"), ("**B**", "B"),
    ("A good answer would be B", "B"), ("A wins because B is empty", None), ("A or B", None), ("A and B are equal", None),
    ("", None), ("Both are fine", None), ("neither", None), ("<think>A?</think>B", "B"), ("I prefer A.", "A"),
])  # fmt: skip
def test_choices(said, choice):
    assert parse_choice(said) == choice


@given(st.text())
def test_whatever_a_judge_says_is_read_or_not(said):
    grade = parse_grade(said)
    assert grade is None or 0 <= grade <= 100
    assert parse_choice(said) in ("A", "B", "T", None)


# bias, shown on judges that have it

PAIRS = [("short", "much longer"), ("quite a long one", "brief"), ("tiny", "enormous")]
ENTRY = Entry("Say something.", "", "Something.")


def choices(judge, tmp_path):
    """A biased judge's choices in both orders, through the whole path."""
    runs = []
    for name, pairs in (("forward", PAIRS), ("backward", [(b, a) for a, b in PAIRS])):
        prompts = [pair_prompt(ENTRY, *pair) for pair in pairs]
        runs.append(
            ask_judge(judge, prompts, tmp_path / name, parse=parse_choice).values
        )
    return judge_bias(PAIRS, *runs)


def answers_in(prompt):
    return re.search("Answer A: (.*)\nAnswer B: (.*)", prompt).groups()


def test_position_bias(tmp_path):
    bias = choices(lambda prompt: Reply("A"), tmp_path)
    assert (bias.first, bias.longer, bias.changed, bias.n) == (1.0, 0.5, 1.0, 3)


def test_verbosity_bias(tmp_path):
    def judge(prompt):
        first, second = answers_in(prompt)
        return Reply("A" if len(first) > len(second) else "B")

    bias = choices(judge, tmp_path)
    assert (bias.first, bias.longer, bias.changed) == (0.5, 1.0, 0.0)


def test_a_fair_judge_and_one_that_cannot_be_read(tmp_path):
    bias = choices(lambda prompt: Reply("T"), tmp_path)
    assert (bias.first, bias.longer, bias.changed) == (0.5, 0.5, 0.0)
    with pytest.raises(ValueError, match="no pair has a readable choice"):
        judge_bias(PAIRS, [None] * 3, ["A"] * 3)


def test_prompts_hold_what_the_judge_needs():
    entry = Entry("Make it a question.", "{The} dog is wet.", "Is the dog wet?")
    text = judge_prompt(entry, "Wet {dog}?")
    assert all(
        part in text
        for part in ("Make it a question.\n{The}", "Is the dog wet?", "Wet {dog}?")
    )
