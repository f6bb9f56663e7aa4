"""Teach a GPT to follow instructions: prompts, batches whose targets are the answers,
training, answers in batches, and learning from preferences.

Built in chapters/07-fine-tuning-to-follow-instructions.ipynb. Left out: packing several
examples into one row, and reward models.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import tiktoken
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from llmbook_utils.files.instructions import Entry
from llmbook_utils.generate import generate
from llmbook_utils.loss import IGNORED, Batch, Loader
from llmbook_utils.model import GPTModel
from llmbook_utils.tokenizer import end_id, ranks_of
from llmbook_utils.train import History, Progress, create_optimizer, train


@dataclass(frozen=True)
class PromptStyle:
    """How a request is written, up to the place where the answer begins.

    In all of them `<|endoftext|>` ends the answer, also where other models have a
    marker for that.
    """

    plain: str  # with {instruction}
    with_input: str  # with {instruction} and {input}
    markers: tuple[str, ...] = ()  # special tokens, in a tokenizer that has them


# source: Taori et al. (2023)
ALPACA = PromptStyle(
    "Below is an instruction that describes a task. Write a response that "
    "appropriately completes the request.\n\n### Instruction:\n{instruction}"
    "\n\n### Response:\n",
    "Below is an instruction that describes a task, paired with an input that "
    "provides further context. Write a response that appropriately completes the "
    "request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}"
    "\n\n### Response:\n",
)
# source: Abdin et al. (2024)
PHI = PromptStyle(
    "<|user|>\n{instruction}<|end|>\n<|assistant|>\n",
    "<|user|>\n{instruction}\n{input}<|end|>\n<|assistant|>\n",
    ("<|user|>", "<|end|>", "<|assistant|>"),
)
# source: OpenAI (2023)
CHATML = PromptStyle(
    "<|im_start|>user\n{instruction}<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\n{instruction}\n{input}<|im_end|>\n<|im_start|>assistant\n",
    ("<|im_start|>", "<|im_end|>"),
)
STYLES = {"alpaca": ALPACA, "phi": PHI, "chatml": CHATML}


def find_style(name: str) -> PromptStyle:
    """A prompt style by its name; another one raises ValueError."""
    if name not in STYLES:
        raise ValueError(f"style is {name!r}; expected one of {', '.join(STYLES)}")
    return STYLES[name]


def format_prompt(
    instruction: str, input: str = "", style: PromptStyle = ALPACA
) -> str:
    """The text that a model reads before it answers.

    A request without an instruction raises ValueError.

    >>> print(format_prompt("Make it a question.", "The dog is wet.", PHI))
    <|user|>
    Make it a question.
    The dog is wet.<|end|>
    <|assistant|>
    <BLANKLINE>
    """
    if not instruction.strip():
        raise ValueError("the instruction is empty; say what the model should do")
    template = style.with_input if input.strip() else style.plain
    return template.format(instruction=instruction.strip(), input=input.strip())


def encode_prompt(
    tokenizer: tiktoken.Encoding,
    instruction: str,
    input: str = "",
    style: PromptStyle = ALPACA,
) -> list[int]:
    """The ids of a prompt. Markers are text, except in a tokenizer that has them.

    There, a marker in the request itself would be a token of power: it could end the
    request and begin the answer. It raises ValueError.
    """
    special = set(style.markers) & tokenizer.special_tokens_set
    for marker in sorted(special):
        if marker in instruction + input:
            raise ValueError(
                f"the request holds {marker!r}, which is a special token here; remove "
                "it from the text"
            )
    prompt = format_prompt(instruction, input, style)
    return tokenizer.encode(prompt, allowed_special=special, disallowed_special=())


def grown(weight: Tensor, n: int) -> nn.Parameter:
    """A weight (V, C) with n rows more, each the mean of those that are there."""
    rows = weight.data.mean(dim=0).expand(n, -1)
    return nn.Parameter(torch.cat([weight.data, rows]))


def add_markers(
    model: GPTModel, tokenizer: tiktoken.Encoding, style: PromptStyle
) -> tiktoken.Encoding:
    """Give model and tokenizer a token for each marker of a style that they lack.

    The model is changed in place: the new rows of its table are the mean of all others.
    Returns the new tokenizer.
    """
    new = [name for name in style.markers if name not in tokenizer.special_tokens_set]
    names = sorted(tokenizer.special_tokens_set)
    special = {name: tokenizer.encode_single_token(name) for name in names}
    special |= {name: tokenizer.n_vocab + i for i, name in enumerate(new)}
    table = model.token_embedding
    table.weight = grown(table.weight, len(new))
    tied = model.config.tie_embeddings
    model.head.weight = table.weight if tied else grown(model.head.weight, len(new))
    V = table.num_embeddings = len(table.weight)
    model.head.out_features = V
    model.config = replace(model.config, vocab_size=V)
    return tiktoken.Encoding(
        f"{tokenizer.name}+markers",
        pat_str=tokenizer._pat_str,
        mergeable_ranks=ranks_of(tokenizer),
        special_tokens=special,
    )


@dataclass(frozen=True)
class Example:
    """Ids of a conversation, and for each id whether it belongs to an answer."""

    ids: list[int]
    answer: list[bool]


def encode_turns(
    tokenizer: tiktoken.Encoding,
    turns: Sequence[tuple[str, str, str]],
    style: PromptStyle = ALPACA,
) -> Example:
    """The example of one request or of several: (instruction, input, answer) each.

    Prompt and answer are tokenized by themselves, so that no token is part of both.
    Between two turns stands `<|endoftext|>`, which belongs to the answer before it.
    """
    ids: list[int] = []
    answer: list[bool] = []
    for instruction, input, output in turns:
        if ids:  # what ends the last answer, `collate` adds
            ids, answer = [*ids, end_of(tokenizer)], [*answer, True]
        prompt = encode_prompt(tokenizer, instruction, input, style)
        reply = tokenizer.encode_ordinary(output.strip())
        ids += prompt + reply
        answer += [False] * len(prompt) + [True] * len(reply)
    return Example(ids, answer)


def end_of(tokenizer: tiktoken.Encoding) -> int:
    """The id of `<|endoftext|>`; a tokenizer without it raises ValueError."""
    if (end := end_id(tokenizer)) is None:
        raise ValueError("the tokenizer has no <|endoftext|>, so no answer could end")
    return end


def prepare(
    entries: Sequence[Entry],
    tokenizer: tiktoken.Encoding,
    style: PromptStyle = ALPACA,
    context_length: int = 256,
) -> tuple[list[Example], int]:
    """Examples of entries, and how many were dropped.

    An entry whose prompt fills the context is cut before its answer: all its targets
    would be IGNORED, and a mean of none is 0 / 0. If all are dropped: ValueError.
    """
    found = [
        encode_turns(tokenizer, [(e.instruction, e.input, e.output)], style)
        for e in entries
    ]
    # the last target is one id after the last input
    kept = [one for one in found if any(one.answer[1 : context_length + 1])]
    if not kept:
        raise ValueError(
            f"of {len(entries)} entries none has an answer within {context_length} "
            "tokens; give shorter ones, or a model with a longer context"
        )
    return kept, len(found) - len(kept)


def collate(
    examples: Sequence[Example],
    end: int,
    *,
    context_length: int = 256,
    mask_prompt: bool = True,
    learn_end: bool = True,
    device: str | torch.device = "cpu",
) -> Batch:
    """A batch of examples: inputs and targets (B, T), of which the answers count.

    `end` is the id that ends an answer and fills up rows. Without `mask_prompt` the
    prompt counts, too; without `learn_end`, for comparison, no end of an answer does.

    >>> inputs, targets = collate([Example([5, 6, 7], [False, False, True])], end=0)
    >>> inputs.tolist(), targets.tolist()
    ([[5, 6, 7]], [[-100, 7, 0]])
    """
    # 1. each answer ends with one end-of-text
    rows = [[*one.ids, end] for one in examples]
    counts = [[*one.answer, True] for one in examples]
    # 2. all rows get the length of the longest of this batch, T + 1 at most
    length = min(max(map(len, rows)), context_length + 1)
    padding = [max(0, length - len(row)) for row in rows]
    rows = [[*row, *[end] * n][:length] for row, n in zip(rows, padding, strict=True)]
    # 3. targets are the inputs one id later
    ids = torch.tensor(rows)  # (B, T + 1)
    inputs, targets = ids[:, :-1], ids[:, 1:].clone()
    # 4. of all those end-of-texts only the first counts, which ends the answer
    for i, n in enumerate(padding):
        targets[i, targets.shape[1] - n :] = IGNORED
    # 5. what the user said need not be learned
    for i, row in enumerate(counts):
        answer = torch.tensor(row[1:length])
        if mask_prompt:
            targets[i, : len(answer)][~answer] = IGNORED
        if not learn_end:
            targets[i][targets[i] == end] = IGNORED
    return inputs.to(device), targets.to(device)


def create_instruction_loader(
    examples: Sequence[Example],
    end: int,
    *,
    batch_size: int = 8,
    context_length: int = 256,
    mask_prompt: bool = True,
    learn_end: bool = True,
    shuffle: bool = True,
    seed: int = 0,
    workers: int = 0,
) -> DataLoader[Batch]:
    """Serve examples in batches of `collate`; `seed` fixes their order.

    No example at all raises ValueError.
    """
    if not examples:
        raise ValueError("there are no examples; give at least one entry")
    return DataLoader(
        list(examples),  # type: ignore[arg-type]
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=workers,
        collate_fn=partial(
            collate,
            end=end,
            context_length=context_length,
            mask_prompt=mask_prompt,
            learn_end=learn_end,
        ),
        generator=torch.Generator().manual_seed(seed),
    )


def fine_tune(
    model: nn.Module,
    loader: DataLoader[Batch],
    *,
    epochs: int | None = 3,
    max_steps: int | None = None,
    lr: float = 5e-4,
    seed: int = 0,
    val_loader: Loader | None = None,
    eval_every: int = 50,
    on_step: Callable[[Progress, dict[str, float]], None] | None = None,
) -> History:
    """Train on instructions with the loop of chapter 5; the rate falls from `lr` to 0.

    The loss weighs each target that counts the same, whichever answer it is in. `seed`
    is that of dropout. All else is as in `train`.
    """
    torch.manual_seed(seed)
    steps = max_steps if epochs is None else epochs * len(loader)
    return train(
        model,
        loader,
        optimizer=create_optimizer(model, lr, weight_decay=0.01),
        epochs=epochs,
        max_steps=max_steps,
        schedule=lambda step: lr * (1 - step / (steps or 1)),
        val_loader=val_loader,
        eval_every=eval_every,
        on_step=on_step,
    )


def pad_left(rows: Sequence[Sequence[int]], fill: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of ids as one tensor (B, T), filled up on the left, and a mask (B, T).

    So each row ends with its last token, which the answer follows.

    >>> pad_left([[5, 6, 7], [8]])[0].tolist()
    [[5, 6, 7], [0, 0, 8]]
    """
    T = max(map(len, rows))
    ids = torch.tensor([[fill] * (T - len(row)) + [*row] for row in rows])
    mask = torch.arange(T) >= torch.tensor([[T - len(row)] for row in rows])
    return ids, mask


def similar_lengths(
    lengths: Sequence[int], batch_size: int, limit: int
) -> Iterator[list[int]]:
    """Yield the places of rows that are answered together: those of similar length.

    Where the longest row would be longer than `limit`, only rows of equal length come
    together: a shorter one would lose room to the padding.

    >>> list(similar_lengths([9, 2, 3, 9, 7], batch_size=3, limit=5))
    [[1, 2], [4], [0, 3]]
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        fits = lengths[i] <= limit or (batch and lengths[batch[0]] == lengths[i])
        if batch and (len(batch) == batch_size or not fits):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def answer(
    model: GPTModel,
    tokenizer: tiktoken.Encoding,
    requests: Sequence[tuple[str, str]],
    *,
    style: PromptStyle = ALPACA,
    max_new_tokens: int = 80,
    batch_size: int = 16,
    temperature: float = 0.0,
    seed: int | None = None,
    use_cache: bool = True,
) -> list[str]:
    """A model's answers to requests, (instruction, input) each; [] to none.

    Requests of similar length are answered together, filled up on the left, and get the
    answers that they would get alone. One that leaves no room in the context raises
    ValueError, which names it.
    """
    limit, end = model.config.context_length, end_of(tokenizer)
    prompts = [encode_prompt(tokenizer, *request, style) for request in requests]
    for i, prompt in enumerate(prompts):
        if len(prompt) >= limit:
            raise ValueError(
                f"request {i} has {len(prompt)} tokens with its prompt, but this model "
                f"reads {limit}, the answer included; shorten it"
            )
    answers = [""] * len(prompts)
    device = model.token_embedding.weight.device
    lengths = [*map(len, prompts)]
    for batch in similar_lengths(lengths, batch_size, limit - max_new_tokens):
        ids, mask = pad_left([prompts[i] for i in batch], end)
        T = ids.shape[1]
        said = generate(
            model,
            ids.to(device),
            min(max_new_tokens, limit - T),
            mask=mask.to(device),
            temperature=temperature,
            eos_id=end,
            seed=seed,
            use_cache=use_cache,
        )
        for i, row in zip(batch, said[:, T:].tolist(), strict=True):
            reply = row[: row.index(end)] if end in row else row
            answers[i] = tokenizer.decode(reply).strip()
    return answers


def log_probability(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The log-probability of the targets that count, per row: (B, T) -> (B,)."""
    log_p = F.log_softmax(model(inputs).float(), dim=-1)  # (B, T, V)
    counts = targets != IGNORED
    # gather needs an id everywhere; where nothing counts any will do
    found = log_p.gather(-1, targets.where(counts, 0)[..., None])[..., 0]  # (B, T)
    return (found * counts).sum(dim=-1)


def preference_loss(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float = 0.1,
) -> Tensor:
    """DPO's loss for each pair, of log-probabilities (B,) of two answers each: (B,).

    The first two are those of the model in training, the others those of the model as
    it was. A larger `beta` holds it closer to that. Source: Rafailov et al. (2023).

    >>> same = torch.tensor([-7.0])
    >>> print(f"{preference_loss(same, same, same, same).item():.4f}")  # ln 2
    0.6931
    """
    if beta <= 0:
        raise ValueError(f"beta is {beta}; it must be above 0")
    margin = (chosen - reference_chosen) - (rejected - reference_rejected)
    return -F.logsigmoid(beta * margin)


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy of a model that stays as it is: the reference of `preference_loss`."""
    return copy.deepcopy(model).requires_grad_(False).eval()
