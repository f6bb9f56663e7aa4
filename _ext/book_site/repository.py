"""What depends on where the book is published follows from the one address in _config.yml."""

from sphinx.application import Sphinx
from sphinx.config import Config

from book_site.address import pages_url

BUTTONS = ("use_repository_button", "use_edit_page_button", "use_issues_button")


def fill(app: Sphinx, config: Config) -> None:
    """Set the base URL and show the buttons that lead to the repository, when there is one."""
    url = config.html_theme_options.get("repository_url", "")
    config.html_baseurl = config.html_baseurl or pages_url(url)
    config.html_theme_options |= dict.fromkeys(BUTTONS, bool(url))
    if not url:
        config.html_theme_options["launch_buttons"] = {}


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
