"""The JavaScript as modules: imports lead somewhere, and a notebook's joined text holds them all."""

import re
from collections.abc import Iterator

import pytest

from llmbook_utils import web
from llmbook_utils.widgets import WIDGETS

MODULES = [name for name in web.served() if name.endswith(".js")]
ANY_IMPORT = re.compile(r'^(?:import|export)\b[^;]*?from "([^"]+)"', re.MULTILINE)


def links(module: str) -> Iterator[tuple[str, str]]:
    """The names that a module imports, each with the module that it comes from."""
    found = web.IMPORT.findall(web.read(module))
    for (names, _), other in zip(found, web.imported(module), strict=True):
        for name in names.split(","):
            if name.strip():
                yield name.split(" as ")[0].strip(), other


def exports(module: str) -> set[str]:
    return {found[1] for found in web.EXPORT.finditer(web.read(module))}


@pytest.mark.parametrize("module", MODULES)
def test_each_import_is_exported_where_it_leads(module: str) -> None:
    text = web.read(module)
    assert len(ANY_IMPORT.findall(text)) == len(web.IMPORT.findall(text))
    for name, other in links(module):
        assert other in MODULES
        assert name in exports(other), f"{module} imports {name} from {other}"


@pytest.mark.parametrize("part", [m for m in MODULES if m.startswith("parts/")])
def test_all_that_a_shared_part_exports_is_used(part: str) -> None:
    used = {
        name for module in MODULES for name, other in links(module) if other == part
    }
    assert exports(part) == used


@pytest.mark.parametrize("layer", ["engine", "parts"])
def test_imports_go_downwards(layer: str) -> None:
    above = {"engine": ("host", "parts", "views"), "parts": ("host", "views")}[layer]
    for module in MODULES:
        if module.startswith(layer):
            assert not [n for n in web.imported(module) if n.startswith(above)], module


@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: widget.module)
def test_a_joined_text_has_each_module_once_after_what_it_imports(widget: type) -> None:
    text = web.joined(f"views/{widget.module}.js")
    order = re.findall(r'^modules\["(.*)"\] = ', text, re.MULTILINE)
    assert sorted(order) == sorted(set(order))
    assert order[-1] == f"views/{widget.module}.js"
    for at, module in enumerate(order):
        assert set(web.imported(module)) <= set(order[:at])
    assert not re.search(r"^import\b", text, re.MULTILINE)
    assert re.findall(r"^export\b.*", text, re.MULTILINE) == [
        f'export default modules["{order[-1]}"].default;'
    ]
    # what runs on a page only, and would find no files beside a notebook
    assert "import.meta" not in text


@pytest.mark.parametrize(
    "line",
    [
        'import * as all from "./a.js";',
        'import "./a.js";',
        'import a from "./a.js";',
        'export { a } from "./a.js";',
        "export let a = 1;",
        "export default render;",
    ],
)
def test_a_form_that_joining_does_not_know_is_refused(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "read", lambda name: f"{line}\n")
    with pytest.raises(ValueError, match=r"web/parts/b.js cannot be joined"):
        web.as_function("parts/b.js")
