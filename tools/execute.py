"""Run notebooks from top to bottom and store their outputs: `make execute`.

A notebook is written only when all of its cells ran; at an error its file stays as it
was. What changes from run to run without meaning (times, versions, widgets' model ids)
is left out, so that the same results give the same bytes.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from sync_code import ROOT, pages

CELL_TIMEOUT = 300
KERNEL = {
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "name": "python3",
}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def run(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells in a fresh kernel in `folder`; a RuntimeError names the cell."""
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            try:
                client.execute_cell(cell, index)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                raise RuntimeError(
                    f"cell {index} ({cell.id}) failed: {error}"
                ) from error


def merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighboring pieces of one stream: where the kernel cut them is chance."""
    merged: list[NotebookNode] = []
    for output in outputs:
        same = merged and output.output_type == merged[-1].output_type == "stream"
        if same and output.name == merged[-1].name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def normalize(notebook: NotebookNode) -> None:
    """Keep what a reader sees and drop what differs between machines and runs."""
    notebook.metadata = NotebookNode(
        {
            key: value
            for key, value in notebook.metadata.items()
            if key not in ("widgets", "papermill")
        }
        | {"kernelspec": KERNEL, "language_info": LANGUAGE}
    )
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET_VIEW, None)


def write(notebook: NotebookNode, path: Path) -> None:
    """Replace the file in one step, so that an interruption leaves the old one."""
    draft = path.with_suffix(".ipynb.part")
    nbformat.write(notebook, draft)
    os.replace(draft, path)


def execute(path: Path) -> float:
    """Run one notebook, store it, and return the seconds it took."""
    start = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    run(notebook, path.resolve().parent)
    normalize(notebook)
    write(notebook, path)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "notebooks", nargs="*", type=Path, help="none: all of the book's"
    )
    paths = parser.parse_args().notebooks or pages()
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["LLMBOOK_PROGRESS"] = "off"  # what passes here is not the reader's
    for path in paths:
        shown = os.path.relpath(path, ROOT)
        try:
            print(f"{shown}: {execute(path):.1f} s", flush=True)
        except RuntimeError as error:
            print(f"{shown}: {error}\n{shown} was left as it was", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
