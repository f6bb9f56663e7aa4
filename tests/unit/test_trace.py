"""Every value inside the model: the model's own, and each change does what it says."""

import re

import pytest
import torch
from models import AROUND, BLOCK, CONFIGS, EVERYTHING, TINY, ids_of, vivid

from llmbook_utils.inside.trace import Changes, Replacement, Trace, matches

pytestmark = pytest.mark.usefixtures("one_thread")

T, C, H, D, V = 7, TINY.emb_dim, TINY.n_heads, TINY.head_dim, TINY.vocab_size


def trace(model, ids, want=("logits",), **changes):
    return Trace(model, want, Changes(**changes))(ids)


def logits(model, ids, **changes):
    return trace(model, ids, **changes)["logits"]


def close(one, other, atol=1e-6):
    torch.testing.assert_close(one, other, atol=atol, rtol=1e-6)


@pytest.fixture(params=CONFIGS, ids=["tied", "untied, no bias"])
def model(request):
    return vivid(request.param)


def test_all_names_and_shapes():
    values = trace(vivid(TINY), ids_of(), EVERYTHING)
    blocks = {
        f"blocks.{i}.{name}": shape
        for i in range(TINY.n_layers)
        for name, shape in BLOCK.items()
    }
    assert {name: tuple(v.shape) for name, v in values.items()} == AROUND | blocks


@pytest.mark.parametrize("n", [1, 7, TINY.context_length])
@torch.no_grad()
def test_without_changes_they_are_the_values_of_the_model(model, n):
    ids = ids_of(n)
    values = trace(model, ids, EVERYTHING)
    expected, attention = model(torch.tensor([ids]), return_attention=True)
    close(values["logits"], expected[0])
    close(values["logits.last"], expected[0, -1])
    for i, weights in enumerate(attention):
        close(values[f"blocks.{i}.attention.weights"], weights[0])


@torch.no_grad()
def test_each_step_is_what_the_layer_makes(model):
    seen = {}
    for name, layer in model.named_modules():
        layer.register_forward_hook(
            lambda _, inputs, output, name=name: seen.update({name: (inputs, output)})
        )
    model(torch.tensor([ids_of()]), return_attention=True)
    made = dict(seen)
    values = trace(model, ids_of(), EVERYTHING)
    for i in range(model.config.n_layers):
        b = f"blocks.{i}"
        for name in (
            "norm_1",
            "norm_2",
            "feed_forward.up_proj",
            "feed_forward.down_proj",
        ):
            close(values[f"{b}.{name}"], made[f"{b}.{name}"][1][0])
        q, k, v = (values[f"{b}.attention.{part}"] for part in "qkv")
        flat = torch.stack([q, k, v]).permute(2, 0, 1, 3).flatten(1)
        close(flat, made[f"{b}.attention.qkv"][1][0])
        gathered = values[f"{b}.attention.context"].transpose(0, 1).flatten(1)
        close(gathered, made[f"{b}.attention.out"][0][0][0])
        close(values[f"{b}.attention.out"], made[f"{b}.attention.out"][1][0])
        close(values[f"{b}.residual"], made[f"{b}.norm_2"][0][0][0])
        hidden = values[f"{b}.feed_forward.gelu"]
        close(hidden, made[f"{b}.feed_forward.down_proj"][0][0][0])
        close(values[f"{b}.output"], made[b][1][0])
    close(values["embedding"], made["dropout"][1][0])
    close(values["final_norm"], made["final_norm"][1][0])


def test_the_mask_alone_keeps_the_future_out(model):
    ids = ids_of()
    later = [*ids[:-1], (ids[-1] + 1) % model.config.vocab_size]
    close(logits(model, ids)[:-1], logits(model, later)[:-1])
    one, other = (logits(model, text, mask=False)[:-1] for text in (ids, later))
    assert ((one - other).abs().amax(dim=-1) > 1e-4).all()
    weights = trace(model, ids, ["blocks.*.attention.weights"], mask=False)
    for weight in weights.values():
        assert (weight > 0).all()
        close(weight.sum(dim=-1), torch.ones(weight.shape[:2]))


def test_without_scaling_the_scores_are_larger_by_the_root(model):
    want = ["blocks.0.attention.scores"]
    (with_it,) = trace(model, ids_of(), want).values()
    (without,) = trace(model, ids_of(), want, scaling=False).values()
    close(without, with_it * model.config.head_dim**0.5)


def test_without_positions_and_mask_the_order_says_nothing(model):
    ids, order = ids_of(), [4, 0, 6, 2, 1, 5, 3]
    shuffled = [ids[i] for i in order]
    off = {"positions": False, "mask": False}
    close(logits(model, shuffled, **off), logits(model, ids, **off)[order], atol=1e-5)
    # with the mask the last token still gathers from the same ones, in any order
    same_end = [*shuffled[:-1][::-1], shuffled[-1]]
    one_block = {"positions": False, "blocks": range(1, model.config.n_layers)}
    ends = [logits(model, text, **one_block)[-1] for text in (shuffled, same_end)]
    close(*ends, atol=1e-5)
    ends = [logits(model, text)[-1] for text in (shuffled, same_end)]
    assert not torch.allclose(*ends, atol=1e-3)


@torch.no_grad()
def test_a_head_that_is_off_is_one_whose_columns_are_zero(model):
    off = [(1, 0), (0, 1), (1, 1)]
    found = logits(model, ids_of(), heads=off)
    size = model.config.head_dim
    values = trace(model, ids_of(), ["blocks.*.attention.context"], heads=off)
    for head in range(model.config.n_heads):
        is_off = not values["blocks.1.attention.context"][head].any()
        assert is_off == (head < 2)
    for block, head in off:
        weight = model.blocks[block].attention.out.weight
        weight[:, head * size : (head + 1) * size] = 0
    close(found, logits(model, ids_of()), atol=1e-5)


@torch.no_grad()
def test_a_block_that_is_off_is_one_that_is_not_there(model):
    names = [*EVERYTHING, "blocks.0.*"]
    values = trace(model, ids_of(), names, blocks=[0])
    assert [name for name in values if name.startswith("blocks.0.")] == [
        "blocks.0.output"
    ]
    close(values["blocks.0.output"], values["embedding"])
    del model.blocks[0]
    close(values["logits"], logits(model, ids_of()), atol=1e-5)


REPLACED = [
    Replacement("token_embedding", [2], 0.5),
    Replacement("blocks.0.attention.scores", [1, 3], [0.1] * T),
    Replacement("blocks.1.attention.weights", [0, 4, 2], 1.0),
    Replacement("blocks.1.feed_forward.gelu", [], 0.0),
    Replacement("logits", [3, 5], -2.0),
    Replacement("logits.last", [1], 9.0),
]


@pytest.mark.parametrize("replacement", REPLACED, ids=lambda r: r.tensor)
def test_a_replacement_changes_its_numbers_and_what_follows(replacement):
    model, names = vivid(TINY), EVERYTHING
    before = trace(model, ids_of(), names)
    after = trace(model, ids_of(), names, replace=[replacement])
    order = list(before)
    at = order.index(replacement.tensor)
    for name in order[:at]:
        assert torch.equal(before[name], after[name])
    expected = before[replacement.tensor].clone()
    expected[tuple(replacement.index)] = torch.tensor(replacement.value)
    assert torch.equal(after[replacement.tensor], expected)
    if not replacement.tensor.startswith("logits"):
        assert not torch.equal(before["logits"], after["logits"])


def test_replacing_by_the_same_numbers_changes_nothing():
    model = vivid(TINY)
    name = "blocks.0.attention.context"
    before = trace(model, ids_of(), [name, "logits"])
    same = Replacement(name, [1, 2], before[name][1, 2].tolist())
    close(logits(model, ids_of(), replace=[same]), before["logits"])


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        (Replacement("nothing", [0], 1.0), "there is no tensor nothing to replace"),
        (
            Replacement("blocks.2.output", [0], 1.0),
            "there is no tensor blocks.2.output",
        ),
        (
            Replacement("logits", [7], 1.0),
            "index [7] lies outside logits, which has the shape (7, 61)",
        ),
        (Replacement("logits", [-1], 1.0), "index [-1] lies outside logits"),
        (Replacement("logits", [0, 1, 2], 1.0), "index [0, 1, 2] lies outside"),
        (Replacement("logits", [0], [1.0, 2.0]), "2 values for 61 numbers of logits"),
    ],
)
def test_a_wrong_replacement_is_refused(replacement, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        logits(vivid(TINY), ids_of(), replace=[replacement])


def test_more_tokens_than_positions_are_refused():
    with pytest.raises(ValueError, match="25 tokens, but this model reads 24 at most"):
        logits(vivid(TINY), ids_of(25))


def test_a_star_stands_for_a_number_only():
    assert matches("blocks.*.attention.q", "blocks.12.attention.q")
    assert not matches("blocks.*.q", "blocks.0.attention.q")
    assert not matches("blocks.*", "blocks.0.output")
    assert not matches("logits", "logits.last")
    assert not matches("logitsxlast", "logits.last")


def test_changes_are_read_from_their_json_form():
    item = {"tensor": "logits", "index": [0], "value": 1.0}
    message = {"mask": False, "heads": [[0, 1]], "replace": [item]}
    assert Changes.from_message(message) == Changes(
        mask=False, heads=[[0, 1]], replace=[Replacement(**item)]
    )
    assert Changes.from_message({}) == Changes(replace=[])


def test_what_is_kept_is_not_changed_by_a_later_step():
    """A switched-off head and a replacement leave the tensors before them as they are."""
    model = vivid(TINY)
    names = ["blocks.0.attention.v", "blocks.0.attention.weights", "embedding"]
    before = trace(model, ids_of(), names)
    item = Replacement("blocks.0.attention.context", [0], 3.0)
    after = trace(model, ids_of(), names, heads=[(0, 1)], replace=[item])
    for name in names:
        assert torch.equal(before[name], after[name])
