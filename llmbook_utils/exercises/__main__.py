"""`python -m llmbook_utils.exercises grade FOLDER`: verdicts on a folder of notebooks.

Not built on a page.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Grade a folder; ends with 2 where there is nothing to grade or to grade with."""
    try:
        from llmbook_utils.grading.folder import grade
        from llmbook_utils.grading.limits import Limits
    except ImportError as error:
        sys.exit(
            f"grading needs the package {error.name}, and a system with POSIX limits; "
            'install it with pip install "llmbook-utils[course]"'
        )
    parser = argparse.ArgumentParser(prog="python -m llmbook_utils.exercises")
    commands = parser.add_subparsers(dest="command", required=True, metavar="grade")
    one = commands.add_parser(
        "grade", help="run the notebooks of a folder and judge them"
    )
    one.add_argument("folder", type=Path, help="holds NAME.ipynb, or NAME/…ipynb, each")
    one.add_argument(
        "--to", type=Path, help="where the tables go (default: the folder)"
    )
    one.add_argument("--seed", type=int, default=1, help="of the second look's data")
    for limit in fields(Limits):
        flag = f"--{limit.name.replace('_', '-')}"
        text = "%(default)g at most, of " + WHAT[limit.name]
        one.add_argument(
            flag, type=float, default=limit.default, metavar="N", help=text
        )
    given = vars(parser.parse_args(arguments))
    try:
        limits = Limits(**{limit.name: given[limit.name] for limit in fields(Limits)})
        grade(given["folder"], to=given["to"], limits=limits, seed=given["seed"])
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


WHAT = {
    "cell_seconds": "the seconds of a cell",
    "seconds": "the seconds of a notebook",
    "memory": "the MB of address space",
    "output": "the MB that it prints",
    "file": "the MB of a file that it writes",
    "disk": "the MB of all its files",
}

if __name__ == "__main__":
    main()
