"""Two processes that train together, for the tests: started, watched and compared."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

from recipes import ROOT

from llmbook_utils.files.shards import prepare

ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")]),
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
}


@contextmanager
def torchrun(*arguments):
    """Two processes that know of each other; what still runs in the end is ended."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", *map(str, arguments)]
    run = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    try:
        yield run
    finally:
        run.terminate()  # which ends the two as well
        run.wait(60)


def prepare_tokens(root):
    """A prepared folder of 60 paragraphs in `root`."""
    lines = [
        f"On day {i} the tide was {i % 7} feet high, and the lamp was lit."
        for i in range(60)
    ]
    (root / "texts").mkdir()
    (root / "texts" / "log.txt").write_text("\n\n".join(lines), encoding="utf-8")
    prepare(
        root / "texts", root / "out", vocab_size=300, validation_share=0.2, processes=1
    )
    return root / "out"


def records(run):
    """The lines of a run's metrics, without the seconds."""
    lines = [
        json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    for line in lines:
        del line["seconds"]
    return lines
