"""A file of replies that were paid for: a line of JSON each, kept whatever happens.

Not built on a page. A line is on the disk before the next reply is asked for. What a
killed run left half-written is cut off when the file is opened again.
"""

import json
import os
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from llmbook_utils.files.whole import write_whole


class Ledger:
    """Replies by key, in a file: `with Ledger(path) as ledger`.

    Two processes with one file wait for each other. A line before the last that cannot
    be read raises ValueError: it is not the trace of a killed run.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(f"{self.path} is a folder; give a file's path")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(f"{self.path}.lock")

    def __enter__(self) -> "Ledger":
        self.lock.acquire()
        try:
            self.texts = self.read()
            self.file: IO[bytes] = open(self.path, "ab")
        except BaseException:
            self.lock.release()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        self.lock.release()

    def read(self) -> dict[str, str]:
        """The replies that are there; the file is cut after its last whole line."""
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if rest := content[len(whole) :]:
            try:  # it may lack nothing but the line's end
                self.parse(rest, 0)
                whole += rest + b"\n"
            except ValueError:
                pass
            write_whole(self.path, whole)
        lines = enumerate(whole.splitlines(), start=1)
        return dict(self.parse(line, i) for i, line in lines if line.strip())

    def parse(self, line: bytes, number: int) -> tuple[str, str]:
        """Key and text of a line; anything else raises ValueError."""
        try:
            record: Any = json.loads(line)
            return str(record["key"]), str(record["text"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{self.path}, line {number} is no reply: {line[:60]!r}; expected an "
                'object with "key" and "text"; remove the line, or give another file'
            ) from None

    def get(self, key: str) -> str | None:
        return self.texts.get(key)

    def add(self, key: str, text: str, **about: float) -> None:
        """Write a reply and wait until it is on the disk."""
        record = {"key": key, "text": text, **about}
        self.file.write(json.dumps(record).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.texts[key] = text
