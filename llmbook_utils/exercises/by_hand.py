"""Exercises that are worked out by hand: rules that `check` and the page read alike.

An answer is some numbers, or some texts. Its rules are read in order, and the first
that it breaks gives the verdict. The rules are data, so that a page without Python
judges in the same way: `web/parts/by-hand.js`. Not built on a page.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from llmbook_utils.exercises import Wrong, exercise, module_of, numbers, require

Value = float | str
_FIELD = re.compile(
    r"\{(?:sum(?P<sum>(?: \d+)+)"
    r"|(?P<place>\d+)(?:(?P<apart>:,)|\^(?P<power>\d+))?)\}"
)


@dataclass(frozen=True)
class Rule:
    """What an answer must not be (`slip`) or must be, and the sentence that says so.

    `at` are the places in the answer that it looks at, `values` the number or text of
    each, `within` how far a number may be from it. A rule of the kind `total` looks at
    the sum of these places, one of the kind `begins` at the first letter of each text.
    """

    kind: Literal["slip", "wanted", "total", "begins"]
    at: tuple[int, ...]
    values: tuple[Value, ...]
    says: str
    within: tuple[float, ...] = ()


def _rule(
    kind: Literal["slip", "wanted"],
    at: int | Sequence[int],
    values: Value | Sequence[Value],
    says: str,
    within: float | None,
) -> Rule:
    places = (at,) if isinstance(at, int) else tuple(at)
    found = (values,) if isinstance(values, str | int | float) else tuple(values)
    tolerances = () if within is None else (within,) * len(found)
    return Rule(kind, places, found, says, tolerances)


def must_not_be(
    at: int | Sequence[int],
    values: Value | Sequence[Value],
    says: str,
    within: float | None = None,
) -> Rule:
    """An answer that has these values is wrong, and it is known why."""
    return _rule("slip", at, values, says, within)


def must_be(
    at: int | Sequence[int],
    values: Value | Sequence[Value],
    says: str,
    within: float | None = None,
) -> Rule:
    """A right answer has these values."""
    return _rule("wanted", at, values, says, within)


def total(at: Sequence[int], value: float, says: str, within: float) -> Rule:
    """The numbers at these places add up to a value; `{sum 0 1}` says it."""
    return Rule("total", tuple(at), (value,), says, (within,))


def begins(at: Sequence[int], letter: str, says: str) -> Rule:
    """One of the texts at these places begins with a letter."""
    return Rule("begins", tuple(at), (letter,), says, (0,))


@dataclass(frozen=True)
class ByHand:
    """An exercise's rules, the names of its fields, and what a right answer is told."""

    fields: tuple[str, ...]
    rules: tuple[Rule, ...]
    right: str
    expected: str
    text: bool = False

    def judge(self, answer: Any) -> str:
        """The sentence for a right answer; Wrong, with that of a broken rule."""
        given = self._texts(answer) if self.text else self._numbers(answer)
        for rule in self.rules:
            if _breaks(rule, given):
                raise Wrong(fill(rule.says, given))
        return self.right

    def page(self) -> dict[str, Any]:
        """What the page needs to judge."""
        rules = [asdict(rule) for rule in self.rules]
        return {
            "fields": self.fields,
            "rules": rules,
            "right": self.right,
            "text": self.text,
        }

    def _numbers(self, answer: Any) -> list[Value]:
        require(
            not isinstance(answer, str | bytes) and hasattr(answer, "__iter__"),
            f"expected {self.expected}, got {answer!r}",
        )
        # (3, 4) among numbers stands for its own
        parts = [
            [*part] if isinstance(part, tuple | list) else [part] for part in answer
        ]
        flat = [number for part in parts for number in part]
        quoted = [number for number in flat if isinstance(number, str)]
        require(not quoted, f"{quoted[:1]} is text; give numbers, without quotes")
        return [*numbers(flat, len(self.fields), self.expected)]

    def _texts(self, answer: Any) -> list[Value]:
        require(
            not isinstance(answer, str | bytes) and hasattr(answer, "__iter__"),
            f"give {self.expected} one by one, in a list; got {answer!r}",
        )
        given = [one.decode() if isinstance(one, bytes) else one for one in answer]
        strange = [one for one in given if not isinstance(one, str)]
        require(not strange, f"{strange[:1]} is no text; write it in quotes")
        count = len(self.fields)
        require(
            len(given) == count, f"expected {self.expected}, got {len(given)} of them"
        )
        return [one.replace("␣", " ") for one in given]


def _breaks(rule: Rule, given: Sequence[Value]) -> bool:
    chosen = [given[place] for place in rule.at]
    if rule.kind == "total":
        off = sum(map(float, chosen)) - float(rule.values[0])
        return not abs(off) <= rule.within[0]
    if rule.kind == "begins":
        return not any(str(text).startswith(str(rule.values[0])) for text in chosen)
    alike = all(map(_near, chosen, rule.values, rule.within))
    return alike == (rule.kind == "slip")


def _near(given: Value, value: Value, within: float) -> bool:
    if isinstance(given, str) or isinstance(value, str):
        return given == value
    return abs(given - value) <= within


def fill(says: str, given: Sequence[Value]) -> str:
    """A sentence with the numbers of an answer.

    `{0}` is the first one, `{0:,}` with its thousands apart, `{0^10}` its tenth power,
    and `{sum 1 2}` the sum of the second and the third.

    >>> fill("{0}, {1:,}, {0^2}, {sum 0 1}", [0.5, 3000])
    '0.5, 3,000, 0.25, 3000.5'
    """

    def one(found: re.Match[str]) -> str:
        if found["sum"]:
            return f"{sum(float(given[int(i)]) for i in found['sum'].split()):g}"
        value = given[int(found["place"])]
        if isinstance(value, str):
            return f"“{value.replace(' ', '␣')}”"
        if found["power"]:
            return f"{value ** int(found['power']):.3g}"
        return f"{value:,.0f}" if found["apart"] else f"{value:g}"

    return _FIELD.sub(one, says)


def relative(value: float) -> float:
    """Half a percent of a number, of 1 at least: how far an answer may be rounded."""
    return 0.005 * max(1.0, abs(value))


def by_hand(
    number: str,
    title: str,
    *,
    hints: tuple[str, ...],
    fields: Sequence[str],
    rules: Sequence[Rule],
    right: str,
    expected: str,
    within: float | Callable[[float], float] = relative,
    text: bool = False,
) -> ByHand:
    """Register an exercise that is judged by rules.

    `within` is how far a number may be from the one of a rule, where the rule itself
    does not say so. Numbers that are given in parts, as a shape and a place, are read
    one after the other. Raises ValueError for a rule that looks at no field or has
    another number of values, and as `exercise` does.
    """

    def far(value: Value) -> float:
        if isinstance(value, str):
            return 0.0
        return within(value) if callable(within) else within

    for rule in rules:
        alike = rule.kind in ("total", "begins") or len(rule.at) == len(rule.values)
        if not alike or not {*rule.at} <= {*range(len(fields))}:
            raise ValueError(
                f"exercise {number}: {rule.says!r} looks at {rule.at} for "
                f"{rule.values}; there are {len(fields)} fields"
            )
    table = ByHand(
        tuple(fields),
        tuple(
            rule if rule.within else replace(rule, within=tuple(map(far, rule.values)))
            for rule in rules
        ),
        right,
        expected,
        text,
    )

    def judge(answer: Any) -> str:
        return table.judge(answer)

    # as if it were written in the chapter's module
    judge.__module__ = f"{__package__}.{module_of(number)}"
    judge.__qualname__ = f"{title} by hand"
    exercise(number, title, hints=hints, by_hand=table)(judge)
    return table


def softmax(scores: Sequence[float]) -> list[float]:
    """Powers of e, divided by their sum: for rules that compare with weights."""
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]
