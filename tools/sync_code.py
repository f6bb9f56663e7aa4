"""Write the library's text into the notebooks: `make sync`.

A code cell tagged `lib:<module>` gets the exact text of the definitions that it names;
it may hold their old text or only their names, one a line. A Markdown cell tagged
`hints:<number>` gets that exercise's three hints. Cells tagged `page-check` are taken off the
site and collapsed in notebooks. Written are also the minutes that a page states, where an entry of
Appendix B is cited, where the exercise of a solution stands, what README and the front page
count, the tables of the syllabi and those of the instructor guide. Nothing else is touched, outputs
and cell ids included. `--check` writes nothing and fails where a page is out of date.
"""

import argparse
import ast
import copy
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
import syllabus
import wrong_answers
from back_links import REFERENCES, with_back_links
from counts import FRONT, stamp_counts, sync_readme
from minutes import stamp, stamp_map
from solution_links import SOLUTIONS, link_back

ROOT = Path(__file__).resolve().parents[1]


def names_of(node: ast.stmt) -> list[str]:
    """Name what a top-level statement defines; dunder names do not count."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if not name.startswith("__")]


def spans(source: str) -> dict[str, tuple[int, int]]:
    """Map each definition to its lines, with decorators and comments above."""
    lines, found = source.splitlines(), {}
    for node in ast.parse(source).body:
        first = min(
            part.lineno for part in [node, *getattr(node, "decorator_list", [])]
        )
        while first > 1 and lines[first - 2].startswith("#"):
            first -= 1
        place = (first - 1, node.end_lineno or node.lineno)
        found.update(dict.fromkeys(names_of(node), place))
    return found


def definitions(source: str) -> dict[str, str]:
    """Map each top-level definition to its exact text."""
    lines = source.splitlines()
    return {
        name: "\n".join(lines[first:last])
        for name, (first, last) in spans(source).items()
    }


def named_in(cell: str) -> list[str]:
    """List what a `lib:` cell defines, in its order; a ValueError if it holds more."""
    names = []
    for node in ast.parse(cell).body:
        bare = isinstance(node, ast.Expr) and isinstance(node.value, ast.Name)
        found = [node.value.id] if bare else names_of(node)
        if not found:
            raise ValueError(f"it holds {ast.unparse(node)!r}, which is no definition")
        names += found
    return names


def library_text(names: Iterable[str], source: str) -> str:
    """Join definitions: neighbors keep the library's blank lines, others get two.

    Raises ValueError for a name that the library does not define.
    """
    lines, places, text, end = source.splitlines(), spans(source), [], 0
    for name in names:
        if name not in places:
            raise ValueError(
                f"the library defines no {name!r}; it has {', '.join(places)}"
            )
        first, last = places[name]
        between = lines[end:first]
        neighbors = end <= first and not any(between)
        text += (between if neighbors else ["", ""]) if text else []
        text += lines[first:last]
        end = last
    return "\n".join(text)


def hints_text(hints: Iterable[str]) -> str:
    """Fold each hint into a `<details>`, which Jupyter, Colab and the site can open."""
    folded = "<details><summary>Hint {}</summary>\n\n{}\n\n</details>"
    return "\n\n".join(
        folded.format(level, hint) for level, hint in enumerate(hints, 1)
    )


def wanted(tag: str, cell: str) -> str | None:
    """The text that a cell with this tag must have; None if the tag is none of ours."""
    kind, _, name = tag.partition(":")
    if kind == "lib":
        library = (ROOT / "llmbook_utils" / f"{name}.py").read_text(encoding="utf-8")
        return library_text(named_in(cell), library)
    if kind == "hints":
        from llmbook_utils.exercises import registered

        return hints_text(registered()[name].hints)
    return None


def put_away(cell: nbformat.NotebookNode) -> bool:
    """Hide a cell that only the tests need, on the site and in notebooks; tell if it changed."""
    before = copy.deepcopy(cell.metadata)
    if "page-check" in cell.metadata.get("tags", []):
        cell.metadata.setdefault("jupyter", {})["source_hidden"] = True
        if "remove-cell" not in cell.metadata.tags:
            cell.metadata.tags.append("remove-cell")
    return before != cell.metadata


def sync(notebook: nbformat.NotebookNode) -> list[str]:
    """Bring a notebook's cells up to date; return the changed ones' ids."""
    changed = [cell.id for cell in notebook.cells if put_away(cell)]
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            try:
                text = wanted(tag, cell.source)
            except (ValueError, SyntaxError, KeyError, FileNotFoundError) as error:
                what = f"{type(error).__name__}: {error}"
                raise ValueError(f"cell {cell.id}, tag {tag}: {what}") from error
            if text is not None and text != cell.source:
                cell.source = text
                changed.append(cell.id)
    # minutes last: they count what the other cells hold
    return changed + stamp(notebook) + stamp_map(notebook)


def pages() -> list[Path]:
    """The notebooks in the book's order."""
    folders = ("", "chapters/", "appendices/", "course/")
    return [
        path for folder in folders for path in sorted(ROOT.glob(f"{folder}*.ipynb"))
    ]


def all_but_solutions() -> Iterator[tuple[str, nbformat.NotebookNode]]:
    """The notebooks without Appendix C, with their paths in the book."""
    for path in pages():
        name = path.relative_to(ROOT).as_posix()
        if name != SOLUTIONS:
            yield name, nbformat.read(path, as_version=4)


def sync_one(name: str, notebook: nbformat.NotebookNode) -> list[str]:
    """What `sync` does, and what only the front page and Appendix C have."""
    changed = sync(notebook)
    if name == FRONT:
        changed += stamp_counts(notebook)
    if name == SOLUTIONS:
        changed += link_back(notebook, all_but_solutions())
    return changed


def sync_references(check: bool) -> bool:
    """Write where the entries of Appendix B are cited; tell whether that changes it."""
    path = ROOT / REFERENCES
    before = path.read_text(encoding="utf-8")
    after = with_back_links(before, all_but_solutions())
    if after != before and not check:
        path.write_text(after, encoding="utf-8")
    if after != before:
        print(f"{REFERENCES}: {'out of date' if check else 'wrote'} its back links")
    return after != before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only report")
    check = parser.parse_args().check
    failed = False
    for path in reversed(pages()):  # the front page last: it states the others' minutes
        notebook, page = nbformat.read(path, as_version=4), path.relative_to(ROOT)
        try:
            changed = sync_one(page.as_posix(), notebook)
        except ValueError as error:
            sys.exit(f"{page}: {error}")
        if changed and not check:
            nbformat.write(notebook, path)
        if changed:
            print(f"{page}: {'out of date' if check else 'wrote'} {', '.join(changed)}")
        failed |= check and bool(changed)
    stale = [sync_references(check), sync_readme(check)]
    stale += [syllabus.sync(check), wrong_answers.sync(check)]
    failed |= check and any(stale)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
