"""Checks of chapter 5's exercises. Not built on a page."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.config import GPTConfig
from llmbook_utils.datasets import load_text
from llmbook_utils.exercises import Wrong, exercise, require
from llmbook_utils.loss import IGNORED, Batch, loss_of
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained

TINY = GPTConfig(
    vocab_size=31, context_length=13, emb_dim=16, n_heads=4, n_layers=2, drop_rate=0.5
)


def _model() -> GPTModel:
    """Build a model whose weights are far from uniform, so that its losses differ."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = GPTModel(TINY)
        for parameter in model.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.4)
    return model


def _ids(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(TINY.vocab_size, shape, generator=generator)


def _close(a: float, b: float, tolerance: float = 0.005) -> bool:
    return abs(a - b) <= tolerance * max(1.0, abs(b))


@exercise(
    "5.1",
    "Nats, bits and perplexity",
    hints=(
        "All three numbers come from one sum: that of the logarithms.",
        "In bits, the four tokens cost 1, 3, 2 and 2. Divide by the number of tokens "
        "for one answer, by the number of bytes for another.",
        "8 bits in all: 8 / 4 = 2 bits a token, which is 2 times 0.693 nats; the "
        "perplexity is 2 to the power of 2; and 8 / 10 bits per byte.",
    ),
)
def three_measures(answer: Sequence[float]) -> str:
    """Compare each number with the right one and with its likely mistakes."""
    given = [float(value) for value in answer]
    require(len(given) == 3, f"expected three numbers, got {len(given)}")
    nats, perplexity, bits = given
    require(
        not _close(nats, 2.0), "2 is the loss in bits a token; a bit has 0.693 nats"
    )
    require(
        not _close(nats, -math.log(9 / 32)),
        "it looks as if you took the logarithm of the mean probability; take the mean "
        "of the logarithms",
    )
    require(
        not _close(nats, 8 * math.log(2)),
        "that is the sum over the four tokens; the loss is their mean",
    )
    require(_close(nats, 2 * math.log(2)), f"the loss is not {nats:g} nats a token")
    require(
        not _close(perplexity, math.e**2),
        "the perplexity is e to the loss in nats, or 2 to the loss in bits; you have "
        "mixed the two",
    )
    require(_close(perplexity, 4), f"the perplexity is not {perplexity:g}")
    require(
        not _close(bits, 2.0),
        "those are bits a token; the text has 10 bytes, whatever it was cut into",
    )
    require(
        not _close(bits, 0.8 * math.log(2)), "those are nats per byte; convert to bits"
    )
    require(_close(bits, 0.8), f"{bits:g} bits per byte is not it")
    return "Right: 1.386 nats a token, a perplexity of 4, and 0.8 bits per byte."


@exercise(
    "5.2",
    "Join the measurements",
    hints=(
        "Which may be averaged, losses or perplexities? And with what weights?",
        "Each part's mean times its number of tokens is the part's sum.",
        "math.exp(sum of loss * count over all parts / sum of counts).",
    ),
)
def join_measurements(answer: Callable[..., float]) -> str:
    """Try parts of different sizes, and look for the mean that was taken instead."""
    losses, counts = [2.0, 5.0, 3.5], [800, 50, 150]
    given = float(answer(list(losses), list(counts)))
    total = sum(counts)
    mean = sum(n * loss for loss, n in zip(losses, counts, strict=True)) / total
    powers = [math.exp(loss) for loss in losses]
    mistakes = [
        (mean, "that is the mean loss; the perplexity is e to its power"),
        (
            math.exp(sum(losses) / 3),
            "every part has got the same weight, but a part of 50 tokens must not "
            "count as much as one of 800",
        ),
        (
            sum(n * p for p, n in zip(powers, counts, strict=True)) / total,
            "you averaged the perplexities; average the losses, and take the power "
            "at the end",
        ),
        (
            sum(powers) / 3,
            "perplexities cannot be averaged, and the parts differ in size",
        ),
    ]
    for value, message in mistakes:
        require(not _close(given, value), message)
    require(
        _close(given, math.exp(mean)),
        f"join({losses}, {counts}) is {given:g}, expected {math.exp(mean):.3f}",
    )
    one = float(answer([1.25], [7]))
    require(_close(one, math.exp(1.25)), f"a single part of loss 1.25 gives {one:g}")
    return f"Right: the perplexity is {math.exp(mean):.2f} for three parts of 1,000."


def _with_context(model: GPTModel, ids: Tensor, n: int, exactly: bool = True) -> float:
    windows = ids.unfold(0, n + 1, 1)
    with torch.no_grad():
        logits = model(windows[:, :-1])
    if exactly:
        return F.cross_entropy(logits[:, -1], windows[:, -1]).item()
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).item()


@exercise(
    "5.3",
    "Loss by the size of the context",
    hints=(
        "Each target needs a window of its own: the n tokens before it.",
        "ids.unfold(0, n + 1, 1) gives all windows of n + 1 ids, one beginning at "
        "each id. The last id of each is the target.",
        "windows = ids.unfold(0, n + 1, 1); logits = model(windows[:, :-1])[:, -1]; "
        "then F.cross_entropy(logits, windows[:, -1]), without gradients, in "
        "evaluation mode, and at the end model.train(mode as it was).",
    ),
)
def loss_with_context(answer: Callable[..., Any]) -> str:
    """Compare for several n, and name what was averaged instead."""
    model, ids = _model(), _ids(60)
    for n in (1, 4, 13):
        for training in (True, False):
            model.train(training)
            given = float(answer(model, ids.clone(), n))
            require(
                model.training == training,
                "the model came in one mode and was left in the other; restore it",
            )
            model.eval()
            right = _with_context(model, ids, n)
            if n > 1:
                require(
                    not _close(
                        given, _with_context(model, ids, n, exactly=False), 1e-4
                    ),
                    "you have averaged over all positions of the windows, so most "
                    "tokens had fewer than n before them; only the last position has n",
                )
                cut = ids[: len(ids) // (n + 1) * (n + 1)].view(-1, n + 1).flatten()
                few = _sparse(model, cut, n)
                require(
                    not _close(given, few, 1e-4),
                    "only every so many tokens was predicted; a window begins at "
                    "each token, not behind the window before",
                )
            require(
                _close(given, right, 1e-4),
                f"for n = {n} and a model in {'training' if training else 'evaluation'}"
                f" mode it is {given:.3f}, expected {right:.3f}; is dropout off?",
            )
    return "Right for 1, 4 and 13 tokens of context. Now ask mini about the story."


def _sparse(model: GPTModel, ids: Tensor, n: int) -> float:
    windows = ids.unfold(0, n + 1, n + 1)
    with torch.no_grad():
        return F.cross_entropy(model(windows[:, :-1])[:, -1], windows[:, -1]).item()


def _step(fault: str, empty_afterwards: bool = False) -> Callable[..., float]:
    """A training step, with a fault or without."""

    def step(
        model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, y: Tensor
    ) -> float:
        if fault != "train":
            model.train()
        if fault != "zero_grad":
            optimizer.zero_grad()
        total, count = loss_of(model, inputs, y)
        (total / count).backward()
        optimizer.step()
        if empty_afterwards:
            optimizer.zero_grad()
        return total.item() / count

    return step


@exercise(
    "5.4",
    "Find the fault",
    hints=(
        "Prepare the model so that each fault would leave a mark, then call the step.",
        "Call model.eval() first: after a good step the model is in training mode. "
        "And put absurdly large gradients into grad: what would a step that does not "
        "empty them leave there, or do to the weights?",
        "Fill every weight's grad with 1e6 and call model.eval(), then step(...). If "
        "model.training is False, it is 'train'. If some grad is still as large as "
        "1e5, it is 'zero_grad'.",
    ),
)
def find_fault(answer: Callable[..., str]) -> str:
    """Give it steps with each fault, and good ones, on models in either mode."""
    x, y = _ids(3, 13, seed=1), _ids(3, 13, seed=2)
    seen = set()
    for fault in ("none", "zero_grad", "train"):
        for training in (True, False):
            for empty in (False, True) if fault == "none" else (False,):
                model = _model().train(training)
                optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
                given = answer(_step(fault, empty), model, optimizer, x, y)
                require(
                    given in ("none", "zero_grad", "train"),
                    f'{given!r} is none of "none", "zero_grad" and "train"',
                )
                seen.add((fault, given))
    missed = {fault for fault, given in seen if given == "none"} - {"none"}
    alarms = {given for fault, given in seen if fault == "none"} - {"none"}
    require(
        missed != {"train", "zero_grad"},
        "both faults pass for none; what could you do to the model before the step so "
        "that a fault would show?",
    )
    require(
        "zero_grad" not in missed,
        "a step that adds to old gradients passes for none; were there any "
        "gradients before it?",
    )
    require(
        "train" not in missed,
        "a step that trains in evaluation mode passes for none; in which mode did "
        "you hand the model over?",
    )
    require(not alarms, f"a step without a fault was accused of {sorted(alarms)}")
    require(all(fault == given for fault, given in seen), "the two faults are mixed up")
    return "Right: both faults found, and no good step accused."


def _gradients(model: nn.Module) -> Tensor:
    found = [
        torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()
    ]
    return torch.cat([grad.flatten() for grad in found])


def _accumulated(batches: Sequence[Batch]) -> tuple[Tensor, float]:
    model = _model().eval()
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    total, count = loss_of(model, inputs, targets)
    (total / count).backward()
    return _gradients(model), total.item() / count


@exercise(
    "5.5",
    "Accumulate by hand",
    hints=(
        "The number that you divide by must be known before the first backward.",
        "Count the targets of all batches that are not -100. Divide each batch's SUM "
        "of losses by that number, and call backward for each batch.",
        "model.zero_grad(); count = the number of targets in all batches; for each: "
        "F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, "
        'reduction="sum"), divided by count, .backward(); add up its item().',
    ),
)
def accumulate(answer: Callable[..., Any]) -> str:
    """Compare with one big batch, also with ignored targets and old gradients."""
    targets = [_ids(rows, 13, seed=rows + 7) for rows in (3, 1, 2)]
    targets[0][:, 9:] = IGNORED
    targets[1][:] = IGNORED
    batches = [(_ids(*y.shape, seed=i), y) for i, y in enumerate(targets)]
    wanted, loss = _accumulated(batches)
    model = _model().eval()
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    given = answer(model, copy.deepcopy(batches))
    require(isinstance(given, float | int), f"the loss is {given!r}; return a number")
    require(
        math.isfinite(given), f"the loss is {given}: a batch without targets is 0/0"
    )
    got = _gradients(model)
    require(
        not torch.allclose(got - 1, wanted, atol=1e-4),
        "the gradients that were there before are still in the sum",
    )
    factor = (got @ wanted / (wanted @ wanted)).item()
    if torch.allclose(got, factor * wanted, atol=1e-4) and not _close(factor, 1):
        raise Wrong(
            f"the gradients point the right way, but are {factor:.2f} times as large "
            "as those of one big batch; by which number do you divide?"
        )
    require(
        torch.allclose(got, wanted, atol=1e-4),
        "the gradients are not those of one big batch; batches of different sizes need "
        "different weights, so divide sums by the number of all targets",
    )
    require(_close(given, loss, 1e-4), f"the loss is {given:.3f}, expected {loss:.3f}")
    return "Right: the gradients of one big batch, with one small batch in memory."


@exercise(
    "5.6",
    "Beat the trigram",
    hints=(
        "The page's rule takes much away from contexts with many followers. Is there "
        "a gentler one?",
        "Subtract a fixed discount, say 0.75, from every count above 0, and give what "
        "was taken away to the shorter context.",
        "With c the sum of the counts and u the number of different followers: p = "
        "(max(count - 0.75, 0) + 0.75 * u * p_shorter) / c. For more, look up "
        "Kneser-Ney in Chen and Goodman 1999.",
    ),
)
def beat_the_trigram(answer: Callable[..., Any]) -> str:
    """Measure bits per byte on the story's last tenth, with the sums verified."""
    _, tokenizer = load_pretrained("mini")
    story = load_text("story")
    cut = int(0.9 * len(story))
    ids, held_out = (tokenizer.encode_ordinary(t) for t in (story[:cut], story[cut:]))
    predict = answer(list(ids), tokenizer.n_vocab)
    require(callable(predict), f"fit returned {predict!r}; expected a function")
    bits = 0.0
    for i, token in enumerate(held_out):
        chances = torch.as_tensor(predict(held_out[:i]), dtype=torch.float64)
        require(
            chances.shape == (tokenizer.n_vocab,),
            f"predict gives {tuple(chances.shape)}, not {tokenizer.n_vocab} numbers",
        )
        require(
            bool((chances >= 0).all()) and abs(chances.sum().item() - 1) < 1e-6,
            f"the numbers after {i} tokens add up to {chances.sum():.4f}; "
            "probabilities add up to 1",
        )
        require(
            chances[token] > 0,
            f"after {i} tokens, the next one has the probability 0: the text becomes "
            "impossible",
        )
        bits -= math.log2(chances[token])
    per_byte = bits / len(story[cut:].encode())
    require(
        per_byte <= 1.97,
        f"{per_byte:.3f} bits per byte; the page's trigram has 1.993, and the "
        "exercise asks for 1.97 or less",
    )
    return f"Right: {per_byte:.3f} bits per byte."
