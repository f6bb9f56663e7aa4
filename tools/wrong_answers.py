"""Write what the checks say to wrong answers into the instructor guide: `make sync` does that.

The answers are those that the tests plant for each exercise. A chapter is judged again where its
checks or its planted answers have changed, which its page's last line tells; with `--all`, each is.
"""

import argparse
import contextlib
import hashlib
import importlib
import io
import re
import sys
from functools import cache

import marked
from back_links import slug
from counts import PLANTED
from minutes import ROOT

from llmbook_utils.exercises import check, module_of, registered

HEADING = "## Wrong answers, and what the check says"
LONG = 100  # characters of a message, from which on its beginning may be left out
# what a chapter's module judges stands on these pages of the guide
PAGES = {
    "ch01": ["course/guide-01.md"],
    "ch02": ["course/guide-02.md"],
    "ch03": ["course/guide-03.md"],
    "ch04": ["course/guide-04.md"],
    "ch05": ["course/guide-05.md", "course/guide-05b.md", "course/guide-05c.md"],
    "ch06": ["course/guide-06.md"],
    "ch07": ["course/guide-07.md"],
    "app_a": ["course/guide-a.md"],
    "app_d": ["course/guide-d.md"],
    "app_e": ["course/guide-e.md"],
}
Row = tuple[str, str]  # the mistake, and what the check says


def numbers(module: str, page: str) -> list[str]:
    """The exercises that a page of the guide is about: those of the page of the book that it names."""
    text = (ROOT / book_page(page)).read_text(encoding="utf-8")
    return [
        number
        for number in registered()
        if module_of(number) == module and f'"exercise:{number}"' in text
    ]


def book_page(page: str) -> str:
    """The page of the book that a page of the guide is about: `guide-05b` is about `05b-…`."""
    key = page.removeprefix("course/guide-").removesuffix(".md")
    folder = "chapters" if key[0].isdigit() else "appendices"
    (path,) = (ROOT / folder).glob(f"{key}-*.ipynb")
    return path.relative_to(ROOT).as_posix()


@cache
def planted(module: str) -> dict[str, list[tuple[str, str, object]]]:
    """The wrong answers of a module: for each exercise (mistake, words of its message, answer)."""
    sys.path.insert(0, str(PLANTED.parent))
    try:
        found: dict[str, list[tuple[str, str, object]]] = importlib.import_module(
            f"planted.{module}"
        ).PLANTED
    finally:
        sys.path.remove(str(PLANTED.parent))
    return found


def said(message: str, words: str) -> str:
    """A message as the guide quotes it: where it is long, from the clause on that names the mistake.

    >>> said("not yet: it is 3, not 4", "not 4")
    'it is 3, not 4'
    >>> said("not yet: f(" + "1, " * 40 + ") gives 3: the sum is missing", "sum is")
    '… the sum is missing'
    >>> said("not yet: your code stopped with KeyError: 3 (f, line 7, `a[3]`).", "KeyError")
    'your code stopped with KeyError: 3'
    """
    message = message.removeprefix("not yet: ")
    # where the planted answer stands is of no use to a teacher, and addresses change
    message = re.sub(r"(your code stopped .*?) \([^()]*, line \d+.*", r"\1", message)
    message = re.sub(r" object at 0x[0-9a-f]+>?", " object>", message)
    before = message[: message.find(words)]
    cut = before.rfind(": ") + 2
    if len(message) > LONG and cut > 1 and "your code stopped" not in before:
        return f"… {message[cut:]}"
    return message


def judged(module: str, number: str) -> list[Row]:
    """What the check says to each planted answer of an exercise."""
    rows = []
    for mistake, words, answer in planted(module)[number]:
        with contextlib.redirect_stdout(io.StringIO()):
            rows.append((mistake, said(check(number, answer).message, words)))
    return rows


def escaped(text: str) -> str:
    """`text` in a cell of a Markdown table, sign by sign as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|$~#&])", r"\\\1", " ".join(text.split()))


def folded(number: str, page: str, rows: list[Row]) -> str:
    """The table of one exercise, which opens with a click."""
    title = f"Exercise {number}: {registered()[number].title}"
    lines = [
        f"<details><summary>{title}, {len(rows)} answers</summary>",
        "",
        f"The task: [{number}](../{book_page(page)}#{slug(title.replace('`', ''))})",
        "",
        "| the mistake | the check says |",
        "|---|---|",
        *(f"| {escaped(mistake)} | {escaped(what)} |" for mistake, what in rows),
        "",
        "</details>",
    ]
    return "\n".join(lines)


def fingerprint(module: str) -> str:
    """Changes with a chapter's checks and planted answers."""
    checks = ROOT / "llmbook_utils" / "exercises" / f"{module}.py"
    both = checks.read_bytes() + (PLANTED / f"{module}.py").read_bytes()
    return hashlib.sha256(both).hexdigest()[:12]


def last_line(module: str) -> str:
    return f"*Written from the checks and the planted answers `{module}`, as of {fingerprint(module)}.*"


def body(module: str, page: str) -> str:
    tables = [folded(n, page, judged(module, n)) for n in numbers(module, page)]
    return "\n\n".join([*tables, last_line(module)])


def sync(check: bool, every: bool = False) -> bool:
    """Write the tables that are out of date; tell whether there were any."""
    stale = []
    for module, pages in PAGES.items():
        for page in pages:
            path = ROOT / page
            text = path.read_text(encoding="utf-8")
            if every or last_line(module) not in text:
                new = marked.replaced(text, HEADING, body(module, page))
                stale.append(marked.write(path, new, check))
    return any(stale)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only report")
    parser.add_argument("--all", action="store_true", help="judge every chapter")
    options = parser.parse_args()
    return int(sync(options.check, options.all) and options.check)


if __name__ == "__main__":
    sys.exit(main())
