"""A submission as it is run: the student's cells, and a judge's after each answer.

Not built on a page.
"""

import ast
import json
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

LARGEST = 20_000_000  # bytes of a notebook that is read at all
NUMBER = re.compile(r"""check\(\s*["']((?:\d{1,2}|[A-Z])\.\d+)["']""")

REQUIRED = re.compile(r"^### Exercise ([\dA-Z]+\.\d+): .*\s+\*Required\.\*", re.M)


class Unreadable(Exception):
    """A file that is no notebook, with a sentence that says why."""


def read(path: Path) -> NotebookNode:
    """Read a notebook of any version; Unreadable says what is wrong with the file."""
    if path.is_symlink() or not path.is_file():
        raise Unreadable("it is a link or no file; hand in the notebook itself")
    if (size := path.stat().st_size) > LARGEST:
        raise Unreadable(
            f"it has {size:,} bytes; {LARGEST:,} are read at most, so clear its outputs"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON text, as notebooks are ({error})") from None
    if not isinstance(data, dict) or not {"cells", "worksheets"} & set(data):
        raise Unreadable("it has no cells; it is JSON, but no notebook")
    try:
        notebook = nbformat.reads(json.dumps(data), as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        raise Unreadable(f"it is no valid notebook ({str(error)[:200]})") from None
    return notebook


def exercises_in(notebook: NotebookNode) -> list[str]:
    """The exercises of a notebook: those it was made for, else those that it checks."""
    made_for = notebook.metadata.get("llmbook", {}).get("exercises")
    if isinstance(made_for, list):
        return [str(number) for number in made_for]
    found = [number for cell in notebook.cells for number in numbers_of(cell)]
    return list(dict.fromkeys(found))


def required_in(notebook: NotebookNode) -> set[str]:
    """The exercises that a notebook calls required, in its metadata or its texts."""
    made_for = notebook.metadata.get("llmbook", {}).get("required")
    if isinstance(made_for, list):
        return {str(number) for number in made_for}
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return {number for text in texts for number in REQUIRED.findall(text)}


def numbers_of(cell: NotebookNode) -> list[str]:
    """The exercises that a code cell answers, by its tag, or else by its `check`."""
    if cell.cell_type != "code":
        return []
    tags = [str(tag) for tag in cell.metadata.get("tags", [])]
    tagged = [tag.partition(":")[2] for tag in tags if tag.startswith("exercise:")]
    return tagged or NUMBER.findall(cell.source)


def answer_of(cell: NotebookNode, number: str) -> str:
    """The expression that a cell gives `check`, else the one that it was made for."""
    made_for = str(cell.metadata.get("llmbook", {}).get("answer", ""))
    try:
        return checked(cell.source, number) or made_for
    except (SyntaxError, ValueError, RecursionError):
        return made_for


def checked(source: str, number: str) -> str:
    """The expression that the last `check` of an exercise is given; "" without one.

    >>> checked('check("2.1", [a, b])', "2.1")
    '[a, b]'
    """
    found = ""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "check"
            and len(node.args) > 1
            and isinstance(node.args[0], ast.Constant)
            and node.args[0].value == number
        ):
            found = ast.unparse(node.args[1])
    return found


def with_judges(
    notebook: NotebookNode, token: str, seed: int | None
) -> tuple[NotebookNode, dict[int, str]]:
    """The cells to run, and which of them judges which exercise.

    A judge stands after the last cell that answers its exercise. Otter's cells are left
    out: what they check is judged here.
    """
    kept = [cell for cell in notebook.cells if not _is_otters(cell)]
    last = {number: at for at, cell in enumerate(kept) for number in numbers_of(cell)}
    cells = [
        v4.new_code_cell(f"from llmbook_utils.grading.judge import judge as {token}")
    ]
    judges: dict[int, str] = {}
    for at, cell in enumerate(kept):
        if cell.cell_type != "code":
            continue
        cells.append(v4.new_code_cell(cell.source))
        for number in dict.fromkeys(numbers_of(cell)):
            if last[number] == at and (answer := answer_of(cell, number)):
                call = f'{token}("{number}", lambda: ({answer}), "{token}", {seed})'
                judges[len(cells)] = number
                cells.append(v4.new_code_cell(call))
    return v4.new_notebook(cells=cells), judges


def _is_otters(cell: NotebookNode) -> bool:
    return bool(re.search(r"^(grader\.|import otter\b)", cell.source, re.MULTILINE))
