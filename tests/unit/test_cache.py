"""The cache: the same logits in pieces as in one go, and memory reserved once."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import TINY, build, some_ids

from llmbook_utils.cache import KVCache


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 3))
def test_chunks_through_a_cache_give_the_same_logits(chunks, batch):
    model = build()
    ids = some_ids(batch, min(sum(chunks), 24))
    cache = KVCache(TINY, batch)
    with torch.no_grad():
        pieces = [model(part, cache=cache) for part in ids.split(chunks[0], dim=1)]
        expected = model(ids)
    assert cache.length == ids.shape[1]
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, atol=1e-5, rtol=0)


def test_appending_moves_no_memory():
    cache = KVCache(TINY, 2)
    layer = cache.layers[0]
    before = layer.keys.data_ptr()
    new = torch.ones(2, TINY.n_heads, 5, TINY.head_dim)
    keys, values = layer.append(new, 2 * new)
    keys, values = layer.append(3 * new[:, :, :1], new[:, :, :1])
    assert layer.keys.data_ptr() == keys.data_ptr() == before
    assert keys.shape == values.shape == (2, TINY.n_heads, 6, TINY.head_dim)
    assert keys[0, 0, :, 0].tolist() == [1, 1, 1, 1, 1, 3]
    assert values[0, 0, :, 0].tolist() == [2, 2, 2, 2, 2, 1]
    assert cache.layers[1].length == 0


def test_it_holds_the_models_kind_of_numbers():
    cache = KVCache(TINY, 2, dtype=torch.bfloat16)
    for layer in cache.layers:
        assert layer.keys.dtype == layer.values.dtype == torch.bfloat16
    model = build().to(torch.bfloat16)
    with torch.no_grad():
        assert model(some_ids(2, 3), cache=cache).dtype == torch.bfloat16
