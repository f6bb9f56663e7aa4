"""What ends a run is put in a word, and its time is limited."""

import os
import signal
import threading

import pytest

from llmbook_utils.runs import execute


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(28, "No space left on device"), "disk full"),
        (OSError(2, "no such file"), "failed"),
        (execute.OutOfTime("late"), "timed out"),
        (execute.Stopped("end"), "stopped"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (ValueError("wrong"), "failed"),
    ],
)
def test_an_end_is_put_in_a_word(error, status):
    assert execute.ending(error)[0] == status


def test_time_runs_out_and_the_old_handlers_come_back():
    before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(execute.OutOfTime, match=r"stopped after 0\.00166667 minutes"),
        execute.limited(0.1),
    ):
        signal.pause()
    with pytest.raises(execute.Stopped), execute.limited(600):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert before == (
        signal.getsignal(signal.SIGALRM),
        signal.getsignal(signal.SIGTERM),
    )
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_another_thread_is_left_alone():
    found = []

    def inside():
        with execute.limited(0.01):
            found.append(signal.getitimer(signal.ITIMER_REAL))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [(0, 0)]


@pytest.mark.parametrize("before", [None, "0", "1"])
def test_cells_draw_no_bars_and_the_setting_comes_back(monkeypatch, before):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    if before is not None:
        monkeypatch.setenv("TQDM_DISABLE", before)
    with execute.quiet_cells():
        assert os.environ["TQDM_DISABLE"] == "1"
    assert os.environ.get("TQDM_DISABLE") == before
