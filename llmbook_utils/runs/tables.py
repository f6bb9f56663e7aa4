"""What the page of results shows: a table of each run, made from results/ alone.

Not built on a page: course/results.ipynb shows it. A value stands beside its band, and
beside a strip with all that was ever recorded of it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from llmbook_utils.plots import PALETTE
from llmbook_utils.runs.compare import is_as_described, is_inside, latest, number
from llmbook_utils.runs.notebook import look_up
from llmbook_utils.runs.profiles import FILE, Run, Value, read_runs
from llmbook_utils.runs.record import read_records
from llmbook_utils.runs.results import FOLDERS, HERE, load_result
from llmbook_utils.runs.runner import DONE, Record, device_of

# of a clone, and of an installed package
PROFILES = (HERE.parent / "profiles", HERE / "described")
NOT_YET = "not yet run"
WIDTH, HEIGHT, EDGE = 132, 28, 6  # of a strip, in px


@dataclass(frozen=True, repr=False)
class Table:
    """HTML that a notebook and the site show as a table."""

    html: str

    def __repr__(self) -> str:
        return "a table of runs"

    def _repr_html_(self) -> str:
        return self.html


def framed(head: str, rows: str) -> Table:
    """A table that scrolls on its own where the column is narrow."""
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    table = f"{top}<tbody>{rows}</tbody>"
    return Table(
        '<div style="overflow-x: auto" tabindex="0" role="group" '
        f'aria-label="table of runs"><table class="table">{table}</table></div>'
    )


def all_runs() -> dict[str, Run]:
    """The entries of runs.toml, from the repository or the installed package."""
    folder = next((one for one in PROFILES if (one / FILE).is_file()), PROFILES[0])
    return read_runs(folder / FILE)


def all_records() -> list[Record]:
    """All records of runs, from the repository or the installed package."""
    return [r for folder in FOLDERS if folder.is_dir() for r in read_records(folder)]


def earlier(entry: Run) -> list[Record]:
    """Results that were recorded before there was a runner, as records of it."""
    found = []
    for name in entry.earlier.split():
        result = load_result(name)
        space = {entry.root: result}
        values = {
            key: look_up(space, value.at)
            for key, value in entry.values.items()
            if value.at.startswith(f"{entry.root}.")
        }
        where = {"gpu": None, "processor": result["device"]}
        found.append(
            {"run": entry.name, "job": name, "smoke": False, "status": DONE}
            | {"started": result["date"], "seconds": result["seconds"]}
            | {"machine": where, "kernel": None, "values": values}
            | {"parameters": entry.parameters, "notebook": {"kept": None}}
        )
    return found


def strip(name: str, value: Value, points: Sequence[Record], now: Record) -> str:
    """All recorded numbers of a value from left to right, over its band, as SVG."""
    band = value.expected(now["smoke"])
    numbers = [(r["values"].get(name), r is now) for r in points]
    known = [(n, here) for n, here in numbers if type(n) in (int, float)]
    ends = [n for n, _ in known] + list(band or ())
    if not known or min(ends) == max(ends):
        return ""
    low, high = min(ends), max(ends)

    def y(n: float) -> float:
        return round(HEIGHT - EDGE - (n - low) / (high - low) * (HEIGHT - 2 * EDGE), 1)

    parts = []
    if band:
        parts.append(
            f'<rect x="0" y="{y(band[1])}" width="{WIDTH}" fill="currentColor" '
            f'height="{round(y(band[0]) - y(band[1]), 1)}" opacity="0.15"/>'
        )
    step = (WIDTH - 2 * EDGE) / max(len(known) - 1, 1)
    for i, (n, here) in enumerate(known):
        look = f'r="4" fill="{PALETTE["focus"]}"' if here else 'r="3" fill="none"'
        place = f'cx="{round(EDGE + i * step, 1)}" cy="{y(n)}"'
        parts.append(f'<circle {place} {look} stroke="currentColor"/>')
    listed = ", ".join(number(n) for n, _ in known)
    title = f"{name}, the oldest first: {listed}"
    title += f"; band {number(band[0])} to {number(band[1])}" if band else ""
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def coded(text: str) -> str:
    """Text as HTML; what stands between backticks is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(parts))


def about(record: Record) -> str:
    """What was run where and when, in a line of HTML."""
    parts = [record["job"], device_of(record["machine"]), record["started"][:10]]
    parts.append(f"{record['seconds'] / 60:.1f} minutes")
    kernel = record.get("kernel") or {}
    if (busy := kernel.get("cpu_seconds")) and kernel["device"] == "cpu":
        parts.append(f"{busy / 60:.1f} of them calculating")
    if memory := kernel.get("device_memory") or kernel.get("memory"):
        parts.append(f"{memory:g} GB")
    text = f"<strong>{escape(parts[0])}</strong>: {escape(', '.join(parts[1:]))}"
    if record["status"] != DONE:
        text += f"; {escape(record['status'])}: {escape(record['error'] or '')}"
    kept = record["notebook"]["kept"] or ""
    if kept.startswith("https://"):
        text += f'; <a href="{escape(kept)}">executed notebook</a>'
    return text


def rows_of(entry: Run, record: Record, points: Sequence[Record]) -> Iterator[str]:
    """The rows of a record: what it is, then a value each."""
    yield f'<tr><th colspan="5" scope="rowgroup">{about(record)}</th></tr>'
    if record["status"] != DONE:
        return
    held = is_as_described(record, entry)
    for name, value in entry.values.items():
        if not value.is_of(record["smoke"]):
            continue
        found, band = record["values"].get(name), value.expected(record["smoke"])
        shown = f"{number(found)} {value.unit}".strip()
        wanted = f"{number(band[0])} to {number(band[1])}" if band else ""
        if band and held and not is_inside(found, band):
            wanted += ": <strong>outside</strong>"
        known = not math.isnan(value.published) and not record["smoke"]
        cells = [escape(shown), wanted, number(value.published) if known else ""]
        cells.append(strip(name, value, points, record))
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        yield f'<tr><th scope="row">{escape(name)}</th>{row}</tr>'


def results_table(
    name: str, smoke: bool = False, records: Sequence[Record] | None = None
) -> Table:
    """The last record of each of a run's jobs on each machine, or that there is none.

    An unknown run raises ValueError with those that there are.
    """
    runs = all_runs()
    if name not in runs:
        raise ValueError(f"there is no run {name!r}; there are {', '.join(runs)}")
    entry, found = runs[name], all_records() if records is None else records
    mine = [r for r in found if r["run"] == name and r["smoke"] is smoke]
    mine = ([] if smoke else earlier(entry)) + mine
    if not mine:
        row = f'<tr><th scope="row">{escape(name)}</th><td>{NOT_YET}</td></tr>'
        return framed("", row)
    done = [r for r in mine if r["status"] == DONE]
    head = "".join(
        f'<th scope="col">{text}</th>'
        for text in ("value", "recorded", "band", "published", "all records")
    )
    rows = "".join(
        row for record in latest(mine) for row in rows_of(entry, record, done)
    )
    return framed(head, rows)


def overview(records: Sequence[Record] | None = None) -> Table:
    """Every run: what it is, where the full run was recorded, and the smoke variant."""
    found = all_records() if records is None else records
    rows = []
    for name, entry in all_runs().items():
        full = [r for r in found if r["run"] == name and not r["smoke"]]
        smoke = [r for r in found if r["run"] == name and r["smoke"]]
        where = places(earlier(entry) + full)
        if where != NOT_YET and not any(r["machine"]["gpu"] for r in full):
            where += "; not yet on a GPU"
        cells = [coded(entry.title), escape(where), escape(places(smoke))]
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{row}</tr>')
    head = "".join(
        f'<th scope="col">{text}</th>'
        for text in ("run", "what it is", "recorded", "smoke variant")
    )
    return framed(head, "".join(rows))


def places(records: Sequence[Record]) -> str:
    """On which machines runs were recorded last, and when."""
    last: dict[str, Any] = {device_of(r["machine"]): r for r in records}
    if not last:
        return NOT_YET
    return "; ".join(
        f"{device}, {record['started'][:10]}"
        + ("" if record["status"] == DONE else f" ({record['status']})")
        for device, record in last.items()
    )
