"""Generation: equal to an independent one, the same in every way, options by hand."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import TINY, as_transformers, build, sampling, some_ids, vivid

from llmbook_utils.generate import (
    Sampling,
    draw,
    generate,
    next_token_probabilities,
    stream,
    stream_text,
    uniform_numbers,
    whole_characters,
)
from llmbook_utils.model import GPTModel
from llmbook_utils.tokenizer import BytePairTokenizer


@pytest.fixture(scope="module")
def model():
    """Weights far from uniform, so that the tokens differ from step to step."""
    torch.manual_seed(3)
    model = GPTModel(TINY).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.25)
    return model


def probabilities(values, **options):
    logits = torch.tensor([values]).log()
    return next_token_probabilities(logits, torch.tensor([[0]]), sampling(**options))[0]


def test_greedy_equals_an_independent_implementation(model):
    ids = some_ids(3, 4)
    expected = as_transformers(model).generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=18,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    assert torch.equal(generate(model, ids, 18), expected)


@pytest.mark.parametrize("n_new", [1, 10, 40])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "top_k": 9, "seed": 5}])
def test_the_cache_changes_no_token_also_past_the_context(model, n_new, options):
    ids = some_ids(2, 7)
    with_cache = generate(model, ids, n_new, **options)
    assert with_cache.shape == (2, 7 + n_new)
    assert torch.equal(
        generate(model, ids, n_new, use_cache=False, **options), with_cache
    )


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_left_padded_batch_continues_as_each_alone(model, use_cache):
    texts = [some_ids(1, n, seed=n) for n in (1, 5, 17)]
    ids = torch.zeros(3, 17, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, 17 - text.shape[1] :] = text
    mask = torch.arange(17) >= torch.tensor([[16], [12], [0]])
    together = generate(model, ids, 6, mask=mask, use_cache=use_cache)[:, 17:]
    for row, text in enumerate(texts):
        alone = generate(model, text, 6, use_cache=use_cache)[:, text.shape[1] :]
        assert torch.equal(together[row : row + 1], alone)


class Script(GPTModel):
    """Says what each row of a table (B, n) holds, one column after the other."""

    def __init__(self, table):
        super().__init__(TINY)
        self.table, self.at = torch.tensor(table), -1

    def forward(self, ids, *, mask=None, cache=None):
        self.at += 1
        said = torch.nn.functional.one_hot(self.table[:, self.at], TINY.vocab_size)
        return said[:, None] * 9.0


def test_each_sequence_stops_at_its_own_end():
    table = [[5, 9, 7, 8], [1, 2, 3, 4], [9, 1, 9, 1]]
    ended = generate(Script(table), some_ids(3, 2), 4, eos_id=9, use_cache=False)
    assert ended[:, 2:].tolist() == [[5, 9, 9, 9], [1, 2, 3, 4], [9, 9, 9, 9]]


@pytest.mark.parametrize("use_cache", [True, False])
def test_the_end_of_one_sequence_changes_no_other(model, use_cache):
    options = {"temperature": 1.5, "seed": 4, "use_cache": use_cache}
    free = generate(model, some_ids(4, 3, seed=8), 12, **options)[:, 3:]
    eos = free[0, 4].item()
    ended = generate(model, some_ids(4, 3, seed=8), 12, eos_id=eos, **options)[:, 3:]
    ends = []
    for before, after in zip(free.tolist(), ended.tolist(), strict=True):
        at = before.index(eos) if eos in before else len(before)
        assert after == (before[: at + 1] + [eos] * len(before))[: len(after)]
        ends.append(at)
    assert len(set(ends)) > 1, "all end at one step: the example shows nothing"


def test_dropout_is_off_whatever_mode_the_model_is_in():
    model = vivid(replace(TINY, drop_rate=0.5))
    expected = generate(model.eval(), some_ids(2, 3), 15)
    assert torch.equal(generate(model.train(), some_ids(2, 3), 15), expected)


def test_it_ends_early_when_all_have_ended(model):
    first = next(stream(model, some_ids(1, 3), 1)).item()
    assert generate(model, some_ids(1, 3), 9, eos_id=first).shape == (1, 4)


def test_the_mode_of_the_model_is_kept():
    model = build().train()
    generate(model, some_ids(1, 2), 2)
    assert model.training


def test_options_by_hand():
    values = [0.5, 0.25, 0.15, 0.1]
    assert probabilities(values, temperature=0).tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(
        probabilities(values, top_k=2), torch.tensor([2 / 3, 1 / 3, 0, 0])
    )
    # 0.5 is not yet 0.6, so the token that crosses is kept
    torch.testing.assert_close(
        probabilities(values, top_p=0.6), torch.tensor([2 / 3, 1 / 3, 0, 0])
    )
    assert (probabilities(values, top_p=0.5) > 0).tolist() == [
        True,
        False,
        False,
        False,
    ]
    assert (probabilities(values, min_p=0.3) > 0).tolist() == [True, True, True, False]
    squared = [p**2 for p in values]
    torch.testing.assert_close(
        probabilities(values, temperature=0.5),
        torch.tensor([p / sum(squared) for p in squared]),
    )


def test_the_order_of_the_options_matters_and_is_fixed():
    # at temperature 2 the first two no longer reach 0.6: top-p comes after temperature
    values = [0.5, 0.25, 0.15, 0.1]
    kept = probabilities(values, temperature=2.0, top_p=0.6) > 0
    assert kept.tolist() == [True, True, False, False]
    assert (probabilities(values, temperature=3.0, top_p=0.6) > 0).sum() == 3


def test_repetition_penalty_lowers_positive_and_negative_logits():
    logits, ids = torch.tensor([[2.0, -2.0, 1.0, -1.0]]), torch.tensor([[0, 1, 1]])
    expected = torch.softmax(torch.tensor([[1.0, -4.0, 1.0, -1.0]]), dim=-1)
    given_ = next_token_probabilities(logits, ids, sampling(repetition_penalty=2.0))
    torch.testing.assert_close(given_, expected)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-30, 30), min_size=2, max_size=20),
    st.sampled_from([0, 1e-3, 0.7, 1.0, 100.0]),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([None, 1e-6, 0.5, 1.0]),
    st.sampled_from([None, 0.0, 0.2, 1.0]),
)
def test_probabilities_add_up_to_one(values, temperature, top_k, top_p, min_p):
    result = next_token_probabilities(
        torch.tensor([[*values, -math.inf]]),
        torch.tensor([[0]]),
        Sampling(temperature, top_k, top_p, min_p, repetition_penalty=1.2),
    )
    assert result.isfinite().all()
    assert result.sum().item() == pytest.approx(1, abs=1e-5)
    assert result[0, -1] == 0


def test_draws_follow_the_probabilities():
    shares = torch.tensor([[0.0, 0.5, 0.3, 0.2, 0.0]])
    numbers = list(itertools.islice(uniform_numbers(7), 4000))
    drawn = draw(shares.expand(4000, 5), numbers)
    counts = torch.bincount(drawn, minlength=5) / 4000
    torch.testing.assert_close(counts, shares[0], atol=0.03, rtol=0)
    assert draw(shares, [0.0]).item() == 1
    assert draw(shares, [0.999999]).item() == 3


def test_the_seed_decides(model):
    def sample(seed):
        options = {"temperature": 1.5, "seed": seed}
        return generate(model, some_ids(1, 3), 20, **options).tolist()

    assert sample(1) == sample(1) != sample(2)


def test_padding_counts_as_nothing_that_was_said(model):
    ids = some_ids(1, 5)
    options = {"repetition_penalty": 3.0}
    alone = generate(model, ids, 8, **options)[:, 5:]
    for padding in range(TINY.vocab_size):
        padded = torch.cat([torch.full((1, 3), padding), ids], dim=1)
        mask = torch.arange(8)[None] >= 3
        together = generate(model, padded, 8, mask=mask, **options)[:, 8:]
        assert torch.equal(together, alone), padding


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.inf),
        ("temperature", math.nan),
        ("top_k", 0),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("min_p", -0.1),
        ("min_p", 1.01),
        ("repetition_penalty", 0.0),
    ],
)
def test_options_that_make_no_sense_are_refused(model, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be"):
        generate(model, some_ids(1, 3), 1, **{name: value})


def test_pieces_of_a_stream_are_whole_characters():
    encoding = BytePairTokenizer.train("x", 257).to_tiktoken()
    text = "Zoë 🐟!"
    ids = encoding.encode_ordinary(text)
    assert len(ids) == len(text.encode())
    assert list(whole_characters(ids, encoding)) == list(text)
    assert list(whole_characters(ids[:-2], encoding)) == [*"Zoë ", "\ufffd"]


class Scripted(GPTModel):
    """Says the bytes of a text, whatever it reads, and then that the text has ended."""

    def __init__(self, text):
        super().__init__(replace(TINY, vocab_size=257, context_length=64))
        self.ids = [*text.encode(), 256]

    def forward(self, ids, *, mask=None, cache=None):
        self.seen = [*getattr(self, "seen", []), ids[0].tolist()]
        said = self.ids[min(len(self.seen), len(self.ids)) - 1]
        return torch.nn.functional.one_hot(torch.tensor([[said]]), 257) * 9.0


@pytest.mark.parametrize(("prompt", "first"), [("", [256]), ("ab", [97, 98])])
def test_text_streams_up_to_its_end(prompt, first):
    encoding = BytePairTokenizer.train("x", 257).to_tiktoken()
    model = Scripted("né.")
    pieces = stream_text(model, encoding, prompt, 20, use_cache=False)
    assert list(pieces) == ["n", "é", "."]
    assert model.seen[0] == first
    assert list(stream_text(Scripted("né."), encoding, "a", 2)) == ["n", "\ufffd"]


def test_bad_prompts_are_refused_or_cropped_as_asked(model):
    with pytest.raises(
        ValueError, match="prompt has 30 tokens, but this model reads 24"
    ):
        generate(model, some_ids(1, 30), 1)
    cropped = generate(model, some_ids(1, 30), 3, keep_last=True)
    expected = generate(model, some_ids(1, 30)[:, -24:], 3)
    assert torch.equal(cropped[:, 30:], expected[:, 24:])
    with pytest.raises(ValueError, match=r"shape \(1, 0\); expected \(B, T\)"):
        generate(model, torch.zeros(1, 0, dtype=torch.long), 1)
    with pytest.raises(ValueError, match="max_new_tokens is -1"):
        generate(model, some_ids(1, 3), -1)
