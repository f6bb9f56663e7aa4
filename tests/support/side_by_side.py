"""A plugin for pytest: what stays together where pytest-xdist runs tests in processes.

With `--dist loadfile` a process takes a file's tests at a time: all cells of a notebook
in order, or a test file. Files named here are shared out in smaller parts.
"""

from typing import Any

import pytest

# each parameter of these tests, as `[intro.html-wide]`, is a part of its own
IN_PARTS = ("tests/site/test_pages.py",)


def part_of(nodeid: str) -> str:
    """The name of the part that a test belongs to: a process runs it as a whole.

    >>> part_of("tests/site/test_pages.py::test_widgets_stand[intro.html-wide]")
    'tests/site/test_pages.py[intro.html-wide]'
    >>> part_of("tests/unit/test_env.py::test_on[1]")
    'tests/unit/test_env.py'
    """
    file, _, name = nodeid.partition("::")
    _, bracket, parameters = name.partition("[")
    return file + bracket + parameters if file in IN_PARTS else file


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Put the notebooks first, for they take longest."""
    items.sort(key=lambda item: item.path.suffix != ".ipynb")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    """Share out parts in the order of the tests."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Parts(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return part_of(nodeid)

    config.option.loadscopereorder = False
    return Parts(config, log)
