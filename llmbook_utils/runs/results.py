"""Recorded runs: what was measured once, because it takes longer than a page should.

Not built on a page. The files lie in results/ of the repository, and in the folder
`recorded` of an installed package.
"""

import json
import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from llmbook_utils.files.whole import write_whole

HERE = Path(__file__).parents[1]
FOLDERS = (HERE.parent / "results", HERE / "recorded")


def load_result(name: str) -> dict[str, Any]:
    """The contents of results/`name`.json.

    An unknown name raises FileNotFoundError with those that there are.

    >>> load_result("mini")["recipe"]["steps"]
    5000
    """
    for folder in FOLDERS:
        if (path := folder / f"{name}.json").is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    known = sorted(path.stem for folder in FOLDERS for path in folder.glob("*.json"))
    raise FileNotFoundError(f"there is no result {name!r}; there are {known}")


def results_like(pattern: str) -> dict[str, dict[str, Any]]:
    """The contents of all results whose names match a pattern, in order; maybe none.

    >>> list(results_like("gpt2-small-story*"))
    ['gpt2-small-story', 'gpt2-small-story-seed-1']
    """
    paths = [path for folder in FOLDERS for path in folder.glob(f"{pattern}.json")]
    return {name: load_result(name) for name in sorted({path.stem for path in paths})}


def write_result(record: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a result: all of it or none, each innermost list or mapping on a line."""
    text = re.sub(
        r"[\[{][^\[\]{}]*[\]}]",  # with no others inside
        # a line break of the file; one in a text is written \\n
        lambda found: re.sub(r"\n *", " ", found[0]),
        json.dumps(record, indent=1),
    )
    write_whole(Path(path), text.encode() + b"\n")


def versions() -> dict[str, str]:
    """The versions of Python and PyTorch that a run was recorded with."""
    torch = metadata.version("torch").split("+")[0]  # without the kind of its build
    return {"python": platform.python_version(), "torch": torch}


def open_result(
    result: str | os.PathLike[str] | Mapping[str, Any], tool: str
) -> tuple[str, Any]:
    """The name and the contents of a result, given by its name, a path or itself.

    `tool` is the script that writes such files, for the messages. Other types raise
    TypeError, a path without a file FileNotFoundError, a file without JSON ValueError.
    """
    # a reader's own run may be at hand as a dict, without a file
    if isinstance(result, Mapping):
        return "your model", dict(result)
    if not isinstance(result, str | os.PathLike):
        raise TypeError(
            f"record is {type(result).__name__}; expected the name of a result, the "
            f"path of a file that {tool} wrote, or a dict"
        )
    path = Path(result)
    if isinstance(result, str) and path.suffix != ".json":
        return result, load_result(result)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; give the path of a record")
    try:
        return path.stem, json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is not a record: it does not hold JSON ({error})"
        ) from None


def parts_of(
    found: Any, parts: Mapping[str, type | tuple[type, ...]], name: str, tool: str
) -> dict[str, Any]:
    """The named parts of a mapping; ValueError where one is missing or of another type.

    >>> parts_of({"step": 3, "loss": 4.5}, {"step": int}, "a record", "a script")
    {'step': 3}
    """
    if not isinstance(found, Mapping):
        raise ValueError(f"{name} is {type(found).__name__}; expected a mapping")
    if missing := [part for part in parts if part not in found]:
        raise ValueError(
            f"{name} lacks {', '.join(map(repr, missing))}; expected what {tool} writes"
        )
    for part, kind in parts.items():
        if not isinstance(found[part], kind):
            raise ValueError(f"{part!r} in {name} is {type(found[part]).__name__}")
    return {part: found[part] for part in parts}
