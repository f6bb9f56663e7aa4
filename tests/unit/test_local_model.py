"""A chat model in a folder is asked like a server; what it cannot be asked is said."""

import json
from pathlib import Path

import gguf
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from llmbook_utils.evaluate import ask_judge, parse_grade
from llmbook_utils.files.local_model import LocalModel

TEMPLATE = "{% for m in messages %}Q: {{ m['content'] }} A:{% endfor %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model with a chat template, as transformers saves it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = tmp_path_factory.mktemp("chat")
    words = ["<end>", "Q", ":", "A", "7", "grade", "this"]
    inner = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<end>")
    )
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(path)
    config = GPT2Config(
        vocab_size=len(words), n_positions=64, n_embd=8, n_layer=1, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(path)
    return path


def test_it_answers_as_a_judge(folder: Path, tmp_path: Path) -> None:
    judge = LocalModel(folder, max_new_tokens=3)
    reply = judge("grade this")
    assert reply.tokens_in == 6  # Q : grade this A :
    assert 1 <= reply.tokens_out <= 3
    assert reply.text == judge("grade this").text  # greedy
    assert "Q:" not in reply.text.replace(" ", "")[:2]
    found = ask_judge(judge, ["grade this"], tmp_path / "l.jsonl", parse=parse_grade)
    assert len(found.values) == 1
    assert found.tokens == reply.tokens


HEADS = 2


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama, the family of most small chat models, in a folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    path = tmp_path_factory.mktemp("llama")
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = ["<end>", *signs, "gr", "th", "gra", "Ġth"]
    merges = [("g", "r"), ("t", "h"), ("gr", "a"), ("Ġ", "th")]
    inner = Tokenizer(models.BPE({t: i for i, t in enumerate(vocab)}, merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(path)
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=len(vocab), hidden_size=32, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=HEADS, num_key_value_heads=HEADS,
        max_position_embeddings=64, bos_token_id=0, eos_token_id=0,
        initializer_range=0.5, tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def interleaved(weight: torch.Tensor) -> torch.Tensor:
    """Rows of queries or keys as llama.cpp has them, pairs that turn side by side."""
    halves = weight.view(HEADS, 2, -1, weight.shape[1])
    return halves.transpose(1, 2).reshape(weight.shape)


def write_gguf(folder: Path, path: Path) -> None:
    """Write the folder's Llama as llama.cpp's own package writes one."""
    model = LlamaForCausalLM.from_pretrained(folder)
    bpe = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    tokens = list(bpe["vocab"])
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(model.config.max_position_embeddings)
    writer.add_block_count(model.config.num_hidden_layers)
    writer.add_embedding_length(model.config.hidden_size)
    writer.add_feed_forward_length(model.config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * len(tokens[1:])
    )
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers
    )
    for name, weight in model.state_dict().items():
        turned = interleaved(weight) if "q_proj" in name or "k_proj" in name else weight
        there = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(there, turned.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_answers_as_its_folder_does(llama: Path, tmp_path: Path) -> None:
    write_gguf(llama, tmp_path / "chat.gguf")
    from_folder, from_file = LocalModel(llama), LocalModel(tmp_path / "chat.gguf")
    for prompt in ("grade this", "What is the sea?"):
        wanted, got = from_folder(prompt), from_file(prompt)
        assert (got.text, got.tokens_in, got.tokens_out) == (
            wanted.text, wanted.tokens_in, wanted.tokens_out
        )  # fmt: skip
        assert wanted.tokens_out > 1


def test_a_path_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither a \.gguf file nor a folder"):
        LocalModel(tmp_path / "none")
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match="neither"):
        LocalModel(tmp_path / "model.bin")


def test_a_model_without_a_template_is_refused(folder: Path, tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no chat template"):
        LocalModel(tmp_path)


def test_missing_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gguf", None)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(ImportError, match=r"pip install llmbook-utils\[judge\]"):
        LocalModel(tmp_path / "m.gguf")
