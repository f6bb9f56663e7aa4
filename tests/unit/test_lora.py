"""LoRA: equal to peft, silent at first, exact when merged and taken out, its files peft's."""

import math
from dataclasses import replace

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_models import same, weights_of, with_lora
from models import TINY, as_transformers, build, lifelike, some_ids
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers import GPT2ForSequenceClassification

from llmbook_utils.files.adapter import WEIGHTS
from llmbook_utils.lora import (
    LAYERS,
    LoRALinear,
    add_lora,
    load_adapter,
    lora_layers,
    merge,
    remove_lora,
    save_adapter,
    trainable_parameters,
    unmerge,
)
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained, save_pretrained

# what peft calls the same layers
THEIRS = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]


def peft_of(model, rank=4, alpha=6, folder=None):
    """peft's LoRA over the same weights, and what it saved where a folder is given."""
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=THEIRS, fan_in_fan_out=True
    )
    theirs = peft.get_peft_model(as_transformers(model), config).eval()
    for name, parameter in theirs.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    if folder is not None:
        theirs.save_pretrained(folder)
    return theirs


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 24), st.floats(0.1, 100), st.integers(0, 99))
def test_untrained_lora_changes_nothing_and_merging_says_the_same(rank, alpha, seed):
    model, ids = lifelike(build(seed=seed)), some_ids(2, 9, seed)
    with torch.no_grad():
        before = model(ids)
        add_lora(model, rank, alpha)
        assert torch.equal(model(ids), before)
        for layer in lora_layers(model).values():
            nn.init.normal_(layer.B, std=0.1 / alpha)
        after = model(ids)
        assert (after - before).abs().max() > 1e-4, "too little to tell"
        weights = weights_of(model)
        merge(model)
        torch.testing.assert_close(model(ids), after, atol=1e-5, rtol=1e-5)
        unmerge(model)
        assert same(weights_of(model), weights)
        assert torch.equal(model(ids), after)


def test_a_layer_worked_by_hand():
    linear = nn.Linear(2, 2, bias=False)
    linear.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    layer = LoRALinear(linear, rank=1, alpha=3)
    layer.A.data, layer.B.data = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0], [-1]])
    # 3/1 * (1 * 5 + 2 * 7) = 57 is added to the first and taken from the second
    assert layer(torch.tensor([5.0, 7.0])).tolist() == [5 + 57, 7 - 57]
    assert layer.change().tolist() == [[3, 6], [-3, -6]]


def test_a_is_drawn_as_a_linear_layer_draws_and_b_is_zero():
    torch.manual_seed(1)
    layer = LoRALinear(nn.Linear(400, 300), rank=50, alpha=1)
    limit = 1 / math.sqrt(400)
    assert 0.99 * limit < layer.A.abs().max() <= limit
    assert abs(layer.A.std() - limit / math.sqrt(3)) < 0.01 * limit
    assert not layer.B.any()


def test_an_adapter_of_peft_gives_the_same_logits_here(tmp_path):
    model, ids = lifelike(build()), some_ids(2, 11)
    theirs = peft_of(model, folder=tmp_path)
    load_adapter(model, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=1e-4, rtol=0)


def loss_of(logits, ids):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def test_three_training_steps_equal_pefts(tmp_path):
    model, ids = lifelike(build()), some_ids(4, 11)
    theirs = peft_of(model, folder=tmp_path)
    load_adapter(model, tmp_path)
    ours = [p for m in lora_layers(model).values() for p in (m.A, m.B)]
    for parameter in ours:
        parameter.requires_grad_(True)
    both = [
        (model, ours),
        (theirs, [p for p in theirs.parameters() if p.requires_grad]),
    ]
    losses = []
    for net, parameters in both:
        assert sum(p.numel() for p in parameters) == trainable_parameters(model)[0]
        optimizer = torch.optim.AdamW(parameters, lr=0.01)
        for _ in range(3):
            out = net(ids)
            loss = loss_of(getattr(out, "logits", out), ids)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[0] - losses[2] > 0.01, "nothing was learned"
    assert losses[:3] == pytest.approx(losses[3:], abs=1e-5)
    found = dict(theirs.named_parameters())
    first = found["base_model.model.transformer.h.0.attn.c_attn.lora_A.default.weight"]
    A = lora_layers(model)["blocks.0.attention.qkv"].A
    torch.testing.assert_close(A, first, atol=1e-5, rtol=0)


def test_peft_opens_an_adapter_of_ours(tmp_path):
    model, ids = with_lora(), some_ids(2, 11)
    save_adapter(model, tmp_path)
    remove_lora(model)
    theirs = peft.PeftModel.from_pretrained(as_transformers(model), tmp_path).eval()
    load_adapter(model, tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=1e-4, rtol=0)
        theirs, ids = theirs.merge_and_unload(), some_ids(1, 7)
        merge(model)
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=1e-4, rtol=0)


def classifier_of(model, folder):
    """transformers' GPT-2 with a head for classes, over the same weights."""
    as_transformers(model).save_pretrained(folder)
    theirs = GPT2ForSequenceClassification.from_pretrained(
        folder, num_labels=2, pad_token_id=0
    )
    theirs.score = nn.Linear(model.config.emb_dim, 2)  # its own has no bias
    return theirs


def test_peft_opens_an_adapter_with_a_new_head(tmp_path):
    base = lifelike(build())
    theirs = classifier_of(base, tmp_path / "base")
    model, ids = with_lora(classes=2), some_ids(3, 11) % 60 + 1  # 0 pads there
    save_adapter(model, tmp_path / "adapter")
    opened = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    with torch.no_grad():
        logits = model(ids)[:, -1]
        torch.testing.assert_close(opened(ids).logits, logits, atol=1e-4, rtol=0)
        assert (logits[:, 0] - logits[:, 1]).abs().min() > 1e-3


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("layers", [LAYERS, ["qkv"], ["blocks.1.*"]])
def test_a_saved_adapter_comes_back(tmp_path, classes, layers):
    model, ids = with_lora(classes=classes, layers=layers), some_ids(2, 9)
    save_adapter(model, tmp_path)
    other = load_adapter(lifelike(build()), tmp_path)
    assert torch.equal(other(ids), model(ids))
    assert trainable_parameters(other)[0] == 0
    assert lora_layers(other).keys() == lora_layers(model).keys()
    save_adapter(other, tmp_path / "again")
    again = (tmp_path / "again" / WEIGHTS).read_bytes()
    assert again == (tmp_path / WEIGHTS).read_bytes()


def test_halves_are_half_as_large_and_nearly_equal(tmp_path):
    model, ids = with_lora(), some_ids(2, 9)
    save_adapter(model, tmp_path / "full")
    save_adapter(model, tmp_path / "half", torch.float16)
    other = load_adapter(lifelike(build()), tmp_path / "half")
    torch.testing.assert_close(other(ids), model(ids), atol=0.02, rtol=0)
    assert next(iter(lora_layers(other).values())).A.dtype == torch.float32
    kinds = {t.dtype for t in load_file(tmp_path / "half" / WEIGHTS).values()}
    assert kinds == {torch.float16}


def test_what_is_trained_is_lora_and_a_new_head():
    model = with_lora(classes=2)
    C = TINY.emb_dim
    each = 4 * (C + 3 * C) + 4 * (C + C) + 2 * 4 * (C + 4 * C)
    trained, total = trainable_parameters(model)
    assert trained == TINY.n_layers * each + 2 * C + 2
    names = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n.rpartition(".")[2] for n in names} == {"A", "B", "weight", "bias"}
    assert {n for n in names if n.endswith(("weight", "bias"))} == {
        "head.weight",
        "head.bias",
    }
    assert total == sum(p.numel() for p in model.parameters())
    assert trainable_parameters(with_lora())[0] == TINY.n_layers * each


def test_published_numbers_of_the_124m_model():
    config = replace(
        TINY, vocab_size=9, context_length=8, emb_dim=768, n_heads=12, n_layers=12
    )
    with torch.device("meta"):
        model = GPTModel(config, init="torch")
        model.head = nn.Linear(768, 2)
        add_lora(model, 16, 16)
    assert trainable_parameters(model)[0] == 2_360_834


def test_a_training_step_leaves_the_base_as_it_is():
    model, ids = with_lora(classes=2), some_ids(4, 9)
    before = weights_of(model)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=0.1
    )
    F.cross_entropy(model(ids)[:, -1], torch.tensor([0, 1, 0, 1])).backward()
    optimizer.step()
    after = weights_of(model)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {n for n, p in model.named_parameters() if p.requires_grad}


def test_a_merged_model_without_lora_is_a_plain_one(tmp_path):
    model, ids = with_lora(), some_ids(2, 9)
    names = [name for name, _ in build().named_parameters()]
    merge(model)
    logits = model(ids)
    remove_lora(model)
    assert [name for name, _ in model.named_parameters()] == names
    assert torch.equal(model(ids), logits)
    _, tokenizer = load_pretrained("mini")
    wide = with_lora(config=replace(TINY, vocab_size=4096))
    merge(wide)
    remove_lora(wide)
    save_pretrained(wide, tokenizer, tmp_path)
    assert torch.equal(load_pretrained(tmp_path)[0](ids), wide(ids))


def test_the_weights_of_a_file_are_neither_changed_nor_copied():
    first, ids = load_pretrained("mini")[0], torch.arange(9)[None]
    before = first(ids)
    weight = first.blocks[0].attention.qkv.weight
    add_lora(first, 2, 2)
    for layer in lora_layers(first).values():
        nn.init.normal_(layer.B)
    assert first.blocks[0].attention.qkv.weight.data_ptr() == weight.data_ptr()
    merge(first)
    assert not torch.equal(first(ids), before)
    assert torch.equal(load_pretrained("mini")[0](ids), before)
    unmerge(first)
    remove_lora(first)
    assert torch.equal(first(ids), before)
    assert first.head.weight is first.token_embedding.weight


WRONG = [
    ({"rank": 0, "alpha": 1}, "rank is 0; .*from 1 to 24"),
    (
        {"rank": 25, "alpha": 1},
        "rank is 25; the layer 'blocks.0.attention.qkv' is 72 x 24",
    ),
    ({"rank": 2.0, "alpha": 1}, "rank is 2.0"),
    ({"rank": True, "alpha": 1}, "rank is True"),
    ({"rank": 2, "alpha": 0}, "alpha is 0; it must be above 0"),
    ({"rank": 2, "alpha": -1}, "alpha is -1"),
    ({"rank": 2, "alpha": math.inf}, "alpha is inf"),
    ({"rank": 2, "alpha": math.nan}, "alpha is nan"),
    (
        {"rank": 2, "alpha": 1, "layers": ["qvk"]},
        "no linear layer's name ends in 'qvk'; there",
    ),
    ({"rank": 2, "alpha": 1, "layers": ["qkv", "blocks.2.*"]}, "ends in 'blocks.2"),
    ({"rank": 2, "alpha": 1, "layers": ["*"]}, "the layer 'head' cannot have LoRA"),
    ({"rank": 2, "alpha": 1, "layers": ["norm_1"]}, "no linear layer's name"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_what_cannot_be_is_refused_and_nothing_is_changed(options, words):
    model, ids = build(), some_ids(1, 5)
    before = model(ids)
    with pytest.raises(ValueError, match=words):
        add_lora(model, **options)
    assert not lora_layers(model)
    assert all(p.requires_grad for p in model.parameters())
    assert torch.equal(model(ids), before)


def test_what_must_not_be_done_twice_or_without_lora(tmp_path):
    model = build()
    for action in (merge, unmerge):
        with pytest.raises(ValueError, match="has no LoRA layers"):
            action(model)
    with pytest.raises(ValueError, match="nothing to save"):
        save_adapter(model, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    add_lora(model, 2, 2)
    with pytest.raises(ValueError, match=r"not merged already; call merge\(model\)"):
        unmerge(model)
    save_adapter(model, tmp_path)
    merge(model)
    weights = weights_of(model)
    with pytest.raises(ValueError, match=r"is merged already; call unmerge\(model\)"):
        merge(model)
    assert same(weights_of(model), weights)
    for action in (
        lambda: add_lora(model, 1, 1),
        lambda: load_adapter(model, tmp_path),
    ):
        with pytest.raises(ValueError, match=r"call remove_lora\(model\) first"):
            action()


def test_an_adapter_of_another_base_names_the_shapes(tmp_path):
    save_adapter(with_lora(), tmp_path / "tiny")
    save_adapter(with_lora(layers=["blocks.1.*"]), tmp_path / "last")
    wide = build(replace(TINY, emb_dim=30, n_heads=5))
    ids, before = some_ids(1, 5), weights_of(wide)
    said = (
        r"changes 'h.0.attn.c_attn' as a layer of shape \(72, 24\), but .* \(90, 30\)"
    )
    with pytest.raises(ValueError, match=said):
        load_adapter(wide, tmp_path / "tiny")
    with pytest.raises(ValueError, match=r"'h.1.*which this model of 1 blocks lacks"):
        load_adapter(build(replace(TINY, n_layers=1)), tmp_path / "last")
    assert same(weights_of(wide), before)
    assert torch.equal(wide(ids), build(wide.config)(ids))
    assert all(p.requires_grad for p in wide.parameters())
