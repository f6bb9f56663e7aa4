"""A web server on this machine that serves folders in the layout of the Hugging Face hub."""

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LATER = "f" * 40  # what "main" means after somebody has pushed


class HubServer(ThreadingHTTPServer):
    """Serves `/<owner>/<name>/resolve/<version>/<file>` from a folder a repository."""

    daemon_threads = True

    def __init__(self, repositories: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = repositories
        self.seen: list[tuple[str, str]] = []  # method and path of each request
        self.cut: int | None = None  # hangs up after so many bytes of a body
        self.pushed_after = 10**6  # requests, after which "main" is another commit
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news here."""


class Handler(BaseHTTPRequestHandler):
    server: HubServer

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.wfile.write(self.answer()[: self.server.cut])

    def answer(self) -> bytes:
        """Send status and headers; return the body."""
        self.server.seen.append((self.command, self.path))
        owner, name, _, version, file = self.path.strip("/").split("/")
        folder = self.server.repositories.get(f"{owner}/{name}")
        found = folder and (folder / file).is_file() and version in ("main", COMMIT)
        body = (folder / file).read_bytes() if found else b""
        self.send_response(200 if found else 404)
        if not found:
            self.send_header(
                "X-Error-Code", "EntryNotFound" if folder else "RepoNotFound"
            )
        pushed = len(self.server.seen) > self.server.pushed_after
        commit = LATER if pushed and version == "main" else COMMIT
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return body
