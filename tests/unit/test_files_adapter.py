"""Adapter files: what is broken, missing or not a number is refused, and nothing is half-written."""

import json
import math
import shutil

import pytest
import torch
from lora_models import same, weights_of, with_lora
from models import build
from safetensors.torch import load_file, save_file

from llmbook_utils.files.adapter import CONFIG, WEIGHTS
from llmbook_utils.lora import load_adapter, lora_layers, save_adapter


def spoil(folder, how):
    """Break an adapter's folder in one way."""
    config, weights = folder / CONFIG, folder / WEIGHTS
    tensors, content = load_file(weights), json.loads(config.read_text())
    first = next(iter(sorted(tensors)))
    how(tensors, content, first)
    save_file(tensors, weights)
    config.write_text(json.dumps(content))


BROKEN = [
    (lambda t, c, n: t.pop(n), "has one of A and B only"),
    (lambda t, c, n: t.update({n: t[n] * math.nan}), "NaN or infinite"),
    (lambda t, c, n: t.update({n: t[n].int()}), "holds torch.int32"),
    (lambda t, c, n: t.update({n: t[n][:2].clone()}), "says that the rank is 4"),
    (lambda t, c, n: t.update(more=torch.ones(2)), "'more' is no part of an adapter"),
    (lambda t, c, n: t.clear(), "no tensor is of an adapter"),
    (lambda t, c, n: c.update(use_dora=True), "use_dora is True, but plain LoRA"),
    (lambda t, c, n: c.update(use_rslora=True), "use_rslora is True"),
    (lambda t, c, n: c.update(rank_pattern={"c_fc": 2}), "rank_pattern is"),
    (lambda t, c, n: c.update(peft_type="IA3"), "peft_type is 'IA3'"),
    (lambda t, c, n: c.update(r=8), "the rank is 8"),
    (lambda t, c, n: c.update(lora_alpha="16"), "lora_alpha '16'"),
    (lambda t, c, n: c.update(lora_alpha=0), "alpha is 0"),
    (lambda t, c, n: c.pop("r"), "does not describe an adapter"),
]


@pytest.mark.parametrize(("how", "words"), BROKEN)
def test_a_broken_adapter_is_refused_and_nothing_is_changed(tmp_path, how, words):
    save_adapter(with_lora(), tmp_path)
    spoil(tmp_path, how)
    model = build()
    before = weights_of(model)
    with pytest.raises(ValueError, match=words):
        load_adapter(model, tmp_path)
    assert not lora_layers(model)
    assert same(weights_of(model), before)


def test_files_that_are_not_there_and_cut_ones(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither an adapter of the book"):
        load_adapter(build(), tmp_path / "nowhere")
    save_adapter(with_lora(), tmp_path / "whole")
    for file in (CONFIG, WEIGHTS):
        shutil.copytree(tmp_path / "whole", tmp_path / file)
        (tmp_path / file / file).unlink()
        with pytest.raises(FileNotFoundError, match=f"has no {file}"):
            load_adapter(build(), tmp_path / file)
    data = (tmp_path / "whole" / WEIGHTS).read_bytes()
    (tmp_path / "whole" / WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="broken or cut off"):
        load_adapter(build(), tmp_path / "whole")


def test_a_diverged_adapter_is_not_saved_over_a_good_one(tmp_path):
    model = with_lora()
    save_adapter(model, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    next(iter(lora_layers(model).values())).A.data[0, 0] = math.nan
    with pytest.raises(ValueError, match=r"c_attn.lora_A.weight' holds NaN"):
        save_adapter(model, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
