"""Checks of Appendix D's exercises. Not built on a page."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from llmbook_utils.config import GPTConfig
from llmbook_utils.data import SlidingWindowDataset
from llmbook_utils.exercises import Wrong, exercise, numbers, require
from llmbook_utils.files.datasets import load_text
from llmbook_utils.loss import evaluate
from llmbook_utils.model import GPTModel
from llmbook_utils.tokenizer import BytePairTokenizer
from llmbook_utils.train import create_optimizer, train

STEPS = 100  # of the runs of exercise D.5
CONSTANT = 1e-3
SMALL = GPTConfig(
    vocab_size=512, context_length=64, emb_dim=64, n_heads=4, n_layers=2, drop_rate=0.0
)


@exercise(
    "D.1",
    "Rates by hand",
    hints=(
        "Three parts: below the peak, the peak itself, and the way down to the floor.",
        "Steps 0 and 1 have one and two thirds of the peak. From step 2 to step 6 "
        "there are four equal parts of half a circle: cosines of 0, 45, 90, 135 and "
        "180 degrees.",
        "At step 4 the cosine is 0, which is half-way: 0.2 + 0.8 / 2 = 0.6 of the "
        "peak. At step 3 it is 0.2 + 0.8 * (1 + 0.7071) / 2 = 0.883 of the peak.",
    ),
)
def rates_by_hand(answer: Sequence[float]) -> str:
    """Compare seven numbers, to two digits."""
    given = numbers(answer, 7, "7 rates, one a step")
    right = [0.002, 0.004, 0.006, 0.0053, 0.0036, 0.0019, 0.0012]
    require(given[0] > 0, "step 0 has the rate 0: it would change nothing")
    mistakes = {
        "the warm-up takes 3 equal parts for 2 steps: step 2 is the first at the "
        "peak": [0.003, 0.006],
        "this is the peak at step 0; the climb is missing": [0.006, 0.0057],
    }
    for message, start in mistakes.items():
        require(not _close(given[:2], start), message)
    require(_close(given[:3], right[:3]), "steps 0 to 2 are not right yet")
    lows = {
        0.0: "the last rate is 0, but the floor is a share of the peak: 0.2 of it",
        0.2: "the last rate is 0.2; the floor is a share of the peak, not a rate",
    }
    for low, message in lows.items():
        require(not math.isclose(given[-1], low, abs_tol=1e-5), message)
    line = [0.0048, 0.0036, 0.0024]
    require(
        not _close(given[3:6], line),
        "that is a straight line; a cosine falls slowly first and last",
    )
    late = [0.006 * (0.2 + 0.4 * (1 + math.cos(math.pi * i / 5))) for i in range(1, 5)]
    require(
        not _close(given[3:], late),
        "the way down has four parts, since the last step is step 6 and the peak is "
        "step 2; with five, the floor is never reached",
    )
    require(_close(given, right), f"{given} is not right after the peak")
    return "Right: 2, 4, 6, then 5.3, 3.6, 1.9 and 1.2 thousandths."


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(math.isclose(a, b, abs_tol=6e-5) for a, b in pairs)


@exercise(
    "D.2",
    "Clip it yourself",
    hints=(
        "One norm for all tensors together, not one each.",
        "Add up the squares of all numbers in all tensors and take the root. If it is "
        "larger than the limit, multiply each tensor by limit / norm, in place.",
        "norm = math.sqrt(sum(g.square().sum().item() for g in gradients)); if norm > "
        "limit: for g in gradients: g.mul_(limit / norm); return norm",
    ),
)
def clip_it_yourself(answer: Callable[[list[Tensor], float], float]) -> str:
    """Large and small gradients, of several shapes."""
    torch.manual_seed(1)
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
    "D.3",
    "Where counting stops",
    hints=(
        "Between one power of two and the next, the numbers of a type are equally far "
        "apart, and at each power of two the distance doubles.",
        "The first whole number that is stuck is a power of two. Try 1, 2, 4, 8, … in "
        "the type itself.",
        "n = 1; while torch.tensor(n, dtype=dtype) + 1 != torch.tensor(n, "
        "dtype=dtype): n *= 2. Return n.",
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
    "D.4",
    "Climb, stay, fall",
    hints=(
        "Three parts, and each step is in one of them. Where does the last part begin?",
        "The fall has decay_steps steps: steps - decay_steps is the first below the "
        "peak, and steps - 1 has the rate 0.",
        "if step < warmup_steps: peak * (step + 1) / (warmup_steps + 1); else peak * "
        "min(1, (steps - 1 - step) / decay_steps), and not below 0.",
    ),
)
def climb_stay_fall(answer: Callable[..., float]) -> str:
    """All steps of several shapes."""
    for peak, steps, warmup, decay in ((1.0, 10, 3, 4), (3e-3, 135, 27, 30)):
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
    "D.5",
    "A better schedule",
    hints=(
        "Which of your schedule's numbers matters most? Try the peak first.",
        "A hundred steps are few: the peak can be several times 1e-3, if the way up "
        "is not too short and the way down ends low.",
        "Schedule(peak=4e-3, steps=100, warmup_steps=20, floor=0.1) is a start. Any "
        "function from a step to a rate will do.",
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
    what = f"{yours:.2f} against {plain:.2f} nats a token"
    require(gain > 0, f"{what}: no better than the constant rate {CONSTANT}")
    require(
        gain >= 0.2,
        f"{what}: better by {gain:.2f}, and 0.2 is asked for",
    )
    return f"Right: {what} on held-out text, a gain of {gain:.2f}."
