"""The benchmark scripts run, and their ratios stay within what the book promises."""

import re
import subprocess
import sys
from pathlib import Path

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
