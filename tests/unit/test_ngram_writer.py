"""The n-gram writer in Python: its example, its fallback, and what it refuses."""

import gzip

import pytest
import torch

from llmbook_utils.files.datasets import load_text
from llmbook_utils.ngram import count_followers, split_words
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets import NgramWriter

STORY = load_text("story")
BEGINNING = "Ibby looked at the "


@pytest.fixture(scope="module")
def widget() -> NgramWriter:
    return NgramWriter(BEGINNING, STORY)


def test_the_example_is_what_the_model_expects(widget: NgramWriter) -> None:
    model, tokenizer = load_pretrained("mini")
    ids = torch.tensor([tokenizer.encode_ordinary(BEGINNING)])
    with torch.no_grad():
        chances = model(ids)[0, -1].softmax(dim=-1)
    (reply,) = widget.example["run"]
    assert [token["id"] for token in reply["top"]] == chances.topk(5).indices.tolist()
    for token in reply["top"]:
        assert token["probability"] == pytest.approx(
            chances[token["id"]].item(), rel=5e-3
        )


def test_the_fallback_has_the_words_that_were_counted(widget: NgramWriter) -> None:
    page = widget.fallback()
    tables = count_followers(split_words(STORY), 3)
    followers = tables[2][" at", " the"]
    word, times = followers.most_common(1)[0]
    share = 100 * times / followers.total()
    assert f"␣{word.strip()} {share:.1f} %" in page
    assert page.count("<tr>") == 6
    for name in ("unigram", "bigram", "trigram", "mini"):
        assert f'<th scope="col">{name}</th>' in page


def test_what_was_never_seen_falls_back_to_a_shorter_context() -> None:
    page = NgramWriter("zebra xylophone", "a b a b a c").fallback()
    assert page.count("<td>␣b 33.3 %</td>") == 3


def test_a_page_gets_it_in_few_bytes(widget: NgramWriter) -> None:
    assert len(gzip.compress(widget.to_html().encode())) <= 60_000
    assert widget.to_html() == NgramWriter(BEGINNING, STORY).to_html()
    assert repr(widget) == f"NgramWriter({BEGINNING!r}, {len(STORY):,} characters)"


@pytest.mark.parametrize(
    ("text", "counted", "says"),
    [
        ("The sea", "", "has 0 characters"),
        ("The sea", "a" * 200_001, "at most 200,000 characters"),
        ("The sea", "half \ud83d", "lone surrogate"),
        ("", "the sea", "there is no text"),
        ("The sea", None, "expected str"),
    ],
)
def test_what_cannot_be_counted_is_refused(text: str, counted: str, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        NgramWriter(text, counted)
