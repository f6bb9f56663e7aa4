"""How a number came about: each can be computed again from the parts of its answer."""

import re
from dataclasses import replace
from random import Random

import pytest
import torch
from models import BLOCK, TINY, ids_of, vivid
from torch.nn import functional as F

from llmbook_utils.inside.explain import explain
from llmbook_utils.inside.trace import Changes, Replacement, Trace

pytestmark = pytest.mark.usefixtures("one_thread")

UNTIED = replace(
    TINY, emb_dim=12, n_layers=3, qkv_bias=False, tie_embeddings=False, vocab_size=37
)
AROUND = ["token_embedding", "position_embedding", "embedding", "final_norm", "logits"]
INSIDE = [f"blocks.{i}.{name}" for i in (0, 1) for name in BLOCK]
CHANGES = [
    Changes(),
    Changes(mask=False, scaling=False),
    Changes(heads=[(1, 0), (1, 1)], positions=False),
]


@pytest.fixture(scope="module", params=[TINY, UNTIED], ids=["tied", "untied, no bias"])
def model(request):
    return vivid(request.param)


def again(answer, model):
    """The value that the parts of an answer give."""
    left, right = (answer["arrays"].get(name) for name in ("left", "right"))
    operation = answer["operation"]
    if operation == "product":
        return answer["factor"] * sum(left * right) + answer["bias"]
    if operation == "sum":
        return sum(term["value"] for term in answer["terms"])
    if operation == "norm":
        close(answer["mean"], left.mean())
        close(answer["variance"], left.var(correction=0))
        root = (answer["variance"] + 1e-5) ** 0.5
        normal = (left[answer["at"]] - answer["mean"]) / root
        return normal * answer["scale"] + answer["shift"]
    if operation == "softmax":
        assert len(left) == answer["allowed"]
        weights = torch.softmax(left, dim=0)
        return weights[answer["at"]] if answer["at"] < len(left) else 0.0
    if operation == "gelu":
        (term,) = answer["terms"]
        return F.gelu(torch.tensor(term["value"]), approximate="tanh")
    if operation == "lookup":
        name, index = answer["parameter"].values()
        return model.state_dict()[name][tuple(index)]
    assert operation == "off"
    return 0.0


def close(one, other):
    assert float(one) == pytest.approx(float(other), abs=1e-5, rel=1e-5)


def parts_of(answer):
    """What an answer says it was made of, with the numbers that it gives for it."""
    for term in answer.get("terms", []):
        yield term["tensor"], term["index"], term["value"]
    for key, array in (("of", "left"), ("and", "right")):
        if key in answer:
            yield *answer[key].values(), answer["arrays"][array]


@pytest.mark.parametrize("changes", CHANGES, ids=["none", "mask, scaling", "off"])
@pytest.mark.parametrize("tensor", AROUND + INSIDE)
def test_a_value_can_be_computed_again(model, tensor, changes):
    ids, random = ids_of(), Random(tensor)
    ids = [id % model.config.vocab_size for id in ids]
    values = Trace(model, [*AROUND, *INSIDE, "blocks.*.output"], changes)(ids)
    for _ in range(4):
        index = [random.randrange(size) for size in values[tensor].shape]
        answer = explain(model, ids, tensor, index, changes)
        assert answer["value"] == values[tensor][tuple(index)].item()
        close(again(answer, model), answer["value"])
        for name, at, numbers in parts_of(answer):
            found = part_of(values, name, at)
            if isinstance(numbers, float):
                assert numbers == found.item()
            else:  # the softmax leaves out what the mask hides
                assert torch.equal(numbers, found[: len(numbers)])
        if "parameter" in answer and answer["operation"] == "product":
            name, at = answer["parameter"].values()
            row = model.state_dict()[name][tuple(at)]
            assert torch.equal(answer["arrays"]["right"], row)


def part_of(values, name, at):
    """The numbers that an answer means by a tensor and an index of it."""
    if name.endswith(".attention.v"):  # one number of each token
        return values[name][at[0], :, at[1]]
    if name.endswith(".attention.context") and len(at) == 1:  # the heads side by side
        return values[name][:, at[0]].flatten()
    return values[name][tuple(at)]


def test_a_number_that_was_replaced_is_said_to_be():
    item = Replacement("blocks.0.residual", [2], 0.25)
    changes = Changes(replace=[item])
    answer = explain(vivid(TINY), ids_of(), item.tensor, [2, 4], changes)
    assert answer == {"value": 0.25, "operation": "replaced", "arrays": {}}


def test_what_follows_a_replacement_is_made_of_it():
    item = Replacement("blocks.0.attention.out", [2, 4], 7.0)
    changes = Changes(replace=[item])
    answer = explain(vivid(TINY), ids_of(), "blocks.0.residual", [2, 4], changes)
    assert answer["terms"][1]["value"] == 7.0


def test_a_block_that_is_off_hands_on_what_it_got():
    changes, model = Changes(blocks=[1]), vivid(TINY)
    answer = explain(model, ids_of(), "blocks.1.output", [2, 4], changes)
    before = explain(model, ids_of(), "blocks.0.output", [2, 4])
    assert answer["operation"] == "off"
    assert answer["value"] == before["value"]


@pytest.mark.parametrize(
    ("tensor", "index", "message"),
    [
        ("nothing", [0], "there is no tensor nothing"),
        ("logits.last", [0], "there is no tensor logits.last"),
        ("blocks.2.output", [0, 0], "there is no tensor blocks.2.output"),
        ("blocks.0.attention", [0, 0], "there is no tensor blocks.0.attention"),
        ("logits", [7, 0], "index [7, 0] lies outside logits, which has the shape"),
        ("logits", [0, -1], "index [0, -1] lies outside logits"),
        ("logits", [0], "index [0] names no number of logits"),
        ("blocks.0.attention.q", [0, 0, 8], "index [0, 0, 8] lies outside"),
        ("blocks.1.norm_1", [0, 0], "blocks.1.norm_1 is not computed: its block is"),
    ],
)
def test_what_there_is_not_is_refused(tensor, index, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        explain(vivid(TINY), ids_of(), tensor, index, Changes(blocks=[1]))
