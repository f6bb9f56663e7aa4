"""The browser that opens the pages, and a log of what a page asked for and what it said."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request, Response

CHROMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
CHROME_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
NO_CHROME = (
    "no Chromium or Chrome was found, so the site was not opened in a browser; install one (Debian and Ubuntu: "
    "`apt-get install chromium`, macOS: `brew install --cask google-chrome`, anywhere: `playwright install chromium`) "
    "or name it in LLMBOOK_CHROMIUM"
)


@dataclass
class Log:
    """What a page asked for and what it said; `origin` is the site's own scheme and host."""

    origin: str
    requests: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    @property
    def outside(self) -> list[str]:
        """Requests to any other host."""
        own = (self.origin, "data:", "blob:", "about:")
        return [url for url in self.requests if not url.startswith(own)]

    def watch(self, page: "Page") -> None:
        """Record the requests, failed answers, console errors and warnings, and exceptions of `page`."""
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("response", self._response)
        page.on("requestfailed", self._failed)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.console.append(f"exception: {error}"))

    def _response(self, response: "Response") -> None:
        if response.status >= 400:
            self.missing.append(f"{response.status} {response.url}")

    def _failed(self, request: "Request") -> None:
        # given up by a page that was left, or held back where scripts are off: no fault of the page
        if request.failure not in ("net::ERR_ABORTED", "csp"):
            self.missing.append(f"{request.failure} {request.url}")

    def _console(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            self.console.append(f"{message.type}: {message.text}")


def find_chrome(own: str) -> str | None:
    """The browser's path: LLMBOOK_CHROMIUM, a command on PATH, or the one that playwright itself installed at `own`."""
    named = os.environ.get("LLMBOOK_CHROMIUM")
    if named:
        return named
    on_path = next(filter(None, map(shutil.which, CHROMES)), None)
    return on_path or next(
        (path for path in (MAC_CHROME, own) if Path(path).exists()), None
    )


LONG_TASKS = """window.longTasks = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "longtask", buffered: true });"""
