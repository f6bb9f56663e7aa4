"""What `llmbook instruct` does: files, a terminal and a judge around `instruct`.

Not built on a page: chapter 7 builds what is called here.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import tiktoken
import torch

from llmbook_utils.env import pick_device
from llmbook_utils.evaluate import (
    METRICS,
    Score,
    ask_judge,
    controls,
    judge_prompt,
    score,
    summarize,
)
from llmbook_utils.files.adapter import CONFIG, find_adapter
from llmbook_utils.files.chat import ChatServer
from llmbook_utils.files.gpt2 import CONFIG as MODEL_CONFIG
from llmbook_utils.files.instructions import (
    Entry,
    load_instructions,
    read_entries,
    read_style,
    text_of,
    write_answers,
    write_style,
)
from llmbook_utils.generate import Sampling, stream, whole_characters
from llmbook_utils.instruct import (
    STYLES,
    PromptStyle,
    answer,
    create_instruction_loader,
    encode_prompt,
    end_of,
    find_style,
    fine_tune,
    prepare,
)
from llmbook_utils.lora import add_lora, load_adapter, save_adapter
from llmbook_utils.loss import evaluate as mean_loss
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained, save_pretrained

STDIN = "-"
ABOUT = "input:"  # with it a line of the conversation begins that is no request
WELCOME = (
    f"A request per line; a line that begins with {ABOUT!r} says what the next request "
    "is about. Ctrl-D ends.\n"
)


def entries_of(file: str | None, part: str) -> list[Entry]:
    """A part of the book's own set, or of a file; all of a file that is not divided."""
    if file is None:
        return load_instructions(part)
    entries = read_entries(file)
    parts = sorted({entry.split for entry in entries} - {""})
    if parts and part not in parts:
        raise ValueError(
            f"{file} has no entry of the part {part!r}; it has {', '.join(parts)}"
        )
    return [entry for entry in entries if not parts or entry.split == part]


def held_out(file: str | None) -> list[Entry]:
    """The validation part, if there is one."""
    entries = load_instructions("validation") if file is None else read_entries(file)
    return [entry for entry in entries if entry.split == "validation"]


def check_settings(
    out: str, rank: int | None, epochs: int, batch_size: int, lr: float
) -> None:
    """Raise ValueError for what makes no run, before anything takes time."""
    if min(epochs, batch_size) < 1 or not (lr > 0 and math.isfinite(lr)):
        raise ValueError(
            f"epochs are {epochs}, the batch size is {batch_size} and lr is {lr}; all "
            "must be above 0"
        )
    # with both in one folder nobody could tell which of them is meant
    other, what = (CONFIG, "an adapter") if rank is None else (MODEL_CONFIG, "a model")
    if (Path(out) / other).exists():
        raise ValueError(f"{out} holds {what} already; give another folder")


def train(
    data: str | None,
    out: str,
    *,
    pretrained: str,
    device: str,
    style: str,
    rank: int | None,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int,
) -> Iterator[str]:
    """Fine-tune all weights, or an adapter of a rank; save, and yield how it went."""
    check_settings(out, rank, epochs, batch_size, lr)
    training, validation = entries_of(data, "train"), held_out(data)
    model, tokenizer = load_pretrained(pretrained, device=pick_device(device))
    limit, end = model.config.context_length, end_of(tokenizer)
    examples, dropped = prepare(training, tokenizer, STYLES[style], limit)
    torch.manual_seed(seed)  # for the adapter's first numbers
    if rank is not None:
        add_lora(model, rank, alpha=2 * rank)
    loader = create_instruction_loader(
        examples, end, batch_size=batch_size, context_length=limit, seed=seed
    )
    yield f"{len(examples):,} entries, {epochs * len(loader):,} steps" + (
        f"; {dropped:,} more have their answer after token {limit} and are left out"
        if dropped
        else ""
    )
    losses = fine_tune(model, loader, epochs=epochs, lr=lr, seed=seed).curve("loss")[1]
    last = losses[-len(loader) :]
    yield f"loss of the last epoch {sum(last) / len(last):.3f}"
    if validation:
        kept, _ = prepare(validation, tokenizer, STYLES[style], limit)
        loader = create_instruction_loader(kept, end, context_length=limit)
        yield f"loss of the validation part {mean_loss(model, loader):.3f}"
    if rank is None:
        save_pretrained(model, tokenizer, out)
    else:
        save_adapter(model, out)
    write_style(out, style)
    yield f"the {'model' if rank is None else 'adapter'} is in {out}"


@dataclass(frozen=True)
class Tuned:
    """A model that follows instructions, and the style in which it is asked."""

    model: GPTModel
    tokenizer: tiktoken.Encoding
    style: PromptStyle


def open_tuned(name: str, pretrained: str, style: str | None, device: str) -> Tuned:
    """A tuned model by its folder, or an adapter, which is put into `pretrained`.

    Where no style is given, it is the one that the folder remembers.
    """
    place = torch.device(pick_device(device))
    try:
        folder = find_adapter(name)
    except FileNotFoundError:
        folder = Path(name)  # a model, or nothing: `load_pretrained` says so
    if (folder / CONFIG).is_file():
        model, tokenizer = load_pretrained(pretrained, device=place)
        model = load_adapter(model, folder).to(place)
    else:
        model, tokenizer = load_pretrained(name, device=place)
    try:
        return Tuned(model, tokenizer, find_style(style or read_style(folder)))
    except ValueError as error:
        raise ValueError(f"how was {folder} tuned? {error}") from None


@dataclass(frozen=True)
class Options:
    """How answers are written."""

    tokens: int = 80  # at most
    temperature: float = 0.0
    seed: int | None = None


def stream_answer(
    tuned: Tuned, instruction: str, input: str, options: Options
) -> Iterator[str]:
    """Yield the answer that `answer` gives, piece by piece."""
    model, end = tuned.model, end_of(tuned.tokenizer)
    ids = encode_prompt(tuned.tokenizer, instruction, input, tuned.style)
    room = model.config.context_length - len(ids)
    if room < 1:
        raise ValueError(
            f"the request has {len(ids)} tokens with its prompt, but this model reads "
            f"{model.config.context_length}, the answer included; shorten it"
        )
    new = stream(
        model,
        torch.tensor([ids], device=model.token_embedding.weight.device),
        min(options.tokens, room),
        Sampling(options.temperature),
        eos_id=end,
        seed=options.seed,
    )
    until_end = takewhile(lambda id: id != end, (int(token) for token in new))
    return stripped(whole_characters(until_end, tuned.tokenizer))


def stripped(pieces: Iterator[str]) -> Iterator[str]:
    """Yield pieces of a text without the white space at its beginning and end.

    >>> list(stripped(iter([" ", " a", "b ", " ", "c", " "])))
    ['a', 'b', '  c']
    """
    waiting, begun = "", False
    for piece in pieces:
        waiting += piece
        text = waiting if begun else waiting.lstrip()
        if shown := text.rstrip():
            yield shown
            begun = True
        waiting = text[len(shown) :]


def reply(
    tuned: Tuned, file: str, instruction: str | None, input: str, options: Options
) -> Iterator[str]:
    """Yield what `llmbook instruct answer` writes, piece by piece.

    To one instruction that is the answer, in a terminal a conversation, and of a file
    or of standard input a line of JSON for each line.
    """
    if instruction is not None:
        yield from stream_answer(tuned, instruction, input, options)
        yield "\n"
    elif input:
        raise ValueError("there is an input but no instruction; give both")
    elif file == STDIN and sys.stdin.isatty():
        yield from talk(tuned, options)
    else:
        stream = sys.stdin.buffer if file == STDIN else open(file, "rb")  # noqa: SIM115
        with stream:
            for number, line in enumerate(stream, start=1):
                found = {"line": number} | answer_line(tuned, line, number, options)
                yield f"{json.dumps(found)}\n"


def talk(tuned: Tuned, options: Options) -> Iterator[str]:
    """Read requests from a terminal until it ends, and yield their answers."""
    about = ""
    yield WELCOME
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            yield "\n"
            return
        if line.lower().startswith(ABOUT):
            about = line[len(ABOUT) :].strip()
            continue
        if not line:
            continue
        try:
            yield from stream_answer(tuned, line, about, options)
        except ValueError as error:
            yield str(error)
        about = ""
        yield "\n"


def answer_line(
    tuned: Tuned, line: bytes, number: int, options: Options
) -> dict[str, str]:
    """The answer to a line, a request as text or as JSON, or what is wrong with it."""
    try:
        text = line.decode("utf-8").strip()
        instruction, about = text, ""
        if text.startswith("{"):
            one, where = json.loads(text), f"line {number}"
            instruction = text_of(where, one, "instruction")
            about = text_of(where, one, "input", needed=False)
        (said,) = answer(
            tuned.model,
            tuned.tokenizer,
            [(instruction, about)],
            style=tuned.style,
            max_new_tokens=options.tokens,
            temperature=options.temperature,
            seed=options.seed,
        )
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{error.object[error.start]:02x} at offset {error.start}"
        return {"error": f"not UTF-8 text: {wrong}"}
    except json.JSONDecodeError as error:
        return {"error": f"not JSON: {error.msg} at character {error.pos}"}
    except ValueError as error:
        return {"error": str(error)}
    return {"answer": said}


def cells(scores: Mapping[str, Score]) -> str:
    """The scores of some answers in percent, each with its interval."""
    found = (
        f"{100 * s.mean:.0f} ({100 * s.low:.0f}-{100 * s.high:.0f})"
        for s in scores.values()
    )
    return "".join(f"{text:>14}" for text in found)


def table(answers: Sequence[str], entries: Sequence[Entry]) -> Iterator[str]:
    """Lines with the scores of answers: of all, of each kind, and of controls."""
    yield f"{'':23}" + "".join(f"{name:>14}" for name in METRICS)
    yield f"{f'all ({len(entries):,})':23}{cells(score(answers, entries)['all'])}"
    if any(entry.kind for entry in entries):
        for kind, scores in score(answers, entries, lambda e: e.kind or "?").items():
            n = next(iter(scores.values())).n
            yield f"{f'  {kind} ({n:,})':23}{cells(scores)}"
    yield "and for comparison:"
    for name, given in controls(entries).items():
        yield f"{f'  {name}':23}{cells(score(given, entries)['all'])}"


def evaluate(
    tuned: Tuned,
    data: str | None,
    part: str,
    *,
    tokens: int,
    out: str | None,
    judge: ChatServer | None,
    replies: str | None,
) -> Iterator[str]:
    """Yield lines with the scores of a model's answers; write the answers to `out`.

    A judge grades them, too. They are written before it is asked, and what it says is
    kept in the file `replies`: nothing that was waited or paid for is lost.
    """
    entries = entries_of(data, part)
    answers = answer(
        tuned.model,
        tuned.tokenizer,
        [(entry.instruction, entry.input) for entry in entries],
        style=tuned.style,
        max_new_tokens=tokens,
    )
    if out is not None:
        write_answers(out, entries, answers)
    yield "In percent, with 95 % intervals:"
    yield from table(answers, entries)
    if judge is not None:
        assert replies is not None  # checked where the options are
        pairs = zip(entries, answers, strict=True)
        prompts = [judge_prompt(entry, said) for entry, said in pairs]
        verdicts = ask_judge(judge, prompts, replies, name=judge.model)
        yield f"{judge.model}: {verdicts}"
        if grades := [float(value) for value in verdicts.readable]:
            s = summarize(grades)
            yield f"  mean grade {s.mean:.1f} of 100 ({s.low:.1f} to {s.high:.1f})"
    if out is not None:
        yield f"the answers are in {out}"


def judge_at(
    url: str | None,
    model: str | None,
    protocol: str,
    key: str | None,
    prices: tuple[float, float],
    replies: str | None,
    environment: Mapping[str, str],
) -> ChatServer | None:
    """The judge that options describe, or None; those that do not fit: ValueError.

    `key` names the variable of the environment that holds the key: on a command line
    everybody on the machine could read it.
    """
    if url is None:
        return None
    for name, value in (("--judge-model", model), ("--replies", replies)):
        if value is None:
            raise ValueError(f"a judge needs {name}, too")
    if key is not None and key not in environment:
        raise ValueError(
            f"the environment has no variable {key!r} with the judge's key"
        )
    assert model is not None  # checked
    secret = None if key is None else environment[key]
    return ChatServer(url, model, protocol, secret, prices=prices)
