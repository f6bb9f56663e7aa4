"""WebKitGTK, driven by its own WebDriver over HTTP, on a display that nobody sees."""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

DRIVER = "WebKitWebDriver"
BROWSERS = sorted(Path("/usr/lib").glob("*/webkit2gtk-*/MiniBrowser"))
NO_WEBKIT = (
    "no WebKit was found, so the pages were not opened in it "
    "(Debian: `apt-get install webkit2gtk-driver xvfb`)"
)
START = 60  # seconds
# a page's function may take as long as a model needs to arrive
SCRIPT = 150  # seconds
ASYNCHRONOUS = """
const done = arguments[arguments.length - 1];
(%s)(...%s).then((value) => done([true, value ?? null]), (error) => done([false, String(error)]));
"""


def find_webkit() -> Path | None:
    """The browser that the driver starts, where all three parts are there."""
    there = shutil.which(DRIVER) and shutil.which("Xvfb")
    return BROWSERS[-1] if there and BROWSERS else None


class WebKit:
    """A session with one window."""

    def __init__(self, address: str, browser: Path):
        self.address = f"{address}/session"
        options = {"binary": str(browser), "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        session = self.send("POST", "", capabilities=wanted)
        self.address += f"/{session['sessionId']}"
        self.send("POST", "/timeouts", script=1000 * SCRIPT, pageLoad=1000 * SCRIPT)

    def send(self, method: str, path: str, **body: Any) -> Any:
        reply = requests.request(
            method,
            self.address + path,
            json=body if method == "POST" else None,
            timeout=SCRIPT + 10,
        )
        value = reply.json()["value"]
        if not reply.ok:
            raise RuntimeError(f"{path}: {value.get('message')}")
        return value

    def goto(self, url: str) -> None:
        self.send("POST", "/url", url=url)

    def run(self, function: str, *values: Any) -> Any:
        """What an asynchronous function gives for values, both as JSON."""
        script = ASYNCHRONOUS % (function, json.dumps(values))
        fine, value = self.send("POST", "/execute/async", script=script, args=[])
        if not fine:
            raise RuntimeError(value)
        return value

    def screenshot(self) -> bytes:
        return base64.b64decode(self.send("GET", "/screenshot"))

    def close(self) -> None:
        self.send("DELETE", "")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_until_open(port: int) -> None:
    late = time.monotonic() + START
    while time.monotonic() < late:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{DRIVER} did not listen within {START} seconds")


@contextmanager
def started(browser: Path) -> Iterator[WebKit]:
    """A WebKit of its own, ended afterwards."""
    read, write = os.pipe()
    display = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x900x24"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as numbers:
        number = numbers.readline().strip()  # of the first display that is free
    port = free_port()
    # no graphics card and, in a container, no right to build a sandbox
    settings = {
        "DISPLAY": f":{number}",
        "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
        "LIBGL_ALWAYS_SOFTWARE": "1",
    }
    driver = subprocess.Popen(
        [DRIVER, "-p", str(port)],
        env=os.environ | settings,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_open(port)
        session = WebKit(f"http://127.0.0.1:{port}", browser)
        yield session
        session.close()
    finally:
        for process in (driver, display):
            process.kill()
            process.wait()
