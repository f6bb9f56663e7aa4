"""From logits to text: choose the next token, append it, and ask again.

Built in chapters/04-implementing-a-gpt-model-from-scratch-to-generate-text.ipynb and
chapters/05b-decoding-strategies.ipynb.
"""

import codecs
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

import numpy as np
import tiktoken
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llmbook_utils.cache import KVCache
from llmbook_utils.model import GPTModel, check_ids, evaluating
from llmbook_utils.tokenizer import end_id


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
        # the masks keep 32 bits, as JavaScript's Math.imul does
        t = (state ^ (state >> 15)) * (state | 1) & 0xFFFFFFFF
        t ^= (t + ((t ^ (t >> 7)) * (t | 61) & 0xFFFFFFFF)) & 0xFFFFFFFF
        yield (t ^ (t >> 14)) / 2**32


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; as it stands, the most probable one is taken.

    Options that make no sense raise ValueError.

    >>> Sampling(temperature=0.8, top_p=0.95).temperature
    0.8
    """

    temperature: float = 0.0  # what logits are divided by; 0: take the largest
    top_k: int | None = None  # keep the k most probable tokens
    top_p: float | None = None  # keep the fewest that have this probability together
    min_p: float | None = None  # keep those with this share of the largest or more
    repetition_penalty: float = 1.0  # above 1: what was there becomes less likely

    def __post_init__(self) -> None:
        for name, meant, wanted in (
            ("temperature", lambda t: 0 <= t < math.inf, "0 or more"),
            ("top_k", lambda k: k == int(k), "a whole number"),
            ("top_k", lambda k: k >= 1, "1 or more"),
            ("top_p", lambda p: 0 < p <= 1, "above 0, and 1 at most"),
            ("min_p", lambda p: 0 <= p <= 1, "from 0 to 1"),
            ("repetition_penalty", lambda r: 0 < r < math.inf, "above 0"),
        ):
            value = getattr(self, name)
            if value is None and name not in ("temperature", "repetition_penalty"):
                continue
            if not isinstance(value, int | float) or not meant(value):
                raise ValueError(f"{name} is {value!r}; it must be {wanted}")


GREEDY = Sampling()


def next_token_probabilities(logits: Tensor, ids: Tensor, sampling: Sampling) -> Tensor:
    """Turn logits (B, V) into probabilities (B, V), given the `ids` (B, T) before.

    In this order: repetition penalty, temperature (0: all on the largest), top-k,
    top-p, min-p; after each, what is left adds up to 1 again. Logits that hold NaN or
    infinity raise ValueError.
    """
    if logits.dtype.itemsize < 4:  # 16-bit numbers are too coarse for sums over V
        logits = logits.float()
    if sampling.repetition_penalty != 1.0:
        logits = penalize(logits, ids, sampling.repetition_penalty)
    largest = logits.max(dim=-1, keepdim=True)
    if not largest.values.isfinite().all():  # a maximum passes NaN and infinity on
        raise ValueError(
            "the logits hold NaN or infinity, so there is no next token: the weights "
            "are broken, or the training that made them has diverged"
        )
    if sampling.temperature < torch.finfo(logits.dtype).tiny:  # 0, or as good as 0
        return torch.zeros_like(logits).scatter(-1, largest.indices, 1.0)
    # differences first: a small temperature would make the logits themselves infinite
    scaled = (logits - largest.values) / sampling.temperature
    return keep_likely(torch.softmax(scaled, dim=-1), sampling)


def keep_likely(probabilities: Tensor, sampling: Sampling) -> Tensor:
    """Leave out tokens by top-k, top-p and min-p, in this order: (B, V)."""
    top_k, top_p, min_p = sampling.top_k, sampling.top_p, sampling.min_p
    if top_k is not None and top_k < probabilities.shape[-1]:
        least = probabilities.topk(top_k, dim=-1).values[..., -1:]
        probabilities = keep(probabilities, probabilities >= least)  # ties stay
    if top_p is not None:
        ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(dim=-1) - ordered  # the one that crosses top_p is kept
        before = torch.empty_like(before).scatter(-1, order, before)  # unsorted again
        probabilities = keep(probabilities, before < top_p)
    if min_p is not None:
        largest = probabilities.amax(dim=-1, keepdim=True)
        probabilities = keep(probabilities, probabilities >= min_p * largest)
    return probabilities


def keep(probabilities: Tensor, kept: Tensor) -> Tensor:
    """Set all but the `kept` probabilities to 0 and make the rest add up to 1."""
    probabilities = probabilities * kept
    return probabilities / probabilities.sum(dim=-1, keepdim=True)


def penalize(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Make tokens that are in `ids` (B, T) less likely.

    A positive logit is divided by the penalty, a negative one multiplied: dividing it
    would raise it. Source: Keskar et al. (2019).
    """
    seen = logits.gather(-1, ids)  # (B, V) -> (B, T)
    seen = torch.where(seen > 0, seen / penalty, seen * penalty)
    return logits.scatter(-1, ids, seen)


def draw(probabilities: Tensor, numbers: list[float]) -> Tensor:
    """Draw a token for each row (B, V) with one number in [0, 1) each: ids (B,).

    The number picks the first token at which the running sum exceeds it.
    """
    # by NumPy: sums over V need 64-bit numbers, which not every GPU has
    sums = probabilities.detach().cpu().numpy().astype(np.float64).cumsum(axis=-1)
    # a share of the last sum, which rounding may have left a little off 1
    targets = np.array(numbers)[:, None] * sums[:, -1:]
    drawn = (sums <= targets).sum(axis=-1)
    return torch.from_numpy(drawn).to(probabilities.device)


class Reader:
    """Feeds a model the tokens that it has not read, and returns the last logits."""

    def __init__(self, model: GPTModel, use_cache: bool):
        self.model, self.use_cache = model, use_cache
        self.cache: KVCache | None = None

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, V) after ids (B, T), of which the last context_length count."""
        limit = self.model.config.context_length
        ids, mask = ids[:, -limit:], mask[:, -limit:]  # (B, T), T <= limit
        if self.use_cache:
            if self.cache is not None and self.cache.length < limit:
                ids, mask = ids[:, -1:], mask[:, -1:]  # the cache has all before it
            else:  # at the start, and past the limit: all positions have moved
                weight = self.model.token_embedding.weight
                self.cache = KVCache(
                    self.model.config,
                    len(ids),
                    device=weight.device,
                    dtype=weight.dtype,
                )
        return self.model(ids, mask=mask, cache=self.cache)[:, -1]


def check_prompt(
    model: GPTModel,
    ids: Tensor,
    n_new: int,
    keep_last: bool,
    mask: Tensor | None = None,
) -> None:
    """Raise ValueError for a prompt that is empty or longer than the model can read."""
    limit = model.config.context_length
    check_ids(ids, mask, None, math.inf)
    if ids.shape[1] > limit and not keep_last:
        raise ValueError(
            f"the prompt has {ids.shape[1]} tokens, but this model reads {limit} at "
            "most; shorten it or pass keep_last=True"
        )
    if n_new < 0:
        raise ValueError(f"max_new_tokens is {n_new}; it must be 0 or more")


def one_vector(layer: nn.Linear, rows: int, columns: int, x: Tensor) -> Tensor:
    """What a layer makes of a single vector (..., in), by slices of its weight.

    There are as many slices as `rows` or `columns` says; more vectors at once take the
    layer's own way.
    """
    W = layer.weight  # (out, in)
    if x.numel() != W.shape[1]:
        return F.linear(x, W, layer.bias)
    if W.is_contiguous():  # slices of rows, each gives some of the outputs
        vectors = x.view(1, -1).t().expand(rows, -1, 1)  # (rows, in, 1)
        out = torch.bmm(W.unflatten(0, (rows, -1)), vectors)  # (rows, out / rows, 1)
    else:  # transposed, as in GPT-2's files: slices of columns, to be added up
        parts = x.view(columns, 1, -1)  # (columns, 1, in / columns)
        out = torch.bmm(parts, W.t().unflatten(0, (columns, -1))).sum(dim=0)
    out = out.view(*x.shape[:-1], -1)
    return out if layer.bias is None else out + layer.bias


@contextmanager
def split_products(model: nn.Module) -> Iterator[None]:
    """Let a model on the CPU multiply single vectors with all threads, for a while.

    PyTorch gives a product with one vector to one thread, but shares out a batch of
    products. The numbers are the same up to rounding.
    """
    threads, changed = torch.get_num_threads(), []

    def slices(n: int) -> int:  # all of one size, one for each thread or more
        return next((k for k in range(max(2, threads), n) if n % k == 0), n)

    for layer in model.modules():
        if type(layer) is nn.Linear and "forward" not in vars(layer):
            W = layer.weight
            fast = W.is_contiguous() or threads > 1
            if fast and W.device.type == "cpu" and W.dtype is torch.float32:
                rows, columns = map(slices, W.shape)
                vars(layer)["forward"] = partial(one_vector, layer, rows, columns)
                changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            del vars(layer)["forward"]


@torch.inference_mode()
def stream(
    model: GPTModel,
    ids: Tensor,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    *,
    mask: Tensor | None = None,
    eos_id: int | None = None,
    seed: int | None = None,
    use_cache: bool = True,
    keep_last: bool = False,
) -> Iterator[Tensor]:
    """Yield the next token of each sequence, ids (B,), `max_new_tokens` times at most.

    - `sampling`: how a token is chosen
    - `mask` (B, T): True at real tokens; padding comes first, on the left
    - `eos_id`: a sequence that produced it continues with nothing else
    - `seed`: the same one draws the same tokens, with and without cache; None takes
      another one each time, from PyTorch's own random numbers
    - `use_cache`: keep the keys and values of earlier tokens
    - `keep_last`: of a prompt longer than the context read the end; else ValueError

    Dropout is off, whatever mode the model is in.
    """
    check_prompt(model, ids, max_new_tokens, keep_last, mask)
    if seed is None and sampling.temperature > 0:  # greedy: leave the random state be
        seed = int(torch.randint(2**32, ()))
    numbers = uniform_numbers(seed or 0)
    mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
    finished = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    with evaluating(model), split_products(model):
        read = Reader(model, use_cache)
        for _ in range(max_new_tokens):
            said = ids.where(mask, ids[:, -1:])  # padding was not said, so not repeated
            probabilities = next_token_probabilities(read(ids, mask), said, sampling)
            new = draw(probabilities, [next(numbers) for _ in ids])
            if (
                eos_id is not None
            ):  # the tensor stays rectangular: ended rows are filled
                new = new.masked_fill(finished, eos_id)
                finished |= new == eos_id
            yield new
            if finished.all():
                return
            ids = torch.cat([ids, new[:, None]], dim=1)  # (B, T) -> (B, T + 1)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)


def generate(
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
) -> Tensor:
    """Continue prompts of ids (B, T) by n tokens: ids (B, T + n).

    The options are those of `Sampling` and of `stream`. It ends early, with fewer
    tokens, when every sequence has ended.
    """
    # refused here, and not only when the first token is asked for
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    new = stream(
        model,
        ids,
        max_new_tokens,
        sampling,
        mask=mask,
        eos_id=eos_id,
        seed=seed,
        use_cache=use_cache,
        keep_last=keep_last,
    )
    return torch.cat([ids, *(token[:, None] for token in new)], dim=1)


def whole_characters(ids: Iterable[int], tokenizer: tiktoken.Encoding) -> Iterator[str]:
    """Decode ids one by one; bytes of a character wait until it is complete.

    An id that the tokenizer does not have shows as U+FFFD.

    >>> from llmbook_utils.tokenizer import get_encoding
    >>> list(whole_characters([12520, 238, 253, 40], get_encoding("gpt2")))
    [' ', '🐟', 'I']
    """
    # it keeps the bytes of a character that is not yet complete
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for id in ids:
        try:
            token = tokenizer.decode_single_token_bytes(id)
        except KeyError:  # of a vocabulary that was rounded up to a round number
            token = "\ufffd".encode()
        if piece := decoder.decode(token):
            yield piece
    if rest := decoder.decode(b"", final=True):
        yield rest


def stream_text(
    model: GPTModel,
    tokenizer: tiktoken.Encoding,
    prompt: str,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    *,
    seed: int | None = None,
    use_cache: bool = True,
    keep_last: bool = False,
) -> Iterator[str]:
    """Yield the continuation of a prompt, piece by piece of whole characters.

    It ends at `<|endoftext|>`, with which an empty prompt begins; with a tokenizer that
    has none, an empty prompt raises ValueError. The options are those of `stream`.
    """
    end = end_id(tokenizer)
    ids = tokenizer.encode_ordinary(prompt) or [id for id in [end] if id is not None]
    prompt_ids = torch.tensor([ids], device=model.token_embedding.weight.device)
    new = stream(
        model,
        prompt_ids.long(),
        max_new_tokens,
        sampling,
        eos_id=end,
        seed=seed,
        use_cache=use_cache,
        keep_last=keep_last,
    )
    # the end is not part of the text
    until_end = takewhile(lambda id: id != end, (int(token) for token in new))
    yield from whole_characters(until_end, tokenizer)
