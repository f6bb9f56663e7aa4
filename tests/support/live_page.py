"""The model in a page without widgets: a server, a browser's page, and lines to what answers there."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import serve
import tiktoken
from browser import Log
from live_protocol import check
from models import vivid
from playwright.sync_api import Browser, Page
from safetensors.torch import save
from saved_models import SMALL, tokenizer  # noqa: F401

from llmbook_utils.files.hub import SHIPPED
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.widgets import write_site_files
from llmbook_utils.widgets.live import Answerer, describe
from llmbook_utils.widgets.weights import published

MODELS = {
    # a context that is soon full; numbers of rows that are no multiple of 4; of columns: without WebAssembly
    "small": SMALL,
    "wide": replace(
        SMALL, emb_dim=12, vocab_size=301, qkv_bias=False, tie_embeddings=False
    ),
    "odd": replace(
        SMALL,
        emb_dim=6,
        n_heads=2,
        vocab_size=303,
        context_length=13,
        qkv_bias=False,
        tie_embeddings=False,
    ),
}
HELPER = """
window.lines = [];
/** Connect to what answers, as a widget does. */
window.connect = async (model, adapters = {}) => {
    const { connect } = await import("./host/page-answerer.js");
    const line = { heard: [], events: new EventTarget() };
    line.connection = connect((name) => ({ model, adapters })[name], (content, buffers) => {
        line.heard.push({ content, buffers });
        line.events.dispatchEvent(new Event("heard"));
    });
    return lines.push(line) - 1;
};
const isLast = ({ kind, state }) => !["started", "token"].includes(kind) && state !== "loading";
/** Wait for as many replies as `enough` asks for. */
window.until = async (line, replies, enough) => {
    const late = Date.now() + 20_000;
    while (!enough(replies())) {
        if (Date.now() > late) throw new Error(`no reply; heard ${JSON.stringify(line.heard.map(({ content }) => content).slice(-3))}`);
        await new Promise((resolve) => {
            line.events.addEventListener("heard", resolve, { once: true });
            setTimeout(resolve, 1000);
        });
    }
    return replies();
};
/** All replies to a request; the numbers go to the server. */
window.ask = async (at, message) => {
    const line = lines[at];
    const from = line.heard.length;
    const isMine = ({ content }) => content.seq === message.seq || (message.kind === "load" && content.kind === "status");
    line.connection.send(message);
    const replies = () => line.heard.slice(from).filter(isMine);
    const found = await until(line, replies, (all) => all.some(({ content }) => isLast(content)));
    const buffers = found.flatMap(({ buffers }) => buffers);
    if (buffers.length) await fetch("numbers", { method: "POST", body: new Blob(buffers) });
    return found.map(({ content }) => content);
};
window.adopt = async (at, seq, folder) => {
    const names = { config: "config.json", weights: "model.safetensors", vocab: "vocab.json", merges: "merges.txt" };
    const get = async ([key, name]) => [key, new File([await (await fetch(`${folder}/${name}`)).blob()], name)];
    const files = Object.fromEntries(await Promise.all(Object.entries(names).map(get)));
    return ask(at, { kind: "adopt", seq, files });
};
"""
Reply = dict[str, Any]


class Handler(serve.Handler):
    """Serves the folder's files, some of them badly, and takes the numbers that a page sends."""

    def do_POST(self) -> None:
        self.server.posted = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        name = urlsplit(self.path).path.lstrip("/")
        self.server.asked.append(name)
        if name not in self.server.halved:
            return super().do_GET()
        content = (Path(self.directory) / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.server.halved[name].wait(20)  # then it hangs up


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.folder, self.posted = folder, b""
        self.asked: list[str] = []
        # files of which half is sent, and what releases the rest of their time
        self.halved: dict[str, threading.Event] = {}
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A page that gives up is no news here."""


class Line:
    """A widget's line to what answers on a page."""

    def __init__(
        self,
        page: Page,
        server: Server,
        model: dict[str, Any],
        adapters: dict[str, Any] | None = None,
    ):
        self.page, self.server, self.seq, self.small = page, server, 0, False
        call = "([model, adapters]) => connect(model, adapters)"
        self.at = page.evaluate(call, [model, adapters or {}])

    def ask(self, kind: str, **message: Any) -> list[Reply]:
        """The replies to a request, as the protocol has them, the tensors with their numbers."""
        self.seq += 1
        # as a text: a lone surrogate must reach the page as it is
        text = json.dumps({"seq": self.seq, "kind": kind, **message})
        call = "([at, text]) => ask(at, JSON.parse(text))"
        return self.take(self.page.evaluate(call, [self.at, text]))

    def adopt(self, folder: str) -> Reply:
        self.seq += 1
        call = "([at, seq, folder]) => adopt(at, seq, folder)"
        return self.take(self.page.evaluate(call, [self.at, self.seq, folder]))[-1]

    def take(self, replies: list[Reply]) -> list[Reply]:
        at = 0
        for content in replies:
            check(content)
            for tensor in content.get("tensors", []):
                n = int(np.prod(tensor["shape"]))
                numbers = np.frombuffer(self.server.posted, "<f4", n, at)
                tensor["data"], at = numbers.reshape(tensor["shape"]), at + 4 * n
        return replies

    def tensors(self, **message: Any) -> dict[str, np.ndarray]:
        (reply,) = self.ask("run", **message)
        assert reply["kind"] == "run", reply
        return {tensor["name"]: tensor["data"] for tensor in reply["tensors"]}


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    tokenizer: tiktoken.Encoding,  # noqa: F811
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("live")
    write_site_files(folder)
    (folder / "index.html").write_text(
        '<!doctype html><title>live</title><link rel="icon" href="data:,">'
    )
    mini = load_pretrained("mini")[0].named_parameters()
    exact = save({name: value.detach().contiguous() for name, value in mini})
    (folder / "exact.safetensors").write_bytes(exact)
    shutil.copytree(SHIPPED["mini"], folder / "mini")
    for name, config in MODELS.items():
        save_pretrained(vivid(config), tokenizer, folder / name)
    server = Server(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


Open = Callable[[], Page]
Pair = tuple[Line, Answerer]


@pytest.fixture(scope="module")
def open_page(browser: Browser, server: Server) -> Iterator[Open]:
    """Opens an empty page in a context of its own; no page may throw or ask another host."""
    logs, contexts = [], []

    def opened() -> Page:
        contexts.append(browser.new_context())
        contexts[-1].add_init_script(HELPER)
        page = contexts[-1].new_page()
        logs.append(Log(server.url.rstrip("/")))
        logs[-1].watch(page)
        page.goto(server.url)
        return page

    yield opened
    for context in contexts:
        context.close()
    for log in logs:
        assert log.outside == []
        assert [line for line in log.console if line.startswith("exception")] == []


@pytest.fixture(scope="module")
def page(open_page: Open) -> Page:
    return open_page()


@pytest.fixture(scope="module")
def exact(server: Server) -> dict[str, Any]:
    """The description of `mini` with its weights as 32-bit numbers."""
    content = (server.folder / "exact.safetensors").read_bytes()
    weights = published("exact.safetensors", content)
    return {**describe("mini"), "name": "exact", "weights": weights}


def python_tensors(answerer: Answerer, **message: Any) -> dict[str, np.ndarray]:
    (reply,) = answerer.run({"kind": "run", "seq": 0, **message})
    return {
        about["name"]: np.frombuffer(data, "<f4").reshape(about["shape"])
        for about, data in zip(reply["tensors"], reply["buffers"], strict=True)
    }
