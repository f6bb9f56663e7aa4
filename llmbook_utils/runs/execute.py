"""A notebook is executed by papermill: within a time, and with its end put in words.

Not built on a page. Whatever ends a run, the notebook is kept as far as it came.
"""

import contextlib
import errno
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from llmbook_utils.env import variable

# what an exception in a cell is called where memory or the network was short
MEMORY = ("MemoryError", "OutOfMemoryError")
NETWORK = {"ConnectionError", "ConnectError", "ConnectTimeout", "ReadTimeout"}
NETWORK |= {"HfHubHTTPError", "LocalEntryNotFoundError", "URLError", "gaierror"}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Stopped(KeyboardInterrupt):
    """The system asked the process to end; nbclient swallows no KeyboardInterrupt."""


class OutOfTime(Exception):
    """The run took longer than its entry allows."""


def ending(error: BaseException) -> tuple[str, str]:
    """What a run died of, in a word and in a sentence."""
    name, said = getattr(error, "ename", type(error).__name__), str(error)
    said = f"{name}: {getattr(error, 'evalue', said)}"
    if isinstance(error, OutOfTime) or name == "CellTimeoutError":
        return "timed out", str(error)
    if isinstance(error, KeyboardInterrupt):
        return "stopped", said
    if name == "DeadKernelError":
        return "killed", "the kernel died; often the system had no memory left"
    if isinstance(error, OSError) and error.errno in FULL:
        return "disk full", said
    if name in MEMORY or "allocate memory" in said or "out of memory" in said:
        return "out of memory", said
    return ("network gone" if name in NETWORK else "failed"), said


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise OutOfTime inside after some seconds, and Stopped where the system says end.

    Both end the cell at once, so that its output is kept. Windows, and threads other
    than the first, have neither.
    """

    def late(*_: object) -> None:
        raise OutOfTime(f"it was stopped after {seconds / 60:g} minutes")

    def end(*_: object) -> None:
        raise Stopped("the system asked it to end")

    main = threading.current_thread() is threading.main_thread()
    if not (main and hasattr(signal, "setitimer")):
        yield
        return
    before = signal.signal(signal.SIGALRM, late), signal.signal(signal.SIGTERM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before[0])
        signal.signal(signal.SIGTERM, before[1])


@contextlib.contextmanager
def quiet_cells() -> Iterator[None]:
    """No progress bars in the notebook's outputs; papermill's own stays."""
    from tqdm.auto import tqdm  # noqa: F401  it reads the setting as it is imported

    with variable("TQDM_DISABLE", "1"):
        yield


def execute(
    notebook: NotebookNode,
    out: Path,
    *,
    parameters: Mapping[str, Any],
    folder: Path,
    seconds: float,
) -> NotebookNode:
    """Run a notebook in `folder` and write it to `out` after each cell, as it comes."""
    import papermill

    bar = os.environ.get("TQDM_DISABLE") is None and sys.stderr.isatty()
    with quiet_cells(), limited(seconds):
        return papermill.execute_notebook(
            notebook,
            out,
            parameters=dict(parameters),
            kernel_name="python3",
            cwd=folder,
            progress_bar=bar,
            execution_timeout=math.ceil(seconds),
        )
