"""The table of a class: a row for each student and exercise, as CSV and as Markdown.

Not built on a page.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

COLUMNS = ("student", "notebook", "exercise", "required", "passed", "verdict")


@dataclass(frozen=True)
class Result:
    """What was found for one exercise of one student; no exercise: for the notebook."""

    student: str
    notebook: str
    exercise: str
    passed: bool
    verdict: str
    required: bool = False

    @property
    def mark(self) -> str:
        """A sign for the table: passed, not yet, or nothing to judge."""
        if self.passed:
            return "✓"
        return "–" if self.verdict.startswith(("not started", "not judged")) else "✗"


def yes(true: bool) -> str:
    return "yes" if true else "no"


def as_csv(results: Iterable[Result]) -> str:
    """A line for each student and exercise. A cell never begins like a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in results:
        row = [one.student, one.notebook, one.exercise, yes(one.required)]
        row += [yes(one.passed), one.verdict]
        writer.writerow(
            [f"'{cell}" if cell[:1] in tuple("=+-@") else cell for cell in row]
        )
    return text.getvalue()


def as_markdown(results: Sequence[Result], note: str) -> str:
    """Students down, exercises across, and the verdicts' sentences below.

    The best counts where a student has handed in an exercise more than once.
    """
    exercises = list(dict.fromkeys(one.exercise for one in results if one.exercise))
    required = {one.exercise for one in results if one.required}
    heads = [f"**{name}**" if name in required else name for name in exercises]
    lines = ["# Verdicts", "", f"✓ passed, ✗ not yet, – nothing to judge. {note}"]
    if required:
        lines[-1] += " Required exercises are in bold."
    lines += ["", f"| student | {' | '.join(heads)} | required passed | passed |"]
    lines.append("|---|" + "---|" * (len(exercises) + 2))
    for student, own in _by(results, "student").items():
        marks = {name: _best(own, name) for name in exercises}
        passed = {name for name, mark in marks.items() if mark == "✓"}
        counts = [f"{len(passed & required)} of {len(required)}", f"{len(passed)}"]
        row = " | ".join([_plain(student), *marks.values(), *counts])
        lines.append(f"| {row} |")
    for student, own in _by(results, "student").items():
        lines += ["", f"## {_plain(student)}"]
        notebooks = _by(own, "notebook")
        for notebook, verdicts in notebooks.items():
            lines += ["", f"### {_plain(notebook)}"] if len(notebooks) > 1 else []
            lines += ["", *(_line(one) for one in verdicts)]
    return "\n".join(lines) + "\n"


def _by(results: Iterable[Result], field: str) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for one in results:
        groups.setdefault(getattr(one, field), []).append(one)
    return groups


def _best(own: Iterable[Result], exercise: str) -> str:
    found = {one.mark for one in own if one.exercise == exercise}
    return next((mark for mark in "✓✗" if mark in found), "–")


def _line(one: Result) -> str:
    return f"- {one.exercise or _plain(one.notebook)}: {_plain(one.verdict)}"


def _plain(text: str) -> str:
    """Text that neither ends a cell of the table nor is read as HTML."""
    text = " ".join(text.split()).replace("|", "\\|")
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
