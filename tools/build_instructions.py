"""Make the book's instruction set out of the sentences and lists in tools/instructions.

`python tools/build_instructions.py` writes instructions.jsonl and preferences.jsonl, always the
same ones. `written/` has entries that were written one by one, a line each: instruction | input |
output, under the name of their kind. `made/` has, for each of some more kinds, words or sentences
and forms of request that they are put into, both already divided into training, validation and
test part, so that no word and no form is in two of them.
"""

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "tools/instructions"
TARGET = ROOT / "llmbook_utils/assets/instructions"
UNSEEN = "negative"  # the kind that training does not see at all
SHARES = {"test": 0.16, "validation": 0.06}  # of what was written, per kind
USES = 3  # how often one form of request is used, at most
WINDOW = 50  # so many entries in a row hold no form twice
NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
ORDERS = {
    "letters": "by the alphabet",
    "numbers": "from the smallest number to the largest",
    "size": "from small to big",
    "time": "from early to late",
}


@dataclass(frozen=True)
class Entry:
    """An entry of the set, and the form of request that it was made from."""

    instruction: str
    input: str
    output: str
    kind: str
    split: str
    form: str

    @property
    def text(self) -> str:
        return f"{self.instruction} {self.input} {self.output}"

    def words(self) -> set[str]:
        return {
            word for word in re.findall(r"[a-z]+", self.text.lower()) if len(word) > 3
        }


def fields(line: str) -> list[str]:
    """The three parts of a line; another number of them raises ValueError."""
    parts = [part.strip() for part in line.split("|")]
    if len(parts) != 3 or not parts[0] or not parts[2]:
        raise ValueError(f"expected instruction | input | output, got: {line}")
    return parts


def sections(path: Path, mark: str) -> Iterator[tuple[str, list[str]]]:
    """The sections of a file, each with its heading and its lines."""
    for part in re.split(mark, path.read_text("utf-8"), flags=re.M)[1:]:
        heading, *lines = part.strip().splitlines()
        yield heading.strip("]"), [line for line in lines if line.strip()]


def digest(entry: Entry) -> str:
    return hashlib.sha256(entry.text.encode()).hexdigest()


def written() -> list[Entry]:
    """What was written one by one, divided by its words and its hash."""
    found = [
        Entry(*fields(line), kind, "train", line)
        for path in sorted(SOURCES.glob("written/*.txt"))
        for kind, lines in sections(path, "^## ")
        for line in lines
    ]
    everywhere = Counter(word for entry in [*found, *made()] for word in entry.words())
    return [
        entry
        for kind in sorted({e.kind for e in found})
        for entry in divide(kind, found, everywhere)
    ]


def divide(kind: str, entries: list[Entry], everywhere: Counter[str]) -> list[Entry]:
    """Give the entries of a kind their split: the test part has words of its own."""
    mine = sorted((entry for entry in entries if entry.kind == kind), key=digest)
    if kind == UNSEEN:
        return [replace(entry, split="unseen") for entry in mine]
    own = [
        entry for entry in mine if any(everywhere[word] == 1 for word in entry.words())
    ]
    test = own[: round(SHARES["test"] * len(mine))]
    rest = [entry for entry in mine if entry not in test]
    n = round(SHARES["validation"] * len(mine))
    parts = {"test": test, "validation": rest[:n], "train": rest[n:]}
    return [
        replace(entry, split=split) for split, part in parts.items() for entry in part
    ]


def pair(columns: list[str], draw: random.Random) -> dict[str, str]:
    return dict(zip("abc", columns, strict=False))


def counted(columns: list[str], draw: random.Random) -> dict[str, str]:
    """The slots of a sentence whose words are counted."""
    n = len(columns[0].split())
    one = {
        "are": "is",
        "words": "word",
        "pennies": "penny",
        "breaths": "breath",
        "that_is": "that is",
    }
    many = {name: name for name in one} | {"that_is": "those are"}
    return {"text": columns[0], "n": NUMBERS[n]} | (one if n == 1 else many)


def ends(columns: list[str], draw: random.Random) -> dict[str, str]:
    words = columns[0].split()
    return {"text": columns[0], "first": words[0], "last": words[-1]}


def ordered(columns: list[str], draw: random.Random) -> dict[str, str]:
    """The slots of a list, mixed up, and how it is put in order again."""
    names, order = columns
    x, y, z = words = names.split(", ")
    while (mixed := draw.sample(words, 3)) == words:
        pass
    return {
        "list": names,
        "mixed": ", ".join(mixed),
        "by": ORDERS[order],
        "x": x,
        "y": y,
        "z": z,
    }


SLOTS: dict[str, Callable[[list[str], random.Random], dict[str, str]]] = {
    "count_words": counted,
    "first_last": ends,
    "order": ordered,
}


def polish(text: str) -> str:
    """ "a" before a vowel becomes "an", and a whole sentence gets a capital letter."""
    text = re.sub(r"\b([aA]) (?=[aeiou])", r"\1n ", text)
    return text[:1].upper() + text[1:] if text.endswith((".", "!")) else text


def made() -> Iterator[Entry]:
    """Words put into forms: each form a few times, each word about as often as others."""
    for path in sorted(SOURCES.glob("made/*.txt")):
        kind, parts = path.stem, dict(sections(path, r"^\["))
        for split in ("train", "validation", "test"):
            forms, items = parts[f"forms {split}"], parts[split]
            draw = random.Random(f"{kind} {split}")
            shuffled = [
                *draw.sample(items, len(items)),
                *draw.sample(items, len(items)),
            ]
            in_turn = draw.sample(forms, len(forms)) * USES
            # as many as both allow; a word's second turn meets another form
            for item, form in dict.fromkeys(zip(shuffled, in_turn, strict=False)):
                columns = [part.strip() for part in item.split("|")]
                slots = SLOTS.get(kind, pair)(columns, draw)
                request, given, answer = (part.format(**slots) for part in fields(form))
                yield Entry(polish(request), given, polish(answer), kind, split, form)


def mixed(entries: list[Entry]) -> list[Entry]:
    """All entries in an order in which no form comes back soon, nor a kind at once."""
    left, draw = sorted(entries, key=digest), random.Random("order")
    done: list[Entry] = []
    while left:
        forms = {entry.form for entry in done[1 - WINDOW :]}
        kinds = [entry.kind for entry in done[-4:]]
        open_ = [entry for entry in left if entry.form not in forms]
        # a form that is left several times needs that many windows: it cannot wait
        rest = Counter(entry.form for entry in left)
        urgent = [
            entry for entry in open_ if rest[entry.form] * (WINDOW + 10) > len(left)
        ]
        pool = urgent if any(rest[entry.form] > 1 for entry in urgent) else open_
        # what has most left comes sooner, so that no kind fills the end
        many = Counter(entry.kind for entry in left)
        chances = [
            many[entry.kind] * (entry.kind not in kinds) + 1e-9 for entry in pool
        ]
        done.append(draw.choices(pool, chances)[0])
        left.remove(done[-1])
    return done


def preferences() -> list[dict[str, str]]:
    """Pairs of answers, the kinder one first: prompt | chosen | rejected."""
    lines = (SOURCES / "preferences.txt").read_text("utf-8").splitlines()
    names = ("prompt", "chosen", "rejected")
    return [
        dict(zip(names, fields(line), strict=True)) for line in lines if line.strip()
    ]


def lines_of(records: list[dict[str, str]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def build() -> dict[str, str]:
    """The files, by name, as they should be."""
    names = ("instruction", "input", "output", "kind", "split")
    entries = mixed([*written(), *made()])
    records = [{name: getattr(entry, name) for name in names} for entry in entries]
    return {
        "instructions.jsonl": lines_of(records),
        "preferences.jsonl": lines_of(preferences()),
    }


if __name__ == "__main__":
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, text in build().items():
        (TARGET / name).write_text(text, encoding="utf-8")
        print(name, text.count("\n"), "entries")
