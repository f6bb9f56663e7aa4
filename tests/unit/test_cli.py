"""The command `llmbook`: options, messages, exit codes, help, completion."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from recipes import TINY, write_recipe

from llmbook_utils.cli import COMMANDS, main

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


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_reads_well(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    text = capsys.readouterr().out
    assert text.startswith(" ".join(["usage: llmbook", *command]))
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["sing"], 2),
        (["write", "--tokens", "many"], 2),
        (["write", "a", "--top-k", "0"], 1),
        (["write", "a", "--model", "nowhere"], 1),
        (["train", "nowhere", "--recipe", "nowhere.toml", "--out", "out"], 1),
    ],
)
def test_the_exit_code_says_whose_mistake_it_was(arguments, code, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == code
    assert "Traceback" not in capsys.readouterr().err


def test_an_interruption_is_neither_success_nor_error(capsys, monkeypatch):
    def interrupted(given):
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "write", replace(COMMANDS["write"], run=interrupted))
    with pytest.raises(SystemExit) as end:
        main(["write", "a"])
    assert end.value.code == 130
    assert capsys.readouterr().err == "\nllmbook write: interrupted\n"


def test_a_reader_that_has_had_enough_gets_no_traceback():
    command = [sys.executable, "-m", "llmbook_utils", "completion", "bash"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.stdout.close()  # before anything is written
    assert run.stderr.read() == b""
    assert run.wait() == 1


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_and_options(capsys):
    main(["completion", "bash"])
    script = capsys.readouterr().out

    def completed(*words):
        listed = " ".join(["llmbook", *words])
        call = f"COMP_WORDS=({listed}); COMP_CWORD={len(words)}; _shtab_llmbook"
        run = subprocess.run(
            ["bash", "-c", f"{script}\n{call}; echo ${{COMPREPLY[@]}}"],
            capture_output=True,
            text=True,
        )
        return run.stdout.split()

    assert set(completed("")) >= set(COMMANDS)
    assert completed("write", "--te") == ["--temperature"]


def test_help_does_not_wait_for_pytorch():
    code = "import sys; import llmbook_utils.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_of_a_prompt_longer_than_the_context_the_end_is_read(capsys):
    """The command passes `keep_last`: mini reads 256 tokens, this has far more."""
    main(["write", "the sea " * 200, "--tokens", "2", "--temperature", "0"])
    out = capsys.readouterr().out
    assert out.startswith("the sea " * 200)
    assert len(out.rstrip("\n")) > len("the sea " * 200)
