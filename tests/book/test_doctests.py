"""The examples in the library's docstrings print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import llmbook_utils

MODULES = [
    module.name
    for module in pkgutil.walk_packages(llmbook_utils.__path__, "llmbook_utils.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    tokenizer = importlib.import_module("llmbook_utils.tokenizer")
    assert sum(bool(found.examples) for found in finder.find(tokenizer)) >= 6
