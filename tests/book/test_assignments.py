"""Assignments: every exercise is in one, with what it needs; otter's scores and sentences are the judges'.

Chapter 1 is built, and run blank, wrong and right, with each `make test`; the others weekly.
"""

import ast
import functools
import importlib
import json
import os
import re
import zipfile

import build_assignments
import nbformat
import pytest
from build_assignments import (
    ASSIGNMENTS,
    POINTS,
    question,
    solution_of,
    student_notebook,
)
from exercise_cells import ROOT, read_names
from nbclient import NotebookClient

from llmbook_utils.exercises import check, module_of, registered

ALL = registered()
NAMES = [one.name for one in ASSIGNMENTS]
TASKS = {task.number: task for one in ASSIGNMENTS for task in one.tasks}
# what is fixed by its nature: a number or the like as answer, or a task whose data is the task itself
FIXED = {"2.7", "3.12", "5.7", "5.11", "6.8", "7.5", "D.5", "D.7"}
HAND = {
    "1.3",
    "1.5",
    "1.6",
    "2.4",
    "3.4",
    "4.5",
    "5.1",
    "5.9",
    "6.1",
    "7.1",
    "7.7",
    "A.1",
    "A.5",
    "D.3",
    "E.2",
}


def assignment(name: str):
    return next(one for one in ASSIGNMENTS if one.name == name)


def test_every_exercise_is_in_one_assignment_in_the_books_order():
    assert [task.number for one in ASSIGNMENTS for task in one.tasks] == list(ALL)


@pytest.mark.parametrize("number", ALL)
def test_an_exercise_is_taken_from_the_page_as_it_stands(number):
    task = TASKS[number]
    assert task.title == ALL[number].title and task.answer
    assert task.text.startswith(f"### Exercise {number}:")
    assert "](../" not in task.text and "](#" not in task.text, (
        "a link leads out of the notebook"
    )
    assert not re.search(r"cell below|below the cell|corpus above", task.text), (
        "what is meant stands on the page only"
    )
    assert task.required == ("*Required.*" in task.text)


@pytest.mark.parametrize("name", NAMES)
def test_a_student_notebook_has_all_that_its_stubs_read(name):
    known = {"__name__"}
    for cell in student_notebook(assignment(name)).cells:
        if cell.cell_type == "code" and "colab-setup" not in cell.metadata.tags:
            tree = ast.parse(cell.source)
            bound = {
                n.id
                for n in ast.walk(tree)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
            bound |= {
                n.name
                for n in tree.body
                if isinstance(n, ast.FunctionDef | ast.ClassDef)
            }
            bound |= {
                (a.asname or a.name).partition(".")[0]
                for n in tree.body
                if isinstance(n, ast.Import | ast.ImportFrom)
                for a in n.names
            }
            missing = read_names(cell.source) - known - bound
            assert not missing, f"{cell.id} reads {missing}"
            known |= bound


def test_a_student_notebook_is_the_same_each_time_and_valid():
    first, second = (student_notebook(assignment(NAMES[0])) for _ in range(2))
    assert first == second
    nbformat.validate(first)


@pytest.mark.parametrize("number", sorted(set(ALL) - FIXED - HAND))
def test_a_seed_gives_other_data(number, arguments):
    assert arguments(number, None) == arguments(number, None), (
        "a reader's check draws differently each time"
    )
    assert arguments(number, None) != arguments(number, 1), (
        "the hidden test has the public one's data"
    )


@pytest.fixture
def arguments(monkeypatch):
    """What an exercise's judge draws, as the sequence of what was asked of `varied` and `fresh`."""
    import random

    import llmbook_utils.exercises as framework

    def drawn(number: str, seed: int | None) -> list[object]:
        module, found = importlib.import_module(ALL[number].judge.__module__), []

        def varied(value: int) -> int:
            found.append(framework.varied(value))
            return found[-1]

        def fresh(count: int) -> list[random.Random]:
            chances = framework.fresh(count)
            found.append(len(chances))
            return chances

        with monkeypatch.context() as patched:
            for name, function in (("varied", varied), ("fresh", fresh)):
                if hasattr(module, name):
                    patched.setattr(module, name, function)
            check(number, right(number), seed=seed)
        return found

    return drawn


def planted(number: str, at: int = 0):
    """A wrong answer of those that the judge's own test plants."""
    module = module_of(number)
    return importlib.import_module(f"planted.{module}").PLANTED[number][at][2]


@functools.cache
def right(number: str):
    """The answer that Appendix C's code leaves, made where all that it reads is there."""
    owner = next(
        one for one in ASSIGNMENTS if number in [task.number for task in one.tasks]
    )
    space: dict = {}
    for task in owner.tasks:
        names = read_names(TASKS[number].own_solution)
        if task.number == number or task.answer in names:
            exec(f"{task.prelude}\n\n{task.own_solution}", space)
    return eval(TASKS[number].answer, space)


@pytest.mark.parametrize("number", sorted(set(ALL) - FIXED - HAND))
def test_the_solution_passes_with_the_seed_of_the_hidden_tests(number):
    verdict = check(number, right(number), seed=build_assignments.SEED)
    assert verdict, verdict.message


@pytest.mark.slow
@pytest.mark.parametrize("number", sorted(set(ALL) - {"D.7", "5.11"}))
def test_a_wrong_answer_does_not_pass_with_the_seed_of_the_hidden_tests(number):
    assert not check(number, planted(number), seed=build_assignments.SEED)


def test_the_teachers_page_names_the_exercises_without_other_data():
    text = (ROOT / "course" / "assignments.md").read_text(encoding="utf-8")
    count, total, numbers = re.search(
        r"These are (\d+) of the (\d+): (.+)\.\n", text
    ).groups()
    named = re.findall(r"[\dA-Z]+\.\d+", numbers)
    assert sorted(named) == sorted(FIXED | HAND) and len(named) == int(count)
    assert int(total) == len(ALL)


# built, and run by otter


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_assignments.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def built(tmp_path_factory, wheel):
    """A function that builds an assignment, once, and gives its folder."""
    folders: dict = {}

    def build(name: str):
        if name not in folders:
            place = tmp_path_factory.mktemp("course") / "assignments"
            (folders[name],) = build_assignments.build(
                place, only=name, run_tests=False, wheel=wheel
            )
        return folders[name]

    return build


def test_the_zip_holds_tests_library_and_points(built):
    name = NAMES[0]
    with zipfile.ZipFile(built(name) / "autograder.zip") as archive:
        names = archive.namelist()
        settings = json.loads(archive.read("otter_config.json"))
        environment = archive.read("environment.yml").decode()
        tests = {n: archive.read(n).decode() for n in names if n.startswith("tests/")}
    assert "points_possible" not in settings, "otter would scale what was earned by it"
    assert settings["assignment_name"] == name
    (wheel,) = [n for n in names if n.endswith(".whl")]
    assert f"/autograder/source/{wheel}" in environment
    assert len(tests) == len(assignment(name).tasks)
    for text in tests.values():
        assert text.count("hidden=False") == text.count("hidden=True") == 1
        assert f"seed={build_assignments.SEED}" in text


def test_students_get_no_hidden_test_and_no_solution(built):
    folder = built(NAMES[0])
    for notebook in (
        folder / f"{NAMES[0]}.ipynb",
        folder / "otter" / f"{NAMES[0]}.ipynb",
    ):
        text = notebook.read_text(encoding="utf-8")
        assert "seed=1" not in text and "other_data" not in text
        assert "by_occurrences" not in text and "most_common(n)" not in text
    archive = folder.parent / "students.zip"
    assert archive.stat().st_size <= build_assignments.LARGEST
    names = zipfile.ZipFile(archive).namelist()
    assert f"{NAMES[0]}.ipynb" in names and not [n for n in names if "solution" in n]
    (wheel,) = [name for name in names if name.endswith(".whl")]
    start = zipfile.ZipFile(archive).read("START.txt").decode()
    assert start.count(f"pip install jupyterlab {wheel}\n") == 2


@pytest.mark.slow
def test_kernels_of_the_build_are_silent_and_nobodys_own(capfd, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", "/before")
    cell = nbformat.v4.new_code_cell("get_ipython().ipython_dir")
    with build_assignments.plain_kernels():
        folder = os.environ["IPYTHONDIR"]
        NotebookClient(nbformat.v4.new_notebook(cells=[cell])).execute()
    assert folder in cell.outputs[0].data["text/plain"] and folder != "/before"
    assert os.environ["IPYTHONDIR"] == "/before" and not os.path.exists(folder)
    assert "WARNING" not in capfd.readouterr().err


def test_a_chapter_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no chapter's name begins with '99'"):
        build_assignments.build(tmp_path / "a", only="99")


def wrong_cells(name: str) -> dict[str, str]:
    """Answer cells that take a planted mistake each."""
    cells = {}
    for task in assignment(name).tasks:
        module = module_of(task.number)
        lines = [
            "import sys",
            f"sys.path[:0] = {[str(ROOT / 'tests' / 'support')]}",
            f"from planted.{module} import PLANTED",
            f'{task.answer} = PLANTED["{task.number}"][0][2]',
            f'check("{task.number}", {task.answer})',
        ]
        cells[task.number] = "\n".join(lines)
    return cells


def otter_run(path, folder, to: str | None = None):
    """What otter finds in a notebook; results.json goes `to` a folder."""
    from otter.run import main

    zipped = str(folder / "autograder.zip")
    return main(str(path), autograder=zipped, output_dir=to, no_logo=True)


def graded(folder, notebook) -> dict[str, object]:
    """Otter's result for each question."""
    path = folder / "submission.ipynb"
    nbformat.write(notebook, path)
    results = otter_run(path, folder)
    return {name: results.results[name] for name in results.results}


def answers_of(name: str, kind: str) -> dict[str, str]:
    if kind == "right":
        return {task.number: solution_of(task) for task in assignment(name).tasks}
    return wrong_cells(name) if kind == "wrong" else {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["blank", "wrong", "right"])
@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(n, marks=pytest.mark.weekly) for n in NAMES[1:])]
)
def test_otter_gives_the_scores_and_the_sentences_of_the_judges(
    name, kind, built, capsys
):
    found = graded(
        built(name), student_notebook(assignment(name), answers_of(name, kind))
    )
    assert list(found) and len(found) == len(assignment(name).tasks)
    for task in assignment(name).tasks:
        result = found[question(task)]
        wanted = POINTS[task.required] if kind == "right" else 0
        assert result.possible == POINTS[task.required]
        assert result.score == wanted, (
            f"{task.number}: {result.score} points, not {wanted}"
        )
        for hidden, case in zip((False, True), result.test_case_results, strict=True):
            assert case.test_case.hidden == hidden
            if kind != "right":
                answer = None if kind == "blank" else planted(task.number)
                said = check(
                    task.number, answer, seed=build_assignments.SEED if hidden else None
                )
                said = "not started yet" if kind == "blank" else steady(said.message)
                assert said in steady(case.message), f"{task.number}: {case.message}"


@pytest.mark.slow
def test_optional_exercises_that_are_left_out_cost_nothing(built, tmp_path):
    name, path = NAMES[0], tmp_path / "required.ipynb"
    chosen = [task for task in assignment(name).tasks if task.required]
    asked = student_notebook(
        assignment(name), {task.number: solution_of(task) for task in chosen}
    )
    nbformat.write(asked, path)
    otter_run(path, built(name), to=str(tmp_path))
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    points = sum(test.get("score", 0) for test in found["tests"])
    assert found.get("score", points) == points == assignment(name).points
    assert f"together give {points:g} points" in asked.cells[0].source


def steady(message: str) -> str:
    """A sentence up to the first thing that differs from run to run, such as an address in memory."""
    return re.split(r" at 0x| \d+\.\d{3}|\d+\.\d%", message)[0]
