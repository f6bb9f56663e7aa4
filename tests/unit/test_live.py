"""What answers the widgets in Python: the protocol's replies, equal to the model's own numbers."""

import base64
import copy
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import build_kernel
import numpy as np
import pytest
import tiktoken
import torch
from golden_live import REQUESTS, golden, plain
from hypothesis import given
from jsonschema import Draft202012Validator
from live_protocol import (
    CASES,
    OPTIONS,
    PLAIN,
    PROTOCOL,
    REPLY,
    REQUEST,
    assert_close,
    check,
)
from models import vivid
from safetensors.torch import load
from saved_models import SMALL, tokenizer  # noqa: F401

from llmbook_utils.generate import generate
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.widgets.live import (
    Answerer,
    LiveWidget,
    describe,
    normalize,
    shipped_files,
    stored,
)
from llmbook_utils.widgets.weights import pack, published, quantize

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def mini() -> tuple[GPTModel, tiktoken.Encoding]:
    return load_pretrained("mini")


@pytest.fixture(scope="module")
def answerer(mini: tuple[GPTModel, tiktoken.Encoding]) -> Answerer:
    return Answerer(*mini, normalized=True)


def ask(answerer: Answerer, kind: str, **message: Any) -> list[dict[str, Any]]:
    """The replies to a request, each as the protocol has it."""
    request = {"kind": kind, "seq": 4, **message}
    REQUEST.validate(request)
    answer = answerer.continue_ if kind == "continue" else getattr(answerer, kind)
    replies = list(answer(request))
    for reply in replies:
        check({key: reply[key] for key in reply if key != "buffers"})
        assert reply["seq"] == 4
    return replies


def test_the_protocol_is_a_schema_that_can_say_no() -> None:
    Draft202012Validator.check_schema(PROTOCOL)
    run = {"kind": "run", "seq": 1, "text": "a", "want": ["logits"]}
    assert REQUEST.is_valid(run)
    for change in (
        {"kind": "sing"},
        {"wants": []},
        {"text": 1},
        {"changes": {"masks": False}},
        {"changes": {"heads": [1]}},
        {"options": {"most": 0}},
    ):
        assert not REQUEST.is_valid({**run, **change}), change
    case = next(c for c in CASES if c["replies"][0].get("operation") == "norm")
    reply = {**case["replies"][0], "tensors": []}
    assert REPLY.is_valid(reply)
    for change in ({"operation": "softmax"}, {"seq": "1"}, {"mean": None}, {"new": 1}):
        assert not REPLY.is_valid({**reply, **change}), change
    assert not REPLY.is_valid("run")


def test_the_golden_cases_are_up_to_date(answerer: Answerer) -> None:
    assert len(CASES) == len(REQUESTS)
    for request, case in zip(REQUESTS, CASES, strict=True):
        found = golden(answerer, request)
        assert found["request"] == case["request"]
        assert_close(found["replies"], case["replies"], request["kind"])


def test_the_golden_cases_follow_the_protocol() -> None:
    for case in copy.deepcopy(CASES):
        for reply in case["replies"]:
            if reply["kind"] == "error":
                continue
            for tensor in reply.get("tensors", []):
                assert len(tensor.pop("data")) == np.prod(tensor["shape"])
            check(reply)
            REQUEST.validate(case["request"])
    kinds = {r["operation"] for c in CASES for r in c["replies"] if "operation" in r}
    every = "product norm softmax sum gelu lookup off replaced"
    assert kinds == set(every.split())


def test_a_run_gives_the_numbers_of_the_model(
    answerer: Answerer, mini: tuple[GPTModel, tiktoken.Encoding]
) -> None:
    model, encoding = mini
    ids = encoding.encode_ordinary("The sea is late")
    want = ["logits", "blocks.*.attention.weights"]
    (reply,) = ask(answerer, "run", text="The sea is late", want=want)
    with torch.no_grad():
        logits, attention = model(torch.tensor([ids]), return_attention=True)
    expected = {"logits": logits[0]} | {
        f"blocks.{i}.attention.weights": w[0] for i, w in enumerate(attention)
    }
    assert {tensor["name"] for tensor in reply["tensors"]} == expected.keys()
    for about, data in zip(reply["tensors"], reply["buffers"], strict=True):
        found = np.frombuffer(data, "<f4").reshape(about["shape"])
        np.testing.assert_allclose(found, expected[about["name"]], atol=1e-5, rtol=1e-5)
    assert [token["id"] for token in reply["tokens"]] == ids
    data = b"".join(bytes(token["bytes"]) for token in reply["tokens"])
    assert data == b"The sea is late"


def test_a_text_is_normalized_and_cut_to_what_the_model_reads(
    answerer: Answerer,
) -> None:
    (reply,) = ask(answerer, "run", text="“It’s late” — she said…", want=[])
    data = b"".join(bytes(token["bytes"]) for token in reply["tokens"])
    assert (data, reply["normalized"], reply["cut"]) == (
        b'"It\'s late" -- she said...',
        True,
        False,
    )
    (reply,) = ask(answerer, "run", text="word " * 2000, want=[])
    assert (len(reply["tokens"]), reply["cut"]) == (256, True)
    (reply,) = ask(answerer, "run", text="one two three", want=[], options={"most": 2})
    assert (len(reply["tokens"]), reply["cut"]) == (2, True)
    (reply,) = ask(answerer, "run", text="half \ud83d a smile", want=[])
    assert "half \ufffd a smile".encode() == b"".join(
        bytes(token["bytes"]) for token in reply["tokens"]
    )
    (reply,) = ask(answerer, "run", text="   ", want=[])
    assert reply["tokens"] and not reply["cut"]


@given(PLAIN)
def test_a_text_that_was_normalized_stays_as_it_is(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert not set(once) & set("‘’‚‛“”„‟–—―…\u00a0")
    assert once.isascii() or set(once) & set("é😀")


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"text": ""}, "there is no text: type a word"),
        ({"ids": [4096]}, "id 4096 is not in the vocabulary of 4096"),
        ({"ids": [-1]}, "id -1 is not in the vocabulary"),
        (
            {
                "text": "a",
                "changes": {"replace": [{"tensor": "x", "index": [0], "value": 1}]},
            },
            "there is no tensor x",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(
    answerer: Answerer, message: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        list(answerer.run({"kind": "run", "seq": 1, **message}))


@pytest.fixture(scope="module")
def small(tokenizer: tiktoken.Encoding) -> Answerer:  # noqa: F811
    """A model that reads 24 tokens at most."""
    return Answerer(vivid(SMALL), tokenizer, normalized=False)


@pytest.mark.parametrize("options", OPTIONS, ids=["greedy", "drawn", "all options"])
def test_a_continuation_is_that_of_generate(
    small: Answerer, options: dict[str, Any]
) -> None:
    text = "The sea began to be late"
    about = {**options, "max_new_tokens": 40, "alternatives": 3}
    first, *tokens, last = ask(small, "continue", text=text, options=about)
    ids = torch.tensor([[token["id"] for token in first["tokens"]]])
    new = generate(small.model, ids, 40, eos_id=small.end, **options)[0]
    assert [token["id"] for token in tokens] == new[ids.shape[1] :].tolist()
    assert last["why"] in ("length", "end")
    for step, token in enumerate(tokens):
        assert token["step"] == step
        chances = [other["probability"] for other in token["alternatives"]]
        assert chances == sorted(chances, reverse=True)
        assert token["probability"] > 0
        if options["temperature"] == 0:
            assert token["id"] == token["alternatives"][0]["id"]


def test_plain_probabilities_are_those_without_options(small: Answerer) -> None:
    options = {"max_new_tokens": 1, "temperature": 0.5, "alternatives": 300}
    _, token, _ = ask(small, "continue", text="The sea", options=options)
    (run,) = ask(small, "run", text="The sea", want=["logits.last"])
    logits = torch.frombuffer(bytearray(run["buffers"][0]), dtype=torch.float32)
    for name, temperature in (("plain", 1.0), ("probability", 0.5)):
        expected = torch.softmax(logits / temperature, dim=-1)
        found = {other["id"]: other[name] for other in token["alternatives"]}
        assert found == pytest.approx(dict(enumerate(expected.tolist())), abs=1e-6)


def ending(tokenizer: tiktoken.Encoding) -> GPTModel:  # noqa: F811
    """A model that ends a text after about three tokens, whatever it read."""
    model = vivid(replace(SMALL, tie_embeddings=False))
    with torch.no_grad():
        model.final_norm.scale.zero_()
        model.final_norm.shift.fill_(1.0)
        model.head.weight.zero_()
        end = tokenizer.encode_single_token("<|endoftext|>")
        model.head.weight[end] = 5 / SMALL.emb_dim
    return model


def test_a_continuation_ends_where_the_text_does(
    tokenizer: tiktoken.Encoding,  # noqa: F811
) -> None:
    answerer = Answerer(ending(tokenizer), tokenizer, normalized=False)
    options = {"max_new_tokens": 200, "temperature": 1.0, "seed": 1}
    _, *tokens, last = ask(answerer, "continue", text="a", options=options)
    assert last["why"] == "end"
    assert [token["id"] for token in tokens].index(answerer.end) == len(tokens) - 1 < 50
    assert bytes(tokens[-1]["bytes"]) == b"<|endoftext|>"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"temperature": -1}, "temperature is -1; it must be 0 or more"),
        ({"top_p": 0}, "top_p is 0; it must be above 0"),
        ({"top_k": 0}, "top_k is 0; it must be 1 or more"),
        ({"min_p": 2}, "min_p is 2; it must be from 0 to 1"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0"),
    ],
)
def test_a_wrong_option_is_refused_before_the_first_reply(
    answerer: Answerer, options: dict[str, Any], says: str
) -> None:
    message = {"kind": "continue", "seq": 1, "text": "a", "options": options}
    with pytest.raises(ValueError, match=says):
        next(answerer.continue_(message))


def test_the_vocabulary_is_that_of_the_tokenizer(
    answerer: Answerer, mini: tuple[GPTModel, tiktoken.Encoding]
) -> None:
    (reply,) = ask(answerer, "vocabulary")
    data, at = bytes(reply["bytes"]), 0
    for id, length in enumerate(reply["lengths"]):
        assert data[at : at + length] == mini[1].decode_single_token_bytes(id)
        at += length
    assert (at, reply["end"]) == (len(data), 4095)


def test_ids_that_the_tokenizer_does_not_use_have_no_bytes(
    tokenizer: tiktoken.Encoding,  # noqa: F811
) -> None:
    larger = vivid(replace(SMALL, vocab_size=310))
    (reply,) = ask(Answerer(larger, tokenizer, normalized=False), "vocabulary")
    assert len(reply["lengths"]) == 310
    assert reply["lengths"][tokenizer.n_vocab :] == [0] * (310 - tokenizer.n_vocab)


class Probe(LiveWidget):
    """A widget that draws nothing."""

    _esm = "export default {}"

    def requests(self) -> dict[str, Any]:
        want = {"kind": "run", "want": ["blocks.0.attention.weights"]}
        return {"attention": want}

    def fallback(self) -> str:
        return self.text


@pytest.fixture(scope="module")
def probe() -> Probe:
    return Probe("The sea is late")


def test_a_shipped_model_is_described_for_the_page(probe: Probe) -> None:
    state = probe.state()
    assert state["model"] == describe("mini")
    files = shipped_files("mini")
    for part in ("weights", "ranks"):
        about = state["model"][part]
        content = files[about["file"]]
        assert (about["bytes"], about["crc32"]) == (len(content), zlib.crc32(content))
    assert state["model"]["special"] == {"<|endoftext|>": 4095}
    json.dumps(state)


def test_any_other_model_has_no_files_for_the_page(
    small: Answerer, tmp_path: Path
) -> None:
    save_pretrained(small.model, small.tokenizer, tmp_path / "mine")
    pair = (small.model, small.tokenizer)
    for model, name in ((pair, "your model"), (tmp_path / "mine", "mine")):
        found = Probe("The sea", model).model
        assert found.keys() == {"name", "config", "normalized"}
        assert (found["name"], found["normalized"]) == (name, False)
        assert found["config"]["context_length"] == SMALL.context_length


def test_the_stored_example_holds_the_replies_as_halves(probe: Probe) -> None:
    (example,) = probe.example["attention"]
    (reply,) = probe.ask(probe.requests()["attention"])
    assert example.keys() == reply.keys()
    for halves, data in zip(example["buffers"], reply["buffers"], strict=True):
        found = np.frombuffer(base64.b64decode(halves), "<f2")
        np.testing.assert_allclose(found, np.frombuffer(data, "<f4"), atol=1e-3)
    assert stored({"kind": "done"}) == {"kind": "done"}


def test_requests_are_answered_with_buffers_and_failures_in_words(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    monkeypatch.setattr(
        probe, "send", lambda content, buffers=(): sent.append((content, list(buffers)))
    )
    requests = [
        {"kind": "status", "seq": 1},
        {"kind": "run", "seq": 2, "text": "The sea", "want": ["final_norm"]},
        {"kind": "run", "seq": 3, "text": ""},
        {"kind": "explain", "seq": 4, "text": "a", "tensor": "logits", "index": [9, 9]},
        {"kind": "continue", "seq": 5, "text": "a", "options": {"top_p": 7}},
        {"kind": "sing", "seq": 6},
        {"kind": "run", "seq": 7, "text": "a", "changes": {"masks": True}},
    ]
    for request in requests:
        probe._handle_custom_msg(request, [])
    for content, _ in sent:
        check(content)
    kinds = [(content["kind"], content["seq"]) for content, _ in sent]
    errors = [("error", seq) for seq in range(3, 8)]
    assert kinds == [("status", 1), ("run", 2), *errors]
    assert sent[0][0]["state"] == "kernel"
    assert [len(data) for data in sent[1][1]] == [2 * 256 * 4]
    assert plain(*sent[1])["tensors"][0]["name"] == "final_norm"


@torch.no_grad()
def test_8_bit_weights_are_near_the_parameters() -> None:
    model = vivid(SMALL)
    tensors = load(pack(model))
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert torch.equal(tensors.pop(name), parameter)
            continue
        numbers, scale = tensors.pop(name), tensors.pop(f"{name}.scale")
        assert numbers.dtype == torch.int8
        error = (numbers * scale[:, None] - parameter).abs()
        assert (error <= scale[:, None] * 0.5001).all()
        assert numbers.abs().amax(dim=1).eq(127).all()
    assert not tensors


def test_a_row_of_zeros_stays_one() -> None:
    numbers, scale = quantize(torch.tensor([[0.0, 0.0], [2.0, -1.0]]))
    assert (numbers * scale[:, None])[0].tolist() == [0.0, 0.0]
    assert published("a", b"xyz") == {"file": "a", "bytes": 3, "crc32": 0xEB8EBA67}


def test_the_kernel_s_bytes_are_those_of_its_text() -> None:
    module = build_kernel.MODULE.read_text(encoding="utf-8")
    code = build_kernel.compiled(build_kernel.SOURCE.read_text(encoding="utf-8"))
    assert code.startswith(b"\0asm")
    assert build_kernel.written(module, code) == module
    assert build_kernel.written(module, code[:-1]) != module
