"""Files of checkpoints: what is damaged is refused, and nothing is touched."""

import json
import os
import random

import pytest
import torch
from checkpoints import build, go_on, loader_of, saved  # noqa: F401
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from llmbook_utils.checkpoint import load_checkpoint

# the killed run has one thread too
pytestmark = pytest.mark.usefixtures("one_thread")


def change(path, edit):
    """Write a checkpoint again, with its tensors and its header changed by `edit`."""
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["checkpoint"])
    tensors = load_file(path)
    edit(tensors, header)
    save_file(tensors, path, {"checkpoint": json.dumps(header)})


def lose(name):
    return lambda tensors, header: tensors.pop(name)


def lose_and_forget(name):
    return lambda tensors, header: (tensors.pop(name), header["tensors"].remove(name))


def reshape(name):
    return lambda tensors, header: tensors.update({name: torch.zeros(5, 3)})


def round_off(name):
    return lambda tensors, header: tensors.update({name: tensors[name].half()})


def spoil(name):
    return lambda tensors, header: tensors[name][0].fill_(torch.nan)


def widen(tensors, header):
    header["config"] |= {"emb_dim": 48, "n_layers": 4}


def merge_groups(tensors, header):
    header["optimizer"][0]["params"] += header["optimizer"].pop()["params"]


NORM = "model.blocks.1.norm_2.scale"
BAD = {
    "lost": (lose(NORM), rf"run\.safetensors .*{NORM}"),
    "never saved": (lose_and_forget(NORM), r"lacks blocks\.1\.norm_2\.scale"),
    "average lost": (lose("optimizer.3.exp_avg"), r"optimizer\.3\.exp_avg"),
    "random state lost": (lose("random.cpu"), r"random\.cpu"),
    "shape": (reshape(NORM), r"blocks\.1\.norm_2\.scale is \(5, 3\) .* but \(24,\)"),
    "type": (round_off(NORM), r"norm_2\.scale is \(24,\) torch\.float16 in the check"),
    "average's shape": (
        reshape("optimizer.3.exp_avg"),
        r"exp_avg of weight 3 .*\(5, 3\)",
    ),
    "not a number": (spoil(NORM), r"blocks\.1\.norm_2\.scale has .* not finite"),
    "config": (widen, "emb_dim is 48, not 24, n_layers is 4, not 2"),
    "groups": (merge_groups, r"groups of \[10, 18\] weights, the .* one of \[28\]"),
}


def pickled(path):
    torch.save({"weight": torch.ones(3)}, path)


def pickled_long_ago(path):
    torch.save({"w": torch.ones(3)}, path, _use_new_zipfile_serialization=False)


def cut_off(path):
    os.truncate(path, path.stat().st_size - 1000)


def emptied(path):
    os.truncate(path, 0)


def without_a_run(path):
    save_file({"weight": torch.ones(3)}, path)


DAMAGED = {
    "pickle": (pickled, "is a pickle file"),
    "old pickle": (pickled_long_ago, "is a pickle file"),
    "cut off": (cut_off, "was cut off or is not a safetensors file; use an earlier"),
    "empty": (emptied, "was cut off or is not a safetensors file"),
    "only weights": (without_a_run, "holds tensors, but not a run"),
} | {name: (lambda path, e=e: change(path, e), says) for name, (e, says) in BAD.items()}


def everything(model, optimizer):
    """What a failed load must leave alone."""
    averages = optimizer.state_dict()["state"].values()
    tensors = [t.clone() for a in averages for t in a.values()]
    groups = json.dumps(optimizer.state_dict()["param_groups"])
    weights = [p.detach().clone() for p in model.parameters()]
    return [*weights, *tensors, torch.get_rng_state()], groups, random.getstate()


@pytest.mark.parametrize("damage, says", DAMAGED.values(), ids=DAMAGED)
def test_a_bad_checkpoint_is_refused_and_touches_nothing(saved, tmp_path, damage, says):
    damage(saved)
    model, optimizer = build(seed=1)
    go_on(model, optimizer, tmp_path / "other", loader_of(4), steps=1)
    tensors, groups, numbers = everything(model, optimizer)
    with pytest.raises(ValueError, match=says):
        load_checkpoint(saved, model, optimizer)
    after, groups_after, numbers_after = everything(model, optimizer)
    assert (groups_after, numbers_after) == (groups, numbers)
    assert all(map(torch.equal, after, tensors))


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*none\.safetensors"):
        load_checkpoint(tmp_path / "none.safetensors", *build())
