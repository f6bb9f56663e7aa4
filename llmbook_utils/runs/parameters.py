"""Parameters of a page, checked in its first cells: each works, or is refused.

Papermill fills them in from outside, so that one may have any type and any value. Not
built on a page. Left out: unknown names, of which papermill itself warns.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from llmbook_utils.files.datasets import load_text
from llmbook_utils.tokenizer import learn_ranks


def choice(name: str, value: object, options: Sequence[str]) -> None:
    """Refuse a value that is none of the options with ValueError.

    >>> choice("size", "large", ["small", "gpt2-small"])
    Traceback (most recent call last):
    ValueError: size is 'large'; this page knows 'small' and 'gpt2-small'
    """
    if value not in options:
        *others, last = map(repr, options)
        known = f"{', '.join(others)} and {last}" if others else last
        raise ValueError(f"{name} is {value!r}; this page knows {known}")


def whole_number(
    name: str, value: object, low: int = 0, high: float = math.inf
) -> None:
    """Refuse what is no whole number from `low` to `high` with ValueError.

    >>> whole_number("epochs", 0, low=1)
    Traceback (most recent call last):
    ValueError: epochs is 0; this page needs a whole number of 1 or more
    """
    right = isinstance(value, int) and not isinstance(value, bool)
    if not (right and low <= value <= high):  # type: ignore[operator]
        end = "or more" if math.isinf(high) else f"to {high}"
        raise ValueError(
            f"{name} is {value!r}; this page needs a whole number of {low} {end}"
        )


def seed_number(seed: object) -> None:
    """Refuse what PyTorch's generators do not take as a seed with ValueError."""
    whole_number("seed", seed, 0, 2**63 - 1)


def long_text(text_name: str | Path, at_least: int, vocabulary: int = 0) -> str:
    """The text of that name or file, if it has `at_least` characters.

    A page that learns a vocabulary from nine tenths of the text gives its size. A text
    that is shorter or has too few different words raises ValueError, and a name that
    leads to no text what `load_text` raises.
    """
    text = load_text(text_name)
    if len(text) < at_least:
        raise ValueError(
            f"text_name is {str(text_name)!r}, a text of {len(text):,} characters; "
            f"this page needs {at_least:,} at least"
        )
    if vocabulary:
        _learn(text, vocabulary, f"text_name is {str(text_name)!r}")
    return text


def _learn(text: str, vocabulary: int, name: str) -> None:
    """Refuse a text from whose nine tenths no such vocabulary can be learned."""
    try:
        # a little less than the page takes, so that what passes here passes there
        learn_ranks(text[: len(text) * 17 // 20], vocabulary - 1)
    except ValueError as error:
        raise ValueError(
            f"{name}, a text of too few different words; this page learns a vocabulary "
            f"of {vocabulary} tokens from it ({error})"
        ) from None
