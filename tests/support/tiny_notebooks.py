"""A repository with one small notebook and its runs, for tests of the runner."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from llmbook_utils.runs.runner import Place

PARAMETERS = 'steps = 3\nlr = 0.5\nhow = "well"\nsizes = [1, 2]\nfolder = ""\n'
IMPORTS = "import math\nimport os\nimport sys\nimport time\nfrom pathlib import Path"
WORK = """print("before the end", flush=True)
if folder:
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / "checkpoint").touch()
if how == "killed":
    os.kill(os.getpid(), 9)
if how == "slow":
    time.sleep(2)  # what was printed is under way
    Path("begun").touch()
    time.sleep(600)
if how == "memory":
    raise MemoryError("no room")
if how == "network":
    raise ConnectionError("no hub")
if how == "assertion":
    assert steps == 7, "seven expected"
losses = [math.nan if how == "diverges" else 1 / (i + 1) for i in range(steps)]"""
RESULT = 'result = {"losses": losses, "rate": lr}\nprint(result)'

RUNS = """
[tiny]
title = "A run of a second"
notebook = "tiny.ipynb"
parameters = { lr = 1, sizes = [4] }
smoke = { steps = 1 }
minutes = 5

[tiny.values]
last = { at = "result.losses.-1", band = [0.3, 0.4], smoke = [0.9, 1.1], published = 0.35 }
rate = { at = "result.rate", unit = "a step" }

[seeds]
title = "Three runs of a second"
notebook = "tiny.ipynb"
each = { steps = [1, 2, 3] }

[seeds.values]
last = { at = "result.losses.-1", band = [0.3, 1.0] }

[large]
title = "A run that needs more than there is"
notebook = "tiny.ipynb"
gpu = true
memory = 100_000
"""


def write_notebook(path, *sources):
    """A notebook with a cell of parameters and others."""
    cells = [new_code_cell(IMPORTS, id="imports")]
    cells += [new_code_cell(PARAMETERS, id="p", metadata={"tags": ["parameters"]})]
    cells += [new_code_cell(s, id=f"c{i}") for i, s in enumerate(sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)


def write_repository(root, runs=RUNS):
    """The folders that the runner looks for; returns its place."""
    (root / "profiles").mkdir(parents=True)
    (root / "profiles/runs.toml").write_text(runs, "utf-8")
    write_notebook(root / "tiny.ipynb", WORK, RESULT)
    return Place.of(str(root), None)


@pytest.fixture
def place(tmp_path):
    return write_repository(tmp_path / "book")
