"""The list of mutants fits the code, and the tool that runs them notices what survives."""

import subprocess
import sys

import mutants
import pytest
from book import ROOT
from mutants import Mutant, first_failure, read_mutants, table

ROWS = read_mutants()


@pytest.mark.parametrize("mutant", ROWS, ids=lambda mutant: mutant.about)
def test_a_row_breaks_one_place_and_names_its_tests(mutant):
    assert mutant.fault(ROOT) is None
    assert mutant.new != mutant.old and mutant.tests


def test_the_rows_are_many_and_differ():
    assert len(ROWS) >= 60
    assert len({(row.file, row.old, row.new) for row in ROWS}) == len(ROWS)
    assert len({row.about for row in ROWS}) == len(ROWS)
    assert {row.file.rpartition(".")[2] for row in ROWS} == {"py", "js"}


def test_the_committed_table_is_of_these_rows():
    text = (ROOT / "tests" / "mutants.md").read_text("utf-8")
    assert [row.about for row in ROWS if f"| {row.about} |" not in text] == []
    assert text.count("\n| ") == len(ROWS) + 1
    assert "**nothing**" not in text


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A repository of one function and one test, and the tool pointed at it."""
    root = tmp_path / "tree"
    root.mkdir()
    (root / "sums.py").write_text(
        "def add(a, b):\n    return a + b  # a sum\n", "utf-8"
    )
    test = "from sums import add\n\n\ndef test_add():\n    assert add(2, 2) == 4\n"
    (root / "test_sums.py").write_text(test, "utf-8")
    subprocess.run(["git", "init", "-q", root], check=True)
    monkeypatch.setattr(mutants, "ROOT", root)
    return root


@pytest.mark.slow
def test_a_mutant_is_noticed_or_not(tree):
    rows = [
        Mutant("a difference", "sums.py", "a + b", "a - b", ("test_sums.py",)),
        Mutant("a product", "sums.py", "a + b", "a * b", ("test_sums.py",)),
    ]
    results = mutants.judge(rows, 1)
    assert [noticed for _, noticed, _ in results] == [True, False]
    text = table(results)
    assert "1 of 2 are noticed" in text
    assert "| sums.py | a difference | `test_sums.py::test_add` |" in text
    assert "| sums.py | a product | **nothing** |" in text
    assert "a + b" in (tree / "sums.py").read_text("utf-8")


@pytest.mark.slow
def test_tests_that_fail_anyway_show_nothing(tree):
    (tree / "sums.py").write_text("add = max  # a + b\n", "utf-8")
    row = Mutant("a sum", "sums.py", "a + b", "a - b", ("test_sums.py",))
    with pytest.raises(RuntimeError, match="tests fail without any mutant"):
        mutants.judge([row], 1)


def test_a_row_that_does_not_fit_is_named(tree):
    row = Mutant("x", "sums.py", "a", "b", ("test_sums.py",))
    assert "holds 'a' 4 times; expected once" in row.fault(tree)
    row = Mutant("x", "sums.py", "a + b", "b", ("test_none.py::test",))
    assert row.fault(tree) == "there is no test_none.py"
    row = Mutant("x", "sums.py", "a + b", "b", ("test_sums.py::test_sub",))
    assert row.fault(tree) == "test_sums.py has no test_sub"


def test_the_first_failure_is_named():
    said = "...\nFAILED tests/a.py::test_b - assert 1 == 2\nFAILED tests/a.py::test_c\n"
    assert first_failure(said) == "tests/a.py::test_b"
    assert first_failure("no end within 9 seconds") == "no end within 9 seconds"


def test_the_tool_says_what_it_takes():
    command = [sys.executable, "tools/mutants.py", "--only", "no such words"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "0 of 0 mutants are noticed\n")
