"""A first visit over a slow connection, beside the page without the book's own code.

    python tools/build_site.py
    python benchmarks/first_visit.py [--runs N] [PAGE ...]

Chromium with an empty cache and the connection that Lighthouse calls slow 4G, as its
DevTools throttling has it: 562.5 ms before each answer, 1.47 Mbit a second after it.
The server compresses text, as the hosts of static sites do. The peer is the same page,
whose requests for scripts and styles of the book are refused (the styles are in one
file with those of Sphinx's extensions); what is Sphinx's and its theme's stays. The
two are opened in turn; the table has medians.
"""

import argparse
import gzip
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import build_site
from chrome import opened
from serve import Handler, served

# github.com/GoogleChrome/lighthouse, core/config/constants.js, mobileSlow4G
SLOW = {
    "offline": False,
    "latency": 150 * 3.75,  # ms
    "downloadThroughput": 1.6 * 1024 * 0.9 * 1000 / 8,  # bytes a second
    "uploadThroughput": 750 * 0.9 * 1000 / 8,
}
OURS = ("page-", "widgets/", "progress/", "search/", "book.", "deeper.", "print.")
TEXT = (".html", ".js", ".css", ".json", ".svg")
# the first text and the largest text or picture that is seen, in ms after the click
PAINTS = """() => new Promise(resolve => {
  const times = {};
  const note = list => list.getEntries()
    .forEach(e => { times[e.name || e.entryType] = e.startTime; });
  for (const type of ["paint", "largest-contentful-paint"])
    new PerformanceObserver(note).observe({ type, buffered: true });
  const names = ["first-contentful-paint", "largest-contentful-paint"];
  setTimeout(() => resolve(names.map(name => times[name])), 100);
})"""


@cache
def compressed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)


class Compressing(Handler):
    """The site's server, with what a host of static sites does to text."""

    def send_head(self) -> io.BytesIO | None:
        path = Path(self.translate_path(urlsplit(self.path).path))
        if path.suffix not in TEXT or not path.is_file():
            return super().send_head()
        body = compressed(path)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)

    def copyfile(self, *files: Any) -> None:
        with suppress(ConnectionError):  # the page was closed before it had all
            super().copyfile(*files)


def is_ours(url: str) -> bool:
    """Whether the book's own code is asked for, and not Sphinx's or the theme's."""
    _, _, name = urlsplit(url).path.partition("/_static/")
    return name.startswith(OURS)


@contextmanager
def visiting(browser: "Browser", without: bool) -> Iterator["Page"]:
    """A page of a reader who was never here, on a slow connection."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()

    def decide(route: "Route") -> None:
        refused = without and is_ours(route.request.url)
        route.abort() if refused else route.continue_()

    page.route("**/*", decide)
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", SLOW)
    yield page
    context.close()


def visit(browser: "Browser", url: str, without: bool) -> list[float]:
    """Milliseconds until the first text and until the largest piece is seen."""
    with visiting(browser, without) as page:
        page.goto(url, wait_until="load", timeout=120_000)
        return page.evaluate(PAINTS)


def compare(browser: "Browser", url: str, runs: int) -> list[tuple[float, float]]:
    """The medians of a page and of its peer: for the first text, for the largest."""
    found: dict[bool, list[list[float]]] = {False: [], True: []}
    for _ in range(runs):
        for without, times in found.items():
            times.append(visit(browser, url, without))
    ours, peer = (list(zip(*times, strict=True)) for times in found.values())
    return [(median(x), median(y)) for x, y in zip(ours, peer, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="as in _toc.yml; none: all")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    known = list(build_site.pages())
    if unknown := [page for page in options.pages if page not in known]:
        parser.error(f"there is no page {unknown[0]}; there are {', '.join(known)}")
    print("| page | first text, ms | without | ratio | largest, ms | without | ratio |")
    print("|---|---|---|---|---|---|---|")
    with opened() as browser, served(build_site.HTML, Compressing) as url:
        for page in options.pages or known:
            found = compare(browser, f"{url}{page}.html", options.runs)
            cells = [f"{x:,.0f} | {y:,.0f} | {x / y:.2f}" for x, y in found]
            print(f"| {page} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
