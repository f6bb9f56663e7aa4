"""The schedule designer's Python side, what is recorded for it, and the tool that recorded it."""

import copy
import json
import math
import re
import statistics
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import record_schedules

from llmbook_utils.model import GPTModel
from llmbook_utils.runs.results import load_result
from llmbook_utils.schedule import Schedule
from llmbook_utils.widgets import ScheduleDesigner
from llmbook_utils.widgets.schedule_designer import nearest

pytestmark = pytest.mark.usefixtures("one_thread")

RECORD = load_result("schedules")


@pytest.fixture(scope="module")
def data() -> record_schedules.Data:
    return record_schedules.Data()


def numbers(text: str) -> list[str]:
    return re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", text)


def test_the_record_is_whole_and_small() -> None:
    wanted = list(product(*RECORD["grid"].values()))
    settings = [
        tuple(run[name] for name in ("peak", "warmup", "floor", "steps"))
        for run in RECORD["runs"]
    ]
    assert settings == wanted
    assert RECORD["grid"] == record_schedules.GRID
    assert len(RECORD["seeds"]) == 3
    for run in RECORD["runs"]:
        assert run["warmup_steps"] == run["warmup"] * run["steps"]
        assert len(run["curve"]) == RECORD["points"]
        assert len(run["training"]) == len(run["held_out"]) == 3
    assert len(json.dumps(RECORD)) < 250_000


def test_the_record_shows_what_each_setting_does() -> None:
    def loss(part: str, **settings: float) -> float:
        (run,) = (run for run in RECORD["runs"] if run.items() >= settings.items())
        return sum(run[part]) / 3

    steep = {"peak": 0.01, "floor": 0.0, "steps": 240}
    assert (
        loss("training", warmup=0.2, **steep)
        < loss("training", warmup=0.0, **steep) - 0.5
    )
    first = {"warmup": 0.05, "floor": 0.1}
    by_peak = [
        loss("held_out", peak=p, steps=240, **first) for p in RECORD["grid"]["peak"]
    ]
    assert min(by_peak) == by_peak[2], "the middle peak is the best one"
    assert (
        loss("held_out", peak=3e-3, steps=240, **first)
        < loss("held_out", peak=3e-3, steps=60, **first) - 0.5
    )
    slow = {"peak": 3e-4, "warmup": 0.0, "steps": 240}
    assert (
        loss("training", floor=1.0, **slow) < loss("training", floor=0.0, **slow) - 0.5
    )


def test_the_tool_makes_again_what_is_recorded(data: record_schedules.Data) -> None:
    about = record_schedules.describe(data)
    for name in (
        "tokens",
        "parameters",
        "model",
        "batch_size",
        "frequency_loss",
        "equal_loss",
    ):
        assert about[name] == RECORD[name]
    run = next(
        run for run in RECORD["runs"] if run["peak"] == 1e-3 and run["steps"] == 60
    )
    schedule = Schedule(run["peak"], run["steps"], run["warmup_steps"], run["floor"])
    found = record_schedules.train_once(data, schedule, RECORD["seeds"][0])
    curve = record_schedules.thin(found["losses"], 60 // RECORD["points"])
    assert curve == pytest.approx(run["curve"], abs=0.01)  # other processors
    for part in ("training", "held_out"):
        assert found[part] == pytest.approx(run[part][0], abs=0.01)


def test_a_run_of_the_tool_has_its_losses_and_one_that_breaks_off_has_none(
    data: record_schedules.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record_schedules.setting_of(1e-3, 0.5, 0.1, 4)
    assert run["warmup_steps"] == 2
    monkeypatch.setattr(record_schedules, "POINTS", 2)
    record_schedules.add_seed(data, run, 0)
    monkeypatch.setattr(
        GPTModel,
        "forward",
        lambda self, ids: self.token_embedding(ids) @ self.head.weight.T * math.inf,
    )
    record_schedules.add_seed(data, run, 1)
    assert len(run["curve"]) == 2
    assert run["training"][0] == pytest.approx(8.2, abs=0.2)
    assert run["held_out"] == [pytest.approx(8.2, abs=0.2), None]


def test_frequencies_alone_give_the_entropy() -> None:
    assert record_schedules.frequency_loss([7, 7, 9, 9]) == pytest.approx(math.log(2))
    assert record_schedules.frequency_loss([7, 7, 7]) == 0
    assert record_schedules.thin([1.0, 2.0, 3.0, 5.0, 9.0], 2) == [1.5, 4.0, 9.0]


def test_the_state_is_the_schedule_and_the_record() -> None:
    designer = ScheduleDesigner(peak=1e-3, steps=300, warmup_steps=30, floor=0)
    assert asdict(designer.schedule).items() <= designer.state().items()
    assert designer.record["runs"] == RECORD["runs"]
    assert (
        repr(designer)
        == "ScheduleDesigner(peak=0.001, steps=300, warmup_steps=30, floor=0)"
    )
    assert designer.to_html() == ScheduleDesigner(1e-3, 300, 30, 0.0).to_html()
    assert len(designer.to_html()) < 60_000
    designer.steps = 100  # as the view sets it
    assert designer.schedule == Schedule(1e-3, 100, 30, 0.0)


def test_the_fallback_has_the_rates_and_the_nearest_runs() -> None:
    text = ScheduleDesigner(
        peak=2.5e-3, steps=200, warmup_steps=20, floor=0.2
    ).fallback()
    schedule = Schedule(2.5e-3, 200, 20, 0.2)
    cells = numbers(text)
    for step in (0, 20, 99, 199):
        assert f"{schedule(step):.3g}" in cells
    assert f"add up to {sum(map(schedule, range(200))):.3g}" in text
    assert "of 240 steps with floor 0.1" in text
    assert "warm-up 5 %, peak 0.003" in text
    same = [run for run in RECORD["runs"] if (run["steps"], run["floor"]) == (240, 0.1)]
    means = {f"{statistics.fmean(run['held_out']):.2f}" for run in same}
    assert len(same) == 15 and means <= set(cells)


def test_the_nearest_run_differs_least() -> None:
    for run in RECORD["runs"]:
        settings = {
            name: run[name] for name in ("peak", "steps", "warmup_steps", "floor")
        }
        assert nearest(RECORD["runs"], Schedule(**settings)) is run
    far = nearest(RECORD["runs"], Schedule(1.0, 100_000, 90_000, 0.6))
    assert [far[name] for name in ("peak", "steps", "warmup", "floor")] == [
        0.03,
        240,
        0.2,
        1.0,
    ]


def test_a_record_of_ones_own_is_taken(tmp_path: Path) -> None:
    own = copy.deepcopy(RECORD)
    own["runs"], own["seeds"] = own["runs"][:1], [5]
    own["runs"][0].update(training=[None], held_out=[None])
    path = tmp_path / "own.json"
    path.write_text(json.dumps(own))
    for record in (own, path, str(path)):
        designer = ScheduleDesigner(record=record)
        assert designer.record["seeds"] == [5]
        assert "broke off" in designer.fallback()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"peak": "high"}, TypeError, "peak is 'high'; expected a number"),
        ({"peak": True}, TypeError, "peak is True; expected a number"),
        ({"peak": 0}, ValueError, "peak is 0.0; it must be a number above 0"),
        ({"peak": 2}, ValueError, "peak is 2; the designer shows 1e-06 to 1"),
        ({"steps": 2.5}, TypeError, "steps is 2.5; expected a whole number"),
        ({"steps": 10}, ValueError, "warmup_steps is 12 of 10 steps"),
        (
            {"steps": 2_000_000},
            ValueError,
            "steps is 2e+06; the designer shows 1 to 1e+06",
        ),
        (
            {"steps": 1000, "warmup_steps": 999},
            ValueError,
            "warmup_share is 0.999; the designer shows 0 to 0.99",
        ),
        ({"floor": -0.1}, ValueError, "floor is -0.1; it is a share of the peak"),
        ({"floor": None}, TypeError, "floor is None; expected a number"),
        ({"record": 3}, TypeError, "record is int; expected the name of a result"),
        ({"record": "maxi"}, FileNotFoundError, "there is no result 'maxi'"),
        ({"record": "no.json"}, FileNotFoundError, "there is no file no.json"),
        ({"record": {}}, ValueError, "the record lacks 'model', 'tokens'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        ScheduleDesigner(**options)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"runs": []}, "the record has no runs"),
        ({"runs": 5}, "'runs' in the record is int"),
        ({"runs": [7]}, "run 0 is int; expected a mapping"),
        ({"runs": [{}]}, "run 0 lacks 'peak'"),
        ({"tokens": {"training": 5}}, "does not say how many tokens 'held_out' has"),
        ({"model": {}}, "the record's model has no context_length"),
        (
            {"seeds": [1]},
            "run 0 has 3 losses after the last step; expected one for each of the 1 seeds",
        ),
        ({"points": 29}, "the curve of run 0 has 30 points; expected 1 to 29"),
    ],
)
def test_a_record_that_is_none_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        ScheduleDesigner(record={**RECORD, **change})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": 0}, "run 0: warmup_steps is 0 of 0 steps"),
        ({"curve": [math.nan]}, "run 0 has a loss that is no finite number"),
        ({"training": ["low", 1, 2]}, "run 0 has a loss that is no finite number"),
    ],
)
def test_a_run_that_is_none_is_refused(change: dict[str, Any], says: str) -> None:
    runs = [{**RECORD["runs"][0], **change}]
    with pytest.raises(ValueError, match=re.escape(says)):
        ScheduleDesigner(record={**RECORD, "runs": runs})


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="is not a record: it does not hold JSON"):
        ScheduleDesigner(record=path)
