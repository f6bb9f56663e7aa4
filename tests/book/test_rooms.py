"""The library's rooms: what may import what, and what stands at the top."""

import ast
import graphlib
from pathlib import Path

import pytest
from book import ROOT
from book_code import homes

PACKAGE = ROOT / "llmbook_utils"
# a room may import the top level and the rooms before it
ROOMS = ["files", "runs", "inside", "exercises", "grading", "widgets"]
# what stands at the top without being built on a page
TOOLS = {"__init__", "__main__", "cli", "env", "plots"}
# page modules that read or write files, and may therefore enter a room
READERS = {
    "pretrained",
    "checkpoint",
    "pretrain",
    "tokenizer",
    "lora",
    "classify",
    "instruct",
    "evaluate",
}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "__init__"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(name: str, *, inside_functions: bool = True) -> set[str]:
    """The modules of the library that a module imports."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if inside_functions else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            top, _, module = node.module.partition(".")
            if top == "llmbook_utils":
                inner = {f"{module}.{alias.name}".strip(".") for alias in node.names}
                found |= (inner & MODULES.keys()) or {module}
    return found - {""}


def room(name: str) -> str:
    return name.split(".")[0] if name.split(".")[0] in ROOMS else ""


def test_no_two_modules_need_each_other():
    graph = {name: imported(name, inside_functions=False) for name in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= 50


@pytest.mark.parametrize("name", [name for name in MODULES if room(name)])
def test_a_room_imports_the_top_level_and_rooms_below_it(name):
    above = ROOMS[ROOMS.index(room(name)) + 1 :]
    climbs = [other for other in imported(name) if room(other) in above]
    assert not climbs, f"{name} imports {climbs}"
    # `python -m` of a room is a second door to the command
    assert name.endswith(".__main__") or not imported(name) & {"cli", "__main__"}


@pytest.mark.parametrize("name", [name for name in MODULES if "." not in name])
def test_the_top_level_is_the_books_table_of_contents(name):
    if name in ROOMS or name in TOOLS or name == "web":
        return
    assert homes(MODULES[name].read_text(encoding="utf-8")), f"{name} has no page"
    entered = {room(other) for other in imported(name)} - {""}
    assert entered <= {"files", "runs"}, f"{name} enters {entered}"
    assert not entered or name in READERS, f"{name} enters {entered}"
    assert not imported(name) & {"cli", "plots"}
