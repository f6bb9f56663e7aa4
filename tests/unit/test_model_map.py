"""The model map in Python: its example, its stages, its fallback, and what it refuses."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from stored_numbers import numbers

from llmbook_utils.config import GPT2_SMALL, MINI, GPTConfig
from llmbook_utils.inside.explain import explain
from llmbook_utils.inside.trace import Trace
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets import ModelMap
from llmbook_utils.widgets.live import sizes
from llmbook_utils.widgets.model_map import (
    AFTER,
    BEFORE,
    BLOCK,
    evaluate,
    letters,
    source,
)

TEXT = "The old king had a son"
SEVEN = "The king and the queen had one"


@pytest.fixture(scope="module")
def widget() -> ModelMap:
    return ModelMap(TEXT)


@pytest.mark.parametrize(
    "config",
    [
        MINI,
        GPT2_SMALL,
        GPTConfig(60, 8, 12, 3, 2, qkv_bias=False, tie_embeddings=False),
    ],
    ids=["mini", "gpt2", "untied, no bias"],
)
def test_the_parameters_of_the_stages_are_all_of_the_model(config: GPTConfig) -> None:
    known = letters(sizes(config), T=5)
    around = [s.parameters for s in BEFORE + AFTER if s.parameters]
    inside = [s.parameters for s in BLOCK if s.parameters]
    with torch.device("meta"):
        model = GPTModel(config)
    total = sum(evaluate(formula, known) for formula in around)
    total += config.n_layers * sum(evaluate(formula, known) for formula in inside)
    assert total == sum(p.numel() for p in model.parameters())


def test_the_stages_have_the_shapes_of_the_trace(widget: ModelMap) -> None:
    model, tokenizer = load_pretrained("mini")
    ids = tokenizer.encode_ordinary(TEXT)
    known = letters(sizes(MINI), len(ids))
    stages = [stage for stage in BEFORE + AFTER if stage.operation]
    stages += [replace(stage, name=f"blocks.2.{stage.name}") for stage in BLOCK]
    values = Trace(model, [stage.name for stage in stages])(ids)
    for stage in stages:
        axes = [evaluate(axis, known) for axis in stage.shape.split(",")]
        assert axes == list(values[stage.name].shape), stage.name


def test_the_example_holds_the_values_of_the_model(widget: ModelMap) -> None:
    model, tokenizer = load_pretrained("mini")
    ids = tokenizer.encode_ordinary(TEXT)
    (run,) = widget.example["run"]
    assert [token["id"] for token in run["tokens"]] == ids
    chances = model(torch.tensor([ids]))[0, -1].softmax(dim=-1)
    best = chances.topk(10)
    assert [token["id"] for token in run["top"]] == best.indices.tolist()
    assert run["top"][0]["probability"] == pytest.approx(best.values[0].item(), 1e-4)
    stored = {
        tensor["name"]: numbers(buffer)
        for tensor, buffer in zip(run["tensors"], run["buffers"], strict=True)
    }
    logits = stored["logits.last"]
    assert np.abs(np.log(chances.detach().numpy()) - logits).std() < 1e-5
    assert "blocks.0.attention.scores" in stored
    assert "blocks.0.feed_forward.gelu" not in stored, "the page makes it of up_proj"
    assert all(f"blocks.{i}.output" in stored for i in range(6))


def test_the_stored_way_leads_from_a_weight_to_the_table(widget: ModelMap) -> None:
    model, tokenizer = load_pretrained("mini")
    ids = tokenizer.encode_ordinary(TEXT)
    path = widget.example["path"]
    assert [reply["operation"] for reply in path] == [
        *("softmax", "product", "product", "norm", "sum", "lookup")
    ]
    assert path[1]["tensor"] == "blocks.0.attention.scores"
    for reply in path:
        found = explain(model, ids, reply["tensor"], reply["index"])
        assert reply["value"] == pytest.approx(found["value"], abs=1e-6)
    scores = path[1]
    left, right = map(numbers, scores["buffers"])
    product = left @ right * scores["factor"]
    assert product == pytest.approx(scores["value"], abs=1e-5)


def test_the_way_goes_on_through_other_operations() -> None:
    term = {"tensor": "blocks.0.feed_forward.up_proj", "index": [1, 2], "value": 0.5}
    assert source({"operation": "gelu", "terms": [term]}) == (term["tensor"], [1, 2])
    assert source({"operation": "lookup"}) is None


def test_a_page_with_the_map_stays_small(widget: ModelMap) -> None:
    html = ModelMap(SEVEN).to_html()
    assert len(html) < 160_000
    assert ModelMap(SEVEN).to_html() == html
    assert repr(widget) == f"ModelMap({TEXT!r}, block=0)"


def test_another_block_is_open_at_first() -> None:
    widget = ModelMap("A cat", block=5)
    names = [tensor["name"] for tensor in widget.example["run"][0]["tensors"]]
    assert "blocks.5.attention.q" in names
    assert "blocks.0.attention.q" not in names
    assert widget.example["path"][-1]["tensor"].startswith("blocks.4.output")


def test_one_token_is_enough() -> None:
    widget = ModelMap("The")
    assert len(widget.example["run"][0]["tokens"]) == 1
    assert widget.example["path"][0]["value"] == 1.0


def test_the_fallback_says_the_stages_and_the_next_tokens(widget: ModelMap) -> None:
    html = widget.fallback()
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th>", html)
    assert len(rows) == len(BEFORE + BLOCK + AFTER) + 10
    assert "<td>H = 8, T = 6, D = 32</td><td>6 × 65,792</td>" in html
    assert "<td>T = 6, C = 256</td><td>1,048,576</td>" in html
    assert '<th scope="row">,</th><td>36.8 %</td>' in html
    assert "␣king (1188)" in html


@pytest.mark.parametrize(
    ("text", "block", "error", "says"),
    [
        ("", 0, ValueError, "there is no text"),
        ("half \ud83d", 0, ValueError, "lone surrogate"),
        ("A cat", 6, ValueError, "block is 6; expected 0 to 5"),
        ("A cat", -1, ValueError, "block is -1; expected 0 to 5"),
        ("A cat", 1.0, TypeError, "block is 1.0; expected a whole number"),
        ("A cat", True, TypeError, "block is True; expected a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    text: str, block: int, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        ModelMap(text, block=block)


def test_a_long_text_is_cut_and_a_model_of_ones_own_is_read() -> None:
    widget = ModelMap("a b " * 30, model=load_pretrained("mini"))
    (run,) = widget.example["run"]
    assert run["cut"] and len(run["tokens"]) == 24
    assert widget.state()["model"]["name"] == "your model"
