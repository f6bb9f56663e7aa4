"""Checks of appendix A's exercises. Not built on a page."""

import copy
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.exercises import exercise, require

Shape = tuple[int, ...]


@exercise(
    "A.1",
    "Strides by hand",
    hints=(
        "Begin with x. How many places is one step along each of its axes?",
        "The strides of x are (12, 4, 1). A transposition swaps lengths, and what "
        "else?",
        "y has the lengths and the strides of x in reverse order. The place is the "
        "sum of index times stride: 3 * 1 + 1 * 4 + 1 * 12.",
    ),
)
def strides_by_hand(answer: list[Any]) -> str:
    """Compare with the three facts, and name the facts of x itself."""
    require(len(answer) == 3, "expected a shape, strides and a place")
    shape, strides, place = answer
    for name, given in (("shape", shape), ("strides", strides)):
        require(
            isinstance(given, tuple | list) and len(given) == 3,
            f"the {name} of y should be three numbers, got {given!r}",
        )
    shape, strides = tuple(shape), tuple(strides)
    require(
        shape != (2, 3, 4), "(2, 3, 4) is the shape of x; y has two of its axes swapped"
    )
    require(shape == (4, 3, 2), f"the shape is not {shape}")
    require(
        strides != (12, 4, 1), "(12, 4, 1) are the strides of x; y reads it differently"
    )
    require(
        strides != (6, 2, 1),
        "(6, 2, 1) are the strides of a fresh tensor of the shape (4, 3, 2); but no "
        "number was moved",
    )
    require(strides == (1, 4, 12), f"the strides are not {strides}")
    require(
        place != 21,
        "place 21 is where a fresh tensor of y's shape would have it; use y's strides",
    )
    require(place == 19, f"place {place} holds another number")
    return "Right: 3 · 1 + 1 · 4 + 1 · 12 = 19."


def _says(shape: Callable[..., Any], one: Shape, other: Shape) -> Any:
    """The answer's shape, or None where it refuses."""
    try:
        return shape(one, other)
    except ValueError:
        return None


@exercise(
    "A.2",
    "What broadcasting gives",
    hints=(
        "Compare from the right. What does a missing axis count as?",
        "Fill the shorter shape up with ones on its left, then go through both.",
        "Two lengths fit if they are equal or one is 1. The result is then the other "
        "one: n if m == 1 else m. Mind that the other one may be 0.",
    ),
)
def broadcast_shape(answer: Callable[[Shape, Shape], Any]) -> str:
    """Compare with PyTorch on all shapes of up to three axes of a few lengths."""
    shapes: list[Shape] = [s for n in range(4) for s in product((1, 3, 4), repeat=n)]
    special: list[Shape] = [(0,), (2, 0), (5, 1, 1, 2)]
    pairs = [*product(shapes, repeat=2), *product(special, [*shapes, *special])]
    for one, other in pairs:
        given = _says(answer, one, other)
        case = f"for {one} and {other}"
        try:
            wanted: Shape | None = tuple(torch.broadcast_shapes(one, other))
        except RuntimeError:
            wanted = None
        if wanted is None:
            require(
                given is None, f"{case} you get {given}, but they do not fit together"
            )
            continue
        lengths = "; the two may have different numbers of axes"
        require(
            given is not None,
            f"{case} you refuse, but the sum has the shape {wanted}"
            + lengths * (len(one) != len(other)),
        )
        require(
            isinstance(given, tuple), f"{case} you get {given!r}; a shape is a tuple"
        )
        reason = "; shapes are compared from the right" * (len(one) != len(other))
        if 0 in wanted:
            reason = "; a length of 1 gives way to 0, too"
        require(given == wanted, f"{case} you get {given}, not {wanted}{reason}")
    return f"Right, for {len(pairs):,} pairs of shapes."


@exercise(
    "A.3",
    "Slopes by hand",
    hints=(
        "First forwards: what is u? And how many paths lead from a to u?",
        "u = -1, so the slope of L with respect to u is 2u = -2. From a, one path "
        "goes through the product and one directly into the sum.",
        "The slope of u with respect to a is b + 1, with respect to b it is a. "
        "Multiply both by -2.",
    ),
)
def slopes_by_hand(answer: list[Any]) -> str:
    """Name the forgotten path, and the slopes of u."""
    slope_a, slope_b = (float(value) for value in answer)
    known = {
        3.0: "the path from a straight into the sum is missing",
        -2.0: "the path from a through the product is missing",
        -0.5: "this is the slope of u; the square comes after it",
        -6.0: "along different paths slopes are added, not multiplied",
        -1.0: "the sign is wrong: u is negative here",
    }
    require(slope_a == 1, f"a: {known.get(slope_a, f'{slope_a} is not the slope')}")
    known = {
        2.0: "this is the slope of u; the square comes after it",
        4.0: "the sign is wrong: u is negative here",
    }
    require(slope_b == -4, f"b: {known.get(slope_b, f'{slope_b} is not the slope')}")
    return "Right: 1 and −4. Two paths lead from a, and one from b."


@exercise(
    "A.4",
    "An independent witness",
    hints=(
        "For each number in turn: change it a little up, a little down, and look at f.",
        "Work on copies. A copy seen as one line, by view(-1), lets one loop do for "
        "any number of axes.",
        "for i in range(x.numel()): up, down = x.clone(), x.clone(); up.view(-1)[i] "
        "+= h; down.view(-1)[i] -= h; slope = (f(up) - f(down)) / (2 * h).",
    ),
)
def numerical_gradient(answer: Callable[..., Any]) -> str:
    """Try functions of tensors with up to three axes, where one side is not enough."""
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "the sum of cubes": lambda x: (x**3).sum(),
        "the product of all numbers": lambda x: x.prod(),
        "the squared sum of sines": lambda x: x.sin().sum() ** 2,
    }
    chance = torch.Generator().manual_seed(5)
    for shape, (name, f) in product([(), (3,), (2, 3), (2, 1, 2)], functions.items()):
        x = 1 + torch.rand(shape, generator=chance, dtype=torch.float64)
        before = x.clone()
        given = answer(f, x)
        case = f"{name}, shape {shape}"
        require(isinstance(given, Tensor), f"{case}: expected a tensor, got {given!r}")
        require(torch.equal(x, before), "x itself was changed; work on a copy")
        require(
            given.shape == x.shape, f"{case}: the result has shape {tuple(given.shape)}"
        )
        right = torch.func.grad(f)(x)
        require(
            not torch.allclose(given, 2 * right, rtol=1e-3),
            f"{case}: twice what it should be; the two points are 2 h apart",
        )
        near = torch.allclose(given, right, rtol=1e-2)
        require(
            not near or torch.allclose(given, right, rtol=1e-6),
            f"{case}: close, but too coarse. Step in both directions, and keep "
            "x's dtype",
        )
        require(near, f"{case}: {given.tolist()}, expected {right.tolist()}")

    def stern(x: Tensor) -> Tensor:
        require(not x.requires_grad, "autograd was used; the witness is to do without")
        return (x * x).sum()

    answer(stern, torch.ones(2, dtype=torch.float64))
    return "Right, in any shape, and x is as it was."


class _Noted(nn.Module):
    """A small network that notes the mode of each of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 2))
        self.modes: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.modes.append(self.training)
        return self.layers(x)


def _batches() -> list[tuple[Tensor, Tensor]]:
    chance = torch.Generator().manual_seed(7)
    x = torch.randn(20, 2, generator=chance)
    y = (x[:, 0] + 0.5 * torch.randn(20, generator=chance) > 0).long()
    return [(x[:8], y[:8]), (x[8:16], y[8:16]), (x[16:] * 3, 1 - y[16:])]


def _epoch(model: nn.Module, softmax: bool = False, reset: bool = True) -> list[float]:
    """Train the right way, or with one fault; the losses of the batches come back."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for x, y in _batches():
        logits = model(x)
        loss = F.cross_entropy(logits.softmax(dim=1) if softmax else logits, y)
        if reset:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@exercise(
    "A.5",
    "A loop with five faults",
    hints=(
        "What does cross_entropy want? What is in .grad when step is called? Which "
        "mode is the model in? And what exactly is added up?",
        "cross_entropy takes logits; zero_grad comes before backward, not after it; "
        "total keeps the graphs; the last batch may be smaller.",
        "model.train(); for each batch: loss of the logits, zero_grad, backward, "
        "step, total += loss.item() * len(classes); in the end divide by the number "
        "of points.",
    ),
)
def one_epoch(answer: Callable[..., Any]) -> str:
    """Compare weights and loss with a right loop, and with loops with one fault."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        start = _Noted().eval()
    model = copy.deepcopy(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    given = answer(model, optimizer, _batches())
    require(
        not torch.equal(_flat(model), _flat(start)),
        "the model has not changed at all: were its slopes there when step was called?",
    )
    for message, fault in {
        "cross_entropy does the softmax itself; give it the logits": {"softmax": True},
        "the slopes of earlier batches are still in .grad": {"reset": False},
    }.items():
        wrong = copy.deepcopy(start)
        _epoch(wrong, **fault)
        require(not torch.allclose(_flat(model), _flat(wrong), atol=1e-6), message)
    right = copy.deepcopy(start)
    losses = _epoch(right)
    require(
        torch.allclose(_flat(model), _flat(right), atol=1e-6),
        "after the epoch the weights are not those of a right loop",
    )
    require(
        all(model.modes),
        "the model came in evaluation mode and was trained in it; call train() first",
    )
    _judge_mean(given, losses)
    return "Right: five faults, and none is left."


def _judge_mean(given: Any, losses: list[float]) -> None:
    require(
        not isinstance(given, Tensor),
        "the result is a tensor with a history, so the graph of every batch was kept; "
        "take the number out",
    )
    require(
        abs(given - sum(losses) / 3) > 1e-5,
        "the loss is the mean over batches; the last one has fewer points",
    )
    mean = (8 * losses[0] + 8 * losses[1] + 4 * losses[2]) / 20
    require(abs(given - mean) < 1e-5, f"the mean loss is {mean:.4f}, not {given:.4f}")


@exercise(
    "A.6",
    "A fair share",
    hints=(
        "If all processes draw the same shuffled order, how can they divide it without "
        "talking?",
        "A generator seeded by seed and epoch, and not by rank, gives the same order "
        "everywhere. Fill it up until it can be divided.",
        "chance = torch.Generator().manual_seed(1000 * seed + epoch); order = "
        "torch.randperm(n, generator=chance).tolist(); while len(order) % processes: "
        "append order[len(order) - n]; return order[rank::processes].",
    ),
)
def fair_share(answer: Callable[..., Any]) -> str:
    """Put the shares together, for sizes that divide and sizes that do not."""
    for n, processes in ((12, 3), (10, 4), (2, 5), (7, 1), (64, 2)):
        shares = [answer(n, rank, processes, 0) for rank in range(processes)]
        case = f"{n} examples, {processes} processes"
        require(
            all(isinstance(one, list) for one in shares), "a share should be a list"
        )
        sizes = {len(one) for one in shares}
        require(len(sizes) == 1, f"{case}: the shares have the lengths {sorted(sizes)}")
        every = [example for one in shares for example in one]
        missing = sorted(set(range(n)) - set(every))
        require(
            not missing, f"{case}: nobody sees {missing[:5]}; do all shuffle alike?"
        )
        require(
            set(every) == set(range(n)),
            f"{case}: there are numbers that are no examples: {sorted(set(every))[-1]}",
        )
        needed = -(-n // processes)
        require(
            sizes == {needed},
            f"{case}: {needed} for each are enough, not {sizes.pop()}",
        )
    _judge_order(answer)
    return "Right: equal lengths, nobody forgotten, a new order in each epoch."


def _judge_order(answer: Callable[..., Any]) -> None:
    first = answer(64, 0, 2, 0)
    require(
        answer(64, 0, 2, 0) == first,
        "the same arguments gave two different lists; use a generator with a seed",
    )
    require(
        first not in (list(range(0, 64, 2)), list(range(32))),
        "the order is not shuffled",
    )
    require(answer(64, 0, 2, 1) != first, "epoch 1 has the order of epoch 0")
    require(
        set(answer(64, 0, 2, 1)) != set(first),
        "in epoch 1 a process sees the same examples again, in another order; shuffle "
        "before you divide",
    )
    require(answer(64, 0, 2, 0, seed=9) != first, "another seed gives the same order")


def _shore(count: int) -> tuple[Tensor, Tensor]:
    """New points of section A.8's square, all with their right labels."""
    chance = torch.Generator().manual_seed(2024)
    points = 4 * torch.rand(count, 2, generator=chance) - 2
    return points, (points[:, 1] > torch.sin(2 * points[:, 0])).long()


@exercise(
    "A.7",
    "A small model for the shore",
    hints=(
        "One hidden layer of n numbers has 2n + n + 2n + 2 parameters. How large may "
        "n be? Which bend suits a curve without corners?",
        "Small networks need more steps. Try tanh, AdamW with a learning rate of "
        "0.03, a few hundred epochs, and several seeds.",
        "nn.Sequential(nn.Linear(2, 7), nn.Tanh(), nn.Linear(7, 2)) has 37 "
        "parameters; 1,000 steps of AdamW (0.03) on all 800 points at once are enough.",
    ),
)
def small_model(answer: nn.Module) -> str:
    """Count the parameters, and measure on points that nobody has seen."""
    require(
        isinstance(answer, nn.Module),
        f"expected a trained module, got {type(answer).__name__}",
    )
    count = sum(parameter.numel() for parameter in answer.parameters())
    require(count > 0, "the module has no parameters; are its layers in a list?")
    require(count <= 40, f"the model has {count} parameters; 40 are allowed")
    points, classes = _shore(4000)
    training = answer.training
    with torch.no_grad():
        logits = answer.eval()(points)
    answer.train(training)
    require(
        isinstance(logits, Tensor) and logits.shape == (4000, 2),
        "for 4,000 points the model should give logits of the shape (4000, 2)",
    )
    score = (logits.argmax(dim=1) == classes).float().mean().item()
    require(score >= 0.96, f"{count} parameters, but only {score:.1%} of new points")
    return f"Right: {score:.0%} of new points with {count} parameters."
