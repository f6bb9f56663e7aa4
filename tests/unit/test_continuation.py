"""The continuation in Python: its example, its fallback, its answers, and what it refuses."""

import html

import pytest
import torch

from llmbook_utils.generate import generate
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets import Continuation

PROMPT = "Once there was a cat who"


@pytest.fixture(scope="module")
def widget() -> Continuation:
    return Continuation(PROMPT, max_new_tokens=20, seed=3)


def test_the_example_is_what_generate_draws(widget: Continuation) -> None:
    model, tokenizer = load_pretrained("mini")
    ids = tokenizer.encode_ordinary(PROMPT)
    options = {"temperature": 0.7, "top_p": 0.95, "seed": 3}
    expected = generate(model, torch.tensor([ids]), 20, **options)[0].tolist()
    replies = widget.example["continue"]
    kinds = ["started", *["token"] * 20, "done"]
    assert [reply["kind"] for reply in replies] == kinds
    assert ids + [reply["id"] for reply in replies[1:-1]] == expected
    new = tokenizer.decode(expected[len(ids) :])
    assert f"<strong>{PROMPT}</strong>{html.escape(new)}" in widget.fallback()


def test_the_same_words_give_the_same_html(widget: Continuation) -> None:
    other = Continuation(PROMPT, max_new_tokens=20, seed=3)
    assert other.to_html() == widget.to_html()
    assert repr(other) == (
        f"Continuation({PROMPT!r}, max_new_tokens=20, temperature=0.7, top_p=0.95, seed=3)"
    )


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("", {}, "there is no text"),
        ("half \ud83d", {}, "lone surrogate"),
        ("A cat", {"temperature": -1}, "temperature is -1; it must be 0 or more"),
        ("A cat", {"top_q": 1}, "top_q"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, options: dict, says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        Continuation(text, **options)


def test_a_model_that_is_not_shipped_is_no_file_of_the_page(tmp_path) -> None:
    pair = load_pretrained("mini")
    widget = Continuation("A cat", model=pair, max_new_tokens=2)
    assert widget.state()["model"]["name"] == "your model"
    assert "weights" not in widget.state()["model"]
