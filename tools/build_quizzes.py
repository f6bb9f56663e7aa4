"""Make a quiz of each chapter's quick questions, as QTI: `make course`, or `python tools/build_quizzes.py`.

A zip for each chapter, which Canvas, Moodle and other systems import, by text2qti. Every option brings its
reason as feedback. Nothing is asked of the network, and no setting outside this folder is read or written.
"""

import argparse
import ast
import html
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from exercise_cells import LINK, ROOT, groups_of_pages

from llmbook_utils.widgets.question import EMPHASIS

FOLDER = ROOT / "_build" / "course" / "quizzes"
CODE = re.compile(r"(`[^`]*`)")
SPECIAL = re.compile(
    r"""[\\*_{}\[\]()#+\-.!|^~$:=%'"]"""
)  # what Markdown or text2qti would change


@dataclass(frozen=True)
class Question:
    """A quick question of a page: its text, and options as (text, correct, why)."""

    text: str
    options: list[tuple[str, bool, str]]


def questions_of(source: str) -> Iterator[Question]:
    """The quick questions that a cell shows; ValueError for one whose text is computed."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") == "QuickQuestion"
        ):
            given = dict(zip(("question", "options"), node.args, strict=False))
            given |= {one.arg: one.value for one in node.keywords if one.arg}
            yield Question(
                ast.literal_eval(given["question"]), ast.literal_eval(given["options"])
            )


def quizzes() -> Iterator[tuple[str, str, list[Question]]]:
    """Each chapter with quick questions: its name in files, its title, the questions."""
    for pages in groups_of_pages():
        cells = [
            cell for page in pages for cell in nbformat.read(page, as_version=4).cells
        ]
        title = LINK.sub(r"\1", cells[0].source.splitlines()[0].lstrip("# "))
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        found = [question for source in code for question in questions_of(source)]
        if found:
            yield pages[0].stem, title, found


def markdown(text: str) -> str:
    """A question's text, plain but for code and emphasis, as Markdown that shows just that."""
    parts = CODE.split(" ".join(text.split()))
    return "".join(part if part[:1] == "`" else with_emphasis(part) for part in parts)


def with_emphasis(text: str) -> str:
    parts = [as_entities(part) for part in EMPHASIS.split(text)]
    return "*".join(parts)  # it splits before and after each emphasis


def as_entities(text: str) -> str:
    """Plain text as HTML in which no sign means anything to Markdown."""
    return SPECIAL.sub(
        lambda sign: f"&#{ord(sign[0])};", html.escape(text, quote=False)
    )


def quiz_text(title: str, questions: list[Question]) -> str:
    """A quiz in text2qti's own format."""
    lines = [f"Quiz title: Quick questions: {title}", "Shuffle answers: true", ""]
    for number, question in enumerate(questions, 1):
        lines += ["Points: 1", f"{number}. {markdown(question.text)}"]
        for letter, (text, correct, why) in zip(
            "abcdefgh", question.options, strict=False
        ):
            lines.append(f"{'*' if correct else ''}{letter}) {markdown(text)}")
            lines.append(f"... {markdown(why)}")
        lines.append("")
    return "\n".join(lines)


def write_quiz(path: Path, title: str, questions: list[Question]) -> None:
    """Write one zip; ValueError, with the quiz's line, where text2qti does not take it."""
    from text2qti.config import Config
    from text2qti.err import Text2qtiError
    from text2qti.qti import QTI
    from text2qti.quiz import Quiz

    text = quiz_text(title, questions)
    try:
        QTI(Quiz(text, config=Config(), source_name=path.stem)).save(path)
    except Text2qtiError as error:
        raise ValueError(
            f"{path.stem}: text2qti does not take the quiz: {error}"
        ) from error


def build(folder: Path = FOLDER) -> list[Path]:
    """Write a zip for each chapter that has quick questions and return their paths."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = []
    for name, title, questions in quizzes():
        paths.append(folder / f"{name}.zip")
        write_quiz(paths[-1], title, questions)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    print(f"{len(build(folder))} quizzes are in {folder}")


if __name__ == "__main__":
    main()
