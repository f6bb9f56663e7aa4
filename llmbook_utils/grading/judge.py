"""What runs in a student's kernel after an answer: the judge, from a copy of its own.

Not built on a page. A student who redefines `check`, or changes the framework's
modules, changes nothing here: the modules are loaded afresh for each judgment.
"""

import contextlib
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from IPython.display import display

from llmbook_utils.grading.limits import MIME, UNNAMED

FRAMEWORK = "llmbook_utils.exercises"


def judge(
    number: str, answer: Callable[[], object], token: str, seed: int | None
) -> None:
    """Show a grader the verdict on an answer, with readers' data and with `seed`'s."""
    passed, message = False, ""
    try:
        value = answer()
    except NameError as error:
        name = getattr(error, "name", None) or "the name that is asked for"
        message = f"{UNNAMED}nothing in the notebook is called {name}."
    except Exception as error:
        message = f"not yet: the answer stops with {type(error).__name__}: {error}"
    else:
        passed, message = _verdict(number, value, seed)
    verdict = {"number": number, "passed": passed, "message": message, "token": token}
    display({MIME: verdict}, raw=True)


def _verdict(number: str, value: object, seed: int | None) -> tuple[bool, str]:
    with _own_framework() as framework, contextlib.redirect_stdout(io.StringIO()):
        first = framework.check(number, value)
        if not first or seed is None:
            return first.passed, first.message
        second = framework.check(number, value, seed=seed)
    if second:
        return True, first.message
    return False, f"right for the data of `check`, but with other data {second.message}"


@contextlib.contextmanager
def _own_framework() -> Iterator[Any]:
    """The framework of the exercises, loaded afresh; what was there comes back."""
    before: dict[str, ModuleType] = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        if name == FRAMEWORK or name.startswith(f"{FRAMEWORK}.")
    }
    try:
        yield importlib.import_module(FRAMEWORK)
    finally:
        for name in [name for name in sys.modules if name.startswith(FRAMEWORK)]:
            del sys.modules[name]
        sys.modules.update(before)
