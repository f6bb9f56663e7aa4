"""Firefox, driven by WebDriver BiDi over a web socket: no driver program, no package of its own."""

import itertools
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

FIREFOXES = ("firefox", "firefox-esr")
NO_FIREFOX = (
    "no Firefox was found, so the pages were not opened in it; install one (Debian: `apt-get install firefox-esr`) "
    "or name it in LLMBOOK_FIREFOX"
)
LISTENS = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
# its first start asks for news, updates and defaults of other hosts
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    # a machine without a touch screen takes touches, too
    "dom.w3c_touch_events.enabled": 1,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}
START = 60  # seconds
DRAG = 30  # milliseconds from one place to the next
# keys by their names, as WebDriver writes them
KEYS = {
    "Control": "\ue009",
    "Tab": "\ue004",
    "Enter": "\ue007",
    "Space": " ",
    "End": "\ue010",
    "Home": "\ue011",
    "ArrowRight": "\ue014",
}


def find_firefox() -> str | None:
    return os.environ.get("LLMBOOK_FIREFOX") or next(
        filter(None, map(shutil.which, FIREFOXES)), None
    )


class Firefox:
    """A session with one tab; `log` has what pages wrote to the console and threw."""

    def __init__(self, address: str):
        self.socket = websocket.create_connection(
            f"{address}/session", timeout=START, suppress_origin=True
        )
        self.ids = itertools.count(1)
        self.log: list[str] = []
        self.requests: list[str] = []
        # pages that were left: they may tell of a file that they gave up
        self.left: set[str] = set()
        self.send("session.new", capabilities={})
        # the tab that it starts with never gets the focus: a key on a button would do nothing
        self.tab = self.open_tab()
        events = ["log.entryAdded", "network.beforeRequestSent"]
        self.send("session.subscribe", events=events)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command; events that come meanwhile are kept."""
        number = next(self.ids)
        message = {"id": number, "method": method, "params": params}
        self.socket.send(json.dumps(message))
        while True:
            reply = json.loads(self.socket.recv())
            if reply.get("id") == number:
                if reply["type"] == "error":
                    raise RuntimeError(f"{method}: {reply['message']}")
                return reply["result"]
            self._hear(reply)

    def _hear(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "network.beforeRequestSent":
            self.requests.append(params["request"]["url"])
        elif (
            event.get("method") == "log.entryAdded"
            and params["level"] == "error"
            and params["source"]["realm"] not in self.left
        ):
            self.log.append(f"{params['type']}: {params['text']}")

    def open_tab(self) -> str:
        """Another tab of the same profile; `tab` says which one is driven."""
        return self.send("browsingContext.create", type="tab")["context"]

    def close_tab(self, tab: str) -> None:
        self.send("browsingContext.close", context=tab)

    def size(self, width: int, height: int) -> None:
        viewport = {"width": width, "height": height}
        self.send("browsingContext.setViewport", context=self.tab, viewport=viewport)

    def goto(self, url: str) -> None:
        found = self.send("script.getRealms", context=self.tab, type="window")
        self.left |= {realm["realm"] for realm in found["realms"]}
        self.send(
            "browsingContext.navigate", context=self.tab, url=url, wait="complete"
        )

    def run(self, function: str, *values: Any) -> Any:
        """What an asynchronous function gives for values, both as JSON."""
        body = f"JSON.stringify((await ({function})(...{json.dumps(values)})) ?? null)"
        found = self.send(
            "script.evaluate",
            expression=f"(async () => {body})()",
            target={"context": self.tab},
            awaitPromise=True,
            userActivation=True,
        )
        if found["type"] == "exception":
            raise RuntimeError(found["exceptionDetails"]["text"])
        return json.loads(found["result"]["value"])

    def _act(self, **source: Any) -> None:
        self.send("input.performActions", context=self.tab, actions=[source])

    def point(self, way: str, *places: list[float]) -> None:
        """Press at the first place, go on to the others, and let go, with a "mouse" or by "touch"."""
        (x, y), *others = places
        moves = [
            {"type": "pointerMove", "x": x, "y": y, "duration": DRAG} for x, y in others
        ]
        self._act(
            type="pointer",
            id=way,
            parameters={"pointerType": way},
            actions=[
                {"type": "pointerMove", "x": x, "y": y},
                {"type": "pointerDown", "button": 0},
                *moves,
                {"type": "pointerUp", "button": 0},
            ],
        )

    def _type(self, events: list[tuple[str, str]]) -> None:
        actions = [{"type": type, "value": value} for type, value in events]
        self._act(type="key", id="keyboard", actions=actions)

    def press(self, keys: str) -> None:
        """Press a key by its name, or several at once: "Control+a"."""
        values = [KEYS.get(key, key) for key in keys.split("+")]
        downs = [("keyDown", value) for value in values]
        self._type(downs + [("keyUp", value) for value in reversed(values)])

    def write(self, text: str) -> None:
        """Type a text with the keyboard."""
        self._type([(type, value) for value in text for type in ("keyDown", "keyUp")])


def listening(process: subprocess.Popen[str]) -> str:
    """The address at which a browser that starts will listen."""
    late = time.monotonic() + START
    for line in process.stderr or ():
        if found := LISTENS.search(line):
            return found[1]
        if time.monotonic() > late:
            break
    raise RuntimeError(f"Firefox did not listen within {START} seconds")


@contextmanager
def started(path: str, profile: Path) -> Iterator[Firefox]:
    """A headless Firefox with a new profile, ended afterwards."""
    lines = (
        f'user_pref("{name}", {json.dumps(value)});'
        for name, value in PREFERENCES.items()
    )
    (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
    command = [path, "--headless", "--remote-debugging-port=0", "--no-remote"]
    process = subprocess.Popen(
        [*command, "--profile", str(profile)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        firefox = Firefox(listening(process))
        yield firefox
        firefox.socket.close()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
