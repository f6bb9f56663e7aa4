"""The loss: every token weighs the same, and bits count bytes."""

import math

import pytest
import torch
from tiny_runs import build, some_batch
from torch import nn
from torch.nn import functional as F

from llmbook_utils.config import GPTConfig
from llmbook_utils.loss import (
    IGNORED,
    bits_per_byte,
    cross_entropy,
    evaluate,
    loss_of,
    overlapping_windows,
)
from llmbook_utils.tokenizer import BytePairTokenizer

pytestmark = pytest.mark.usefixtures("one_thread")


class Fixed(nn.Module):
    """Always the same logits, so that the loss can be worked out by hand."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([0.0, math.log(2), math.log(5)]))

    def forward(self, ids):
        return self.logits.expand(*ids.shape, 3)


def test_the_mean_is_over_tokens_and_not_over_batches():
    # probabilities 1/8, 2/8, 5/8: three targets cost ln 8, and one costs ln 4
    first = torch.zeros(1, 3, dtype=torch.long), torch.tensor([[0, 0, 0]])
    second = torch.zeros(1, 3, dtype=torch.long), torch.tensor([[IGNORED, 1, IGNORED]])
    total, count = loss_of(Fixed(), *first)
    assert (total.item(), count) == (pytest.approx(3 * math.log(8)), 3)
    total, count = loss_of(Fixed(), *second)
    assert (total.item(), count) == (pytest.approx(math.log(4)), 1)
    mean = (3 * math.log(8) + math.log(4)) / 4
    assert evaluate(Fixed(), [first, second]) == pytest.approx(mean)
    assert mean != pytest.approx((math.log(8) + math.log(4)) / 2)


@pytest.mark.parametrize("at_once", [1, 100, 2**22])
def test_the_pieces_of_the_loss_are_the_whole(at_once):
    logits = torch.randn(7, 50, requires_grad=True)
    targets = torch.tensor([3, IGNORED, 49, 0, IGNORED, IGNORED, 8])
    loss = cross_entropy(logits, targets, at_once)
    expected = F.cross_entropy(logits, targets, reduction="sum")
    torch.testing.assert_close(loss, expected)
    ours, theirs = (torch.autograd.grad(x, logits)[0] for x in (loss, expected))
    torch.testing.assert_close(ours, theirs)


def test_the_loss_of_bfloat16_logits_is_computed_in_float32():
    logits = torch.randn(9, 3000).bfloat16()
    targets = torch.randint(3000, (9,))
    expected = F.cross_entropy(logits.double(), targets, reduction="sum")
    loss = cross_entropy(logits, targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_loss_equals_cross_entropy():
    model, (inputs, targets) = build(), some_batch()
    expected = F.cross_entropy(model(inputs).transpose(1, 2), targets)
    total, count = loss_of(model, inputs, targets)
    torch.testing.assert_close(total / count, expected)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_is_without_dropout_and_restores_the_mode(training):
    model = build(GPTConfig(61, 24, 24, 3, 2, drop_rate=0.5)).train(training)
    assert evaluate(model, [some_batch()]) == evaluate(model, [some_batch()])
    assert model.training is training
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError, match="30 tokens"):
        evaluate(model, [some_batch(length=30)])
    assert model.training is training


@pytest.mark.parametrize("stride", [1, 3, 5])
@pytest.mark.parametrize("n", [2, 5, 6, 7, 23])
def test_each_target_counts_once_with_the_tokens_before_it(n, stride):
    ids = torch.arange(100, 100 + n)
    inputs, targets = overlapping_windows(ids, 5, stride)
    counted = [
        (targets[w, i].item(), inputs[w, : i + 1].tolist())
        for w in range(len(inputs))
        for i in range(5)
        if targets[w, i] != IGNORED
    ]
    assert [target for target, _ in counted] == list(range(101, 100 + n))
    for target, before in counted:
        assert before == list(range(target - len(before), target))
        if stride == 1 and target > 105:
            assert len(before) == 5


class Uniform(nn.Module):
    """The same logit for each of 256 bytes and the special token."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, ids):
        return self.weight.expand(*ids.shape, 257)


@pytest.mark.parametrize("stride", [None, 2])
def test_bits_per_byte_of_a_model_that_knows_nothing(stride):
    bytes_only = BytePairTokenizer.train("x", 257).to_tiktoken()
    text = "Zoë 🐟" * 3
    bits = bits_per_byte(Uniform(), bytes_only, text, context_length=8, stride=stride)
    assert bits == pytest.approx(math.log2(257))


def test_bits_per_byte_count_bytes_and_not_tokens():
    merged = BytePairTokenizer(
        {bytes([b]): b for b in range(256)} | {b"ab": 256}, {"<|endoftext|>": 257}
    )

    class Known(Uniform):
        def forward(self, ids):
            return self.weight.expand(*ids.shape, 258)

    bits = bits_per_byte(Known(), merged.to_tiktoken(), "ab" * 6, context_length=4)
    assert bits == pytest.approx(math.log2(258) / 2)


def test_bits_per_byte_need_a_text_and_a_stride_that_leaves_nothing_out():
    bytes_only = BytePairTokenizer.train("x", 257).to_tiktoken()
    with pytest.raises(ValueError, match="text is empty"):
        bits_per_byte(Uniform(), bytes_only, "", context_length=8)
    with pytest.raises(ValueError, match="stride is 9; expected 1 to 8"):
        bits_per_byte(Uniform(), bytes_only, "abc", context_length=8, stride=9)
