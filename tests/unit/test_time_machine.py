"""The training time machine in Python: what it keeps of a record, its fallback, and what it refuses."""

import copy
import gzip
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from book import ROOT

from llmbook_utils.runs.results import load_result
from llmbook_utils.widgets import TrainingTimeMachine
from llmbook_utils.widgets.time_machine import training_loss

Record = dict[str, Any]


@pytest.fixture
def record() -> Record:
    return copy.deepcopy(load_result("mini"))


def test_all_that_is_shown_is_the_records(record: Record) -> None:
    kept = TrainingTimeMachine().record
    words = kept.pop("words")
    shown = kept["snapshots"][0].keys()
    whole = [{part: seen[part] for part in shown} for seen in record["snapshots"]]
    assert kept == {part: record[part] for part in kept} | {"snapshots": whole}
    assert words == [" king", " three", " said", " mother", " red", " sea"]
    steps = [snapshot["step"] for snapshot in kept["snapshots"]]
    assert steps == record["recipe"]["keep"]


def test_a_record_may_be_a_name_a_path_or_a_dict(
    record: Record, tmp_path: Path
) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    named = TrainingTimeMachine("mini", step=1000)
    made = [TrainingTimeMachine(given) for given in (record, path, str(path))]
    assert all(machine.record == named.record for machine in made)
    assert list(map(repr, [named, *made])) == [
        "TrainingTimeMachine('mini', step=1000)",
        "TrainingTimeMachine('your model', step=5000)",
        "TrainingTimeMachine('own', step=5000)",
        "TrainingTimeMachine('own', step=5000)",
    ]


def test_the_page_stays_small() -> None:
    machine = TrainingTimeMachine()
    assert len(gzip.compress(machine.to_html().encode())) < 12_000
    assert len(gzip.compress(machine.source().encode())) < 40_000


def test_the_fallback_has_a_row_a_step(record: Record) -> None:
    page = TrainingTimeMachine().fallback()
    body = page[page.index("<tbody>") :]
    cells = [re.findall("<t[hd].*?>(.*?)</t[hd]>", row) for row in body.split("</tr>")]
    rows = [[html.unescape(cell) for cell in row] for row in cells[:-1]]
    snapshots = record["snapshots"]
    assert [row[0] for row in rows] == [f"{s['step']:,}" for s in snapshots]
    assert [row[2] for row in rows] == [f"{s['bits_per_byte']:.2f}" for s in snapshots]
    starts = [s["sample"][:60].replace("\n", "⏎") for s in snapshots]
    assert [row[3] for row in rows] == starts
    assert rows[0][1] == "–"


def test_the_training_loss_is_the_logs_mean_around_the_step(record: Record) -> None:
    log = (ROOT / "results" / "mini.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in log]
    for step in (20, 1000, 5000):
        block = (step - 1) // 25 * 25
        mean = sum(losses[block : block + 25]) / 25
        found = training_loss(record["curve"]["training"], step)
        assert found == pytest.approx(mean, abs=2e-4)
    assert training_loss([[25, 7.8]], step=0) is None
    assert training_loss([[25, 7.8]], step=26) is None


def changed(path: str, value: Any) -> Callable[[Record], None]:
    """Put a value at a place like "curve.training" or "snapshots.0.step"."""

    def change(record: Record) -> None:
        *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        for key in way:
            record = record[key]
        record[last] = value

    return change


WRONG = [
    (lambda record: record.pop("curve"), "the record lacks 'curve'; expected what"),
    (
        lambda record: record["snapshots"][3].pop("greedy"),
        "snapshot 3 lacks 'greedy'",
    ),
    (changed("snapshots", []), "no snapshots"),
    (changed("snapshots.1.step", 0), r"the steps \[0, 0, 60.*expected rising"),
    (changed("snapshots.1.seconds", float("nan")), "snapshot 1 has .*nan.*finite"),
    (changed("snapshots.1.sample", 3), "'sample' in snapshot 1 is int"),
    (changed("snapshots.2", 3), "snapshot 2 is int; expected a mapping"),
    (changed("snapshots.2.neighbors", {}), "neighbors of the same words"),
    (changed("snapshots.2.neighbors. red", []), "neighbors of the same words"),
    (changed("snapshots.2.neighbors. red", [3]), "a neighbor of ' red' in .* has 3"),
    (changed("sentence", ["The"]), "has 14 rows; expected one for .* 1 token"),
    (changed("snapshots.0.attention.2", [1.0]), "row 2 .*expected 3 finite numbers"),
    (
        changed("snapshots.0.neighbors", {" king": [[" queen", None]]}),
        "a neighbor of ' king' in snapshot 0",
    ),
    (changed("curve.training", []), "the training curve is empty"),
    (changed("curve.validation", None), "the validation curve is NoneType"),
    (changed("curve.training", [25]), "the training curve has 25; expected 2"),
    (changed("curve.training", [[25]]), r"the training curve has \[25\]"),
    (changed("texts", {}), "how many tokens 'train' has"),
]


@pytest.mark.parametrize(("change", "says"), WRONG)
def test_a_record_of_another_format_is_refused(
    record: Record, change: Callable[[Record], Any], says: str
) -> None:
    change(record)
    with pytest.raises(ValueError, match=says):
        TrainingTimeMachine(record)


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{", encoding="utf-8")
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"record": 3}, TypeError, "record is int; expected the name of a result"),
        ({"record": "maxi"}, FileNotFoundError, "no result 'maxi'"),
        ({"record": "none.json"}, FileNotFoundError, "no file none.json"),
        ({"record": path}, ValueError, "it does not hold JSON"),
        ({"record": "02-the-verdict"}, ValueError, "the record lacks"),
        ({"step": 7}, ValueError, r"step 7 was not recorded; .*\[0, 20, 60"),
        ({"step": 20.0}, TypeError, "step is 20.0; expected a whole number"),
        ({"step": True}, TypeError, "step is True"),
    ]
    for given, error, says in wrong:
        with pytest.raises(error, match=says):
            TrainingTimeMachine(**given)
