"""The benchmark scripts run, and what does not depend on the machine is as promised."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_training_stays_near_the_compiled_trainer():
    script = [sys.executable, "benchmarks/tokenizer.py", "--characters", "200000"]
    run = subprocess.run(
        [*script, "--merges", "300"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "same merges: True" in run.stdout
    train, encode = re.findall(r"\| ([\d.]+) \|$", run.stdout, re.MULTILINE)
    assert float(train) < 15, run.stdout
    assert float(encode) < 500, run.stdout


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="memory is read from /proc")
def test_the_model_gives_the_peers_tokens_and_loads_without_a_copy():
    script = [sys.executable, "benchmarks/model.py", "--shapes", "mini"]
    run = subprocess.run(
        [*script, "--runs", "1", "--only", "generate", "load"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "same tokens: True" in run.stdout
    (size,) = re.findall(r"file of (\d+) MiB", run.stdout)
    ((ours, _),) = re.findall(r"private MiB \| ([\d.]+) \| ([\d.]+)", run.stdout)
    assert float(ours) < 1.2 * float(size), run.stdout
