"""The model: equal to an independent one, blind to the future, the same in every way of use."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import TINY, as_transformers, build, lifelike, some_ids, vivid

from llmbook_utils.cache import KVCache
from llmbook_utils.config import (
    GPT2_LARGE,
    GPT2_MEDIUM,
    GPT2_SMALL,
    GPT2_XL,
    MINI,
    GPTConfig,
)
from llmbook_utils.model import GPTModel, attention_mask


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        MINI,
        GPTConfig(vocab_size=97, context_length=40, emb_dim=32, n_heads=1, n_layers=1),
        GPTConfig(vocab_size=50, context_length=9, emb_dim=36, n_heads=6, n_layers=3),
    ],
    ids=["tiny", "mini", "one head", "odd sizes"],
)
def test_logits_and_attention_equal_an_independent_model(config):
    model = lifelike(build(config))
    ids = some_ids(2, config.context_length, config=config)
    expected = as_transformers(model)(ids, output_attentions=True)
    with torch.no_grad():
        logits, attention = model(ids, return_attention=True)
        assert 0.3 < logits.std() < 5, "too small to tell, or larger than real ones"
        torch.testing.assert_close(model(ids), expected.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(logits, expected.logits, atol=1e-4, rtol=0)
    for ours, theirs in zip(attention, expected.attentions, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 23), st.integers(0, 60), st.integers(0, 5))
def test_a_later_token_never_changes_earlier_logits(at, new, seed):
    model, ids = build(), some_ids(1, 24, seed)
    changed = ids.clone()
    changed[0, at] = new
    with torch.no_grad():
        before, after = model(ids)[:, :at], model(changed)[:, :at]
    torch.testing.assert_close(before, after, atol=1e-6, rtol=0)


@pytest.mark.parametrize("cached", [False, True])
def test_a_left_padded_batch_equals_each_alone(cached):
    model, lengths, longest = build(), (1, 5, 17), 17
    texts = [some_ids(1, n, seed=n) for n in lengths]
    ids = torch.zeros(3, longest, dtype=torch.long)
    mask = torch.zeros(3, longest, dtype=torch.bool)
    for row, text in enumerate(texts):
        ids[row, longest - text.shape[1] :] = text
        mask[row, longest - text.shape[1] :] = True
    with torch.no_grad():
        if cached:
            cache = KVCache(TINY, 3)
            first = model(ids[:, :10], mask=mask[:, :10], cache=cache)
            rest = model(ids[:, 10:], mask=mask[:, 10:], cache=cache)
            logits = torch.cat([first, rest], dim=1)
        else:
            logits = model(ids, mask=mask)
        assert logits.isfinite().all()
        for row, text in enumerate(texts):
            alone = model(text)[0]
            padded = logits[row, longest - text.shape[1] :]
            torch.testing.assert_close(padded, alone, atol=1e-5, rtol=0)


def test_padding_on_the_right_changes_nothing_before_it():
    model, ids = build(), some_ids(1, 6)
    padded = torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], dim=1)
    mask = torch.arange(11)[None] < 6
    with torch.no_grad():
        expected, given_ = model(ids), model(padded, mask=mask)[:, :6]
    torch.testing.assert_close(given_, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "config, tied, untied",
    [
        (GPT2_SMALL, 124_439_808, 163_037_184),
        (GPT2_MEDIUM, 354_823_168, 406_286_336),
        (GPT2_LARGE, 774_030_080, 838_359_040),
        (GPT2_XL, 1_557_611_200, 1_638_022_400),
        (MINI, 5_853_184, 6_901_760),
    ],
)
def test_parameter_counts_of_the_published_sizes(config, tied, untied):
    with torch.device("meta"):
        model = GPTModel(config, init="torch")
    assert sum(p.numel() for p in model.parameters()) == tied
    assert untied - tied == config.vocab_size * config.emb_dim


def test_first_loss_is_that_of_a_guess_among_all_tokens():
    model, ids = build(MINI), some_ids(8, 128, config=MINI)
    with torch.no_grad():
        logits = model(ids[:, :-1])
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    expected = math.log(MINI.vocab_size) + logits.var(dim=-1).mean().item() / 2
    assert loss.item() == pytest.approx(expected, abs=0.02)
    assert loss.item() == pytest.approx(8.37, abs=0.03)


def test_a_tied_weight_is_one_parameter_whatever_happens():
    model = build()
    assert model.head.weight is model.token_embedding.weight
    model.load_state_dict(build(seed=1).state_dict())
    assert model.head.weight is model.token_embedding.weight
    model.to(torch.float64)
    assert model.head.weight is model.token_embedding.weight


def test_dropout_works_in_training_only():
    model, ids = build(replace(TINY, drop_rate=0.5)), some_ids(2, 24)
    assert torch.equal(model(ids), model(ids))
    model.train()
    assert not torch.equal(model(ids), model(ids))


def test_dropout_acts_on_the_embedding_and_on_what_each_layer_adds():
    model = vivid(replace(TINY, drop_rate=0.5)).train()
    seen = {}
    model(some_ids(2, 24), see=seen.setdefault)
    parts = {"embedding": seen["embedding"]}
    x = seen["embedding"]
    for i in range(TINY.n_layers):
        residual, output = seen[f"blocks.{i}.residual"], seen[f"blocks.{i}.output"]
        parts[f"attention {i}"], parts[f"feed-forward {i}"] = (
            residual - x,
            output - residual,
        )
        x = output
    for name, part in parts.items():
        assert (part == 0).float().mean().item() == pytest.approx(0.5, abs=0.1), name


@pytest.mark.parametrize("tied", [True, False])
def test_weights_start_as_gpt_2s_did(tied):
    model = build(replace(MINI, tie_embeddings=tied))
    for name, parameter in model.named_parameters():
        std, mean = parameter.std().item(), parameter.mean().item()
        if name.endswith(("attention.out.weight", "feed_forward.down_proj.weight")):
            assert std == pytest.approx(0.02 / math.sqrt(2 * MINI.n_layers), rel=0.02)
        elif parameter.dim() == 2:
            assert std == pytest.approx(0.02, rel=0.02), name
        else:
            assert (mean, std) == (float(name.endswith("scale")), 0), name


def test_a_padded_query_sees_itself_alone():
    real = torch.tensor([[False, False, True, True]])
    allowed = attention_mask(real, 4)[0, 0]
    assert allowed.int().tolist() == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 1, 1],
    ]
    _, weights = build()(some_ids(1, 4), mask=real, return_attention=True)
    for layer in weights:
        torch.testing.assert_close(layer.sum(dim=-1), torch.ones(1, 3, 4))


def test_too_many_tokens_are_refused():
    model, cache = build(), KVCache(TINY, 1)
    with pytest.raises(ValueError, match="25 tokens, but this model reads 24 at most"):
        model(some_ids(1, 25))
    model(some_ids(1, 20), cache=cache)
    with pytest.raises(ValueError, match="25 tokens"):
        model(some_ids(1, 5), cache=cache)


def test_an_unknown_initialization_is_refused():
    with pytest.raises(ValueError, match="init is 'zeros'; expected 'gpt2' or 'torch'"):
        GPTModel(TINY, init="zeros")
