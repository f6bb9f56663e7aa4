"""A data set to files of tokens, row by row: it may be larger than the disk.

Not built on a page. What is read is a data set of the Hugging Face hub, or a file of
JSON lines, Parquet or CSV, by the library `datasets`, which is asked for only here.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from llmbook_utils.env import is_set, quiet_bars
from llmbook_utils.files.shards import SPLITS, check_new, read_index, writing
from llmbook_utils.tokenizer import END_OF_TEXT, get_encoding

BUILDERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


def open_stream(source: str, split: str = "train") -> Iterable[dict[str, Any]]:
    """The rows of a data set, one after the other, nothing of it kept on the disk.

    A missing library, a name that may not be asked for offline and a file of another
    kind raise ValueError.
    """
    path = Path(source)
    if path.is_file() and path.suffix not in BUILDERS:
        kinds = ", ".join(BUILDERS)
        raise ValueError(
            f"{source} is no file that can be streamed; these are: {kinds}"
        )
    if not path.exists() and is_set("LLMBOOK_OFFLINE"):
        raise ValueError(f"{source!r} is no file, and LLMBOOK_OFFLINE forbids requests")
    try:
        from datasets import load_dataset
    except ImportError:
        raise ValueError(
            "streaming needs the library datasets: pip install datasets"
        ) from None
    if path.is_file():
        kind, files = BUILDERS[path.suffix], {split: str(path)}
        return load_dataset(kind, data_files=files, split=split, streaming=True)
    return load_dataset(source, split=split, streaming=True)


def is_held_out(row: int, share: float) -> bool:
    """Whether a row is for validation: an even share of all, wherever the data end.

    >>> [row for row in range(10) if is_held_out(row, 0.25)]
    [3, 7]
    """
    return int((row + 1) * share) > int(row * share)


def texts_of(rows: Iterable[dict[str, Any]], column: str, source: str) -> Iterator[str]:
    """The texts of a column, empty ones left out; ValueError where there is none."""
    for number, row in enumerate(rows, start=1):
        if not isinstance(text := row.get(column), str):
            raise ValueError(
                f"{source}, row {number}: no text in a column {column!r}; the columns "
                f"are {', '.join(map(repr, row))}"
            )
        if text.strip():
            yield text


def prepare_stream(
    source: str,
    out: str | Path,
    *,
    column: str = "text",
    split: str = "train",
    rows: int | None = None,
    tokenizer: str | Path = "gpt2",
    validation_share: float = 0.05,
) -> dict[str, Any]:
    """Turn a data set into shards in the folder `out`, and return its index.

    Each row is a text of its own; whole rows, evenly spread, are for validation. `rows`
    is how many are read at most. The folder appears when it is complete; one that holds
    something raises FileExistsError, a data set without a text ValueError.
    """
    out = Path(out)
    check_new(out)
    if not 0 <= validation_share < 1:
        raise ValueError(f"validation_share is {validation_share}; expected 0 to 1")
    if rows is not None and rows < 1:
        raise ValueError(f"rows is {rows}; it must be 1 or more")
    stream, encoding = open_stream(source, split), get_encoding(tokenizer)
    start = encoding.encode_single_token(END_OF_TEXT)
    with writing(out, encoding) as writer:
        texts = texts_of(islice(stream, rows), column, source)
        for row, text in enumerate(tqdm(texts, "rows", disable=quiet_bars())):
            ids = np.array([start, *encoding.encode_ordinary(text)], dtype="<u2")
            part = SPLITS[is_held_out(row, validation_share)]
            writer.add(part, 1, len(text.encode()), ids.tobytes())
        if not writer.shards:
            raise ValueError(f"{source} holds no text in the column {column!r}")
    return read_index(out)
