"""Data sets by name: a table, a cache, and downloads that end whole or not at all.

Not built on a page of the book. "story" and "sms-spam" come with the package; the rest
is downloaded once into `cache_folder()`, and not even that while LLMBOOK_OFFLINE=1.
`pooch` knows the platform's cache folder and hashes files. Its own download cannot
continue a broken one, has one url per file and leaves a stray file when it is killed,
so that part is here: the bytes gather in a `.part` file, which gets its final name in
one step once its sha256 is right. Of several processes one downloads, behind a lock
file, and the others find its result; the lock of a process that dies is free again.
"""

import errno
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pooch
import requests
from filelock import FileLock
from tqdm import tqdm

from llmbook_utils.env import is_set, quiet_bars

TIMEOUT = (10, 30)  # seconds to connect, and to wait for the next bytes
ROUNDS = 2  # how often the list of mirrors is tried


class DownloadError(OSError):
    """A data set could not be fetched; the message has each url and its reason."""


@dataclass(frozen=True)
class Dataset:
    """A row of the table: a file, where to get it, how to know the right one."""

    name: str
    file: str  # its name in the cache or among the package's assets
    urls: tuple[str, ...]  # mirrors in order; none: it comes with the package
    sha256: str
    size: int  # bytes
    license: str
    citation: str
    member: str = ""  # of a zip: the file in it that is wanted
    member_sha256: str = ""


STORY = Dataset(
    name="story",
    file="story.txt",
    urls=(),
    sha256="da7f2a6c91057bb94ee571be01c701429a743bdb86cf4ff0a5a24410cda98871",
    size=20_272,
    license="CC BY 4.0",
    citation="The Sea Is Late, a short story written for this book",
)

THE_VERDICT = Dataset(
    name="the-verdict",
    file="the-verdict.txt",
    urls=(
        "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/"
        "ch02/01_main-chapter-code/the-verdict.txt",
    ),
    sha256="b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
    size=20_479,
    license="public domain in the United States",
    citation="Edith Wharton, The Verdict (1908)",
)

SMS_SPAM = Dataset(
    name="sms-spam",
    file="sms_spam/SMSSpamCollection.tsv",
    urls=(),
    sha256="7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
    size=477_907,
    license="free for all purposes (its authors); CC BY 4.0 (UCI)",
    citation="Almeida, Gómez Hidalgo and Yamakami, Contributions to the Study of SMS "
    "Spam Filtering (2011)",
)

SMS_SPAM_UCI = Dataset(  # the same messages from where they were published
    name="sms-spam-uci",
    file="sms+spam+collection.zip",
    urls=(
        "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
        "https://archive.ics.uci.edu/ml/machine-learning-databases/00228/"
        "smsspamcollection.zip",
    ),
    sha256="1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3",
    size=203_415,
    license=SMS_SPAM.license,
    citation=SMS_SPAM.citation,
    member="SMSSpamCollection",
    member_sha256=SMS_SPAM.sha256,
)

DATASETS = {
    dataset.name: dataset for dataset in (STORY, THE_VERDICT, SMS_SPAM, SMS_SPAM_UCI)
}


def cache_folder() -> Path:
    """Where downloads go: LLMBOOK_CACHE, else the platform's cache for this user."""
    folder = os.environ.get("LLMBOOK_CACHE") or pooch.os_cache("llmbook")
    return Path(folder).expanduser()


def fetch(name: str) -> Path:
    """The path of a data set's file, downloaded first if it is not there yet.

    An unknown name raises ValueError. DownloadError, an OSError, is raised when no url
    gives the right bytes, when LLMBOOK_OFFLINE=1 forbids asking for them, when the disk
    is full and when the cache cannot be written.
    """
    if name not in DATASETS:
        raise ValueError(
            f"unknown data set {name!r}; expected one of {known_names()} "
            "(for a file of your own, give load_text its path)"
        )
    dataset = DATASETS[name]
    if not dataset.urls:
        return Path(str(resources.files("llmbook_utils") / "assets" / dataset.file))
    path = cache_folder() / dataset.file
    with disk_errors(dataset, path):
        if not is_right(dataset, path):
            refuse_offline(dataset, path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                if not is_right(dataset, path):  # nobody else was faster
                    download(dataset, path)
        return unpacked(dataset, path) if dataset.member else path


def unpacked(dataset: Dataset, path: Path) -> Path:
    """The file that a zip was fetched for, beside it; taken out where it is not yet."""
    out = path.with_name(dataset.member)
    with FileLock(f"{out}.lock"):
        if not (out.is_file() and pooch.file_hash(str(out)) == dataset.member_sha256):
            with zipfile.ZipFile(path) as archive:
                part_of(out).write_bytes(archive.read(dataset.member))
            os.replace(part_of(out), out)
    return out


def load_text(name_or_path: str | Path) -> str:
    """The text of a data set or of any UTF-8 file, its line ends made newlines.

    What is neither a known name nor a file raises FileNotFoundError, a folder
    IsADirectoryError, an empty file and bytes that are not UTF-8 ValueError; a data set
    that has to be downloaded raises what `fetch` raises.
    """
    path = Path(name_or_path)
    # a Path that leads to a file is that file, whatever its name
    known = not (isinstance(name_or_path, Path) and path.exists())
    if known and str(name_or_path) in DATASETS:
        path = fetch(str(name_or_path))
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the path of one text file")
    if not path.exists():
        raise FileNotFoundError(
            f"{str(name_or_path)!r} is neither a data set ({known_names()}) nor a "
            f"file: there is no {path.absolute()}; check the spelling, or give the "
            "full path"
        )
    try:
        text = path.read_text(encoding="utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at "
            f"offset {error.start:,} ({error.reason}); save the file as UTF-8"
        ) from error
    if not text.strip():
        raise ValueError(f"{path} is empty; expected a file with text in it")
    return text


def known_names() -> str:
    """The names in the table, quoted, for messages."""
    return ", ".join(map(repr, DATASETS))


def is_right(dataset: Dataset, path: Path) -> bool:
    """Whether the data set's file is at `path`, with the right bytes."""
    return path.is_file() and pooch.file_hash(str(path)) == dataset.sha256


def part_of(path: Path) -> Path:
    """Where the bytes of an unfinished download wait for the next try."""
    return path.with_name(path.name + ".part")


def size_of(path: Path) -> int:
    """The file's bytes; none if it is not there."""
    return path.stat().st_size if path.exists() else 0


def refuse_offline(dataset: Dataset, path: Path) -> None:
    """Raise DownloadError where the environment forbids any request."""
    if is_set("LLMBOOK_OFFLINE"):
        state = "holds wrong bytes" if path.exists() else "is not there"
        raise DownloadError(
            f"{dataset.name!r} was asked for, {path} {state}, and LLMBOOK_OFFLINE "
            "forbids downloading it; unset LLMBOOK_OFFLINE, put the file there "
            "yourself, or use 'story', which needs no network"
        )


@contextmanager
def disk_errors(dataset: Dataset, path: Path) -> Iterator[None]:
    """Say what to do when the disk refuses; a full one gets the `.part` file back."""
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"cannot keep {dataset.name!r} in the cache folder {path.parent} "
                f"({error}); set LLMBOOK_CACHE to a folder that you can write to"
            ) from error
        part_of(path).unlink(missing_ok=True)
        raise DownloadError(
            f"the disk is full: {dataset.name!r} needs {dataset.size:,} bytes in "
            f"{path.parent}; make room, or set LLMBOOK_CACHE to another disk's folder"
        ) from error


def download(dataset: Dataset, path: Path) -> None:
    """Ask the mirrors in order, and once more, until one has completed the file.

    DownloadError: none of them did.
    """
    part, reasons = part_of(path), {}
    for url in dataset.urls * ROUNDS:
        try:
            transfer(url, part, dataset)
            verify(part, dataset)
            os.replace(part, path)
            return
        except (requests.RequestException, ValueError) as error:
            reasons[url] = reason(error)
    lines = [f"could not download {dataset.name!r} to {path}:"]
    lines += [f"- {url}: {why}" for url, why in reasons.items()]
    if size_of(part):
        kept = f"{size_of(part):,} of {dataset.size:,} bytes"
        lines.append(f"{kept} are kept, and the next try continues from there")
    else:
        part.unlink(missing_ok=True)
    lines.append("check the connection, or use 'story', which needs no network")
    raise DownloadError("\n".join(lines))


def transfer(url: str, part: Path, dataset: Dataset) -> None:
    """Add to `part` what it lacks of the file at `url`, or start over if that fails."""
    start = size_of(part)
    if start == dataset.size:
        return
    # in a compressed answer a range would count other bytes than ours
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if start and response.status_code == 416:  # range not satisfiable
            part.unlink()
            return transfer(url, part, dataset)
        response.raise_for_status()
        if response.status_code != 206:  # partial content
            start = 0
        receive(response, part, start, dataset)


def receive(
    response: requests.Response, part: Path, start: int, dataset: Dataset
) -> None:
    """Write the answer after the first `start` bytes of `part`, but not for ever."""
    with (
        open(part, "ab" if start else "wb") as file,
        tqdm(
            desc=dataset.name,
            initial=start,
            total=dataset.size,
            unit="B",
            unit_scale=True,
            disable=quiet_bars(),
        ) as bar,
    ):
        # small pieces: a connection that breaks loses the one it is in
        for chunk in response.iter_content(1024):
            file.write(chunk)
            bar.update(len(chunk))
            if file.tell() > dataset.size:
                return


def verify(part: Path, dataset: Dataset) -> None:
    """Delete a file that is not the data set's, and raise ValueError."""
    size, sha256 = size_of(part), pooch.file_hash(str(part))
    if sha256 == dataset.sha256:
        return
    part.unlink()
    if size > dataset.size:
        raise ValueError(f"the file has more than the expected {dataset.size:,} bytes")
    raise ValueError(
        f"wrong bytes, deleted: expected sha256 {dataset.sha256}, got {sha256}"
    )


def reason(error: Exception) -> str:
    """Why a try failed, without the layers that `requests` wraps around it."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code}"
    if "timed out" in str(error):
        return "the server stalled: {} s to connect, {} s for bytes".format(*TIMEOUT)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke before the end"
    if isinstance(error, requests.ConnectionError) and error.args:
        return f"no connection ({getattr(error.args[0], 'reason', error)})"
    return str(error)
