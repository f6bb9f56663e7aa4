"""Exercises that have passed are noted in a file, whose faults never cost a verdict."""

import json
from pathlib import Path

import pytest

from llmbook_utils import cli
from llmbook_utils.exercises import check
from llmbook_utils.files.progress import note_passed, progress_file, read_progress

RIGHT = {"A.5": [1, -4], "5.1": [1.386, 4, 0.8]}


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "folder" / "mine.json"
    monkeypatch.setenv("LLMBOOK_PROGRESS", str(path))
    return path


def test_what_passes_is_noted_and_what_does_not_is_not(noted: Path) -> None:
    assert not check("A.5", [1, 4])
    assert not noted.exists()
    for number, answer in RIGHT.items():
        assert check(number, answer)
    assert [*read_progress(noted)] == [*RIGHT]
    assert [path.name for path in noted.parent.glob("*.part")] == []


def test_the_first_time_counts(noted: Path) -> None:
    noted.parent.mkdir()
    noted.write_text('{"version": 1, "exercises": {"A.5": "2020-01-01"}}')
    assert check("A.5", RIGHT["A.5"])
    assert read_progress(noted) == {"A.5": "2020-01-01"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2}', '{"version": 1}', "half a fi"]
)
def test_another_file_stays_as_it_is(noted: Path, text: str) -> None:
    noted.parent.mkdir()
    noted.write_text(text)
    assert check("A.5", RIGHT["A.5"])
    assert noted.read_text() == text
    with pytest.raises(ValueError, match="no record of passed exercises"):
        read_progress(noted)


def test_a_folder_that_cannot_be_made_is_no_fault_of_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLMBOOK_PROGRESS", str(tmp_path / "file" / "mine.json"))
    assert check("A.5", RIGHT["A.5"])


@pytest.mark.parametrize("word", ["off", "OFF", "0", "no", "false"])
def test_it_can_be_switched_off(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMBOOK_PROGRESS", word)
    assert progress_file() is None
    note_passed("A.5")


def test_without_a_word_the_file_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMBOOK_PROGRESS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    path = progress_file()
    assert path is not None and path.name == "progress.json"
    assert "llmbook" in path.parts


def test_the_command_shows_it(noted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note_passed("A.5")
    cli.main(["progress"])
    lines = capsys.readouterr().out.splitlines()
    assert "Appendix A   1 of  8  A.5" in lines
    assert "Chapter 2    0 of 10" in lines
    assert lines[-1] == f"Noted in {noted}"


def test_the_command_names_a_damaged_file(
    noted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noted.parent.mkdir()
    noted.write_text("[]")
    with pytest.raises(SystemExit) as end:
        cli.main(["progress"])
    assert end.value.code == 1
    assert f"{noted} is no record" in capsys.readouterr().err


def test_the_command_says_that_nothing_is_noted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.main(["progress"])
    assert "LLMBOOK_PROGRESS is off" in capsys.readouterr().out


def test_the_file_is_one_that_the_site_reads(noted: Path) -> None:
    note_passed("A.5")
    record = json.loads(noted.read_text())
    assert record["version"] == 1 and [*record["exercises"]] == ["A.5"]
