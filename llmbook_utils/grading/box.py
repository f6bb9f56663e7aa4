"""The process that one submission runs in: limits, walls, a kernel, verdicts.

Not built on a page. It reads its job as JSON and writes verdicts, a line each, as they
come, so that what was judged stays judged whatever happens after.
"""

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO

import nbformat
from jupyter_core.utils import ensure_async
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from llmbook_utils.grading.limits import (
    MB,
    MIME,
    UNNAMED,
    Limits,
    raise_walls,
    set_limits,
)

# run before the student's code: a flood ends with an error and not with a full memory,
# and exit() ends nothing
QUIET = """
get_ipython().ask_exit = lambda: None

def _limit(most):
    import sys
    left = [most]
    class Limited:
        def __init__(self, stream):
            self.stream = stream
        def write(self, text):
            left[0] -= len(text)
            if left[0] < 0:
                raise RuntimeError(f"more than {most:,} characters were printed")
            return self.stream.write(text)
        def __getattr__(self, name):
            return getattr(self.stream, name)
    sys.stdout, sys.stderr = Limited(sys.stdout), Limited(sys.stderr)
    # a cell pays for its own flood, and not for that of another
    refill = lambda *_: left.__setitem__(0, most)
    get_ipython().events.register("pre_run_cell", refill)

_limit(%d)
del _limit
"""


class Client(NotebookClient):
    """A client that keeps of the output only verdicts, and ends a flood."""

    def __init__(self, notebook: NotebookNode, most: int, **options: Any) -> None:
        super().__init__(notebook, **options)
        self.left, self.flooded = most, False

    def process_message(self, msg: Any, cell: NotebookNode, cell_index: int) -> Any:
        """Count what comes, and drop everything that is no verdict."""
        content = msg["content"]
        self.left -= len(str(content.get("text", ""))) + len(
            str(content.get("data", ""))
        )
        if self.left < 0:  # it went round the guard inside
            if not self.flooded and self.km is not None:
                self.flooded = True
                kill = ensure_async(self.km.signal_kernel(signal.SIGKILL))
                self.killing = asyncio.ensure_future(kill)
            return None
        if msg["msg_type"] in ("stream", "update_display_data", "execute_result"):
            return None
        return super().process_message(msg, cell, cell_index)


class Box:
    """Runs the cells of a job one by one and reports."""

    def __init__(self, job: dict[str, Any], report: TextIO) -> None:
        self.limits, self.token = Limits(**job["limits"]), job["token"]
        self.notebook = nbformat.from_dict(job["notebook"])
        self.judges = {int(at): number for at, number in job["judges"].items()}
        self.report = report
        self.stop = ""  # how the student's last cell ended, if unfinished

    def say(self, **line: object) -> None:
        """Write one line, at once."""
        self.report.write(json.dumps(line) + "\n")
        self.report.flush()

    async def run(self, folder: Path) -> None:
        """Run all cells; the last line says how it ended."""
        client = Client(
            self.notebook,
            most=int(20 * self.limits.output * MB),
            timeout=self.limits.cell_seconds,
            iopub_timeout=60,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": str(folder)}},
        )
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        async with client.async_setup_kernel(cwd=str(folder), **quiet):
            guard = nbformat.v4.new_code_cell(QUIET % int(self.limits.output * MB))
            self.notebook.cells.insert(1, guard)
            for at in range(len(self.notebook.cells)):
                if ended := await self.run_cell(client, at):
                    self.say(ended=ended)
                    return
        self.say(ended="")

    async def run_cell(self, client: Client, at: int) -> str:
        """Run a cell; a sentence where nothing can run after it, else an empty one."""
        cell, number = self.notebook.cells[at], self.judges.get(at - 1)
        seconds = f"{self.limits.cell_seconds:g} seconds"
        if not number:
            self.stop = ""
        try:
            await self.execute(client, cell, at)
        except CellTimeoutError:
            if number:
                self.say(
                    number=number, passed=False, message=f"not yet: {LONG % seconds}"
                )
            else:
                self.stop = f"ran for more than {seconds} and was interrupted"
            if not await self.interrupted(client):
                return f"a cell ran for more than {seconds} and could not be stopped"
        except DeadKernelError:
            return FLOOD if client.flooded else DEAD
        if number:
            self.say_verdict(cell, number)
        elif not self.stop:
            self.stop = error_in(cell)
        return ""

    async def execute(self, client: Client, cell: NotebookNode, at: int) -> None:
        """Execute a cell, and leave no task behind that would read the next one's."""
        others = asyncio.all_tasks()
        try:
            await client.async_execute_cell(cell, at)
        finally:
            for task in asyncio.all_tasks() - others:
                task.cancel()

    async def interrupted(self, client: Client) -> bool:
        """Interrupt the kernel; tell whether it answers again."""
        assert client.km is not None
        await ensure_async(client.km.interrupt_kernel())
        probe = nbformat.v4.new_code_cell("None")
        self.notebook.cells.append(probe)
        patience, client.timeout = client.timeout, 10
        try:
            await self.execute(client, probe, len(self.notebook.cells) - 1)
        except (CellTimeoutError, DeadKernelError):
            return False
        finally:
            client.timeout = patience
            self.notebook.cells.remove(probe)
        return True

    def say_verdict(self, cell: NotebookNode, number: str) -> None:
        """Hand on the verdict that a judge's cell has shown, if it is the judge's."""
        for output in cell.outputs:
            if output.output_type == "error":
                said = f"not judged: {output.ename}: {output.evalue}"
                self.say(number=number, passed=False, message=said)
            found = output.get("data", {}).get(MIME, {})
            if found.get("token") == self.token and found.get("number") == number:
                passed, message = bool(found["passed"]), str(found["message"])
                message = with_stop(message, self.stop)
                self.say(number=number, passed=passed, message=message)


def error_in(cell: NotebookNode) -> str:
    """How a cell stopped, such as `stops with SyntaxError: …`; empty if it did not."""
    for output in cell.outputs:
        if output.output_type == "error":
            said = f"{output.ename}: {output.evalue}".splitlines()[0][:MOST_OF_ERROR]
            said = said.removesuffix(": ")  # some errors say no more than their name
            # a kernel's name for a cell is that of a temporary file
            return "stops with " + re.sub(r"\([^() ]+, (line \d+)\)", r"(\1)", said)
    return ""


def with_stop(message: str, stop: str) -> str:
    """A verdict with what happened in the cell that was to answer, if that matters.

    >>> with_stop("not started yet: nothing is called f.", "stops with E: no")
    'not yet: the cell stops with E: no, and nothing is called f.'
    >>> with_stop("Right.", "stops with E: no")
    'Right. (The cell stops with E: no.)'
    """
    if not stop:
        return message
    if message.startswith(UNNAMED + "nothing"):
        return f"not yet: the cell {stop}, and {message.removeprefix(UNNAMED)}"
    return f"{message} (The cell {stop.rstrip('.')}.)"


MOST_OF_ERROR = 200  # characters of an error's message
FLOOD = "it put out far more than is allowed"
DEAD = "its kernel died: it ended itself, or wanted too much memory"
LONG = "judging the answer took more than %s; does it end?"


def main() -> None:
    """Do the job that comes on standard input, and report on standard output."""
    if "--probe" in sys.argv:
        raise_walls(Path(sys.argv[-1]), Limits())
        return
    job = json.load(sys.stdin)
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is printed here is no report
    box = Box(job, report)
    folder = Path(job["folder"])
    if job["walled"]:
        raise_walls(folder, box.limits)
    for name in ("home", "tmp", "work"):
        (folder / name).mkdir()
    for file, data in job["files"].items():
        place = folder / "work" / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(base64.b64decode(data))
    set_limits(box.limits)
    os.chdir(folder / "work")
    asyncio.run(box.run(folder / "work"))


if __name__ == "__main__":
    main()
