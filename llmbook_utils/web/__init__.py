"""The JavaScript and CSS: files for the pages, one joined text for a notebook.

A page loads the ES modules as they are, each once. A notebook gets a widget as one
text, in which each module stands as a function, so that no two share a name by
accident. Not built on a page.
"""

import functools
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.[^"]*)";$', re.MULTILINE)
EXPORT = re.compile(
    r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE
)
DEFAULT = re.compile(r"^export default (?=\{)", re.MULTILINE)
# what joining does not know, such as `import * as` or `export … from`
OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


@functools.cache
def read(name: str) -> str:
    """The text of a file, by its path in `web/`: "views/model-map.js"."""
    return (FOLDER / name).read_text(encoding="utf-8")


def served() -> Iterator[str]:
    """The names of all files that a page may load."""
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in (".js", ".css"):
            yield path.relative_to(FOLDER).as_posix()


def imported(name: str) -> list[str]:
    """The modules that a module names in its imports."""
    paths = (path for _, path in IMPORT.findall(read(name)))
    return [posixpath.normpath(f"{posixpath.dirname(name)}/{path}") for path in paths]


def in_order(name: str, found: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A module and all that it needs, each once and after what it imports."""
    if name in found:
        return found
    for other in imported(name):
        found = in_order(other, found)
    return (*found, name)


def as_function(name: str) -> str:
    """A module as a function that is called once and gives what the module exports.

    Imports become constants, an `export` becomes a property of what is returned. A form
    of either that is not known raises ValueError.
    """
    names = iter(imported(name))

    def constants(found: re.Match[str]) -> str:
        wanted = re.sub(r"(\w+) as (\w+)", r"\1: \2", found[1])
        return f'const {{{wanted}}} = modules["{next(names)}"];'

    text = IMPORT.sub(constants, read(name))
    exports = [found[1] for found in EXPORT.finditer(text)]
    if DEFAULT.search(text):
        exports.append("default: view")
    text = DEFAULT.sub("const view = ", EXPORT.sub("", text))
    if unknown := OTHER.search(text):
        raise ValueError(f"web/{name} cannot be joined: {unknown[0]!r}")
    body = f"{text}\nreturn {{ {', '.join(exports)} }};"
    return f'modules["{name}"] = (() => {{\n{body}\n}})();'


@functools.cache
def joined(name: str) -> str:
    """One module that needs no other: a view and what it imports, in order."""
    parts = [as_function(each) for each in in_order(name)]
    head = "const modules = {};"
    return "\n".join([head, *parts, f'export default modules["{name}"].default;\n'])
