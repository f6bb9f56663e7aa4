"""Files of instructions in Alpaca's format, of preferences, of answers and of styles.

Not built on a page of the book: these are checks, each with its message. A file is a
JSON list of objects, or JSONL, an object per line.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from llmbook_utils.files.whole import write_whole

SPLITS = ("train", "validation", "test", "unseen")
STYLE = "instruct.json"  # in the folder of a tuned model, or of its adapter


@dataclass(frozen=True)
class Entry:
    """A request and the answer that it should get."""

    instruction: str  # what to do
    input: str  # what to do it with; empty where the instruction says it all
    output: str  # the answer
    kind: str = ""  # of task, as "plural"; the book's own set has it
    split: str = ""  # the part that it belongs to, one of SPLITS; as kind


@dataclass(frozen=True)
class Preference:
    """Two answers to a request, the better one first."""

    prompt: str
    chosen: str
    rejected: str


def read_objects(path: str | Path) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a JSON or JSONL file, each with the place where it stands.

    A file that is missing or a folder raises OSError; an empty one, one that is not
    UTF-8 or JSON, and one that holds anything but objects raise ValueError.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the path of one file")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path.absolute()}")
    try:
        text = path.read_bytes().decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {error.start} is no character; save it as UTF-8"
        ) from None
    if not text:
        raise ValueError(f"{path} is empty; expected a JSON list of entries")
    found = split_objects(path, text)
    if not found:
        raise ValueError(f"{path} holds an empty list; there is no entry in it")
    for where, one in found:
        if not isinstance(one, dict):
            raise ValueError(
                f"{where} is {shorten(one)}, a {type(one).__name__}; expected an "
                'object such as {"instruction": "...", "input": "", "output": "..."}'
            )
    return found


def split_objects(path: Path, text: str) -> list[tuple[str, Any]]:
    """The parts of a JSON list or of JSONL, each with its place; else ValueError."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        if text.startswith("["):
            raise ValueError(
                f"{path} is not JSON: {error.msg} in line {error.lineno}, column "
                f"{error.colno}; is the file complete?"
            ) from None
        # at newlines alone: other line ends may be part of a text
        lines = enumerate(text.split("\n"), start=1)
        places = [(f"{path}, line {i}", line) for i, line in lines if line.strip()]
        return [(where, parse_line(line, where)) for where, line in places]
    if isinstance(whole, list):
        return [(f"{path}, entry {i}", one) for i, one in enumerate(whole, start=1)]
    if isinstance(whole, dict) and "\n" in text:
        raise ValueError(
            f"{path} is one JSON object with the keys {shorten(list(whole))}; expected "
            "a list of entries: [{...}, {...}], or one object per line"
        )
    return [(f"{path}, line 1", whole)]


def parse_line(line: str, where: str) -> Any:
    """What a line of JSONL says; one that is not JSON raises ValueError."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{where} is not JSON: {error.msg} at character {error.pos} of "
            f"{shorten(line)}; expected one object per line, or a JSON list"
        ) from None


def shorten(value: object, limit: int = 60) -> str:
    """A value as it is written in an error: its beginning is enough."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def text_of(where: str, one: dict[str, Any], name: str, needed: bool = True) -> str:
    """A field of an object; a missing, empty or wrong one raises ValueError."""
    if needed and name not in one:
        raise ValueError(
            f'{where} has no "{name}"; it has {shorten(list(one))}; expected '
            "instruction, input (may be left out) and output"
        )
    value = one.get(name, "")
    if not isinstance(value, str):
        raise ValueError(
            f'{where}: "{name}" is {shorten(value)}, a {type(value).__name__}; '
            "expected text"
        )
    if needed and not value.strip():
        raise ValueError(f'{where}: "{name}" is empty; fill it in or remove the entry')
    return value.strip()


def read_entries(path: str | Path) -> list[Entry]:
    """The entries of a file in Alpaca's format. Source: Taori et al. (2023).

    An entry without an instruction or output raises ValueError, which names it; so
    does everything that `read_objects` refuses.
    """
    return [
        Entry(
            instruction=text_of(where, one, "instruction"),
            input=text_of(where, one, "input", needed=False),
            output=text_of(where, one, "output"),
            kind=text_of(where, one, "kind", needed=False),
            split=text_of(where, one, "split", needed=False),
        )
        for where, one in read_objects(path)
    ]


def read_preferences(path: str | Path) -> list[Preference]:
    """The pairs of a file with prompt, chosen and rejected; others raise ValueError."""
    return [
        Preference(*(text_of(where, one, n) for n in ("prompt", "chosen", "rejected")))
        for where, one in read_objects(path)
    ]


def own_file(name: str) -> Path:
    """The path of a file of the book's own set."""
    return Path(str(resources.files("llmbook_utils") / "assets/instructions" / name))


def load_instructions(split: str) -> list[Entry]:
    """A part of the book's own set: "train", "validation", "test", or "unseen".

    The last one is a kind of request of which training has none.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; there are: {', '.join(SPLITS)}")
    entries = read_entries(own_file("instructions.jsonl"))
    return [entry for entry in entries if entry.split == split]


def load_preferences() -> list[Preference]:
    """The book's own pairs of a kinder and a less kind answer."""
    return read_preferences(own_file("preferences.jsonl"))


def write_answers(
    path: str | Path, entries: Sequence[Entry], answers: Sequence[str]
) -> None:
    """Write entries with a model's answers as a JSON list; the file appears whole."""
    rows = [
        asdict(entry) | {"answer": answer}
        for entry, answer in zip(entries, answers, strict=True)
    ]
    text = json.dumps(rows, ensure_ascii=False, indent=1)
    write_whole(Path(path), text.encode())


def read_answers(path: str | Path) -> tuple[list[Entry], list[str]]:
    """What `write_answers` wrote. An answer may be empty, but not missing."""
    answers = []
    for where, one in read_objects(path):
        if "answer" not in one:
            raise ValueError(f'{where} has no "answer"; let a model answer the file')
        answers.append(text_of(where, one, "answer", needed=False))
    return read_entries(path), answers


def write_style(folder: str | Path, style: str) -> None:
    """Note the name of the prompt style that a model was tuned with in its folder."""
    write_whole(Path(folder) / STYLE, json.dumps({"style": style}).encode())


def read_style(folder: str | Path) -> str:
    """The name of the prompt style that `write_style` noted in a model's folder.

    A folder without it raises FileNotFoundError, one with something else ValueError.
    """
    path = Path(folder) / STYLE
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}, which names the prompt style that a model was tuned "
            "with; name the style yourself"
        )
    try:
        style = json.loads(path.read_text(encoding="utf-8"))["style"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} does not name a prompt style: expected {{"style": "..."}} '
            f"({type(error).__name__}: {error})"
        ) from None
    if not isinstance(style, str) or not style:
        raise ValueError(f"{path}: the style is {style!r}; expected a name")
    return style
