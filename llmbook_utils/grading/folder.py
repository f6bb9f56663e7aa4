"""A folder of submissions: found, run one by one, each in a box, and put in a table.

Not built on a page.
"""

import base64
import contextlib
import json
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from llmbook_utils.files.whole import write_whole
from llmbook_utils.grading.limits import BOX, MB, Limits, environment, walls
from llmbook_utils.grading.notebook import (
    Unreadable,
    exercises_in,
    read,
    required_in,
    with_judges,
)
from llmbook_utils.grading.table import Result, as_csv, as_markdown

LUGGAGE = 50 * MB  # of the files beside a student's notebook, all together
NAMES = ("verdicts.csv", "verdicts.md")


@dataclass(frozen=True)
class Submission:
    """A student's name, the notebook, and the folder that goes with it, if any."""

    student: str
    notebook: Path
    folder: Path | None

    @property
    def name(self) -> str:
        """The student, with the notebook where a folder may hold several."""
        return f"{self.student} ({self.notebook.name})" if self.folder else self.student


def submissions(folder: Path) -> list[Submission]:
    """The submissions of a folder: NAME.ipynb, or a folder NAME with a notebook in it.

    Raises ValueError where the folder is none or holds no notebook.
    """
    if not folder.is_dir():
        raise ValueError(
            f"{folder} is no folder; give the one that holds the notebooks"
        )
    found = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.suffix == ".ipynb":
            found.append(Submission(entry.stem, entry, None))
        elif entry.is_dir() and not entry.is_symlink():
            inside = sorted(entry.rglob("*.ipynb"))
            seen = [path for path in inside if ".ipynb_checkpoints" not in path.parts]
            found += [Submission(entry.name, path, entry) for path in seen]
    if not found:
        raise ValueError(
            f"{folder} holds no notebook; it should have NAME.ipynb for each student, "
            "or a folder NAME with the notebook"
        )
    return found


def grade(
    folder: Path,
    *,
    to: Path | None = None,
    limits: Limits | None = None,
    seed: int | None = 1,
    say: Callable[[str], None] = print,
) -> list[Result]:
    """Run every notebook of a folder, judge its answers, and write two tables.

    `verdicts.csv` and `verdicts.md` are written into `to` (the folder itself), whole or
    not at all. An answer passes if it is right for the data that `check` has and, with
    a `seed`, for other data too. Raises ValueError where there is nothing to grade.
    """
    limits, found = limits or Limits(), submissions(folder)
    place = to or folder
    place.mkdir(parents=True, exist_ok=True)
    note = WALLED if walls() else OPEN
    say(note)
    results: list[Result] = []
    for at, one in enumerate(found, 1):
        own = graded(one, limits, seed)
        passed = sum(result.passed for result in own)
        say(f"{at} of {len(found)}: {one.name}, {passed} passed")
        results += own
    results = with_gaps(results)
    # a spreadsheet takes a CSV file for UTF-8 only if it begins with the mark of it
    texts = (f"\ufeff{as_csv(results)}", as_markdown(results, note))
    for name, text in zip(NAMES, texts, strict=True):
        # half a character in one verdict must not cost the others
        write_whole(place / name, text.encode(errors="backslashreplace"))
    say(f"The verdicts are in {' and '.join(str(place / name) for name in NAMES)}.")
    return results


WALLED = (
    "Each notebook ran behind walls: a file system that it could not write to, and no "
    "network."
)
OPEN = (
    "The notebooks ran without walls (this system gives none): what you may delete, a "
    "notebook may delete, and it may use the network."
)


def graded(one: Submission, limits: Limits, seed: int | None) -> list[Result]:
    """The results of one submission, whatever it does."""

    required: set[str] = set()

    def result(number: str, passed: bool, verdict: str) -> Result:
        name, wanted = one.notebook.name, number in required
        return Result(one.student, name, number, passed, verdict, wanted)

    try:
        notebook = read(one.notebook)
    except Unreadable as error:
        return [result("", False, f"not judged: {error}")]
    required |= required_in(notebook)
    asked, token = exercises_in(notebook), f"_{secrets.token_hex(12)}"
    if not asked:
        return [result("", False, "not judged: the notebook has none of the exercises")]
    cells, judges = with_judges(notebook, token, seed)
    job = {
        "notebook": cells,
        "judges": judges,
        "token": token,
        "limits": asdict(limits),
        "files": files_of(one),
    }
    verdicts, ended = run_box(job, limits)
    rest = f"not judged: {ended}" if ended else "not judged: no cell gave a verdict"
    answered = set(judges.values())
    missing = "not started yet: no cell of the notebook answers it"
    return [
        result(
            number,
            *verdicts.get(number, (False, rest if number in answered else missing)),
        )
        for number in asked
    ]


def files_of(one: Submission) -> dict[str, str]:
    """What lies beside a notebook in a student's own folder, if it is not too much."""
    if one.folder is None:
        return {}
    own = [
        path
        for path in one.folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    ]
    own = [path for path in own if path.suffix != ".ipynb"]
    if sum(path.stat().st_size for path in own) > LUGGAGE:
        return {}
    base = one.notebook.parent
    near = [path for path in own if path.is_relative_to(base)]
    return {
        path.relative_to(base).as_posix(): base64.b64encode(path.read_bytes()).decode()
        for path in near
    }


def run_box(
    job: dict[str, Any], limits: Limits
) -> tuple[dict[str, tuple[bool, str]], str]:
    """Run a job in a box; the verdicts by exercise, and why it ended early, if so."""
    verdicts: dict[str, tuple[bool, str]] = {}
    ended = "its process died; it may have asked for too much memory"
    for line in lines_of_box(job, limits):
        if "ended" in line:
            ended = line["ended"]
        else:
            verdicts[line["number"]] = (line["passed"], line["message"])
    return verdicts, ended


def lines_of_box(job: dict[str, Any], limits: Limits) -> Iterator[dict[str, Any]]:
    """The lines that a box reports; one says so if the time is over."""
    with tempfile.TemporaryDirectory(prefix="submission-") as name:
        folder, walled = Path(name), bool(walls())
        process = subprocess.Popen(
            [*walls(), *BOX],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(folder),
            cwd=folder,
            start_new_session=True,
        )
        text = json.dumps({**job, "folder": name, "walled": walled})
        try:
            said, _ = process.communicate(text.encode(), timeout=limits.seconds)
            late = False
        except subprocess.TimeoutExpired:
            end(process)
            said, _ = process.communicate()
            late = True
        finally:
            end(process)
        for line in said.decode(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)
        if late:
            yield {"ended": f"the notebook took longer than {limits.seconds:g} seconds"}


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started."""
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
        for one in family:
            with contextlib.suppress(psutil.Error):
                one.kill()
    process.kill()


def with_gaps(results: Sequence[Result]) -> list[Result]:
    """Give a student whose notebook could not be judged a row for every exercise."""
    numbers = list(dict.fromkeys(one.exercise for one in results if one.exercise))
    found: list[Result] = []
    for one in results:
        if one.exercise or not numbers:
            found.append(one)
        else:
            found += [replace(one, exercise=number) for number in numbers]
    return found
