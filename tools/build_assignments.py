"""Make the assignments of the course out of the pages: `make course`, or `python tools/build_assignments.py`.

For each chapter and appendix with exercises: a notebook for students (the exercises, what they need, cells
to fill in), the same with otter-grader's cells, the solutions, and the zip with public and hidden tests that
Gradescope, `otter grade` and `otter run` take. A test is the book's own judge; a hidden one gives it another
seed, and so other data. Nothing is asked of the network.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml
from exercise_cells import (
    LINK,
    ROOT,
    Task,
    groups_of_pages,
    setup_of,
    solutions,
    tags,
    tasks_of,
)
from nbformat import NotebookNode, v4

from llmbook_utils.env import variable

FOLDER = ROOT / "_build" / "course" / "assignments"
SEED = 1  # of the hidden tests; a teacher chooses another one
POINTS = {True: 2, False: 1}  # required; optional, which come on top
PACKAGE = [
    "llmbook_utils",
    "profiles",
    "results",
    "pyproject.toml",
    "README.md",
    "LICENSE",
]
LARGEST = 25e6  # bytes of what a student gets
KERNEL = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
INTRO = """# Exercises: {title}

From the book *A Large Language Model from Scratch*, where the chapter is; the text of the exercises is under CC BY 4.0.

Fill in the cells, run them, and read what `check` says: it tells you what is wrong, as often as you like. Stuck? `hint("{first}")` gives a vague hint, `hint("{first}", 2)` and `hint("{first}", 3)` better ones. A *required* exercise gives {required} points, half of them for tests with other data than `check` uses; an *optional* one gives {optional} point on top. The required ones together give {total} points, which is all that is asked for. Do not rename what a cell asks for.

Run the cells of the set-up first."""
START = """Exercises of "A Large Language Model from Scratch"

Here are a notebook for each chapter and the book's library. You need Python 3.11 or newer.

1. Open a terminal in this folder, and install, once:

     python3 -m venv env
     env/bin/pip install jupyterlab {wheel}

   On Windows:

     py -m venv env
     env\\Scripts\\pip install jupyterlab {wheel}

   This fetches PyTorch, which is large. On Linux, put this at the end of the second line for a
   smaller build: --extra-index-url https://download.pytorch.org/whl/cpu

2. Start, each time:

     env/bin/jupyter lab            (on Windows: env\\Scripts\\jupyter lab)

   Open the notebook of your chapter, run the cells of the set-up, fill in an answer, run it, and
   read what the check says. No exercise needs a network.

3. Hand in: choose "Restart Kernel and Run All Cells" in the menu "Run" and see that the checks
   still say what they said, save, and hand in the .ipynb file. Leave the cells of the answers
   where they are; cells of your own may stand between them.
"""
TEST = '''""" # BEGIN TEST CONFIG
hidden: {hidden}
points: {points}
""" # END TEST CONFIG
def {name}({names}):
    from llmbook_utils.exercises import check
    verdict = check("{number}", {answer}{seed})
    assert verdict, verdict.message'''


@dataclass(frozen=True)
class Part:
    """The exercises of one page, and the code that sets them up."""

    title: str
    setup: str
    tasks: list[Task]


@dataclass(frozen=True)
class Assignment:
    """What is handed out for a chapter: its name in files, its title, its parts, one for each page."""

    name: str
    title: str
    parts: list[Part]
    colab: str  # the first cell, which fetches the library in Colab

    @property
    def tasks(self) -> list[Task]:
        return [task for part in self.parts for task in part.tasks]

    @property
    def points(self) -> int:
        """What the required exercises give together."""
        return sum(POINTS[True] for task in self.tasks if task.required)


def assignments() -> Iterator[Assignment]:
    """The assignments of the book, in its order."""
    known = solutions()
    for group in groups_of_pages():
        given: set[str] = set()
        parts, colab = [], ""
        for page in group:
            cells = nbformat.read(page, as_version=4).cells
            tasks = tasks_of(cells, known, given)
            title = cells[0].source.splitlines()[0].lstrip("# ")
            colab = next(cell.source for cell in cells if "colab-setup" in tags(cell))
            if tasks:
                parts.append(
                    Part(LINK.sub(r"\1", title), setup_of(cells, tasks), tasks)
                )
        if parts:
            yield Assignment(group[0].stem, parts[0].title, parts, colab)


ASSIGNMENTS = list(assignments())


def question(task: Task) -> str:
    return f"q{task.number.replace('.', '_')}"


def cell_id(kind: str, task: Task) -> str:
    return f"{kind}-{task.number.replace('.', '-').lower()}"


def markdown(text: str, name: str) -> NotebookNode:
    return v4.new_markdown_cell(text, id=name)


def code(text: str, name: str, **metadata: object) -> NotebookNode:
    return v4.new_code_cell(text, id=name, metadata=metadata)


def opening(assignment: Assignment) -> list[NotebookNode]:
    intro = INTRO.format(
        title=assignment.title,
        first=assignment.tasks[0].number,
        required=POINTS[True],
        optional=POINTS[False],
        total=assignment.points,
    )
    return [
        markdown(intro, "intro"),
        code(assignment.colab, "colab", tags=["colab-setup"]),
    ]


def heading(part: Part, at: int, assignment: Assignment) -> list[NotebookNode]:
    """The set-up of a part, below the title of its page where there are several."""
    title = f"## {part.title}\n\n" if len(assignment.parts) > 1 else ""
    text = f"{title}**Set-up.** What the exercises {'of this part ' if title else ''}build on:"
    return [
        markdown(text, f"part-{at}"),
        code(part.setup, f"setup-{at}", tags=["setup"]),
    ]


def metadata(task: Task) -> dict[str, object]:
    """What a grader reads from an answer cell: the exercise, and the expression that is the answer."""
    return {"tags": [f"exercise:{task.number}"], "llmbook": {"answer": task.answer}}


def student_notebook(
    assignment: Assignment, answers: dict[str, str] | None = None
) -> NotebookNode:
    """The notebook that is handed out; `answers` fills cells in, as tests and solutions do."""
    cells = opening(assignment)
    for at, part in enumerate(assignment.parts, 1):
        cells += heading(part, at, assignment)
        for task in part.tasks:
            source = (answers or {}).get(task.number, task.stub)
            marked = {**metadata(task), "otter": {"tests": [question(task)]}}
            cells.append(markdown(task.text, cell_id("text", task)))
            cells.append(code(source, cell_id("answer", task), **marked))
    own = {
        "llmbook": {
            "assignment": assignment.name,
            "exercises": [task.number for task in assignment.tasks],
            "required": [task.number for task in assignment.tasks if task.required],
        },
        "otter": {"assignment_name": assignment.name},  # so that the zip takes it too
    }
    return v4.new_notebook(cells=cells, metadata=KERNEL | own)


def solution_of(task: Task) -> str:
    """Appendix C's code for an answer cell, with the check below it."""
    parts = [task.prelude, task.own_solution, f'check("{task.number}", {task.answer})']
    return "\n\n\n".join(part for part in parts if part)


def test_cell(task: Task, hidden: bool, seed: int) -> NotebookNode:
    """One of otter's tests: the book's judge on what the cell has left, its message if it fails."""
    names = sorted(
        {name for name in task.answer.strip("[]()").split(", ") if name.isidentifier()}
    )
    source = TEST.format(
        hidden=str(hidden).lower(),
        points=POINTS[task.required] / 2,
        name="other_data" if hidden else "as_check_says",
        names=", ".join(names),
        number=task.number,
        answer=task.answer,
        seed=f", seed={seed}" if hidden else "",
    )
    return code(source, cell_id("hidden" if hidden else "public", task))


def master_question(task: Task, seed: int) -> list[NotebookNode]:
    """A question in otter's master format."""

    def raw(text: str, place: str) -> NotebookNode:
        return v4.new_raw_cell(text, id=cell_id(place, task))

    answer = "\n".join(
        [
            "# BEGIN SOLUTION NO PROMPT",
            "\n\n".join(filter(None, (task.prelude, task.own_solution))),
            "# END SOLUTION",
            '""" # BEGIN PROMPT',
            task.stub,
            '""" # END PROMPT',
        ]
    )
    settings = {"name": question(task), "points": POINTS[task.required]}
    return [
        raw("# BEGIN QUESTION\n" + yaml.safe_dump(settings), "begin"),
        markdown(task.text, cell_id("text", task)),
        raw("# BEGIN SOLUTION", "solution"),
        code(answer, cell_id("answer", task), **metadata(task)),
        raw("# END SOLUTION", "solved"),
        raw("# BEGIN TESTS", "tests"),
        test_cell(task, False, seed),
        test_cell(task, True, seed),
        raw("# END TESTS", "tested"),
        raw("# END QUESTION", "end"),
    ]


def master_notebook(assignment: Assignment, seed: int, wheel: str) -> NotebookNode:
    """The notebook that `otter assign` makes the rest of."""
    settings = {
        "name": assignment.name,
        "requirements": "requirements.txt",
        "overwrite_requirements": True,
        "python_version": "3.11",
        "autograder_files": [wheel],
        "export_cell": {"pdf": False, "run_tests": False, "ignore_log": True},
        "tests": {"ok_format": False},
    }
    config = "# ASSIGNMENT CONFIG\n" + yaml.safe_dump(settings, sort_keys=False)
    cells = [v4.new_raw_cell(config, id="config"), *opening(assignment)]
    for at, part in enumerate(assignment.parts, 1):
        cells += heading(part, at, assignment)
        for task in part.tasks:
            cells += master_question(task, seed)
    return v4.new_notebook(cells=cells, metadata=KERNEL)


def requirements(wheel: str) -> str:
    """What the grading image installs from the network, and the book's library from the zip."""
    return "\n".join(
        [
            "--extra-index-url https://download.pytorch.org/whl/cpu",
            "otter-grader>=7,<8",
            "ipykernel",
            f"/autograder/source/files/{wheel}",
            "",
        ]
    )


def build_wheel(folder: Path) -> Path:
    """The book's library as a wheel, made from a copy so that nothing is left beside the sources."""
    with tempfile.TemporaryDirectory() as copy:
        for name in PACKAGE:
            source = ROOT / name
            if source.is_dir():
                skip = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, Path(copy) / name, ignore=skip)
            else:
                shutil.copy(source, copy)
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
        ]
        subprocess.run([*command, "--wheel-dir", folder, copy], check=True)
    (wheel,) = folder.glob("llmbook_utils-*.whl")
    return wheel


@contextlib.contextmanager
def plain_kernels() -> Iterator[None]:
    """Kernels of no user's own settings, which do not warn of the network that they run on."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile_default"
        profile.mkdir()
        settings = "c.IPKernelApp.log_level = 'ERROR'\n"
        (profile / "ipython_kernel_config.py").write_text(settings, encoding="utf-8")
        with variable("IPYTHONDIR", folder):
            yield


def assign(
    assignment: Assignment, folder: Path, wheel: Path, seed: int, run_tests: bool
) -> None:
    """Let otter make its student notebook and the zip, and with `run_tests` try the solutions."""
    from otter.assign import main as otter_assign

    with tempfile.TemporaryDirectory() as work:
        place = Path(work)
        shutil.copy(wheel, place)
        (place / "requirements.txt").write_text(
            requirements(wheel.name), encoding="utf-8"
        )
        master = place / f"{assignment.name}.ipynb"
        nbformat.write(master_notebook(assignment, seed, wheel.name), master)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            otter_assign(
                str(master),
                str(place / "made"),
                no_pdfs=True,
                no_run_tests=not run_tests,
            )
        made = place / "made"
        (folder / "otter").mkdir(parents=True, exist_ok=True)
        shutil.copy(made / "student" / master.name, folder / "otter" / master.name)
        (zipped,) = (made / "autograder").glob("*.zip")
        shutil.copy(zipped, folder / "autograder.zip")


def write_assignment(
    assignment: Assignment, folder: Path, wheel: Path, seed: int, run_tests: bool
) -> None:
    """All files of an assignment, below a folder of its name."""
    place = folder / assignment.name
    place.mkdir(parents=True)
    nbformat.write(student_notebook(assignment), place / f"{assignment.name}.ipynb")
    solved = {task.number: solution_of(task) for task in assignment.tasks}
    nbformat.write(student_notebook(assignment, solved), place / "solutions.ipynb")
    assign(assignment, place, wheel, seed, run_tests)


def student_zip(folder: Path, chosen: list[Assignment], wheel: Path) -> Path:
    """The notebooks of all assignments, the library, and what to do with them."""
    path = folder / "students.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(wheel, wheel.name)
        archive.writestr("START.txt", START.format(wheel=wheel.name))
        for one in chosen:
            archive.write(folder / one.name / f"{one.name}.ipynb", f"{one.name}.ipynb")
    if path.stat().st_size > LARGEST:
        raise ValueError(
            f"{path} has {path.stat().st_size:,} bytes; a student gets {LARGEST:,.0f} at most"
        )
    return path


def build(
    folder: Path = FOLDER,
    *,
    seed: int = SEED,
    only: str = "",
    run_tests: bool = True,
    wheel: Path | None = None,
) -> list[Path]:
    """Write the assignments (with `only`, the one whose name begins so) and return their folders.

    With `run_tests`, the solutions are run against public and hidden tests, and a solution that does not pass
    is an error: with some seeds what is drawn looks like a mistake. Raises ValueError where no assignment
    begins with `only`, and where what students get is larger than 25 MB.
    """
    chosen = [one for one in ASSIGNMENTS if one.name.startswith(only)]
    if not chosen:
        raise ValueError(f"no chapter's name begins with {only!r}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wheel = wheel or build_wheel(folder)
    with plain_kernels():
        for assignment in chosen:
            write_assignment(assignment, folder, wheel, seed, run_tests)
    student_zip(folder, chosen, wheel)
    return [folder / one.name for one in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument(
        "--seed",
        type=int,
        default=SEED,
        help="of the hidden tests' data (default: %(default)s)",
    )
    parser.add_argument(
        "--only", default="", help="the chapter whose name begins so, such as 02"
    )
    parser.add_argument(
        "--untried",
        action="store_true",
        help="do not run the solutions against the tests",
    )
    given = parser.parse_args()
    folders = build(
        given.folder, seed=given.seed, only=given.only, run_tests=not given.untried
    )
    print(f"{len(folders)} assignments are in {given.folder}")


if __name__ == "__main__":
    main()
