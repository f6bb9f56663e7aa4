"""Pretraining: stopping and going on, and two processes as one.

Run as a script, this file is the pair of processes whose gradients are compared.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch
from processes import ENVIRONMENT, prepare_tokens, records, torchrun
from recipes import RECIPE, TINY, write_recipe
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import BatchSampler

from llmbook_utils import pretrain as module
from llmbook_utils.loss import IGNORED
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrain import (
    OwnPart,
    create_loaders,
    pretrain,
    start_processes,
)
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.runs.recipe import read_recipe
from llmbook_utils.train import add_gradients

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """A prepared folder of some paragraphs."""
    return prepare_tokens(tmp_path_factory.mktemp("tokens"))


# runs


def test_a_run_leaves_a_model_that_loads_and_its_log(tokens, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    pretrain(tokens, tmp_path / "run", replace(RECIPE, keep=(0, 4)))
    assert signal.getsignal(signal.SIGINT) is handler
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "checkpoint.safetensors",
        "kept",
        "metrics.jsonl",
        "model",
        "recipe.json",
    ]
    lines = records(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert [line["step"] for line in lines if "val_loss" in line] == [4, 8]
    assert lines[-1]["tokens"] == 8 * 2 * 4 * 16
    assert lines[-1]["loss"] < lines[0]["loss"]
    first = load_pretrained(tmp_path / "run/kept/000000")[0]
    torch.manual_seed(RECIPE.seed)
    fresh = GPTModel(TINY)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.parameters(), fresh.parameters(), strict=True)
    )
    model, encoding = load_pretrained(tmp_path / "run/model")
    weights = load_file(tmp_path / "run/checkpoint.safetensors")
    assert torch.equal(
        model.token_embedding.weight, weights["model.token_embedding.weight"]
    )
    assert encoding.n_vocab == 300


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_with_the_same_losses(tokens, tmp_path):
    recipe = write_recipe(tmp_path / "r.toml", steps=400, checkpoint_every=400)
    command = [sys.executable, "-m", "llmbook_utils", "train", tokens]
    command += ["--recipe", recipe, "--out", tmp_path / "run"]
    run = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    wait_for_lines(tmp_path / "run/metrics.jsonl", 3, run)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    step = int(re.search(r"stopped after step (\d+)", said)[1])
    assert run.returncode == 130
    assert "Traceback" not in said
    assert [line["step"] for line in records(tmp_path / "run")] == list(
        range(1, step + 1)
    )
    with safe_open(tmp_path / "run/checkpoint.safetensors", "pt") as file:
        header = json.loads(file.metadata()["checkpoint"])
    assert header["progress"]["step"] == step
    again = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "step 400: loss" in again.stdout
    pretrain(tokens, tmp_path / "other", read_recipe(recipe))
    assert records(tmp_path / "run") == records(tmp_path / "other")


def wait_for_lines(path, n, run):
    """Wait until a run has written some lines, or fail with what it said."""
    end = time.monotonic() + 120
    while not (path.exists() and path.read_text().count("\n") >= n):
        assert run.poll() is None, run.stderr.read()
        assert time.monotonic() < end, "no line within two minutes"
        time.sleep(0.05)


def test_a_folder_with_another_run_is_refused(tokens, tmp_path):
    pretrain(tokens, tmp_path, replace(RECIPE, steps=1))
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"a run with lr = 0\.001, not 0\.5"):
        pretrain(tokens, tmp_path, replace(RECIPE, steps=1, lr=0.5))
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_a_run_from_before_a_setting_existed_goes_on(tokens, tmp_path):
    pretrain(tokens, tmp_path, replace(RECIPE, steps=1))
    path = tmp_path / "recipe.json"
    kept = json.loads(path.read_text())
    for name in ("sharded", "compile", "eval_windows", "keep"):
        del kept[name]
    path.write_text(json.dumps(kept))
    as_it_was = replace(RECIPE, steps=1, eval_windows=256, sharded=True)
    assert pretrain(tokens, tmp_path, as_it_was).records == []  # it was at its end
    with pytest.raises(ValueError, match=r"a run with keep = \[\], not \[1\]"):
        pretrain(tokens, tmp_path, replace(as_it_was, keep=(1,)))


def test_tokens_of_another_vocabulary_are_refused(tokens, tmp_path):
    other = replace(RECIPE, model=replace(TINY, vocab_size=301))
    with pytest.raises(ValueError, match="made with 300 tokens, but the model has 301"):
        pretrain(tokens, tmp_path / "run", other)
    assert not (tmp_path / "run").exists()


def test_validation_windows_are_spread_evenly(tokens):
    recipe = replace(RECIPE, eval_windows=4, model=replace(TINY, context_length=8))
    subset = create_loaders(tokens, recipe)[1].dataset
    gaps = [b - a for a, b in pairwise([*subset.indices, len(subset.dataset)])]
    assert subset.indices[0] == 0 and len(gaps) == 4
    assert min(gaps) > 1 and max(gaps) - min(gaps) <= 1
    more = replace(recipe, eval_windows=10**6)
    assert len(create_loaders(tokens, more)[1].dataset) == len(subset.dataset)


def test_the_optimizer_has_the_recipes_numbers(tokens, tmp_path):
    recipe = replace(RECIPE, steps=1, betas=(0.5, 0.6), weight_decay=0.3)
    pretrain(tokens, tmp_path, recipe)
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        decay, rest = json.loads(file.metadata()["checkpoint"])["optimizer"]
    assert decay["betas"] == rest["betas"] == [0.5, 0.6]
    assert (decay["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)


@pytest.mark.slow
def test_a_compiled_run_has_the_same_losses(tokens, tmp_path, monkeypatch):
    sizes = []

    def stand_in(graph, example):  # for the compiler, which takes long
        sizes.append(len(graph.graph.nodes))
        return graph.forward

    pretrain(tokens, tmp_path / "plain", RECIPE)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=stand_in))
    pretrain(tokens, tmp_path / "compiled", replace(RECIPE, compile=True))
    assert max(sizes) > 50  # the model; what only looks for a compiler is smaller
    pairs = zip(
        *(records(tmp_path / name) for name in ("plain", "compiled")), strict=True
    )
    for plain, compiled in pairs:
        assert compiled == pytest.approx(plain, rel=1e-5)
    assert load_pretrained(tmp_path / "compiled/model")[0].config == TINY


@pytest.mark.slow
def test_without_a_compiler_no_run_begins(tokens, tmp_path, monkeypatch):
    def broken(graph, example):
        raise RuntimeError("there is no g++")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    with pytest.raises(ValueError, match=r"cannot compile for cpu here .*no g\+\+"):
        pretrain(tokens, tmp_path / "run", replace(RECIPE, compile=True))
    assert not (tmp_path / "run").exists()


# several processes


def test_each_process_drops_others_and_starts_with_the_same_weights(
    tokens, tmp_path, monkeypatch
):
    first_draws, weights = [], []

    def note(model, *rest, **options):
        weights.append(model.head.weight.detach().clone())
        first_draws.append(torch.rand(4).tolist())
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", note)
    monkeypatch.setattr(module, "DistributedDataParallel", lambda model: model)
    for rank in range(4):
        place = (rank, 4, torch.device("cpu"))
        monkeypatch.setattr(module, "start_processes", lambda place=place: place)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tokens, tmp_path, RECIPE)
    for i, j in combinations(range(4), 2):
        assert first_draws[i] != first_draws[j]
        assert torch.equal(weights[i], weights[j])


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_the_parts_of_a_batch_are_the_batch(tokens, processes):
    whole = [x for x, _ in create_loaders(tokens, RECIPE)[0]]
    parts = [
        [x for x, _ in create_loaders(tokens, RECIPE, rank, processes)[0]]
        for rank in range(processes)
    ]
    for batch, *shares in zip(whole, *parts, strict=True):
        rows = sorted(row.tolist() for share in shares for row in share)
        assert rows == sorted(batch.tolist())


def test_the_seed_decides_the_order(tokens):
    orders = [
        [x.tolist() for x, _ in create_loaders(tokens, replace(RECIPE, seed=seed))[0]]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_a_batch_that_cannot_be_parted_is_refused():
    with pytest.raises(ValueError, match="batch of 4 cannot be divided among 3"):
        OwnPart(BatchSampler(range(8), 4, drop_last=True), 0, 3)


def example():
    """A model, and two batches whose halves have different numbers of targets."""
    torch.manual_seed(0)
    ids = torch.randint(300, (2, 4, 17))
    inputs, targets = ids[..., :-1], ids[..., 1:].clone()
    targets[0, 0, 3:] = IGNORED
    targets[1, 1:] = IGNORED
    return GPTModel(TINY), list(zip(inputs, targets, strict=True))


def save_gradients(path):
    """What a process of the pair does: its half of each batch, then the gradients."""
    rank, processes, _ = start_processes()
    model, batches = example()
    own = [(x[rank::processes], y[rank::processes]) for x, y in batches]
    loss, count = add_gradients(DistributedDataParallel(model), own)
    if rank == 0:
        found = {name: p.grad.contiguous() for name, p in model.named_parameters()}
        found["loss"] = torch.tensor([loss, count], dtype=torch.float64)
        save_file(found, path)
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(tmp_path):
    with torchrun(__file__, tmp_path / "gradients.safetensors") as run:
        _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    found = load_file(tmp_path / "gradients.safetensors")
    model, batches = example()
    loss, count = add_gradients(model, batches)
    assert found.pop("loss").tolist() == pytest.approx([loss, count], rel=1e-6)
    for name, parameter in model.named_parameters():
        assert torch.allclose(found[name], parameter.grad, rtol=1e-5, atol=1e-7), name


@pytest.mark.slow
def test_two_processes_train_as_one_would(tokens, tmp_path):
    recipe = write_recipe(tmp_path / "r.toml")
    command = ["-m", "llmbook_utils", "train", tokens, "--recipe", recipe]
    with torchrun(*command, "--out", tmp_path / "two") as run:
        _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    pretrain(tokens, tmp_path / "one", RECIPE)
    pairs = zip(records(tmp_path / "two"), records(tmp_path / "one"), strict=True)
    for two, one in pairs:
        assert two == pytest.approx(one, rel=1e-4)
    assert load_pretrained(tmp_path / "two/model")[0].config == TINY


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks up processes in /proc")
@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_process_dies_all_end_and_the_checkpoint_stays(
    tokens, tmp_path, victim
):
    recipe = write_recipe(tmp_path / "r.toml", steps=100_000, checkpoint_every=5)
    command = ["-m", "llmbook_utils", "train", tokens, "--recipe", recipe]
    with torchrun(*command, "--out", tmp_path / "run") as run:
        wait_for_lines(tmp_path / "run/metrics.jsonl", 12, run)
        workers = children(run.pid)
        assert len(workers) == 2
        os.kill(workers[victim], signal.SIGKILL)
        run.communicate(timeout=60)
    assert run.returncode != 0
    assert not [pid for pid in workers if is_running(pid)]
    reached = len(records(tmp_path / "run"))
    saved = load_file(tmp_path / "run/checkpoint.safetensors")
    assert all(
        t.isfinite().all() for name, t in saved.items() if name.startswith("model")
    )
    assert reached >= 12


def children(pid):
    """The processes that a process has started, in order."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sorted(map(int, found))


def is_running(pid):
    """Whether a process still works: one that ended may be listed a while longer."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


if __name__ == "__main__":
    save_gradients(sys.argv[1])
