"""What `llmbook runs list` and `compare` say: runs, their records, values and bands.

Not built on a page.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from llmbook_utils.runs.profiles import Band, Run
from llmbook_utils.runs.record import read_records
from llmbook_utils.runs.runner import DONE, Place, Record, device_of, told


def listed(place: Place) -> Iterator[str]:
    """A line a run: what it needs, and when it was recorded."""
    records = read_records(place.results)
    for name, entry in place.runs().items():
        wants = [f"{entry.memory:g} GB", f"up to {entry.minutes:g} minutes"]
        wants += ["a GPU"] * entry.gpu + ["network"] * entry.network
        yield f"{name}: {entry.title}"
        yield f"    needs {', '.join(wants)}"
        for smoke, label in ((False, ""), (True, "smoke: ")):
            mine = [r for r in records if r["run"] == name and r["smoke"] is smoke]
            yield f"    {label}{state_of(mine)}"


def state_of(records: Sequence[Record]) -> str:
    """What the last record of a run says."""
    if not records:
        return "not yet run"
    last = records[-1]
    if last["status"] != DONE:
        return f"{last['status']} on {last['started'][:10]}"
    return f"done on {last['started'][:10]}, {device_of(last['machine'])}"


def is_inside(value: Any, band: Band | None) -> bool:
    """Whether a value is a number in its band; without a band anything is.

    >>> is_inside(2.5, (2, 3)), is_inside("nan", (2, 3)), is_inside(None, None)
    (True, False, True)
    """
    if band is None:
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and band[0] <= value <= band[1]


def latest(records: Sequence[Record]) -> list[Record]:
    """The last record of each job on each kind of machine."""
    return [*{(r["job"], device_of(r["machine"])): r for r in records}.values()]


def is_as_described(record: Record, entry: Run) -> bool:
    """Whether a run had the parameters of its entry, not those of a command."""
    wanted = entry.parameters | (entry.smoke if record["smoke"] else {})
    free = {*entry.asks.split(), *entry.each}
    had = record["parameters"]
    return {k: v for k, v in had.items() if k not in free} == {
        k: v for k, v in wanted.items() if k not in free
    }


def compare(place: Place, names: Sequence[str]) -> Iterator[str]:
    """Each value beside its band and beside earlier ones.

    A value outside its band, or a run that died, raises ValueError at the end.
    """
    records, outside, seen = read_records(place.results), [], 0
    for entry in place.chosen(names or ["all"]):
        mine = [r for r in records if r["run"] == entry.name]
        for record in latest(mine):
            seen += 1
            before = [r for r in mine if r["job"] == record["job"] and r is not record]
            yield f"{record['job']}: {told(record)}, {record['started'][:10]}"
            if record["status"] != DONE:
                outside.append(record["job"])
                continue
            held = is_as_described(record, entry)
            if not held:
                yield "    other parameters: not held to the bands"
            for name, line, inside in judged(record, entry, before):
                yield f"    {line}"
                if held and not inside:
                    outside.append(f"{record['job']}, {name}")
    if not seen:
        yield "nothing is recorded yet"
    if outside:
        raise ValueError(f"outside the bands, or not finished: {'; '.join(outside)}")


def judged(
    record: Record, entry: Run, before: Sequence[Record]
) -> Iterator[tuple[str, str, bool]]:
    """A value's name, a line about it, and whether it is in its band."""
    for name, value in entry.values.items():
        if not value.is_of(record["smoke"]):
            continue
        found, band = record["values"].get(name), value.expected(record["smoke"])
        inside = is_inside(found, band)
        parts = [f"{name}: {number(found)}{value.unit and ' ' + value.unit}"]
        if band:
            word = "in" if inside else "OUTSIDE"
            parts.append(f"{word} {number(band[0])} to {number(band[1])}")
        if not math.isnan(value.published) and not record["smoke"]:
            parts.append(f"published {number(value.published)}")
        earlier = [number(r["values"].get(name)) for r in before if r["status"] == DONE]
        if earlier:
            parts.append(f"before: {', '.join(earlier[-5:])}")
        yield name, "; ".join(parts), inside


def number(value: Any) -> str:
    """A number with four digits, anything else as it is.

    >>> number(0.50957), number(162419712), number(None)
    ('0.5096', '162,419,712', 'missing')
    """
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "missing" if value is None else str(value)
