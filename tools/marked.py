"""What a tool writes into a Markdown page: all that stands below one of its headings, down to the next one."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def replaced(text: str, heading: str, body: str) -> str:
    """`text` with `body` below a heading, a whole line; ValueError unless there is one such line.

    >>> replaced("# A\\n\\nold\\n\\n## B\\n\\nkept\\n", "# A", "new")
    '# A\\n\\nnew\\n\\n## B\\n\\nkept\\n'
    """
    found = re.compile(
        rf"^{re.escape(heading)}\n.*?(?=^#+ |\Z)", re.DOTALL | re.MULTILINE
    )
    if (count := len(found.findall(text))) != 1:
        raise ValueError(f"{heading!r} stands {count} times on the page, expected once")
    return found.sub(lambda _: f"{heading}\n\n{body}\n\n", text).rstrip() + "\n"


def write(path: Path, text: str, check: bool) -> bool:
    """Write a page unless it holds `text` already, or unless only to `check`; tell whether it was out of date."""
    stale = path.read_text(encoding="utf-8") != text
    if stale and not check:
        path.write_text(text, encoding="utf-8")
    if stale:
        name = path.relative_to(ROOT)
        print(f"{name}: {'out of date' if check else 'wrote'} its tables")
    return stale
