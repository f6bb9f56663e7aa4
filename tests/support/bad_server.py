"""A web server on this machine that fails in every way a download can meet."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """How one request is answered; the plain one sends the whole body, or its range."""

    body: bytes = b""
    status: int = 200
    ranges: bool = True  # False: answers 200 and the whole body to any range
    cut: int | None = None  # hangs up after so many bytes
    stall: int | None = None  # goes silent after so many bytes, until released


@dataclass
class Seen:
    """One request: what it asked for, and how many bytes of a body were sent to it."""

    path: str
    range: str | None
    encoding: str | None
    sent: int = 0


class BadServer(ThreadingHTTPServer):
    """Answers each path with its list of answers in turn; the last one stays."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.seen: list[Seen] = []
        self.stalled = threading.Event()
        self.released = threading.Event()

    def plan(self, path: str, *answers: Answer) -> str:
        """Set the answers of a path and return its url."""
        self.answers[path] = list(answers)
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news here."""

    @property
    def ranges(self) -> list[str | None]:
        return [seen.range for seen in self.seen]

    @property
    def sent(self) -> list[int]:
        return [seen.sent for seen in self.seen]


class Handler(BaseHTTPRequestHandler):
    server: BadServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        answers = self.server.answers[self.path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        wanted = self.headers["Range"]
        seen = Seen(self.path, wanted, self.headers["Accept-Encoding"])
        self.server.seen.append(seen)
        start = int(wanted[len("bytes=") : -1]) if wanted and answer.ranges else 0
        if start and start >= len(answer.body):
            answer, start = Answer(status=416), 0
        body = answer.body[start:]
        self.send_response(206 if start else answer.status)
        if start:
            whole = len(answer.body)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.send(seen, body, answer)

    def send(self, seen: Seen, body: bytes, answer: Answer) -> None:
        body = body[: answer.cut]
        first = body[: answer.stall]
        seen.sent = len(first)
        self.wfile.write(first)
        if answer.stall is None:
            return
        self.wfile.flush()
        self.server.stalled.set()
        if self.server.released.wait(20):
            seen.sent = len(body)
            self.wfile.write(body[len(first) :])
