"""Ask mini in Python: its answers are the library's, its adapter names its style, and what it refuses."""

import html
import math
import re
from typing import Any

import pytest

from llmbook_utils.evaluate import exact_match
from llmbook_utils.files.adapter import SHIPPED, WEIGHTS
from llmbook_utils.files.instructions import load_instructions, read_style
from llmbook_utils.instruct import STYLES, answer, encode_prompt
from llmbook_utils.lora import load_adapter
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets import AskMini
from llmbook_utils.widgets.ask_mini import ALTERNATIVES, MOST, held_out
from llmbook_utils.widgets.instructions import ADAPTER, mini_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

REQUEST = ("Ask about tomorrow.", "It will be sunny.")


@pytest.fixture(scope="module")
def widget() -> AskMini:
    return AskMini(*REQUEST)


def answers(request: tuple[str, str]) -> dict[str, str]:
    """What the library answers without and with the adapter."""
    style, found = STYLES[read_style(SHIPPED / ADAPTER)], {}
    for name in ("base", "tuned"):
        model, tokenizer = load_pretrained("mini")
        if name == "tuned":
            load_adapter(model, ADAPTER)
        (found[name],) = answer(
            model, tokenizer, [request], style=style, max_new_tokens=MOST
        )
    return found


def test_the_stored_answers_are_those_of_the_library(widget: AskMini) -> None:
    expected = answers(REQUEST)
    assert {name: widget.answer(name) for name in expected} == expected
    assert expected["base"] != expected["tuned"]
    for name in expected:
        started, *tokens, done = widget.example[name]
        assert (started["kind"], done["kind"]) == ("started", "done")
        ends = tokens[-1]["id"] == mini_tokenizer().eot_token
        assert (done["why"] == "end") == ends
        assert len(tokens) == MOST or ends
        for token in tokens:
            others = token["alternatives"]
            assert len(others) == ALTERNATIVES
            chances = [other["plain"] for other in others]
            assert chances == sorted(chances, reverse=True)
            assert others[0]["id"] == token["id"], "the most probable one is taken"


def test_the_tuned_model_ends_its_answer_and_the_base_goes_on(widget: AskMini) -> None:
    why = {name: widget.example[name][-1]["why"] for name in ("base", "tuned")}
    assert why == {"base": "length", "tuned": "end"}


def test_drawn_answers_have_their_seed() -> None:
    def said(seed: int) -> str:
        return AskMini(*REQUEST, temperature=1.0, seed=seed).answer("tuned")

    assert said(1) == said(1)
    assert len({said(seed) for seed in range(4)}) > 1


def test_the_requests_are_those_that_training_did_not_see(widget: AskMini) -> None:
    trained = {(e.instruction, e.input) for e in load_instructions("train")}
    shown = [(one["instruction"], one["input"]) for one in held_out()]
    assert len(shown) == len(set(shown)) == 295 + 40
    assert not trained & set(shown)
    first = AskMini()
    assert (first.text, first.input) in shown and first.reference
    assert widget.reference == "Will it be sunny?"
    assert AskMini("Say hello.").reference is None


def test_without_scripts_both_answers_are_read(widget: AskMini) -> None:
    page = widget.fallback()
    found = answers(REQUEST)
    for name, text in found.items():
        match = "yes" if exact_match(text, "Will it be sunny?") else "no"
        assert f"<td>{html.escape(text)}</td><td>{match}</td>" in page, name
    assert "the reference answer is “Will it be sunny?”" in page
    n = len([r for r in widget.example["tuned"] if r["kind"] == "token"])
    assert page.count("<tr>") == 1 + 2 + 1 + n
    other = AskMini("Say <b>hello</b>.").fallback()
    assert "reference" not in other and "<b>" not in other
    assert not re.search(r"<(?!/?(table|caption|thead|tbody|tr|th|td)\b)", other)


def test_the_same_request_gives_the_same_html(widget: AskMini) -> None:
    assert AskMini(*REQUEST).to_html() == widget.to_html()
    assert repr(widget) == (
        "AskMini('Ask about tomorrow.', 'It will be sunny.', temperature=0.0, seed=0)"
    )


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"instruction": " "}, ValueError, "the instruction is empty"),
        ({"instruction": "word " * 300}, ValueError, "mini reads 256, the answer incl"),
        ({"instruction": "a \ud83d"}, ValueError, "lone surrogate"),
        ({"instruction": 7}, TypeError, "text is int; expected str"),
        ({"temperature": -1}, ValueError, "temperature is -1"),
        ({"temperature": 9}, ValueError, "temperature is 9; expected 0 to 5"),
        ({"temperature": "1"}, TypeError, "temperature is '1'; expected a number"),
        ({"temperature": math.nan}, ValueError, "temperature is nan"),
        ({"seed": 0.5}, TypeError, "seed is 0.5; expected a whole number"),
        ({"seed": -1}, ValueError, "seed is -1; expected 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        AskMini(**options)


def test_a_long_request_leaves_the_answer_less_room() -> None:
    style = STYLES[read_style(SHIPPED / ADAPTER)]
    short = encode_prompt(mini_tokenizer(), "Count the words.", "very", style)
    widget = AskMini("Count the words.", " ".join(["very"] * (220 - len(short))))
    room = 256 - len(widget.requests()["base"]["ids"])
    assert 0 < room < MOST
    for request in widget.requests().values():
        assert request["options"]["max_new_tokens"] == room


def test_the_adapter_is_small_and_has_no_head() -> None:
    assert len((SHIPPED / ADAPTER / WEIGHTS).read_bytes()) <= 500_000
    (reply,) = AskMini(*REQUEST).ask({"kind": "adapter", "adapter": ADAPTER})
    assert reply["classes"] == 0
