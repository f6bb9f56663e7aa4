"""What the main line of a page needs: it must run, and be understood, without the deeper parts."""

import ast
import builtins
import symtable
from collections.abc import Iterator

from book import Page, tags

APART = ("deeper", "exercise:", "solution:", "page-check")


def apart(cell) -> bool:
    """Tell whether a reader of the main line may have passed over a cell."""
    return any(tag.startswith(APART) for tag in tags(cell))


def walk(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from walk(child)


def statements(source: str) -> Iterator[tuple[set[str], set[str]]]:
    """The names that each statement takes from the page, and those that it gives to it."""
    for node in ast.parse(source).body:
        text = ast.unparse(node)
        top = symtable.symtable(text, "cell", "exec")
        gives = {
            one.get_name()
            for one in top.get_symbols()
            if one.is_assigned() or one.is_imported()
        }
        takes = {one.get_name() for one in top.get_symbols() if one.is_referenced()}
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr):
            takes -= gives
        for table in list(walk(top))[1:]:
            takes |= {
                one.get_name()
                for one in table.get_symbols()
                if one.is_global() and one.is_referenced() and not one.is_assigned()
            } - gives
        yield takes, gives


def dependencies(page: Page) -> Iterator[tuple[str, str]]:
    """Cells of the main line, each with a name that only a deeper part before it gives."""
    known, elsewhere = set(dir(builtins)), set[str]()
    for cell in page.code:
        for takes, gives in statements(cell.source):
            if apart(cell):
                elsewhere |= gives
                continue
            for name in sorted((takes - known) & elsewhere):
                yield cell.get("id", ""), name
            known |= gives
