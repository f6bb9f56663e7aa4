"""The exercises of the pages, each with its text, stub and solution, and the set-up that they need.

Read from the notebooks: a stub is tagged `exercise:N.M` there, a solution `solution:N.M` in Appendix C.
What an assignment and a quiz are made of comes from here; nothing is kept a second time.
"""

import ast
import builtins
import re
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from llmbook_utils.grading.notebook import checked

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS = ROOT / "appendices" / "c-exercise-solutions.ipynb"
SENTENCE = re.compile(r"(?<=[.!?]) (?=\S)")
PLACE = re.compile(r"\bbelow the cell\b|\bthe cell below\b")  # on the page
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)\s]+\)")
FENCE = re.compile(r"```.*?```", re.DOTALL)
LOADS = re.compile(r"\b(?:load_\w+|get_encoding|split)\(")
INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Task:
    """An exercise: what the page asks, the cell to fill in, what `check` is given, a solution."""

    number: str
    title: str
    required: bool
    text: str  # Markdown, with its heading
    stub: str
    answer: str  # the expression that check judges
    own_solution: (
        str  # Appendix C's code, which leaves a right answer under the stub's names
    )
    prelude: str  # what the appendix has defined before, and the solution reads


@dataclass(frozen=True)
class Statement:
    """A top-level statement of a page: its text, the names that it binds and those that it reads."""

    text: str
    binds: frozenset[str]
    reads: frozenset[str]
    kind: str  # "import", "library", "definition" or "other"


def groups_of_pages() -> list[list[Path]]:
    """The pages of each chapter and appendix, in the book's order: 05-…, 05b-… and 05c-… are one."""
    groups: dict[str, list[Path]] = {}
    pages = sorted(ROOT.glob("chapters/*.ipynb")) + sorted(
        ROOT.glob("appendices/*.ipynb")
    )
    for page in pages:
        if page != SOLUTIONS:
            groups.setdefault(page.name.partition("-")[0][:2], []).append(page)
    return list(groups.values())


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def tagged(
    cells: Iterable[NotebookNode], kind: str
) -> Iterator[tuple[str, NotebookNode]]:
    """The cells with a tag `kind:value`, each with its value."""
    for cell in cells:
        for tag in sorted(tags(cell)):
            if tag.startswith(f"{kind}:"):
                yield tag.partition(":")[2], cell


def bound(node: ast.stmt) -> set[str]:
    """The names that a top-level statement binds."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(one.asname or one.name).partition(".")[0] for one in node.names}
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return set()  # what a loop leaves behind is not what an exercise begins with
    names = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
    return {one.id for one in names if isinstance(one.ctx, ast.Store)}


def read_names(source: str) -> set[str]:
    """The global names that code reads, also inside functions; builtins left out."""
    found: set[str] = set()

    def visit(table: symtable.SymbolTable) -> None:
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                found.add(symbol.get_name())
        for child in table.get_children():
            visit(child)

    visit(symtable.symtable(source, "<cell>", "exec"))
    return found - set(dir(builtins))


def segment(source: str, node: ast.stmt) -> str:
    """A statement's own text, decorators included."""
    first = min(one.lineno for one in (node, *getattr(node, "decorator_list", [])))
    return "\n".join(source.splitlines()[first - 1 : node.end_lineno])


def statements(cells: Iterable[NotebookNode]) -> list[Statement]:
    """What the code of a page binds, in order; the library's own text counts as an import of it."""
    found = []
    for cell in cells:
        if cell.cell_type != "code":
            continue
        library = next(
            (tag[4:] for tag in sorted(tags(cell)) if tag.startswith("lib:")), ""
        )
        for node in ast.parse(cell.source).body:
            names, text = bound(node), segment(cell.source, node)
            kind = (
                "definition"
                if isinstance(node, ast.FunctionDef | ast.ClassDef)
                else "other"
            )
            if isinstance(node, ast.Import | ast.ImportFrom):
                kind = "import"
            elif library and names:
                kind, module = "library", library.replace("/", ".")
                text = f"from llmbook_utils.{module} import {', '.join(sorted(names))}"
            reads = (
                frozenset()
                if kind in ("import", "library")
                else frozenset(read_names(text))
            )
            found.append(Statement(text, frozenset(names), reads, kind))
    return found


def needed(
    names: Iterable[str], known: list[Statement], given: set[str]
) -> list[Statement]:
    """The statements that bind these names, with all that they read in turn, in the page's order.

    A name in `given` is there already; one that no statement binds is left out.
    """
    chosen: set[int] = set()
    waiting = [(name, len(known)) for name in names]
    while waiting:
        name, before = waiting.pop()
        places = [at for at in range(before) if name in known[at].binds]
        places = places or [at for at, one in enumerate(known) if name in one.binds]
        if name in given or not places or places[-1] in chosen:
            continue
        chosen.add(places[-1])
        waiting += [(other, places[-1]) for other in known[places[-1]].reads]
    return [known[at] for at in sorted(chosen)]


def setup_code(needs: Iterable[Statement], names: set[str]) -> str:
    """Code for a set-up cell: the imports of these names, each once, then the rest."""
    modules: dict[str, set[str]] = {}
    plain, rest = set(), []
    for one in needs:
        node = ast.parse(one.text).body[0]
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            parts = {
                ast.unparse(alias)
                for alias in node.names
                if (alias.asname or alias.name) in names
            }
            modules.setdefault(node.module or "", set()).update(parts)
        elif isinstance(node, ast.Import):
            plain.add(one.text)
        elif one.kind not in ("import", "library"):
            rest.append(one.text)
    lines = sorted(plain)
    for own in (False, True):
        part = [
            name for name in sorted(modules) if name.startswith("llmbook_utils") == own
        ]
        lines += [wrapped(name, sorted(modules[name])) for name in part]
    return "\n".join(lines) + "".join(f"\n\n{text}" for text in rest)


def wrapped(module: str, names: list[str]) -> str:
    """An import, its names one a line where one line is too short for them."""
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= 88:
        return line
    return (
        f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
    )


def without_check(source: str) -> str:
    """Code without the `check` at its end, and without what it prints on the way."""
    body = [
        node
        for node in ast.parse(source).body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
    ]
    return "\n\n".join(segment(source, node) for node in body)


def solved(stub: str, number: str, source: str) -> str:
    """A solution of Appendix C as code that binds the names which the stub's `check` is given."""
    wanted, given = checked(stub, number), checked(source, number)
    code = without_check(source)
    if given != wanted:
        target = wanted.strip("[]()")
        code += f"\n\n{target} = {given}"
    return code.strip()


def exercise_text(cells: list[NotebookNode], at: int, number: str) -> str:
    """The Markdown from an exercise's heading to its stub, links inside the book as plain words."""
    start = f"### Exercise {number}:"
    first = next(
        place
        for place in range(at, -1, -1)
        if cells[place].cell_type == "markdown" and start in cells[place].source
    )
    parts = [cell.source for cell in cells[first:at] if cell.cell_type == "markdown"]
    text = "\n\n".join(parts)
    return without_places(LINK.sub(r"\1", text[text.index(start) :]))


def without_places(text: str) -> str:
    """Prose without the sentences that send a reader to a cell or hints that only the page has.

    >>> without_places("Two help. If not, open the cell below this exercise. Go.")
    'Two help. Go.'
    """
    lines = [
        " ".join(one for one in SENTENCE.split(line) if not PLACE.search(one))
        for line in text.split("\n")
    ]
    return "\n".join(lines).strip()


def mentioned(text: str) -> set[str]:
    """The names that code in the prose reads, such as `Value` or `loss_without(mini, ids)`."""
    names: set[str] = set()
    for code in INLINE.findall(FENCE.sub("", text)):
        try:
            names |= read_names(code)
        except SyntaxError:
            continue
    return names


def local_names(source: str) -> set[str]:
    """All names that a stub binds, parameters included."""
    tree = ast.walk(ast.parse(source))
    return {node.arg for node in tree if isinstance(node, ast.arg)} | {
        name for node in ast.parse(source).body for name in bound(node)
    }


def setup_of(cells: list[NotebookNode], tasks: list[Task]) -> str:
    """The set-up cell for the exercises of a page.

    It has what their stubs read, the functions and classes that their texts name, the texts and models
    that these name, and the imports that the solutions use, as far as the page has them and no exercise
    asks for them.
    """
    known = statements(cells)
    asked = {
        name
        for task in tasks
        for node in ast.parse(task.stub).body
        for name in bound(node)
    }
    code = {name for task in tasks for name in read_names(task.stub)} - asked
    tools = {
        name for one in known if one.kind in ("import", "library") for name in one.binds
    }
    code |= {
        name for task in tasks for name in read_names(task.own_solution) & tools
    } - asked
    named = {
        name for task in tasks for name in mentioned(task.text) - local_names(task.stub)
    } - asked
    short = {name for name in named - code if is_short(needed([name], known, asked))}
    needs = needed(code | short | {"check", "hint"}, known, asked)
    names = code | short | {"check", "hint"}
    return setup_code(needs, names | {name for one in needs for name in one.reads})


def is_short(needs: list[Statement]) -> bool:
    """Whether a name that a text mentions is a definition or something loaded: `Value`, `mini`."""
    values = [one for one in needs if one.kind == "other"]
    return len(values) <= 2 and (not values or bool(LOADS.search(values[-1].text)))


@dataclass(frozen=True)
class Solution:
    """The code of a solution in Appendix C, and what the appendix has bound before it."""

    source: str
    before: list[Statement]


def solutions() -> dict[str, Solution]:
    """The solution of each exercise as Appendix C has it."""
    found: dict[str, Solution] = {}
    before: list[Statement] = []
    for cell in nbformat.read(SOLUTIONS, as_version=4).cells:
        for number, _ in tagged([cell], "solution"):
            found[number] = Solution(cell.source, list(before))
        before += statements([cell])
    return found


def prelude_of(code: str, before: list[Statement], given: set[str]) -> str:
    """What a solution needs of the appendix before it; names in `given` are earlier answers."""
    names = read_names(code)
    needs = needed(names, before, given)
    return setup_code(needs, names | {name for one in needs for name in one.reads})


def tasks_of(
    cells: list[NotebookNode], solved_by: dict[str, Solution], given: set[str]
) -> list[Task]:
    """The exercises of a page, in its order; the names of their answers are added to `given`."""
    found = []
    for at, cell in enumerate(cells):
        for number, _ in tagged([cell], "exercise"):
            text = exercise_text(cells, at, number)
            title, _, rest = text.partition("\n")
            code = solved(cell.source, number, solved_by[number].source)
            prelude = prelude_of(code, solved_by[number].before, given)
            given |= {
                name for node in ast.parse(cell.source).body for name in bound(node)
            }
            required = rest.strip().startswith("*Required.*")
            answer = checked(cell.source, number)
            title = title.partition(": ")[2].replace("`", "")
            found.append(
                Task(number, title, required, text, cell.source, answer, code, prelude)
            )
    return found
