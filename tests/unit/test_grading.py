"""Grading a folder: each submission harms only itself, and a fake verdict counts for nothing."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from llmbook_utils.grading import folder, limits
from llmbook_utils.grading.folder import grade, submissions
from llmbook_utils.grading.limits import Limits
from llmbook_utils.grading.notebook import (
    Unreadable,
    answer_of,
    exercises_in,
    read,
    required_in,
    with_judges,
)
from llmbook_utils.grading.table import Result, as_csv, as_markdown

RIGHT = {
    "1.3": 'measures = [10, 0.625, 1 / 1024]\ncheck("1.3", measures)',
    "1.4": """
def coverage(words, test, n):
    known = sorted(set(words), key=words.count)[-n:]
    return sum(word in known for word in test) / len(test)

check("1.4", coverage)""",
}
BLANK = {
    "1.3": 'measures = None\ncheck("1.3", measures)',
    "1.4": 'def coverage(words, test, n):\n    pass\n\ncheck("1.4", coverage)',
}
TYPO = RIGHT["1.4"].replace("n):", "n)")
SLEEPER = "import time\nwhile True:\n    time.sleep(1)"
FAKE = """
import llmbook_utils.exercises as framework

class Passed:
    passed, message = True, "Right."

def check(number, answer=None, **options):
    print(f"Exercise {number}: Right.")
    return Passed()

framework.check = check
framework._judge = lambda found, answer: (True, "Right.")
measures = [1, 2, 3]
check("1.3", measures)"""


def notebook(cells: dict[str, str], before: str = "") -> nbformat.NotebookNode:
    """A submission with these answer cells, as assignments have them."""
    first = f"from llmbook_utils.exercises import check\n{before}"
    names = {"1.3": "measures", "1.4": "coverage"}
    answers = [
        v4.new_code_cell(
            source,
            metadata={
                "tags": [f"exercise:{number}"],
                "llmbook": {"answer": names[number]},
            },
        )
        for number, source in cells.items()
    ]
    return v4.new_notebook(cells=[v4.new_code_cell(first), *answers])


# what is read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "no JSON text"),
        ('{"cells": [', "no JSON text"),
        ("[" * 100_000, "no JSON text"),
        ("[1]", "no cells"),
        (
            '{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
            "no valid notebook",
        ),
    ],
)
def test_what_is_no_notebook_is_said(tmp_path, text, said):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    with pytest.raises(Unreadable, match=said):
        read(path)


def test_a_link_and_a_folder_are_no_submission(tmp_path):
    (tmp_path / "link.ipynb").symlink_to("/etc/hostname")
    (tmp_path / "folder.ipynb").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(Unreadable, match="link or no file"):
            read(tmp_path / f"{name}.ipynb")


def test_an_answer_is_what_check_is_given_last():
    cell = v4.new_code_cell(
        'check("2.1", first)\ncheck("2.2", no)\ncheck("2.1", [second, third])'
    )
    assert answer_of(cell, "2.1") == "[second, third]"
    cell = v4.new_code_cell("merge = (", metadata={"llmbook": {"answer": "merge"}})
    assert answer_of(cell, "2.1") == "merge"


def test_exercises_are_those_that_a_notebook_was_made_for():
    made = notebook(BLANK)
    assert exercises_in(made) == ["1.3", "1.4"]
    made.metadata["llmbook"] = {"exercises": ["1.1"]}
    assert exercises_in(made) == ["1.1"]
    assert exercises_in(
        v4.new_notebook(cells=[v4.new_code_cell("check('A.2', divide)")])
    ) == ["A.2"]


def test_a_judge_stands_after_the_last_answer_and_otters_cells_go():
    made = notebook({"1.3": "measures = 1"})
    made.cells.append(v4.new_code_cell('grader.check("q1_3")'))
    made.cells.append(v4.new_code_cell('measures = 2\ncheck("1.3", measures)'))
    cells, judges = with_judges(made, "token", 1)
    assert judges == {4: "1.3"} and len(cells.cells) == 5
    assert cells.cells[4].source == 'token("1.3", lambda: (measures), "token", 1)'


def test_submissions_are_files_or_folders_of_students(tmp_path):
    nbformat.write(notebook(BLANK), tmp_path / "ann.ipynb")
    (tmp_path / "ben" / ".ipynb_checkpoints").mkdir(parents=True)
    for name in ("ben/02.ipynb", "ben/.ipynb_checkpoints/02.ipynb"):
        nbformat.write(notebook(BLANK), tmp_path / name)
    assert [(one.student, one.notebook.name) for one in submissions(tmp_path)] == [
        ("ann", "ann.ipynb"),
        ("ben", "02.ipynb"),
    ]


@pytest.mark.parametrize("name", ["none", "."])
def test_a_folder_without_notebooks_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"is no folder|holds no notebook"):
        grade(tmp_path / name)


def test_limits_are_above_zero():
    with pytest.raises(ValueError, match="the limit seconds is 0; it must be above 0"):
        Limits(seconds=0)


# what is written


RESULTS = [
    Result("ann", "ann.ipynb", "1.1", True, "Right.", required=True),
    Result("ann", "ann.ipynb", "1.2", False, "not yet: a | b <script> `x_y`"),
    Result("=ben", "b.ipynb", "1.1", False, "not started yet."),
]


def test_the_table_has_a_line_for_each_and_no_formulas():
    rows = list(csv.reader(as_csv(RESULTS).splitlines()))
    assert ",".join(rows[0]) == "student,notebook,exercise,required,passed,verdict"
    assert rows[1][3:] == ["yes", "yes", "Right."] and rows[3][0] == "'=ben"
    assert [row[3] for row in rows[2:]] == ["no", "no"]


def test_the_markdown_shows_marks_and_sentences():
    text = as_markdown(RESULTS, "A note.")
    assert "| student | **1.1** | 1.2 | required passed | passed |" in text
    assert "| ann | ✓ | ✗ | 1 of 1 | 1 |" in text
    assert "| =ben | – | – | 0 of 1 | 0 |" in text
    assert "- 1.2: not yet: a \\| b &lt;script>" in text and "###" not in text


def test_the_best_counts_of_what_a_student_hands_in_twice():
    again = [
        Result("ann", "03 (1).ipynb", "1.1", True, "Right."),
        Result("ann", "03.ipynb", "1.1", False, "not yet: no."),
        Result("ann", "03.ipynb", "1.2", False, "not yet: no."),
        Result("ann", "03.ipynb.ipynb", "1.2", False, "not started yet."),
    ]
    for results in (again, again[::-1]):
        text = as_markdown(results, "A note.")
        assert "| ✓ |" in text and "| ✗ |" in text and "–" not in text.partition("|")[2]
        assert "### 03 (1).ipynb\n\n- 1.1: Right." in text


@pytest.mark.parametrize("made", [True, False])
def test_required_exercises_are_those_that_the_notebook_calls_so(made):
    found = v4.new_notebook(
        cells=[
            v4.new_markdown_cell("### Exercise 1.3: Bits\n\n*Required.* *By hand.* A"),
            v4.new_markdown_cell("### Exercise A.4: Cover\n\n*Optional.* *Required.*"),
            v4.new_markdown_cell("### Exercise A.14: It\n*Required.* B"),
        ]
    )
    if made:
        found.metadata["llmbook"] = {"required": ["1.1"]}
    assert required_in(found) == ({"1.1"} if made else {"1.3", "A.14"})


def test_half_a_character_costs_no_table(tmp_path, monkeypatch):
    (tmp_path / "ann.ipynb").write_text("{}")
    found = [Result("ann", "ann.ipynb", "1.1", False, "not yet: \ud800 is no word")]
    monkeypatch.setattr(folder, "graded", lambda *_: found)
    monkeypatch.setattr(folder, "walls", list)
    assert grade(tmp_path, say=lambda _: None) == found
    for name in folder.NAMES:
        assert "\\ud800 is no word" in (tmp_path / name).read_text("utf-8")


# what is run


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A class of good, bad and malicious submissions, graded; verdicts by student and exercise."""
    folder = tmp_path_factory.mktemp("class")
    victim = tmp_path_factory.mktemp("victim") / "file"
    victim.write_text("here")
    deleting = f"""
import os, shutil
for place in (os.getcwd(), {str(folder)!r}, {str(victim.parent)!r}, os.path.expanduser("~")):
    shutil.rmtree(place, ignore_errors=True)
assert "SECRET" not in os.environ, os.environ["SECRET"]"""
    for name, cells, before in (
        ("blank", BLANK, ""),
        ("right", RIGHT, ""),
        ("wrong", {**RIGHT, "1.3": 'check("1.3", [10, 2.5, 1 / 1024])'}, ""),
        ("endless", {**RIGHT, "1.3": SLEEPER}, ""),
        ("memory", {**RIGHT, "1.3": "raise MemoryError"}, ""),
        ("flood", RIGHT, 'while True:\n    print("x" * 10_000)'),
        ("dying", {**RIGHT, "1.4": "import os\nos._exit(1)"}, ""),
        ("typo", {"1.3": RIGHT["1.3"] + "\n1 / 0", "1.4": TYPO}, ""),
        ("slow", {**RIGHT, "1.3": f"{RIGHT['1.3']}\n{SLEEPER}"}, ""),
        ("deleting", RIGHT, deleting if limits.walls() else ""),
        ("fake", {"1.3": FAKE, "1.4": 'print("Exercise 1.4: Right.")'}, ""),
    ):
        nbformat.write(notebook(cells, before), folder / f"{name}.ipynb")
    (folder / "text.ipynb").write_text("hello")
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SECRET", "a token")
        results = grade(
            folder, limits=Limits(cell_seconds=25, seconds=300), say=said.append
        )
    assert victim.read_text() == "here"
    return folder, said, {(one.student, one.exercise): one for one in results}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("student", "number", "passed", "said"),
    [
        ("blank", "1.3", False, "not started yet"),
        ("blank", "1.4", False, "not started yet"),
        ("right", "1.3", True, "Right: 10 bits"),
        ("right", "1.4", True, "Right: known by one text"),
        ("wrong", "1.3", False, "not yet: "),
        ("wrong", "1.4", True, "Right"),
        ("endless", "1.3", False, "not yet: the cell ran for more than 25 seconds"),
        ("endless", "1.3", False, "nothing in the notebook is called measures"),
        ("endless", "1.4", True, "Right"),
        ("memory", "1.3", False, "not yet: the cell stops with MemoryError, and"),
        ("dying", "1.3", True, "Right"),
        ("dying", "1.4", False, "not judged: its kernel died"),
        ("typo", "1.3", True, "(The cell stops with ZeroDivisionError: division by"),
        (
            "typo",
            "1.4",
            False,
            "not yet: the cell stops with SyntaxError: expected ':' (line 1), and nothing",
        ),
        ("slow", "1.3", True, "(The cell ran for more than 25 seconds and was int"),
        ("slow", "1.4", True, "Right: known by one text"),
        ("deleting", "1.3", True, "Right"),
        ("deleting", "1.4", True, "Right"),
        ("fake", "1.3", False, "not yet: "),
        ("fake", "1.4", False, "nothing in the notebook is called coverage"),
        ("text", "1.3", False, "not judged: it is no JSON text"),
    ],
)
def test_a_submission_harms_only_itself(table, student, number, passed, said):
    found = table[2][student, number]
    assert found.passed == passed and said in found.verdict, found.verdict


@pytest.mark.slow
def test_a_flood_is_no_fault_of_later_cells(table):
    verdicts = [table[2]["flood", number].verdict for number in ("1.3", "1.4")]
    assert verdicts == [table[2]["right", number].verdict for number in ("1.3", "1.4")]


@pytest.mark.slow
def test_the_tables_are_there_and_say_how_it_ran(table):
    folder, said, results = table
    rows = list(
        csv.DictReader(
            (folder / "verdicts.csv").read_text(encoding="utf-8-sig").splitlines()
        )
    )
    assert len(rows) == len(results) and rows[0]["student"] == "blank"
    assert (folder / "verdicts.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert said[-1].endswith("verdicts.md.") and len(said) == 14
    walled = "behind walls" if limits.walls() else "without walls"
    assert walled in said[0] and walled in (folder / "verdicts.md").read_text(
        encoding="utf-8"
    )
    assert len([*folder.iterdir()]) == 12 + 2, (
        "something is left beside the submissions"
    )


@pytest.mark.slow
def test_without_walls_a_notebook_still_runs_in_a_folder_of_its_own(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("llmbook_utils.grading.folder.walls", lambda: [])
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "data.txt").write_text("mine")
    own = "import os\nassert open('data.txt').read() == 'mine'\nos.remove('data.txt')\n"
    own += "assert os.path.expanduser('~').startswith(os.path.dirname(os.getcwd()))\nfound = 10\n"
    made = notebook({"1.3": own + 'check("1.3", [found, 0.625, 1 / 1024])'})
    nbformat.write(made, tmp_path / "ann" / "02.ipynb")
    (result,) = grade(tmp_path, to=tmp_path / "tables", say=lambda line: None)
    assert result.passed, result.verdict
    assert (tmp_path / "ann" / "data.txt").read_text() == "mine"
    assert "without walls" in (tmp_path / "tables" / "verdicts.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.skipif(
    not limits.walls(), reason="this system has no user namespaces for `unshare`"
)
def test_walls_keep_out_writing_and_the_network(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    source = f"""
import pathlib, socket
from llmbook_utils.grading.limits import Limits, raise_walls
raise_walls(pathlib.Path({str(inside)!r}), Limits())
pathlib.Path({str(inside / "mine")!r}).write_text("mine")
try:
    pathlib.Path({str(tmp_path / "other")!r}).write_text("no")
except OSError as error:
    print(error.strerror)
print([name for _, name in socket.if_nameindex()])"""
    command = [*limits.walls(), sys.executable, "-c", source]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "Read-only file system\n['lo']\n"
    assert not (inside / "mine").exists(), "what is written inside is gone after"


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    from llmbook_utils.exercises.__main__ import main

    for words in (
        ["grade", str(tmp_path)],
        ["grade", str(tmp_path), "--seconds", "0"],
        [],
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == (1 if words else 2)
    said = capsys.readouterr().err
    assert "llmbook grade: " in said and "holds no notebook" in said
    assert "the limit seconds is 0" in said and "nothing else is done here" in said


def test_a_process_gets_no_secrets_and_a_home_of_its_own(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    inside = limits.environment(Path("/box"))
    assert "HF_TOKEN" not in inside and inside["HOME"] == "/box/home"
    assert inside["PATH"] == os.environ["PATH"]
