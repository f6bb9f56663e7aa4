"""A chat model in a folder is asked like a server; what it cannot be asked is said."""

from pathlib import Path

import pytest
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

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
