"""A file is written whole, or it stays as it was. Not built on a page."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside `path`, then put it in its place: all of it, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a full disk may say so only now
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
