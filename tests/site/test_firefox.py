"""The pages in Firefox: every widget stands, the model runs and replies, and nothing is said in the console."""

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import serve
from firefox import NO_FIREFOX, Firefox, find_firefox, started
from hands import TURNS, operate
from other_browsers import PAGES, assert_stands

pytestmark = pytest.mark.site


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """One headless Firefox for all pages; skips where there is none, fails where CI=true."""
    path = find_firefox()
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(NO_FIREFOX)
    with started(path, tmp_path_factory.mktemp("firefox")) as browser:
        yield browser


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_and_its_model_replies(
    firefox: Firefox, site_url: str, name: str
) -> None:
    firefox.log.clear()
    firefox.requests.clear()
    firefox.size(390, 844) if PAGES.index(name) % 2 else firefox.size(1280, 720)
    assert_stands(firefox, site_url, name)
    assert firefox.log == []
    assert {url for url in firefox.requests if not url.startswith(site_url)} <= {
        url for url in firefox.requests if url.startswith(("data:", "blob:"))
    }


@pytest.mark.parametrize(("name", "size"), TURNS)
def test_each_widget_is_operated_in_every_way(
    firefox: Firefox, site_url: str, name: str, size: str
) -> None:
    firefox.log.clear()
    operate(firefox, site_url, name, size)
    assert firefox.log == []


# presses Continue, and gives what the widget says once one of the words is there
CONTINUE = """async (words) => {
    const widget = document.querySelector('[data-bw-module="continuation"]');
    for (let i = 0; i < 600 && widget.dataset.bwReady !== "1"; i += 1) {
        widget.scrollIntoView();
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    [...widget.querySelectorAll("button")].find((one) => one.textContent.startsWith("Continue")).click();
    for (let i = 0; i < 1200; i += 1) {
        if (words.some((word) => widget.innerText.includes(word))) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return widget.innerText;
}"""
BASE = "/a/sub-path/"
MODEL = "_static/widgets/mini.safetensors"
REPLIED = "drawn with seed"
FAULTS = {
    "half": "only 2,998,504 of 5,997,008 bytes",
    "damaged": "mini.safetensors arrived damaged; try again",
    "login": "only 36 of 5,997,008 bytes",
    "missing": "mini.safetensors could not be loaded (503)",
}


class Rough(serve.Handler):
    """Serves the site below a path, its model file with the next of the `faults` first."""

    faults: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        if not self.path.startswith(BASE + MODEL) or not self.faults:
            return super().do_GET()
        fault = self.faults.pop(0)
        right = (Path(self.directory) / MODEL).read_bytes()
        body = {
            "half": right[: len(right) // 2],
            "damaged": right[:1000] + bytes(1000) + right[2000:],
            "login": b"<!doctype html><title>Log in</title>",
            "missing": b"",
        }[fault]
        self.send_response(503 if fault == "missing" else 200)
        # a connection that ends early, where the length said more
        length = len(right) if fault == "half" else len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def below(site: Path) -> Iterator[str]:
    """The front page's address on a server that has the site below a path."""
    handler = partial(Rough, directory=str(site), base=BASE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{BASE}intro.html"
    Rough.faults.clear()
    server.shutdown()
    server.server_close()


def test_below_a_path_the_model_replies(firefox: Firefox, below: str) -> None:
    firefox.log.clear()
    firefox.goto(below)
    assert REPLIED in firefox.run(CONTINUE, [REPLIED])
    assert firefox.log == []


def test_a_download_that_fails_is_said_and_tried_again(
    firefox: Firefox, below: str
) -> None:
    Rough.faults[:] = FAULTS
    firefox.goto(below)
    for words in FAULTS.values():
        assert words in firefox.run(CONTINUE, [words])
    assert REPLIED in firefox.run(CONTINUE, [REPLIED])


def test_two_tabs_reply_at_once(firefox: Firefox, below: str) -> None:
    firefox.goto(below)
    first, second = firefox.tab, firefox.open_tab()
    firefox.tab = second
    firefox.goto(below)
    assert REPLIED in firefox.run(CONTINUE, [REPLIED])
    firefox.tab = first
    assert REPLIED in firefox.run(CONTINUE, [REPLIED])
    firefox.close_tab(second)
