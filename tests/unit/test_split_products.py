"""Products with a single vector, by slices: the same numbers, and nothing is left behind."""

import copy

import pytest
import torch
from models import TINY, build, lifelike, some_ids
from torch import nn

from llmbook_utils.generate import generate, split_products, stream


def changed(model):
    return [layer for layer in model.modules() if "forward" in vars(layer)]


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("n_in, n_out", [(24, 61), (7, 6), (1, 1), (2, 30), (30, 2)])
@torch.no_grad()
def test_a_vector_gives_what_the_layer_gives(n_in, n_out, transposed, bias, threads):
    layer = nn.Linear(n_in, n_out, bias=bias)
    if transposed:
        layer.weight.data = layer.weight.data.t().contiguous().t()
    for shape in [(1, 1, n_in), (1, n_in), (n_in,), (1, 3, n_in), (2, 1, n_in)]:
        x = torch.randn(shape)
        expected = layer(x)
        with split_products(layer):
            torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_one_slice_for_each_thread_or_more(threads):
    layer = nn.Linear(24, 61)
    with split_products(layer):
        _, rows, columns = vars(layer)["forward"].args
    assert rows == 61  # which is prime
    assert columns == {1: 2, 2: 2, 3: 3}[threads]


def test_gradients_are_those_of_the_layer():
    layer = nn.Linear(4, 6)
    x = torch.randn(1, 1, 4)
    layer(x).sum().backward()
    expected = layer.weight.grad.clone()
    layer.weight.grad = None
    with split_products(layer):
        layer(x).sum().backward()
    assert torch.equal(layer.weight.grad, expected)


def test_only_plain_layers_in_float32_are_changed():
    class Own(nn.Linear):
        pass

    layers = [nn.Linear(2, 2), Own(2, 2), nn.Linear(2, 2).bfloat16(), nn.Linear(2, 2)]
    layers.append(nn.Linear(2, 2, device="meta"))
    vars(layers[3])["forward"] = own = lambda x: x
    model = nn.ModuleList(layers)
    with split_products(model):
        assert changed(model) == [layers[0], layers[3]]
    assert changed(model) == [layers[3]]
    assert vars(layers[3])["forward"] is own


def test_a_model_is_as_it_was_however_the_loop_ends():
    model, ids = build(), some_ids(1, 4)
    generate(model, ids, 3)
    assert not changed(model)
    first, second = (stream(model, ids, 9) for _ in range(2))
    next(first), next(second)
    assert changed(model)
    first.close()
    next(second)
    second.close()
    assert not changed(model)
    with pytest.raises(RuntimeError, match="broken"), split_products(model):
        raise RuntimeError("broken")
    assert not changed(model)


def test_a_copy_made_in_the_middle_is_its_own():
    model, ids = lifelike(build()), some_ids(1, 4)
    expected = generate(model, ids, 6)
    pieces = stream(model, ids, 9)
    next(pieces)
    other = copy.deepcopy(model)
    for weight in other.parameters():
        weight.data.zero_()
    assert torch.equal(generate(model, ids, 6), expected)
    assert generate(other, ids, 6)[0, 4:].tolist() == [0] * 6
    pieces.close()


def test_the_tokens_are_those_of_the_plain_loop(threads):
    model, ids = lifelike(build(TINY)), some_ids(1, 5)
    for _ in range(15):
        with torch.no_grad():
            new = model(ids)[:, -1].argmax(dim=-1, keepdim=True)
        ids = torch.cat([ids, new], dim=1)
    assert torch.equal(generate(model, ids[:, :5], 15), ids)
