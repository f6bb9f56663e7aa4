"""A notebook as a run: its parameters checked, and the values that it yields read.

Not built on a page. What papermill lets pass is refused here before anything runs: a
name that the notebook does not have, a value of another type.
"""

import ast
import contextlib
import hashlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

MIME = "application/vnd.llmbook.values+json"
OURS = "values-of-the-run"  # the id of the cell that is added


def read_notebook(path: Path) -> NotebookNode:
    """The notebook of a file; FileNotFoundError or ValueError name what is wrong."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no notebook {path}")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # of several libraries
        raise ValueError(f"{path} is not a notebook: {error}") from error


def code_of(notebook: NotebookNode) -> list[str]:
    """The source of its code cells."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def digest(notebook: NotebookNode) -> str:
    """The sha256 of all code: two notebooks that do the same have the same."""
    return hashlib.sha256("\0".join(code_of(notebook)).encode()).hexdigest()


def defaults(notebook: NotebookNode, path: Path) -> dict[str, Any]:
    """The parameters of a notebook and their values; ValueError without such a cell."""
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{path} has {len(cells)} cells tagged parameters, not one")
    found = {}
    for node in ast.parse(cells[0].source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:  # calculated: any type may be right
                found[node.targets[0].id] = ...
    return found


def fitting(name: str, value: Any, default: Any) -> Any:
    """The value, if its type is the default's; ValueError says what it should be.

    >>> fitting("lr", 1, 0.5)
    1.0
    >>> fitting("lr", "1e-3", 0.5)
    Traceback (most recent call last):
    ValueError: lr is '1e-3', which is text; it must be a number; YAML takes 1e-3 for text: write 1.0e-3
    """  # noqa: E501
    if default is ... or default is None or type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    kinds |= {str: "text", list: "a list", dict: "a table"}
    said = f"{name} is {value!r}, which is {kinds.get(type(value), type(value))}"
    hint = ""
    with contextlib.suppress(ValueError):
        if isinstance(value, str) and math.isfinite(float(value)):
            hint = "; YAML takes 1e-3 for text: write 1.0e-3"
    wanted = kinds.get(type(default), type(default).__name__)
    raise ValueError(f"{said}; it must be {wanted}{hint}")


def check_parameters(
    given: Mapping[str, Any], known: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    """The parameters, whole numbers made floats where that is meant, or ValueError."""
    if unknown := [name for name in given if name not in known]:
        names = ", ".join(known)
        raise ValueError(f"{path} has no parameter {unknown[0]!r}; it has {names}")
    return {name: fitting(name, value, known[name]) for name, value in given.items()}


def parse(name: str, text: str, known: Mapping[str, Any], path: Path) -> Any:
    """A value from the command line, read as the parameter's type wants it."""
    default = known.get(name, text)
    if isinstance(default, str):
        return text
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text  # which is refused, since it is text


def check_values(notebook: NotebookNode, places: Mapping[str, str], path: Path) -> None:
    """Raise ValueError where a value begins with a name that is never set."""
    stored = {
        node.id
        for source in code_of(notebook)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for name, place in places.items():
        if place.split(".")[0] not in stored:
            raise ValueError(f"{path} never sets what {name!r} is read from: {place}")


def look_up(space: Any, place: str) -> Any:
    """What stands at a place: the keys, positions and attributes between the dots.

    >>> look_up({"large": {"losses": [3.5, 2.5]}}, "large.losses.-1")
    2.5
    """
    found = space
    for part in place.split("."):
        try:
            if isinstance(found, Mapping):
                found = found[part]
            elif isinstance(found, Sequence) and not isinstance(found, str):
                found = found[int(part)]
            else:
                found = getattr(found, part)
        except (KeyError, IndexError, AttributeError, ValueError) as error:
            raise ValueError(f"there is no {part!r} in {place}") from error
    return found


def plain(value: Any) -> Any:
    """A value as JSON can hold it: a tensor of one number is that number, NaN text."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, int | float | str | None) else str(value)


def peak_memory() -> float | None:
    """GB that this process had at most; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e9, 2)


def collect(space: Mapping[str, Any], places: Mapping[str, str]) -> None:
    """Show the values of a run, and what its kernel used; called in the added cell."""
    import torch
    from IPython.display import display

    cuda = torch.cuda.is_initialized()
    mps = torch.backends.mps.is_available() and torch.mps.driver_allocated_memory() > 0
    found = {
        "values": {
            name: plain(look_up(space, place)) for name, place in places.items()
        },
        "kernel": {
            "device": "cuda" if cuda else "mps" if mps else "cpu",
            "device_name": torch.cuda.get_device_name() if cuda else None,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cpu_seconds": round(time.process_time(), 1),  # of all its threads
            "memory": peak_memory(),
            "device_memory": (
                round(torch.cuda.max_memory_allocated() / 1e9, 2) if cuda else None
            ),
        },
    }
    text = "\n".join(f"{name}: {value}" for name, value in found["values"].items())
    display({MIME: found, "text/plain": text}, raw=True)


def with_values(notebook: NotebookNode, places: Mapping[str, str]) -> NotebookNode:
    """The notebook and a last cell that shows the values of the run."""
    source = "from llmbook_utils.runs.notebook import collect\n\n"
    source += f"collect(globals(), {dict(places)!r})"
    cell = nbformat.v4.new_code_cell(source, id=OURS)
    return NotebookNode({**notebook, "cells": [*notebook.cells, cell]})


def values_of(notebook: NotebookNode) -> dict[str, Any]:
    """What the added cell of an executed notebook has shown; {} if it never did."""
    for cell in reversed(notebook.cells):
        for output in cell.get("outputs", []):
            if MIME in output.get("data", {}):
                return dict(output["data"][MIME])
    return {}


def begun(notebook: NotebookNode) -> int:
    """How many code cells papermill has begun with."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    about = (cell.metadata.get("papermill", {}) for cell in code)
    return sum(bool(found.get("start_time")) for found in about)
