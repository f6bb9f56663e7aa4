"""What a submission may use, and the walls around it where the system has some.

Not built on a page. Written for POSIX; the walls are Linux's namespaces, through the
command `unshare` of util-linux.
"""

import ctypes
import fcntl
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MB = 2**20
MIME = "application/vnd.llmbook.verdict+json"  # what a judge shows
UNNAMED = "not started yet: "  # how it begins where the answer's name is missing
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"]
UNSHARE += ["--kill-child", "--mount-proc", "--net"]
BOX = [sys.executable, "-m", "llmbook_utils.grading.box"]
# of Linux: mount_setattr(2), the same on every processor, and the ioctls for a device
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, READ_ONLY = 442, -100, 0x8000, 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


@dataclass(frozen=True)
class Limits:
    """What one notebook may use: seconds, megabytes."""

    cell_seconds: float = 60  # of one cell, and of one judgment
    seconds: float = 600  # of the whole notebook
    memory: float = 4096  # address space of a process, which is more than it fills
    output: float = 1  # what a cell prints; 20 times as much ends the notebook
    file: float = 100  # the size of a file that it writes
    disk: float = 512  # all files together; only behind walls

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"the limit {name} is {value}; it must be above 0")


def set_limits(limits: Limits) -> None:
    """Limit this process and those that it starts."""
    seconds = int(limits.seconds) + 60
    for which, most in (
        (resource.RLIMIT_AS, int(limits.memory * MB)),
        (resource.RLIMIT_FSIZE, int(limits.file * MB)),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(which)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (allowed, allowed))


@cache
def walls() -> list[str]:
    """The words before a command that put it behind walls; none where that fails."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*UNSHARE, *BOX, "--probe", folder]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError):
            return []
    return UNSHARE


def raise_walls(folder: Path, limits: Limits) -> None:
    """Make all but `folder` read-only, and `folder` an empty file system in memory.

    To be called in namespaces of one's own. OSError where the system refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("QQQQ", READ_ONLY, 0, 0, 0)
    if libc.syscall(
        MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, attributes, len(attributes)
    ):
        raise OSError(ctypes.get_errno(), "the file system cannot be made read-only")
    for place in (folder, Path("/dev/shm")):
        options = f"size={int(limits.disk * MB)},mode=700"
        if place.is_dir():
            command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
            subprocess.run(command, check=True, capture_output=True)
    _open_loopback()


def _open_loopback() -> None:
    """Let processes in here talk to each other; a new network has even that closed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack_from(
            "16sh", fcntl.ioctl(handle, SIOCGIFFLAGS, request), 0
        )[1]
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def environment(folder: Path) -> dict[str, str]:
    """The variables for a process whose home and temporary files are in `folder`.

    Of the caller's own only those are handed on that programs need to start; a token
    or a password in a variable stays outside.
    """
    wanted = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH")
    kept = {name: os.environ[name] for name in wanted if name in os.environ}
    home, temporary = str(folder / "home"), str(folder / "tmp")
    return kept | {
        "HOME": home,
        "TMPDIR": temporary,
        "XDG_CACHE_HOME": home,
        "LLMBOOK_CACHE": home,
        "LLMBOOK_OFFLINE": "1",
        "LLMBOOK_PROGRESS": "off",  # what students pass is not the teacher's
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "TQDM_DISABLE": "1",
        "MPLBACKEND": "agg",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
