"""The training time machine: what a model could do at steps of its training.

It shows what tools/record_run.py recorded. Not built on a page.
"""

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import traitlets

from llmbook_utils.runs.results import open_result, parts_of
from llmbook_utils.widgets.base import BookWidget, table
from llmbook_utils.widgets.tokens import visible

Record = dict[str, Any]
TOOL = "tools/record_run.py"
# what the widget reads of a record and of each of its snapshots
PARTS: dict[str, type | tuple[type, ...]] = {
    "device": str,
    "texts": Mapping,
    "prompt": str,
    "options": Mapping,
    "sentence": list,
    "layer": int,
    "head": int,
    "curve": Mapping,
    "snapshots": list,
}
NUMBERS = ("step", "tokens", "seconds", "bits_per_byte")
SNAPSHOT: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(NUMBERS, (int, float)),
    "sample": str,
    "greedy": str,
    "attention": list,
    "neighbors": Mapping,
}
SHOWN = 60  # characters of a sample in the fallback


class TrainingTimeMachine(BookWidget):
    """Show a training at its recorded steps: loss, samples, a head, neighbors.

    `record` is the name of a result, the path of a file that tools/record_run.py wrote,
    or what is in it; `step` one of its steps, without it the last. A `record` or `step`
    of a wrong type raises TypeError, a file that is not there FileNotFoundError, a
    record that lacks a part and a step that was not recorded ValueError.
    """

    module = "time-machine"
    name = traitlets.Unicode().tag(sync=True, page=True)
    record: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)
    step = traitlets.Int().tag(sync=True, page=True)

    def __init__(
        self,
        record: str | os.PathLike[str] | Mapping[str, Any] = "mini",
        step: int | None = None,
    ) -> None:
        name, found = open_result(record, TOOL)
        kept = checked(found)
        steps = [snapshot["step"] for snapshot in kept["snapshots"]]
        chosen = steps[-1] if step is None else check_step(step, steps)
        super().__init__(name=name, record=kept, step=chosen)

    def __repr__(self) -> str:
        return f"TrainingTimeMachine({self.name!r}, step={self.step})"

    def fallback(self) -> str:
        rows = [self._row(snapshot) for snapshot in self.record["snapshots"]]
        caption = (
            f"The training of {self.name} at its recorded steps: the mean training "
            "loss (nats a token) of the logged steps around each, the bits that it "
            "needs for a byte of text that it was not trained on, and the first "
            f"{SHOWN} characters that it writes after “{self.record['prompt']}” "
            "(⏎ is a new line)"
        )
        head = ["step", "training loss", "bits per byte", "what it writes"]
        return table(caption, head, rows)

    def _row(self, snapshot: dict[str, Any]) -> list[str]:
        loss = training_loss(self.record["curve"]["training"], snapshot["step"])
        return [
            f"{snapshot['step']:,}",
            "–" if loss is None else f"{loss:.2f}",
            f"{snapshot['bits_per_byte']:.2f}",
            "".join(c if c == " " else visible(c) for c in snapshot["sample"][:SHOWN]),
        ]


def checked(record: Any) -> Record:
    """The parts of a record that the widget shows; ValueError for what lacks one."""
    kept = parts_of(record, PARTS, "the record", TOOL)
    for split in ("training", "validation"):
        points = kept["curve"].get(split)
        check_numbers(points, f"the {split} curve", 2)
    if not kept["curve"]["training"]:
        raise ValueError("the training curve is empty; a record has a point or more")
    if not isinstance(kept["texts"].get("train", {}).get("tokens"), int):
        raise ValueError("texts does not say how many tokens 'train' has")
    kept["snapshots"] = [
        checked_snapshot(snapshot, kept["sentence"], i)
        for i, snapshot in enumerate(kept["snapshots"])
    ]
    # JSON on a page sorts the keys of a mapping, so their order is kept apart
    kept["words"] = check_words(kept["snapshots"])
    return kept


def checked_snapshot(snapshot: Any, sentence: list[str], i: int) -> Record:
    """A snapshot's parts, if its attention fits the sentence."""
    name = f"snapshot {i}"
    kept = parts_of(snapshot, SNAPSHOT, name, TOOL)
    check_numbers([[kept[number] for number in NUMBERS]], name, len(NUMBERS))
    for row, weights in enumerate(kept["attention"]):
        check_numbers([weights], f"row {row} of the attention in {name}", row + 1)
    if len(kept["attention"]) != len(sentence):
        raise ValueError(
            f"the attention in {name} has {len(kept['attention'])} rows; expected "
            f"one for each of the sentence's {len(sentence)} tokens"
        )
    for word, found in kept["neighbors"].items():
        for pair in found:
            numbers = pair[1:] if isinstance(pair, list) else pair
            check_numbers([numbers], f"a neighbor of {word!r} in {name}", 1)
    return kept


def check_numbers(rows: Any, name: str, size: int) -> None:
    """Raise ValueError unless each row has as many numbers, all of them finite."""
    if not isinstance(rows, list):
        raise ValueError(f"{name} is {type(rows).__name__}; expected a list")
    for row in rows:
        right = isinstance(row, list) and len(row) == size
        if not right or not all(map(is_number, row)):
            raise ValueError(f"{name} has {row}; expected {size} finite numbers")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def check_words(snapshots: list[Record]) -> list[str]:
    """The words with neighbors, if all snapshots have them and the steps rise."""
    if not snapshots:
        raise ValueError("the record has no snapshots; expected one or more")
    steps = [snapshot["step"] for snapshot in snapshots]
    if steps != sorted(set(steps)):
        raise ValueError(f"the snapshots have the steps {steps}; expected rising ones")
    words = [list(snapshot["neighbors"]) for snapshot in snapshots]
    lists = [
        found for snapshot in snapshots for found in snapshot["neighbors"].values()
    ]
    if any(other != words[0] for other in words) or not words[0] or not all(lists):
        raise ValueError("expected neighbors of the same words in all snapshots")
    return words[0]


def check_step(step: int, steps: list[int]) -> int:
    """The step, if it is one of those recorded."""
    if isinstance(step, bool) or not isinstance(step, int):
        raise TypeError(f"step is {step!r}; expected a whole number")
    if step not in steps:
        raise ValueError(f"step {step} was not recorded; expected one of {steps}")
    return step


def training_loss(points: list[list[float]], step: int) -> float | None:
    """The curve's mean around a step; None before the first and after the last.

    A point (step, loss) is the mean of the steps since the point before it.

    >>> training_loss([[25, 7.8], [50, 6.8]], step=30)
    6.8
    """
    after: Iterator[float] = (loss for last, loss in points if last >= step)
    return next(after, None) if step > 0 else None
