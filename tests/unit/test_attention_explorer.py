"""The attention explorer in Python: its example, its fallback, and what it refuses."""

import html
import re
from typing import Any

import numpy as np
import pytest
import torch
from models import vivid
from saved_models import SMALL, tokenizer  # noqa: F401
from stored_numbers import numbers

from llmbook_utils.inside.trace import Trace
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets import AttentionExplorer

TEXT = "The old king and the old queen had one son. The old king"
WANT = ["blocks.*.attention.weights", "logits.last"]


@pytest.fixture(scope="module")
def explorer() -> AttentionExplorer:
    return AttentionExplorer(TEXT, block=4, head=5)


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    """All weights (L, H, T, T), from the model itself."""
    model, encoding = load_pretrained("mini")
    ids = torch.tensor([encoding.encode_ordinary(TEXT)])
    with torch.inference_mode():
        _, found = model.eval()(ids, return_attention=True)
    return torch.stack([w[0] for w in found]).numpy()


def test_the_stored_weights_are_the_models_to_a_millionth(
    explorer: AttentionExplorer, weights: np.ndarray
) -> None:
    (run,) = explorer.example["run"]
    T = weights.shape[-1]
    (tensor,), (buffer,) = run["tensors"], run["buffers"]
    assert tensor["shape"] == [6, 8, T * (T + 1) // 2]
    seen = numbers(buffer).reshape(6, 8, -1)
    rows, columns = np.tril_indices(T)
    assert np.abs(seen - weights[:, :, rows, columns]).max() < 1e-6


def test_the_example_knows_the_next_tokens_and_is_small(
    explorer: AttentionExplorer,
) -> None:
    model, encoding = load_pretrained("mini")
    logits = Trace(model, WANT)(encoding.encode_ordinary(TEXT))["logits.last"]
    expected = logits.softmax(dim=-1).topk(6)
    (run,) = explorer.example["run"]
    assert [token["id"] for token in run["top"]] == expected.indices.tolist()
    found = [token["probability"] for token in run["top"]]
    assert found == pytest.approx(expected.values.tolist(), abs=1e-5)
    assert len(explorer.to_html()) < 60_000


def test_the_fallback_is_a_table_of_the_chosen_head(
    explorer: AttentionExplorer, weights: np.ndarray
) -> None:
    page = explorer.fallback()
    assert "head 5 in block 4 (counted from 0, as in Python)" in page
    body = page[page.index("<tbody>") :]
    rows = [re.findall("<td>(.*?)</td>", row) for row in body.split("</tr>")[:-1]]
    for i, row in enumerate(rows):
        assert row == [
            f"{w:.2f}" if j <= i else "" for j, w in enumerate(weights[4, 5, i])
        ]
    assert len(rows) == weights.shape[-1]
    names = [html.unescape(n) for n in re.findall('row">(.*?)</th>', body)]
    assert names[:3] == ["The", "␣old", "␣king"]


def test_the_fallback_follows_the_reader(explorer: AttentionExplorer) -> None:
    other = AttentionExplorer(TEXT)
    other.block, other.head = 4, 5
    assert other.fallback() == explorer.fallback()
    assert repr(other) == f"AttentionExplorer({TEXT!r}, block=4, head=5)"


def test_only_the_last_48_tokens_are_read() -> None:
    explorer = AttentionExplorer("a fine day " * 40)
    (run,) = explorer.example["run"]
    assert run["cut"]
    assert len(run["tokens"]) == 48


def test_a_model_of_ones_own(tokenizer: Any) -> None:  # noqa: F811
    explorer = AttentionExplorer(
        "The sea", block=1, head=2, model=(vivid(SMALL), tokenizer)
    )
    assert explorer.model["name"] == "your model"
    shape = explorer.example["run"][0]["tensors"][0]["shape"]
    assert shape[:2] == [SMALL.n_layers, SMALL.n_heads]


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        ({"block": 6}, ValueError, "block is 6; this model has 6, counted from 0"),
        ({"head": -1}, ValueError, "head is -1; this model has 8, .*expected 0 to 7"),
        ({"head": 8}, ValueError, "head is 8"),
        ({"block": 1.0}, TypeError, "block is 1.0; expected a whole number"),
        ({"head": True}, TypeError, "head is True"),
        ({"text": ""}, ValueError, "no text"),
        ({"text": "half \ud83d"}, ValueError, "lone surrogate"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    state: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        AttentionExplorer(**{"text": "A cat", **state})
