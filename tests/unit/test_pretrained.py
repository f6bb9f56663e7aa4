"""Saved models: `transformers` reads ours, we read its, and broken ones are named."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import some_ids
from safetensors.torch import load_file
from saved_models import (
    FILES,
    SMALL,
    assert_same_weights,
    change,
    folder,
    tokenizer,
    varied,
)
from transformers import GPT2Config, GPT2LMHeadModel

from llmbook_utils import pretrained
from llmbook_utils.config import MINI, GPTConfig
from llmbook_utils.pretrained import load_pretrained, save_pretrained

SHAPES = {
    "mini": MINI,
    "one head": GPTConfig(
        vocab_size=300, context_length=40, emb_dim=32, n_heads=1, n_layers=1
    ),
    "odd sizes": GPTConfig(
        vocab_size=301, context_length=9, emb_dim=36, n_heads=6, n_layers=3
    ),
}
__all__ = ["folder", "tokenizer"]
each_shape = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)


def theirs_of(config, seed=0):
    """A model of transformers' with the shape of our config, its weights varied."""
    torch.manual_seed(seed)
    shape = {pretrained.GPT2_KEYS[k]: getattr(config, k) for k in pretrained.GPT2_KEYS}
    tied = config.tie_embeddings
    model = GPT2LMHeadModel(GPT2Config(**shape, tie_word_embeddings=tied)).eval()
    for name, parameter in model.named_parameters():
        mean = float(parameter.dim() == 1 and ".ln_" in name and "weight" in name)
        std = 0.03 if name.endswith(("wte.weight", "wpe.weight")) else 0.1
        torch.nn.init.normal_(parameter, mean=mean, std=std)
    return model


@torch.no_grad()
def assert_equal(ours, theirs):
    """The same logits and the same attention weights for some random texts."""
    theirs.set_attn_implementation("eager")
    ids = some_ids(2, ours.config.context_length, config=ours.config)
    expected = theirs.eval()(ids, output_attentions=True)
    logits, attention = ours(ids, return_attention=True)
    torch.testing.assert_close(logits, expected.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours(ids), expected.logits, atol=1e-4, rtol=0)
    for weights, reference in zip(attention, expected.attentions, strict=True):
        torch.testing.assert_close(weights, reference, atol=1e-5, rtol=0)


def is_mapped(tensor, file):
    """Whether a tensor's numbers lie in pages of the file; Linux says, others do not."""
    maps = Path("/proc/self/maps")
    for line in maps.read_text().splitlines() if maps.exists() else ():
        span, *_, name = line.split()
        start, end = (int(address, 16) for address in span.split("-"))
        if start <= tensor.data_ptr() < end:
            return name == str(file)
    return not maps.exists()


@each_shape
def test_transformers_reads_what_we_save(config, tokenizer, tmp_path):
    model = varied(config)
    save_pretrained(model, tokenizer, tmp_path)
    theirs, report = GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert theirs.config.eos_token_id == tokenizer.eot_token
    assert_equal(model, theirs)


@pytest.mark.parametrize("prefix", [True, False], ids=["prefix", "no prefix"])
@each_shape
def test_we_read_what_transformers_saves(config, prefix, tokenizer, tmp_path):
    theirs = theirs_of(config)
    (theirs if prefix else theirs.transformer).save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert all(name.startswith("transformer.") for name in names) == prefix
    assert_equal(load_pretrained(tmp_path, tokenizer=tokenizer)[0], theirs)


def test_untied_weights_go_both_ways(tokenizer, tmp_path):
    config = replace(SMALL, tie_embeddings=False)
    theirs = theirs_of(config)
    theirs.save_pretrained(tmp_path / "theirs")
    model, _ = load_pretrained(tmp_path / "theirs", tokenizer=tokenizer)
    assert model.head.weight is not model.token_embedding.weight
    assert_equal(model, theirs)
    save_pretrained(model, tokenizer, tmp_path / "ours")
    assert_equal(model, GPT2LMHeadModel.from_pretrained(tmp_path / "ours"))
    assert_same_weights(load_pretrained(tmp_path / "ours")[0], model)


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_without_qkv_bias(tied, tokenizer, tmp_path):
    model = varied(replace(SMALL, qkv_bias=False, tie_embeddings=tied))
    save_pretrained(model, tokenizer, tmp_path)
    assert_equal(model, GPT2LMHeadModel.from_pretrained(tmp_path))
    loaded, _ = load_pretrained(tmp_path)
    assert loaded.config == model.config
    assert_same_weights(loaded, model)
    change(tmp_path, {"h.1.attn.c_attn.bias": torch.ones(72)})
    with pytest.raises(ValueError, match=r"'h\.1\.attn\.c_attn\.bias' is not zero"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, tokenizer, tmp_path):
    model = varied(SMALL)
    save_pretrained(model, tokenizer, tmp_path, dtype=dtype)
    saved = load_file(tmp_path / "model.safetensors").values()
    assert {tensor.dtype for tensor in saved} == {dtype}
    rounded = {name: p.to(dtype) for name, p in model.state_dict().items()}
    for wanted in (dtype, torch.float32):
        loaded, _ = load_pretrained(tmp_path, dtype=wanted)
        for name, parameter in loaded.state_dict().items():
            assert torch.equal(parameter, rounded[name].to(wanted))
    assert_equal(loaded, GPT2LMHeadModel.from_pretrained(tmp_path, dtype=torch.float32))


def test_all_comes_back(tokenizer, tmp_path):
    model = varied(replace(SMALL, drop_rate=0.25))
    save_pretrained(model, tokenizer, tmp_path / "a" / "new")
    assert {path.name for path in (tmp_path / "a" / "new").iterdir()} == FILES
    loaded, encoding = load_pretrained(tmp_path / "a" / "new")
    assert loaded.config == model.config
    assert not loaded.training
    assert loaded.head.weight is loaded.token_embedding.weight
    assert encoding.encode("The sea is late.") == tokenizer.encode("The sea is late.")
    save_pretrained(loaded, encoding, tmp_path / "a" / "new")  # onto its own pages
    assert_same_weights(load_pretrained(str(tmp_path / "a" / "new"))[0], model)


def test_the_dropout_is_that_of_the_residual_stream(folder):
    change(folder, attn_pdrop=0.3, resid_pdrop=0.2, embd_pdrop=0.1)
    assert load_pretrained(folder)[0].config.drop_rate == 0.2


def test_the_file_is_mapped_and_training_leaves_it_alone(folder):
    before = (folder / "model.safetensors").read_bytes()
    model, _ = load_pretrained(folder)
    assert all(is_mapped(p, folder / "model.safetensors") for p in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(some_ids(1, 8)).square().mean().backward()
    optimizer.step()
    assert (folder / "model.safetensors").read_bytes() == before
    assert_same_weights(load_pretrained(folder)[0], varied(SMALL))
    assert model.head.weight is model.token_embedding.weight


def test_a_given_tokenizer_is_returned_and_none_is_read(folder, tokenizer):
    (folder / "vocab.json").unlink()
    assert load_pretrained(folder, tokenizer=tokenizer)[1] is tokenizer
    with pytest.raises(FileNotFoundError, match=r"vocab\.json"):
        load_pretrained(folder)


@pytest.mark.parametrize("fails", ["save_file", "save_encoding", "NaN"])
def test_a_failed_write_destroys_nothing(fails, folder, tokenizer, monkeypatch):
    def full(*args, **kwargs):
        raise OSError("no space left on device")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = varied(SMALL, seed=1)
    if fails == "NaN":
        model.final_norm.shift.data[3] = torch.nan
    else:
        monkeypatch.setattr(pretrained, fails, full)
    with pytest.raises((OSError, ValueError), match=r"no space|'ln_f\.bias' holds NaN"):
        save_pretrained(model, tokenizer, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
