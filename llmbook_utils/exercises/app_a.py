"""Checks of appendix A's exercises. Not built on a page."""

import copy
import math
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.exercises import exercise, fresh, require, varied
from llmbook_utils.exercises.by_hand import by_hand, must_be, must_not_be

Shape = tuple[int, ...]


_STRIDES: dict[Shape, str] = {
    (12, 4, 1): "(12, 4, 1) are the strides of x; y reads it differently",
    (6, 2, 1): "(6, 2, 1) are the strides of a fresh tensor of the shape "
    "(4, 3, 2); but no number was moved",
    (4, 3, 2): "(4, 3, 2) are the lengths of y's axes; a stride counts places",
    (4, 16, 48): "you count bytes; PyTorch counts places, whatever they hold",
    (8, 32, 96): "you count bytes; PyTorch counts places, whatever they hold",
    (1, 3, 12): "a step along the middle axis of x is a row of 4 numbers, not of 3",
    (1, 4, 8): "a table of x holds 3 rows of 4, which makes 12 numbers, not 8",
}
_PLACES = {
    21: "place 21 is where a fresh tensor of y's shape would have it; use y's strides",
    20: "places are counted from 0, so the first number is at place 0",
    5: "you have added up the indices; each is multiplied by its stride first",
    41: "there are only 24 places; which index belongs to which stride?",
}

by_hand(
    "A.1",
    "Strides by hand",
    hints=(
        "Begin with x. How many places is one step along each of its axes?",
        "The strides of x are (12, 4, 1). A transposition swaps lengths, and what "
        "else?",
        "y has the lengths and the strides of x in reverse order. The place is the sum "
        "of index times stride, over the three axes of y.",
    ),
    fields=(
        *(f"shape of y, axis {i}" for i in range(3)),
        *(f"strides of y, axis {i}" for i in range(3)),
        "place of y[3, 1, 1]",
    ),
    expected="a shape, strides and a place, which are 7 numbers",
    within=1e-9,
    rules=[
        must_not_be(
            range(3),
            (2, 3, 4),
            "(2, 3, 4) is the shape of x; y has two of its axes swapped",
        ),
        *(
            must_not_be(
                range(3),
                shape,
                f"{shape} swaps two neighboring axes; y swaps the first and the last",
            )
            for shape in ((3, 2, 4), (2, 4, 3))
        ),
        must_be(range(3), (4, 3, 2), "the shape is not ({0}, {1}, {2})"),
        *(must_not_be((3, 4, 5), strides, why) for strides, why in _STRIDES.items()),
        must_be((3, 4, 5), (1, 4, 12), "the strides are not ({3}, {4}, {5})"),
        *(must_not_be(6, place, why) for place, why in _PLACES.items()),
        must_be(6, 19, "place {6} holds a different number"),
    ],
    right="Right: 3 · 1 + 1 · 4 + 1 · 12 = 19.",
)


class _Number:
    """A number that remembers its origin, with the names of section A.4's class."""

    def __init__(
        self,
        data: float,
        parents: Iterable[Any] = (),
        local_grads: Iterable[float] = (),
    ) -> None:
        self.data, self.grad = data, 0.0
        self.parents, self.local_grads = parents, local_grads

    def __add__(self, other: Any) -> "_Number":
        return _Number(self.data + other.data, (self, other), (1.0, 1.0))

    def __sub__(self, other: Any) -> "_Number":
        return _Number(self.data - other.data, (self, other), (1.0, -1.0))

    def __mul__(self, other: Any) -> "_Number":
        return _Number(self.data * other.data, (self, other), (other.data, self.data))

    def tanh(self) -> "_Number":
        t = math.tanh(self.data)
        return _Number(t, (self,), (1 - t * t,))


def _gradients(result: Any) -> dict[int, float]:
    """Map the id of each value that a result depends on to its gradient."""
    order: dict[int, Any] = {}

    def visit(value: Any) -> None:
        if id(value) not in order:
            for parent in value.parents:
                visit(parent)
            order[id(value)] = value

    visit(result)
    grads = dict.fromkeys(order, 0.0) | {id(result): 1.0}
    for key, value in reversed(order.items()):
        for parent, local in zip(value.parents, value.local_grads, strict=True):
            grads[id(parent)] += grads[key] * local
    return grads


@exercise(
    "A.2",
    "A node of your own",
    hints=(
        "Look at the method for `*`. Which three things does it hand to Value?",
        "The value is one.data / other.data, and the parents are (one, other). For 6 "
        "and 2, finite differences find the local gradients 0.5 and -1.5; for 6 and 3 "
        "they find 0.333 and -0.667.",
        "With u above and v below the line, the local gradient of u is 1 / v. That of "
        "v is negative, grows with u, and is divided by v twice.",
    ),
)
def divide(answer: Callable[[Any, Any], Any]) -> str:
    """Divide, look at value and parents, and send gradients through the node."""
    drawn = [
        (chance.uniform(-9, 9), chance.choice([-1, 1]) * chance.uniform(0.5, 4))
        for chance in fresh(4)
    ]
    for u, v in ((7.0, 2.0), (6.0, -4.0), (-1.5, 0.5), *drawn):
        one, other = _Number(u), _Number(v)
        result, case = answer(one, other), f"{u:g} divided by {v:g}"
        kind = type(result).__name__
        require(
            all(hasattr(result, name) for name in ("data", "parents", "local_grads")),
            f"{case}: expected an object of the class Value, got one of type {kind}",
        )
        _judge_quotient(result.data, u, v, case)
        _judge_parents(result, one, other)
        require(
            one.grad == other.grad == 0,
            "grad was changed in the forward pass, when the gradient of the loss with "
            "respect to the quotient is not known yet; store local gradients only",
        )
        _judge_local(_gradients(result), one, other, case)
    _judge_in_a_graph(answer)
    return "Right, alone and inside a larger graph."


def _judge_quotient(value: Any, u: float, v: float, case: str) -> None:
    require(not _near(value, u * v), f"{case}: {value} is the product")
    require(not _near(value, v / u), f"{case}: {value} is the quotient upside down")
    whole = value == u // v != u / v
    require(not whole, f"{case}: {value}; `//` cuts the decimals off")
    require(_near(value, u / v), f"{case}: the value is {value}, not {u / v:g}")


def _judge_parents(result: Any, one: Any, other: Any) -> None:
    parents = list(result.parents)
    require(parents, "the result has no parents, so the backward pass ends there")
    for name, value in (("first", one), ("second", other)):
        reached = id(value) in _gradients_reach(result)
        copied = any(parent.data == value.data for parent in parents)
        require(
            reached or not copied,
            f"a parent equals the {name} number but is a new object; hand on the very "
            "one that came in",
        )
        require(reached, f"the {name} number is not among the parents")
    count = len(list(result.local_grads))
    require(
        count == len(parents),
        f"{len(parents)} parents need as many local gradients, got {count}",
    )


def _gradients_reach(result: Any) -> set[int]:
    """The ids of all values that can be reached from a result."""
    found, waiting = {id(result)}, [result]
    while waiting:
        new = [one for one in waiting.pop().parents if id(one) not in found]
        found |= set(map(id, new))
        waiting += new
    return found


def _judge_local(grads: dict[int, float], one: Any, other: Any, case: str) -> None:
    u, v = one.data, other.data
    given = (grads[id(one)], grads[id(other)])
    right = (1 / v, -u / v**2)
    known = {
        (right[1], right[0]): "stand in the wrong order; they go with the parents",
        (v, u): "are those of a product",
        (1.0, -1.0): "are those of a difference",
        (1.0, 1.0): "are those of a sum",
        (right[0], -right[1]): "have one wrong sign: a larger divisor makes the "
        "quotient smaller if both are positive",
        (right[0], -1 / v**2): "leave out u in the second one",
        (right[0], -u / v): "divide by v only once in the second one",
        (right[0], 0.0): "treat the divisor as a constant",
    }
    for wrong, why in known.items():
        alike = all(map(_near, given, wrong)) and not all(map(_near, given, right))
        require(not alike, f"{case}: the local gradients {why}")
    shown = tuple(round(value, 4) for value in given)
    wanted = tuple(round(value, 4) for value in right)
    require(
        all(map(_near, given, right)),
        f"{case}: the local gradients are {shown}; finite differences find {wanted}",
    )


def _judge_in_a_graph(answer: Callable[[Any, Any], Any]) -> None:
    u, v = _Number(1.5), _Number(-0.8)
    once = answer(u * v + u, v)
    grads = _gradients(answer(once.tanh() if hasattr(once, "tanh") else once, u))
    x, y = (torch.tensor(n.data, dtype=torch.float64).requires_grad_() for n in (u, v))
    ((x * y + x) / y).tanh().div(x).backward()
    right = (float(x.grad), float(y.grad))  # type: ignore[arg-type]
    given = (grads[id(u)], grads[id(v)])
    require(
        all(map(_near, given, right)),
        f"inside a larger graph the gradients are {given}, not {right}",
    )
    same = _Number(3.0)
    require(
        _near(_gradients(answer(same, same))[id(same)], 0.0),
        "x divided by x is always 1, so its gradient with respect to x should be 0",
    )


def _near(one: Any, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)


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
    chance = torch.Generator().manual_seed(varied(7))
    x = torch.randn(20, 2, generator=chance)
    y = (x[:, 0] + 0.5 * torch.randn(20, generator=chance) > 0).long()
    return [(x[:8], y[:8]), (x[8:16], y[8:16]), (x[16:] * 3, 1 - y[16:])]


def _epoch(
    model: nn.Module,
    softmax: bool = False,
    reset: bool = True,
    batches: slice = slice(None),
) -> list[float]:
    """Train the right way, or with one fault; the losses of the batches come back."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for x, y in _batches()[batches]:
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
    "A.3",
    "A loop with five faults",
    hints=(
        "What does cross_entropy want? What is in .grad when step is called? Which "
        "mode is the model in? And what exactly is added up?",
        "cross_entropy takes logits; zero_grad comes before backward, not after it; "
        "total keeps the graphs; the last batch may be smaller.",
        "Begin with model.train(). Give the logits to cross_entropy, and reset before "
        "backward. Weigh each batch's loss, as a plain number, by its points, and "
        "divide once at the end.",
    ),
)
def one_epoch(answer: Callable[..., Any]) -> str:
    """Compare weights and loss with a right loop, and with loops with one fault."""
    with torch.random.fork_rng():
        torch.manual_seed(varied(2))
        start = _Noted().eval()
    model = copy.deepcopy(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    given = answer(model, optimizer, _batches())
    require(
        not torch.equal(_flat(model), _flat(start)),
        "the model has not changed at all: were its gradients there when step was "
        "called?",
    )
    faults: dict[str, dict[str, Any]] = {
        "cross_entropy does the softmax itself; give it the logits": {"softmax": True},
        "the gradients of earlier batches are still in .grad": {"reset": False},
        "only the first batch was trained on; a `return` inside the loop ends it": {
            "batches": slice(1)
        },
    }
    for message, fault in faults.items():
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
    require(given is not None, "nothing comes back; return the mean loss")
    require(
        not getattr(given, "requires_grad", False),
        "the result is a tensor with a history, so the graph of every batch was kept; "
        "take the number out",
    )
    require(
        not isinstance(given, Tensor),
        "the result is a tensor; return a plain number, as `.item()` gives it",
    )
    require(
        abs(given - sum(losses) / 3) > 1e-5,
        "the loss is the mean over batches; the last one has fewer points",
    )
    mean = (8 * losses[0] + 8 * losses[1] + 4 * losses[2]) / 20
    known = {
        20 * mean: "this is the sum over all points; divide by their number",
        20 * mean / 3: "the sum over all points is divided by the number of batches",
        sum(losses): "this is the sum of the batches' means",
        losses[-1]: "this is the loss of the last batch alone",
        sum(losses) / 20: "a batch's loss is a mean already; weigh it by its points",
    }
    for wrong, why in known.items():
        require(abs(given - wrong) > 1e-5, why)
    require(abs(given - mean) < 1e-5, f"the mean loss is {mean:.4f}, not {given:.4f}")


def _says(shape: Callable[..., Any], one: Shape, other: Shape) -> Any:
    """The answer's shape, or None where it refuses."""
    try:
        return shape(one, other)
    except ValueError:
        return None


@exercise(
    "A.4",
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
    lengths = [1, 3, 4]
    for chance in fresh(1):
        lengths = [1, *chance.sample(range(2, 9), 2)]
    shapes: list[Shape] = [s for n in range(4) for s in product(lengths, repeat=n)]
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
        uneven = "; the two may have different numbers of axes"
        require(
            given is not None,
            f"{case} you refuse, but the sum has the shape {wanted}"
            + uneven * (len(one) != len(other)),
        )
        require(
            isinstance(given, tuple), f"{case} you get {given!r}; a shape is a tuple"
        )
        reason = "; shapes are compared from the right" * (len(one) != len(other))
        if 0 in wanted:
            reason = "; a length of 1 gives way to 0, too"
        require(given == wanted, f"{case} you get {given}, not {wanted}{reason}")
    return f"Right, for {len(pairs):,} pairs of shapes."


by_hand(
    "A.5",
    "Gradients by hand",
    hints=(
        "First forwards: what is u? And how many paths lead from a to u?",
        "u = -1, so the gradient of L with respect to u is 2u = -2. From a, one path "
        "goes through the product and one directly into the sum.",
        "The gradient of u with respect to a is b + 1, with respect to b it is a. "
        "Multiply both by -2.",
    ),
    fields=("gradient with respect to a", "gradient with respect to b"),
    expected="two gradients",
    within=1e-6,
    rules=[
        *(
            must_not_be(0, value, f"a: {why}")
            for value, why in (
                (3, "the path from a straight into the sum is missing"),
                (-2, "the path from a through the product is missing"),
                (-0.5, "this is the gradient of u; the square comes after it"),
                (-6, "along different paths gradients are added, not multiplied"),
                (-1, "the sign is wrong: u is negative here"),
            )
        ),
        must_be(0, 1, "a: {0} is not the gradient"),
        must_not_be(1, 2, "b: this is the gradient of u; the square comes after it"),
        must_not_be(1, 4, "b: the sign is wrong: u is negative here"),
        must_be(1, -4, "b: {1} is not the gradient"),
    ],
    right="Right: 1 and −4. Two paths lead from a, and one from b.",
)


@exercise(
    "A.6",
    "An independent witness",
    hints=(
        "For each number in turn: change it a little up, a little down, and look at f.",
        "Work on copies. A copy seen as one line, by view(-1), lets one loop do for "
        "any number of axes.",
        "For each place i, raise up.view(-1)[i] by h in one copy and lower it in the "
        "other. The difference of f over both, divided by 2 * h, is number i.",
    ),
)
def numerical_gradient(answer: Callable[..., Any]) -> str:
    """Try functions of tensors with up to three axes, where one side is not enough."""
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "the sum of cubes": lambda x: (x**3).sum(),
        "the product of all numbers": lambda x: x.prod(),
        "the squared sum of sines": lambda x: x.sin().sum() ** 2,
    }
    chance = torch.Generator().manual_seed(varied(5))
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


@exercise(
    "A.7",
    "A fair share",
    hints=(
        "If all processes draw the same shuffled order, how can they divide it without "
        "talking?",
        "A generator seeded by seed and epoch, and not by rank, gives the same order "
        "everywhere. Fill it up until it can be divided.",
        "Seed the generator with 1000 * seed + epoch and draw a torch.randperm. Append "
        "numbers from the beginning of the order until its length can be divided, then "
        "take every `processes`-th, beginning with number `rank`.",
    ),
)
def fair_share(answer: Callable[..., Any]) -> str:
    """Put the shares together, for sizes that divide and sizes that do not."""
    drawn = [(chance.randint(1, 80), chance.randint(1, 7)) for chance in fresh(4)]
    for n, processes in ((12, 3), (10, 4), (2, 5), (7, 1), (64, 2), *drawn):
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
    chance = torch.Generator().manual_seed(varied(2024))
    points = 4 * torch.rand(count, 2, generator=chance) - 2
    return points, (points[:, 1] > torch.sin(2 * points[:, 0])).long()


@exercise(
    "A.8",
    "A small model for the shore",
    hints=(
        "One hidden layer of n numbers has 2n + n + 2n + 2 parameters. How large may "
        "n be? Which activation function suits a curve without corners?",
        "Small networks need more steps. Try tanh, AdamW with a learning rate of "
        "0.03, a few hundred epochs, and several seeds.",
        "Seven hidden numbers with tanh between two linear layers make 37 parameters; "
        "1,000 steps of AdamW (0.03) on all 800 points at once are enough.",
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
