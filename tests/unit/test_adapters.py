"""Adapters of one model: swapped in the weights, their heads beside the model's own."""

from pathlib import Path

import pytest
import torch
from models import TINY, build, lifelike, some_ids
from torch import nn

from llmbook_utils.lora import add_lora, load_adapter, lora_layers, merge, save_adapter
from llmbook_utils.model import GPTModel
from llmbook_utils.widgets.adapters import Adapters, adapter_files, describe_adapter


def saved(folder: Path, seed: int, classes: int = 0) -> str:
    """An adapter that has learned something, for `lifelike(build())`."""
    model = lifelike(build())
    torch.manual_seed(seed)
    if classes:
        model.head = nn.Linear(TINY.emb_dim, classes, bias=False)
    add_lora(model, 2, 3)
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.B, std=0.2)
    save_adapter(model, folder)
    return str(folder)


def plain(model: GPTModel) -> bool:
    return not lora_layers(model) and model.head.weight is model.token_embedding.weight


def test_swapping_adapters_and_back(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a", 1, classes=2), saved(tmp_path / "b", 2)
    model, ids = lifelike(build()), some_ids(2, 9)
    adapters, before = Adapters(model), model(ids)
    seen = []
    for name in (first, second, first, None, second, None):
        adapters.wear(name)
        assert model(ids).shape == before.shape, "the head is the model's own"
        seen.append(model(ids))
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[4])
    assert torch.equal(seen[3], before) and torch.equal(seen[5], before)
    assert (seen[0] - seen[1]).abs().max() > 0.01
    assert plain(model)


def test_the_head_of_an_adapter_is_on_the_model_for_a_while(tmp_path: Path) -> None:
    name, none = saved(tmp_path / "a", 1, classes=3), saved(tmp_path / "b", 2)
    model, ids = lifelike(build()), some_ids(2, 9)
    adapters, before = Adapters(model), model(ids)
    other = load_adapter(lifelike(build()), name)
    merge(other)
    with adapters.head(name):
        assert torch.equal(model(ids), other(ids))
    with pytest.raises(ZeroDivisionError), adapters.head(name):
        raise ZeroDivisionError
    adapters.wear(None)
    assert torch.equal(model(ids), before) and plain(model)
    assert (adapters.classes(name), adapters.classes(none)) == (3, 0)
    with pytest.raises(ValueError, match="has no head"), adapters.head(none):
        pass


def test_an_unknown_adapter_changes_nothing(tmp_path: Path) -> None:
    name, model, ids = saved(tmp_path / "a", 1), lifelike(build()), some_ids(2, 9)
    adapters = Adapters(model)
    adapters.wear(name)
    worn = model(ids)
    with pytest.raises(FileNotFoundError, match="neither an adapter of the book"):
        adapters.wear("nothing like it")
    assert adapters.worn == name and torch.equal(model(ids), worn)


def test_what_the_site_publishes() -> None:
    files = adapter_files()
    assert "adapters/spam.safetensors" in files
    for file, content in files.items():
        assert len(content) <= 500_000, file
        about = describe_adapter(Path(file).stem)
        assert about["file"] == file and about["bytes"] == len(content)
        assert about["alpha"] > 0
