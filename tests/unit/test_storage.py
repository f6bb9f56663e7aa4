"""papermill finds the handler of hf://, and a notebook comes back as it went."""

import fsspec
import nbformat
import pytest
from papermill.iorw import load_notebook_node, papermill_io, write_ipynb

from llmbook_utils.runs import storage


def test_papermill_knows_the_address():
    assert papermill_io.get_handler("hf://datasets/me/runs/a.ipynb") is (
        storage.HANDLER
    )


@pytest.fixture
def memory(monkeypatch):
    files = fsspec.filesystem("memory")
    monkeypatch.setattr(storage.HubHandler, "files", files)
    monkeypatch.setattr(papermill_io, "_handlers", [("hf://", storage.HANDLER)])
    files.makedirs("hf://me", exist_ok=True)
    yield files
    files.rm("/", recursive=True)


def test_a_notebook_comes_back(memory):
    cell = nbformat.v4.new_code_cell("print('Möwe')")
    write_ipynb(nbformat.v4.new_notebook(cells=[cell]), "hf://me/a.ipynb")
    assert load_notebook_node("hf://me/a.ipynb").cells[0].source == "print('Möwe')"
    assert any("a.ipynb" in name for name in papermill_io.listdir("hf://me"))
