"""Widgets in Python: state, answers, and what a reader without JavaScript sees."""

import gzip
import json
import re
from typing import Any

import pytest
import tiktoken
from golden_tokenize import FILE, TEXTS, golden
from hypothesis import given, settings
from hypothesis import strategies as st

from llmbook_utils import web
from llmbook_utils.data import SlidingWindowDataset
from llmbook_utils.tokenizer import (
    GPT2_SPLIT,
    BytePairTokenizer,
    get_encoding,
    merge_pairs,
    ranks_of,
)
from llmbook_utils.widgets import (
    QuickQuestion,
    SlidingWindow,
    TokenizerExplorer,
    site_files,
)
from llmbook_utils.widgets.base import BookWidget
from llmbook_utils.widgets.tokens import pack_ranks, show, tokenize, tokens_of
from llmbook_utils.widgets.window import window_starts

GPT2 = get_encoding("gpt2")
SMALL = BytePairTokenizer.train("hug pug hugs pugs bug", vocab_size=260).to_tiktoken()
OPTIONS = [("`1 < 2`", True, "so it is"), ("</script>", False, "no & never")]
LONE = "half \ud83d a smile"


def widgets() -> list[BookWidget]:
    return [
        TokenizerExplorer("a </script> <b>", {"GPT-2": GPT2, "small": SMALL}),
        SlidingWindow("In the evening </script> they lit the lamp", 4, 2),
        QuickQuestion("What is `<b>`?", OPTIONS),
    ]


def stored_state(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize("widget", widgets(), ids=lambda widget: widget.module)
def test_the_stored_output_holds_state_and_fallback(widget: BookWidget) -> None:
    data, _ = widget._repr_mimebundle_()
    page = data["text/html"]
    assert f'data-bw-module="{widget.module}"' in page
    assert page.count("</script>") == 1, "no text may close the script element"
    assert stored_state(page) == widget.state()
    assert widget.fallback() in page
    assert "&lt;" in widget.fallback()
    assert "<b>" not in widget.fallback()
    assert data["text/plain"] == repr(widget)


def test_the_same_widget_gives_the_same_html_and_repr() -> None:
    for one, other in zip(widgets(), widgets(), strict=True):
        assert one.to_html() == other.to_html()
        assert repr(one) == repr(other)
        assert "0x" not in repr(one)


def test_notebook_and_page_run_the_same_module() -> None:
    files = site_files()
    for widget in widgets():
        view = f"views/{widget.module}.js"
        source = widget._esm
        for name in web.in_order(view):
            body = re.sub(r"^(import|export) .*", "", files[name].decode(), flags=re.M)
            assert body.strip().splitlines()[-1] in source
        assert not re.search(r"^import\b", source, re.MULTILINE)
        assert widget._css == (files["palette.css"] + files["style.css"]).decode()


def test_the_small_encoding_is_stored_with_the_widget() -> None:
    gpt2, small = stored_state(widgets()[0].to_html())["encodings"]
    assert gpt2["ranks"] == "gpt2.bin"
    assert small["ranks"].startswith("data:application/octet-stream;base64,")
    assert (gpt2["size"], gpt2["endOfText"]) == (50256, 50256)
    assert (small["size"], small["endOfText"]) == (259, 259)


def test_packed_ranks_unpack_to_the_ranks() -> None:
    for encoding in (SMALL, GPT2):
        packed = pack_ranks(encoding)
        tokens = [packed[i : i + 1] for i in range(256)]
        for at in range(256, len(packed), 4):
            pair = [int.from_bytes(packed[i : i + 2], "little") for i in (at, at + 2)]
            tokens.append(tokens[pair[0]] + tokens[pair[1]])
        assert dict(zip(tokens, range(len(tokens)), strict=True)) == ranks_of(encoding)
    assert len(packed) == 256 + 4 * len(merge_pairs(GPT2))


def test_the_page_splits_by_the_very_same_pattern() -> None:
    found = re.search(r"GPT2_SPLIT = String\.raw`(.*)`", web.read("engine/bpe.js"))
    assert found is not None
    assert found[1] == GPT2_SPLIT


CASES = json.loads(FILE.read_text(encoding="utf-8"))


def test_the_golden_cases_are_up_to_date() -> None:
    assert [golden(text) for text in TEXTS] == CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["text"])[:20])
def test_answers_are_the_golden_ones(case: dict[str, Any]) -> None:
    widget = TokenizerExplorer("x")
    request = {"kind": "tokenize", "seq": 7, "text": case["text"], "encoding": 0}
    assert list(widget._answer(request)) == [{"kind": "tokenize", "seq": 7, **case}]


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=60))
def test_answers_equal_tiktoken(text: str) -> None:
    for encoding in (GPT2, SMALL):
        tokens = tokens_of(tokenize(text, ranks_of(encoding)))
        assert [token["id"] for token in tokens] == encoding.encode_ordinary(text)
        assert b"".join(bytes(token["bytes"]) for token in tokens) == text.encode()


@pytest.mark.parametrize("text", ["a" * 2000, "字" * 2000, " " * 2000])
def test_one_long_chunk_is_answered(text: str) -> None:
    ids = [token["id"] for token in tokens_of(tokenize(text, ranks_of(GPT2)))]
    assert ids == GPT2.encode_ordinary(text)


def test_a_long_text_is_cut() -> None:
    reply = tokenize("ab " * 700, ranks_of(SMALL))
    assert (reply["truncated"], len(reply["text"])) == (True, 2000)
    assert not tokenize("a" * 2000, ranks_of(SMALL))["truncated"]
    explorer = TokenizerExplorer("ab " * 700)
    assert explorer.text == explorer.replies[0]["text"]
    assert explorer.replies[0]["truncated"]


def test_a_lone_surrogate_typed_is_replaced_and_given_is_an_error() -> None:
    assert tokenize(LONE, ranks_of(SMALL))["text"] == "half \ufffd a smile"
    with pytest.raises(ValueError, match=r"character 5 .* lone surrogate U\+D83D"):
        TokenizerExplorer(LONE)


def test_requests_arrive_and_failures_are_answered(monkeypatch: Any) -> None:
    sent: list[dict[str, Any]] = []
    widget = TokenizerExplorer("x")
    monkeypatch.setattr(widget, "send", lambda reply, buffers: sent.append(reply))
    asked = {"kind": "tokenize", "seq": 1, "text": "hug", "encoding": 0}
    widget._handle_custom_msg(asked, [])
    widget._handle_custom_msg({**asked, "seq": 2, "encoding": 5}, [])
    widget._handle_custom_msg({"kind": "sing", "seq": 3}, [])
    assert [(reply["kind"], reply["seq"]) for reply in sent] == [
        ("tokenize", 1),
        ("error", 2),
        ("error", 3),
    ]
    assert all(reply["message"] for reply in sent[1:])


def test_the_explorers_fallback_is_a_table_of_tokens() -> None:
    page = TokenizerExplorer(" hugs\n😀", {"small": SMALL}).fallback()
    assert "7 characters make 8 tokens in small" in page
    assert page.count("<tr>") == 1 + 8
    assert '<th scope="row">hug</th><td>258</td><td>68 75 67</td>' in page
    assert '<th scope="row">⏎</th>' in page
    assert '<th scope="row">F0</th>' in page


def test_the_windows_fallback_is_a_table_of_windows() -> None:
    page = SlidingWindow("one two three four five six", 2, 3).fallback()
    assert "6 tokens give 2 windows of 2 inputs, a new one every 3 tokens" in page
    assert "<td>one | ␣two</td><td>␣two | ␣three</td>" in page
    assert "<td>␣four | ␣five</td><td>␣five | ␣six</td>" in page
    assert page.count("<tr>") == 1 + 2


def test_long_fallbacks_stay_small_and_say_so() -> None:
    assert "here the first 100" in TokenizerExplorer("word " * 200).fallback()
    assert "here are the first 30" in SlidingWindow("word " * 200, 2, 1).fallback()


def test_the_questions_fallback_has_every_reason() -> None:
    page = QuickQuestion("What is `<b>`?", OPTIONS).fallback()
    assert "<code>&lt;b&gt;</code>" in page
    assert page.count("<details>") == len(OPTIONS)
    assert "✓ Right. so it is" in page
    assert "✗ Not this one. no &amp; never" in page


@given(st.integers(0, 40), st.integers(1, 12), st.integers(1, 12))
def test_windows_are_those_of_the_data_set(n: int, length: int, step: int) -> None:
    starts = list(window_starts(n, length, step))
    if n < length + 1:
        assert starts == []
        return
    dataset = SlidingWindowDataset(list(range(n)), length, step)
    assert starts == [int(inputs[0]) for inputs, _ in dataset]


def test_bytes_are_shown_as_a_reader_can_see_them() -> None:
    assert show(b" a\n\tb") == "␣a⏎⇥b"
    assert show("\u00a0\u200d\0".encode()) == "U+00A0U+200DU+0000"
    assert show(b"\xf0\x9f") == "F0 9F"


def cut(pattern: str) -> tiktoken.Encoding:
    return tiktoken.Encoding(
        "other",
        pat_str=pattern,
        mergeable_ranks=ranks_of(GPT2),
        special_tokens={},
    )


GAP = tiktoken.Encoding(
    "gap",
    pat_str=GPT2_SPLIT,
    mergeable_ranks={bytes([b]): b + (b > 9) for b in range(256)},
    special_tokens={"<|x|>": 10},
)
NO_OPTION = [("a", False, "no"), ("b", False, "no")]
TWO_RIGHT = [("a", True, "yes"), ("b", True, "yes")]
NO_REASON = [("a", True, "yes"), ("b", False, " ")]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TokenizerExplorer(b"x"), TypeError, "text is bytes; expected str"),
        (lambda: TokenizerExplorer("x", {}), ValueError, "encodings is empty; give"),
        (
            lambda: TokenizerExplorer("x", {"a": BytePairTokenizer.train("", 257)}),
            TypeError,
            r"encodings\['a'\] is BytePairTokenizer, .* call to_tiktoken",
        ),
        (
            lambda: TokenizerExplorer("x", {"a": cut(r"\p{N}{1,3}|\P{N}+")}),
            ValueError,
            "'other' splits text in another way than GPT-2",
        ),
        (
            lambda: TokenizerExplorer("x", {"a": GAP}),
            ValueError,
            "'gap' has 256 tokens; expected ids 0, 1, 2",
        ),
        (lambda: SlidingWindow(None), TypeError, "text is NoneType; expected str"),
        (
            lambda: SlidingWindow("x", 0),
            ValueError,
            "context_length is 0; .* 1 to 1024",
        ),
        (lambda: SlidingWindow("x", 4, 0), ValueError, "stride is 0; .* 1 to 1024"),
        (lambda: SlidingWindow("x", 2.5), TypeError, "context_length is float"),
        (lambda: QuickQuestion(" ", OPTIONS), ValueError, "the question is empty"),
        (lambda: QuickQuestion("?", OPTIONS[:1]), ValueError, "two options .* got 1"),
        (
            lambda: QuickQuestion("?", NO_OPTION),
            ValueError,
            "0 of 2 options are correct",
        ),
        (
            lambda: QuickQuestion("?", TWO_RIGHT),
            ValueError,
            "2 of 2 options are correct",
        ),
        (lambda: QuickQuestion("?", NO_REASON), ValueError, "'b' has the reason ' '"),
    ],
)
def test_bad_input_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_the_site_files_are_small() -> None:
    """What is loaded only when it is asked for; tests/site/test_web.py weighs the rest."""
    sizes = {name: len(gzip.compress(data)) for name, data in site_files().items()}
    engine = [size for name, size in sizes.items() if name.startswith("engine/")]
    assert sum(engine) <= 40_000
    assert sizes["gpt2.bin"] <= 200_000
    assert sizes["mini.bin"] <= 20_000
    assert sizes["mini.safetensors"] <= 6_000_000
