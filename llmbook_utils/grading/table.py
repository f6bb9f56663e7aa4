"""The table of a class: a row for each student and exercise, as CSV and as Markdown.

Not built on a page.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

COLUMNS = ("student", "notebook", "exercise", "passed", "verdict")


@dataclass(frozen=True)
class Result:
    """What was found for one exercise of one student; no exercise: for the notebook."""

    student: str
    notebook: str
    exercise: str
    passed: bool
    verdict: str

    @property
    def mark(self) -> str:
        """A sign for the table: passed, not yet, or nothing to judge."""
        if self.passed:
            return "✓"
        return "–" if self.verdict.startswith(("not started", "not judged")) else "✗"


def as_csv(results: Iterable[Result]) -> str:
    """A line for each student and exercise. A cell never begins like a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in results:
        row = [one.student, one.notebook, one.exercise]
        row += ["yes" if one.passed else "no", one.verdict]
        writer.writerow(
            [f"'{cell}" if cell[:1] in tuple("=+-@") else cell for cell in row]
        )
    return text.getvalue()


def as_markdown(results: Sequence[Result], note: str) -> str:
    """Students down, exercises across, and the verdicts' sentences below."""
    exercises = list(dict.fromkeys(one.exercise for one in results if one.exercise))
    students = list(dict.fromkeys(one.student for one in results))
    marks = {(one.student, one.exercise): one.mark for one in results}
    lines = ["# Verdicts", "", f"✓ passed, ✗ not yet, – nothing to judge. {note}", ""]
    lines.append(f"| student | {' | '.join(exercises)} | passed |")
    lines.append("|---|" + "---|" * (len(exercises) + 1))
    for student in students:
        row = [marks.get((student, number), "–") for number in exercises]
        lines.append(
            f"| {_plain(student)} | {' | '.join([*row, str(row.count('✓'))])} |"
        )
    for student in students:
        lines += ["", f"## {_plain(student)}", ""]
        lines += [
            f"- {one.exercise or one.notebook}: {_plain(one.verdict)}"
            for one in results
            if one.student == student
        ]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text that neither ends a cell of the table nor is read as HTML."""
    text = " ".join(text.split()).replace("|", "\\|")
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
