"""A plugin for pytest: nbval compares the decimal numbers in an output with a tolerance.

Another processor adds in another order, and the seventh digit differs. Two texts are
equal here when all between their decimal numbers is the same and each pair of numbers
is: within 0.2 %, or within one unit of the last digit of the one that has more digits.
Whole numbers are text, and so are versions and `1e-5`. HTML and SVG are compared as they are,
but for the state of a widget, which may hold what a model has computed.
"""

import re
from typing import Any

TOLERANCE = 2e-3
WIDGET = '<div class="bw-mount"'
# a point between digits, and no part of a word or of a version
DECIMAL = re.compile(
    r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)\.\d+(?:e[-+]?\d+)?(?!\.?\w)"
)


def unit(number: str) -> float:
    """One unit of the last digit that is printed.

    >>> unit("0.25"), unit("1.5e+03")
    (0.01, 100.0)
    """
    digits, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def near(one: str, other: str) -> bool:
    """Whether two printed decimal numbers may come from the same computation."""
    a, b = (float(number.replace(",", "")) for number in (one, other))
    last = min(unit(one), unit(other)) * 1.001  # decimal digits are not exact in binary
    return abs(a - b) <= max(TOLERANCE * max(abs(a), abs(b)), last)


def same(one: str, other: str) -> bool:
    """Whether two outputs are equal but for the last digits of decimal numbers."""
    if str.__eq__(one, other):
        return True
    if DECIMAL.split(one) != DECIMAL.split(other):
        return False
    return all(map(near, DECIMAL.findall(one), DECIMAL.findall(other)))


class Output(str):
    """A text output that equals another one when `same` says so."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and same(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other


def is_markup(text: str) -> bool:
    return text.lstrip().startswith("<") and WIDGET not in text


def pytest_configure(config: Any) -> None:
    """Let nbval's cells make an `Output` of each text that they compare."""
    if not getattr(config.option, "nbval", False):
        return
    from nbval.plugin import IPyNbCell, IPyNbFile

    before = IPyNbCell.sanitize

    def sanitize(cell: Any, output: Any) -> Any:
        clean = before(cell, output)
        if isinstance(clean, str) and not is_markup(clean):
            return Output(clean)
        return clean

    opened = IPyNbFile.setup

    def setup(file: Any) -> None:
        opened(file)
        # nbval passes over pictures of pixels; a plot's SVG is a picture, too
        file.skip_compare = (*file.skip_compare, "image/svg+xml")

    if before.__module__ != __name__:  # once, also where pytest starts pytest
        IPyNbCell.sanitize = sanitize
        IPyNbFile.setup = setup
