"""Parameters are held to the notebook's, and values are read from where they stand."""

from types import SimpleNamespace

import nbformat
import pytest
import torch
from tiny_notebooks import RESULT, WORK, write_notebook

from llmbook_utils.runs.notebook import (
    check_parameters,
    check_values,
    defaults,
    digest,
    look_up,
    parse,
    plain,
    read_notebook,
    values_of,
    with_values,
)

KNOWN = {"steps": 3, "lr": 0.5, "how": "well", "sizes": [1], "fast": True, "n": ...}


@pytest.fixture
def notebook(tmp_path):
    write_notebook(tmp_path / "tiny.ipynb", WORK, RESULT)
    return read_notebook(tmp_path / "tiny.ipynb")


def test_the_defaults_are_those_of_the_cell(notebook):
    found = defaults(notebook, "x")
    assert found.pop("folder") == ""
    assert found == {"steps": 3, "lr": 0.5, "how": "well", "sizes": [1, 2]}


def test_right_parameters_pass_and_a_whole_number_becomes_a_float():
    given = {"steps": 5, "lr": 1, "how": "", "sizes": [], "fast": False, "n": "any"}
    found = check_parameters(given, KNOWN, "tiny.ipynb")
    assert found == given and isinstance(found["lr"], float)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"step": 3}, "tiny.ipynb has no parameter 'step'; it has steps, lr, how"),
        ({"steps": "3"}, "steps is '3', which is text; it must be a whole number"),
        ({"steps": 3.0}, "steps is 3.0, which is a number; it must be a whole number"),
        ({"steps": True}, "steps is True, which is true or false"),
        ({"lr": "1e-3"}, "it must be a number; YAML takes 1e-3 for text: write 1.0e-3"),
        ({"lr": True}, "lr is True.*it must be a number"),
        ({"how": 3}, "how is 3, which is a whole number; it must be text"),
        ({"sizes": "1"}, "sizes is '1'.*it must be a list"),
        ({"fast": 1}, "fast is 1.*it must be true or false"),
        ({"lr": None}, "lr is None"),
    ],
)
def test_a_wrong_name_or_type_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        check_parameters(given, KNOWN, "tiny.ipynb")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", "7", 7),
        ("lr", "1e-3", 0.001),
        ("how", "7", "7"),
        ("sizes", "[1, 2]", [1, 2]),
        ("fast", "false", False),
        ("steps", "many", "many"),
        ("unknown", "7", "7"),
    ],
)
def test_a_value_of_the_command_line_is_read_as_its_parameter_wants(name, text, value):
    assert parse(name, text, KNOWN, "x") == value


@pytest.mark.parametrize("count", [0, 2])
def test_a_notebook_without_one_cell_of_parameters_is_refused(notebook, count):
    cell = next(c for c in notebook.cells if c.id == "p")
    notebook.cells = [cell] * count
    with pytest.raises(ValueError, match=f"{count} cells tagged parameters, not one"):
        defaults(notebook, "x")


@pytest.mark.parametrize("content", [None, "", "{}", "not JSON"])
def test_what_is_no_notebook_is_named(tmp_path, content):
    path = tmp_path / "x.ipynb"
    if content is not None:
        path.write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=r"x\.ipynb"):
        read_notebook(path)


def test_a_value_has_to_begin_with_a_name_that_is_set(notebook):
    check_values(notebook, {"last": "losses.-1", "result": "result"}, "x")
    with pytest.raises(ValueError, match="x never sets what 'last' is read from: loss"):
        check_values(notebook, {"last": "loss.-1"}, "x")


def test_a_place_leads_through_keys_positions_and_attributes():
    space = {"run": SimpleNamespace(losses=[3.5, {"after": 2.5}])}
    assert look_up(space, "run.losses.0") == 3.5
    assert look_up(space, "run.losses.-1.after") == 2.5
    for place in ("runs", "run.loss", "run.losses.7", "run.losses.x", "run.losses.1.z"):
        with pytest.raises(ValueError, match=f"there is no .* in {place}"):
            look_up(space, place)


def test_a_value_is_what_json_can_hold():
    assert plain(torch.tensor(2.5)) == 2.5 and plain(True) is True
    assert plain(float("nan")) == "nan" and plain(torch.float32) == "torch.float32"


def test_the_digest_is_that_of_the_code(notebook):
    before = digest(notebook)
    notebook.cells.append(nbformat.v4.new_markdown_cell("# Words"))
    assert digest(notebook) == before
    notebook.cells[-2].source += "\n"
    assert digest(notebook) != before


def test_the_cell_for_the_values_is_added_to_a_copy(notebook):
    ours = with_values(notebook, {"last": "losses.-1"})
    assert len(ours.cells) == len(notebook.cells) + 1
    assert "collect(globals(), {'last': 'losses.-1'})" in ours.cells[-1].source
    assert values_of(ours) == {}
