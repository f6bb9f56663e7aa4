"""The pages for teachers: their tables come from the pages of the book, and what they tell people to type exists."""

import copy
import json
import re
import shlex
import tomllib

import marked
import pytest
import syllabus
import wrong_answers
from book import ROOT
from packaging.specifiers import SpecifierSet
from syllabus import minutes_of, plans, table

from llmbook_utils.cli import create_parser
from llmbook_utils.exercises import registered
from llmbook_utils.runs.recipe import read_recipe

BOOK = syllabus.book()
PLANS = plans()
GUIDES = sorted(path.name for path in (ROOT / "course").glob("guide-*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PARTS = [
    "What is hard, and why",
    "Ten minutes ",
    "On the board",
    "To discuss",
    "Wrong answers, and what the check says",
]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# syllabi


def test_the_tables_are_those_of_the_description():
    assert syllabus.page() == read(syllabus.PAGE), "run: make sync"
    assert syllabus.sync(check=True) is False


@pytest.mark.parametrize("name", PLANS)
def test_each_row_keeps_to_its_minutes(name):
    least, most = PLANS[name]["minutes"]
    for row in PLANS[name]["rows"]:
        minutes, _ = minutes_of(BOOK, row)
        assert least <= minutes <= most, f"{row['title']}: {minutes:.0f} minutes"


@pytest.mark.parametrize("name", PLANS)
def test_each_section_is_read_once(name):
    plan = PLANS[name]
    read_ones = [s.number for row in plan["rows"] for s in BOOK.between(row["read"])]
    assert len(set(read_ones)) == len(read_ones)
    wanted = [n for n in BOOK.sections if n[0].isdigit() or plan["every"] == "all"]
    if plan["every"]:
        assert sorted(read_ones) == sorted(wanted)
    else:
        assert "Left out: [1.2]" in table(BOOK, plan)


def test_the_minutes_add_up_to_those_of_the_pages():
    import nbformat
    from minutes import main_line, measure

    pages = [path for one in syllabus.FOUND for path in ROOT.glob(one)]
    whole = sum(main_line(measure(nbformat.read(path, 4))) for path in pages)
    assert len(pages) == 12
    assert sum(s.minutes for s in BOOK.sections.values()) == pytest.approx(whole)


def test_a_required_exercise_stands_in_its_row():
    required = {n for s in BOOK.sections.values() for n in s.exercises}
    assert not required & set(BOOK.optional)
    assert required | set(BOOK.optional) == set(registered())
    rows = table(BOOK, PLANS["ten"]).splitlines()
    (row,) = [row for row in rows if "[3.6](" in row]
    assert "[3.3](" in row and "exercise-33" in row


@pytest.mark.parametrize("name", PLANS)
def test_a_widget_is_shown_where_it_is_read_about(name):
    """Or ahead of its section, or again: then it is one that another row reads."""
    for row in PLANS[name]["rows"]:
        for widget in row.get("show", []):
            assert widget in BOOK.widgets, f"no page shows {widget}"


@pytest.mark.parametrize(
    "key, value, words",
    [
        ("read", ["1.1-1.9"], "no section 1.9"),
        ("show", ["NoSuchWidget"], "NoSuchWidget"),
        ("also", ["1.1"], "1.1"),
        ("deeper", ["No such part"], "No such part"),
    ],
)
def test_a_description_that_names_what_is_not_there_is_refused(
    monkeypatch, key, value, words
):
    wrong = copy.deepcopy(PLANS)
    wrong["ten"]["rows"][0][key] = value
    monkeypatch.setattr(syllabus, "plans", lambda: wrong)
    with pytest.raises(ValueError, match=words) as refused:
        syllabus.page()
    assert "tools/syllabus.toml, [ten]" in str(refused.value)


def test_what_stands_below_a_heading_is_replaced_and_nothing_else():
    page = "# A\n\nold\n\n## B\n\nkept\n"
    assert marked.replaced(page, "## B", "new") == "# A\n\nold\n\n## B\n\nnew\n"
    for heading in ("## C", "# "):
        with pytest.raises(ValueError, match="0 times"):
            marked.replaced(page, heading, "new")
    with pytest.raises(ValueError, match="2 times"):
        marked.replaced(page + "# A\n", "# A", "new")


# the instructor guide; tests/book/test_exercises.py holds its tables to the verdicts


def test_each_chapter_has_its_guide():
    named = [f"course/{name}" for name in GUIDES]
    assert sorted(page for pages in wrong_answers.PAGES.values() for page in pages) == (
        named
    )
    index = read("course/instructor-guide.md")
    toc = read("_toc.yml")
    for name in GUIDES:
        assert index.count(f"]({name})") == 1
        assert f"file: course/{name.removesuffix('.md')}\n" in toc


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_has_its_parts_in_order(name):
    titles = re.findall(r"^## (.+)$", read(f"course/{name}"), re.MULTILINE)
    wanted = [part for part in PARTS if part != "On the board" or name != "guide-a.md"]
    assert len(titles) == len(wanted)
    for title, part in zip(titles, wanted, strict=True):
        assert title.startswith(part)


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_has_every_exercise_of_its_page(name):
    text = read(f"course/{name}")
    path = wrong_answers.book_page(f"course/{name}")
    there = re.findall(r'"exercise:([\dA-Z.]+)"', read(path))
    told = re.findall(r"<summary>Exercise ([\dA-Z.]+):", text)
    assert there and sorted(told) == sorted(there)


def test_the_tables_follow_the_planted_answers():
    for module, pages in wrong_answers.PAGES.items():
        for page in pages:
            assert wrong_answers.last_line(module) in read(page), "run: make sync"


def test_a_sentence_is_quoted_from_the_clause_that_names_the_mistake():
    long = f"not yet: f({'1, ' * 40}) gives 3: the sum is missing"
    assert wrong_answers.said(long, "sum is") == "… the sum is missing"
    assert wrong_answers.said("not yet: it is 3", "3") == "it is 3"
    assert wrong_answers.escaped("a | b_c $x") == r"a \| b\_c \$x"


# set-up and projects


def typed(name: str) -> list[str]:
    """The lines that a page tells people to type into a shell, and the commands in its text."""
    text = read(name)
    blocks = [body for kind, body in FENCE.findall(text) if kind == "sh"]
    spans = re.findall(r"`((?:make|llmbook|jupyter-repo2docker) ?[^`]*)`", text)
    return [line for block in blocks for line in block.splitlines()] + spans


PAGES = ["course/set-up.md", "course/projects.md", "course/syllabus.md"]


@pytest.mark.parametrize("name", PAGES)
def test_targets_of_make_exist(name):
    targets = re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE)
    used = re.findall(r"`make ([a-z]+)", read(name))
    assert set(used) <= set(targets)


def test_commands_of_llmbook_are_understood():
    lines = [one for name in PAGES for one in typed(name)]
    commands = [shlex.split(one)[1:] for one in lines if one.startswith("llmbook ")]
    assert len(commands) >= 12
    for command in commands:
        if len(command) > 1:
            create_parser().parse_args(command)
    with pytest.raises(SystemExit):
        create_parser().parse_args(["train", "tokens", "--no-such-option"])


def test_files_that_the_pages_name_exist():
    for name in PAGES:
        for path in re.findall(
            r"`((?:profiles|course/recipes|\.devcontainer)/[\w.-]+)`", read(name)
        ):
            assert (ROOT / path).is_file(), path


def test_binder_installs_what_the_book_pins():
    lines = read(".binder/requirements.txt").splitlines()
    (constraints,) = [one.split()[1] for one in lines if one.startswith("-c ")]
    (requirements,) = [one.split()[1] for one in lines if one.startswith("-r ")]
    folder = ROOT / ".binder"
    assert (folder / constraints).resolve() == ROOT / "constraints.txt"
    assert (folder / requirements).resolve() == ROOT / "requirements.txt"
    build = folder / "postBuild"
    assert build.read_text("utf-8").startswith("#!/bin/bash\n")
    assert build.stat().st_mode & 0o111, "repo2docker runs it only if it is executable"


def test_containers_have_a_python_that_the_library_takes():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    allowed = SpecifierSet(project["requires-python"])
    container = json.loads(read(".devcontainer/devcontainer.json"))
    binder = read(".binder/runtime.txt").strip().removeprefix("python-")
    image = container["image"].rpartition(":")[2]
    assert binder == image
    assert f"{image}.0" in allowed
    assert f'python-version: "{image}"' in read(".github/workflows/ci.yml")


def test_the_container_runs_the_command_of_readme():
    command = json.loads(read(".devcontainer/devcontainer.json"))["postCreateCommand"]
    assert command.replace("'", '"') in read("README.md")


def test_the_recipe_of_the_projects_is_one():
    recipe = read_recipe(ROOT / "course/recipes/project.toml")
    (size,) = re.findall(r"--vocab-size (\d+)$", read("course/projects.md"), re.M)
    assert recipe.model.vocab_size == int(size)
    assert "course/recipes/project.toml" in read("course/projects.md")
