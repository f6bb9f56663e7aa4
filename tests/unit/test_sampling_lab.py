"""The sampling lab in Python: its example, its fallback, and what it refuses."""

import base64
import html
import re
from typing import Any

import numpy as np
import pytest
import torch
from models import sampling
from stored_numbers import numbers

from llmbook_utils.generate import generate, next_token_probabilities
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets import SamplingLab
from llmbook_utils.widgets.base import percent

TEXT = "The old king and the old queen had one son. The old"
OPTIONS = {"temperature": 0.8, "top_k": 50, "top_p": 0.95}


@pytest.fixture(scope="module")
def lab() -> SamplingLab:
    return SamplingLab(TEXT, **OPTIONS, seed=3)


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    model, tokenizer = load_pretrained("mini")
    with torch.inference_mode():
        return model.eval()(torch.tensor([tokenizer.encode_ordinary(TEXT)]))[0, -1]


def test_the_stored_logits_are_the_models(
    lab: SamplingLab, logits: torch.Tensor
) -> None:
    (run,) = lab.example["run"]
    (tensor,), (buffer,) = run["tensors"], run["buffers"]
    assert tensor["name"] == "logits.last"
    found = numbers(buffer)
    assert np.abs(found - lab._logits).max() < 1e-6  # 16 bits alone: 5e-3
    assert np.abs(found - logits.numpy()).max() < 3e-5


def test_the_stored_vocabulary_is_the_tokenizers(lab: SamplingLab) -> None:
    _, tokenizer = load_pretrained("mini")
    (vocabulary,) = lab.example["vocabulary"]
    data, ends = base64.b64decode(vocabulary["bytes"]), [0]
    for id, length in enumerate(vocabulary["lengths"]):
        ends.append(ends[-1] + length)
        token = tokenizer.decode_single_token_bytes(id)
        assert data[ends[id] : ends[id + 1]] == token
    assert ends[-1] == len(data)
    assert vocabulary["end"] == tokenizer.eot_token


def test_the_stored_continuation_is_what_generate_draws(lab: SamplingLab) -> None:
    model, tokenizer = load_pretrained("mini")
    ids = torch.tensor([tokenizer.encode_ordinary(TEXT)])
    new = generate(model, ids, 60, **OPTIONS, seed=3)[0, ids.shape[1] :].tolist()
    tokens = [r for r in lab.example["continue"] if r["kind"] == "token"]
    assert [token["id"] for token in tokens] == new
    assert all(len(token["alternatives"]) == 5 for token in tokens)
    assert html.escape(tokenizer.decode(new)) in lab.fallback()


def test_the_fallback_has_the_probabilities_before_and_after(
    lab: SamplingLab, logits: torch.Tensor
) -> None:
    _, tokenizer = load_pretrained("mini")
    ids = torch.tensor([tokenizer.encode_ordinary(TEXT)])
    before = logits.softmax(dim=-1)
    after = next_token_probabilities(logits[None], ids, sampling(**OPTIONS))[0]
    rows = re.findall("<tr>(.*?)</tr>", lab.fallback())[1:]
    best = before.argsort(descending=True)[:15]
    assert len(rows) == 15
    for id, row in zip(best.tolist(), rows, strict=True):
        token, *cells = re.findall(">([^<>]+)</t[hd]>", row)
        assert token == tokenizer.decode([id]).replace(" ", "␣")
        assert cells == [str(id), *(percent(float(p[id])) for p in (before, after))]
    assert f"leaves {int((after > 0).sum())} of 4,096 tokens" in lab.fallback()


def test_the_stored_html_is_small_and_always_the_same(lab: SamplingLab) -> None:
    assert len(lab.to_html()) <= 130_000
    assert SamplingLab(TEXT, **OPTIONS, seed=3).to_html() == lab.to_html()
    options = "temperature=0.8, top_k=50, top_p=0.95, seed=3"
    assert repr(lab) == f"SamplingLab({TEXT!r}, {options})"


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"temperature": "hot"}, TypeError, "temperature is 'hot'; expected a number"),
        ({"temperature": None}, TypeError, "temperature is None; expected a number"),
        ({"temperature": 6}, ValueError, "temperature is 6; expected 0 to 5"),
        ({"temperature": -1}, ValueError, "temperature is -1; it must be 0 or more"),
        ({"top_k": 2.5}, TypeError, "top_k is 2.5; expected a whole number or None"),
        ({"top_k": 0}, ValueError, "top_k is 0; it must be 1 or more"),
        ({"top_p": 0}, ValueError, "top_p is 0; it must be above 0"),
        ({"min_p": True}, TypeError, "min_p is True; expected a number or None"),
        ({"min_p": 2}, ValueError, "min_p is 2; it must be from 0 to 1"),
        ({"repetition_penalty": 9}, ValueError, "is 9; expected 0.5 to 3"),
        ({"seed": -1}, ValueError, "seed is -1; expected 0 to 4294967295"),
        ({"seed": 1.5}, TypeError, "seed is 1.5; expected a whole number"),
        ({"text": ""}, ValueError, "there is no text"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        SamplingLab(**{"text": "A cat", **options})
