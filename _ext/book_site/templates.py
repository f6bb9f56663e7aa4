"""Small corrections of the theme's templates: names that say what is seen, landmarks around what had none."""

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

FOLDER = Path(__file__).parent / "templates"


def prefer(app: Sphinx, config: Config) -> None:
    config.templates_path.insert(0, str(FOLDER))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", prefer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
