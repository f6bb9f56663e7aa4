"""A language model's server on this machine, which answers as badly as any judge can."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Said:
    """How one request is answered."""

    body: bytes = b""
    status: int = 200
    silent: bool = False  # says nothing until it is released
    hang_up: bool = False  # closes the connection without a word
    cut: int | None = None  # hangs up after so many bytes


def openai(text: str | None, tokens: tuple[int, int] = (100, 2)) -> Said:
    """A reply as OpenAI's protocol has it."""
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    reply = {
        "choices": [{"message": {"role": "assistant", "content": text}}],
        "usage": usage,
    }
    return Said(json.dumps(reply).encode())


def ollama(text: str) -> Said:
    reply = {
        "message": {"role": "assistant", "content": text},
        "prompt_eval_count": 90,
        "eval_count": 3,
    }
    return Said(json.dumps(reply).encode())


HTML = Said(b"<html><body><h1>502 Bad Gateway</h1></body></html>")


class JudgeServer(ThreadingHTTPServer):
    """Answers with `plan` in turn, the last one for good; or asks it, if it is a function."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: list[Said] | Callable[[str], Said] = [openai("50")]
        self.seen: list[
            tuple[str, dict[str, str], dict[str, Any]]
        ] = []  # path, headers, body
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next(self, prompt: str) -> Said:
        if callable(self.plan):
            return self.plan(prompt)
        return self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gives up is no news here."""


class Handler(BaseHTTPRequestHandler):
    server: JudgeServer

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), body))
        said = self.server.next(body["messages"][0]["content"])
        if said.silent:
            self.server.released.wait(20)
        if said.silent or said.hang_up:
            self.close_connection = True
            return
        self.send_response(said.status)
        self.send_header("Content-Length", str(len(said.body)))
        self.end_headers()
        self.wfile.write(said.body[: said.cut])


@contextmanager
def serving() -> Iterator[JudgeServer]:
    """A server that answers in a thread of its own, until the end of the block."""
    server = JudgeServer()
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
