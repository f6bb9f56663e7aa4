"""Saved models: `transformers` reads ours, we read its, and broken ones are named."""

import json
import pickle
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_server import HubServer
from safetensors.torch import load_file, save_file
from test_model import TINY, build, some_ids
from transformers import GPT2Config, GPT2LMHeadModel

from llmbook_utils import pretrained
from llmbook_utils.config import MINI, GPTConfig
from llmbook_utils.datasets import DownloadError, load_text
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.tokenizer import BytePairTokenizer

SHAPES = {
    "mini": MINI,
    "one head": GPTConfig(
        vocab_size=300, context_length=40, emb_dim=32, n_heads=1, n_layers=1
    ),
    "odd sizes": GPTConfig(
        vocab_size=301, context_length=9, emb_dim=36, n_heads=6, n_layers=3
    ),
}
SMALL = replace(TINY, vocab_size=300)
FILES = {"config.json", "model.safetensors", "vocab.json", "merges.txt"}
each_shape = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)


@pytest.fixture(scope="module")
def tokenizer():
    return BytePairTokenizer.train(load_text("story"), 300).to_tiktoken()


@pytest.fixture
def folder(tokenizer, tmp_path):
    """A folder with a saved model, to be broken."""
    save_pretrained(varied(SMALL), tokenizer, tmp_path)
    return tmp_path


def varied(config, seed=0):
    """A model with weights far from the initial ones: no bias is 0, no scale is 1."""
    model = build(config, seed)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3 / parameter.shape[-1] ** 0.5)
    return model


def theirs_of(config, seed=0):
    """A model of transformers' with the shape of our config, its weights varied."""
    torch.manual_seed(seed)
    shape = {pretrained.GPT2_KEYS[k]: getattr(config, k) for k in pretrained.GPT2_KEYS}
    tied = config.tie_embeddings
    model = GPT2LMHeadModel(GPT2Config(**shape, tie_word_embeddings=tied)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3 / parameter.shape[-1] ** 0.5)
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


def assert_same_weights(loaded, model):
    expected = dict(model.named_parameters())
    for name, parameter in loaded.named_parameters():
        torch.testing.assert_close(parameter, expected.pop(name), atol=0, rtol=0)
    assert not expected


def change(folder, tensors=None, **keys):
    """Change tensors of the saved weights (None: leave out) and keys of config.json."""
    weights = load_file(folder / "model.safetensors") | (tensors or {})
    weights = {name: value for name, value in weights.items() if value is not None}
    save_file(weights, folder / "model.safetensors")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


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


@pytest.fixture
def hub(folder, tmp_path_factory, monkeypatch):
    """A hub on this machine that has "gpt2", and an empty cache."""
    server = HubServer({"openai-community/gpt2": folder})
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    cache = tmp_path_factory.mktemp("hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("LLMBOOK_OFFLINE", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def test_download_once_and_use_it_offline(hub, tokenizer, monkeypatch):
    (hub.repositories["openai-community/gpt2"] / "pytorch_model.bin").touch()
    model, encoding = load_pretrained("gpt2")
    assert_same_weights(model, varied(SMALL))
    assert encoding.encode("The sea") == tokenizer.encode("The sea")
    fetched = [path.split("/")[-1] for method, path in hub.seen if method == "GET"]
    assert sorted(fetched) == sorted(FILES)
    hub.seen.clear()
    monkeypatch.setenv("LLMBOOK_OFFLINE", "1")
    assert_same_weights(load_pretrained("gpt2")[0], model)
    assert not hub.seen


def test_a_given_tokenizer_is_not_downloaded(hub, tokenizer):
    for file in ("vocab.json", "merges.txt"):
        (hub.repositories["openai-community/gpt2"] / file).unlink()
    assert load_pretrained("gpt2", tokenizer=tokenizer)[1] is tokenizer
    with pytest.raises(DownloadError, match=r"vocab\.json of openai-community/gpt2"):
        load_pretrained("gpt2")


def test_offline_is_refused_without_a_request(hub, monkeypatch):
    monkeypatch.setenv("LLMBOOK_OFFLINE", "1")
    says = r"'gpt2' was asked for.*config\.json.*LLMBOOK_OFFLINE.*a folder"
    with pytest.raises(DownloadError, match=says):
        load_pretrained("gpt2")
    assert not hub.seen


def test_what_the_hub_does_not_have(hub):
    says = r"'gpt2-xl' was asked for.*Repository Not Found.*check the connection"
    with pytest.raises(DownloadError, match=says):
        load_pretrained("gpt2-xl")


def test_a_hub_that_is_not_there(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between its tries
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9\) is not in"):
        load_pretrained("gpt2")


def test_an_unknown_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"'gpt3' is no model \('gpt2', 'gpt2-m"
    ):
        load_pretrained("gpt3")
