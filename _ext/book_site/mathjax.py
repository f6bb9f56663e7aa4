"""MathJax out of an installed package instead of a CDN: the pages ask no other host."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

# what sets TeX, its fonts, the TeX packages that are loaded on demand, and MathML for screen readers;
# all in one, with MathJax's menu, would weigh 100 kB more
LOADED = ["core", "input/tex", "output/chtml", "a11y/assistive-mml"]
PARTS = (
    "startup.js",
    *(f"{name}.js" for name in LOADED),
    "output/chtml/fonts",
    "input/tex/extensions",
)


def package() -> Path:
    """The folder of MathJax's files in the package `mathjax`, which django-static-mathjax installs."""
    spec = find_spec("mathjax")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "MathJax is not installed; run: pip install -r requirements.txt"
        )
    return Path(spec.origin).parent / "static" / "mathjax" / "es5"


def copy(app: Sphinx) -> None:
    copy_to(Path(app.outdir) / "_static" / "mathjax")


def copy_to(target: Path) -> None:
    """Copy what pages load of MathJax into a folder."""
    for part in PARTS:
        source = package() / part
        if source.is_dir():
            shutil.copytree(source, target / part, dirs_exist_ok=True)
        else:
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / part)


def point(app: Sphinx, config: Config) -> None:
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = {
        **(config.mathjax3_config or {}),
        "loader": {"load": LOADED},
        "options": {"enableAssistiveMml": True},
    }


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", point)
    app.connect("builder-inited", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
