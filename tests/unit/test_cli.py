"""Pretraining as a command: options, messages, help."""

import json
import re
from dataclasses import replace

import pytest
from recipes import TINY, write_recipe

from llmbook_utils.cli import main

pytestmark = pytest.mark.usefixtures("one_thread")


# the command


def test_the_command_prepares_and_trains(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("The lamp is lit, the tide is out. " * 60, "utf-8")
    (tmp_path / "words").write_text("never\n", "utf-8")
    arguments = ["prepare", texts, "--out", tmp_path / "tokens", "--vocab-size", "270"]
    arguments += ["--leave-out", tmp_path / "words", "--processes", "1"]
    main([*map(str, arguments)])
    assert re.search(
        r"train-0000\.bin: 1 texts, [\d,]+ tokens", capsys.readouterr().out
    )
    recipe = write_recipe(
        tmp_path / "r.toml", model=replace(TINY, vocab_size=270), steps=2, accumulate=1
    )
    arguments = [
        "train",
        tmp_path / "tokens",
        "--recipe",
        recipe,
        "--out",
        tmp_path / "run",
    ]
    main([*map(str, arguments), "--steps", "3", "--seed", "7"])
    assert re.search(r"step 3: loss \d\.\d+, validation \d", capsys.readouterr().out)
    settled = json.loads((tmp_path / "run/recipe.json").read_text("utf-8"))
    assert (settled["steps"], settled["seed"]) == (3, 7)


def test_a_mistake_is_a_line_and_no_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit, match="1"):
        main(["prepare", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    assert capsys.readouterr().err.endswith("neither a folder nor a manifest\n")


@pytest.mark.parametrize("command", [[], ["prepare"], ["train"]])
def test_help_reads_well(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m llmbook_utils.pretrain")
    assert max(map(len, text.splitlines())) <= 80
