"""A file is written whole, or it stays as it was."""

import errno
import resource
import signal

import pytest

from llmbook_utils.files.whole import write_whole


@pytest.fixture
def small_files():
    """Files of this process may have 1,000 bytes: what a full disk is to a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(
    tmp_path, small_files
):
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(OSError) as refusal:
        write_whole(path, b"x" * 5000)
    assert refusal.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old" and [*tmp_path.iterdir()] == [path]
