"""Windows and batches: contents, counts, order, and what is too short."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmbook_utils.data import SlidingWindowDataset, create_dataloader
from llmbook_utils.tokenizer import get_encoding

GPT2 = get_encoding("gpt2")
TEXT = "The lamp went out at 4.15, and nobody on the island had put it out. " * 8


@given(st.integers(2, 60), st.integers(1, 12), st.integers(1, 15))
def test_windows_hold_the_ids_and_targets_are_one_later(n, context_length, stride):
    ids = list(range(100, 100 + n))
    starts = range(0, n - context_length, stride)
    if not starts:
        with pytest.raises(ValueError, match=f"the text has {n} tokens"):
            SlidingWindowDataset(ids, context_length, stride)
        return
    dataset = SlidingWindowDataset(ids, context_length, stride)
    assert len(dataset) == len(starts)
    for start, (inputs, targets) in zip(starts, dataset, strict=True):
        assert inputs.tolist() == ids[start : start + context_length]
        assert targets.tolist() == ids[start + 1 : start + 1 + context_length]


def test_windows_are_views_of_one_tensor():
    dataset = SlidingWindowDataset(torch.arange(1000), context_length=100, stride=1)
    storage = dataset[0][0].untyped_storage().data_ptr()
    assert dataset[899][1].untyped_storage().data_ptr() == storage
    assert dataset[0][0].dtype == torch.int64


@pytest.mark.parametrize("index", [1, -2])
def test_a_window_that_does_not_exist_raises(index):
    with pytest.raises(IndexError):
        SlidingWindowDataset([1, 2, 3], 2, 1)[index]


@pytest.mark.parametrize("context_length, stride", [(0, 1), (4, 0), (-1, 1), (4, -2)])
def test_lengths_below_one_are_refused(context_length, stride):
    with pytest.raises(ValueError, match=f"{context_length} and stride is {stride}"):
        SlidingWindowDataset(list(range(9)), context_length, stride)


def test_batches_have_their_shape_and_cover_every_window_once():
    loader = create_dataloader(
        TEXT, GPT2, batch_size=3, context_length=8, stride=8, drop_last=False
    )
    batches = list(loader)
    assert [tuple(inputs.shape) for inputs, _ in batches][:2] == [(3, 8), (3, 8)]
    seen = torch.cat([inputs for inputs, _ in batches])
    ids = torch.tensor(GPT2.encode(TEXT))[: seen.numel()].view(-1, 8)
    assert sorted(seen.tolist()) == sorted(ids.tolist())


def test_the_seed_fixes_the_order():
    def order(seed):
        loader = create_dataloader(
            TEXT, GPT2, batch_size=2, context_length=4, stride=4, seed=seed
        )
        return [inputs.tolist() for inputs, _ in loader]

    assert order(1) == order(1) != order(2)


def test_end_of_text_separates_documents():
    text = f"{TEXT}<|endoftext|>{TEXT}"
    loader = create_dataloader(
        text, GPT2, batch_size=1, context_length=4, stride=4, shuffle=False
    )
    assert any(50256 in inputs for inputs, _ in loader)


@pytest.mark.parametrize(
    "text, says", [("", "has 0 tokens"), ("Hello,", "has 2 tokens")]
)
def test_too_short_a_text_is_refused(text, says):
    with pytest.raises(ValueError, match=says + r".*context_length \+ 1 = 5"):
        create_dataloader(text, GPT2, context_length=4, stride=4)


def test_less_than_one_batch_is_refused_unless_kept():
    settings = {"batch_size": 500, "context_length": 8, "stride": 8}
    with pytest.raises(ValueError, match=r"windows, fewer than one batch of 500"):
        create_dataloader(TEXT, GPT2, **settings)
    assert len(create_dataloader(TEXT, GPT2, **settings, drop_last=False)) == 1
