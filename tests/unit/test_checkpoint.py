"""Checkpoints: a run that was killed goes on with the very same losses.

Run as a script, this file is the run that gets killed.
"""

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoints import TINY, build, go_on, loader_of, saved  # noqa: F401
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from llmbook_utils import checkpoint
from llmbook_utils.checkpoint import load_checkpoint, save_checkpoint
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.tokenizer import BytePairTokenizer
from llmbook_utils.train import Progress, create_optimizer, train

# the killed run has one thread too
pytestmark = pytest.mark.usefixtures("one_thread")


def measured(folder):
    """Each step's record in the metrics file, without the time."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


def run_that_dies(folder):
    """Save every step, and die by signal 9 in the middle of saving the ninth."""
    model, optimizer = build()

    def save(progress, record):
        if progress.step == 9:
            checkpoint.save_file = die_half_way
        save_checkpoint(folder / "run.safetensors", model, optimizer, progress)

    go_on(model, optimizer, folder, loader_of(3), on_step=save)


def die_half_way(tensors, path, metadata):
    save_file(tensors, path, metadata)
    os.truncate(path, path.stat().st_size // 2)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_killed_run_goes_on_with_the_very_same_losses(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, __file__, str(killed)]
    dead = subprocess.run(command, capture_output=True, text=True)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    assert [r["step"] for r in measured(killed)] == list(range(1, 10))

    expected, optimizer = build()
    go_on(expected, optimizer, whole, loader_of(3))
    model, optimizer = build(seed=99)  # other weights, and other random states
    random.seed(99)
    progress = load_checkpoint(killed / "run.safetensors", model, optimizer)
    assert (progress.step, progress.epoch) == (8, 1)
    go_on(model, optimizer, killed, loader_of(3), progress)
    assert measured(killed) == measured(whole)
    for ours, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("seed", [3, None])
@pytest.mark.parametrize("stop", [1, 6, 12, 13])
def test_a_run_can_stop_at_any_step_also_at_the_end_of_a_pass(tmp_path, seed, stop):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    go_on(*build(), whole, loader_of(seed))
    model, optimizer = build()

    def save(progress, record):
        save_checkpoint(parts / "run.safetensors", model, optimizer, progress)

    go_on(model, optimizer, parts, loader_of(seed), on_step=save, steps=stop)
    model, optimizer = build(seed=99)
    progress = load_checkpoint(parts / "run.safetensors", model, optimizer)
    history = go_on(model, optimizer, parts, loader_of(seed), progress)
    losses = [record["loss"] for record in measured(whole)]
    assert history.curve("loss")[1] == losses[stop:]


def test_all_random_numbers_go_on(tmp_path):
    path = tmp_path / "run.safetensors"
    model, optimizer = build()
    random.seed(5)
    random.gauss()  # leaves a second number behind for the next call
    save_checkpoint(
        path, model, optimizer, Progress(step=7, tokens=10**12, seconds=0.1)
    )
    expected = random.gauss(), random.random(), torch.rand(3).tolist()
    random.seed(6)
    torch.manual_seed(6)
    progress = load_checkpoint(path, model, optimizer)
    assert (random.gauss(), random.random(), torch.rand(3).tolist()) == expected
    assert progress == Progress(step=7, tokens=10**12, seconds=0.1)


def test_a_file_has_no_pickle_and_a_tied_weight_once(tmp_path):
    path = tmp_path / "run.safetensors"
    model, optimizer = build()
    save_checkpoint(path, model, optimizer, Progress())
    names = set(load_file(path))
    assert "model.token_embedding.weight" in names
    assert "model.head.weight" not in names
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["checkpoint"])["config"]["vocab_size"] == 61
    other, optimizer = build(seed=1)
    load_checkpoint(path, other, optimizer)
    assert other.head.weight is other.token_embedding.weight
    assert torch.equal(other.head.weight, model.head.weight)


def test_a_pretrained_model_can_be_trained_on_and_saved(tmp_path):
    config = replace(TINY, vocab_size=257)
    tokenizer = BytePairTokenizer.train("late", 257).to_tiktoken()
    save_pretrained(build(config)[0], tokenizer, tmp_path / "model")
    model, _ = load_pretrained(tmp_path / "model")
    optimizer = create_optimizer(model, 1e-3)
    train(model, list(loader_of(1)), optimizer=optimizer, max_steps=2)
    save_checkpoint(tmp_path / "checkpoint", model, optimizer, Progress())
    again, other = build(config, seed=1)
    load_checkpoint(tmp_path / "checkpoint", again, other)
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_optimizer_goes_on_with_its_own_settings(tmp_path):
    path = tmp_path / "run.safetensors"
    model, _ = build()
    optimizer = create_optimizer(model, 3e-4, weight_decay=0.2, betas=(0.8, 0.9))
    save_checkpoint(path, model, optimizer, Progress())
    model, other = build()
    load_checkpoint(path, model, other)
    assert other.state_dict() == optimizer.state_dict()


@pytest.mark.parametrize("where", ["writing", "renaming"])
def test_a_write_that_fails_leaves_the_last_good_checkpoint(saved, where, monkeypatch):
    before = saved.read_bytes()

    def fail(source, target, *rest):
        if where == "writing":
            Path(target).write_bytes(before[:1000])
        raise OSError(28, "No space left on device")

    where_to = (checkpoint, "save_file") if where == "writing" else (os, "replace")
    monkeypatch.setattr(*where_to, fail)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(saved, *build(), Progress())
    assert saved.read_bytes() == before
    assert list(saved.parent.glob("*.part")) == []


if __name__ == "__main__":
    torch.set_num_threads(1)
    run_that_dies(Path(sys.argv[1]))
