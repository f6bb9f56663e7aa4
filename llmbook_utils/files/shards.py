"""Texts to files of tokens: what a long pretraining run reads from.

Not built on a page of the book: it reads and checks files, and Appendix D uses what it
made. Left out: a text that is larger than the memory (cut it into several files), and
removing texts that occur twice.
"""

import csv
import json
import multiprocessing
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tiktoken
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from llmbook_utils.env import quiet_bars
from llmbook_utils.loss import Batch
from llmbook_utils.tokenizer import (
    END_OF_TEXT,
    BytePairTokenizer,
    get_encoding,
    save_encoding,
)

INDEX = "index.json"  # what the shards of a folder hold
SPLITS = ("train", "validation")
SHARD_TOKENS = 2**24  # 32 MiB as uint16
LITTLE = 2**22  # bytes that one process tokenizes in about a second
GUARD = (
    "prepare() was to start processes, and they ended: each one runs your script from "
    "its start; put the call below `if __name__ == '__main__':`, or give processes=1"
)

Part = tuple[str, int, bytes]  # a split, a length as UTF-8, ids as uint16


@dataclass(frozen=True)
class Work:
    """A text to prepare, and how.

    `split` is "train", "validation" or None: then the end of the text, as large a share
    as asked for, is validation. An epoch sees the training part `repeat` times.
    """

    path: Path
    split: str | None = None
    repeat: int = 1


def list_works(source: str | Path) -> list[Work]:
    """The texts of a folder (*.txt, at any depth), or of a manifest.

    A manifest is a table with tabs between its columns and their names in the first
    line: `file`, relative to the manifest, and where wanted `split` and `repeat`. What
    is missing raises FileNotFoundError, what cannot be right ValueError.
    """
    source = Path(source)
    if source.is_dir():
        works = [Work(path) for path in sorted(source.rglob("*.txt"))]
    elif source.is_file():
        with open(source, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        works = [read_row(source, number, row) for number, row in enumerate(rows, 2)]
    else:
        raise FileNotFoundError(f"{source} is neither a folder nor a manifest")
    if not works:
        raise ValueError(f"{source} names no text; give a folder with .txt files")
    return works


def read_row(manifest: Path, number: int, row: dict[str, str]) -> Work:
    """The work of a line of a manifest; `number` is the line's, for the error."""
    place = f"{manifest}, line {number}"
    if not row.get("file"):
        raise ValueError(f"{place}: no value for the column 'file'")
    path = manifest.parent / row["file"]
    if not path.is_file():
        raise FileNotFoundError(f"{place}: there is no file {path}")
    split, repeat = row.get("split") or None, row.get("repeat") or "1"
    if split not in (*SPLITS, None):
        raise ValueError(f"{place}: split is {split!r}; expected one of {SPLITS}")
    if not repeat.isdecimal() or int(repeat) < 1:
        raise ValueError(f"{place}: repeat is {repeat!r}; expected 1, 2, 3 …")
    return Work(path, split, int(repeat))


def read_parts(
    work: Work, validation_share: float, left_out: frozenset[str] = frozenset()
) -> list[tuple[str, str]]:
    """The training and the validation part of a text, each as (split, text).

    Paragraphs that hold one of the words `left_out`, in small letters, are dropped from
    the training part. A file that is not UTF-8 raises ValueError.
    """
    try:
        text = work.path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{work.path} is not UTF-8 (byte {error.start}); convert it first"
        ) from None
    end = round(len(text) * (1 - validation_share))
    cut = {"train": len(text), "validation": 0, None: end}[work.split]
    paragraphs = text[:cut].split("\n\n") if left_out else [text[:cut]]
    kept = [p for p in paragraphs if left_out.isdisjoint(re.findall(r"\w+", p.lower()))]
    parts = zip(SPLITS, ("\n\n".join(kept), text[cut:]), strict=True)
    return [(split, part) for split, part in parts if part]


_encoding: tiktoken.Encoding  # of a process that tokenizes


def _start_process(folder: Path) -> None:
    global _encoding
    _encoding = get_encoding(folder)


def tokenize(
    work: Work, validation_share: float, left_out: frozenset[str]
) -> list[Part]:
    """Each part of a text as its split, its UTF-8 length and its ids as uint16.

    `<|endoftext|>` stands before each part: whatever comes next begins a new text.
    """
    start = _encoding.encode_single_token(END_OF_TEXT)
    made = []
    for split, text in read_parts(work, validation_share, left_out):
        ids = np.array([start, *_encoding.encode_ordinary(text)], dtype="<u2")
        made.append((split, len(text.encode()), ids.tobytes()))
    return made


def train_tokenizer(
    works: Iterable[Work],
    vocab_size: int,
    validation_share: float,
    left_out: frozenset[str],
    sample: int,
) -> tiktoken.Encoding:
    """A vocabulary learned from about `sample` characters, spread over the works.

    From each training part comes its beginning, as large a share of all as it is.
    """
    texts = [
        text
        for work in works
        for split, text in read_parts(work, validation_share, left_out)
        if split == "train"
    ]
    share = min(1.0, sample / max(1, sum(map(len, texts))))
    text = "\n\n".join(text[: round(len(text) * share)] for text in texts)
    return BytePairTokenizer.train(text, vocab_size).to_tiktoken()


class ShardWriter:
    """Appends tokens to files of limited size, and lists the files with their sizes."""

    def __init__(self, folder: Path, shard_tokens: int = SHARD_TOKENS):
        self.folder, self.shard_tokens = folder, shard_tokens
        self.shards: list[dict[str, Any]] = []

    def add(self, split: str, repeat: int, n_bytes: int, ids: bytes) -> None:
        """Append one text's ids to the last shard of its kind; start one where full."""
        kind = {"split": split, "repeat": repeat}
        alike = [shard for shard in self.shards if kind.items() <= shard.items()]
        if not alike or alike[-1]["tokens"] >= self.shard_tokens:
            name = f"{split}-{len(self.shards):04}.bin"
            alike.append({"file": name, **kind, "tokens": 0, "texts": 0, "bytes": 0})
            self.shards.append(alike[-1])
        shard = alike[-1]
        with open(self.folder / shard["file"], "ab") as file:
            file.write(ids)
        shard["tokens"] += len(ids) // 2
        shard["texts"] += 1
        shard["bytes"] += n_bytes


def useful_processes(works: list[Work]) -> int:
    """One for little text, which is done before others have started; else all cores."""
    n_bytes = sum(work.path.stat().st_size for work in works)
    return min(len(works), os.cpu_count() or 1) if n_bytes > LITTLE else 1


@contextmanager
def mapped(
    job: Callable[[Work], list[Part]], works: list[Work], folder: Path, processes: int
) -> Iterator[Iterator[list[Part]]]:
    """What `job` makes of each work, in order, in this process or in several new ones.

    Each has the tokenizer of `folder`. Several need a script that can be imported: one
    that cannot raises RuntimeError.
    """
    if processes == 1:
        _start_process(folder)
        yield map(job, works)
        return
    if multiprocessing.parent_process() is not None:
        raise RuntimeError(GUARD)
    with ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),  # a fork copies locks
        initializer=_start_process,
        initargs=(folder,),
    ) as pool:
        try:
            yield pool.map(job, works)
        except BrokenProcessPool as error:
            raise RuntimeError(GUARD) from error


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    tokenizer: str | Path = "gpt2",
    vocab_size: int | None = None,
    sample: int = 20_000_000,
    validation_share: float = 0.05,
    left_out: Iterable[str] = (),
    processes: int | None = None,
) -> dict[str, Any]:
    """Turn texts into shards of uint16 ids in the folder `out`, and return its index.

    With `vocab_size` a tokenizer is learned from the texts; otherwise `tokenizer` is a
    name or a folder for `get_encoding`. `processes` is how many work; None: one for
    little text, else one per core. A script that has several work calls this below
    `if __name__ == "__main__":`, or RuntimeError is raised. The folder appears when it
    is complete; one that holds something already raises FileExistsError.
    """
    works, out = list_works(source), Path(out)
    words = frozenset(word.lower() for word in left_out)
    if not 0 <= validation_share < 1:
        raise ValueError(f"validation_share is {validation_share}; expected 0 to 1")
    check_new(out)
    if vocab_size is None:
        encoding = get_encoding(tokenizer)
    else:
        encoding = train_tokenizer(works, vocab_size, validation_share, words, sample)
    job = partial(tokenize, validation_share=validation_share, left_out=words)
    n = processes or useful_processes(works)
    with (
        writing(out, encoding) as writer,
        mapped(job, works, writer.folder, n) as results,
    ):
        pairs = zip(works, results, strict=True)
        for work, parts in tqdm(pairs, "texts", len(works), disable=quiet_bars()):
            for split, n_bytes, ids in parts:
                writer.add(split, work.repeat, n_bytes, ids)
    return read_index(out)


def check_new(out: Path) -> None:
    """Raise FileExistsError where a folder holds something already."""
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; name a new folder or empty it")


@contextmanager
def writing(out: Path, encoding: tiktoken.Encoding) -> Iterator[ShardWriter]:
    """A writer of shards; the folder `out` appears when all of them are written."""
    check_new(out)
    if encoding.n_vocab > 2**16:
        raise ValueError(f"{encoding.n_vocab:,} tokens; uint16 holds 65,536 at most")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        new = Path(temporary) / "tokens"
        new.mkdir()
        save_encoding(encoding, new)
        writer = ShardWriter(new)
        yield writer
        index = {"vocab_size": encoding.n_vocab, "shards": writer.shards}
        text = json.dumps(index, indent=2) + "\n"
        (new / INDEX).write_text(text, encoding="utf-8")
        os.replace(new, out)  # an empty folder may be there


def read_index(folder: Path) -> dict[str, Any]:
    """What the shards of a prepared folder hold; FileNotFoundError for any other."""
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(
            f"{folder} has no {INDEX}; make it with: "
            f"llmbook prepare TEXTS --out {folder}"
        )
    return json.loads((folder / INDEX).read_text(encoding="utf-8"))


class TokenShards(Dataset[Batch]):
    """Windows of tokens that follow each other, out of files that stay on the disk.

    Item i is (inputs, targets), ids (T,) each, the targets one place further on. A
    shard that repeats is cut at other places each time. A split without a whole window
    raises ValueError, and so does a shard of another size than the index says.
    """

    def __init__(self, folder: str | Path, split: str, context_length: int):
        self.length = context_length
        self.runs: list[tuple[np.ndarray, int]] = []  # tokens, and where to start
        self.ends = [0]  # number of windows up to the end of each run
        for shard in read_index(Path(folder))["shards"]:
            if shard["split"] != split:
                continue
            path = Path(folder) / shard["file"]
            if path.stat().st_size != 2 * shard["tokens"]:
                raise ValueError(
                    f"{path} has {path.stat().st_size:,} bytes, but {INDEX} says "
                    f"{shard['tokens']:,} tokens of 2; prepare the folder again"
                )
            tokens = np.memmap(path, dtype="<u2", mode="r")
            for run in range(shard["repeat"]):
                start = run * context_length // shard["repeat"]
                windows = max(0, (len(tokens) - 1 - start) // context_length)
                self.runs.append((tokens, start))
                self.ends.append(self.ends[-1] + windows)
        if len(self) == 0:
            raise ValueError(
                f"{folder}: no text of split {split!r} is longer than {context_length} "
                "tokens; give more text or a smaller context_length"
            )

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, i: int) -> Batch:
        run = bisect_right(self.ends, i) - 1
        tokens, start = self.runs[run]
        start += (i - self.ends[run]) * self.length
        ids = torch.from_numpy(tokens[start : start + self.length + 1].astype(np.int64))
        return ids[:-1], ids[1:]
