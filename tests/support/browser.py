"""A log of what a page asked for and what it said, and how long it computed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request, Response


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


# how far what is seen has moved since the page was opened
SHIFT = """() => new Promise(resolve => {
  const add = (sum, { value }) => sum + value;
  new PerformanceObserver(list => resolve(list.getEntries().reduce(add, 0))).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(0), 100);
})"""
# what the processor of a common laptop computes in 50 ms
LOOP = """() => {
    let x = 1;
    for (let i = 0; i < 3e6; i += 1) x = (x * 1.0000001 + (i % 7)) % 1000;
    return x;
}"""


class Stopwatch:
    """Measures what a page's main thread computes, on any processor and under any load.

    The browser counts the thread's own processor time; how fast the processor is, LOOP
    says. So the result is in milliseconds of a common laptop on which nothing else runs.
    """

    def __init__(self, page: "Page"):
        self.session = page.context.new_cdp_session(page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})
        loops = [self._seconds(lambda: page.evaluate(LOOP)) for _ in range(3)]
        self.factor = 50 / min(loops)

    def _seconds(self, act: Callable[[], object]) -> float:
        before = self._busy()
        act()
        return self._busy() - before

    def _busy(self) -> float:
        found = self.session.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in found if one["name"] == "TaskDuration")

    def milliseconds(self, act: Callable[[], object]) -> float:
        """What all tasks of the page took together while `act` ran."""
        return self._seconds(act) * self.factor
