"""`python -m llmbook_utils.exercises grade FOLDER` is `llmbook grade FOLDER`.

Not built on a page.
"""

import sys
from collections.abc import Sequence

from llmbook_utils.cli import main as llmbook


def main(arguments: Sequence[str]) -> None:
    """Grade a folder; anything but `grade` ends with 2 and says what there is."""
    if arguments[:1] != ["grade"]:
        print(
            "python -m llmbook_utils.exercises grade FOLDER judges the notebooks of a "
            "folder; nothing else is done here",
            file=sys.stderr,
        )
        sys.exit(2)
    llmbook(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
