"""Profiles turn knobs that their page has, and every run of runs.toml can begin."""

import importlib.util
import inspect
import json
import os
import re

import nbformat
import pytest
import yaml
from book import ROOT

from llmbook_utils.runs.compare import compare
from llmbook_utils.runs.profiles import jobs_of, read_runs
from llmbook_utils.runs.recipe import read_recipe
from llmbook_utils.runs.record import read_records
from llmbook_utils.runs.runner import Place, prepare, run

PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))
PARAMETERS = [path for path in PROFILES if path.name != "sky.yaml"]
RUNS = read_runs(ROOT / "profiles/runs.toml")
# what `make test` runs from end to end; all of them: pytest -m weekly
SHORT = ["storyteller", "gpt2-speed"]


def knobs(page):
    """What the page's `parameters` cell sets, by name."""
    notebook = nbformat.read(ROOT / page, as_version=4)
    (cell,) = [
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    ]
    values = {}
    exec(cell.source, values)
    return values


@pytest.mark.parametrize("path", PARAMETERS, ids=lambda path: path.name)
def test_a_profile_names_its_page_and_sets_only_what_is_there(path):
    text = path.read_text("utf-8")
    (page,) = set(re.findall(r"(?:chapters|appendices)/[\w.-]+\.ipynb", text))
    there = knobs(page)
    for name, value in yaml.safe_load(text).items():
        assert name in there, f"{page} has no parameter {name!r}"
        assert type(value) is type(there[name]), name


@pytest.mark.parametrize("smoke", [False, True])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_can_begin(name, smoke):
    entry, place = RUNS[name], Place.of(None, None)
    given = dict.fromkeys(entry.asks.split(), "texts")
    for job in jobs_of(entry, smoke=smoke, given={} if smoke else given):
        ready = prepare(place, job, {})
        assert ready.notebook.cells[-1].id == "values-of-the-run"
        assert job.values, "nothing is recorded"


@pytest.mark.parametrize("name", RUNS)
def test_a_smoke_variant_needs_no_network_and_has_a_band(name):
    entry = RUNS[name]
    (job,) = jobs_of(entry, smoke=True, given={})
    assert any(value.smoke for value in entry.values.values())
    assert job.parameters.get("text_name", "story") == "story"
    assert job.parameters.get("pretrained", "mini") == "mini"
    assert job.parameters.get("texts", "story") == "story"


def test_files_of_parameters_and_recipes_are_used():
    files = {entry.file for entry in RUNS.values()} - {""}
    assert files == {path.name for path in PARAMETERS}
    for path in (ROOT / "profiles").glob("*.toml"):
        if path.name != "runs.toml":
            read_recipe(path)
            used = [entry.parameters.get("recipe") for entry in RUNS.values()]
            assert path.name in used


def test_the_mini_run_has_the_settings_of_the_record():
    steps = json.loads((ROOT / "results/mini.json").read_text("utf-8"))["tokens"]
    assert RUNS["mini"].values["tokens learned from"].band == (steps, steps)


def smoked(names, tmp_path):
    """Run smoke variants into a folder of their own, and compare."""
    place = Place(ROOT, tmp_path / "results", tmp_path / "work")
    list(run(place, names, smoke=True))
    list(compare(place, names))
    return read_records(place.results)


@pytest.mark.slow
def test_the_shortest_smoke_variants_stay_in_their_bands(tmp_path):
    found = smoked(SHORT, tmp_path)
    assert [record["run"] for record in found] == SHORT


@pytest.mark.weekly
def test_all_smoke_variants_stay_in_their_bands(tmp_path):
    found = smoked(["all"], tmp_path)
    assert {record["run"] for record in found} == set(RUNS)
    print({record["run"]: record["seconds"] for record in found})


def hf_job():
    spec = importlib.util.spec_from_file_location("hf", ROOT / "profiles/hf-job.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ARGUMENTS = ["mini", "--bucket", "me/book", "--repository", "https://example.com/b.git"]


def test_a_job_is_what_the_hub_takes(capsys):
    hf_job().main([*ARGUMENTS, "--dry-run"])
    job = json.loads(capsys.readouterr().out)
    from huggingface_hub import run_job

    inspect.signature(run_job).bind(**job)
    script = job["command"][-1]
    assert "git clone --depth 1 https://example.com/b.git book" in script
    assert script.endswith(
        "llmbook runs run mini --results /bucket/results --output /bucket/executed"
    )
    assert job["volumes"][0]["mount_path"] == "/bucket"


@pytest.mark.skipif(os.name == "nt", reason="there is no bash")
def test_a_job_quotes_what_it_is_given(capsys):
    hf_job().main([*ARGUMENTS[:-1], "x; rm -rf /", "--dry-run", "--smoke"])
    script = json.loads(capsys.readouterr().out)["command"][-1]
    assert "git clone --depth 1 'x; rm -rf /' book" in script
    assert "runs run mini --smoke" in script


def test_a_job_needs_to_know_the_repository(capsys, monkeypatch):
    module = hf_job()
    monkeypatch.setattr(module, "address", lambda: "")
    with pytest.raises(SystemExit, match="2"):
        module.main(["mini", "--bucket", "me/book"])
    assert "give --repository" in capsys.readouterr().err


def test_the_task_of_skypilot_runs_the_command():
    task = yaml.safe_load((ROOT / "profiles/sky.yaml").read_text("utf-8"))
    assert set(task) <= {
        *("name", "workdir", "num_nodes", "resources", "envs", "file_mounts"),
        *("setup", "run"),
    }
    assert task["resources"]["use_spot"] is True
    assert task["file_mounts"]["/bucket"]["mode"] == "MOUNT_CACHED"
    assert "llmbook runs run $RUNS" in task["run"]
    assert task["envs"]["RUNS"] in RUNS


def test_the_gpu_workflow_never_runs_on_pull_requests():
    workflow = yaml.safe_load((ROOT / ".github/workflows/gpu.yml").read_text("utf-8"))
    assert set(workflow[True]) == {"workflow_dispatch", "schedule"}
    for name in workflow["jobs"]["runs"]["env"]["RUNS"].split("'")[1].split():
        assert name in RUNS


def test_there_is_a_profile():
    assert PARAMETERS
