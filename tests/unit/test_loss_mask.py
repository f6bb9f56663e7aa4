"""The loss-mask viewer's Python side: its batch is the library's, and what it stores, refuses and shows without scripts."""

import re
from dataclasses import replace
from typing import Any

import pytest

from llmbook_utils.files.instructions import Entry, load_instructions
from llmbook_utils.instruct import STYLES, encode_turns, format_prompt
from llmbook_utils.loss import IGNORED
from llmbook_utils.widgets import LossMaskViewer
from llmbook_utils.widgets.instructions import mini_tokenizer, trained_style
from llmbook_utils.widgets.loss_mask import KINDS

SHORT = Entry("Name a <pet>.", "", "A cat.")
LONG = Entry("Count the words.", "The sea is late.", "It has four words.")


@pytest.mark.parametrize("style", STYLES)
def test_what_is_stored_is_all_that_the_batch_is_made_of(style: str) -> None:
    widget = LossMaskViewer(style=style)
    inputs, targets = widget.batch()
    assert len(inputs) == len(KINDS)
    for row, target, entry in zip(
        inputs.tolist(), targets.tolist(), widget.entries, strict=True
    ):
        prompt = format_prompt(entry["instruction"], entry["input"], STYLES[style])
        known = [widget.known[text] for text in (prompt, entry["output"])]
        ids = [token["id"] for tokens in known for token in tokens]
        turn = (entry["instruction"], entry["input"], entry["output"])
        assert ids == encode_turns(mini_tokenizer(), [turn], STYLES[style]).ids
        assert row[: len(ids)] == ids
        counted = [id for id in target if id != IGNORED]
        end = mini_tokenizer().eot_token
        assert counted == [*(token["id"] for token in known[1]), end]
    for text, tokens in widget.known.items():
        assert b"".join(bytes(t["bytes"]) for t in tokens).decode() == text


def test_the_two_faults_change_what_counts() -> None:
    entries = [SHORT, LONG]

    def counted(**faults: bool) -> int:
        return int(
            (LossMaskViewer(entries, "alpaca", **faults).batch()[1] != IGNORED).sum()
        )

    whole = counted()
    assert counted(learn_end=False) == whole - 2
    prompts = sum(
        len(mini_tokenizer().encode_ordinary(format_prompt(e.instruction, e.input)))
        for e in entries
    )
    assert (
        counted(mask_prompt=False) == whole + prompts - 2
    )  # the first id is no target


def test_tokens_are_told_without_a_model() -> None:
    widget = LossMaskViewer([SHORT])
    message = {"kind": "tokenize", "seq": 3, "text": "A cat's life.", "encoding": 0}
    (reply,) = widget._answer(message)
    found = [token["id"] for chunk in reply["chunks"] for token in chunk["tokens"]]
    assert found == mini_tokenizer().encode_ordinary("A cat's life.")
    assert reply["seq"] == 3
    assert widget.encodings[0]["endOfText"] == mini_tokenizer().eot_token
    assert widget.encodings[0]["ranks"].startswith("mini.bin?")


def test_without_scripts_the_targets_are_read() -> None:
    widget = LossMaskViewer([SHORT, LONG], "alpaca")
    page = widget.fallback()
    B, T = widget.batch()[0].shape
    counted = int((widget.batch()[1] != IGNORED).sum())
    assert f"A batch of {B} rows and {T} columns in the prompt style alpaca" in page
    assert f"Of its {B * T} targets {counted} count" in page
    assert "It | ␣has | ␣four | ␣words | . | &lt;|endoftext|&gt;" in page
    assert page.count("<tr>") == 1 + 2
    assert not re.search(r"<(?!/?(table|caption|thead|tbody|tr|th|td)\b)", page)
    assert widget.to_html() == LossMaskViewer([SHORT, LONG], "alpaca").to_html()
    assert repr(widget) == (
        "LossMaskViewer(2 entries, 'alpaca', mask_prompt=True, learn_end=True)"
    )


def test_what_is_not_given_is_of_the_training() -> None:
    train = load_instructions("train")
    assert LossMaskViewer().style == LossMaskViewer().trained == trained_style()
    for entry in LossMaskViewer().entries:
        assert Entry(**entry) in train


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"style": "llama"}, ValueError, "style is 'llama'; expected one of alpaca"),
        ({"entries": []}, ValueError, "there are no entries"),
        ({"entries": ["Name a pet."]}, TypeError, "entry 0 is str; expected Entry"),
        ({"context_length": 0}, ValueError, "context_length is 0; expected 1 to 256"),
        ({"context_length": 257}, ValueError, "context_length is 257; expected 1 to"),
        ({"context_length": 9}, ValueError, "none has an answer within 9 tokens"),
        (
            {"entries": [replace(SHORT, instruction=" ")]},
            ValueError,
            "the instruction is empty",
        ),
        (
            {"entries": [replace(SHORT, output="a \ud83d")]},
            ValueError,
            "lone surrogate",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        LossMaskViewer(**options)
