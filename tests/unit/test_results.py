"""Recorded runs can be read, in a clone and from an installed package."""

import json
import platform
import subprocess
import sys
import zipfile

import pytest
import torch
from book import ROOT, read

from llmbook_utils.runs import results
from llmbook_utils.runs.results import (
    load_result,
    open_result,
    parts_of,
    results_like,
    versions,
    write_result,
)


def test_each_file_reads():
    names = [path.stem for path in (ROOT / "results").glob("*.json")]
    assert names
    assert all(isinstance(load_result(name), dict) for name in names)


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(FileNotFoundError, match=r"no result 'maxi'.*'mini'"):
        load_result("maxi")


def test_an_installed_package_has_them_in_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "some.json").write_text('{"steps": 3}')
    monkeypatch.setattr(results, "FOLDERS", (tmp_path / "none", tmp_path))
    assert load_result("some") == {"steps": 3}


def test_results_are_found_by_a_pattern(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDERS", (tmp_path / "none", tmp_path))
    assert results_like("gpt2*") == {}
    for name in ("gpt2-xl-writes", "gpt2-writes", "mini"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"model": name}))
    assert list(results_like("gpt2*-writes")) == ["gpt2-writes", "gpt2-xl-writes"]
    assert results_like("mini") == {"mini": {"model": "mini"}}


WRITES = {
    "model": "gpt2",
    "losses": {"training": 3.456, "validation": 3.333},
    "bits_per_byte": 1.234,
    "continuations": [
        {"prompt": p, "text": p.upper()} for p in ("one", "two", "three")
    ],
}


@pytest.mark.parametrize("recorded", [True, False])
def test_section_5_5_shows_what_gpt2_wrote_or_says_that_nothing_is_recorded(
    recorded, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(results, "FOLDERS", (tmp_path,))
    if recorded:
        (tmp_path / "gpt2-writes.json").write_text(json.dumps(WRITES))
    path = "chapters/05c-model-weights.ipynb"
    (cell,) = (c for c in read(ROOT / path, path).code if c["id"] == "c5-recorded")
    exec(cell["source"], {"results_like": results_like})
    said = capsys.readouterr().out
    if recorded:
        assert "gpt2 on the story: 3.46 and 3.33 nats per token, 1.23 bits" in said
        assert "'one' -> 'ONE'" in said and "'TWO'" in said and "THREE" not in said
    assert ("no run of GPT-2 has been recorded yet" in said) is not recorded


def test_section_5_5_writes_what_it_shows():
    path = "chapters/05c-model-weights.ipynb"
    (cell,) = (c for c in read(ROOT / path, path).code if c["id"] == "c5-record")
    written = "".join(output.get("text", "") for output in cell["outputs"])
    assert all(repr(key) in written for key in WRITES)


@pytest.mark.slow
def test_a_wheel_holds_what_the_pages_need(tmp_path):
    command = ["pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w"]
    source = tmp_path / "source"
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "llmbook_utils",
            "profiles",
            "results",
            "pyproject.toml",
            "README.md",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in listed:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", *command, tmp_path / "out", source], check=True
    )
    (wheel,) = (tmp_path / "out").glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in listed if name.startswith("llmbook_utils/")}
    assert package <= inside
    records = [name for name in listed if name.startswith("results/")]
    wanted = {
        name.replace("results/", "llmbook_utils/recorded/")
        for name in records
        if name.endswith(".json")
    }
    assert wanted and wanted <= inside
    assert "llmbook_utils/described/runs.toml" in inside


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (7, TypeError, "record is int; expected the name .* that tools/x.py wrote"),
        ("nowhere.json", FileNotFoundError, r"no file nowhere\.json"),
        ("maxi", FileNotFoundError, "no result 'maxi'"),
    ],
)
def test_what_cannot_be_opened_is_refused(given, error, says):
    with pytest.raises(error, match=says):
        open_result(given, "tools/x.py")


def test_a_result_is_opened_by_name_by_path_or_as_it_is(tmp_path):
    path = tmp_path / "some.json"
    path.write_text('{"steps": 3}')
    assert open_result("mini", "x")[0] == "mini"
    assert open_result(path, "x") == open_result(str(path), "x")
    assert open_result(path, "x") == ("some", {"steps": 3})
    assert open_result({"steps": 3}, "x") == ("your model", {"steps": 3})
    path.write_text("{")
    with pytest.raises(ValueError, match="is not a record: it does not hold JSON"):
        open_result(path, "x")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([1], "the run is list; expected a mapping"),
        ({"loss": 4.5}, "the run lacks 'step'; expected what tools/x.py writes"),
        ({"step": "three"}, "'step' in the run is str"),
    ],
)
def test_parts_that_are_missing_or_of_another_type_are_named(found, says):
    with pytest.raises(ValueError, match=says):
        parts_of(found, {"step": int}, "the run", "tools/x.py")


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (ROOT / "results").glob("gpt2-small-*.json"))
)
def test_the_published_experiment_begins_and_ends_where_it_should(name):
    run = load_result(name)
    assert (run["parameter_count"], run["steps"]) == (162_419_712, 90)
    assert all(10.9 < loss < 11.05 for loss in run["before"].values())
    assert run["after"]["training"] < 0.8 < 5 < run["best"]["loss"]
    assert run["best"]["loss"] == min(loss for _, loss in run["validation"])
    assert run["after"]["validation"] > run["best"]["loss"]


def test_versions_are_those_of_this_run():
    assert versions()["python"] == platform.python_version()
    assert torch.__version__.startswith(versions()["torch"])
    assert "+" not in versions()["torch"]


def test_a_result_is_written_with_a_line_for_each_innermost_part(tmp_path):
    record = {"name": "two  spaces\nand a line", "runs": [{"seed": 0, "loss": [1, 2]}]}
    path = tmp_path / "new" / "record.json"
    write_result(record, path)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == record
    assert "[ 1, 2 ]" in text and text.endswith("\n")
    assert [*path.parent.iterdir()] == [path]


def test_a_result_that_json_cannot_hold_leaves_the_old_one(tmp_path):
    path = tmp_path / "record.json"
    write_result({"loss": 1}, path)
    with pytest.raises(TypeError):
        write_result({"loss": {1, 2}}, path)
    assert json.loads(path.read_text()) == {"loss": 1}
