"""Write the repository's address where it is needed: _config.yml, the first cell of each notebook, README, issue forms.

Without an address the notebooks get the one that _config.yml has; `--check` only compares it.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from build_site import ROOT, address, pages, repository_url

TAG = "colab-setup"
FOLDER = "llm-from-scratch"
NO_ADDRESS = "ADDRESS-OF-THIS-REPOSITORY"
CLONE = re.compile(rf"(?<=^git clone )\S+(?= {FOLDER}$)", re.MULTILINE)
FORMS = ".github/ISSUE_TEMPLATE/config.yml"
FORM_LINKS = """\
contact_links:
  - name: A question, or something that you built
    url: {url}/discussions
    about: For whatever is no error in the book; there is no question too small.
"""
LINE = re.compile(r'(?<=^repository:\n  url: )".*"$', re.MULTILINE)
CELL = """\
# in Colab this fetches the book's library; elsewhere it is installed already
import subprocess
import sys

REPOSITORY = "{url}"
if REPOSITORY and "google.colab" in sys.modules:
    command = [sys.executable, "-m", "pip", "install", "-q", f"git+{{REPOSITORY}}"]
    subprocess.run(command, check=True)"""


def setup_cell(url: str) -> str:
    """The text of a notebook's first code cell."""
    return CELL.format(url=url)


def write_clone(path: Path, url: str) -> None:
    """Write what README says to clone; before there is an address, what to put there."""
    text, count = CLONE.subn(url or NO_ADDRESS, path.read_text(encoding="utf-8"))
    if count != 1:
        sys.exit(
            f"{path.name} has {count} lines `git clone … {FOLDER}`; it must have one"
        )
    path.write_text(text, encoding="utf-8")


def write_forms(path: Path, url: str) -> None:
    """Write the links beside the issue forms: they must be absolute, so there are none without an address."""
    links = FORM_LINKS.format(url=url) if url else "contact_links: []\n"
    path.write_text(f"blank_issues_enabled: true\n{links}", encoding="utf-8")


def notebooks() -> list[Path]:
    """The pages of the book that are notebooks."""
    return [path for page in pages() if (path := ROOT / f"{page}.ipynb").exists()]


def write_config(path: Path, url: str) -> None:
    text, count = LINE.subn(f'"{url}"', path.read_text(encoding="utf-8"))
    if count != 1:
        sys.exit(
            f'{path.name} has {count} lines `url: "…"` right under `repository:`; it must have one'
        )
    path.write_text(text, encoding="utf-8")


def write_notebook(path: Path, url: str) -> None:
    """Replace the source of the cell tagged `colab-setup`; outputs, ids and all other cells stay."""
    notebook = nbformat.read(path, as_version=4)
    tagged = [cell for cell in notebook.cells if TAG in cell.metadata.get("tags", ())]
    if len(tagged) != 1:
        sys.exit(
            f"{path.name}: {len(tagged)} cells are tagged {TAG}; tag the first code cell, and only that"
        )
    if tagged[0].source != setup_cell(url):
        tagged[0].source = setup_cell(url)
        nbformat.write(notebook, path)


def check(url: str) -> None:
    """Exit with a message where _config.yml names another repository than `url`."""
    if repository_url().lower() != url.lower():
        sys.exit(
            f"_config.yml has repository {repository_url()!r}, not {url!r}; run: make repository URL={url}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", help="https://github.com/owner/name")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing, fail where the address differs",
    )
    options = parser.parse_args()
    url = options.url or repository_url()
    try:
        address.pages_url(url)
    except ValueError as e:
        sys.exit(f"repository address: {e}")
    if options.check:
        return check(url)
    write_config(ROOT / "_config.yml", url)
    write_clone(ROOT / "README.md", url)
    write_forms(ROOT / FORMS, url)
    for path in notebooks():
        write_notebook(path, url)
    print(
        f"_config.yml, README.md, the issue forms and {len(notebooks())} notebooks name {url or 'no repository'}"
    )


if __name__ == "__main__":
    main()
