"""What readers have hit with models and tokenizers: each works, or says what to do."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import TINY, build, some_ids, vivid
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from llmbook_utils.config import GPTConfig
from llmbook_utils.env import pick_device
from llmbook_utils.files.hub import SHIPPED
from llmbook_utils.generate import (
    Sampling,
    draw,
    generate,
    next_token_probabilities,
    stream_text,
    whole_characters,
)
from llmbook_utils.loss import bits_per_byte
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.tokenizer import (
    BytePairTokenizer,
    end_id,
    get_encoding,
    save_encoding,
)
from llmbook_utils.train import create_optimizer, train

pytestmark = pytest.mark.usefixtures("one_thread")

BYTES = {bytes([byte]): byte for byte in range(256)}
DRAWN = {"temperature": 0.8, "top_p": 0.9, "seed": 1}
MODEL, IDS = build(), some_ids(1, 3)


class NoFloat64(TorchDispatchMode):
    """Refuses tensors of 64-bit numbers with a fraction, as Apple's GPUs do."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        if any(tensor.dtype == torch.float64 for tensor in tensors):
            raise TypeError(f"{func} makes float64")
        return out


@pytest.mark.parametrize("options", [{}, DRAWN], ids=["greedy", "drawn"])
def test_generation_needs_no_float64_in_torch(options):
    model, ids = vivid(TINY), some_ids(1, 4)
    expected = generate(model, ids, 6, **options)
    with NoFloat64():
        assert torch.equal(generate(model, ids, 6, **options), expected)


def test_training_needs_no_float64_in_torch():
    model, ids = build(), some_ids(2, 9)
    with NoFloat64():
        batch = (ids[:, :-1], ids[:, 1:])
        train(model, [batch], optimizer=create_optimizer(model, 1e-3), max_steps=2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_broken_logits_are_an_error_and_not_token_0(bad):
    logits, ids = torch.tensor([[1.0, bad, 2.0]]), torch.tensor([[0]])
    for sampling in (Sampling(), Sampling(temperature=1.0), Sampling(1.0, top_k=2)):
        with pytest.raises(ValueError, match="logits hold NaN or infinity"):
            next_token_probabilities(logits, ids, sampling)
    model = build()
    model.blocks[0].norm_1.scale.data[0] = bad
    with pytest.raises(ValueError, match="the weights are broken, or"):
        generate(model, some_ids(1, 3), 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("temperature", [1e-4, 1e-38, 5e-324])
def test_a_very_small_temperature_is_greedy(dtype, temperature):
    logits = torch.tensor([[3.0, 60.0, -60.0]], dtype=dtype)
    sampling = Sampling(temperature=temperature, top_p=0.9)
    result = next_token_probabilities(logits, torch.tensor([[0]]), sampling)
    assert result.tolist() == [[0.0, 1.0, 0.0]]
    assert draw(result, [0.7]).item() == 1


def test_a_greedy_text_in_between_changes_nothing_that_is_drawn_later():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    generate(MODEL, IDS, 3)
    assert torch.equal(torch.rand(3), expected)


def test_ids_that_the_tokenizer_lacks_show_as_replacement_characters():
    encoding = get_encoding("gpt2")
    assert list(whole_characters([40, 50300, 40], encoding)) == ["I", "\ufffd", "I"]
    model = build(replace(TINY, vocab_size=300))
    tokenizer = BytePairTokenizer(BYTES, {"<|endoftext|>": 256}).to_tiktoken()
    with torch.no_grad():  # the model always says a token that no text has
        model.final_norm.scale.zero_()
        model.final_norm.shift.copy_(model.token_embedding.weight[299])
    assert "".join(stream_text(model, tokenizer, "Hi", 3)) == "\ufffd" * 3


def test_ids_of_another_tokenizer_are_named():
    with pytest.raises(ValueError, match=r"id 61 is outside .* vocabulary of 61 token"):
        MODEL(torch.tensor([[1, 61, 2]]))
    with pytest.raises(ValueError, match="encode the text with the tokenizer that"):
        generate(MODEL, torch.tensor([[25_383]]), 2)
    with pytest.raises(ValueError, match="id -1 is outside"):
        MODEL(torch.tensor([[-1]]))


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (torch.tensor([1, 2, 3]), r"shape \(3,\); expected \(B, T\).*ids\[None\]"),
        (torch.tensor(3), r"shape \(\)"),
        (torch.zeros(1, 0).long(), r"shape \(1, 0\)"),
        (torch.zeros(1, 2), r"torch.float32; expected whole numbers: ids.long\(\)"),
        (torch.zeros(1, 25).long(), "25 tokens, but this model reads 24 at most"),
    ],
)
def test_ids_of_a_wrong_shape_or_type_are_met_at_the_door(ids, says):
    with pytest.raises(ValueError, match=says):
        MODEL(ids)
    with pytest.raises(ValueError, match=says.replace("25 tokens, but", "25 tokens.*")):
        generate(MODEL, ids, 2)


@pytest.mark.parametrize("mask", [torch.tensor([[0, 1, 1]]), torch.ones(3).bool()])
def test_a_mask_of_0_and_1_or_of_another_shape_is_met_at_the_door(mask):
    for call in (MODEL, lambda ids, mask: generate(MODEL, ids, 2, mask=mask)):
        with pytest.raises(ValueError, match=r"mask is torch.*mask.bool\(\)"):
            call(IDS, mask=mask)


def test_a_tokenizer_without_an_end_writes_on_and_says_what_it_cannot(tmp_path):
    tokenizer = BytePairTokenizer(BYTES, {"<s>": 256}).to_tiktoken()
    model = build(replace(TINY, vocab_size=257))
    assert end_id(tokenizer) is None
    assert "".join(stream_text(model, tokenizer, "Hi", 3))
    with pytest.raises(ValueError, match="ids have shape"):
        list(stream_text(model, tokenizer, "", 3))
    with pytest.raises(ValueError, match=r"has no <\|endoftext\|>"):
        bits_per_byte(model, tokenizer, "Hi", context_length=8)
    save_pretrained(model, tokenizer, tmp_path)
    assert end_id(load_pretrained(tmp_path)[1]) is None


def test_a_compiled_model_is_saved_as_the_model_that_it_is(tmp_path):
    tokenizer = BytePairTokenizer(BYTES, {"<|endoftext|>": 256}).to_tiktoken()
    model = build(replace(TINY, vocab_size=257))
    save_pretrained(torch.compile(model, backend="eager"), tokenizer, tmp_path)
    ids = some_ids(1, 5)
    with torch.no_grad():
        again = load_pretrained(tmp_path)[0](ids)
        torch.testing.assert_close(again, model(ids))
    with pytest.raises(TypeError, match="expected a GPTModel, got Linear"):
        save_pretrained(torch.nn.Linear(2, 2), tokenizer, tmp_path)


@pytest.mark.parametrize("options", [{"top_k": 1.5}, {"temperature": "hot"}])
def test_options_of_a_wrong_type_are_refused(options):
    with pytest.raises(ValueError, match="it must be"):
        Sampling(**options)


def test_an_option_that_does_not_exist_is_named():
    with pytest.raises(TypeError, match="temprature"):
        generate(MODEL, IDS, 1, temprature=1.0)


@pytest.mark.parametrize("value", [96.0, "96", None])
def test_sizes_are_whole_numbers(value):
    with pytest.raises(ValueError, match=r"emb_dim is .* a whole number, 1 or more"):
        GPTConfig(emb_dim=value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_steps": 2, "eval_every": 0}, "eval_every is 0"),
        ({"max_steps": -1}, "max_steps is -1"),
        ({"epochs": -2}, "epochs is -2"),
        ({}, "the length of the run once"),
        ({"epochs": 1, "max_steps": 1}, "the length of the run once"),
    ],
)
def test_settings_that_make_no_run_are_refused(settings, says):
    model, batch = build(), (IDS, IDS)
    optimizer = create_optimizer(model, 1e-3)
    with pytest.raises(ValueError, match=says):
        train(model, [batch], optimizer=optimizer, **settings)


def test_decode_takes_a_tensor():
    tokenizer = BytePairTokenizer.train("sea seas seal", 260)
    ids = torch.tensor(tokenizer.encode("seal"))
    assert tokenizer.decode(ids) == "seal"


def test_of_two_special_names_that_begin_alike_the_longer_one_is_meant():
    names = {"<|q|>": 256, "<|q|>end": 257}
    for special in (names, dict(reversed(names.items()))):
        tokenizer = BytePairTokenizer(BYTES, special)
        assert tokenizer.encode("a<|q|>end", allowed_special=special) == [97, 257]


def test_a_tokenizer_with_several_special_tokens_has_one_file(tmp_path):
    names = {f"<|{letter}|>": 256 + at for at, letter in enumerate("qwertzuiop")}
    save_encoding(BytePairTokenizer(BYTES, names).to_tiktoken(), tmp_path)
    vocab = (tmp_path / "vocab.json").read_text(encoding="utf-8")
    places = [vocab.index(name) for name in sorted(names)]
    assert places == sorted(places)


def test_devices_that_are_not_there_are_named():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    missing = next(
        (
            name
            for name, there in (
                ("cuda", torch.cuda.is_available()),
                ("mps", torch.backends.mps.is_available()),
            )
            if not there
        )
    )
    with pytest.raises(ValueError, match=f"'{missing}' was asked for, but PyTorch"):
        load_pretrained("mini", device=missing)


def test_auto_takes_the_gpu_that_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device().type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device().type == "cuda"


def test_a_tokenizer_in_one_file_is_the_same_tokenizer(tmp_path):
    mini = get_encoding(SHIPPED["mini"])
    save_encoding(mini, tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    merges = (tmp_path / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    end = {"id": vocab.pop("<|endoftext|>"), "content": "<|endoftext|>"}
    content = {
        "added_tokens": [end],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    }
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).unlink()
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    again = get_encoding(tmp_path)
    text = "The sea's late, said 3 gulls 🐟"
    assert again.encode(text) == mini.encode(text)
    assert end_id(again) == end_id(mini) == end["id"]


def test_a_name_is_a_name_also_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert get_encoding(Path("gpt2")) is get_encoding("gpt2")
    save_encoding(get_encoding(SHIPPED["mini"]), tmp_path / "gpt2")
    assert get_encoding(Path("gpt2")).n_vocab == 4096


def test_a_token_is_drawn_of_logits_that_still_have_gradients():
    logits = MODEL(IDS)[:, -1]
    assert logits.requires_grad
    probabilities = next_token_probabilities(logits, IDS, Sampling(temperature=1.0))
    assert 0 <= draw(probabilities, [0.5]).item() < TINY.vocab_size
