"""Tokenizers: text to ids and back, word by word or by byte pair encoding (BPE).

Built in chapters/02-working-with-text-data.ipynb. Left out: Unicode normalization, and
the speed of compiled code: here the time for one word
grows faster than the square of its length.
`BytePairTokenizer.to_tiktoken` hands the same merges to `tiktoken`, which the rest of
the book uses.
"""

import functools
import heapq
import json
import os
import re
import struct
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib import resources
from itertools import pairwise
from pathlib import Path

import regex
import tiktoken

from llmbook_utils.files.gpt2 import read_tokenizer_json

END_OF_TEXT = "<|endoftext|>"  # between documents
UNKNOWN = "<|unk|>"  # for words outside the vocabulary
WORD_SPLIT = r"\w+(?:['-]\w+)*|--|[^\w\s]"  # words, dashes, single signs


def check_ids(ids: Iterable[int], known: Collection[int]) -> None:
    """Raise a ValueError that names the first of `ids` that is not a `known` one."""
    for id in ids:
        if id not in known:
            raise ValueError(
                f"id {id} is outside the vocabulary of {len(known)} tokens; "
                "decode ids with the tokenizer that made them"
            )


class WordTokenizer:
    """Give each word and punctuation mark of a text an id; others become `<|unk|>`.

    >>> tokenizer = WordTokenizer.from_text("The lamp is lit, the tide is out.")
    >>> tokenizer.encode("The tide is high.")
    [2, 8, 3, 10, 1]
    >>> tokenizer.decode([2, 8, 3, 10, 1])
    'The tide is <|unk|>.'
    """

    def __init__(self, tokens: Iterable[str]):
        self.tokens = list(tokens)  # id -> token
        self.ids = {token: id for id, token in enumerate(self.tokens)}

    @classmethod
    def from_text(cls, text: str) -> "WordTokenizer":
        """Take the vocabulary from `text`; a text without words raises ValueError."""
        words = sorted(set(re.findall(WORD_SPLIT, text)))
        if not words:
            raise ValueError(
                f"the text has {len(text)} characters and no word; "
                "give a text to take the vocabulary from"
            )
        return cls([*words, END_OF_TEXT, UNKNOWN])

    def encode(self, text: str) -> list[int]:
        """Turn a text into ids; special tokens typed in it are ordinary text."""
        unknown = self.ids[UNKNOWN]
        return [self.ids.get(token, unknown) for token in re.findall(WORD_SPLIT, text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Turn ids into text, one space between words; unknown ids raise ValueError."""
        check_ids(ids, range(len(self.tokens)))
        text = " ".join(self.tokens[id] for id in ids)
        return re.sub(r" (?=[,.;:?!])", "", text)  # no space before these


# GPT-2's pattern; \p{White_Space} instead of \s, on which programming languages differ
GPT2_SPLIT = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+"
    r"|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+"
)


def pretokenize(text: str) -> list[bytes]:
    """Cut a text into chunks that no token may cross, each as its UTF-8 bytes.

    A lone surrogate (half of a character, which has no UTF-8 bytes) raises ValueError.

    >>> pretokenize("It's 4.15 now")
    [b'It', b"'s", b' 4', b'.', b'15', b' now']
    """
    try:
        # `regex`: Python's own `re` does not know \p{L}, the letters of all scripts
        return [chunk.encode() for chunk in regex.findall(GPT2_SPLIT, text)]
    except UnicodeEncodeError:
        at = next(i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
        raise ValueError(
            f"character {at} of the text is the lone surrogate U+{ord(text[at]):04X}, "
            "half of a character, which UTF-8 cannot store; read the text with the "
            "right encoding, or drop it: text.encode(errors='ignore').decode()"
        ) from None


def merge(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """Replace each occurrence of `pair`, found from left to right, by `new_id`.

    >>> merge([7, 7, 7, 4], (7, 7), 256)
    [256, 7, 4]
    """
    merged, i = [], 0
    while i < len(ids):
        found = ids[i] == pair[0] and i + 1 < len(ids) and ids[i + 1] == pair[1]
        # of a run like 7 7 7 the first two merge, as the encoder will do it
        merged.append(new_id if found else ids[i])
        i += 2 if found else 1
    return merged


class PairCounts:
    """Counts of neighboring ids in a collection of words, kept right through merges.

    >>> pairs = PairCounts(Counter({b"lamp": 2, b"lap": 3}))
    >>> pairs.best() == (ord("l"), ord("a"))
    True
    """

    def __init__(self, words: Counter[bytes]):
        self.words = [list(word) for word in words]
        self.weights = list(words.values())  # how often each word occurs
        self.counts: Counter[tuple[int, int]] = Counter()
        # pair -> indices of the words that hold it, or once did
        self.places: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for index in range(len(self.words)):
            self._count(index, +1)
        # the smallest comes first: the largest count, and of equal ones the lowest ids
        self.queue = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self.queue)

    def _count(self, index: int, sign: int) -> None:
        for pair in pairwise(self.words[index]):
            self.counts[pair] += sign * self.weights[index]
            self.places[pair].add(index)

    def best(self) -> tuple[int, int] | None:
        """The most frequent pair, of several the one with the smallest ids; or None."""
        while self.queue:
            count, pair = self.queue[0]
            current = self.counts[pair]
            if current == -count:  # not changed since it was queued
                return pair
            heapq.heappop(self.queue)
            if current:  # the entry is out of date: queue it where it now belongs
                heapq.heappush(self.queue, (-current, pair))
        return None

    def merge(self, pair: tuple[int, int], new_id: int) -> None:
        """Replace `pair` by `new_id` in each word that holds it, and count anew."""
        touched: set[tuple[int, int]] = set()
        for index in self.places.pop(pair):
            self._count(index, -1)  # all its pairs, since the neighbors change too
            self.words[index] = merge(self.words[index], pair, new_id)
            self._count(index, +1)
            # other pairs have only become rarer, which `best` notices by itself
            touched.update(p for p in pairwise(self.words[index]) if new_id in p)
        del self.counts[pair]
        for new in touched:
            heapq.heappush(self.queue, (-self.counts[new], new))


def learn_ranks(text: str, n_tokens: int) -> dict[bytes, int]:
    """Learn a vocabulary of `n_tokens`: the 256 bytes, then the most frequent merges.

    Returns each token's bytes with its id. A text without enough pairs raises
    ValueError.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    ranks = {token: id for id, token in enumerate(tokens)}
    # each different word once, with its count: a long text has few different words
    pairs = PairCounts(Counter(pretokenize(text)))
    while len(tokens) < n_tokens:
        pair = pairs.best()
        if pair is None:
            raise ValueError(
                f"{n_tokens - 256} merges were asked for, but a text of {len(text)} "
                f"characters has no pair left after {len(tokens) - 256}; "
                "give more text or ask for a smaller vocabulary"
            )
        token = tokens[pair[0]] + tokens[pair[1]]
        if token not in ranks:  # else other pieces had already given the same bytes
            ranks[token] = len(tokens)
            tokens.append(token)
        pairs.merge(pair, ranks[token])
    return ranks


def merge_steps(chunk: bytes, ranks: dict[bytes, int]) -> Iterator[list[bytes]]:
    """Yield the parts of a chunk: its single bytes, then the parts after each merge.

    The neighbors to merge next are those that make the token of the lowest rank; where
    they occur several times, the leftmost ones.

    >>> list(merge_steps(b"teas", {b"ea": 256, b"sea": 257, b"eas": 258}))
    [[b't', b'e', b'a', b's'], [b't', b'ea', b's'], [b't', b'eas']]
    """
    parts = [bytes([byte]) for byte in chunk]
    while True:
        yield parts
        # a rank is also an age: what was learned first is merged first
        made = [(ranks.get(a + b), i) for i, (a, b) in enumerate(pairwise(parts))]
        known = [(rank, i) for rank, i in made if rank is not None]
        if not known:
            return
        i = min(known)[1]
        parts = [*parts[:i], parts[i] + parts[i + 1], *parts[i + 2 :]]


def encode_ordinary(text: str, ranks: dict[bytes, int]) -> list[int]:
    """Turn a text without special tokens into ids, chunk by chunk.

    The time for a chunk grows faster than the square of its length.
    """
    ids: list[int] = []
    for chunk in pretokenize(text):
        *_, parts = merge_steps(chunk, ranks)
        ids.extend(ranks[part] for part in parts)
    return ids


class BytePairTokenizer:
    """Byte-level BPE: every text can be encoded, nothing is unknown.

    Source: Sennrich et al. (2016), on bytes as in GPT-2 (Radford et al. 2019).

    >>> tokenizer = BytePairTokenizer.train("sea seas seal seals real", vocab_size=261)
    >>> [tokenizer.tokens[id] for id in tokenizer.encode("seals seal")]
    [b'sea', b'l', b's', b' seal']
    """

    def __init__(self, ranks: dict[bytes, int], special_tokens: dict[str, int]):
        self.ranks = ranks  # token -> id; merges that make lower ids come first
        self.special_tokens = special_tokens
        self.tokens = {id: token for token, id in ranks.items()}
        self.tokens |= {id: name.encode() for name, id in special_tokens.items()}

    @classmethod
    def train(cls, text: str, vocab_size: int) -> "BytePairTokenizer":
        """Learn `vocab_size` tokens: 256 bytes, merges and, last, `<|endoftext|>`.

        Fewer than 257, or more than the text has pairs for, raises ValueError.
        """
        if vocab_size < 257:
            raise ValueError(f"vocab_size is {vocab_size}; bytes and special need 257")
        return cls(learn_ranks(text, vocab_size - 1), {END_OF_TEXT: vocab_size - 1})

    def encode(self, text: str, allowed_special: Collection[str] = ()) -> list[int]:
        """Turn a text into ids; a special token's name is text unless it is allowed.

        Allowing a name that the tokenizer does not have raises ValueError.
        """
        if strange := set(allowed_special) - self.special_tokens.keys():
            has = ", ".join(self.special_tokens) or "none"
            raise ValueError(
                f"{sorted(strange)} are not special tokens here; there are: {has}"
            )
        # the longest first: of two names that begin alike the whole one is meant
        names = sorted(allowed_special, key=len, reverse=True)
        pattern = "|".join(re.escape(name) for name in names)
        ids: list[int] = []
        for piece in re.split(f"({pattern})", text) if pattern else [text]:
            if piece in allowed_special:
                ids.append(self.special_tokens[piece])
            else:
                ids.extend(encode_ordinary(piece, self.ranks))
        return ids

    def decode(self, ids: Sequence[int], errors: str = "replace") -> str:
        """Turn ids into text; half characters become U+FFFD or raise with "strict".

        Unknown ids raise ValueError.
        """
        numbers = [int(id) for id in ids]  # a tensor's ids are tensors
        check_ids(numbers, self.tokens.keys())
        return b"".join(self.tokens[id] for id in numbers).decode(errors=errors)

    def to_tiktoken(self, name: str = "book") -> tiktoken.Encoding:
        """The same tokenizer in compiled code, as a `tiktoken.Encoding`."""
        return tiktoken.Encoding(
            name,
            pat_str=GPT2_SPLIT,
            mergeable_ranks=self.ranks,
            special_tokens=self.special_tokens,
        )


def ranks_of(encoding: tiktoken.Encoding) -> dict[bytes, int]:
    """The tokens of an encoding and their ids, in order, without the special ones."""
    special = {encoding.encode_single_token(t) for t in encoding.special_tokens_set}
    ids = (id for id in range(encoding.n_vocab) if id not in special)
    return {encoding.decode_single_token_bytes(id): id for id in ids}


def merge_pairs(encoding: tiktoken.Encoding) -> list[tuple[int, int]]:
    """For each token of two bytes or more, in the order of the ids, its two parts.

    An item holds the ids of the left and the right one: the list of merges, in ids.
    """
    earlier: dict[bytes, int] = {}
    pairs = []
    for token, id in ranks_of(encoding).items():
        *_, parts = merge_steps(token, earlier)  # one merge short of the token
        earlier[token] = id
        if len(token) > 1:
            left, right = parts
            pairs.append((earlier[left], earlier[right]))
    return pairs


def visible_bytes() -> dict[int, str]:
    """How GPT-2's files write each byte: as its Latin-1 character, or from U+0100 on.

    >>> visible_bytes()[ord("a")], visible_bytes()[ord(" ")]
    ('a', 'Ġ')
    """
    shown = {b: chr(b) for b in range(256) if chr(b).isprintable() and chr(b) != " "}
    hidden = [byte for byte in range(256) if byte not in shown]
    return shown | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


def end_id(encoding: tiktoken.Encoding) -> int | None:
    """The id of `<|endoftext|>`; None where an encoding has no such token."""
    if END_OF_TEXT not in encoding.special_tokens_set:
        return None
    return encoding.encode_single_token(END_OF_TEXT)


def save_encoding(encoding: tiktoken.Encoding, path: str | Path) -> None:
    """Write GPT-2's two files, `vocab.json` and `merges.txt`, into the folder `path`.

    The folder is made if it is missing; files in it stay whole until the new ones are.
    """
    folder, shown = Path(path), visible_bytes()
    ranks = ranks_of(encoding)
    names = {id: "".join(shown[byte] for byte in token) for token, id in ranks.items()}
    merges = [f"{names[left]} {names[right]}" for left, right in merge_pairs(encoding)]
    vocab = {name: id for id, name in names.items()}
    for name in sorted(encoding.special_tokens_set):  # a set has no order of its own
        vocab[name] = encoding.encode_single_token(name)
    contents = {
        "vocab.json": json.dumps(vocab, ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges, ""]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    # both are written before the first gets its name, so that they always fit together
    for file, content in contents.items():
        (folder / f"{file}.part").write_text(content, encoding="utf-8")
    for file in contents:
        os.replace(folder / f"{file}.part", folder / file)


def parse_encoding(vocab: dict[str, int], merges: str, name: str) -> tiktoken.Encoding:
    """Make an encoding of the contents of GPT-2's two files.

    Merges that do not fit the vocabulary, or ids in another order, raise ValueError.
    """
    byte_of = {character: byte for byte, character in visible_bytes().items()}
    lines = [line for line in merges.splitlines() if not line.startswith("#version")]
    tokens = [*byte_of, *("".join(line.split(" ")) for line in lines if line)]
    unknown = [t for t in tokens if t not in vocab or not set(t) <= byte_of.keys()]
    if unknown:
        raise ValueError(f"tokenizer {name!r}: {unknown[0]!r} is not in its vocabulary")
    ids = [vocab[token] for token in tokens[256:]]
    # tiktoken takes the id as the rank, so the merges have to come in this order
    if ids != sorted(ids):
        raise ValueError(
            f"tokenizer {name!r}: its ids are not in the order of its merges"
        )
    ranks = {bytes(byte_of[c] for c in token): vocab[token] for token in tokens}
    special = {token: vocab[token] for token in vocab.keys() - set(tokens)}
    return BytePairTokenizer(ranks, special).to_tiktoken(name)


@functools.cache
def _gpt2() -> tiktoken.Encoding:
    # OpenAI's ranks in 200 kB: the bytes of the ids below 256, then each merge's two
    # parts as 16-bit ids
    content = (resources.files("llmbook_utils") / "assets" / "gpt2.bin").read_bytes()
    tokens = [bytes([byte]) for byte in content[:256]]
    for left, right in struct.iter_unpack("<HH", content[256:]):
        tokens.append(tokens[left] + tokens[right])
    ranks = {token: id for id, token in enumerate(tokens)}
    return BytePairTokenizer(ranks, {END_OF_TEXT: len(ranks)}).to_tiktoken("gpt2")


def get_encoding(name_or_path: str | Path) -> tiktoken.Encoding:
    """GPT-2's encoding ("gpt2", no network needed), or that of a folder.

    The folder has what `save_encoding` writes, or one tokenizer.json, as newer programs
    save it. A missing file raises FileNotFoundError; broken files, or two that do not
    fit together, raise ValueError.
    """
    folder = Path(name_or_path)
    if name_or_path == "gpt2" or (str(folder) == "gpt2" and not folder.exists()):
        return _gpt2()
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    newer = folder / "tokenizer.json"
    if newer.is_file() and not vocab.is_file():
        entries, pairs = read_tokenizer_json(newer)
        return parse_encoding(entries, "\n".join(pairs), folder.name)
    for file in (vocab, merges):
        if not file.is_file():
            raise FileNotFoundError(
                f"no tokenizer {str(name_or_path)!r}: expected 'gpt2' or a folder with "
                f"vocab.json and merges.txt, and there is no {file}"
            )
    try:
        content = json.loads(vocab.read_text(encoding="utf-8"))
        merges_text = merges.read_text(encoding="utf-8")
    except ValueError as error:
        raise ValueError(f"{folder} holds a broken tokenizer: {error}") from error
    return parse_encoding(content, merges_text, folder.name)
