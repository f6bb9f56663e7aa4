"""Exercises that check themselves: `check("2.1", answer)` judges, `hint("2.1")` helps.

A chapter's checks live in a module of their own (`ch02`, `app_a`), loaded when one of
its exercises is asked for. They judge what an answer does, not how it is written, and
know nothing of the solutions in Appendix C. Not built on a page.
"""

import dis
import importlib
import inspect
import pkgutil
import random
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmbook_utils.files.progress import note_passed

if TYPE_CHECKING:
    from llmbook_utils.exercises.by_hand import ByHand

__all__ = [
    "Exercise",
    "Verdict",
    "Wrong",
    "check",
    "exercise",
    "fresh",
    "hint",
    "numbers",
    "registered",
    "require",
    "varied",
]

Judge = Callable[..., str]

_registry: dict[str, "Exercise"] = {}
# what a grader asks for besides what readers see; None for readers
_seed: ContextVar[int | None] = ContextVar("seed", default=None)
_QUIET = {
    "RESUME",
    "NOP",
    "CACHE",
    "COPY_FREE_VARS",
    "LOAD_CONST",
    "RETURN_CONST",
    "RETURN_VALUE",
}


class Wrong(Exception):
    """What a judge raises, with a sentence for the reader, at a wrong answer."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: number, title, three hints from vague to precise, and its judge.

    `by_hand` are its rules, where its answer is numbers or texts: pages judge by them.
    """

    number: str
    title: str
    hints: tuple[str, ...]
    judge: Judge
    by_hand: "ByHand | None" = None


@dataclass(frozen=True)
class Verdict:
    """What `check` says: true when the answer passed; shown once, as it is printed."""

    number: str
    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return f"Exercise {self.number}: {self.message}"

    def __repr__(self) -> str:
        return f"<exercise {self.number}: {'passed' if self.passed else 'not yet'}>"

    def _ipython_display_(self) -> None:
        """Add nothing to the output of a cell that ends in `check(...)`."""


def require(condition: object, message: str) -> None:
    """Raise `Wrong(message)` unless the condition holds."""
    if not condition:
        raise Wrong(message)


def numbers(answer: Iterable[Any], count: int, expected: str) -> list[float]:
    """The answer as `count` numbers; `Wrong`, with what was `expected`, for others."""
    given = [float(number) for number in answer]
    require(len(given) == count, f"expected {expected}, got {len(given)}")
    return given


def varied(seed: int) -> int:
    """The seed that a judge draws from: `seed` itself, unless `check` was given one.

    >>> varied(7)
    7
    """
    asked = _seed.get()
    if asked is None:
        return seed
    return random.Random(f"{asked} and {seed}").getrandbits(31)


def fresh(count: int) -> list[random.Random]:
    """Sources of chance for cases that only `check(..., seed=...)` tries.

    A judge whose cases are written down draws `count` more from them; for a reader, who
    gives no seed, the list is empty.

    >>> fresh(3)
    []
    """
    asked = _seed.get()
    if asked is None:
        return []
    return [random.Random(f"{asked}, case {number}") for number in range(count)]


def exercise(
    number: str,
    title: str,
    *,
    hints: tuple[str, ...],
    by_hand: "ByHand | None" = None,
) -> Callable[[Judge], Judge]:
    """Register the decorated function as the judge of an exercise.

    The judge gets the reader's answer; it raises `Wrong` (mostly through `require`) or
    returns a sentence for a right one. Raises ValueError unless there are three hints
    and the number is free.
    """
    if len(hints) != 3:
        raise ValueError(
            f"exercise {number} has {len(hints)} hints; give 3, from vague to precise"
        )

    def register(judge: Judge) -> Judge:
        known = _registry.get(number)
        if known and _origin(known.judge) != _origin(judge):
            raise ValueError(
                f"{number} is {known.title!r} already; give {title!r} another number"
            )
        _registry[number] = Exercise(number, title, hints, judge, by_hand)
        return judge

    return register


def check(number: str, answer: object = None, *, seed: int | None = None) -> Verdict:
    """Judge an answer, print the verdict and return it; errors become verdicts too.

    What has passed is noted in a file on this computer: `llmbook progress` shows it.

    With a `seed`, the judge draws other data than a reader's check does: a grader's
    second look. Where an answer is a number or the like, there is nothing to draw.
    """
    found, before = _find(number), _seed.set(seed)
    try:
        passed, message = _judge(found, answer) if found else (False, _unknown(number))
    finally:
        _seed.reset(before)
    if passed:
        note_passed(number)
    verdict = Verdict(str(number), passed, message)
    print(verdict)
    return verdict


def hint(number: str, level: int = 1) -> None:
    """Print one of an exercise's hints: level 1 is vague, level 3 says what to do."""
    found = _find(number)
    if found is None:
        print(f"Exercise {number}: {_unknown(number)}")
    elif level not in range(1, len(found.hints) + 1):
        print(
            f"Exercise {number}: there is no hint {level!r}; "
            f"levels are 1 to {len(found.hints)}."
        )
    else:
        print(f"Hint {level} of {len(found.hints)}: {found.hints[level - 1]}")


def registered() -> dict[str, Exercise]:
    """Load every chapter's checks; map numbers to exercises, in the book's order."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):  # __main__ is the command
            importlib.import_module(f"{__name__}.{module.name}")
    return {number: _registry[number] for number in sorted(_registry, key=_place)}


def _place(number: str) -> tuple[bool, str, int]:
    """Sort chapters before appendices, and 2.10 after 2.9."""
    chapter, _, item = number.partition(".")
    return chapter.isalpha(), chapter.zfill(2), int(item)


def _origin(judge: Judge) -> tuple[str, str]:
    return judge.__module__, judge.__qualname__


def module_of(number: str) -> str:
    """The module of an exercise's chapter.

    >>> module_of("2.10"), module_of("A.1")
    ('ch02', 'app_a')
    """
    chapter = number.partition(".")[0]
    return f"app_{chapter.lower()}" if chapter.isalpha() else f"ch{chapter:>02}"


def _find(number: object) -> Exercise | None:
    """Look an exercise up, loading its chapter's checks first."""
    match = re.fullmatch(r"(\d{1,2}|[A-Z])\.\d+", str(number))
    if match is None:
        return None
    module = module_of(match[0])
    if module in {found.name for found in pkgutil.iter_modules(__path__)}:
        importlib.import_module(f"{__name__}.{module}")
    return _registry.get(number) if isinstance(number, str) else None


def _unknown(number: object) -> str:
    """Say that there is no such exercise, and which ones there are."""
    if not isinstance(number, str):
        return f'a number is text; write "{number}" in quotes.'
    chapter, known = number.partition(".")[0], list(registered())
    same = [other for other in known if other.partition(".")[0] == chapter]
    where = "this chapter" if same else "the book"
    return f"there is no such exercise; {where} has {', '.join(same or known)}."


def _judge(found: Exercise, answer: object) -> tuple[bool, str]:
    """Tell whether an answer passes, and why; `exit()` counts as an error."""
    if _is_blank(answer):
        first_hint = f'hint("{found.number}") gives a first hint.'
        return False, f"not started yet. Write your answer; {first_hint}"
    try:
        return True, found.judge(answer)
    except Wrong as wrong:
        return False, f"not yet: {wrong}"
    except (Exception, SystemExit) as error:
        return False, f"not yet: {_describe(error)}"


def _describe(error: BaseException) -> str:
    """Put an error into words, with the line of the reader's code where it happened."""
    what = traceback.format_exception_only(error)[-1].strip()
    lines = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_readers(frame.filename)
    ]
    if not lines:
        return f"the answer is not of the kind that the task asks for ({what})."
    last = lines[-1]
    where = f"line {last.lineno}, `{last.line}`" if last.line else f"line {last.lineno}"
    return f"your code stopped with {what} ({last.name}, {where})."


def _is_readers(filename: str) -> bool:
    """Tell a reader's file or cell from the library's, Python's and installed ones."""
    ours, pythons = str(Path(__file__).parents[1]), sysconfig.get_path("stdlib")
    installed = {"site-packages", "dist-packages"} & set(Path(filename).parts)
    return not (installed or filename.startswith((ours, pythons, "<frozen")))


def _is_blank(answer: object) -> bool:
    """Tell whether nothing is written: None, `...`, an empty body, or only these."""
    if answer is None or answer is ...:
        return True
    if inspect.isclass(answer):
        written = [item for item in vars(answer).items() if _is_own(*item)]
        own = [getattr(member, "__func__", member) for _, member in written]
        return all(
            inspect.isfunction(member) and _has_empty_body(member) for member in own
        )
    if inspect.isfunction(answer):
        return _has_empty_body(answer)
    members = list(answer.values()) if isinstance(answer, dict) else answer
    return (
        isinstance(members, list | tuple)
        and len(members) > 0
        and all(map(_is_blank, members))
    )


def _is_own(name: str, member: object) -> bool:
    """Tell what a class's author wrote from what Python adds."""
    return inspect.isfunction(member) or not (
        name.startswith("__") and name.endswith("__")
    )


def _has_empty_body(function: Callable[..., object]) -> bool:
    """Tell by its bytecode whether a body does nothing or is only not implemented."""
    steps = list(dis.get_instructions(inspect.unwrap(function)))
    busy = [step for step in steps if step.opname not in _QUIET]
    if busy:
        raises = any(step.opname == "RAISE_VARARGS" for step in busy)
        return raises and busy[0].argval in ("NotImplementedError", NotImplementedError)
    return all(step.argval is None for step in steps if "CONST" in step.opname)
