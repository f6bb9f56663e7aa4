"""Entries of runs are read with their types, and what is wrong in one is named."""

import pytest
from tiny_notebooks import RUNS

from llmbook_utils.runs.profiles import Value, jobs_of, read_runs

START = '[a]\ntitle = "A"\nnotebook = "a.ipynb"\n'


def write(tmp_path, text):
    path = tmp_path / "runs.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_entries_of_a_file(tmp_path):
    runs = read_runs(write(tmp_path, RUNS))
    assert list(runs) == ["tiny", "seeds", "large"]
    assert runs["tiny"].parameters == {"lr": 1, "sizes": [4]}
    assert runs["tiny"].values["last"].expected(smoke=False) == (0.3, 0.4)
    assert runs["tiny"].values["last"].expected(smoke=True) == (0.9, 1.1)
    assert runs["tiny"].values["rate"].expected(smoke=True) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a", "not valid TOML"),
        ("a = 3", "a is 3; expected a table"),
        ("[a]\ntitle = 'A'", "a has no notebook; give one"),
        (START + "weight = 'red'", "unknown 'weight'; there are"),
        (START + "name = 'b'", "unknown 'name'"),
        (START + "minutes = 'few'", "minutes is 'few'; it must be a number"),
        (START + "parameters = 3", "parameters is 3; it must be a table"),
        (START + "each = { seed = 3 }", "each.seed is 3; expected a list"),
        (START + "[a.values]\nloss = 3", "each of its values needs"),
        (START + "[a.values]\nloss = { band = [1, 2] }", "each of its values needs"),
        (START + "[a.values]\nx = { at = 'x', band = [2, 1] }", "the band of 'x' is"),
        (START + "[a.values]\nx = { at = 'x', smoke = [1] }", "the band of 'x' is"),
        (START + "[a.values]\nx = { at = 'x', low = 1 }", "values, x: unknown 'low'"),
    ],
)
def test_what_is_wrong_in_an_entry_is_named(tmp_path, text, says):
    with pytest.raises(ValueError, match=says):
        read_runs(write(tmp_path, text))


def test_a_file_of_parameters_is_read_first(tmp_path):
    (tmp_path / "p.yaml").write_text("lr: 1e-3\nsteps: 5\n")
    text = START + 'file = "p.yaml"\nparameters = { steps = 7 }'
    run = read_runs(write(tmp_path, text))["a"]
    assert run.parameters == {"lr": "1e-3", "steps": 7}  # YAML's trap, refused later
    (tmp_path / "p.yaml").write_text("- 3\n")
    with pytest.raises(ValueError, match=r"p.yaml holds \[3\]"):
        read_runs(tmp_path / "runs.toml")
    (tmp_path / "p.yaml").write_text("a: [\n")
    with pytest.raises(ValueError, match=r"p.yaml is not valid YAML"):
        read_runs(tmp_path / "runs.toml")


def test_an_entry_becomes_a_job_for_each_value(tmp_path):
    run = read_runs(write(tmp_path, RUNS))["seeds"]
    jobs = jobs_of(run, smoke=False, given={})
    assert [job.name for job in jobs] == ["seeds-1", "seeds-2", "seeds-3"]
    assert [job.parameters for job in jobs] == [{"steps": n} for n in (1, 2, 3)]
    (one,) = jobs_of(run, smoke=False, given={"steps": 9})
    assert (one.name, one.parameters) == ("seeds-9", {"steps": 9})
    (smoke,) = jobs_of(run, smoke=True, given={})
    assert (smoke.name, smoke.parameters) == ("seeds-smoke", {"steps": 1})
    assert smoke.seconds < one.seconds


def test_what_the_command_has_to_give_is_asked_for(tmp_path):
    run = read_runs(write(tmp_path, START + 'asks = "texts"'))["a"]
    with pytest.raises(ValueError, match="a needs to be told texts: add -p texts"):
        jobs_of(run, smoke=False, given={})
    assert jobs_of(run, smoke=False, given={"texts": "x"})
    assert jobs_of(run, smoke=True, given={})


@pytest.mark.parametrize(
    ("value", "full", "smoke"),
    [
        (Value("x"), True, True),
        (Value("x", band=(1, 2)), True, False),
        (Value("x", smoke=(1, 2)), False, True),
        (Value("x", band=(1, 2), smoke=(1, 2)), True, True),
        (Value("x", full=True), True, False),
    ],
)
def test_a_value_with_the_band_of_one_variant_is_that_variants(value, full, smoke):
    assert (value.is_of(smoke=False), value.is_of(smoke=True)) == (full, smoke)
