"""MathJax out of an installed package instead of a CDN: the pages ask no other host."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

# the renderer, its fonts, the TeX packages it loads on demand, and what its accessibility menu needs
PARTS = (
    "tex-mml-chtml.js",
    "output/chtml/fonts",
    "input/tex/extensions",
    "a11y",
    "sre",
)
SPEECH = {"base.json", "en.json", "nemeth.json"}


def package() -> Path:
    """The folder of MathJax's files in the package `mathjax`, which django-static-mathjax installs."""
    spec = find_spec("mathjax")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "MathJax is not installed; run: pip install -r requirements.txt"
        )
    return Path(spec.origin).parent / "static" / "mathjax" / "es5"


def unused(folder: str, names: list[str]) -> set[str]:
    """Speech rules of languages that the book has no page in."""
    return set(names) - SPEECH if folder.endswith("mathmaps") else set()


def copy(app: Sphinx) -> None:
    target = app.outdir / "_static" / "mathjax"
    for part in PARTS:
        source = package() / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=unused, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / part)


def point(app: Sphinx, config: Config) -> None:
    config.mathjax_path = "mathjax/tex-mml-chtml.js"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", point)
    app.connect("builder-inited", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
