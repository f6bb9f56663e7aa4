"""Files of labeled messages: one per line, its label, a tab, its text.

Not built on a page of the book: these are checks, each with its message.
"""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

SPAM_LABELS = ("ham", "spam")  # the second one is what a classifier looks for
Message = tuple[str, int]  # a text, and the place of its label among the labels


def read_labeled(
    path: str | Path, labels: Sequence[str] = SPAM_LABELS
) -> list[Message]:
    """The messages of a file, as (text, place of its label in `labels`).

    Quotation marks are characters like all others, and white space around a text is
    dropped. A row without a tab, an empty text, a label of another name, a file with
    one class only and bytes that are not UTF-8 raise ValueError, which names the line.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the path of one file")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path.absolute()}")
    return parse_labeled(path.read_bytes(), str(path), labels)


def parse_labeled(
    content: bytes, name: str, labels: Sequence[str] = SPAM_LABELS
) -> list[Message]:
    """As `read_labeled`, of a file's content; `name` is what messages call it."""
    check_labels(labels)
    messages = []
    # split at newlines alone: other line ends may be part of a text
    lines = decode(content, name).removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        where = f"{name}, line {number}"
        label, tab, text = line.rstrip("\r").partition("\t")
        if not tab:
            raise ValueError(
                f"{where} has no tab: {shorten(line)!r}; expected a label, a tab and "
                "the text"
            )
        if label.strip() not in labels:
            raise ValueError(
                f"{where} has the label {shorten(label)!r}; expected one of "
                f"{named(labels)}; if the file has others, give them as labels"
            )
        if not text.strip():
            raise ValueError(
                f"{where} has a label, {label.strip()!r}, but no text; remove the line"
            )
        messages.append((text.strip(), list(labels).index(label.strip())))
    check_classes(name, messages, labels)
    return messages


def decode(content: bytes, name: str) -> str:
    """The text of a UTF-8 file; other bytes and an empty one raise ValueError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name}, line {line} is not UTF-8 text: byte "
            f"0x{content[error.start]:02x} ({error.reason}); save it as UTF-8"
        ) from error
    if not text.strip():
        raise ValueError(f"{name} is empty; expected lines of label, tab, text")
    return text


def check_labels(labels: Sequence[str]) -> None:
    """Raise ValueError unless there are two different names."""
    if isinstance(labels, str) or len(labels) != 2 or len(set(labels)) != 2:
        raise ValueError(
            f"labels are {labels!r}; expected two different names, the second being "
            "the one to look for, such as ('ham', 'spam')"
        )


def check_classes(
    name: str, messages: Sequence[Message], labels: Sequence[str]
) -> None:
    """Raise ValueError where one of the two labels does not occur."""
    found = {label for _, label in messages}
    for place, missing in enumerate(labels):
        if place not in found:
            other = labels[1 - place]
            raise ValueError(
                f"{name} has {len(messages):,} messages, all of them {other!r} and "
                f"none {missing!r}; to tell two classes apart, give examples of both"
            )


def read_challenge() -> list[dict[str, str]]:
    """The book's challenge set: label, text and the reason why it is there."""
    path = resources.files("llmbook_utils") / "assets" / "sms_spam" / "challenge.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def shorten(text: str, most: int = 60) -> str:
    """A text that fits into a message."""
    return text if len(text) <= most else text[: most - 1] + "…"


def named(labels: Sequence[str]) -> str:
    """The labels, quoted, for messages."""
    return " and ".join(map(repr, labels))
