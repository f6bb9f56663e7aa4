"""Runs are checked before, recorded whatever ends them, and not repeated."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import nbformat
import pytest
from filelock import FileLock
from tiny_notebooks import RUNS, place, write_repository  # noqa: F401

from llmbook_utils.cli import main
from llmbook_utils.runs import record, runner
from llmbook_utils.runs.record import read_record, read_records
from llmbook_utils.runs.runner import Place, run

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


def text_of(path):
    """What the cells of an executed notebook have printed."""
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.get("text", "") for c in cells for o in c.get("outputs", []))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A repository in which the runs of `tiny`, full and smoke, have been recorded."""
    here = write_repository(tmp_path_factory.mktemp("finished") / "book")
    said = [*run(here, ["tiny"]), *run(here, ["tiny"], smoke=True)]
    return here, said


def copy(finished, tmp_path):
    """The same repository, for a test that changes it."""
    shutil.copytree(finished[0].root, tmp_path / "copy")
    return Place.of(str(tmp_path / "copy"), None)


def test_a_run_is_recorded_with_its_circumstances(finished):
    here, said = finished
    assert [line.rpartition(" in ")[0] for line in said] == [
        "tiny: done",
        "tiny-smoke: done",
    ]
    full = next(r for r in read_records(here.results) if not r["smoke"])
    assert full["values"] == {"last": 1 / 3, "rate": 1.0}
    assert full["parameters"] == {"lr": 1.0, "sizes": [4]}
    assert full["status"] == "done" and full["error"] is None
    assert full["machine"]["cores"] == os.cpu_count()
    assert full["kernel"]["device"] == "cpu" and full["kernel"]["memory"] > 0.1
    assert full["versions"]["torch"] and full["seconds"] > 0
    assert full["notebook"]["cells"] == full["notebook"]["begun"] == 6
    smoke = next(r for r in read_records(here.results) if r["smoke"])
    assert smoke["values"] == {"last": 1.0, "rate": 1.0}


def test_the_executed_notebook_is_kept(finished):
    path = finished[0].work / "tiny/executed.ipynb"
    assert "'rate': 1.0" in text_of(path)
    assert not path.with_name("running.ipynb").exists()


def test_what_a_finished_run_continued_from_is_kept_and_not_continued(finished):
    folder = finished[0].work / "tiny"
    assert (folder / "finished/checkpoint").exists()
    assert not (folder / "working").exists()


def test_what_is_recorded_is_not_repeated(finished):
    here, _ = finished
    (said,) = run(here, ["tiny"])
    assert said.startswith("tiny: recorded on 20")
    assert len(read_records(here.results)) == 2


@pytest.mark.parametrize("change", ["code", "parameters", "record", "machine"])
def test_what_is_not_recorded_runs(finished, tmp_path, monkeypatch, change):
    here = copy(finished, tmp_path)
    began = []
    monkeypatch.setattr(runner, "run_one", lambda place, one, where: began.append(one))
    monkeypatch.setattr(runner, "told", lambda record: "")
    if change == "code":
        notebook = nbformat.read(here.root / "tiny.ipynb", as_version=4)
        notebook.cells[-1].source += "\n"
        nbformat.write(notebook, here.root / "tiny.ipynb")
    if change == "record":
        for path in here.results.glob("run-tiny-2*.json"):
            path.unlink()
    if change == "machine":
        other = runner.machine() | {"gpu": "NVIDIA H200"}
        monkeypatch.setattr(runner, "machine", lambda: other)
    given = {"lr": "0.25"} if change == "parameters" else {}
    with pytest.raises(TypeError):  # nothing was recorded by the stand-in
        list(run(here, ["tiny"], given=given))
    assert len(began) == 1


@pytest.mark.parametrize(
    ("how", "status", "says"),
    [
        ("killed", "killed", "the kernel died"),
        ("memory", "out of memory", "MemoryError: no room"),
        ("network", "network gone", "ConnectionError: no hub"),
        ("assertion", "failed", "AssertionError: seven expected"),
    ],
)
def test_a_run_that_dies_is_recorded_and_its_notebook_kept(place, how, status, says):
    with pytest.raises(ValueError, match=r"1 of 1 did not finish: tiny.*continues"):
        list(run(place, ["tiny"], given={"how": how}))
    (found,) = read_records(place.results)
    assert found["status"] == status and says in found["error"]
    assert found["values"] == {} and found["kernel"] is None
    assert found["notebook"]["begun"] == 4 < found["notebook"]["cells"]
    kept = text_of(place.work / "tiny/executed.ipynb")
    # what a kernel prints just before it is killed may not have left it
    assert how == "killed" or "before the end" in kept
    assert (place.work / "tiny/working/checkpoint").exists()  # the next run's start


def test_the_next_call_continues_with_what_is_missing(place, monkeypatch):
    began = []

    def second_dies(notebook, draft, *, parameters, **options):
        began.append(parameters["steps"])
        nbformat.write(notebook, draft)
        if began == [1, 2]:
            raise MemoryError("no room")

    monkeypatch.setattr(runner, "execute", second_dies)
    with pytest.raises(ValueError, match="1 of 3 did not finish: seeds-2"):
        list(run(place, ["seeds"]))
    said = [line.split(" on ")[0].split(" in ")[0] for line in run(place, ["seeds"])]
    assert began == [1, 2, 3, 2]
    assert said == ["seeds-1: recorded", "seeds-2: done", "seeds-3: recorded"]


def test_a_run_that_takes_too_long_is_stopped_and_recorded(place):
    slow = RUNS.replace("minutes = 5", "minutes = 0.1")
    (place.root / "profiles/runs.toml").write_text(slow)
    with pytest.raises(ValueError, match="did not finish: tiny"):
        list(run(place, ["tiny"], given={"how": "slow"}))
    (found,) = read_records(place.results)
    assert found["status"] == "timed out"
    assert found["error"] == "it was stopped after 0.1 minutes"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_keeps_what_its_cell_has_printed(place, sign):
    command = [sys.executable, "-m", "llmbook_utils", "runs", "run", "tiny"]
    command += ["-p", "how", "slow", "--root", str(place.root)]
    # a test that runs in the background has inherited that Ctrl-C is ignored
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (place.root / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(sign)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130, said
    assert "tiny was stopped; it is recorded" in said
    (found,) = read_records(place.results)
    assert found["status"] == "stopped" and found["notebook"]["begun"] == 4
    assert "before the end" in text_of(place.work / "tiny/executed.ipynb")


@pytest.mark.parametrize(
    ("names", "given", "says"),
    [
        (["tidy"], {}, "there is no run 'tidy'; there are tiny, seeds, large, and all"),
        (["seeds", "tiny"], {"step": "3"}, "has no parameter 'step'; it has steps, lr"),
        (["tiny"], {"lr": "fast"}, "tiny: lr is 'fast', which is text; it must be a n"),
        (["tiny", "large"], {}, "large needs a GPU.*--anyway"),
    ],
)
def test_a_mistake_is_refused_before_anything_runs(place, names, given, says):
    with pytest.raises(ValueError, match=says):
        list(run(place, names, given=given))
    assert not place.work.exists() and not place.results.exists()


def test_the_text_that_yaml_makes_of_1e_3_is_refused(place):
    (place.root / "profiles/p.yaml").write_text("lr: 1e-3\n")
    path = place.root / "profiles/runs.toml"
    path.write_text(
        RUNS.replace(
            "parameters = { lr = 1, sizes", 'file = "p.yaml"\nparameters = { sizes'
        )
    )
    with pytest.raises(ValueError, match=r"lr is '1e-3', which is text.*write 1.0e-3"):
        list(run(place, ["tiny"]))


def test_two_at_once_are_refused(place):
    place.work.mkdir()
    with (
        FileLock(place.work / "lock"),
        pytest.raises(ValueError, match="another llmbook runs is at work"),
    ):
        list(run(place, ["tiny"]))
    assert not place.results.exists()


def test_the_lock_is_given_back_at_once(tmp_path):
    holders = []
    for _ in range(2):  # the first one is kept, and not collected as garbage
        holders.append(runner.alone(tmp_path))
        with holders[-1]:
            assert (tmp_path / "lock").exists()


def test_a_record_that_was_edited_is_refused_before_anything_runs(finished, tmp_path):
    here = copy(finished, tmp_path)
    (path,) = here.results.glob("run-tiny-2*.json")
    path.write_text(path.read_text().replace('"last": 0.3', '"last": 0.4'))
    with pytest.raises(ValueError, match="was changed after it was written"):
        list(run(here, ["seeds"]))
    assert len([*here.results.iterdir()]) == 2


def test_a_full_disk_ends_a_run_without_half_a_file(place, monkeypatch):
    def full(notebook, draft, **options):
        draft.write_text('{"cells": [')
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runner, "execute", full)
    with pytest.raises(ValueError, match="did not finish"):
        list(run(place, ["tiny"]))
    (found,) = read_records(place.results)
    assert found["status"] == "disk full" and found["notebook"]["kept"] is None
    assert not [*(place.work / "tiny").iterdir()]
    monkeypatch.setattr(record.os, "fsync", lambda _: full(None, place.work / "x"))
    with pytest.raises(OSError, match="No space"):
        list(run(place, ["tiny"]))
    assert len([*place.results.iterdir()]) == 1


def test_all_leaves_out_what_the_machine_is_too_small_for(place, monkeypatch):
    monkeypatch.setattr(
        runner, "run_one", lambda place, one, where: {"status": "done", "seconds": 1}
    )
    said = list(run(place, ["all"]))
    assert said[-1].startswith("large: left out, it needs ")
    assert len(said) == 5
    assert list(run(place, ["large"], anyway=True)) == ["large: done in 0.0 minutes"]


def test_what_needs_the_network_says_so_offline(place, monkeypatch):
    monkeypatch.setenv("LLMBOOK_OFFLINE", "1")
    path = place.root / "profiles/runs.toml"
    path.write_text(RUNS.replace("minutes = 5", "network = true"))
    with pytest.raises(ValueError, match="tiny downloads something"):
        list(run(place, ["tiny"]))


def test_an_executed_notebook_is_copied_to_where_it_is_wanted(finished, tmp_path):
    here = copy(finished, tmp_path)
    job = here.runs()["tiny"]
    (one,) = runner.jobs_of(job, smoke=False, given={})
    other = Place(here.root, here.results, here.work, str(tmp_path / "out"))
    draft = here.work / "tiny/running.ipynb"
    shutil.copy(here.work / "tiny/executed.ipynb", draft)
    runner.keep(other, one, draft, draft.with_name("executed.ipynb"))
    assert "'rate'" in text_of(tmp_path / "out/tiny.ipynb")
    cloud = Place(here.root, here.results, here.work, "s3://bucket/runs/")
    assert runner.copy_of(cloud, one) == "s3://bucket/runs/tiny.ipynb"


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no profiles/runs.toml.*--root"):
        Place.of(str(tmp_path), None)


def test_the_command_says_how_it_went_and_fails_in_a_line(finished, tmp_path, capsys):
    here = copy(finished, tmp_path)
    main(["runs", "run", "tiny", "--root", str(here.root)])
    assert "tiny: recorded on" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        main(["runs", "run", "tiny", "-p", "step", "3", "--root", str(here.root)])
    assert "llmbook runs run: tiny: tiny.ipynb has no parameter 'step'" in (
        capsys.readouterr().err
    )


def test_help_waits_neither_for_pytorch_nor_for_papermill():
    code = (
        "import sys; from llmbook_utils.cli import create_parser; create_parser()\n"
        "sys.exit(bool({'torch', 'papermill', 'nbformat'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_record_reads_as_it_was_sealed(finished):
    for path in finished[0].results.iterdir():
        assert read_record(path)["run"] == "tiny"
