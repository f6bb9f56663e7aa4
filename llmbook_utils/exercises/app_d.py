"""Checks of Appendix D's exercises. Not built on a page."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from llmbook_utils.config import GPTConfig
from llmbook_utils.data import SlidingWindowDataset
from llmbook_utils.exercises import Wrong, exercise, fresh, require, varied
from llmbook_utils.exercises.by_hand import by_hand, must_be, must_not_be
from llmbook_utils.files.datasets import load_text
from llmbook_utils.loss import IGNORED, Batch, evaluate
from llmbook_utils.model import GPTModel
from llmbook_utils.tokenizer import BytePairTokenizer
from llmbook_utils.train import create_optimizer, train

STEPS = 100  # of the runs of exercise D.7
CONSTANT = 1e-3
SMALL = GPTConfig(
    vocab_size=512, context_length=64, emb_dim=64, n_heads=4, n_layers=2, drop_rate=0.0
)


@exercise(
    "D.1",
    "A schedule of your own",
    hints=(
        "Three cases, and each step is in one of them: before the peak, from the peak "
        "to the last step, and after the end.",
        "Below the peak: equal parts, the first of them at step 0. From the peak on: "
        "the share d of the way down that is done, and the cosine of pi times d. After "
        "the end, d stays 1.",
        "d is step - warmup_steps, divided by the number of moves from the peak to the "
        "last step, steps - 1 - warmup_steps, and never above 1. The height on the "
        "curve is (1 + cosine) / 2; the floor has its share, and the curve the rest.",
    ),
)
def schedule_of_your_own(answer: Callable[..., float]) -> str:
    """All steps of three shapes, then a run without a way down."""
    shapes = [(1.0, 10, 3, 0.1), (6e-3, 135, 27, 0.2), (3e-3, 50, 0, 0.0)]
    for chance in fresh(3):
        steps, floor = chance.randint(30, 150), chance.choice([0.05, 0.15, 0.3])
        shapes.append((chance.uniform(1e-3, 1), steps, chance.randint(2, 20), floor))
    for shape in shapes:
        _judge_schedule(answer, *shape)
    for warmup in (4, 0):
        given = float(answer(warmup, 1.0, warmup + 1, warmup, 0.1))
        require(
            math.isclose(given, 1.0),
            f"in a run of {warmup + 1} steps with {warmup} of warm-up the last step is "
            f"the peak itself, but has {given:.3g}",
        )
    return "Right: up in equal parts, down half a cosine, and level at the floor."


def _judge_schedule(
    answer: Callable[..., float], peak: float, steps: int, warmup: int, floor: float
) -> None:
    """One shape: the climb, the way down, what comes after."""
    arguments = (peak, steps, warmup, floor)
    where = f"with peak {peak}, {steps} steps, {warmup} of warm-up and floor {floor}"
    results = [answer(step, *arguments) for step in range(steps)]
    require(results[0] is not None, "return the rate of the step, as a number")
    given = [float(rate) for rate in results]
    require(warmup == 0 or given[0] != 0, f"{where}: step 0 has the rate 0")
    climb = [peak * (step + 1) / (warmup + 1) for step in range(warmup)]
    early = [peak * (step + 1) / max(1, warmup) for step in range(warmup)]
    require(
        not warmup or not _near(given[:warmup], early, peak),
        f"{where}: step {warmup - 1} is at the peak already, and should be the last "
        "below it",
    )
    require(
        not warmup or not math.isclose(given[0], peak),
        f"{where}: step 0 is at the peak; the climb is missing",
    )
    require(_near(given[:warmup], climb, peak), f"{where}: the climb is not right yet")
    _judge_way_down(given[warmup:], peak, floor, warmup, where)
    later = float(answer(steps + steps // 2, *arguments))
    require(
        math.isclose(later, floor * peak, abs_tol=1e-9),
        f"{where}: half a run after the end, the rate is {later:.3g}; it should stay "
        "at the floor",
    )


def _judge_way_down(
    given: list[float], peak: float, floor: float, warmup: int, where: str
) -> None:
    """Name what may be wrong with the rates from the peak to the last step."""
    moves = len(given) - 1
    shares = [i / moves for i in range(moves + 1)]

    def curve(done: list[float], low: float = floor) -> list[float]:
        height = [(1 + math.cos(math.pi * d)) / 2 for d in done]
        return [peak * (low + (1 - low) * one) for one in height]

    late = [i / (moves + 1) for i in range(moves + 1)]
    whole = [(warmup + i) / (warmup + moves) for i in range(moves + 1)]
    degrees = [(1 + math.cos(math.radians(math.pi * d))) / 2 for d in shares]
    degrees_too = [(1 + math.cos(math.radians(d))) / 2 for d in shares]
    mistakes = [
        ([peak] * (moves + 1), "the rate stays at the peak; the way down is missing"),
        (
            [peak * (floor + (1 - floor) * (1 - d)) for d in shares],
            "that is a straight line down; a cosine falls slowly first and last",
        ),
        (
            [floor + (1 - floor / peak) * one for one in curve(shares, 0.0)],
            f"the rates end at {floor}; the floor is a share of the peak, not a rate",
        ),
        (
            [floor * peak + one for one in curve(shares, 0.0)],
            "the floor comes on top of the whole cosine, so the peak is too high; the "
            "cosine has the rest, 1 - floor",
        ),
        (
            [max(floor * peak, one) for one in curve(shares, 0.0)],
            "the cosine falls to 0 and is cut off at the floor; it should end there",
        ),
        (
            curve(shares, 0.0),
            "the way down leads to 0; it should end at floor * peak",
        ),
        (
            curve(late),
            "the last step is not at the floor: from the peak to it there are "
            f"{moves} moves, not {moves + 1}",
        ),
        (
            curve(whole),
            "the cosine began at step 0; its way begins at the peak, after the warm-up",
        ),
        (
            [peak * math.cos(math.pi * d) for d in shares],
            "a bare cosine goes from 1 to -1, below 0; use (1 + cosine) / 2",
        ),
        (
            [peak * (floor + (1 - floor) * math.cos(math.pi * d / 2)) for d in shares],
            "that is a quarter of a circle; half a circle levels out at the end, too",
        ),
    ]
    for unit in (degrees, degrees_too):
        mistakes.append(
            (
                [peak * (floor + (1 - floor) * one) for one in unit],
                "the cosine hardly falls: math.cos counts in radians",
            )
        )
    right = curve(shares)
    for rates, message in mistakes:
        if not _near(rates, right, peak):
            require(not _near(given, rates, peak), f"{where}: {message}")
    require(
        math.isclose(given[0], peak),
        f"{where}: step {warmup} has {given[0]:.3g} instead of the peak",
    )
    require(
        math.isclose(given[-1], floor * peak, abs_tol=1e-9),
        f"{where}: the last step has {given[-1]:.3g}; the floor is {floor * peak:.3g}",
    )
    require(
        _near(given, right, peak),
        f"{where}: both ends are right, but the way between them is no half cosine",
    )


TINY = GPTConfig(
    vocab_size=11, context_length=6, emb_dim=8, n_heads=2, n_layers=1, drop_rate=0.0
)


class _Counted(torch.optim.SGD):
    """Plain gradient descent that counts its steps and notes where they start."""

    def __init__(self, weights: Sequence[Tensor]):
        super().__init__(weights, lr=1.0)
        self.steps = 0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.steps += 1
        super().step(closure)


def _flat(tensors: Sequence[Tensor | None]) -> Tensor:
    return torch.cat([one.flatten() for one in tensors if one is not None])


def _clipped(gradient: Tensor, limit: float) -> Tensor:
    return gradient * min(1.0, limit / gradient.norm().item())


@exercise(
    "D.2",
    "One step in pieces",
    hints=(
        "What happens once per step, and what once per batch? The figure at the top of "
        "the page has a dashed frame for the second.",
        "Before the loop: empty the gradients, and count the targets of all batches "
        "that are not -100. In the loop: one backward per batch. After it: clip, then "
        "step.",
        'In the loop take the sum of the losses of a batch (reduction="sum"; targets '
        "of -100 are left out by themselves), divide it by the count of the whole step "
        "and call backward; add up what it was, as a number, for the loss that you "
        "return. clip_grad_norm_ returns the norm before clipping.",
    ),
)
def one_step_in_pieces(answer: Callable[..., Any]) -> str:
    """Four batches with different numbers of targets, without and with a limit."""
    generator = torch.Generator().manual_seed(varied(1))
    batches = []
    for kept in (6, 1, 4, 2):
        ids = torch.randint(0, TINY.vocab_size, (2, 7), generator=generator)
        targets = ids[:, 1:].clone()
        targets[:, kept:] = IGNORED
        batches.append((ids[:, :-1], targets))
    with torch.random.fork_rng([]):
        steps = [_judge_step(answer, batches, limit) for limit in (math.inf, 0.2)]
    for returned in steps:  # the step is the idea; what comes back is judged after it
        _judge_returned(*returned)
    return "Right: one division, one clipping and one step for all the batches."


def _judge_step(
    answer: Callable[..., Any], batches: list[Batch], limit: float
) -> tuple[Any, list[float], list[int], Tensor, float]:
    """Take one step with the answer, and compare it with known ways to go wrong."""
    torch.manual_seed(varied(1))
    model = GPTModel(TINY)
    weights = list(model.parameters())
    counts = [int((y != IGNORED).sum()) for _, y in batches]
    sums, losses = [], []
    for x, y in batches:
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum")
        sums.append(_flat(torch.autograd.grad(loss, weights)))
        losses.append(loss.item())
    for weight in weights:  # what a step before has left
        weight.grad = torch.full_like(weight, 0.05)
    left_over = _flat([weight.grad for weight in weights])
    before = _flat([weight.detach() for weight in weights])
    optimizer = _Counted(weights)
    given = answer(model, optimizer, batches, limit)
    require(
        optimizer.steps == 1,
        "the weights did not move: call optimizer.step() after the last batch"
        if optimizer.steps == 0
        else f"optimizer.step() was called {optimizer.steps} times for "
        f"{len(batches)} batches; all of them together are one step",
    )
    moved = before - _flat([weight.detach() for weight in weights])
    _judge_move(moved, sums, counts, left_over, limit)
    return given, losses, counts, torch.stack(sums).sum(0) / sum(counts), limit


def _judge_move(
    moved: Tensor, sums: list[Tensor], counts: list[int], left: Tensor, limit: float
) -> None:
    """Name the way in which a step of gradient descent went wrong."""
    total, n = torch.stack(sums).sum(0), sum(counts)
    means = torch.stack([g / k for g, k in zip(sums, counts, strict=True)])
    places = 12 * len(sums)  # of targets, ignored ones too
    pieces = torch.zeros_like(total)
    for one in sums:
        pieces = _clipped(pieces + one / n, limit)
    mistakes = [
        (means.mean(0), "a mean of means: a batch with a single target got as much "
         "weight as a full one"),
        (means.sum(0), "each batch was divided by its own number of targets, so the "
         "gradient is a sum of means"),
        (total, "the sum of the losses was not divided by the number of targets"),
        (total / places, "the loss was divided by all places; targets of -100 do not "
         "count"),
        (total / len(sums), "the sums were divided by the number of batches, not by "
         "the number of targets"),
        (left + total / n, "the gradients of the step before are still in it: empty "
         "them first"),
        (sums[-1] / n, "only the last batch is in the gradient: empty the gradients "
         "once, before the loop"),
        (means[-1], "only the last batch is in the gradient: empty the gradients "
         "once, before the loop"),
    ]  # fmt: skip
    right = _clipped(total / n, limit)

    def is_move(wanted: Tensor) -> bool:
        return torch.allclose(moved, wanted, atol=1e-5)

    for gradient, message in mistakes:
        wanted = _clipped(gradient, limit)
        if not torch.allclose(wanted, right, atol=1e-5):
            require(not is_move(wanted), message)
    require(
        math.isinf(limit) or not is_move(total / n),
        f"the step was made with the whole gradient, of norm "
        f"{(total / n).norm().item():.2f}, with a limit of {limit}: clip before it",
    )
    require(
        math.isinf(limit) or not is_move(pieces),
        "the gradient was clipped after every batch, which turns its direction; clip "
        "once, when all have been added",
    )
    size = moved.norm().item()
    require(
        is_move(right),
        f"the step has the length {size:.3g} and should have {right.norm().item():.3g}"
        if not math.isclose(size, right.norm().item(), rel_tol=1e-3)
        else "the step is as long as it should be, but leads elsewhere",
    )


def _judge_returned(
    given: Any, losses: list[float], counts: list[int], gradient: Tensor, limit: float
) -> None:
    """The loss of the step and its norm before clipping."""
    require(
        isinstance(given, tuple | list) and len(given) == 2,
        "return two numbers: the loss of the step and the norm before clipping",
    )
    loss, norm = float(given[0]), float(given[1])
    n, norm_before = sum(counts), gradient.norm().item()
    wrong_losses = {
        "the loss that you return is a sum over all targets; divide it": sum(losses),
        "the loss that you return is the last batch's": losses[-1] / n,
        "the loss that you return is a mean of means, though the gradient is right": (
            sum(a / k for a, k in zip(losses, counts, strict=True)) / len(counts)
        ),
    }
    mean = sum(losses) / n
    for message, value in wrong_losses.items():
        # with some seeds a mistake comes out as the right number
        if not math.isclose(value, mean, rel_tol=1e-4):
            require(not math.isclose(loss, value, rel_tol=1e-4), message)
    require(
        math.isclose(loss, mean, rel_tol=1e-4),
        f"the loss of the step is {mean:.4f}, but you return {loss:.4f}",
    )
    require(
        math.isinf(limit) or not math.isclose(norm, limit, rel_tol=1e-3),
        "the norm that comes back is the one after clipping; clip_grad_norm_ returns "
        "the one before",
    )
    require(
        math.isclose(norm, norm_before, rel_tol=1e-4),
        f"the norm of the gradient was {norm_before:.4f}, but you return {norm:.4f}",
    )


_RATES = (0.002, 0.004, 0.006, 0.0053, 0.0036, 0.0019, 0.0012)
# with five parts on the way down in place of four
_LATE = [0.006 * (0.2 + 0.4 * (1 + math.cos(math.pi * i / 5))) for i in range(1, 5)]

by_hand(
    "D.3",
    "Rates by hand",
    hints=(
        "Three parts: below the peak, the peak itself, and the way down to the floor.",
        "Steps 0 and 1 have one and two thirds of the peak. From step 2 to step 6 "
        "there are four equal parts of half a circle: cosines of 0, 45, 90, 135 and "
        "180 degrees.",
        "At step 4 the cosine is 0, which is half-way: 0.2 + 0.8 / 2 = 0.6 of the "
        "peak. At step 3 it is 0.2 + 0.8 * (1 + 0.7071) / 2 = 0.883 of the peak.",
    ),
    fields=tuple(f"step {step}" for step in range(7)),
    expected="7 rates, one per step",
    within=6e-5,
    rules=[
        must_not_be(0, 0, "step 0 has the rate 0: it would change nothing", 1e-9),
        must_not_be(
            (0, 1),
            (0.003, 0.006),
            "the warm-up takes 3 equal parts for 2 steps: step 2 is the first at the "
            "peak",
        ),
        must_not_be(
            (0, 1),
            (0.006, 0.0057),
            "this is the peak at step 0; the climb is missing",
        ),
        must_be(range(3), _RATES[:3], "steps 0 to 2 are not right yet"),
        must_not_be(
            6,
            0,
            "the last rate is 0, but the floor is a share of the peak: 0.2 of it",
            1e-5,
        ),
        must_not_be(
            6,
            0.2,
            "the last rate is 0.2; the floor is a share of the peak, not a rate",
            1e-5,
        ),
        must_not_be(
            (3, 4, 5),
            (0.0048, 0.0036, 0.0024),
            "that is a straight line; a cosine falls slowly first and last",
        ),
        must_not_be(
            (3, 4, 5, 6),
            _LATE,
            "the way down has four parts, since the last step is step 6 and the peak "
            "is step 2; with five, the floor is never reached",
        ),
        *(
            must_be(step, _RATES[step], f"the rate of step {step} is not {{{step}}}")
            for step in range(3, 7)
        ),
    ],
    right="Right: 2, 4, 6, then 5.3, 3.6, 1.9 and 1.2 thousandths.",
)


@exercise(
    "D.4",
    "Clip it yourself",
    hints=(
        "One norm for all tensors together, not one each.",
        "Add up the squares of all numbers in all tensors and take the root. If it is "
        "larger than the limit, multiply each tensor by limit / norm, in place.",
        "g.square().sum().item() is one tensor's share of the sum. A tensor is changed "
        "in place by g.mul_(factor); compute the norm before you change the first.",
    ),
)
def clip_it_yourself(answer: Callable[[list[Tensor], float], float]) -> str:
    """Large and small gradients, of several shapes."""
    torch.manual_seed(varied(1))
    large = [3 * torch.randn(4, 5), torch.randn(7), torch.randn(2, 2, 2)]
    small = [0.01 * one for one in large]
    for limit, originals in ((1.0, large), (2.5, large), (1.0, small)):
        gradients = [one.clone() for one in originals]
        norm = math.sqrt(sum(one.square().sum().item() for one in originals))
        given = answer(gradients, limit)
        require(given is not None, "return the norm, as a number")
        _judge_clipped(gradients, originals, norm, limit)
        require(
            not math.isclose(float(given), min(norm, limit), rel_tol=1e-4)
            or norm <= limit,
            "the norm that you return is the one after clipping; a log wants the one "
            "before",
        )
        require(
            math.isclose(float(given), norm, rel_tol=1e-4),
            f"you return {float(given):.3f}, but the norm was {norm:.3f}",
        )
    return "Right: one norm for all, one factor for all, and never a factor above 1."


def _judge_clipped(
    gradients: list[Tensor], originals: list[Tensor], norm: float, limit: float
) -> None:
    factor = min(1.0, limit / norm)
    unchanged = all(map(torch.equal, gradients, originals))
    require(
        not unchanged or factor == 1,
        "the tensors that were given are still as they were; change them in place",
    )
    after = math.sqrt(sum(one.square().sum().item() for one in gradients))
    require(
        factor < 1 or unchanged,
        f"gradients of norm {norm:.3f} became {after:.3f} with the limit {limit}: "
        "what is below the limit stays as it is",
    )
    each = [one * min(1.0, limit / one.norm().item()) for one in originals]
    require(
        not _alike(gradients, each) or factor == 1,
        "each tensor was clipped by its own norm, which turns the direction",
    )
    require(
        not _alike(gradients, [one.clamp(-limit, limit) for one in originals])
        or factor == 1,
        "each number was cut off at the limit, which turns the direction",
    )
    require(
        _alike(gradients, [one * factor for one in originals]),
        f"the norm after clipping is {after:.3f}, with the limit {limit}",
    )


def _alike(one: list[Tensor], other: list[Tensor]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


@exercise(
    "D.5",
    "Where counting stops",
    hints=(
        "Between one power of two and the next, the numbers of a type are equally far "
        "apart, and at each power of two the distance doubles.",
        "The first whole number that is stuck is a power of two. Try 1, 2, 4, 8, … in "
        "the type itself.",
        "Start at n = 1 and double n as long as torch.tensor(n, dtype=dtype) + 1 is "
        "still another number than torch.tensor(n, dtype=dtype).",
    ),
)
def where_counting_stops(answer: Callable[[torch.dtype], int]) -> str:
    """Three types, whose fractions have 7, 10 and 23 bits."""
    wanted = {torch.bfloat16: 2**8, torch.float16: 2**11, torch.float32: 2**24}
    for dtype, stop in wanted.items():
        given = answer(dtype)
        require(isinstance(given, int), f"expected a whole number, got {given!r}")
        require(
            given != stop // 2,
            f"for {dtype} you get {given}, but {given} + 1 can still be written: the "
            "leading 1, which is not stored, is one more bit",
        )
        require(
            given != int(torch.finfo(dtype).max) and given < 2**60,
            f"for {dtype} you get the largest number; precision ends long before range",
        )
        require(
            given != stop + 1,
            f"for {dtype} you get {given}, which the type does not even have",
        )
        require(given == stop, f"for {dtype} you get {given:,}; expected another")
    return "Right: 256, 2,048 and 16,777,216."


@exercise(
    "D.6",
    "Climb, stay, fall",
    hints=(
        "Three parts, and each step is in one of them. Where does the last part begin?",
        "The fall has decay_steps steps: steps - decay_steps is the first below the "
        "peak, and steps - 1 has the rate 0.",
        "Count the steps that are left, steps - 1 - step, and divide by decay_steps: "
        "more than 1 means the level part, less than 0 means that the run is over.",
    ),
)
def climb_stay_fall(answer: Callable[..., float]) -> str:
    """All steps of several shapes."""
    shapes = [(1.0, 10, 3, 4), (3e-3, 135, 27, 30)]
    for chance in fresh(3):
        warmup, decay = chance.randint(2, 30), chance.randint(2, 40)
        steps = warmup + decay + chance.randint(2, 60)
        shapes.append((chance.uniform(1e-3, 1), steps, warmup, decay))
    for peak, steps, warmup, decay in shapes:
        given = [float(answer(s, peak, steps, warmup, decay)) for s in range(steps)]
        where = f"with peak {peak}, {steps} steps, {warmup} up and {decay} down"
        require(given[0] > 0, f"{where}: step 0 has the rate 0")
        up = [peak * (s + 1) / (warmup + 1) for s in range(warmup)]
        require(
            _near(given[:warmup], up, peak),
            f"{where}: the climb should be that of Schedule",
        )
        require(
            math.isclose(given[steps - decay - 1], peak),
            f"{where}: step {steps - decay - 1} is the last at the peak, but has "
            f"{given[steps - decay - 1]:.3g}",
        )
        require(
            abs(given[-1]) < 1e-9 * peak or not math.isclose(given[-1], peak / decay),
            f"{where}: the last step has {given[-1]:.3g}; it should have reached 0",
        )
        require(
            min(given) >= 0, f"{where}: the rate falls below 0, down to {min(given)}"
        )
        down = [peak * (steps - 1 - s) / decay for s in range(steps - decay, steps)]
        plain = [peak] * (steps - decay - warmup)
        require(
            _near(given[warmup : steps - decay], plain, peak),
            f"{where}: between climb and fall the rate should stay at the peak",
        )
        require(
            _near(given[steps - decay :], down, peak),
            f"{where}: the fall should be a straight line down to 0",
        )
        behind = float(answer(steps + 50, peak, steps, warmup, decay))
        require(behind == 0, f"{where}: after the end the rate is {behind:.3g}, not 0")
    return "Right: up in equal parts, level, and down to 0 in equal parts."


def _near(one: Sequence[float], other: Sequence[float], peak: float) -> bool:
    pairs = zip(one, other, strict=True)
    return all(math.isclose(a, b, abs_tol=1e-6 * peak) for a, b in pairs)


def _run(schedule: Callable[[int], float]) -> float:
    """The loss on held-out text after a short run on the story."""
    text = load_text("story")
    tokenizer = BytePairTokenizer.train(text, 512)
    ids = torch.tensor(tokenizer.encode(text))
    cut = len(ids) * 9 // 10
    data = SlidingWindowDataset(ids[:cut], 64, stride=64)
    held_out = SlidingWindowDataset(ids[cut:], 64, stride=64)
    torch.manual_seed(1)
    model = GPTModel(SMALL)
    optimizer = create_optimizer(model, CONSTANT)
    loader = DataLoader(data, batch_size=8, shuffle=True)
    train(model, loader, optimizer=optimizer, max_steps=STEPS, schedule=schedule)
    return evaluate(model, DataLoader(held_out, batch_size=16))


@exercise(
    "D.7",
    "A better schedule",
    hints=(
        "Which of your schedule's numbers matters most? Try the peak first.",
        "A hundred steps are few: the peak can be several times 1e-3, if the way up "
        "is not too short and the way down ends low.",
        "Four times the constant rate, a fifth of the run for the climb and a floor of "
        "a tenth make a start. Any function from a step to a rate will do.",
    ),
)
def a_better_schedule(answer: Callable[[int], Any]) -> str:
    """Train with the schedule and with the constant rate."""
    rates = [answer(step) for step in range(STEPS)]
    require(
        all(isinstance(rate, int | float) for rate in rates),
        f"the rate of a step must be a number, not {rates[0]!r}",
    )
    require(
        all(0 <= rate < math.inf for rate in rates), "a rate is negative or not finite"
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # such a small model gains nothing from more
    try:
        with torch.random.fork_rng([]):
            plain, yours = _run(lambda step: CONSTANT), _run(answer)
    except FloatingPointError as error:
        raise Wrong(f"the run broke: {error}") from None
    finally:
        torch.set_num_threads(threads)
    gain = plain - yours
    what = f"{yours:.2f} against {plain:.2f} nats per token"
    require(gain > 0, f"{what}: no better than the constant rate {CONSTANT}")
    require(
        gain >= 0.2,
        f"{what}: better by {gain:.2f}, and 0.2 is asked for",
    )
    return f"Right: {what} on held-out text, a gain of {gain:.2f}."
