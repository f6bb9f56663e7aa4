"""Recorded runs: what was measured once, because it takes longer than a page should.

Not built on a page. The files lie in results/ of the repository, and in the folder
`recorded` of an installed package.
"""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
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
