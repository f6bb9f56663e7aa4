"""Small pages with widgets, and a reader who operates them; for the tests in Chromium.

A test module that uses the fixture `open_page` of conftest.py defines a fixture `folder` of module scope: `site_folder`
fills it.
"""

from collections.abc import Mapping
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Locator, Page, expect

from llmbook_utils.widgets import write_site_files
from llmbook_utils.widgets.base import BookWidget

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
OPEN = "document.querySelectorAll('.bw .bw-fold').forEach(e => e.open = true)"
WAYS = ("mouse", "touch", "keyboard")


def html(*widgets: BookWidget, theme: str = "light") -> str:
    """A page with widgets, as the book's pages have them."""
    paper, ink = ("#14181e", "#eee") if theme == "dark" else ("#fff", "#222")
    mounts = "\n".join(widget.to_html() for widget in widgets)
    return f"""<!doctype html><html lang="en" data-theme="{theme}"><head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Widgets</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="palette.css">
<link rel="stylesheet" href="style.css">
<script type="module" src="host/static-host.js"></script></head>
<body style="background: {paper}; color: {ink}">
<main><h1>Widgets</h1>{mounts}</main></body></html>"""


def site_folder(folder: Path, pages: Mapping[str, str]) -> Path:
    """The folder, filled with what the widgets load and with pages by their names."""
    write_site_files(folder)
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return folder


def both_themes(*widgets: BookWidget) -> dict[str, str]:
    """The pages "light" and "dark" with the widgets."""
    return {theme: html(*widgets, theme=theme) for theme in ("light", "dark")}


def mount_all(page: Page, folds: bool = True) -> None:
    """Wait until each widget of the page works, and open what it shows on demand."""
    for mount in page.locator(".bw-mount").all():
        mount.scroll_into_view_if_needed()
        expect(mount).to_have_attribute("data-bw-ready", "1")
    if folds:
        page.evaluate(OPEN)


class Reader:
    """A reader who uses a mouse, a finger or the keyboard."""

    def __init__(self, page: Page, way: str):
        self.page, self.way = page, way

    def press(self, target: Locator) -> None:
        """Press a button or choose an option."""
        if self.way == "mouse":
            target.click()
        elif self.way == "touch":
            target.tap()
        else:
            target.focus()
            self.page.keyboard.press("Space")

    def slide(self, slider: Locator, share: float, key: str) -> None:
        """Move a slider: by pointer to a share of its width, else with a key."""
        if self.way == "keyboard":
            slider.focus()
            return self.page.keyboard.press(key)
        box = slider.bounding_box()
        assert box is not None
        place = {"x": share * (box["width"] - 1), "y": box["height"] / 2}
        (slider.tap if self.way == "touch" else slider.click)(position=place)

    def write(self, field: Locator, text: str) -> None:
        """Replace the text of a field."""
        if self.way != "keyboard":
            self.press(field)
        field.focus()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)


def text_field(page: Page) -> Locator:
    """The field for the widget's text."""
    return page.get_by_role("textbox", name="Text")


def load(page: Page) -> None:
    """Load the model that the page has for its widget."""
    page.get_by_role("button", name="Load the model").click()
    ready(page)


def ready(page: Page) -> None:
    """Wait until the model answers."""
    bar = page.locator(".bw-model")
    expect(bar).to_contain_text("runs in this page", timeout=20_000)


def adopt(page: Page, folder: Path) -> None:
    """Give the widget the files of a model in a folder."""
    page.get_by_text("Use a model of your own").click()
    files = [path for path in folder.iterdir() if path.name != "README.md"]
    page.get_by_label("Files of the model").set_input_files(files)
    expect(page.locator(".bw-verdict")).to_contain_text("✓ Read", timeout=20_000)


def assert_clean(page: Page) -> None:
    """No sideways scrolling, and nothing for axe to report."""
    over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert over <= 0, f"the page is {over} px wider than the window"
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        """async () => (await axe.run({resultTypes: ["violations"]})).violations
        .map(v => [v.id, ...v.nodes.map(n => n.html.slice(0, 120))])"""
    )
    assert found == []
