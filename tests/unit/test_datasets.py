"""Downloads from a local server that fails in every way; texts that are none."""

import builtins
import errno
import hashlib
import io
import os
import re
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pooch
import pytest
from bad_server import Answer, BadServer

from llmbook_utils.files import datasets
from llmbook_utils.files.datasets import Dataset, DownloadError, fetch, load_text

BODY = "".join(f"{line:07d} is one line of a text\n" for line in range(10_000)).encode()
HALF = 120 * 1024  # at the border of two pieces, so that every byte sent is kept
GOOD = Answer(BODY)
ROUNDS = datasets.ROUNDS  # what readers have; most tests here ask once only


@pytest.fixture
def server() -> Iterator[BadServer]:
    server = BadServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, each url asked once, and no proxy."""
    monkeypatch.setenv("LLMBOOK_CACHE", str(tmp_path / "new" / "cache"))
    monkeypatch.delenv("LLMBOOK_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(datasets, "ROUNDS", 1)
    return tmp_path / "new" / "cache"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "TIMEOUT", (2, 1.0))


Register = Callable[..., Path]


@pytest.fixture
def register(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """`register(url, …)` puts a data set "sample" with BODY's sha256 in the table."""

    def register(*urls: str) -> Path:
        monkeypatch.setitem(datasets.DATASETS, "sample", sample(*urls))
        return cache / "sample.txt"

    return register


def sample(*urls: str) -> Dataset:
    sha256 = hashlib.sha256(BODY).hexdigest()
    return Dataset("sample", "sample.txt", urls, sha256, len(BODY), "CC0", "made here")


def files(cache: Path) -> dict[str, int]:
    """What lies in the cache, by size; the lock files are not of interest."""
    found = cache.iterdir() if cache.is_dir() else ()
    return {path.name: path.stat().st_size for path in found if path.suffix != ".lock"}


def failure(name: str = "sample") -> str:
    """The message of the DownloadError that fetching must raise."""
    with pytest.raises(DownloadError) as caught:
        fetch(name)
    return str(caught.value)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


WHOLE = {"sample.txt": len(BODY)}
PART = {"sample.txt.part": HALF}


# what works


def test_downloads_once(server: BadServer, register: Register, cache: Path) -> None:
    path = register(server.plan("/a", GOOD))
    assert fetch("sample") == path
    assert path.read_bytes() == BODY
    assert fetch("sample") == path
    assert load_text("sample") == BODY.decode()
    assert [(seen.range, seen.encoding) for seen in server.seen] == [(None, "identity")]
    assert files(cache) == WHOLE


def test_default_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMBOOK_CACHE", raising=False)
    assert datasets.cache_folder() == Path(pooch.os_cache("llmbook"))
    monkeypatch.setenv("LLMBOOK_CACHE", "~/texts")
    assert datasets.cache_folder() == Path.home() / "texts"


def test_progress_is_text_on_a_terminal_only(
    server: BadServer,
    register: Register,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    register(server.plan("/a", GOOD))
    fetch("sample")
    assert capsys.readouterr() == ("", "")
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    (cache / "sample.txt").unlink()
    fetch("sample")
    assert re.search(r"sample: 100%.*300k/300k", terminal.getvalue())
    terminal.truncate(0)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    (cache / "sample.txt").unlink()
    fetch("sample")
    assert terminal.getvalue() == ""


def test_damaged_file_is_fetched_again(
    server: BadServer, register: Register, cache: Path
) -> None:
    path = register(server.plan("/a", GOOD))
    fetch("sample")
    path.write_bytes(BODY[:-1] + b"?")
    assert fetch("sample").read_bytes() == BODY
    assert server.sent == [len(BODY)] * 2
    assert files(cache) == WHOLE


# servers that fail


def test_nobody_listens(register: Register, cache: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/a"
    register(url)
    message = failure()
    assert f"{url}: no connection (" in message and "refused" in message
    assert "could not download 'sample' to" in message
    assert "'story', which needs no network" in message
    assert files(cache) == {}


def test_every_mirror_has_its_reason(
    server: BadServer, register: Register, cache: Path
) -> None:
    missing = server.plan("/missing", Answer(status=404))
    broken = server.plan("/broken", Answer(b"<html>", status=500))
    nobody = f"http://127.0.0.1:{free_port()}/a"
    register(missing, broken, nobody)
    message = failure()
    assert f"{missing}: the server answered 404" in message
    assert f"{broken}: the server answered 500" in message
    assert f"{nobody}: no connection" in message
    assert [seen.path for seen in server.seen] == ["/missing", "/broken"]
    assert files(cache) == {}


def test_next_mirror_helps(server: BadServer, register: Register, cache: Path) -> None:
    broken = server.plan("/broken", Answer(status=500))
    wrong = server.plan("/wrong", Answer(BODY[::-1]))
    register(broken, wrong, server.plan("/a", GOOD), server.plan("/unused", GOOD))
    assert fetch("sample").read_bytes() == BODY
    assert [seen.path for seen in server.seen] == ["/broken", "/wrong", "/a"]
    assert files(cache) == WHOLE


def test_every_mirror_is_asked_twice(
    server: BadServer,
    register: Register,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datasets, "ROUNDS", ROUNDS)
    busy, broken = Answer(status=503), Answer(status=500)
    register(server.plan("/a", busy, GOOD), server.plan("/b", broken, broken))
    assert fetch("sample").read_bytes() == BODY
    assert [seen.path for seen in server.seen] == ["/a", "/b", "/a"]


def test_second_try_goes_on(
    server: BadServer,
    register: Register,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datasets, "ROUNDS", 2)
    register(server.plan("/a", Answer(BODY, cut=HALF), GOOD))
    assert fetch("sample").read_bytes() == BODY
    assert server.ranges == [None, f"bytes={HALF}-"]


@pytest.mark.usefixtures("impatient")
def test_stall_before_the_answer(register: Register, cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        register(url)
        hang_up = threading.Timer(10, silent.close)  # on those who wait for ever
        hang_up.start()
        message = failure()
        hang_up.cancel()
    assert f"{url}: the server stalled: 2 s to connect, 1.0 s for bytes" in message
    assert files(cache) == {}


@pytest.mark.usefixtures("impatient")
def test_stall_before_the_first_byte(
    server: BadServer, register: Register, cache: Path
) -> None:
    register(server.plan("/a", Answer(BODY, stall=0)))
    message = failure()
    assert "the server stalled" in message and "are kept" not in message
    assert files(cache) == {}


@pytest.mark.usefixtures("impatient")
def test_stall_in_the_middle(
    server: BadServer, register: Register, cache: Path
) -> None:
    url = server.plan("/a", Answer(BODY, stall=HALF), GOOD)
    register(url)
    message = failure()
    assert f"{url}: the server stalled" in message
    assert f"{HALF:,} of 300,000 bytes are kept" in message
    assert files(cache) == PART
    assert fetch("sample").read_bytes() == BODY
    assert server.sent == [HALF, len(BODY) - HALF]


# half a file


def test_next_fetch_resumes(server: BadServer, register: Register, cache: Path) -> None:
    url = server.plan("/a", Answer(BODY, cut=HALF), GOOD)
    register(url)
    message = failure()
    assert f"{url}: the connection broke before the end" in message
    assert f"{HALF:,} of 300,000 bytes are kept, and the next try" in message
    assert files(cache) == PART
    assert fetch("sample").read_bytes() == BODY
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert sum(server.sent) == len(BODY)
    assert files(cache) == WHOLE


def test_mirror_resumes(server: BadServer, register: Register) -> None:
    half = server.plan("/half", Answer(BODY, cut=HALF))
    register(half, server.plan("/a", GOOD))
    assert fetch("sample").read_bytes() == BODY
    assert server.sent == [HALF, len(BODY) - HALF]


def test_range_ignored_starts_over(server: BadServer, register: Register) -> None:
    url = server.plan("/a", Answer(BODY, cut=HALF), Answer(BODY, ranges=False))
    register(url)
    failure()
    assert fetch("sample").read_bytes() == BODY
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert server.sent == [HALF, len(BODY)]


def test_range_refused_starts_over(
    server: BadServer, register: Register, cache: Path
) -> None:
    first, refusal = Answer(BODY, cut=HALF), Answer(b"short")
    register(server.plan("/a", first, refusal, GOOD))
    failure()
    assert fetch("sample").read_bytes() == BODY
    assert server.ranges == [None, f"bytes={HALF}-", None]
    assert files(cache) == WHOLE


def test_whole_part_needs_no_request(register: Register, cache: Path) -> None:
    register(f"http://127.0.0.1:{free_port()}/a")
    cache.mkdir(parents=True)
    (cache / "sample.txt.part").write_bytes(BODY)
    assert fetch("sample").read_bytes() == BODY
    assert files(cache) == WHOLE


def test_wrong_part_is_given_up(
    server: BadServer,
    register: Register,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datasets, "ROUNDS", 2)
    register(server.plan("/a", GOOD))
    cache.mkdir(parents=True)
    (cache / "sample.txt.part").write_bytes(b"?" * HALF)
    assert fetch("sample").read_bytes() == BODY
    assert server.ranges == [f"bytes={HALF}-", None]


# wrong files


def test_wrong_bytes(server: BadServer, register: Register, cache: Path) -> None:
    wrong = BODY[::-1]
    url = server.plan("/a", Answer(wrong))
    register(url)
    message = failure()
    expected, got = (hashlib.sha256(body).hexdigest() for body in (BODY, wrong))
    assert (
        f"{url}: wrong bytes, deleted: expected sha256 {expected}, got {got}" in message
    )
    assert files(cache) == {}


def test_too_small(server: BadServer, register: Register, cache: Path) -> None:
    register(server.plan("/a", Answer(BODY[:HALF])))
    assert hashlib.sha256(BODY[:HALF]).hexdigest() in failure()
    assert files(cache) == {}


def test_too_large(server: BadServer, register: Register, cache: Path) -> None:
    # stalls behind the surplus: a download that reads on would time out instead
    endless = Answer(BODY * 3, stall=len(BODY) + (1 << 17))
    url = server.plan("/a", endless)
    register(url)
    assert f"{url}: the file has more than the expected 300,000 bytes" in failure()
    assert files(cache) == {}


# the disk


def test_disk_full(
    server: BadServer,
    register: Register,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class SmallDisk(io.FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            if self.tell() + len(data) > HALF:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    url = server.plan("/a", GOOD)
    register(url, url)
    monkeypatch.setattr(datasets, "open", SmallDisk, raising=False)
    message = failure()
    assert f"the disk is full: 'sample' needs 300,000 bytes in {cache}" in message
    assert "make room" in message and "LLMBOOK_CACHE" in message
    assert files(cache) == {}
    assert len(server.seen) == 1
    monkeypatch.setattr(datasets, "open", builtins.open)
    assert fetch("sample").read_bytes() == BODY
    assert server.ranges == [None, None]


def test_unwritable_cache(
    server: BadServer,
    register: Register,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(server.plan("/a", GOOD))
    (tmp_path / "file").write_text("not a folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        monkeypatch.setenv("LLMBOOK_CACHE", str(folder))
        message = failure()
        assert f"cannot keep 'sample' in the cache folder {folder}" in message
        assert "set LLMBOOK_CACHE to a folder that you can write to" in message
    assert server.seen == []
    assert (tmp_path / "file").read_text() == "not a folder"


def test_offline(
    server: BadServer,
    register: Register,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = register(server.plan("/a", GOOD))
    monkeypatch.setenv("LLMBOOK_OFFLINE", "1")
    message = failure()
    assert f"'sample' was asked for, {path} is not there" in message
    assert "LLMBOOK_OFFLINE" in message and "'story', which needs no" in message
    assert server.seen == [] and not cache.exists()
    monkeypatch.setenv("LLMBOOK_OFFLINE", "0")
    fetch("sample")
    monkeypatch.setenv("LLMBOOK_OFFLINE", "1")
    assert fetch("sample") == path
    path.write_bytes(b"?")
    assert f"{path} holds wrong bytes" in failure()
    assert len(server.seen) == 1


# several at once

CHILD = """
import sys
from llmbook_utils.files import datasets
name, file, url, sha256, size = sys.argv[1:]
row = datasets.Dataset(name, file, (url,), sha256, int(size), "CC0", "made here")
datasets.DATASETS[name] = row
print("ready", flush=True)
sys.stdin.readline()
print(datasets.fetch(name))
"""


@pytest.fixture
def start(cache: Path) -> Iterator[Callable[[str], subprocess.Popen]]:
    """`start(url)` runs a Python that fetches "sample" as soon as it gets a line."""
    children = []

    def start(url: str) -> subprocess.Popen:
        row = sample(url)
        arguments = [row.name, row.file, url, row.sha256, str(row.size)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments], **pipes)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def go(child: subprocess.Popen) -> None:
    """Let a child begin to fetch once it has imported everything."""
    assert child.stdout.readline() == "ready\n"
    child.stdin.write("go\n")
    child.stdin.flush()


def wait_for(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; after 20 seconds it never will."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_processes_download_once(
    server: BadServer, register: Register, cache: Path, start: Callable
) -> None:
    url = server.plan("/a", Answer(BODY, stall=HALF), GOOD)
    path = register(url)
    children = [start(url), start(url)]
    for child in children:
        go(child)
    assert server.stalled.wait(20)
    threading.Timer(0.3, server.released.set).start()  # time to run into the lock
    assert [child.communicate()[0] for child in children] == [f"{path}\n"] * 2
    assert path.read_bytes() == BODY
    assert server.sent == [len(BODY)]
    assert files(cache) == WHOLE


def test_killed_process_is_continued(
    server: BadServer, register: Register, cache: Path, start: Callable
) -> None:
    url = server.plan("/a", Answer(BODY, stall=HALF), GOOD)
    register(url)
    child = start(url)
    go(child)
    assert server.stalled.wait(20)
    wait_for(lambda: files(cache).get("sample.txt.part", 0) > 0)
    child.kill()
    child.wait()
    kept = files(cache)["sample.txt.part"]
    assert fetch("sample").read_bytes() == BODY
    assert server.ranges == [None, f"bytes={kept}-"]
    assert files(cache) == WHOLE


def test_threads_download_once(
    server: BadServer, register: Register, cache: Path
) -> None:
    register(server.plan("/a", Answer(BODY, stall=HALF), GOOD))
    barrier = threading.Barrier(4)

    def one(_: int) -> bytes:
        barrier.wait(10)
        return fetch("sample").read_bytes()

    threading.Timer(0.2, server.released.set).start()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [BODY] * 4
    assert server.sent == [len(BODY)]
    assert files(cache) == WHOLE


# the table and load_text


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="unknown data set 'storry'") as caught:
        fetch("storry")
    assert "'story', 'the-verdict'" in str(caught.value)
    assert "give load_text its path" in str(caught.value)


def test_table() -> None:
    for name, row in datasets.DATASETS.items():
        assert name == row.name and row.license and row.citation
        assert re.fullmatch("[0-9a-f]{64}", row.sha256) and row.size > 0
        assert all(url.startswith("https://") for url in row.urls)
    rows = datasets.DATASETS.values()
    assert len({row.file for row in rows}) == len(rows)


def test_story_is_bundled(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMBOOK_OFFLINE", "1")
    story, data = datasets.DATASETS["story"], fetch("story").read_bytes()
    now = (hashlib.sha256(data).hexdigest(), len(data))
    assert (story.sha256, story.size) == now, "the story changed: update its row"
    assert load_text("story") == data.decode()
    assert not cache.exists()


def test_load_text_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo \xe2\x82\xac\n")
    assert load_text(path) == load_text(str(path)) == "one\ntwo €\n"


def test_a_path_object_is_a_name_unless_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_text(Path("story")) == load_text("story")
    Path("story").write_text("mine")
    assert load_text(Path("story")) == load_text("./story") == "mine"
    assert load_text("story") != "mine"


def test_load_text_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        load_text("storry")
    message = str(caught.value)
    assert "'storry' is neither a data set ('story', 'the-verdict'" in message
    assert f"there is no {tmp_path / 'storry'}" in message


def test_load_text_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder; give the path of one"):
        load_text(tmp_path)


@pytest.mark.parametrize("data", [b"", b" \n\n", b"\xef\xbb\xbf"])
def test_load_text_empty(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.txt is empty; expected a file with text"):
        load_text(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("data", "byte", "offset"),
    [
        (b"x" * 70_000 + "caf\u00e9 bar".encode("latin-1"), "0xe9", "70,003"),
        ("text".encode("utf-16"), "0xff", "0"),
        ("\u20ac".encode()[:2], "0xe2", "0"),
    ],
)
def test_load_text_not_utf8(
    tmp_path: Path, data: bytes, byte: str, offset: str
) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(ValueError, match=f"byte {byte} at offset {offset} ") as caught:
        load_text(tmp_path / "a.txt")
    assert "a.txt is not UTF-8 text" in str(caught.value)
    assert "save the file as UTF-8" in str(caught.value)


# a data set inside a zip


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme", "about it")
        archive.writestr(name, BODY)
    return stream.getvalue()


def test_a_zip_comes_from_the_next_mirror_and_is_unpacked(
    server: BadServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = zipped("Sample")
    urls = (
        server.plan("/gone", Answer(status=404)),
        server.plan("/zip", Answer(content)),
    )
    sha256 = hashlib.sha256(content).hexdigest()
    packed = Dataset(
        "packed",
        "packed.zip",
        urls,
        sha256,
        len(content),
        "CC0",
        "made here",
        "Sample",
        hashlib.sha256(BODY).hexdigest(),
    )
    monkeypatch.setitem(datasets.DATASETS, "packed", packed)
    path = fetch("packed")
    assert path == cache / "Sample" and path.read_bytes() == BODY
    path.write_bytes(b"something else")
    assert fetch("packed").read_bytes() == BODY  # once more out of the same zip
    assert [seen.path for seen in server.seen] == ["/gone", "/zip"]
    assert files(cache).keys() == {"packed.zip", "Sample"}


def test_the_collection_ships_with_the_book_and_is_ucis() -> None:
    shipped, published = datasets.DATASETS["sms-spam"], datasets.SMS_SPAM_UCI
    path = fetch("sms-spam")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == shipped.sha256
    assert path.stat().st_size == shipped.size
    assert published.member_sha256 == shipped.sha256
    assert len(published.urls) == 2
