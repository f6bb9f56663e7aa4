"""A model divided among two processes: the same run as that of one process.

Run as a script, this file is the pair of processes: they train in several ways, each in
a folder of its own.
"""

import json
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from processes import prepare_tokens, records, torchrun
from recipes import RECIPE, TINY
from safetensors.torch import load_file
from torch import distributed

from llmbook_utils import pretrain as module
from llmbook_utils.files.checkpoint import read_checkpoint
from llmbook_utils.model import GPTModel

# 15 positions do not divide evenly by two; each step's gradients are clipped
PLAIN = replace(RECIPE, model=replace(TINY, context_length=15), keep=(0, 4), clip=0.5)
SHARDED = replace(PLAIN, sharded=True)
# by two processes, from the start: the recipe of each run
WAYS = {
    "copied": PLAIN,
    "sharded": SHARDED,
    "sharded, untied": replace(
        SHARDED, model=replace(SHARDED.model, tie_embeddings=False)
    ),
    "copied, compiled": replace(PLAIN, compile=True),
    "sharded, compiled": replace(SHARDED, compile=True),
}
# runs that continue after step 3 of another: which, and with what recipe
CONTINUED = {
    "sharded again": ("sharded", SHARDED),
    "sharded, then copied": ("sharded", PLAIN),
    "one, then sharded": ("one", SHARDED),
}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


save_checkpoint = module.save_checkpoint  # before it is replaced below


def keep_checkpoints(path, model, optimizer, progress):
    """Save a checkpoint as a run does, and a copy under the number of its step."""
    save_checkpoint(path, model, optimizer, progress)
    shutil.copy(path, path.with_name(f"after-{progress.step}"))


def continue_from(source, out):
    """A folder as it is when a run has been killed between steps 3 and 6."""
    out.mkdir()
    for name in ("recipe.json", "metrics.jsonl"):
        shutil.copy(source / name, out / name)
    shutil.copy(source / "after-3", out / "checkpoint.safetensors")


def held(optimizer):
    """How many numbers this process holds: of weights, gradients and averages."""
    weights = [w for group in optimizer.param_groups for w in group["params"]]
    gradients = [w.grad for w in weights]
    averages = [state["exp_avg"] for state in optimizer.state.values()]
    return [
        sum(getattr(part, "_local_tensor", part).numel() for part in parts)
        for parts in (weights, gradients, averages)
    ]


def run_the_pair(folder):
    """What each process of the pair does; it notes what it held and compiled."""
    place = module.start_processes()  # once, for all the runs
    module.start_processes = lambda: place
    end, distributed.destroy_process_group = distributed.destroy_process_group, int
    module.save_checkpoint, gather = keep_checkpoints, module.gather
    notes, found = {}, {}

    def stand_in(graph, example):  # for the compiler, which takes long
        notes["graphs"].append(len(graph.graph.nodes))
        return graph.forward

    def watched(model, optimizer):
        notes["held"] = held(optimizer)
        before = torch.get_rng_state()
        whole = gather(model, optimizer)
        assert torch.equal(torch.get_rng_state(), before)
        return whole

    torch.compile = partial(torch.compile, backend=stand_in)
    module.gather = watched
    runs = {name: (None, recipe) for name, recipe in WAYS.items()} | CONTINUED
    for name, (source, recipe) in runs.items():
        found[name] = notes = {"graphs": []}
        if source and place[0] == 0:
            continue_from(folder / source, folder / name)
        distributed.barrier()
        module.pretrain(folder / "out", folder / name, recipe)
    (folder / f"found-{place[0]}.json").write_text(json.dumps(found))
    end()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the runs of the pair, and those of one process beside them."""
    folder = tmp_path_factory.mktemp("runs")
    tokens = prepare_tokens(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "save_checkpoint", keep_checkpoints)
        module.pretrain(tokens, folder / "one", PLAIN)
        untied = replace(WAYS["sharded, untied"], sharded=False)
        module.pretrain(tokens, folder / "one, untied", untied)
        with torchrun(__file__, folder) as run:
            _, said = run.communicate(timeout=120)
        assert run.returncode == 0, said
        continue_from(folder / "sharded", folder / "sharded, then one")
        module.pretrain(tokens, folder / "sharded, then one", SHARDED)
    return folder


def of_one(name):
    """The run of one process that a run is compared with."""
    return "one, untied" if "untied" in name else "one"


ALL = [*WAYS, *CONTINUED, "sharded, then one"]


@pytest.mark.parametrize("name", ALL)
def test_the_losses_are_those_of_one_process(folder, name):
    ours, theirs = records(folder / name), records(folder / of_one(name))
    assert min(line["grad_norm"] for line in theirs) > PLAIN.clip
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_what_continues_in_the_same_way_has_the_very_same_losses(folder):
    assert records(folder / "sharded again") == records(folder / "sharded")


@pytest.mark.parametrize("name", ALL)
def test_the_models_are_those_of_one_process(folder, name):
    places = ["model", *(f"kept/00000{step}" for step in PLAIN.keep if name in WAYS)]
    for place in places:
        file = f"{place}/model.safetensors"
        ours, theirs = (
            load_file(folder / name / file),
            load_file(folder / of_one(name) / file),
        )
        assert_equal(ours, theirs)


@pytest.mark.parametrize("name", ALL)
def test_the_checkpoints_are_those_of_one_process(folder, name):
    for file in ("after-6", "checkpoint.safetensors"):
        ours, header = read_checkpoint(folder / name / file)
        theirs, its_header = read_checkpoint(folder / of_one(name) / file)
        assert_equal(ours, theirs)
        assert header["tensors"] == its_header["tensors"]
        assert header["optimizer"] == its_header["optimizer"]
        assert header["config"] == its_header["config"]


def assert_equal(ours, theirs):
    """The same names, shapes, types and, but for the order of sums, numbers."""
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def test_each_process_holds_a_part_of_all_that_is_divided(folder):
    whole = sum(weight.numel() for weight in GPTModel(PLAIN.model).parameters())
    found = [json.loads((folder / f"found-{i}.json").read_text()) for i in (0, 1)]
    for name, recipe in WAYS.items():
        if "untied" in name:
            continue
        parts = [one[name]["held"] for one in found]
        if recipe.sharded:
            assert [sum(pair) for pair in zip(*parts, strict=True)] == [whole] * 3
            assert max(map(max, parts)) < 0.52 * whole
        else:
            assert parts == [[whole] * 3] * 2


def test_compiled_is_what_the_recipe_says(folder):
    for i in (0, 1):
        found = json.loads((folder / f"found-{i}.json").read_text())
        compiled = [name for name, one in found.items() if one["graphs"]]
        assert compiled == ["copied, compiled", "sharded, compiled"]
        assert all(max(found[name]["graphs"]) > 25 for name in compiled)


if __name__ == "__main__":
    run_the_pair(Path(sys.argv[1]))
