"""From logits to text: choose the next token, append it, and ask again.

Built in chapters/04-implementing-a-gpt-model-from-scratch-to-generate-text.ipynb and
chapters/05-pretraining-on-unlabeled-data.ipynb.
"""

import codecs
import math
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

import tiktoken
import torch
from torch import Tensor

from llmbook_utils.cache import KVCache
from llmbook_utils.model import GPTModel, evaluating
from llmbook_utils.tokenizer import END_OF_TEXT


def uniform_numbers(seed: int) -> Iterator[float]:
    """Numbers in [0, 1) from a seed: a generator of 32 bits that is written in a line.

    Source: "mulberry32", public domain; the page's JavaScript draws the same numbers.

    >>> numbers = uniform_numbers(1)
    >>> [round(next(numbers), 6) for _ in range(3)]
    [0.627074, 0.002736, 0.527447]
    """
    state = seed & 0xFFFFFFFF
    while True:
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        t = (state ^ (state >> 15)) * (state | 1) & 0xFFFFFFFF
        t ^= (t + ((t ^ (t >> 7)) * (t | 61) & 0xFFFFFFFF)) & 0xFFFFFFFF
        yield (t ^ (t >> 14)) / 2**32


def next_token_probabilities(
    logits: Tensor,
    ids: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
) -> Tensor:
    """Turn logits (B, V) into probabilities (B, V), given the `ids` (B, T) before.

    In this order: repetition penalty, temperature (0: all on the largest), top-k,
    top-p, min-p; after each, what is left adds up to 1 again. Options that make no
    sense raise ValueError.
    """
    check_options(temperature, top_k, top_p, min_p, repetition_penalty)
    if repetition_penalty != 1.0:
        logits = penalize(logits, ids, repetition_penalty)
    if temperature == 0:
        largest = logits.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(logits).scatter(-1, largest, 1.0)
    probabilities = torch.softmax(logits / temperature, dim=-1)
    if top_k is not None and top_k < logits.shape[-1]:
        least = probabilities.topk(top_k, dim=-1).values[..., -1:]
        probabilities = keep(probabilities, probabilities >= least)
    if top_p is not None:
        ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(dim=-1) - ordered  # the one that crosses top_p is kept
        probabilities = keep(
            probabilities, torch.empty_like(before).scatter(-1, order, before) < top_p
        )
    if min_p is not None:
        largest = probabilities.max(dim=-1, keepdim=True).values
        probabilities = keep(probabilities, probabilities >= min_p * largest)
    return probabilities


def check_options(
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    repetition_penalty: float,
) -> None:
    """Raise a ValueError that names the first option that cannot be meant."""
    for name, value, meant, wanted in (
        ("temperature", temperature, 0 <= temperature < math.inf, "0 or more"),
        ("top_k", top_k, top_k is None or top_k >= 1, "1 or more"),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1, "above 0, and 1 at most"),
        ("min_p", min_p, min_p is None or 0 <= min_p <= 1, "from 0 to 1"),
        ("repetition_penalty", repetition_penalty, repetition_penalty > 0, "above 0"),
    ):
        if not meant:
            raise ValueError(f"{name} is {value}; it must be {wanted}")


def keep(probabilities: Tensor, kept: Tensor) -> Tensor:
    """Set all but the `kept` probabilities to 0 and make the rest add up to 1."""
    probabilities = probabilities * kept
    return probabilities / probabilities.sum(dim=-1, keepdim=True)


def penalize(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Make tokens that are in `ids` (B, T) less likely.

    A positive logit is divided by the penalty, a negative one multiplied: dividing it
    would raise it. Source: Keskar et al. (2019).
    """
    seen = logits.gather(-1, ids)
    seen = torch.where(seen > 0, seen / penalty, seen * penalty)
    return logits.scatter(-1, ids, seen)


def draw(probabilities: Tensor, numbers: list[float]) -> Tensor:
    """Draw a token for each row (B, V) with one number in [0, 1) each: ids (B,).

    The number picks the first token at which the running sum exceeds it.
    """
    sums = probabilities.double().cumsum(dim=-1)
    targets = torch.tensor(numbers, dtype=torch.float64, device=sums.device)
    return (sums <= targets[:, None] * sums[:, -1:]).sum(dim=-1)


class Reader:
    """Feeds a model the tokens that it has not read, and returns the last logits."""

    def __init__(self, model: GPTModel, use_cache: bool):
        self.model, self.use_cache = model, use_cache
        self.cache: KVCache | None = None

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, V) after ids (B, T), of which the last context_length count."""
        limit = self.model.config.context_length
        ids, mask = ids[:, -limit:], mask[:, -limit:]
        if self.use_cache:
            if self.cache is not None and self.cache.length < limit:
                ids, mask = ids[:, -1:], mask[:, -1:]
            else:  # at the start, and past the limit: all positions have moved
                weight = self.model.token_embedding.weight
                self.cache = KVCache(
                    self.model.config,
                    len(ids),
                    device=weight.device,
                    dtype=weight.dtype,
                )
        return self.model(ids, mask=mask, cache=self.cache)[:, -1]


def check_prompt(model: GPTModel, ids: Tensor, n_new: int, keep_last: bool) -> None:
    """Raise ValueError for a prompt that is empty or longer than the model can read."""
    limit = model.config.context_length
    if ids.dim() != 2 or 0 in ids.shape:
        raise ValueError(f"ids have shape {tuple(ids.shape)}; expected (B, T), T >= 1")
    if ids.shape[1] > limit and not keep_last:
        raise ValueError(
            f"the prompt has {ids.shape[1]} tokens, but this model reads {limit} at "
            "most; shorten it or pass keep_last=True"
        )
    if n_new < 0:
        raise ValueError(f"max_new_tokens is {n_new}; it must be 0 or more")


@torch.inference_mode()
def stream(
    model: GPTModel,
    ids: Tensor,
    max_new_tokens: int,
    *,
    mask: Tensor | None = None,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    eos_id: int | None = None,
    seed: int | None = None,
    use_cache: bool = True,
    keep_last: bool = False,
) -> Iterator[Tensor]:
    """Yield the next token of each sequence, ids (B,), `max_new_tokens` times at most.

    `mask` (B, T) is True at real tokens (left padding for batches). `temperature` 0
    takes the most probable token; for the next four see `next_token_probabilities`.
    With `eos_id`, a sequence that produced it goes on with nothing else. The same
    `seed` draws the same tokens, with and without cache. A prompt longer than the
    context raises ValueError, or counts with its last tokens only if `keep_last`.
    Dropout is off, whatever mode the model is in.
    """
    check_prompt(model, ids, max_new_tokens, keep_last)
    seed = int(torch.randint(2**32, ())) if seed is None else seed
    numbers = uniform_numbers(seed)
    mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
    finished = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    with evaluating(model):
        read = Reader(model, use_cache)
        for _ in range(max_new_tokens):
            probabilities = next_token_probabilities(
                read(ids, mask),
                ids.where(mask, ids[:, -1:]),  # padding was not said, so not repeated
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                min_p=min_p,
                repetition_penalty=repetition_penalty,
            )
            new = draw(probabilities, [next(numbers) for _ in ids])
            if eos_id is not None:
                new = new.masked_fill(finished, eos_id)
                finished |= new == eos_id
            yield new
            if finished.all():
                return
            ids = torch.cat([ids, new[:, None]], dim=1)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)


def generate(
    model: GPTModel, ids: Tensor, max_new_tokens: int, **options: Any
) -> Tensor:
    """Continue prompts of ids (B, T) by n tokens: ids (B, T + n).

    The options are those of `stream`. It ends early, with fewer tokens, when every
    sequence has ended.
    """
    new = stream(model, ids, max_new_tokens, **options)
    return torch.cat([ids, *(token[:, None] for token in new)], dim=1)


def whole_characters(ids: Iterable[int], tokenizer: tiktoken.Encoding) -> Iterator[str]:
    """Decode ids one by one; bytes of a character wait until it is complete.

    >>> from llmbook_utils.tokenizer import get_encoding
    >>> list(whole_characters([12520, 238, 253, 40], get_encoding("gpt2")))
    [' ', '🐟', 'I']
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for id in ids:
        if piece := decoder.decode(tokenizer.decode_single_token_bytes(id)):
            yield piece
    if rest := decoder.decode(b"", final=True):
        yield rest


def stream_text(
    model: GPTModel,
    tokenizer: tiktoken.Encoding,
    prompt: str,
    max_new_tokens: int,
    **options: Any,
) -> Iterator[str]:
    """Yield the continuation of a prompt, piece by piece of whole characters.

    It ends at `<|endoftext|>`, with which an empty prompt begins. The options are those
    of `stream`.
    """
    end = tokenizer.encode_single_token(END_OF_TEXT)
    ids = tokenizer.encode_ordinary(prompt) or [end]
    prompt_ids = torch.tensor([ids], device=model.token_embedding.weight.device)
    new = stream(model, prompt_ids, max_new_tokens, eos_id=end, **options)
    until_end = takewhile(lambda id: id != end, (int(token) for token in new))
    yield from whole_characters(until_end, tokenizer)
