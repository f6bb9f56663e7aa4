"""Saved models for the tests: their shapes, their weights, and folders to be broken."""

import json
from dataclasses import replace

import pytest
import torch
from models import TINY, build, lifelike
from safetensors.torch import load_file, save_file

from llmbook_utils.files.datasets import load_text
from llmbook_utils.pretrained import save_pretrained
from llmbook_utils.tokenizer import BytePairTokenizer

SMALL = replace(TINY, vocab_size=300)
FILES = {"config.json", "model.safetensors", "vocab.json", "merges.txt"}


@pytest.fixture(scope="module")
def tokenizer():
    return BytePairTokenizer.train(load_text("story"), 300).to_tiktoken()


@pytest.fixture
def folder(tokenizer, tmp_path):
    """A folder with a saved model, to be broken."""
    save_pretrained(varied(SMALL), tokenizer, tmp_path)
    return tmp_path


def varied(config, seed=0):
    """A model with weights far from the initial ones: no bias is 0, no scale is 1."""
    return lifelike(build(config, seed), seed)


def assert_same_weights(loaded, model):
    expected = dict(model.named_parameters())
    for name, parameter in loaded.named_parameters():
        torch.testing.assert_close(parameter, expected.pop(name), atol=0, rtol=0)
    assert not expected


def change(folder, tensors=None, **keys):
    """Change tensors of the saved weights (None: leave out) and keys of config.json."""
    weights = load_file(folder / "model.safetensors") | (tensors or {})
    weights = {name: value for name, value in weights.items() if value is not None}
    save_file(weights, folder / "model.safetensors")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
