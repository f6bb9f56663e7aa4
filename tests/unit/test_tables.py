"""The page of results shows what was recorded, and says what was not."""

import re

import pytest

from llmbook_utils.runs import tables
from llmbook_utils.runs.profiles import read_runs
from llmbook_utils.runs.tables import overview, results_table

WHERE = {"gpu": "NVIDIA H200", "processor": "x", "memory": 8.0, "gpu_memory": 141.0}
RUNS = """
[tiny]
title = "A run <of> a `second`"
notebook = "tiny.ipynb"
parameters = { lr = 1.0 }

[tiny.values]
last = { at = "a.b", band = [0.3, 0.4], smoke = [0.9, 1.1], published = 0.35 }

[old]
title = "A run that was recorded by hand"
notebook = "tiny.ipynb"
root = "large"
earlier = "gpt2-small-story gpt2-small-story-seed-1"

[old.values]
after = { at = "large.after.training", band = [0.2, 0.9] }
other = { at = "small.loss" }
"""


@pytest.fixture
def runs(tmp_path, monkeypatch):
    path = tmp_path / "runs.toml"
    path.write_text(RUNS)
    monkeypatch.setattr(tables, "all_runs", lambda: read_runs(path))


def made(day=1, value=0.35, **changes):
    return {
        "run": "tiny",
        "job": "tiny",
        "smoke": False,
        "status": "done",
        "error": None,
        "parameters": {"lr": 1.0},
        "notebook": {"kept": "https://example.com/x.ipynb?a&b"},
        "machine": WHERE,
        "kernel": {"device_memory": 2.5, "memory": 1.0},
        "started": f"2026-11-{day:02}T10:00:00Z",
        "seconds": 90.0,
        "values": {"last": value},
    } | changes


def words(table):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", table.html)).strip()


@pytest.mark.usefixtures("runs")
def test_what_was_never_run_is_said_to_be():
    assert words(results_table("tiny", records=[])) == "tiny not yet run"
    said = words(overview([]))
    assert "tiny A run &lt;of&gt; a second not yet run not yet run" in said
    smoke = results_table("tiny", smoke=True, records=[made()])
    assert words(smoke) == "tiny not yet run"


@pytest.mark.usefixtures("runs")
def test_a_value_stands_beside_its_band_its_machine_and_what_was_published():
    table = results_table("tiny", records=[made()])
    said = words(table)
    assert "tiny : NVIDIA H200, 2026-11-01, 1.5 minutes, 2.5 GB" in said
    assert "last 0.35 0.3 to 0.4 0.35" in said and "outside" not in said
    assert 'href="https://example.com/x.ipynb?a&amp;b"' in table.html
    slow = made(kernel={"device": "cpu", "cpu_seconds": 30.0, "memory": 1.0})
    said = words(results_table("tiny", records=[slow]))
    assert "1.5 minutes, 0.5 of them calculating, 1 GB" in said


@pytest.mark.usefixtures("runs")
def test_outside_the_band_is_said_in_words():
    assert "0.3 to 0.4: outside" in words(results_table("tiny", records=[made(1, 7)]))
    other = made(1, 7, parameters={"lr": 2.0})
    assert "outside" not in words(results_table("tiny", records=[other]))


@pytest.mark.usefixtures("runs")
def test_all_records_of_a_value_are_drawn_the_oldest_first():
    table = results_table("tiny", records=[made(1, 0.31), made(2, 0.39), made(3, 0.32)])
    (svg,) = re.findall(r"<svg.*?</svg>", table.html)
    assert "last, the oldest first: 0.31, 0.39, 0.32; band 0.3 to 0.4" in svg
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
    assert heights[1] < heights[2] < heights[0]  # above is more
    filled = [i for i, c in enumerate(re.findall(r"<circle.*?/>", svg)) if "#" in c]
    assert filled == [2]
    assert results_table("tiny", records=[made(1, "nan")]).html.count("<svg") == 0


@pytest.mark.usefixtures("runs")
def test_a_run_that_died_has_no_values():
    dead = made(2, None, status="killed", error="<gone>", values={})
    said = words(results_table("tiny", records=[made(), dead]))
    assert "killed: &lt;gone&gt;" in said and "missing" not in said
    assert "(killed)" in words(overview([dead]))


@pytest.mark.usefixtures("runs")
def test_results_from_before_are_shown_beside_records():
    said = words(results_table("old", records=[]))
    assert "gpt2-small-story : cpu, 2 threads, x86_64, 2026-11-23" in said
    assert "after 0.4587" in said and "other missing" in said
    assert "cpu, 2 threads, x86_64, 2026-11-23; not yet on a GPU not yet run" in words(
        overview([])
    )
    assert "H200, 2026-11-01 not yet run" in words(overview([made()]))


def test_an_unknown_run_is_named():
    with pytest.raises(ValueError, match="there is no run 'tidy'; there are gpt2-"):
        results_table("tidy")
