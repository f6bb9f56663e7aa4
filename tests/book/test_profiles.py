"""Profiles turn knobs that their page has."""

import re

import nbformat
import pytest
import yaml
from book import ROOT

PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


def knobs(page):
    """What the page's `parameters` cell sets, by name."""
    notebook = nbformat.read(ROOT / page, as_version=4)
    (cell,) = [
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    ]
    values = {}
    exec(cell.source, values)
    return values


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_a_profile_names_its_page_and_sets_only_what_is_there(path):
    text = path.read_text("utf-8")
    (page,) = set(re.findall(r"(?:chapters|appendices)/[\w.-]+\.ipynb", text))
    there = knobs(page)
    for name, value in yaml.safe_load(text).items():
        assert name in there, f"{page} has no parameter {name!r}"
        assert type(value) is type(there[name]), name


def test_there_is_a_profile():
    assert PROFILES
