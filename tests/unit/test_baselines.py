"""The rivals: rules of a line, and what scikit-learn learns from a few messages."""

import pytest

from llmbook_utils.runs.baselines import BASELINES

MESSAGES = [
    ("free entry, text WIN to 80086 to claim your prize", 1),
    ("urgent! call 09061701461 now to claim cash", 1),
    ("see you at home", 0),
    ("are you free for lunch", 0),
    ("at home with the cat", 0),
]
NEW = ["claim your free prize, call 80086", "home for lunch"]


@pytest.mark.parametrize("name", BASELINES)
def test_each_tells_clear_cases_apart(name):
    verdicts = BASELINES[name](MESSAGES)(NEW)
    assert verdicts == ([0, 0] if name == "majority" else [1, 0])


def test_keywords_learn_how_many_are_enough():
    verdicts = BASELINES["ten keywords"](MESSAGES)
    # one word is not enough here: a ham message has one, too
    assert verdicts(["free", "free cash"]) == [0, 1]
