"""`make sync` and `make execute` write what they should, and nothing else."""

import nbformat
import pytest
import sync_code
from back_links import REFERENCES
from execute import WIDGET_VIEW, execute, merge_streams, normalize
from nbformat import v4
from sync_code import definitions, library_text, named_in, sync, wanted

LIBRARY = '''"""Sums."""

import functools

ONE = 1
TWO: int = 2  # a pair

# kept, since sums come again
@functools.cache
def total(n):
    return n


class Sum:
    """A sum."""

    def __len__(self):
        return ONE


__all__ = ["Sum"]
'''


# make sync


def test_definitions_have_their_exact_text():
    found = definitions(LIBRARY)
    assert list(found) == ["ONE", "TWO", "total", "Sum"]
    assert found["TWO"] == "TWO: int = 2  # a pair"
    assert found["total"].startswith(
        "# kept, since sums come again\n@functools.cache\n"
    )
    assert found["Sum"].endswith("    def __len__(self):\n        return ONE")


def test_neighbors_keep_their_blank_lines_and_others_get_two():
    assert library_text(["ONE", "TWO"], LIBRARY) == "ONE = 1\nTWO: int = 2  # a pair"
    both = library_text(["total", "Sum"], LIBRARY)
    assert both in LIBRARY
    assert library_text(["TWO", "ONE"], LIBRARY).endswith("# a pair\n\n\nONE = 1")
    with pytest.raises(ValueError, match="no 'three'; it has ONE, TWO, total, Sum"):
        library_text(["three"], LIBRARY)


def test_a_cell_names_definitions_by_their_text_or_bare():
    assert named_in("ONE\nSum") == ["ONE", "Sum"]
    assert named_in("ONE = 0\n@x\ndef total(): ...") == ["ONE", "total"]
    with pytest.raises(ValueError, match="print"):
        named_in("ONE\nprint(1)")


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Make a book of one page and one module, and return the page's path."""
    monkeypatch.setattr(sync_code, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["sync_code.py"])
    for folder in ("llmbook_utils", "chapters", "appendices"):
        (tmp_path / folder).mkdir()
    (tmp_path / REFERENCES).write_text("# References\n", encoding="utf-8")
    (tmp_path / "llmbook_utils" / "sums.py").write_text(LIBRARY, encoding="utf-8")
    cells = [
        v4.new_code_cell("total", id="shown", metadata={"tags": ["lib:sums"]}),
        v4.new_markdown_cell("total", id="prose"),
        v4.new_code_cell(
            "total", id="other", outputs=[v4.new_output("stream", text="1")]
        ),
    ]
    path = tmp_path / "chapters" / "01-x.ipynb"
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


def test_sync_writes_tagged_cells_only(book, monkeypatch, capsys):
    before = nbformat.read(book, as_version=4)
    assert sync_code.main() == 0
    after = nbformat.read(book, as_version=4)
    assert capsys.readouterr().out == "chapters/01-x.ipynb: wrote shown\n"
    assert after.cells[0].source == definitions(LIBRARY)["total"]
    assert after.cells[1:] == before.cells[1:]
    assert [cell.id for cell in after.cells] == ["shown", "prose", "other"]


def test_sync_is_idempotent_and_checks(book, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sync_code.py", "--check"])
    stale = book.read_bytes()
    assert sync_code.main() == 1
    assert book.read_bytes() == stale
    assert "out of date shown" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["sync_code.py"])
    sync_code.main()
    synced = book.read_bytes()
    assert sync_code.main() == 0
    assert book.read_bytes() == synced


@pytest.mark.parametrize(
    "tag, source, words",
    [
        ("lib:sums", "three", "no 'three'"),
        ("lib:sums", "def (", "SyntaxError"),
        ("lib:nowhere", "total", "nowhere"),
        ("hints:99.1", "", "99.1"),
    ],
)
def test_sync_names_the_cell_that_it_cannot_write(book, tag, source, words):
    cell = v4.new_code_cell(source, id="broken", metadata={"tags": [tag]})
    with pytest.raises(ValueError, match=f"(?s)cell broken, tag {tag}.*{words}"):
        sync(v4.new_notebook(cells=[cell]))


def test_hints_are_folded(monkeypatch):
    hints = ("vague", "closer", "precise")
    exercise = type("Exercise", (), {"hints": hints})
    monkeypatch.setattr("llmbook_utils.exercises.registered", lambda: {"2.1": exercise})
    text = wanted("hints:2.1", "")
    assert text.startswith(
        "<details><summary>Hint 1</summary>\n\nvague\n\n</details>\n"
    )
    assert text.count("<details>") == text.count("</details>") == 3


def test_other_tags_are_left_alone():
    assert wanted("hide-input", "x") is None


# make execute


def notebook_file(path, *sources):
    cells = [v4.new_code_cell(source, id=f"c{at}") for at, source in enumerate(sources)]
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


@pytest.mark.slow
def test_execute_stores_the_same_bytes_each_time(tmp_path):
    path = notebook_file(
        tmp_path / "x.ipynb",
        "import os\nprint('one', flush=True)\nprint('two')",
        "os.path.basename(os.getcwd()) == " + repr(tmp_path.name),
    )
    assert execute(path) > 0
    first = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in notebook.cells] == [1, 2]
    assert notebook.cells[0].outputs[0].text == "one\ntwo\n"
    assert notebook.cells[1].outputs[0].data["text/plain"] == "True"
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.get("version") is None
    execute(path)
    assert path.read_bytes() == first
    assert [one.name for one in tmp_path.iterdir()] == ["x.ipynb"]


def test_execute_leaves_the_file_when_a_cell_fails(tmp_path):
    path = notebook_file(tmp_path / "x.ipynb", "x = 1", "x / 0", "y = 2")
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match=r"(?s)cell 1 \(c1\).*ZeroDivisionError"):
        execute(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["x.ipynb"]


def test_what_differs_between_runs_is_dropped():
    shown = v4.new_output(
        "display_data", {WIDGET_VIEW: {"model_id": "7"}, "text/html": "x"}
    )
    cell = v4.new_code_cell("x", outputs=[shown], metadata={"execution": {"a": "b"}})
    notebook = v4.new_notebook(cells=[cell], metadata={"widgets": {}, "papermill": {}})
    normalize(notebook)
    assert notebook.cells[0].outputs[0].data == {"text/html": "x"}
    assert notebook.cells[0].metadata == {}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_only_neighboring_pieces_of_one_stream_are_joined():
    def piece(name, text):
        return v4.new_output("stream", name=name, text=text)

    parts = [piece("stdout", "a"), piece("stdout", "b"), piece("stderr", "c")]
    parts += [v4.new_output("display_data"), piece("stderr", "d")]
    texts = [part.get("text") for part in merge_streams(parts)]
    assert texts == ["ab", "c", None, "d"]
