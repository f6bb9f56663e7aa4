"""Counted models: by hand, as probabilities, and against a count by another way."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook_utils.files.datasets import load_text
from llmbook_utils.ngram import (
    count_followers,
    probability,
    seen_followers,
    split_words,
    write_on,
)

TOY = [
    w.strip()
    for w in split_words("the sea was late the sea was calm the tide was late")
]


@given(st.text())
def test_words_joined_are_the_text_again(text: str) -> None:
    assert "".join(split_words(text)) == text


def test_counts_are_those_by_hand() -> None:
    unigram, bigram, trigram = count_followers(TOY, 3)
    assert unigram == {(): Counter(the=3, was=3, sea=2, late=2, calm=1, tide=1)}
    assert bigram["was",] == {"late": 2, "calm": 1}
    assert trigram["tide", "was"] == {"late": 1}
    assert ("late",) in bigram and ("was", "late") in trigram
    assert ("calm", "late") not in trigram


def test_followers_are_those_of_the_longest_context_that_was_seen() -> None:
    tables = count_followers(TOY, 3)
    assert seen_followers(tables, ["the", "tide"]) == {"was": 1}
    assert seen_followers(tables, ["calm", "was"]) == {"late": 2, "calm": 1}
    assert seen_followers(tables, ["a", "boat"]) == tables[0][()]
    assert seen_followers(tables, []) == tables[0][()]
    with pytest.raises(ValueError, match="the tables are empty"):
        seen_followers(count_followers([], 3), ["the"])


def test_a_probability_is_the_one_by_hand() -> None:
    """`sea` after `the`: 3/5 of 2/3, and 2/5 of 12/18 of 2/12 and of 6/18 of 1/10."""
    unigram = 2 / 18 + 6 / 18 / 10
    expected = 3 / 5 * 2 / 3 + 2 / 5 * unigram
    tables = count_followers(TOY, 2)
    assert probability(tables, ["the"], "sea", 10) == pytest.approx(expected)


@given(
    st.lists(st.integers(0, 6), max_size=60),
    st.lists(st.integers(0, 6), max_size=4),
    st.integers(0, 4),
)
def test_probabilities_are_above_0_and_add_up_to_1(
    ids: list[int], context: list[int], n_tables: int
) -> None:
    tables = count_followers(ids, n_tables)
    chances = [probability(tables, context, id, 7) for id in range(7)]
    assert min(chances) > 0 and sum(chances) == pytest.approx(1)


def numbers(seed: int) -> Callable[[], float]:
    return random.Random(seed).random


def test_what_is_written_was_seen_and_depends_on_the_numbers() -> None:
    words = split_words(load_text("story"))
    tables = count_followers(words, 3)
    written = write_on(tables, [" the"], 40, numbers(3))
    assert len(written) == 40 and written == write_on(tables, [" the"], 40, numbers(3))
    assert written != write_on(tables, [" the"], 40, numbers(4))
    assert {*pairwise([" the", *written])} <= {*pairwise(words)}


def test_draws_follow_the_counts() -> None:
    tables, draw = count_followers(TOY, 2), numbers(1)
    drawn = Counter(write_on(tables, ["was"], 1, draw)[0] for _ in range(3000))
    assert set(drawn) == {"late", "calm"}
    assert drawn["late"] / 3000 == pytest.approx(2 / 3, abs=0.03)


def test_the_lowest_and_the_highest_number_draw_the_first_and_the_last() -> None:
    tables = count_followers(TOY, 2)
    assert write_on(tables, ["was"], 1, lambda: 0.0) == ["late"]
    assert write_on(tables, ["was"], 1, lambda: 1 - 2**-53) == ["calm"]
    assert write_on(tables, ["was"], 0, lambda: 0.0) == []
