"""What can be wrong with a model's files: each fault is named, and nothing else happens."""

import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from saved_models import SMALL, assert_same_weights, change, folder, tokenizer, varied

from llmbook_utils.pretrained import load_pretrained, save_pretrained

__all__ = ["folder", "tokenizer"]


def test_masks_and_a_second_copy_of_a_tied_weight_are_skipped(folder):
    weights = load_file(folder / "model.safetensors")
    extras = {"lm_head.weight": weights["wte.weight"].clone()}
    for i in range(2):
        extras[f"h.{i}.attn.bias"] = torch.ones(1, 1, 24, 24).tril().bool()
        extras[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    change(folder, extras)
    assert_same_weights(load_pretrained(folder)[0], varied(SMALL))
    change(folder, {"lm_head.weight": extras["lm_head.weight"] + 1})
    with pytest.raises(
        ValueError, match=r"'lm_head\.weight' differs from 'wte\.weight'"
    ):
        load_pretrained(folder)


NAN = torch.full((72,), torch.nan)
BAD_TENSORS = [
    ({"h.1.ln_2.bias": None}, {}, r"1 .*missing, the first is 'h\.1\.ln_2\.bias'"),
    ({"h.0.x": NAN}, {}, r"1 .*unexpected, the first is 'h\.0\.x'"),
    ({"h.0.attn.bias": NAN}, {}, r"unexpected, the first is 'h\.0\.attn\.bias'"),
    ({"wpe.weight": NAN}, {}, r"'wpe\.weight' has the shape \(72,\), .*\(24, 24\)"),
    ({"h.0.attn.c_attn.bias": NAN}, {}, r"'h\.0\.attn\.c_attn\.bias' holds NaN"),
    ({"h.0.attn.c_attn.bias": NAN.nan_to_num(9).long()}, {}, r"holds torch\.int64"),
    ({"ln_f.bias": torch.full((24,), -torch.inf)}, {}, r"'ln_f\.bias' holds NaN or inf"),
    ({}, {"n_layer": 3}, r"12 .*missing, the first is 'h\.2\.ln_1"),
    ({}, {"n_layer": 1}, r"12 .*unexpected, the first is 'h\.1\."),
    ({}, {"n_embd": 48}, r"'wte\.weight' has the shape \(300, 24\), .*\(300, 48\)"),
    ({}, {"n_positions": 25}, r"'wpe\.weight' has the shape"),
    ({}, {"tie_word_embeddings": False}, r"missing, the first is 'lm_head\.weight'"),
]  # fmt: skip


@pytest.mark.parametrize("tensors, keys, says", BAD_TENSORS)
def test_weights_that_do_not_fit(tensors, keys, says, folder):
    change(folder, tensors, **keys)
    with pytest.raises(ValueError, match=f"model.safetensors: .*{says}"):
        load_pretrained(folder)


@pytest.mark.parametrize(
    "keys, says",
    [
        ({"model_type": "llama"}, "model_type is 'llama', expected 'gpt2'"),
        ({"n_head": 5}, "24 cannot be divided among 5 heads"),
        ({"n_embd": "24"}, "n_embd is '24'; expected a whole number"),
        ({"n_layer": None}, "n_layer is None"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"n_inner": 7}, "n_inner is 7"),
        ({"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx is True"),
    ],
)
def test_a_config_that_is_not_ours(keys, says, folder):
    change(folder, **keys)
    with pytest.raises(ValueError, match=rf"config\.json.*{says}"):
        load_pretrained(folder)


def test_a_broken_config(folder):
    for content in ("", "[1, 2]", '{"model_type": "gp'):
        (folder / "config.json").write_text(content)
        with pytest.raises(ValueError, match=r"config\.json is not"):
            load_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_pretrained(folder)


@pytest.mark.parametrize("kept", [0, 5, 100, 30_000, -1])
def test_a_truncated_file(kept, folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"model\.safetensors is broken or cut off"):
        load_pretrained(folder)


class Bomb:
    """Fails the test when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


@pytest.mark.parametrize(
    "save", [torch.save, lambda x, f: f.write_bytes(pickle.dumps(x))]
)
def test_a_pickle_is_never_opened(save, folder):
    save({"wte.weight": Bomb()}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors is a pickle.*any code"):
        load_pretrained(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"only pytorch_model\.bin.*any code"):
        load_pretrained(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        load_pretrained(folder)


def test_a_tokenizer_with_more_tokens_than_the_model(folder, tokenizer, tmp_path):
    small = varied(replace(SMALL, vocab_size=299))
    with pytest.raises(ValueError, match="300 tokens, but the model knows 299"):
        save_pretrained(small, tokenizer, tmp_path / "new")
    change(folder, vocab_size=299)
    with pytest.raises(ValueError, match="300 tokens, but the model knows 299"):
        load_pretrained(folder)
