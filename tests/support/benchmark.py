"""The scripts of benchmarks/ as modules, for the tests."""

import importlib.util
from types import ModuleType

from book import ROOT


def load(name: str) -> ModuleType:
    """The module of a benchmark, not run."""
    path = ROOT / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
