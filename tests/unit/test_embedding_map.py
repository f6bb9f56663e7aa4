"""The embedding map in Python: its example, its fallback and what it refuses."""

import numpy as np
import pytest
import torch

from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets import EmbeddingMap
from llmbook_utils.widgets.live import Answerer


@pytest.fixture(scope="module")
def widget() -> EmbeddingMap:
    return EmbeddingMap("king, queen dog")


def test_each_word_is_read_with_a_space_before_it(widget: EmbeddingMap) -> None:
    _, tokenizer = load_pretrained("mini")
    (reply,) = widget.example["words"]
    expected = tokenizer.encode_ordinary(" king queen dog")
    assert [token["id"] for token in reply["tokens"]] == expected


def test_the_neighbors_are_the_most_alike_of_all() -> None:
    model, tokenizer = load_pretrained("mini")
    table = model.token_embedding.weight.detach()
    king = tokenizer.encode_single_token(" king")
    lengths = table.norm(dim=1)
    alike = table @ table[king] / (lengths * lengths[king])
    alike[king] = -1
    request = {"kind": "neighbors", "seq": 1, "ids": [5, king], "options": {"n": 7}}
    (reply,) = Answerer(model, tokenizer, normalized=True).neighbors(request)
    expected = alike.sort(descending=True)
    found = reply["neighbors"]
    assert [token["id"] for token in found] == expected.indices[:7].tolist()
    values = torch.tensor([token["similarity"] for token in found])
    torch.testing.assert_close(values, expected.values[:7])
    vectors = np.frombuffer(reply["buffers"][0], dtype="<f4").reshape(7, 256)
    np.testing.assert_array_equal(vectors, table[expected.indices[:7]].numpy())
    assert reply["neighbors"][0]["bytes"] == list(b" queen")


def test_the_fallback_lists_the_neighbors(widget: EmbeddingMap) -> None:
    assert "where that of “␣king” does" in widget.fallback()
    assert widget.fallback().count("<tr>") == 1 + 10
    assert '<th scope="row">␣queen</th>' in widget.fallback()
    assert repr(widget) == "EmbeddingMap('king, queen dog')"
    assert EmbeddingMap("king, queen dog").to_html() == widget.to_html()


def test_no_word_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no text"):
        EmbeddingMap(" , ")
