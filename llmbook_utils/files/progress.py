"""Which exercises have passed on this computer, in a file that the site can open.

Not built on a page. `LLMBOOK_PROGRESS` names another file, or is "off": then nothing
is noted.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock

from llmbook_utils.files.whole import write_whole

VARIABLE = "LLMBOOK_PROGRESS"
VERSION = 1  # of the record, as in _ext/book_site/progress/record.js
OFF = ("off", "0", "no", "false")


def progress_file() -> Path | None:
    """The file that exercises are noted in; None where that is switched off."""
    given = os.environ.get(VARIABLE, "").strip()
    if given.lower() in OFF:
        return None
    if given:
        return Path(given).expanduser()
    return platformdirs.user_data_path("llmbook") / "progress.json"


def read_progress(path: str | os.PathLike[str]) -> dict[str, str]:
    """Exercises that have passed, and since when; ValueError for a file that is none.

    A file that is not there holds no exercises yet.
    """
    path = Path(path)
    if not path.exists():
        return {}
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        if found["version"] != VERSION:
            raise ValueError(f"its version is {found['version']!r}, not {VERSION}")
        return {str(number): str(when) for number, when in found["exercises"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no record of passed exercises ({error}); move it away, or name "
            f"another file in {VARIABLE}"
        ) from None


def note_passed(number: str) -> None:
    """Add an exercise to the file; the first time that it passed counts.

    A file that cannot be read or written stays as it is: a verdict matters more.
    """
    path = progress_file()
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)  # the lock stands there, too
        with FileLock(path.with_suffix(".lock"), timeout=2):
            passed = read_progress(path)
            if number in passed:
                return
            passed[number] = datetime.now(UTC).isoformat(timespec="seconds")
            record = {"version": VERSION, "exercises": passed}
            write_whole(path, json.dumps(record, indent=1).encode() + b"\n")
    except (OSError, ValueError):
        return
