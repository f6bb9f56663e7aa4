"""The loss: nats per token, means that weigh every token the same, bits per byte.

Built in chapters/05-pretraining-on-unlabeled-data.ipynb. Left out: losses other than
cross-entropy of the next token.
"""

import math
from collections.abc import Sequence

import tiktoken
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from llmbook_utils.model import evaluating
from llmbook_utils.tokenizer import end_id

Batch = tuple[Tensor, Tensor]  # inputs and targets, ids (B, T) each
Loader = DataLoader[Batch] | Sequence[Batch]

IGNORED = -100  # a target that does not count: padding, or a prompt


def loss_of(
    model: nn.Module, inputs: Tensor, targets: Tensor, dtype: torch.dtype | None = None
) -> tuple[Tensor, int]:
    """Cross-entropy in nats, summed over the targets that count, and their number.

    `inputs` and `targets` are ids (B, T). Batches differ in their number of targets,
    so add up sums and numbers and divide at the end: a mean of means would be wrong.
    With `dtype`, the model's matrix products are computed in it.
    """
    device = next(model.parameters()).device
    # products in `dtype`, sums and softmax in float32: autocast knows which is which
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        logits = model(inputs.to(device))  # (B, T, V)
    loss = cross_entropy(logits.flatten(0, 1), targets.to(device).flatten())
    return loss, count_targets([(inputs, targets)])


def cross_entropy(logits: Tensor, targets: Tensor, at_once: int = 2**22) -> Tensor:
    """Cross-entropy in nats, summed over the targets that count.

    `logits` (N, V) and `targets` (N,) are taken in pieces of about `at_once` numbers.
    Each becomes float32, since bfloat16 is too coarse for a sum over V; in pieces, an
    evaluation never holds a float32 copy of all the logits.
    """
    rows = max(1, at_once // logits.shape[1])  # of V numbers each
    pieces = zip(logits.split(rows), targets.split(rows), strict=True)
    losses = [
        F.cross_entropy(piece.float(), wanted, ignore_index=IGNORED, reduction="sum")
        for piece, wanted in pieces
    ]
    return torch.stack(losses).sum()


def count_targets(batches: Sequence[Batch]) -> int:
    """How many targets count.

    >>> count_targets([(torch.tensor([[5, 6, 7]]), torch.tensor([[6, 7, IGNORED]]))])
    2
    """
    return sum(int((targets != IGNORED).sum()) for _, targets in batches)


def check_targets(count: int, where: str) -> None:
    """Raise ValueError where there is nothing to take a mean of."""
    if count == 0:
        raise ValueError(
            f"every target in {where} is {IGNORED}, so there is no loss to take a mean "
            "of; leave out texts that were cut before their answer"
        )


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: Loader, *, dtype: torch.dtype | None = None
) -> float:
    """Mean loss per token over all batches, in nats, without dropout.

    The model's mode and the random numbers that training will draw stay as they were.
    No target at all raises ValueError.
    """
    # a loader draws numbers, even one that keeps its order
    with evaluating(model), torch.random.fork_rng([]):
        parts = [loss_of(model, x, y, dtype) for x, y in loader]
    count = sum(n for _, n in parts)  # batches differ, so one division at the end
    check_targets(count, "the loader")
    return sum(loss.item() for loss, _ in parts) / count


def overlapping_windows(ids: Tensor, length: int, stride: int) -> Batch:
    """Cut ids (N,) into windows that begin every `stride` tokens: (windows, length).

    Each target counts in one window only, the first that has it. What the last window
    lacks is padding, after which nothing counts.

    >>> overlapping_windows(torch.tensor([5, 6, 7, 8, 9]), length=3, stride=2)[1]
    tensor([[   6,    7,    8],
            [-100,    9, -100]])
    """
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    counted = 0
    while counted < len(ids) - 1:
        start = len(inputs) * stride
        window = ids[start : start + length + 1]
        missing = length + 1 - len(window)
        wanted = window[1:].clone()
        wanted[: counted - start] = IGNORED  # the window before has counted these
        counted = start + len(wanted)
        inputs.append(F.pad(window[:-1], (0, missing)))
        targets.append(F.pad(wanted, (0, missing), value=IGNORED))
    return torch.stack(inputs), torch.stack(targets)


def bits_per_byte(
    model: nn.Module,
    tokenizer: tiktoken.Encoding,
    text: str,
    *,
    context_length: int,
    stride: int | None = None,
    batch_size: int = 8,
    dtype: torch.dtype | None = None,
) -> float:
    """The bits that the model needs per byte of the text: fewer are better.

    Models of different vocabularies can be compared by it. The text is read in windows
    of `context_length` tokens, the first token of all being `<|endoftext|>`, and each
    of its own tokens is predicted once. Windows begin every `stride` tokens, as many as
    a window has unless given: fewer leave more to predict from, and cost more. An
    empty text and a tokenizer without `<|endoftext|>` raise ValueError.
    """
    stride = context_length if stride is None else stride
    if not 1 <= stride <= context_length:
        raise ValueError(f"stride is {stride}; expected 1 to {context_length}")
    if (start := end_id(tokenizer)) is None:
        raise ValueError(
            "the tokenizer has no <|endoftext|>, so there is nothing to predict the "
            "first token from; give one that has it"
        )
    ids = torch.tensor([start, *tokenizer.encode_ordinary(text)])
    if len(ids) < 2:
        raise ValueError("the text is empty: there is no byte to divide by")
    inputs, targets = overlapping_windows(ids, context_length, stride)  # (windows, T)
    batches = zip(inputs.split(batch_size), targets.split(batch_size), strict=True)
    loss = evaluate(model, list(batches), dtype=dtype)
    return loss * (len(ids) - 1) / math.log(2) / len(text.encode())
