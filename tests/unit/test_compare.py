"""Recorded values stand beside their bands, and one outside ends with exit code 1."""

import math

import pytest
from tiny_notebooks import RUNS, place  # noqa: F401

from llmbook_utils.cli import main
from llmbook_utils.runs.compare import compare, is_inside, listed, number
from llmbook_utils.runs.record import write_record

WHERE = {"gpu": None, "processor": "a processor", "memory": 8.0, "gpu_memory": None}


def made(day, place, **changes):
    """Write a record as the runner does."""
    record = {
        "run": "tiny",
        "job": "tiny",
        "smoke": False,
        "status": "done",
        "error": None,
        "parameters": {"lr": 1.0, "sizes": [4]},
        "notebook": {"cells": 6, "begun": 6, "path": "tiny.ipynb"},
        "machine": WHERE,
        "started": f"2026-11-{day:02}T10:00:00Z",
        "seconds": 90.0,
        "values": {"last": 0.35, "rate": 1.0},
    }
    write_record(record | changes, place.results)


def lines(place, *names):
    said = []
    try:
        said += compare(place, names)
    except ValueError as error:
        return said, str(error)
    return said, None


def test_a_value_stands_beside_its_band_the_published_one_and_earlier_ones(place):
    made(1, place, values={"last": 0.39, "rate": 1.0})
    made(2, place)
    said, failed = [*compare(place, [])], None
    assert failed is None
    assert said == [
        "tiny: done in 1.5 minutes, 2026-11-02",
        "    last: 0.35; in 0.3 to 0.4; published 0.35; before: 0.39",
        "    rate: 1 a step; before: 1",
    ]


@pytest.mark.parametrize("value", [0.29, 0.41, "nan", None, True, math.inf])
def test_outside_the_band_the_exit_code_is_1(place, value, capsys):
    if value is math.inf:
        value = "inf"
    made(1, place, values={"last": value, "rate": 1.0})
    with pytest.raises(SystemExit, match="1"):
        main(["runs", "compare", "--root", str(place.root)])
    said = capsys.readouterr()
    assert "OUTSIDE 0.3 to 0.4" in said.out
    assert "outside the bands, or not finished: tiny, last" in said.err


def test_the_last_record_of_each_machine_counts(place):
    made(1, place, values={"last": 0.1, "rate": 1.0})
    made(2, place)
    assert lines(place)[1] is None
    made(3, place, machine=WHERE | {"gpu": "H200"}, values={"last": 0.1, "rate": 1.0})
    assert lines(place)[1].endswith("tiny, last")


def test_a_run_that_died_is_not_inside(place):
    made(1, place)
    made(2, place, status="killed", error="the kernel died", values={})
    said, failed = lines(place, "tiny")
    assert "killed after 1.5 minutes, in cell 6 of 6: the kernel died" in said[0]
    assert failed.endswith("not finished: tiny")


def test_other_parameters_are_not_held_to_the_bands(place):
    made(1, place, parameters={"lr": 2.0, "sizes": [4]}, values={"last": 9.0})
    said, failed = lines(place)
    assert "not held to the bands" in said[1] and "OUTSIDE" in said[2]
    assert failed is None


def test_a_smoke_run_has_its_own_band(place):
    made(1, place, smoke=True, job="tiny-smoke", values={"last": 1.0, "rate": 1.0},
         parameters={"lr": 1.0, "sizes": [4], "steps": 1})  # fmt: skip
    said, failed = lines(place)
    assert said[1] == "    last: 1; in 0.9 to 1.1" and failed is None


def test_nothing_is_said_to_be_nothing(place):
    assert lines(place) == (["nothing is recorded yet"], None)
    assert [*listed(place)][:4] == [
        "tiny: A run of a second",
        "    needs 4 GB, up to 5 minutes",
        "    not yet run",
        "    smoke: not yet run",
    ]


def test_the_list_says_what_is_recorded_where(place):
    made(2, place)
    made(3, place, smoke=True, status="killed", error="x")
    said = [*listed(place)]
    assert said[2:4] == [
        "    done on 2026-11-02, a processor",
        "    smoke: killed on 2026-11-03",
    ]
    assert "a GPU" in said[-3]


@pytest.mark.parametrize(
    ("value", "inside"), [(2, True), (3.0, True), (1.9, False), ("2.5", False)]
)
def test_ends_belong_to_a_band(value, inside):
    assert is_inside(value, (2, 3)) is inside


def test_numbers_are_short():
    assert [number(n) for n in (0.50957, 12345.6, 27579392, "nan", None, True)] == [
        "0.5096", "12,346", "27,579,392", "nan", "missing", "True"
    ]  # fmt: skip


def test_an_unknown_run_is_named(place):
    assert "there is no run 'tidy'" in lines(place, "tidy")[1]
    assert RUNS
