"""Training: many small batches are one big one, and each step is recorded."""

import json
import math

import pytest
import torch
from tiny_runs import build, some_batch, uneven_batch
from torch import nn
from torch.utils.data import DataLoader

from llmbook_utils.config import MINI, GPTConfig
from llmbook_utils.data import SlidingWindowDataset
from llmbook_utils.loss import (
    IGNORED,
    evaluate,
    loss_of,
)
from llmbook_utils.schedule import Schedule
from llmbook_utils.train import History, add_gradients, create_optimizer, train

pytestmark = pytest.mark.usefixtures("one_thread")


def gradients(model, batches):
    model.zero_grad()
    result = add_gradients(model, batches)
    return result, [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("batch", [some_batch(8), uneven_batch()], ids=["all", "-100"])
def test_accumulated_gradients_equal_those_of_the_big_batch(batch):
    model, (inputs, targets) = build(), batch
    parts = list(zip(inputs.split(2), targets.split(2), strict=True))
    (big_loss, big_count), big = gradients(model, [batch])
    (loss, count), small = gradients(model, parts)
    assert (loss, count) == (pytest.approx(big_loss, abs=1e-6), big_count)
    for ours, theirs in zip(small, big, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_accumulated_training_equals_training_on_big_batches():
    ids = torch.arange(200) * 7 % 61
    losses = []
    for batch_size, accumulate in ((8, 1), (2, 4)):
        windows = SlidingWindowDataset(ids, 12, stride=12)
        loader = DataLoader(windows, batch_size=batch_size)
        model = build()
        options = {"optimizer": create_optimizer(model, 1e-3), "epochs": 2}
        history = train(model, loader, accumulate=accumulate, **options)
        losses.append(history.curve("loss"))
    assert losses[0][0] == losses[1][0] == [1, 2, 3, 4]
    assert losses[0][1] == pytest.approx(losses[1][1], abs=1e-5)


def test_what_is_left_at_the_end_of_a_pass_is_a_smaller_step():
    model = build()
    data = [some_batch(2, seed=i) for i in range(5)]
    options = {"optimizer": create_optimizer(model, 1e-3), "accumulate": 2}
    tokens = train(model, data, epochs=2, **options).curve("tokens")[1]
    assert tokens == [48, 96, 120, 168, 216, 240]


def test_no_target_at_all_is_a_clear_error():
    inputs, targets = some_batch()
    nothing = [(inputs, torch.full_like(targets, IGNORED))]
    model = build()
    with pytest.raises(ValueError, match="every target in the loader is -100"):
        evaluate(model, nothing)
    with pytest.raises(ValueError, match="every target in a step is -100"):
        train(model, nothing, optimizer=create_optimizer(model, 1e-3), epochs=1)


@pytest.mark.parametrize("tied", [True, False])
def test_matrices_shrink_and_biases_and_norms_do_not(tied):
    model = build(GPTConfig(61, 24, 24, 3, 2, tie_embeddings=tied))
    decay, rest = create_optimizer(model, 1e-3).param_groups
    assert (decay["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    # two embeddings, four matrices a block, and the head where it is its own
    assert len(decay["params"]) == 2 + 2 * 4 + (not tied)
    assert len(rest["params"]) == 2 * (4 + 4) + 2
    both = decay["params"] + rest["params"]
    assert {id(p) for p in both} == {id(p) for p in model.parameters()}
    assert all(p.dim() == 2 for p in decay["params"])


def test_the_groups_of_mini_in_numbers():
    decay, rest = create_optimizer(build(MINI), 1e-3).param_groups
    assert sum(p.numel() for p in decay["params"]) == 5_832_704
    assert sum(p.numel() for p in rest["params"]) == 20_480


def test_weights_that_a_file_holds_transposed_are_copied_into_rows():
    model = build()
    before = model.head.weight.detach().clone()
    square = model.blocks[0].attention.out.weight
    square.data = square.data.T  # a view, as load_pretrained gives
    expected = square.detach().clone()
    create_optimizer(model, 1e-3)
    assert all(p.is_contiguous() for p in model.parameters())
    assert torch.equal(square, expected)
    assert torch.equal(model.head.weight, before)
    assert model.head.weight is model.token_embedding.weight


def test_frozen_weights_are_left_out():
    model = build()
    model.token_embedding.requires_grad_(False)
    groups = create_optimizer(model, 1e-3).param_groups
    assert sum(len(group["params"]) for group in groups) == 27


@pytest.mark.parametrize("accumulate", [1, 4])
def test_gradients_are_clipped_once_a_step_after_accumulation(accumulate, monkeypatch):
    model, norms = build(), []
    clip_by_torch = nn.utils.clip_grad_norm_

    def clip(weights, largest):
        weights = list(weights)
        before = clip_by_torch(weights, largest)
        norms.append((before, torch.stack([w.grad.norm() for w in weights]).norm()))
        return before

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", clip)
    inputs, targets = some_batch(8)
    size = 8 // accumulate
    data = list(zip(inputs.split(size), targets.split(size), strict=True))
    optimizer = create_optimizer(model, 1e-3)
    options = {"accumulate": accumulate, "clip": 0.05, "max_steps": 2}
    history = train(model, data, optimizer=optimizer, **options)
    assert len(norms) == 2
    for (before, after), reported in zip(
        norms, history.curve("grad_norm")[1], strict=True
    ):
        assert before.item() == reported > 0.05
        assert after.item() == pytest.approx(0.05, rel=1e-3)


def test_no_limit_leaves_the_gradients_as_they_are():
    model = build()
    _, expected = gradients(model, [some_batch()])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    train(model, [some_batch()], optimizer=optimizer, max_steps=1, clip=math.inf)
    for weight, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.equal(weight.grad, gradient)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_one_batch_can_be_learned_by_heart(dtype):
    model, data = build(), [some_batch()]
    optimizer = create_optimizer(model, 1e-2)
    history = train(model, data, optimizer=optimizer, max_steps=100, dtype=dtype)
    losses = history.curve("loss")[1]
    assert losses[0] == pytest.approx(math.log(61), abs=0.1)
    assert losses[-1] < 0.05
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_bfloat16_is_used_and_the_loss_stays_exact_enough():
    model, seen = build(), []
    model.head.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    single, _ = loss_of(model, *some_batch())
    half, count = loss_of(model, *some_batch(), torch.bfloat16)
    assert seen == [torch.float32, torch.bfloat16]
    assert half.dtype == torch.float32
    assert (half / count).item() == pytest.approx((single / count).item(), abs=2e-3)


def test_float16_is_refused():
    model = build()
    options = {"optimizer": create_optimizer(model, 1e-3), "max_steps": 1}
    with pytest.raises(ValueError, match=r"gradient scaler; use torch\.bfloat16"):
        train(model, [some_batch()], dtype=torch.float16, **options)


def test_each_step_has_the_rate_of_its_schedule_and_writes_a_line(tmp_path):
    model, schedule = build(), Schedule(peak=1e-2, steps=5, warmup_steps=2)
    path, called = tmp_path / "new" / "metrics.jsonl", []
    history = train(
        model,
        [some_batch(seed=i) for i in range(3)],
        optimizer=create_optimizer(model, 1.0),
        max_steps=5,
        schedule=schedule,
        val_loader=[some_batch(seed=9)],
        eval_every=2,
        metrics=path,
        on_step=lambda progress, record: called.append((progress.step, record)),
    )
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records == history.records == [record for _, record in called]
    assert [step for step, _ in called] == [1, 2, 3, 4, 5]
    names = {"step", "loss", "lr", "grad_norm", "tokens", "seconds"}
    assert set(records[0]) == names
    assert [record["lr"] for record in records] == [schedule(i) for i in range(5)]
    assert [record["tokens"] for record in records] == [48, 96, 144, 192, 240]
    assert history.curve("seconds")[1] == sorted(history.curve("seconds")[1])
    steps, losses = history.curve("val_loss")
    assert steps == [2, 4, 5]
    assert losses[-1] == evaluate(model, [some_batch(seed=9)])


def test_metrics_of_a_run_that_goes_on_are_cut_behind_its_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    History(path, step=2).add({"step": 3, "loss": 0.5})
    lines = ['{"step": 1}', '{"step": 2}', '{"step": 3, "loss": 0.5}']
    assert path.read_text().splitlines() == lines
    History(path)
    assert path.read_text() == ""


def test_every_step_is_in_training_mode_whatever_a_hook_does():
    model, modes = build(), []
    model.register_forward_hook(lambda module, *_: modes.append(module.training))
    options = {"optimizer": create_optimizer(model, 1e-3), "max_steps": 3}
    train(model, [some_batch()], on_step=lambda *_: model.eval() and None, **options)
    assert modes == [True, True, True]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_and_names_the_step(bad):
    model = build()

    def spoil(progress, record):
        if progress.step == 3:
            model.final_norm.shift.data[0] = bad

    options = {"optimizer": create_optimizer(model, 1e-3), "max_steps": 9}
    with pytest.raises(FloatingPointError, match="step 4: the loss is nan"):
        train(model, [some_batch()], on_step=spoil, **options)
    model.final_norm.shift.data[0] = 0.0
    assert all(p.isfinite().all() for p in model.parameters())


def test_gradients_that_are_not_finite_never_reach_the_weights():
    model = build()
    before = [p.detach().clone() for p in model.parameters()]
    model.final_norm.shift.register_hook(lambda gradient: gradient / 0)
    options = {"optimizer": create_optimizer(model, 1e-3), "max_steps": 9}
    with pytest.raises(
        FloatingPointError, match=r"step 1: the loss is 4.*norm (inf|nan)"
    ):
        train(model, [some_batch()], **options)
    assert all(map(torch.equal, model.parameters(), before))


@pytest.mark.parametrize(
    "options, says",
    [
        ({}, "the length of the run once"),
        ({"epochs": 1, "max_steps": 5}, "the length of the run once"),
        ({"epochs": 1, "accumulate": 0}, "both must be 1 or more"),
    ],
)
def test_a_run_without_a_length_is_refused(options, says):
    model = build()
    with pytest.raises(ValueError, match=says):
        train(model, [some_batch()], optimizer=create_optimizer(model, 1), **options)


def test_no_data_is_refused():
    model = build()
    with pytest.raises(ValueError, match="the loader has 0 batches"):
        train(model, [], optimizer=create_optimizer(model, 1), max_steps=1)


def test_the_bar_is_silent_where_nobody_looks(capfd):
    model = build()
    train(model, [some_batch()], optimizer=create_optimizer(model, 1e-3), epochs=1)
    assert capfd.readouterr() == ("", "")


def test_evaluation_does_not_change_how_training_goes_on():
    losses = []
    for every in (1, 100):
        model = build(GPTConfig(61, 24, 24, 3, 2, drop_rate=0.5))
        held_out = DataLoader(list(zip(*some_batch(seed=9), strict=True)), batch_size=2)
        options = {"optimizer": create_optimizer(model, 1e-3), "max_steps": 4}
        history = train(
            model, [some_batch()], val_loader=held_out, eval_every=every, **options
        )
        losses.append(history.curve("loss")[1])
    assert losses[0] == losses[1]


def test_the_optimizer_has_the_numbers_that_were_asked_for():
    optimizer = create_optimizer(build(), 2e-3, weight_decay=0.3, betas=(0.5, 0.6))
    assert [group["betas"] for group in optimizer.param_groups] == [(0.5, 0.6)] * 2
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    assert [group["lr"] for group in optimizer.param_groups] == [2e-3] * 2
