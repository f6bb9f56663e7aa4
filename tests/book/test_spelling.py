"""Words on pages are spelled right, the American way; stored outputs are not looked at."""

import subprocess
import sys
from pathlib import Path

from book import PAGES, ROOT


def misspelled(folder: Path) -> str:
    """What codespell finds in a folder, with the settings of pyproject.toml."""
    config = ["--toml", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "codespell_lib", *config, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout


def test_pages(tmp_path):
    for page in PAGES:
        path = tmp_path / f"{page.path}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n\n".join(cell.source for cell in page.cells)
        path.write_text(text, encoding="utf-8")
    assert misspelled(tmp_path) == ""


def test_a_misspelled_word_is_found(tmp_path):
    (tmp_path / "a.md").write_text("The colour of teh sea.\n", encoding="utf-8")
    found = misspelled(tmp_path)
    assert "colour ==> color" in found and "teh ==> the" in found
