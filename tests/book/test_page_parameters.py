"""Each parameter that a page offers works, or is refused in its first cells in one sentence.

Refusals are tried on the first cells alone. Whole pages with other parameters take
minutes, so they run weekly: `pytest -m weekly tests/book/test_page_parameters.py`.
"""

import ast
import random
from pathlib import Path

import nbformat
import papermill
import pytest
from book import NOTEBOOKS, ROOT, Page

from llmbook_utils.files.datasets import load_text

PAGES = {page.path: page for page in NOTEBOOKS if page.tagged("parameters")}
SHORTEST = 3000  # characters
# what a page cannot use, and words of the sentence that says so
REFUSED = {
    "text_name": [
        ("storry", "neither a data set"),
        ("600", "600 characters"),
        ("2999", "needs 3,000 at least"),
    ],
    "seed": [("1e3", "whole number"), (-1, "whole number"), (1.5, "whole number")],
    "epochs": [(0, "whole number of 1"), ("3", "whole number of 1")],
    "size": [("large", "'gpt2-small'")],
    "device": [("gpu", "device")],
    "pretrained": [("gpt3", "gpt2-xl")],
    "data_file": [("nowhere.tsv", "there is no file")],
    "labels": [(["no", "yes"], "has the label 'ham'"), (["ham"], "two different")],
    "lr": [(0, "between 0 and 1"), ("1e-3", "between 0 and 1")],
    "trained": [("nothing", "'last block'")],
    "style": [("alpaka", "'phi'")],
    "model_name": [("minni", "'mini'")],
    "vocab_size": [(256, "whole number of 257"), ("1000", "whole number")],
    "n_windows": [(0, "whole number of 1")],
    "train_steps": [(59, "whole number of 60")],
    "n_new": [(0, "whole number of 1"), (251, "whole number of 1")],
    "n_steps": [(0, "whole number"), ("9", "whole number")],
    "n_epochs": [(0, "whole number of 1")],
    "n_messages": [(49, "whole number of 50"), ("300", "whole number of 50")],
    "rank": [(0, "whole number of 1"), (257, "1 to 256")],
    "n_threads": [(0, "whole number of 1")],
}
GERMAN = (
    "die See der Deich das Boot ein Fisch eine Möwe läuft schläft sucht "
    "findet heute morgen wieder niemals und doch aber weil über neben zwischen früh "
    "spät Großmutter Schildkröte Leuchtturm Straße grün schön müde ängstlich zwölf"
)


ENDINGS = ["e", "en", "er", "es", "em", "st", "ung", "heit", "lich", "los", "bar"]  # fmt: skip


def german(n: int) -> str:
    """A text of n characters of German words, sentence after sentence."""
    draw = random.Random(7)
    # as many different words as a text of a person has
    words = [w + end for w in GERMAN.split() for end in ["", *draw.sample(ENDINGS, 3)]]
    text = "".join(
        " ".join(draw.choices(words, k=draw.randint(5, 11))).capitalize() + ".\n"
        for _ in range(n)
    )
    return text[:n]


# whole runs, each for the pages that offer its parameter; of a text, what stands in the file
RUNS = {
    "seed 2": {"seed": 2},
    "seed 4": {"seed": 4},
    "seed 5": {"seed": 5},
    "short": {"text_name": load_text("story")[:SHORTEST]},
    "german": {"text_name": german(4000)},
    "one epoch": {"epochs": 1},
    "few steps": {"n_steps": 60},
    "another style": {"style": "alpaca", "epochs": 1},
}


def offered(path: str) -> list[str]:
    """The names that a page's parameters cell assigns."""
    settings = PAGES[path].tagged("parameters")[0].source
    return [node.targets[0].id for node in ast.parse(settings).body]


CASES = [
    pytest.param(path, name, value, words, id=f"{Path(path).stem[:3]}-{name}-{value}")
    for path in PAGES
    for name in offered(path)
    for value, words in REFUSED.get(name, [])
]


def own_text(folder: Path, text: str) -> str:
    path = folder / "own.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


def opening(page: Page) -> tuple[list[str], str, str]:
    """The imports before a page's parameters, the parameters, and the cell that checks them."""
    at = page.code.index(page.tagged("parameters")[0])
    checks = next(cell for cell in page.code[at + 1 :] if "seed" in cell.source)
    before = [cell.source for cell in page.code[:at]]
    return before, page.code[at].source, checks.source


@pytest.mark.parametrize("path, name, value, words", CASES)
def test_what_a_page_cannot_use_is_refused_at_its_top(
    path, name, value, words, tmp_path
):
    before, settings, checks = opening(PAGES[path])
    if name == "text_name" and value.isdigit():
        value = own_text(tmp_path, load_text("story")[: int(value)])
    space = {"__name__": "__main__"}
    for source in [*before, settings]:
        exec(compile(source, path, "exec"), space)
    space[name] = value
    with pytest.raises((ValueError, FileNotFoundError)) as refusal:
        exec(compile(checks, path, "exec"), space)
    said = str(refusal.value)
    assert words in said and "\n" not in said, said


@pytest.mark.weekly
@pytest.mark.parametrize(
    "path, what",
    [
        (path, what)
        for path in PAGES
        for what in RUNS
        if RUNS[what].keys() <= {*offered(path)}
    ],
)
def test_a_page_runs_with_other_parameters(path, what, tmp_path, monkeypatch):
    given = dict(RUNS[what])
    if "text_name" in given:
        given["text_name"] = own_text(tmp_path, given["text_name"])
    run_page(path, given, tmp_path, monkeypatch)


@pytest.mark.weekly
@pytest.mark.parametrize("path", [path for path in PAGES if "device" in offered(path)])
def test_a_page_runs_on_another_device(path, tmp_path, monkeypatch):
    startup = tmp_path / "profile_default" / "startup"
    startup.mkdir(parents=True)
    support = ROOT / "tests" / "support"
    (startup / "device.py").write_text(
        f"import sys\nsys.path.insert(0, {str(support)!r})\nimport second_device\n"
    )
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run_page(path, {"device": "second"}, tmp_path, monkeypatch)


def run_page(path, given, folder, monkeypatch):
    """Run all cells of a page with these parameters."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    out = folder / "out.ipynb"
    papermill.execute_notebook(
        ROOT / path,
        out,
        parameters=given,
        cwd=ROOT / Path(path).parent,
        progress_bar=False,
    )
    cells = nbformat.read(out, as_version=4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")
