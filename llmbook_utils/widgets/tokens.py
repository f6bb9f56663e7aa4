"""Answers the widgets' question which tokens a text is, and by which merges.

`web/host/page-answerer.js` gives the same replies on a page without a kernel; golden
cases hold the two together. Not built on a page.
"""

import base64
import functools
import re
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import regex
import tiktoken
import traitlets

from llmbook_utils.tokenizer import (
    END_OF_TEXT,
    GPT2_SPLIT,
    get_encoding,
    merge_pairs,
    ranks_of,
)
from llmbook_utils.widgets.base import BookWidget

LIMIT = 2000  # characters of a text that are tokenized
PROBE = "It's 1234 o'clock:\n\n  x='Ünï' \t😀 हिंदी\x85"
SUITABLE = "give 'gpt2' or one that BytePairTokenizer.train made"
MARKS = {" ": "␣", "\n": "⏎", "\t": "⇥"}


def encode_chunk(text: str, ranks: Mapping[bytes, int]) -> dict[str, Any]:
    """The tokens of a chunk, and the merges that made them out of its bytes.

    The merge {"at", "id"} joins the parts `at` and `at + 1` into the token `id`.
    """
    parts = [bytes([byte]) for byte in text.encode()]
    none = len(ranks)  # larger than any rank

    def rank_of(at: int) -> int:
        pair = parts[at : at + 2]
        return ranks.get(b"".join(pair), none) if len(pair) == 2 else none

    found = [rank_of(at) for at in range(len(parts))]  # of a part with its neighbor
    merges = []
    while (id := min(found)) < none:
        at = found.index(id)
        merges.append({"at": at, "id": id})
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        found[at : at + 2] = [rank_of(at)]
        if at > 0:
            found[at - 1] = rank_of(at - 1)
    tokens = [{"id": ranks[part], "bytes": list(part)} for part in parts]
    return {"text": text, "tokens": tokens, "merges": merges}


def tokenize(text: str, ranks: Mapping[bytes, int]) -> dict[str, Any]:
    """Tokenize the first `LIMIT` characters, with U+FFFD for each lone surrogate."""
    read = re.sub("[\ud800-\udfff]", "\ufffd", text[:LIMIT])
    chunks = [encode_chunk(chunk, ranks) for chunk in regex.findall(GPT2_SPLIT, read)]
    return {"text": read, "truncated": len(text) > LIMIT, "chunks": chunks}


def tokens_of(reply: dict[str, Any]) -> list[dict[str, Any]]:
    """All tokens of a reply, in order."""
    return [token for chunk in reply["chunks"] for token in chunk["tokens"]]


@functools.lru_cache(maxsize=8)
def checked_ranks(encoding: tiktoken.Encoding) -> dict[bytes, int]:
    """The ranks of an encoding that splits text as GPT-2 does; else ValueError."""
    ranks = ranks_of(encoding)
    if sorted(ranks.values()) != list(range(len(ranks))) or len(ranks) > 65_536:
        raise ValueError(
            f"the encoding {encoding.name!r} has {len(ranks)} tokens; expected "
            f"ids 0, 1, 2, … without a gap, 65,536 at most; {SUITABLE}"
        )
    ids = [token["id"] for token in tokens_of(tokenize(PROBE, ranks))]
    if ids != encoding.encode_ordinary(PROBE):
        raise ValueError(
            f"the encoding {encoding.name!r} splits text in another way than GPT-2, so "
            f"its merges cannot be shown; {SUITABLE}"
        )
    return ranks


def pack_ranks(encoding: tiktoken.Encoding) -> bytes:
    """Ranks for the page: the bytes of the first 256 ids, then each merge's two ids.

    The ids are little-endian 16-bit numbers; GPT-2's ranks take 200 kB so.
    """
    single = [token for token in checked_ranks(encoding) if len(token) == 1]
    pairs = [struct.pack("<HH", *pair) for pair in merge_pairs(encoding)]
    return b"".join(single + pairs)


@functools.lru_cache(maxsize=8)
def ranks_source(encoding: tiktoken.Encoding) -> str:
    """Where a page finds the ranks: GPT-2's in one file for all, others in the URL."""
    if checked_ranks(encoding) == checked_ranks(get_encoding("gpt2")):
        return "gpt2.bin"
    return (
        "data:application/octet-stream;base64,"
        + base64.b64encode(pack_ranks(encoding)).decode()
    )


def describe(name: str, encoding: tiktoken.Encoding) -> dict[str, Any]:
    """What a view and a page know of an encoding; `size` counts bytes and merges."""
    if not isinstance(encoding, tiktoken.Encoding):
        kind = type(encoding).__name__
        raise TypeError(
            f"encodings[{name!r}] is {kind}, not tiktoken.Encoding; call to_tiktoken()"
        )
    has_end = END_OF_TEXT in encoding.special_tokens_set
    return {
        "name": name,
        "size": len(checked_ranks(encoding)),
        "endOfText": encoding.encode_single_token(END_OF_TEXT) if has_end else None,
        "ranks": ranks_source(encoding),
    }


def check_text(text: object) -> str:
    """Raise TypeError for what is not a str, ValueError for a lone surrogate."""
    if not isinstance(text, str):
        raise TypeError(f"text is {type(text).__name__}; expected str")
    if lone := re.search("[\ud800-\udfff]", text):
        raise ValueError(
            f"character {lone.start()} of the text is the lone surrogate "
            f"U+{ord(lone[0]):04X}, half of a character that UTF-8 cannot store; drop "
            "it: text.encode(errors='ignore').decode()"
        )
    return text


class TokenWidget(BookWidget):
    """What the widgets that read a text share: encodings, replies and the answerer."""

    text = traitlets.Unicode().tag(sync=True, page=True)
    encodings: traitlets.List = traitlets.List().tag(sync=True, page=True)
    # a reply for each encoding, so that nothing is loaded before the reader types
    replies: traitlets.List = traitlets.List().tag(sync=True, page=True)

    def __init__(
        self, text: str, encodings: Mapping[str, tiktoken.Encoding], **state: Any
    ) -> None:
        check_text(text)
        if not encodings:
            raise ValueError(
                "encodings is empty; give one, such as {'GPT-2': get_encoding('gpt2')}"
            )
        described = [describe(name, encoding) for name, encoding in encodings.items()]
        self._ranks = [checked_ranks(encoding) for encoding in encodings.values()]
        replies = [tokenize(text, ranks) for ranks in self._ranks]
        super().__init__(
            text=text[:LIMIT], encodings=described, replies=replies, **state
        )
        self.answers = {"tokenize": self._tokenize}

    def _tokenize(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        reply = tokenize(message["text"], self._ranks[message["encoding"]])
        yield {"kind": "tokenize", "seq": message["seq"], **reply}


def visible(character: str) -> str:
    """A character, or its mark where it has no shape of its own."""
    if unicodedata.category(character)[0] not in "ZC":
        return character
    return MARKS.get(character, f"U+{ord(character):04X}")


def show(data: bytes | list[int]) -> str:
    """Bytes as a reader sees them.

    White space becomes a mark, what has no shape U+…, part of a character hex.
    """
    try:
        text = bytes(data).decode()
    except UnicodeDecodeError:
        return bytes(data).hex(" ").upper()
    return "".join(map(visible, text))
