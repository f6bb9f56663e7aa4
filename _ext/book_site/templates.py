"""Small corrections of the theme's templates: names that say what is seen, landmarks around what had none."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

FOLDER = Path(__file__).parent / "templates"


def prefer(app: Sphinx, config: Config) -> None:
    config.templates_path.insert(0, str(FOLDER))


def name_arrows(tree: Callable[..., object]) -> Callable[..., str]:
    """The side bar's tree, with a name for the arrows that open a chapter's further pages."""

    @wraps(tree)
    def named(*args: Any, **kwargs: Any) -> str:
        return str(tree(*args, **kwargs)).replace(
            "<summary>", '<summary aria-label="Further pages">'
        )

    return named


def name(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    if "generate_toctree_html" in context:
        context["generate_toctree_html"] = name_arrows(context["generate_toctree_html"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", prefer)
    # after the theme has put its functions into the context
    app.connect("html-page-context", name, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
