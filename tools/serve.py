"""Serve the built site on localhost and open it in the browser."""

import argparse
import errno
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import build_site


class Handler(SimpleHTTPRequestHandler):
    """Serve `directory` under the path `base`, and 404.html for whatever is not there, as the published site does."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".ipynb": "application/json",
    }

    def __init__(self, *args: object, base: str = "/", **options: object) -> None:
        self.base = base
        super().__init__(*args, **options)

    def translate_path(self, path: str) -> str:
        if not path.startswith(self.base):
            return str(Path(self.directory) / "outside-the-base")
        return super().translate_path("/" + path[len(self.base) :])

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        missing = Path(self.directory) / "404.html"
        if code != 404 or not missing.exists():
            return super().send_error(code, message, explain)
        body = missing.read_bytes()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path, kind: type[Handler] = Handler) -> Iterator[str]:
    """The address of a folder, with a slash at its end, while it is served."""
    handler = partial(kind, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def start(port: int, base: str) -> ThreadingHTTPServer:
    """Listen on `port`; a taken one ends the command with what to do."""
    handler = partial(Handler, directory=str(build_site.HTML), base=base)
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as e:
        if e.errno != errno.EADDRINUSE:
            raise
        sys.exit(
            f"port {port} is taken by another program; choose another: make serve PORT={port + 1}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--no-browser", action="store_true", help="only serve")
    options = parser.parse_args()
    base = urlsplit(build_site.base_url()).path or "/"
    server = start(options.port, base)
    url = f"http://127.0.0.1:{options.port}{base}"
    print(f"The book is at {url} (stop with Ctrl-C)", flush=True)
    if not options.no_browser:
        webbrowser.open(url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
