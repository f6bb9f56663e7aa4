"""`llmbook classify`: train, evaluate and predict, on files and on standard input."""

import io
import json
import sys
from dataclasses import replace

import pytest
import torch

from llmbook_utils.classify import (
    classify,
    drop_near_duplicates,
    load_classifier,
    logit,
    split,
)
from llmbook_utils.cli import main
from llmbook_utils.config import MINI
from llmbook_utils.files.datasets import fetch
from llmbook_utils.files.labeled import read_labeled
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.runs.classifier import judge

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = replace(MINI, context_length=48, emb_dim=16, n_heads=2, n_layers=1)


class Input:
    """Standard input that holds these bytes."""

    def __init__(self, content):
        self.buffer = io.BytesIO(content)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Six hundred messages of the collection, under labels of another name."""
    path = tmp_path_factory.mktemp("labeled") / "messages.tsv"
    lines = fetch("sms-spam").read_text("utf-8").splitlines()[:600]
    names = {"ham": "no", "spam": "yes"}
    rows = [line.split("\t") for line in lines]
    path.write_text("".join(f"{names[y]}\t{t}\n" for y, t in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A GPT of a few weights with `mini`'s tokenizer."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    save_pretrained(GPTModel(SMALL), load_pretrained("mini")[1], folder)
    return folder


@pytest.fixture(scope="module")
def trained(file, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "classifier"
    options = ["--labels", "no", "yes", "--model", model, "--out", out, "--balance"]
    options += ["--max-length", 40, "--epochs", 20, "--lr", 0.01, "--device", "cpu"]
    main([*map(str, ["classify", "train", file, *options])])
    return out


def test_a_file_makes_a_classifier(trained, file, capsys):
    made = load_classifier(trained)
    assert made.labels == ("no", "yes") and made.max_length == 40
    # training's 60 of 424 against one half, in the units of the divided log-odds
    assert made.shift * made.temperature == pytest.approx(logit(60 / 424))
    assert made.temperature != 1
    main(["classify", "evaluate", str(file), "--classifier", str(trained)])
    said = capsys.readouterr().out
    c = judge(made, read_labeled(file, made.labels))
    assert f"600 messages:\n  accuracy {c.accuracy:.4f} (95 %" in said
    assert f"true positives {c.true_positives}, " in said
    assert c.recall > 0.3


def test_the_test_part_is_that_of_training(trained, file, capsys):
    options = ["--classifier", str(trained), "--part", "test"]
    main(["classify", "evaluate", str(file), *options])
    test = split(drop_near_duplicates(read_labeled(file, ("no", "yes"))))[2]
    assert capsys.readouterr().out.startswith(f"{len(test)} messages:")


def test_training_repeats_and_says_what_it_did(file, model, tmp_path, capsys):
    arguments = ["classify", "train", str(file), "--labels", "no", "yes"]
    arguments += ["--model", str(model), "--max-length", "8", "--epochs", "1"]
    found = []
    for name in ("a", "b"):
        main([*arguments, "--out", str(tmp_path / name), "--device", "cpu"])
        said = capsys.readouterr().out
        assert "600 messages, " in said and "on the test part:" in said
        verdicts = classify(load_classifier(tmp_path / name), ["free entry", "hello"])
        found.append(verdicts)
    assert found[0] == found[1]


LINES = [
    b"Free entry, text WIN to 80086 now",
    b"",
    "\U0001f600\U0001f600".encode(),
    b"x" * 10_000,
    b"caf\xe9 at five",
    b"\x00\x01",
    b"see you at five\r",
]


def test_predict_survives_any_line(trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Input(b"\n".join(LINES)))
    main(["classify", "predict", "--classifier", str(trained), "--device", "cpu"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["line"] for one in found] == list(range(1, 8))
    wrong = {one["line"]: one["error"] for one in found if "error" in one}
    assert wrong.keys() == {2, 5}
    assert "the text is empty" in wrong[2] and "byte 0xe9 at offset 3" in wrong[5]
    made = load_classifier(trained)
    (verdict,) = classify(made, ["see you at five"])
    assert found[-1]["label"] == verdict.label
    assert found[-1]["probability"] == pytest.approx(verdict.probability, abs=1e-6)


def test_predict_answers_before_the_input_ends(trained, tmp_path):
    import os

    from llmbook_utils.runs import classifier

    read, write = os.pipe()
    with os.fdopen(write, "wb", buffering=0) as pipe:
        path = f"/dev/fd/{read}"
        pipe.write(b"hello\n")
        verdicts = classifier.predict(path, str(trained), "cpu")
        # the pipe is still open: a reader that waits for its end would never come back
        assert json.loads(next(verdicts))["line"] == 1
        pipe.write(b"again\n")
        assert json.loads(next(verdicts))["line"] == 2
        verdicts.close()
    os.close(read)


def test_predict_reads_a_file(trained, tmp_path, capsys):
    (tmp_path / "texts").write_text("hello\nfree entry\n", "utf-8")
    options = ["--classifier", str(trained), "--device", "cpu"]
    main(["classify", "predict", str(tmp_path / "texts"), *options])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_labeled_messages_come_from_standard_input(trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Input(b"no\thello\nyes\tfree entry\n"))
    main(["classify", "evaluate", "-", "--classifier", str(trained)])
    assert capsys.readouterr().out.startswith("2 messages:")


def refusal(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    said = capsys.readouterr()
    assert end.value.code == 1 and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no\ta\nno\tb\n", "llmbook classify train: "),
        (b"no\ta\nno\tb\n", "all of them 'no' and none 'yes'"),
        (b"ham\ta\nspam\tb\n", "has the label 'ham'; expected one of 'no' and 'yes'"),
        (b"no a\n", "line 1 has no tab"),
        (b"no\t\n", "but no text"),
        (b"no\t\xe9\n", "line 1 is not UTF-8"),
        (b"no\tsame\nyes\tsame\n", "give more messages"),
    ],
)
def test_what_cannot_be_learned_from_is_a_line(content, words, model, tmp_path, capsys):
    path = tmp_path / "own.tsv"
    path.write_bytes(content)
    out = tmp_path / "out"
    options = ["--labels", "no", "yes", "--model", model, "--out", out]
    assert words in refusal(["classify", "train", path, *options], capsys)
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", 0], "both must be above 0"),
        (["--lr", "nan"], "both must be above 0"),
        (["--max-length", 49], "max-length is 49"),
        (["--labels", "no", "no"], "two different names"),
    ],
)
def test_settings_that_make_no_run_are_a_line(
    options, words, file, model, tmp_path, capsys
):
    given = ["--labels", "no", "yes", "--model", model, "--out", tmp_path / "out"]
    assert words in refusal(["classify", "train", file, *given, *options], capsys)


def test_a_language_model_is_no_classifier(model, file, capsys):
    arguments = ["classify", "evaluate", file, "--classifier", model]
    assert "has no labels" in refusal(arguments, capsys)
