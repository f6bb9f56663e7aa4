"""Checks of chapter 5's exercises. Not built on a page."""

import copy
import functools
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tiktoken
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.config import GPTConfig
from llmbook_utils.exercises import Wrong, exercise, fresh, require, varied
from llmbook_utils.exercises.by_hand import by_hand, must_be, must_not_be
from llmbook_utils.files.datasets import load_text
from llmbook_utils.generate import Sampling, generate, next_token_probabilities
from llmbook_utils.loss import IGNORED, Batch, loss_of
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained, to_gpt2

TINY = GPTConfig(
    vocab_size=31, context_length=13, emb_dim=16, n_heads=4, n_layers=2, drop_rate=0.5
)
DEEP = replace(TINY, n_layers=4, drop_rate=0.0)


def _model(config: GPTConfig = TINY, seed: int = 5) -> GPTModel:
    """Build a model whose weights are all different from what building gives."""
    with torch.random.fork_rng():
        torch.manual_seed(varied(seed))
        model = GPTModel(config)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.4)
    return model


def _ids(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(varied(seed))
    return torch.randint(TINY.vocab_size, shape, generator=generator)


def _close(a: float, b: float, tolerance: float = 0.005) -> bool:
    return abs(a - b) <= tolerance * max(1.0, abs(b))


by_hand(
    "5.1",
    "Nats, bits and perplexity",
    hints=(
        "All three numbers come from one sum: that of the logarithms.",
        "In bits, the four tokens cost 1, 3, 2 and 2. Divide by the number of tokens "
        "for one answer, by the number of bytes for another.",
        "8 bits in all: 8 / 4 = 2 bits per token, which is 2 times 0.693 nats; the "
        "perplexity is 2 to the power of 2; and 8 / 10 bits per byte.",
    ),
    fields=("nats per token", "perplexity", "bits per byte"),
    expected="three numbers",
    rules=[
        must_not_be(0, 2, "2 is the loss in bits per token; a bit has 0.693 nats"),
        must_not_be(
            0,
            -math.log(9 / 32),
            "it looks as if you took the logarithm of the mean probability; take the "
            "mean of the logarithms",
        ),
        must_not_be(
            0,
            8 * math.log(2),
            "that is the sum over the four tokens; the loss is their mean",
        ),
        must_be(0, 2 * math.log(2), "the loss is not {0} nats per token"),
        must_not_be(
            1,
            math.e**2,
            "the perplexity is e to the loss in nats, or 2 to the loss in bits; you "
            "have mixed the two",
        ),
        must_be(1, 4, "the perplexity is not {1}"),
        must_not_be(
            2,
            2,
            "those are bits per token; the text has 10 bytes, whatever it was cut into",
        ),
        must_not_be(2, 0.8 * math.log(2), "those are nats per byte; convert to bits"),
        must_be(2, 0.8, "{2} bits per byte is not it"),
    ],
    right="Right: 1.386 nats per token, a perplexity of 4, and 0.8 bits per byte.",
)


@exercise(
    "5.2",
    "One epoch",
    hints=(
        "Four lines per batch: forget, compute the loss, compute the gradients, step.",
        "The logits have three axes, and F.cross_entropy wants two: flatten them, and "
        "the targets with them. loss.item() is the loss as a number.",
        "model.train(); for each (inputs, targets): optimizer.zero_grad(); loss = "
        "F.cross_entropy(model(inputs).flatten(0, 1), ...); loss.backward(); then the "
        "optimizer. Collect loss.item() and return the mean.",
    ),
)
def one_epoch(answer: Callable[..., float]) -> str:
    """Train with the answer beside the four lines, from the same weights."""
    loader = [(_ids(4, 9, seed=n), _ids(4, 9, seed=n + 50)) for n in range(4)]
    model, optimizer, _ = _epoch_of(answer, loader)
    begin = _model(DEEP).state_dict()
    moved = {
        name
        for name, weight in model.state_dict().items()
        if not torch.equal(weight, begin[name])
    }
    require(bool(moved), "no weight has changed: does the optimizer take a step?")
    steps = {int(state["step"]) for state in optimizer.state.values()}
    require(
        steps == {len(loader)},
        f"the optimizer took {max(steps, default=0)} steps for {len(loader)} batches",
    )
    _compare_epochs(answer, loader)
    model, _, _ = _epoch_of(answer, loader, training=False)
    require(
        model.training,
        "the model came in evaluation mode and was trained in it: dropout"
        " was off; call model.train() first",
    )
    return "Right: four batches, four steps, and the weights of the plain loop."


def _epoch_of(
    answer: Callable[..., float], loader: list[Batch], *, training: bool = True
) -> tuple[GPTModel, torch.optim.Optimizer, float]:
    """Let an answer train a model for an epoch; old gradients are there before."""
    model = _model(DEEP).train(training)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    mean = answer(model, optimizer, loader)
    return model, optimizer, mean


def _plain_epoch(kind: str) -> Callable[..., float]:
    """The four lines, or the four lines with a known mistake."""

    def train_epoch(
        model: GPTModel, optimizer: torch.optim.Optimizer, loader: list[Batch]
    ) -> float:
        losses = []
        for inputs, targets in loader:
            if kind != "zero_grad":
                optimizer.zero_grad()
            wanted = inputs if kind == "targets" else targets
            logits = model(inputs).flatten(0, 1)
            if kind == "softmax":
                logits = torch.softmax(logits, dim=-1)
            loss = F.cross_entropy(logits, wanted.flatten())
            (loss * wanted.numel() if kind == "sum" else loss).backward()
            optimizer.step()
            losses.append(loss.item())
        return sum(losses) / len(losses)

    return train_epoch


EPOCH_MISTAKES = {
    "zero_grad": "the gradients that were there before the epoch, and those of earlier "
    "batches, are used again; empty them before each backward",
    "targets": "the model is trained to give back its inputs; the second of each pair "
    "is what it should predict",
    "softmax": "F.cross_entropy takes logits and does the softmax itself",
}


def _compare_epochs(answer: Callable[..., float], loader: list[Batch]) -> None:
    """Compare weights after an epoch, and the mean, with those of the four lines."""

    def weights(train_epoch: Callable[..., float]) -> tuple[Tensor, float]:
        model, _, mean = _epoch_of(train_epoch, loader)
        return torch.cat([p.detach().flatten() for p in model.parameters()]), mean

    found, mean = weights(answer)
    for kind, message in EPOCH_MISTAKES.items():
        mistaken, _ = weights(_plain_epoch(kind))
        require(not torch.allclose(found, mistaken, atol=1e-5), message)
    right, right_mean = weights(_plain_epoch(""))
    require(
        torch.allclose(found, right, atol=1e-4),
        "the weights after the epoch are not those of one step per batch, in the order "
        "of the loader",
    )
    require(
        isinstance(mean, int | float),
        "the weights are right; return the mean loss as a number, not "
        f"{type(mean).__name__}",
    )
    require(
        not _close(mean, right_mean * len(loader)),
        "the weights are right; what you return is the sum of the losses, not the mean",
    )
    require(
        _close(mean, right_mean, 1e-4),  # finer than the losses differ
        f"the weights are right, but the mean of the batches' losses is not {mean:g}",
    )


@exercise(
    "5.3",
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
    for chance in fresh(4):
        counts = [chance.randint(1, 900) for _ in range(chance.randint(2, 6))]
        losses = [round(chance.uniform(1, 6), 2) for _ in counts]
        parts = zip(losses, counts, strict=True)
        right = math.exp(sum(loss * n for loss, n in parts) / sum(counts))
        given = float(answer(list(losses), list(counts)))
        require(
            _close(given, right),
            f"join({losses}, {counts}) is {given:g}, expected {right:.3f}",
        )
    return f"Right: the perplexity is {math.exp(mean):.2f} for three parts of 1,000."


def _with_context(model: GPTModel, ids: Tensor, n: int, exactly: bool = True) -> float:
    windows = ids.unfold(0, n + 1, 1)
    with torch.no_grad():
        logits = model(windows[:, :-1])
    if exactly:
        return F.cross_entropy(logits[:, -1], windows[:, -1]).item()
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).item()


@exercise(
    "5.4",
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
                    "each token, not after the window before",
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
    "5.5",
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
    "5.6",
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
    "5.7",
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


@exercise(
    "5.8",
    "Write top-p",
    hints=(
        "Sort each row from the largest probability down, and add up from the left.",
        "A token is kept if the sum of the tokens *before* it is still below p. Then "
        "the first one is kept in any case.",
        "ordered, at = probabilities.sort(descending=True); before = ordered.cumsum(-1)"
        " - ordered; set ordered to 0 where before >= p, scatter it back to the places "
        "`at`, and divide each row by its sum.",
    ),
)
def write_top_p(answer: Callable[..., Tensor]) -> str:
    """Cut rows of two kinds, then rows of a real model's size, against the library."""
    rows = torch.tensor([[0.5, 0.25, 0.15, 0.1], [0.1, 0.2, 0.3, 0.4]])
    found = answer(rows.clone(), 0.6)
    require(isinstance(found, Tensor), f"expected a tensor, got {type(found).__name__}")
    require(
        tuple(found.shape) == (2, 4),
        f"two rows of four went in, and {tuple(found.shape)} came out",
    )
    first, second = ([round(x, 3) for x in row] for row in found.tolist())
    require(
        first != [1.0, 0.0, 0.0, 0.0],
        "of (0.5, 0.25, 0.15, 0.1) with p = 0.6, the token that crosses 0.6 is kept, "
        "too",
    )
    require(
        first != [0.5, 0.25, 0.0, 0.0],
        "the right tokens are kept; now scale the kept ones so that they add up to 1",
    )
    require(
        first == [0.667, 0.333, 0.0, 0.0],
        "(0.5, 0.25, 0.15, 0.1) with p = 0.6 becomes (0.667, 0.333, 0, 0), not "
        f"{first}",
    )
    require(
        second != first,
        "(0.1, 0.2, 0.3, 0.4) with p = 0.6 becomes (0, 0, 0.429, 0.571), not "
        f"{second}, which is what the first row becomes",
    )
    require(
        second != [0.571, 0.429, 0.0, 0.0],
        "the second row comes back in the order of its sizes; put each number back to "
        "the place of its token",
    )
    require(
        second == [0.0, 0.0, 0.429, 0.571],
        f"(0.1, 0.2, 0.3, 0.4) with p = 0.6 becomes (0, 0, 0.429, 0.571), not {second}",
    )
    tiny = answer(rows.clone(), 0.01)
    require(
        bool(torch.isfinite(tiny).all()) and tiny.max().item() == 1.0,
        "with p = 0.01 nothing is left to draw from; the most probable token stays",
    )
    given = torch.softmax(4 * torch.randn(3, 500, generator=_generator(1)), dim=-1)
    before = given.clone()
    right = _top_p(given, 0.9)
    require(
        torch.allclose(answer(given, 0.9), right, atol=1e-6),
        "small rows are right, but three rows of 500 differ from the library's; is "
        "each row cut by itself?",
    )
    require(torch.equal(given, before), "the tensor that came in has been changed")
    return "Right: the crossing token stays, and each row adds up to 1."


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(varied(seed))


def _top_p(probabilities: Tensor, p: float) -> Tensor:
    """The library's cut; the logits of probabilities are their logarithms."""
    no_ids = torch.zeros(len(probabilities), 1, dtype=torch.long)
    sampling = Sampling(temperature=1.0, top_p=p)
    return next_token_probabilities(probabilities.log(), no_ids, sampling)


by_hand(
    "5.9",
    "Cut by hand",
    hints=(
        "Temperature 0.5 squares the probabilities; then they are scaled to 1.",
        "(a) The squares are 0.25, 0.0625, 0.0225 and 0.01. (b) Which tokens have "
        "less than 0.8 BEFORE them? (c) The line is at 0.4 times the largest.",
        "(a) 0.25 / 0.345. (b) Before the third stand 0.75, before the fourth 0.9. "
        "(c) The line is at 0.2, so two tokens stay: 0.5 / 0.75. (d) First the "
        "temperature: how much has the first token alone, and the first two?",
    ),
    fields=(
        "(a) probability at temperature 0.5",
        "(b) tokens kept by top-p 0.8",
        "(c) probability with min-p 0.4",
        "(d) tokens left with both",
    ),
    expected="four numbers",
    within=0.006,
    rules=[
        *(
            must_not_be(0, value, f"(a) is {{0}}: {why}")
            for value, why in (
                (0.5, "that is temperature 1"),
                (0.379, "those are square roots: temperature 2"),
                (0.25, "the squares are right; they still have to be scaled to sum 1"),
            )
        ),
        must_be(
            0, 0.25 / 0.345, "(a) is {0}, which is not it; hint 2 has the next step"
        ),
        must_not_be(1, 2, "(b) is {1}: the token that crosses 0.8 is kept, too"),
        must_be(1, 3, "(b) is {1}, which is not it; hint 2 has the next step"),
        must_not_be(
            2,
            1,
            "(c) is {2}: min-p is a share of the LARGEST probability: the line is at "
            "0.2",
        ),
        must_not_be(2, 0.5, "(c) is {2}: after the cut, what is left is scaled to 1"),
        must_be(2, 2 / 3, "(c) is {2}, which is not it; hint 2 has the next step"),
        must_not_be(
            3,
            3,
            "(d) is {3}: the temperature comes first, and top-p sees what it has made",
        ),
        must_not_be(
            3,
            1,
            "(d) is {3}: the first token has 0.72, not yet 0.8: the one that crosses "
            "stays",
        ),
        must_be(3, 2, "(d) is {3}, which is not it; hint 2 has the next step"),
    ],
    right="Right: 0.72, 3, 0.67 and 2.",
)


@exercise(
    "5.10",
    "Never the same three words",
    hints=(
        "Which n - 1 tokens would the new token continue?",
        "Go through the row: wherever the last n - 1 tokens have stood before, the "
        "token after them is forbidden. Each row has its own.",
        "For each row: end = row[len(row) - n + 1 :]; for i in "
        "range(len(row) - n + 1): if row[i : i + n - 1] == end, forbid "
        "row[i + n - 1]. Work on a clone.",
    ),
)
def without_repeats(answer: Callable[[Tensor, Tensor, int], Tensor]) -> str:
    """Compare with a plain search, for several n, rows and lengths."""
    generator = torch.Generator().manual_seed(varied(2))
    cases = [
        (torch.tensor([[5, 6, 7, 5, 6]]), 3),
        (torch.tensor([[5, 6, 7, 5, 6], [6, 5, 6, 5, 6]]), 3),
        (torch.tensor([[5, 6, 7, 5, 6, 8, 5, 6]]), 3),
        (torch.tensor([[1, 1]]), 3),
        (torch.randint(3, (4, 40), generator=generator), 4),
        (torch.randint(6, (2, 9), generator=generator), 2),
        (torch.tensor([[4, 2, 4]]), 1),
    ]
    for ids, n in cases:
        logits = torch.randn(len(ids), 9, generator=generator)
        original = logits.clone()
        given = answer(logits, ids, n)
        call = f"without_repeats(logits, {ids.tolist()}, {n})"
        require(
            isinstance(given, Tensor) and given.shape == logits.shape,
            f"{call} should give a tensor of the shape {tuple(logits.shape)}",
        )
        require(
            torch.equal(logits, original), "the logits given were changed; clone them"
        )
        _judge_forbidden(given, logits, ids, n)
    return "Right: nothing is said twice, in any row, for n from 1 to 4."


def _completing(row: list[int], n: int) -> set[int]:
    """The tokens that would complete n tokens that the row has had."""
    end = row[len(row) - n + 1 :]
    places = [i for i in range(len(row) - n + 1) if row[i : i + n - 1] == end]
    return {row[i + n - 1] for i in places}


def _judge_forbidden(given: Tensor, logits: Tensor, ids: Tensor, n: int) -> None:
    rows = ids.tolist()
    for at, (new, old, row) in enumerate(zip(given, logits, rows, strict=True)):
        found = set((new == -math.inf).nonzero().flatten().tolist())
        wanted = _completing(row, n)
        where = f"row {at} ends in {row[-9:]}, and n is {n}"
        extra, missing = sorted(found - wanted), sorted(wanted - found)
        if extra and n > 1 and found == _completing(row, n - 1):
            raise Wrong(f"{where}: {extra[0]} is forbidden by the rule for {n - 1}")
        if extra and at and found == _completing(rows[0], n):
            raise Wrong(f"{where}: {extra[0]} is forbidden by what ANOTHER row has had")
        require(
            not extra,
            f"{where}: {extra[:1]} is forbidden, but the tokens before the place where "
            "it stood are others than those at the end",
        )
        require(
            not missing, f"{where}: token {missing[:1]} would repeat, and is allowed"
        )
        kept = [i for i in range(len(old)) if i not in wanted]
        require(torch.equal(new[kept], old[kept]), f"{where}: another logit changed")


class _Odd(nn.Module):
    """Ties and views under names that no GPT has."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(4, 6, bias=False)
        self.third = nn.Linear(6, 4)
        if tied:
            self.second.weight = self.first.weight
        self.third.weight = nn.Parameter(torch.randn(6, 4).T)


@exercise(
    "5.12",
    "Pack and unpack",
    hints=(
        "Which method lists every parameter once, also one with two names?",
        "`named_parameters` does. `contiguous()` makes a view lie row by row. To fill "
        "a module in place, copy into its parameters and replace none.",
        "pack: {name: p.detach().contiguous() for name, p in "
        "model.named_parameters()}. unpack: with torch.no_grad(), p.copy_(tensors"
        "[name]) for the same names.",
    ),
)
def pack_and_unpack(answer: Any) -> str:
    """Send tied and untied modules with views through a real file."""
    require(
        isinstance(answer, list | tuple) and len(answer) == 2, "expected [pack, unpack]"
    )
    pack, unpack = answer
    untied = replace(DEEP, tie_embeddings=False)
    makers: list[Callable[[int], nn.Module]] = [
        lambda seed: _model(DEEP, seed).eval(),
        lambda seed: _model(untied, seed).eval(),
        lambda seed: _seeded(True, seed),
        lambda seed: _seeded(False, seed),
    ]
    for make in makers:
        _round_trip(pack, unpack, make(1), make(2))
    return "Right: tied, untied and transposed, all came back from a file."


def _seeded(tied: bool, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(varied(seed))
        return _Odd(tied)


def _round_trip(pack: Any, unpack: Any, source: nn.Module, target: nn.Module) -> None:
    wanted = {name: p.detach().clone() for name, p in source.named_parameters()}
    tensors = pack(source)
    require(isinstance(tensors, dict), "pack should return a dictionary")
    require(
        not set(wanted) - set(tensors),
        f"{sorted(set(wanted) - set(tensors))[:1]} is not in what pack returns",
    )
    extra = sorted(set(tensors) - set(wanted))
    require(not extra, f"{extra[:1]} is a second name of a tied weight; once is enough")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.safetensors"
        try:
            save_file(tensors, path)
        except (RuntimeError, ValueError) as error:
            what = " ".join(str(error).split())[:90]
            raise Wrong(f"save_file refuses it: {what} ...") from error
        loaded = load_file(path)
    before = dict(target.named_parameters())
    unpack(target, loaded)
    after = dict(target.named_parameters())
    require(
        list(after) == list(before),
        "after unpack, the module has other parameters than before: a tie was broken "
        "or made",
    )
    require(
        all(after[name] is before[name] for name in before),
        "unpack replaced parameters; an optimizer would still hold the old ones, so "
        "copy into them",
    )
    for name, value in wanted.items():
        require(torch.equal(after[name], value), f"{name} differs after the round trip")


@exercise(
    "5.13",
    "Read a tensor without a library",
    hints=(
        "Where do the numbers begin, and from where are the offsets counted?",
        "The header is 8 + length bytes long; data_offsets count from its end. "
        "torch.frombuffer turns bytes into numbers of a type.",
        "length = int.from_bytes(file.read(8), 'little'); entry = json.loads(file.read("
        "length))[name]; first, last = entry['data_offsets']; file.seek(8 + length + "
        "first); torch.frombuffer(bytearray(file.read(last - first)), dtype=...)."
        "reshape(entry['shape']).",
    ),
)
def read_tensor(answer: Callable[[Path, str], Tensor]) -> str:
    """Try every type and several shapes, with text in the header."""
    generator = torch.Generator().manual_seed(varied(1))
    tensors = {
        "a": torch.randn(3, 4, generator=generator),
        "long name.with.dots": torch.randn(2, 3, 5, generator=generator).half(),
        "b": torch.randn(7, generator=generator).bfloat16(),
        "counts": torch.arange(6).view(2, 3),
        "one": torch.tensor(2.5),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.safetensors"
        for metadata in (None, {"format": "pt", "note": "é" * 40}):
            save_file(tensors, path, metadata)
            for name, tensor in tensors.items():
                _judge_read(answer(path, name), tensor, name, metadata is not None)
    return "Right: four types, five shapes, and no library."


def _judge_read(given: Any, tensor: Tensor, name: str, noted: bool) -> None:
    require(isinstance(given, Tensor), f"{name!r}: expected a tensor")
    require(
        given.dtype == tensor.dtype,
        f"{name!r} is {tensor.dtype}, you give {given.dtype}",
    )
    require(
        given.shape == tensor.shape,
        f"{name!r} has the shape {tuple(tensor.shape)}, you give {tuple(given.shape)}",
    )
    if not torch.equal(given, tensor):
        why = "; the header's length counts bytes, and é has two" if noted else ""
        raise Wrong(
            f"the numbers of {name!r} are others: do you begin after the "
            f"header, and do you count the first 8 bytes{why}?"
        )


@exercise(
    "5.14",
    "Which block is the wrong way round?",
    hints=(
        "For each block there are two candidates: the file's matrix and its transpose.",
        "Our model should hold the transpose of what is in the file. Compare with a "
        "tolerance; which block equals the file's matrix as it stands?",
        "For block i: ours = model.blocks[i].attention.out.weight, theirs = "
        "file[f'h.{i}.attn.c_proj.weight'].float(); wrong if ours is nearer to theirs "
        "than to theirs.T. Compare (ours - theirs).abs().max() with the other.",
    ),
)
def wrong_blocks(answer: Callable[[GPTModel, dict[str, Tensor]], list[int]]) -> str:
    """Turn some of the matrices, rounded to half precision, and ask which."""
    for wrong in ([2], [0, 3], [], [0, 1, 2, 3]):
        model = _model(DEEP, 5 + len(wrong)).eval()
        file = to_gpt2(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.half().float())
            for i in wrong:
                weight = model.get_parameter(f"blocks.{i}.attention.out.weight")
                weight.copy_(weight.T.clone())
        before = [p.clone() for p in model.parameters()]
        given = sorted(int(i) for i in answer(model, file))
        require(
            all(map(torch.equal, before, model.parameters())), "the model was changed"
        )
        require(not (given == [] and wrong), f"none found, but {wrong} were turned")
        right = [i for i in range(DEEP.n_layers) if i not in wrong]
        require(
            given != right or given == wrong,
            f"you give {given}, and the turned ones are {wrong}: the file holds "
            "(in, out), so a right matrix of ours is its transpose",
        )
        require(
            given == wrong,
            f"you give {given}, and the turned ones are {wrong}; the numbers were "
            "rounded, so no two are equal to the last digit",
        )
    return "Right: found in each of four models."


@functools.cache
def _mini() -> tuple[GPTModel, tiktoken.Encoding]:
    return load_pretrained("mini")


def _judged(options: dict[str, Any]) -> tuple[float, float, list[list[int]]]:
    """The share of repeated 4-grams of all texts together, the loss, and the texts."""
    model, encoding = _mini()
    prompt = encoding.encode("Once upon a time")
    ids = torch.tensor([prompt]).expand(8, -1)
    ids = generate(model, ids, 80, seed=5, **options)
    with torch.no_grad():
        logits = model(ids[:, :-1])[:, len(prompt) - 1 :]
    new = ids[:, len(prompt) :]
    loss = F.cross_entropy(logits.flatten(0, 1), new.flatten()).item()
    grams = [tuple(row[i : i + 4]) for row in new.tolist() for i in range(len(row) - 3)]
    return 1 - len(set(grams)) / len(grams), loss, new.tolist()


@exercise(
    "5.11",
    "Neither loops nor nonsense",
    hints=(
        "One dial against nonsense, one against loops. Which of them works on what?",
        "Cut the tail, then see whether the texts still vary. A mild penalty costs "
        "little loss.",
        "Begin with temperature 0.8 and top_p 0.9. The loss is too high, so lower one "
        "of them a little, and be guided by the two numbers in the verdict.",
    ),
)
def neither_loops_nor_nonsense(answer: Any) -> str:
    """Draw eight continuations and measure repetition and loss."""
    known = {"temperature", "top_k", "top_p", "min_p", "repetition_penalty"}
    require(isinstance(answer, dict), "expected a dictionary of options")
    unknown = sorted(set(answer) - known)
    require(not unknown, f"{unknown[:1]} is none of {', '.join(sorted(known))}")
    Sampling(**answer)  # which refuses what cannot be meant
    repeated, loss, texts = _judged(answer)
    found = f"{repeated:.1%} of the 4-grams are repeated, and the loss is {loss:.2f}"
    require(
        len({tuple(text) for text in texts}) > 1,
        f"{found}: all eight are the same text, so something has to be drawn",
    )
    # as they are printed, so that the verdict agrees with its own numbers
    require(round(repeated, 3) <= 0.03, f"{found}; the texts repeat too much")
    require(
        round(loss, 2) <= 2.3, f"{found}; the tokens are too unlikely for the model"
    )
    return f"Right: {found}."
