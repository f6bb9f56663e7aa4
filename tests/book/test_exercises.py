"""Exercises: the framework is kind, solutions pass, blanks and known mistakes do not.

Appendix C's verdicts are read from the page: nbval runs its cells and compares. A stub
runs after its page's imports, `parameters` and `lib:` cells, and needs no more.
`planted/` lists, for each exercise, (mistake, words of its message, wrong answer).
"""

import __future__

import ast
import code
import functools
import importlib
import re
import subprocess
import sys

import pytest
import wrong_answers
from book import ROOT, Page, read, tags
from nbclient import NotebookClient
from nbformat import v4
from table_of_contents import FIXED

from llmbook_utils import exercises
from llmbook_utils.exercises import (
    Verdict,
    Wrong,
    check,
    exercise,
    fresh,
    hint,
    numbers,
    require,
    varied,
)

SOLUTIONS = "appendices/c-exercise-solutions.ipynb"
ALL = exercises.registered()
# how each verdict on an answer that does not pass begins
FAILED = ("not yet: ", "not started yet", "there is no such exercise")
HINTS = ("look again", "count the letters", "use len")


# the framework, on an exercise of a chapter 0


@pytest.fixture
def letters(monkeypatch):
    monkeypatch.setattr(exercises, "_registry", {})

    @exercise("0.1", "Count letters", hints=HINTS)
    def count(answer):
        """Accept a function that counts the letters of a word."""
        require(callable(answer), f"expected a function, got {answer!r}")
        require(answer("abc") == 3, "abc has 3 letters")
        return "Right: three."

    return count


def test_a_right_answer_passes(letters, capsys):
    verdict = check("0.1", len)
    assert verdict and verdict == Verdict("0.1", True, "Right: three.")
    assert capsys.readouterr().out == "Exercise 0.1: Right: three.\n"


def test_a_wrong_answer_says_why(letters, capsys):
    assert not check("0.1", lambda word: 2)
    assert capsys.readouterr().out == "Exercise 0.1: not yet: abc has 3 letters\n"
    assert "got 3" in check("0.1", 3).message


def test_each_failure_begins_in_a_way_that_can_be_read_from_a_page(letters, capsys):
    for (number, answer), how in zip(
        [("0.1", int), ("0.1", None), ("0.2", len)], FAILED, strict=True
    ):
        assert not check(number, answer)
        assert capsys.readouterr().out.startswith(f"Exercise {number}: {how}")


def empty(word):
    """Count the letters."""


def dots(word): ...


def unwritten(word):
    raise NotImplementedError("write me")


class Counter:
    """Counts letters."""

    limit: int

    def count(self): ...

    @staticmethod
    def help(): ...


@functools.wraps(dots)
def wrapped(word):
    return dots(word)


BLANKS = [None, ..., empty, dots, unwritten, wrapped, Counter]


@pytest.mark.parametrize("answer", [*BLANKS, [None, dots], (..., ...), {"a": None}])
def test_a_blank_answer_is_not_started(letters, answer):
    verdict = check("0.1", answer)
    assert not verdict and "not started" in verdict.message
    assert 'hint("0.1")' in verdict.message


class Half(Counter):
    def count(self):
        return 3


WRITTEN = [0, "", [], {}, [None, 1], lambda word: 0, lambda word: word, Half, len]


@pytest.mark.parametrize("answer", WRITTEN)
def test_a_written_answer_is_judged(letters, answer):
    assert "not started" not in check("0.1", answer).message


def test_an_error_in_the_answer_is_located(letters):
    def divide(word):
        return 1 / (len(word) - 3)

    message = check("0.1", divide).message
    assert "ZeroDivisionError: division by zero" in message
    assert "`return 1 / (len(word) - 3)`" in message and "divide" in message


class Unprintable(Exception):
    def __str__(self):
        raise ValueError


@pytest.mark.parametrize("error", [SystemExit(1), RecursionError(), Unprintable()])
def test_no_error_escapes(letters, error):
    def fail(word):
        raise error

    assert type(error).__name__ in check("0.1", fail).message


def test_an_error_in_the_judge_blames_the_kind_of_answer(monkeypatch):
    monkeypatch.setattr(exercises, "_is_readers", lambda filename: False)
    message = exercises._describe(TypeError("not callable"))
    assert "kind that the task asks for (TypeError: not callable)" in message


@pytest.mark.parametrize("number", ["0.2", "0", "7", "Z.1", "", "0.1.1", None, 0.1, []])
def test_an_unknown_number_lists_those_that_exist(letters, number, capsys):
    verdict = check(number, len)
    assert not verdict
    if isinstance(number, str):
        assert "there is no such exercise" in verdict.message
        assert "0.1" in verdict.message
    else:
        assert "in quotes" in verdict.message
    hint(number)
    assert verdict.message in capsys.readouterr().out.splitlines()[1]


def test_hints_go_from_vague_to_precise(letters, capsys):
    for level in (1, 2, 3):
        hint("0.1", level)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"Hint {at} of 3: {text}" for at, text in enumerate(HINTS, 1)]


@pytest.mark.parametrize("level", [0, 4, -1, "2", None])
def test_a_hint_that_is_none_is_said(letters, level, capsys):
    hint("0.1", level)
    assert "levels are 1 to 3" in capsys.readouterr().out


def test_registering_refuses_mistakes(letters):
    with pytest.raises(ValueError, match=r"0\.2 has 2 hints; give 3"):
        exercise("0.2", "Two", hints=HINTS[:2])
    with pytest.raises(ValueError, match="'Count letters' already"):
        exercise("0.1", "Another", hints=HINTS)(lambda answer: "Right.")
    exercise("0.1", "Count letters", hints=HINTS)(letters)


def test_require_raises_wrong():
    require(True, "never")
    with pytest.raises(Wrong, match="so it is"):
        require([], "so it is")


@pytest.fixture
def drawing(monkeypatch):
    """An exercise that shows what its judge draws."""
    monkeypatch.setattr(exercises, "_registry", {})

    @exercise("0.1", "Draw", hints=HINTS)
    def draw(answer):
        """Say what is drawn."""
        return f"{varied(7)} {[chance.random() for chance in fresh(2)]}"

    return lambda **options: check("0.1", 1, **options).message


def test_a_readers_check_draws_always_the_same(drawing):
    assert drawing() == "7 []"


def test_a_seed_changes_what_is_drawn_and_repeats(drawing):
    assert drawing(seed=1) == drawing(seed=1)
    assert len({drawing(), drawing(seed=0), drawing(seed=1), drawing(seed=2)}) == 4
    assert drawing() == "7 []", "the seed of one check reaches the next"
    drawing(seed=1)
    assert varied(7) == 7 and fresh(2) == [], "the seed outlives its check"


def test_numbers_are_counted_and_made_numbers():
    assert numbers((1, "2.5"), 2, "two numbers") == [1.0, 2.5]
    with pytest.raises(Wrong, match="expected two numbers, got 3"):
        numbers([1, 2, 3], 2, "two numbers")


def test_a_notebook_shows_a_verdict_once():
    source = """
from llmbook_utils.exercises import check, exercise
exercise("0.1", "Any", hints=("a", "b", "c"))(lambda answer: "Right.")
check("0.1", 1)"""
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output.text == "Exercise 0.1: Right.\n"


def test_the_plain_prompt_shows_a_message_once(letters, capsys):
    code.InteractiveInterpreter({"check": check}).runsource("check('0.1', len)")
    message, value = capsys.readouterr().out.splitlines()
    assert message == "Exercise 0.1: Right: three."
    assert value == "<exercise 0.1: passed>"


def test_importing_the_framework_loads_no_chapter():
    source = "import llmbook_utils.exercises, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", source], check=True)


# the book's exercises


def pages_of(number: str) -> list[str]:
    """Name the pages of an exercise's chapter (05-…, 05b-…) or appendix."""
    chapter = number.partition(".")[0]
    start = rf"chapters/{chapter:>02}[a-z]?-"
    if chapter.isalpha():
        start = f"appendices/{chapter.lower()}-"
    return [path for path in FIXED if re.match(start, path)]


def page_of(number: str) -> str:
    """Name the page that holds an exercise's stub; the chapter's first if none does."""
    paths = [path for path in pages_of(number) if (ROOT / path).exists()]
    held = [path for path in paths if page(path).tagged(f"exercise:{number}")]
    return (held or pages_of(number))[0]


@functools.cache
def page(path: str) -> Page:
    assert (ROOT / path).exists(), f"there are exercises for {path}, but no such page"
    return read(ROOT / path, path)


def run(source: str, namespace: dict) -> object:
    """Run a cell and return what its last line gives, as a kernel does."""
    *body, last = ast.parse(source).body
    exec(compile(ast.Module(body, []), "<cell>", "exec"), namespace)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
    return exec(compile(ast.Module([last], []), "<cell>", "exec"), namespace)


def solution_verdict(number: str) -> str:
    """The verdict that the last cell of Appendix C for an exercise has printed.

    nbval runs these cells once and compares; one that it does not compare runs here.
    """
    cells = page(SOLUTIONS).tagged(f"solution:{number}")
    assert cells, f"no cell of {SOLUTIONS} is tagged solution:{number}"
    if "nbval-ignore-output" in tags(cells[-1]):
        return run(cells[-1].source, dict(ground(SOLUTIONS))).message
    text = "".join(output.get("text", "") for output in cells[-1].outputs)
    start = f"Exercise {number}: "
    said = [line for line in text.splitlines() if line.startswith(start)]
    assert said, f"the solution of {number} printed no verdict, but {text!r}"
    return said[-1].removeprefix(start)


@functools.cache
def ground(path: str) -> dict:
    """Run what a chapter's stubs may build on: imports, parameters, library text."""
    namespace = {"__name__": "__main__"}
    # a page may say that its annotations name what stands further down
    flags = __future__.annotations.compiler_flag
    for cell in page(path).code:
        whole = any(tag == "parameters" or tag.startswith("lib:") for tag in tags(cell))
        kinds = ast.AST if whole else ast.Import | ast.ImportFrom
        nodes = [
            node for node in ast.parse(cell.source).body if isinstance(node, kinds)
        ]
        exec(compile(ast.Module(nodes, []), f"<{path}>", "exec", flags), namespace)
    return namespace


@functools.cache
def planted(number: str) -> list[tuple[str, str, object]]:
    module = exercises.module_of(number)
    path = ROOT / "tests" / "support" / "planted" / f"{module}.py"
    assert path.exists(), f"tests/support/planted has no {path.name}"
    return importlib.import_module(f"planted.{module}").PLANTED.get(number, [])


@functools.cache
def planted_verdicts(number: str) -> list[Verdict]:
    return [check(number, answer) for _, _, answer in planted(number)]


def test_the_book_has_exercises():
    assert ALL, "no chapter registers an exercise"


@pytest.mark.parametrize("number", ALL)
def test_a_solution_passes(number):
    verdict = solution_verdict(number)
    assert not verdict.startswith(FAILED), verdict


@pytest.mark.parametrize("number", ALL)
def test_a_stub_fails_kindly(number):
    path = page_of(number)
    stubs = page(path).tagged(f"exercise:{number}")
    assert len(stubs) == 1, f"{len(stubs)} cells of {path} are tagged exercise:{number}"
    verdict = run(stubs[0].source, dict(ground(path)))
    assert isinstance(verdict, Verdict) and verdict.number == number
    assert not verdict and "not started" in verdict.message


@pytest.mark.parametrize("number", ALL)
def test_known_mistakes_are_named(number):
    cases = planted(number)
    assert len(cases) >= 2, (
        f"plant two mistakes for exercise {number} in tests/support/planted"
    )
    verdicts = planted_verdicts(number)
    for (mistake, words, _), verdict in zip(cases, verdicts, strict=True):
        assert not verdict, f"{number} lets through: {mistake}"
        assert words in verdict.message, f"{number}, {mistake}: {verdict.message!r}"
        for (_, said, _), other in zip(cases, verdicts, strict=True):
            alike = words == said  # two mistakes that look the same from outside
            assert alike or words not in other.message, (
                f"{words!r} is also in {other.message!r}"
            )


@pytest.mark.parametrize("number", ALL)
def test_the_guide_quotes_the_verdicts(number):
    """Numbers in them may differ in the last digits on another processor."""
    rows = [
        (mistake, wrong_answers.said(verdict.message, words))
        for (mistake, words, _), verdict in zip(
            planted(number), planted_verdicts(number), strict=True
        )
    ]
    module = exercises.module_of(number)
    (page,) = [
        page
        for page in wrong_answers.PAGES[module]
        if number in wrong_answers.numbers(module, page)
    ]
    told = (ROOT / page).read_text(encoding="utf-8")
    wanted = wrong_answers.folded(number, page, rows)
    start = wanted.partition(",")[0]
    found = told[told.find(start) :].partition("</details>")[0] + "</details>"
    same = re.sub(r"\d", "", found) == re.sub(r"\d", "", wanted)
    assert same, f"{page}; run: python tools/wrong_answers.py --all"


@pytest.mark.parametrize("number", ALL)
def test_a_required_exercise_was_tried_with_ten_mistakes(number):
    title = f"Exercise {number}: {ALL[number].title}"
    text = page(page_of(number)).section(title).text.strip()
    if text.startswith("*Required.*"):
        assert len(planted(number)) >= 10


@pytest.mark.parametrize("number", ALL)
def test_an_exercise_stands_on_its_pages(number):
    title = f"Exercise {number}: {ALL[number].title}"
    for path in (page_of(number), SOLUTIONS):
        titles = [(one.level, one.title) for one in page(path).sections]
        assert titles.count((3, title)) == 1, f"{path} needs one heading `### {title}`"
    hints = page(page_of(number)).tagged(f"hints:{number}")
    assert len(hints) == 1 and hints[0].cell_type == "markdown"
    assert hints[0].source.count("<details>") == 3, "run: make sync"
    assert len(set(ALL[number].hints)) == 3


@pytest.mark.parametrize("path", {page_of(number): None for number in ALL})
def test_a_page_has_its_exercises_in_order(path):
    found = [re.match(r"Exercise (\S+):", one.title) for one in page(path).sections]
    numbers = [match[1] for match in found if match]
    assert numbers == [number for number in ALL if page_of(number) == path]


def test_checks_know_nothing_of_the_solutions():
    for path in (ROOT / "llmbook_utils/exercises").glob("*.py"):
        imported = [
            node.module if isinstance(node, ast.ImportFrom) else alias.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        ]
        assert not [name for name in imported if name and "solution" in name], path


def test_a_count_that_is_no_number_is_not_compared():
    class Anything:
        def __eq__(self, other):
            return True

    for given, shown in (("588", "'588'"), (None, "None"), (Anything(), "<")):
        message = check("3.9", lambda *_, given=given: given).message
        assert f"gives {shown}" in message and message.endswith("expected a number")
