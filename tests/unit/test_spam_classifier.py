"""The spam classifier's Python side: what it stores, refuses, and shows without scripts."""

import hashlib
import json
import math
import re

import pytest
import score_adapter
import torch

from llmbook_utils.classify import (
    Classifier,
    confusion,
    explain_by_deletion,
)
from llmbook_utils.files.adapter import SHIPPED, WEIGHTS
from llmbook_utils.lora import load_adapter
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets import SpamClassifier
from llmbook_utils.widgets.spam_classifier import (
    MOST_WORDS,
    ODDS,
    held_out,
    left_out,
)

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "You  have won a prize.\nCall 09061234567 now!"


@pytest.fixture(scope="module")
def widget() -> SpamClassifier:
    return SpamClassifier(TEXT)


def test_the_stored_verdict_is_that_of_the_library(widget: SpamClassifier) -> None:
    model, tokenizer = load_pretrained("mini")
    load_adapter(model, "spam")
    words = explain_by_deletion(Classifier(model, tokenizer), TEXT)
    whole, *others = widget.odds
    assert len(others) == len(words) == 8
    for (word, change), odds, shown in zip(words, others, TEXT.split(), strict=True):
        assert word == shown
        assert whole - odds == pytest.approx(change, abs=1e-3)
    (reply,) = widget.example["classify"]
    assert reply["tensors"] == [{"name": "logits", "shape": [9, 2]}]


def test_the_base_model_is_as_it_was(widget: SpamClassifier) -> None:
    ids = torch.tensor([[7, 8, 9]])
    before = load_pretrained("mini")[0](ids)
    widget.ask(widget.requests()["classify"])
    (run,) = widget.ask({"kind": "run", "want": ["logits.last"], "text": "The sea"})
    again = SpamClassifier("Hello there").ask(
        {"kind": "run", "want": ["logits.last"], "text": "The sea"}
    )[0]
    assert run["buffers"] == again["buffers"]
    assert torch.equal(load_pretrained("mini")[0](ids), before)


def test_what_is_recorded_of_the_test_messages_belongs_to_this_adapter() -> None:
    record = json.loads(ODDS.read_text("utf-8"))
    weights = (SHIPPED / "spam" / WEIGHTS).read_bytes()
    assert record["weights"] == hashlib.sha256(weights).hexdigest(), (
        "the adapter is a new one: run tools/score_adapter.py"
    )
    shown, some = held_out(), slice(None, None, 40)
    again = score_adapter.score(shown["texts"][some])
    assert again == pytest.approx(record["log_odds"][some], abs=0.01)
    assert len(shown["texts"]) == len(shown["labels"]) == len(record["log_odds"])
    assert set(shown["labels"]) == {0, 1}


def test_most_of_the_test_messages_are_judged_rightly() -> None:
    shown = held_out()
    found = confusion(shown["labels"], [odds > 0 for odds in shown["odds"]])
    assert found.accuracy > 0.95 and found.f1 > 0.8


def test_only_so_many_words_are_left_out() -> None:
    widget = SpamClassifier("word " * 200)
    assert len(widget.requests()["classify"]["variants"]) == MOST_WORDS
    assert left_out(["one"]) == []
    assert SpamClassifier("Hello").example["classify"][0]["tensors"][0]["shape"] == [
        1,
        2,
    ]


def test_without_scripts_the_verdict_and_the_words_are_read(
    widget: SpamClassifier,
) -> None:
    shown = re.sub(r"<[^>]+>", " ", widget.fallback())
    assert "09061234567" in shown and "log-odds that go" in shown
    found = confusion(held_out()["labels"], [odds >= 0 for odds in held_out()["odds"]])
    assert f"{found.true_positives} are spam" in shown
    strict = SpamClassifier(TEXT, threshold=0.99).fallback()
    limit = math.log(99)
    called = sum(odds >= limit for odds in held_out()["odds"])
    assert f"{called} count as spam at a threshold of 99.0 %" in strict
    assert "<script" not in SpamClassifier("<script>x</script> hello").fallback()


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 1.5, math.nan, True, "0.5"])
def test_a_threshold_that_cannot_be_is_refused(threshold: object) -> None:
    with pytest.raises(ValueError, match=r"threshold is .*between 0 and 1"):
        SpamClassifier(TEXT, threshold=threshold)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_a_text_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no word"):
        SpamClassifier(text)


def test_its_name_can_be_typed(widget: SpamClassifier) -> None:
    assert (
        repr(SpamClassifier("Hi you", 0.9)) == "SpamClassifier('Hi you', threshold=0.9)"
    )
