"""Fixtures that open the built site in a headless browser, and one for training.

`LLMBOOK_SITE` names a folder with a site that is built already (`make test` sets it); without it the site is built
once. `LLMBOOK_CHROMIUM` names the browser; without it the usual Chromium and Chrome commands are looked for.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import build_site
import pytest
import serve
from browser import Log
from chrome import CHROME_FLAGS, NO_CHROME, find_chrome
from filelock import FileLock

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[1]
# a test file that starts itself as a script finds what the tests share
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH")])
)


os.environ["LLMBOOK_PROGRESS"] = (
    "off"  # a solution that passes here is nobody's progress
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Skip what compares with transformers where that refuses an older PyTorch."""
    try:
        return (yield)
    except ImportError as error:
        if "requires PyTorch" not in str(error):
            raise
        pytest.skip(" ".join(str(error).split()))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Train with one thread: more cost more than they bring on very small models."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site; of several processes one builds it."""
    built = os.environ.get("LLMBOOK_SITE")
    if built:
        return Path(built).resolve()
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # one for all processes of this run
    with FileLock(shared / "site.lock"):
        if not (shared / "site.built").exists():
            command = [sys.executable, ROOT / "tools" / "build_site.py"]
            subprocess.run(command, check=True, cwd=ROOT)
            (shared / "site.built").touch()
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
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # on a busy machine a page takes its time
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


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The served address of the `folder` that a test module defines."""
    with serve.served(folder) as url:
        yield url


@pytest.fixture
def open_page(browser: "Browser", address: str) -> "Iterator[Callable[..., Page]]":
    """`open_page(name, **options)` opens a page of the `folder`, waits for its widgets and opens their folds.

    At the end nothing may have failed, spoken in the console or asked another host.
    """
    from widget_pages import mount_all

    logs: list[Log] = []
    with ExitStack() as stack:

        def opened(name: str = "light", wait: bool = True, **options: object) -> "Page":
            context = stack.enter_context(browser.new_context(**options))
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
