"""What can be wrong with a model's files: each fault is named, and nothing else happens."""

import json
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from saved_models import SMALL, assert_same_weights, change, folder, tokenizer, varied
from transformers import GPT2Tokenizer

from llmbook_utils.files.gpt2 import bare_name, read_tokenizer_json
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.tokenizer import save_encoding

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


WRAPPED = [
    "_orig_mod.",
    "module.",
    "model.transformer.",
    "_orig_mod.module.transformer.",
    "module._orig_mod.",
]


@pytest.mark.parametrize("prefix", WRAPPED)
def test_names_lose_what_wrappers_put_before_them(prefix, folder):
    weights = load_file(folder / "model.safetensors")
    save_file({prefix + n: w for n, w in weights.items()}, folder / "model.safetensors")
    assert_same_weights(load_pretrained(folder)[0], varied(SMALL))
    twice = {prefix + "wte.weight": weights["wte.weight"].clone(), **weights}
    save_file(twice, folder / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"model.safetensors holds 'wte\.weight' twice"
    ):
        load_pretrained(folder)


def test_a_compiled_block_has_its_names_too():
    assert bare_name("h.0._orig_mod.ln_1.weight") == "h.0.ln_1.weight"


@pytest.fixture
def parts(folder):
    """The weights in two files, and an index that says what is where."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, where = sorted(weights), {}
    for i, some in enumerate((names[:9], names[9:])):
        file = f"model-{i + 1:05}-of-00002.safetensors"
        save_file({name: weights[name] for name in some}, folder / file)
        where |= dict.fromkeys(some, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return index


def test_weights_in_several_files_are_read(parts, folder):
    assert_same_weights(load_pretrained(folder)[0], varied(SMALL))


def test_a_part_that_is_missing_or_broken_is_named(parts, folder):
    part = folder / "model-00002-of-00002.safetensors"
    content = part.read_bytes()
    part.write_bytes(content[:99])
    with pytest.raises(
        ValueError, match=r"model-00002-of-00002\.safetensors is broken"
    ):
        load_pretrained(folder)
    part.unlink()
    with pytest.raises(FileNotFoundError, match=r"index\.json names model-00002-of"):
        load_pretrained(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": {"a": "../b"}}'])
def test_an_index_that_is_none_is_named(content, parts, folder):
    parts.write_text(content)
    with pytest.raises(ValueError, match=r"index\.json is not an index of weights"):
        load_pretrained(folder)


# tokenizer.json


def test_a_tokenizer_json_has_what_the_two_files_have(tmp_path, tokenizer):
    save_encoding(tokenizer, tmp_path)
    GPT2Tokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "theirs")
    vocab, merges = read_tokenizer_json(tmp_path / "theirs" / "tokenizer.json")
    assert vocab == json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    lines = (tmp_path / "merges.txt").read_text("utf-8").splitlines()
    assert merges == lines[1:]


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False}
GOOD_JSON = {
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
    "pre_tokenizer": BYTE_LEVEL,
    "added_tokens": [{"id": 3, "content": "<|endoftext|>", "special": True}],
}


@pytest.mark.parametrize("merges", [["a b"], [["a", "b"]]])
def test_merges_are_pairs_or_texts(merges, tmp_path):
    model = GOOD_JSON["model"] | {"merges": merges}
    (tmp_path / "t.json").write_text(json.dumps(GOOD_JSON | {"model": model}))
    vocab = {"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}
    assert read_tokenizer_json(tmp_path / "t.json") == (vocab, ["a b"])


@pytest.mark.parametrize(
    "change, says",
    [
        ({"model": GOOD_JSON["model"] | {"type": "Unigram"}}, "'Unigram'.*'BPE'"),
        ({"model": {"type": "WordPiece"}}, "not a tokenizer of byte pairs"),
        ({"pre_tokenizer": {"type": "Split"}}, "way to cut text is 'Split'"),
        ({"pre_tokenizer": None}, "way to cut text is None"),
        ({"pre_tokenizer": BYTE_LEVEL | {"add_prefix_space": True}}, "first word is T"),
        ({"pre_tokenizer": BYTE_LEVEL | {"use_regex": False}}, "pattern is False"),
        ({"normalizer": {"type": "NFC"}}, "normalizer is"),
        ({"added_tokens": 3}, "not a tokenizer"),
    ],
)
def test_a_tokenizer_that_is_not_gpt2s_is_refused(change, says, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(GOOD_JSON | change))
    with pytest.raises(ValueError, match=rf"t\.json.*{says}.*tokenizer=…"):
        read_tokenizer_json(tmp_path / "t.json")


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
