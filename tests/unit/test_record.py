"""A record is written whole or not at all, and shows when it was changed."""

import errno
import json
import os

import pytest

from llmbook_utils.runs import record
from llmbook_utils.runs.record import (
    checksum,
    energy_used,
    machine,
    read_record,
    read_records,
    version_of,
    write_record,
)

RECORD = {
    "job": "tiny",
    "started": "2026-11-28T21:45:00Z",
    "values": {"loss": 0.1 + 0.2},
}


def test_what_is_written_is_read_again(tmp_path):
    path = write_record(RECORD, tmp_path / "new")
    assert path.name == "run-tiny-20261128-214500.json"
    found = read_record(path)
    assert found == RECORD | {"sha256": checksum(RECORD)}
    assert read_records(tmp_path / "new") == [found]
    assert [*path.parent.iterdir()] == [path]


def test_records_come_in_the_order_of_their_time(tmp_path):
    for day in (3, 1, 2):
        write_record(RECORD | {"started": f"2026-11-0{day}T00:00:00Z"}, tmp_path)
    (tmp_path / "mini.json").write_text("{}")  # another result, which is no run's
    assert [r["started"][9] for r in read_records(tmp_path)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("0.30000000000000004", "0.25"),
        lambda text: text.replace("tiny", "tidy"),
        lambda text: json.dumps(json.loads(text) | {"note": "mine"}),
    ],
)
def test_a_record_that_was_edited_by_hand_is_refused(tmp_path, change):
    path = write_record(RECORD, tmp_path)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=r"changed after it was written.*run it again"):
        read_record(path)
    with pytest.raises(ValueError, match="changed after it was written"):
        read_records(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"sha256"'])
def test_what_is_no_record_is_refused(tmp_path, text):
    path = tmp_path / "run-tiny.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"is no record of a run.*version control"):
        read_record(path)


def test_another_layout_of_the_same_record_is_no_change(tmp_path):
    path = write_record(RECORD, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert read_record(path)["job"] == "tiny"


def test_a_number_that_is_none_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        write_record(RECORD | {"seconds": float("nan")}, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_disk_that_says_so_late_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_record(RECORD, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_the_machine_is_described():
    found = machine()
    assert found["processor"] and found["cores"] == os.cpu_count()
    assert found["memory"] > 0.5


def test_a_gpu_is_what_its_driver_says(monkeypatch):
    said = "NVIDIA H200, 570.86.15, 143771\nNVIDIA H200, 570.86.15, 143771"
    monkeypatch.setattr(
        record, "said_by", lambda *command, **_: said if "smi" in command[0] else None
    )
    found = machine()
    assert (found["gpu"], found["driver"]) == ("NVIDIA H200", "570.86.15")
    assert found["gpu_memory"] == 150.8


def test_energy_is_the_difference_or_unknown(monkeypatch):
    counter = iter([1000.4, 1500.2])
    monkeypatch.setattr(record, "energy", lambda: next(counter))
    with energy_used() as used:
        assert used["joules"] is None
    assert used["joules"] == 500
    monkeypatch.setattr(record, "energy", lambda: None)
    with energy_used() as used:
        pass
    assert used["joules"] is None


def test_the_commit_is_known_where_there_is_one(tmp_path):
    assert version_of(tmp_path) == {"commit": None, "changed": None}


def test_a_command_that_is_missing_or_fails_says_nothing():
    assert record.said_by("no-such-command") is None
    assert record.said_by("false") is None
