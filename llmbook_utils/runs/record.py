"""What a run leaves behind: a file of JSON with its circumstances and a checksum.

Not built on a page. The checksum shows that a file was changed by hand, or cut off; it
is no signature.
"""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmbook_utils.files.whole import write_whole

PREFIX = "run-"  # of the files, among other results
SEAL = "sha256"


def checksum(record: dict[str, Any]) -> str:
    """The sha256 of all of a record but its seal."""
    rest = {key: value for key, value in record.items() if key != SEAL}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_record(record: dict[str, Any], folder: Path) -> Path:
    """Seal a record and write it: the whole of it, or nothing."""
    stamp = record["started"].replace("-", "").replace(":", "").replace("T", "-")
    path = folder / f"{PREFIX}{record['job']}-{stamp.rstrip('Z')}.json"
    sealed = record | {SEAL: checksum(record)}
    text = json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(path, text.encode() + b"\n")
    return path


def read_record(path: Path) -> dict[str, Any]:
    """A record; one that was changed after it was written raises ValueError."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        right = record[SEAL] == checksum(record)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no record of a run ({error!r}); remove it, or restore it from "
            "version control"
        ) from None
    if not right:
        raise ValueError(
            f"{path} was changed after it was written: its checksum does not fit; "
            "restore it from version control, or remove it and run it again"
        )
    return record


def read_records(folder: Path) -> list[dict[str, Any]]:
    """All records of a folder, the oldest first."""
    found = [read_record(path) for path in folder.glob(f"{PREFIX}*.json")]
    return sorted(found, key=lambda record: (record["started"], record["job"]))


def said_by(*command: str, folder: Path | None = None) -> str | None:
    """What a command prints; None where it is missing, fails or hangs."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=30, check=True
        )
        return run.stdout.strip()
    return None


def processor() -> str:
    """What the processor calls itself."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    brand = said_by("sysctl", "-n", "machdep.cpu.brand_string")
    return brand or platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """This machine: processor, memory in GB, and the first GPU with its driver."""
    pages = getattr(os, "sysconf", lambda _: 0)
    found: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory": round(pages("SC_PAGE_SIZE") * pages("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": None,
        "driver": None,
        "gpu_memory": None,
    }
    query = "--query-gpu=name,driver_version,memory.total"
    if gpus := said_by("nvidia-smi", query, "--format=csv,noheader,nounits"):
        name, driver, mebibytes = gpus.splitlines()[0].rsplit(", ", 2)
        memory = round(float(mebibytes) * 2**20 / 1e9, 1)
        found |= {"gpu": name, "driver": driver, "gpu_memory": memory}
    elif platform.system() == "Darwin" and platform.machine() == "arm64":
        # the GPU is part of the processor, and has its memory
        found |= {"gpu": found["processor"], "gpu_memory": found["memory"]}
    return found


def energy() -> float | None:
    """Joules that the GPUs have used since the driver was loaded, if it counts them."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        gpus = [
            pynvml.nvmlDeviceGetHandleByIndex(i)
            for i in range(pynvml.nvmlDeviceGetCount())
        ]
        return sum(map(pynvml.nvmlDeviceGetTotalEnergyConsumption, gpus)) / 1000
    except pynvml.NVMLError:
        return None


@contextlib.contextmanager
def energy_used() -> Iterator[dict[str, float | None]]:
    """A mapping whose "joules" are, at the end, what was used inside, if known."""
    used: dict[str, float | None] = {"joules": None}
    before = energy()
    try:
        yield used
    finally:
        if before is not None and (after := energy()) is not None:
            used["joules"] = round(after - before)


def version_of(root: Path) -> dict[str, Any]:
    """The commit that is checked out, and whether files differ from it."""
    commit = said_by("git", "rev-parse", "HEAD", folder=root)
    # results of this very session are new files, and no change of the book
    status = said_by(
        "git", "status", "--porcelain", "--untracked-files=no", folder=root
    )
    return {"commit": commit, "changed": bool(status) if commit else None}
