"""The schedule designer: a learning rate over a run, and what recorded runs made of it.

The runs come from tools/record_schedules.py. Not built on a page.
"""

import math
import os
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import traitlets

from llmbook_utils.runs.results import open_result, parts_of
from llmbook_utils.schedule import Schedule
from llmbook_utils.widgets.base import BookWidget, table

Record = dict[str, Any]
TOOL = "tools/record_schedules.py"
PARTS = ("training", "held_out")
# what the view reads of a record and of each of its runs
SHARED: dict[str, type | tuple[type, ...]] = {
    "model": dict,
    "tokens": dict,
    "parameters": int,
    "batch_size": int,
    "seeds": list,
    "points": int,
    "equal_loss": float,
    "frequency_loss": float,
    "runs": list,
}
RUN: dict[str, type | tuple[type, ...]] = {
    **{"peak": float, "steps": int, "warmup_steps": int, "floor": (int, float)},
    **{"warmup": (int, float), "curve": list, "training": list, "held_out": list},
}
# the bounds of the view's controls, where Schedule has none
LIMITS = {"peak": (1e-6, 1), "steps": (1, 1_000_000), "warmup_share": (0, 0.99)}
NAMED = ("first", "at the peak", "half-way", "last")


class ScheduleDesigner(BookWidget):
    """Show a schedule's rates; the reader changes it and sees what such runs did.

    The numbers are those of `Schedule`, which `schedule` gives as the reader left them.
    `record` is the name of a result, the path of a file that tools/record_schedules.py
    wrote, or what is in it. A wrong type raises TypeError, a number that `Schedule` or
    the controls refuse or a record that lacks a part ValueError, a file that is not
    there FileNotFoundError.
    """

    module = "schedule-designer"
    peak = traitlets.Float().tag(sync=True, page=True)
    steps = traitlets.Int().tag(sync=True, page=True)
    warmup_steps = traitlets.Int().tag(sync=True, page=True)
    floor = traitlets.Float().tag(sync=True, page=True)
    record: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)

    def __init__(
        self,
        peak: float = 3e-3,
        steps: int = 240,
        warmup_steps: int = 12,
        floor: float = 0.1,
        record: str | os.PathLike[str] | Mapping[str, Any] = "schedules",
    ) -> None:
        schedule = check_schedule(peak, steps, warmup_steps, floor)
        found = check_record(open_result(record, TOOL)[1])
        super().__init__(**asdict(schedule), record=found)

    @property
    def schedule(self) -> Schedule:
        """The schedule as it is drawn."""
        return Schedule(self.peak, self.steps, self.warmup_steps, self.floor)

    def __repr__(self) -> str:
        return (
            f"ScheduleDesigner(peak={self.peak:g}, steps={self.steps}, "
            f"warmup_steps={self.warmup_steps}, floor={self.floor:g})"
        )

    def fallback(self) -> str:
        return self._rates() + self._losses()

    def _rates(self) -> str:
        steps = (0, self.warmup_steps, (self.steps - 1) // 2, self.steps - 1)
        total = sum(map(self.schedule, range(self.steps)))
        caption = (
            f"The learning rate of {self.schedule}; over all steps the rates add up "
            f"to {total:.3g}"
        )
        pairs = zip(NAMED, steps, strict=True)
        rows = [[name, f"{at:,}", f"{self.schedule(at):.3g}"] for name, at in pairs]
        return table(caption, ["step", "counted from 0", "learning rate"], rows)

    def _losses(self) -> str:
        """The held-out losses of the runs of the nearest length and floor."""
        chosen = nearest(self.record["runs"], self.schedule)
        fixed = {"steps": chosen["steps"], "floor": chosen["floor"]}
        runs = [run for run in self.record["runs"] if run.items() >= fixed.items()]
        peaks, shares = ordered(runs, "peak"), ordered(runs, "warmup")
        found = {(run["warmup"], run["peak"]): held_out(run) for run in runs}
        rows = [
            [f"{100 * share:g} %", *(found.get((share, peak), "–") for peak in peaks)]
            for share in shares
        ]
        caption = (
            f"Held-out loss, nats a token, of recorded runs of {chosen['steps']} steps "
            f"with floor {chosen['floor']:g}, by warm-up and peak; nearest to the "
            f"schedule above: warm-up {100 * chosen['warmup']:g} %, peak "
            f"{chosen['peak']:g}"
        )
        head = ["warm-up", *(f"peak {peak:g}" for peak in peaks)]
        return table(caption, head, rows)


def nearest(runs: list[Record], schedule: Schedule) -> Record:
    """The run whose settings are nearest: as the view finds it.

    Peak and steps differ by their ratios, warm-up and floor by their differences.
    """
    share = schedule.warmup_steps / schedule.steps

    def distance(run: Record) -> float:
        ratios = (run["peak"] / schedule.peak, run["steps"] / schedule.steps)
        rest = abs(run["warmup"] - share) + abs(run["floor"] - schedule.floor)
        return sum(abs(math.log(ratio)) for ratio in ratios) + rest

    return min(runs, key=distance)


def ordered(runs: list[Record], name: str) -> list[float]:
    return sorted({run[name] for run in runs})


def held_out(run: Record) -> str:
    """The mean held-out loss of a run over its seeds.

    >>> held_out({"held_out": [5.0, None, 5.5]})
    '5.25'
    """
    losses = [loss for loss in run["held_out"] if loss is not None]
    return f"{statistics.fmean(losses):.2f}" if losses else "broke off"


def check_schedule(
    peak: float, steps: int, warmup_steps: int, floor: float
) -> Schedule:
    """The schedule, if the view's controls can show it."""
    for name, value in {"peak": peak, "floor": floor}.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} is {value!r}; expected a number")
    for name, value in {"steps": steps, "warmup_steps": warmup_steps}.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} is {value!r}; expected a whole number")
    schedule = Schedule(float(peak), steps, warmup_steps, float(floor))
    share = warmup_steps / steps
    shown = {"peak": peak, "steps": steps, "warmup_share": share}
    for name, (least, most) in LIMITS.items():
        if not least <= shown[name] <= most:
            raise ValueError(
                f"{name} is {shown[name]:g}; the designer shows {least:g} to {most:g}"
            )
    return schedule


def check_record(found: Any) -> Record:
    """The parts of a record that the view shows; ValueError for what lacks one."""
    kept = parts_of(found, SHARED, "the record", TOOL)
    for part in PARTS:
        if not isinstance(kept["tokens"].get(part), int):
            raise ValueError(f"the record does not say how many tokens {part!r} has")
    if not isinstance(kept["model"].get("context_length"), int):
        raise ValueError("the record's model has no context_length")
    if not kept["runs"] or not kept["seeds"] or kept["points"] < 1:
        raise ValueError("the record has no runs; expected one or more, with seeds")
    kept["runs"] = [check_run(run, kept, i) for i, run in enumerate(kept["runs"])]
    return kept


def check_run(found: Any, record: Record, i: int) -> Record:
    """A run, if its schedule is one and its losses fit the seeds."""
    name = f"run {i}"
    run = parts_of(found, RUN, name, TOOL)
    try:
        Schedule(run["peak"], run["steps"], run["warmup_steps"], run["floor"])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    losses = [loss for part in PARTS for loss in run[part] if loss is not None]
    if not all(map(is_loss, [*run["curve"], *losses])):
        raise ValueError(f"{name} has a loss that is no finite number")
    if any(len(run[part]) != len(record["seeds"]) for part in PARTS):
        raise ValueError(
            f"{name} has {len(run['training'])} losses after the last step; expected "
            f"one for each of the {len(record['seeds'])} seeds"
        )
    if not 0 < len(run["curve"]) <= record["points"]:
        raise ValueError(
            f"the curve of {name} has {len(run['curve'])} points; expected 1 to "
            f"{record['points']}"
        )
    return run


def is_loss(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
