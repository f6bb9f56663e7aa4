"""Fixtures that open the built site in a headless browser, and one for training.

`LLMBOOK_SITE` names a folder with a site that is built already (`make test` sets it); without it the site is built
once. `LLMBOOK_CHROMIUM` names the browser; without it the usual Chromium and Chrome commands are looked for.
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "_ext")]

import build_site  # noqa: E402
import serve  # noqa: E402

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


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Train with one thread: more cost more than they bring on very small models."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site."""
    built = os.environ.get("LLMBOOK_SITE")
    if built:
        return Path(built).resolve()
    subprocess.run(
        [sys.executable, ROOT / "tools" / "build_site.py"], check=True, cwd=ROOT
    )
    return build_site.HTML


@pytest.fixture(scope="session")
def site_url(site: Path) -> Iterator[str]:
    """The served site's address, ending in a slash; under the path of the base URL, as it is published."""
    base = urlsplit(build_site.base_url()).path or "/"
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(serve.Handler, directory=str(site), base=base)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{base}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """One headless Chromium for all tests; skips where there is none, fails where CI=true."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = find_chrome(playwright.chromium.executable_path)
        if path is None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(NO_CHROME)
        browser = playwright.chromium.launch(executable_path=path, args=CHROME_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def open_context(
    browser: "Browser", site_url: str
) -> "Callable[..., AbstractContextManager[Page]]":
    """`with open_context(**options) as page`: an empty page in a context of its own, recorded in `page.log`."""

    @contextmanager
    def opened(**options: object) -> "Iterator[Page]":
        context = browser.new_context(base_url=site_url, **options)
        page = context.new_page()
        page.log = Log("{0.scheme}://{0.netloc}".format(urlsplit(site_url)))
        page.log.watch(page)
        yield page
        context.close()

    return opened


@pytest.fixture
def new_page(
    open_context: "Callable[..., AbstractContextManager[Page]]",
) -> "Iterator[Callable[..., Page]]":
    """`new_page(**options)` opens a page as `open_context` does and closes it after the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_context(**options))


@pytest.fixture
def page(new_page: "Callable[..., Page]") -> "Page":
    """A fresh page, 1280 px wide, light; `page.goto("chapters/….html")` is relative to the site."""
    return new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")


LONG_TASKS = """window.longTasks = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "longtask", buffered: true });"""


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The served address of the `folder` that a test module defines."""
    handler = partial(serve.Handler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_page(browser: "Browser", address: str) -> "Iterator[Callable[..., Page]]":
    """`open_page(name, **options)` opens a page of the `folder` and waits for its widgets.

    `window.longTasks` holds the milliseconds of each task over 50. At the end nothing may have failed, spoken in the
    console or asked another host.
    """
    from widget_pages import mount_all

    logs: list[Log] = []
    with ExitStack() as stack:

        def opened(name: str = "light", wait: bool = True, **options: object) -> "Page":
            context = stack.enter_context(browser.new_context(**options))
            context.add_init_script(LONG_TASKS)
            page = context.new_page()
            page.log = Log(address.rstrip("/"))
            page.log.watch(page)
            logs.append(page.log)
            page.goto(f"{address}{name}.html")
            if wait:
                mount_all(page)
            return page

        yield opened
    for log in logs:
        assert log.outside == []
        assert log.missing == []
        assert log.console == []
