"""What `llmbook runs run` does: check, execute, record.

Not built on a page. A run leaves the notebook as it was executed and a record, whatever
ends it; one that is recorded already is not repeated.
"""

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from llmbook_utils.env import is_set
from llmbook_utils.files.whole import write_whole
from llmbook_utils.runs import notebook as nb
from llmbook_utils.runs.execute import ending, execute
from llmbook_utils.runs.profiles import FILE, Job, Run, jobs_of, read_runs
from llmbook_utils.runs.record import (
    energy_used,
    machine,
    read_records,
    version_of,
    write_record,
)
from llmbook_utils.runs.results import HERE

WORK = ".runs"  # of the repository: executed notebooks, and what a run continues from
PAGE = "course/results.ipynb"
DONE = "done"
FOLDER = "folder"  # the parameter of a notebook that keeps checkpoints
WORKING, FINISHED = "working", "finished"  # that folder, before and after the end
OWN = "result.json"  # what a notebook writes itself, where it has a parameter for it
Record = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where runs are described, where they work, and where their records lie."""

    root: Path  # of the repository
    results: Path
    work: Path
    output: str = ""  # where papermill shall copy executed notebooks to, "s3://..."

    @classmethod
    def of(cls, root: str | None, results: str | None, output: str = "") -> "Place":
        """The folders; ValueError where the repository is not at hand."""
        top = Path(root) if root else HERE.parent
        if not (top / "profiles" / FILE).is_file():
            raise ValueError(
                f"{top} has no profiles/{FILE}; runs need the book's repository: "
                "clone it, and name its folder with --root"
            )
        return cls(top, Path(results or top / "results"), top / WORK, output)

    def runs(self) -> dict[str, Run]:
        return read_runs(self.root / "profiles" / FILE)

    def chosen(self, names: Sequence[str]) -> list[Run]:
        """The entries of these names, all of them for "all"; ValueError for others."""
        runs = self.runs()
        if unknown := [name for name in names if name not in {*runs, "all"}]:
            raise ValueError(
                f"there is no run {unknown[0]!r}; there are {', '.join(runs)}, and all"
            )
        return [run for name, run in runs.items() if name in names or "all" in names]


@dataclass(frozen=True)
class Ready:
    """A job whose notebook and parameters were checked."""

    job: Job
    notebook: nb.NotebookNode
    parameters: dict[str, Any]

    def is_recorded(self, record: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
        """Whether a record is of this job, with this code, on such a machine."""
        return (
            record["status"] == DONE
            and record["job"] == self.job.name
            and record["parameters"] == self.parameters
            and record["notebook"]["sha256"] == nb.digest(self.notebook)
            and device_of(record["machine"]) == device_of(where)
        )


def device_of(where: Mapping[str, Any]) -> str:
    """What a machine calculates with: its GPU, or its processor."""
    return where["gpu"] or where["processor"]


def prepare(place: Place, job: Job, texts: Mapping[str, str]) -> Ready:
    """Check what can be checked before anything runs; ValueError names a mistake."""
    path = place.root / job.run.notebook
    shown = Path(job.run.notebook)
    notebook = nb.read_notebook(path)
    known = nb.defaults(notebook, shown)
    given = {name: nb.parse(name, text, known, shown) for name, text in texts.items()}
    try:
        parameters = nb.check_parameters(job.parameters | given, known, shown)
        places = {name: value.at for name, value in job.values.items()}
        nb.check_values(notebook, places, shown)
    except ValueError as error:
        raise ValueError(f"{job.name}: {error}") from None
    return Ready(job, nb.with_values(notebook, places), parameters)


def needs(job: Job, where: Mapping[str, Any]) -> str | None:
    """What this machine lacks for a job; a smoke variant needs nothing."""
    if job.smoke:
        return None
    if job.run.gpu and where["gpu"] is None:
        return "needs a GPU, and none was found"
    if job.run.network and is_set("LLMBOOK_OFFLINE"):
        return "downloads something, and LLMBOOK_OFFLINE forbids it"
    has = where["gpu_memory"] if job.run.gpu else where["memory"]
    if has and has < job.run.memory:
        return f"needs {job.run.memory:g} GB of memory, and this machine has {has:g}"
    return None


def run(
    place: Place,
    names: Sequence[str],
    *,
    smoke: bool = False,
    again: bool = False,
    anyway: bool = False,
    given: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run what is not recorded yet, and yield lines that say how it went.

    Everything is checked first. A second call meanwhile raises ValueError, and so do,
    at the end, runs that did not finish.
    """
    texts, where = given or {}, machine()
    jobs = [
        job
        for entry in place.chosen(names)
        for job in jobs_of(entry, smoke=smoke, given=dict(texts))
    ]
    ready = [prepare(place, job, texts) for job in jobs]
    lacking = {one.job.name: needs(one.job, where) for one in ready}
    refused = [f"{name} {lack}" for name, lack in lacking.items() if lack]
    if refused and not anyway and "all" not in names:
        raise ValueError(f"{'; '.join(refused)}; --anyway tries all the same")
    with alone(place.work):
        failed = []
        for one in ready:
            if (lack := lacking[one.job.name]) and not anyway:
                yield f"{one.job.name}: left out, it {lack}"
                continue
            records = read_records(place.results)
            if not again and (old := recorded(one, records, where)):
                yield f"{one.job.name}: recorded on {old['started'][:10]}"
                continue
            record = run_one(place, one, where)
            yield f"{one.job.name}: {told(record)}"
            failed += [one.job.name] * (record["status"] != DONE)
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(ready)} did not finish: {', '.join(failed)}; the "
            f"notebooks are in {place.work} as far as they came, and the same command "
            "continues with what is missing"
        )


@contextlib.contextmanager
def alone(work: Path) -> Iterator[None]:
    """Hold the folder of runs; ValueError where another process does."""
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"another llmbook runs is at work in {work}; two at once would slow each "
            "other: wait until it has ended"
        ) from None
    try:
        yield
    finally:
        lock.release()


def recorded(
    one: Ready, records: Sequence[Record], where: Mapping[str, Any]
) -> Record | None:
    """The last record that makes this job unnecessary."""
    return next((r for r in reversed(records) if one.is_recorded(r, where)), None)


def run_one(place: Place, one: Ready, where: Mapping[str, Any]) -> Record:
    """Execute one notebook and write its record, whatever ends it.

    Ctrl-C and the system's wish to end the process are recorded, and raised again.
    """
    folder = place.work / one.job.name
    folder.mkdir(parents=True, exist_ok=True)
    draft, out = folder / "running.ipynb", folder / "executed.ipynb"
    parameters = one.parameters | places_for(one, folder)
    started, start = datetime.now(UTC), time.perf_counter()
    cause: BaseException | None = None
    with energy_used() as used:
        try:
            execute(
                one.notebook,
                draft,
                parameters=parameters,
                folder=(place.root / one.job.run.notebook).parent,
                seconds=one.job.seconds,
            )
        except (Exception, KeyboardInterrupt) as error:
            cause = error
    if cause is None and (folder / WORKING).is_dir():  # the next run starts anew
        shutil.rmtree(folder / FINISHED, ignore_errors=True)
        os.replace(folder / WORKING, folder / FINISHED)
    status, said = ending(cause) if cause else (DONE, "")
    seconds = time.perf_counter() - start
    kept = keep(place, one.job, draft, out)
    record = describe(one, where, kept, place) | {
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(seconds, 1),
        "joules": used["joules"],
        "status": status,
        "error": said.splitlines()[0][:300] if said else None,
    }
    write_record(record, place.results)
    if status == DONE and one.job.run.writes and not one.job.smoke:
        own = (folder / OWN).read_bytes()
        write_whole(place.results / f"{one.job.run.writes}.json", own)
    if isinstance(cause, KeyboardInterrupt):
        raise KeyboardInterrupt(f"{one.job.name} was stopped; it is recorded") from None
    return record


def places_for(one: Ready, folder: Path) -> dict[str, str]:
    """Parameters that are paths of this machine, and therefore not recorded."""
    known = nb.defaults(one.notebook, folder)
    wanted = {FOLDER: folder / WORKING, "record": folder / OWN}
    return {
        name: str(path.resolve())
        for name, path in wanted.items()
        if name in known and name not in one.parameters
    }


def keep(place: Place, job: Job, draft: Path, out: Path) -> nb.NotebookNode | None:
    """Give the executed notebook its name, and copy it to where it is wanted."""
    try:
        executed = nb.read_notebook(draft)
    except (ValueError, OSError):  # the disk was full before it was written
        draft.unlink(missing_ok=True)
        return None
    os.replace(draft, out)
    if place.output:
        from papermill.iorw import write_ipynb

        write_ipynb(executed, copy_of(place, job))
    return executed


def copy_of(place: Place, job: Job) -> str:
    """Where a copy of the notebook goes: in a folder, or an address of papermill's."""
    if "://" not in place.output:
        Path(place.output).mkdir(parents=True, exist_ok=True)
    return f"{place.output.rstrip('/')}/{job.name}.ipynb"


def describe(
    one: Ready,
    where: Mapping[str, Any],
    executed: nb.NotebookNode | None,
    place: Place,
) -> Record:
    """What is known of a run but its time and its end."""
    found = nb.values_of(executed) if executed else {}
    kept = copy_of(place, one.job) if place.output else f"{WORK}/{one.job.name}"
    libraries = ("torch", "papermill", "nbclient")
    return {
        "run": one.job.run.name,
        "job": one.job.name,
        "smoke": one.job.smoke,
        "parameters": one.parameters,
        "notebook": {
            "path": one.job.run.notebook,
            "sha256": nb.digest(one.notebook),
            "kept": kept if executed else None,
            "cells": len(nb.code_of(executed or one.notebook)),
            "begun": nb.begun(executed) if executed else 0,
        },
        "machine": dict(where),
        "kernel": found.get("kernel"),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in libraries},
        **version_of(place.root),
        "values": found.get("values", {}),
    }


def told(record: Record) -> str:
    """How a run went, in a line."""
    minutes = f"{record['seconds'] / 60:.1f} minutes"
    if record["status"] == DONE:
        return f"done in {minutes}"
    about = record["notebook"]
    return (
        f"{record['status']} after {minutes}, in cell {about['begun']} of "
        f"{about['cells']}: {record['error']}"
    )


def make_page(place: Place) -> None:
    """Execute the page of results, and store it; ValueError where that fails."""
    tool = place.root / "tools/execute.py"
    command = [sys.executable, str(tool), str(place.root / PAGE)]
    if subprocess.run(command, cwd=place.root).returncode:
        raise ValueError(f"{PAGE} was left as it was")
