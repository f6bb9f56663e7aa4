"""The benchmark scripts run, and what does not depend on the machine is as promised."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import benchmark
import pytest
from chrome import NO_CHROME

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


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


def run_page(*options: str) -> str:
    """What benchmarks/page.py prints."""
    script = [sys.executable, "benchmarks/page.py", "--runs", "1", *options]
    run = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    if NO_CHROME in run.stderr:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(NO_CHROME)
    assert run.returncode == 0, run.stderr
    return run.stdout


def numbers(printed: str, what: str) -> list[float]:
    """The numbers in the row of the table that begins with `what`."""
    (row,) = re.findall(rf"^\| {re.escape(what)}[^|]*\|(.*)\|$", printed, re.MULTILINE)
    return [float(cell) for cell in row.split("|") if cell.strip()]


def test_the_page_reads_as_pytorch_does_and_is_small():
    printed = run_page()
    assert "same tokens: True" in printed
    (code,) = numbers(printed, "code of all widgets before a model is asked for")
    # kB, of fifteen widgets and the exercises by hand; no page has more than five
    assert code <= 165, printed


def test_the_page_gives_the_peers_tokens():
    ort = os.environ.get("LLMBOOK_ORT")
    if not ort:
        pytest.skip("LLMBOOK_ORT does not name a folder with onnxruntime-web")
    if not importlib.util.find_spec("onnx"):
        pytest.skip("the package onnx, which writes the peer's model, is not installed")
    printed = run_page("--ort", ort)
    assert "same tokens: True" in printed
    for what in ("prompt of 32 tokens", "one token near position 64"):
        _, _, ratio = numbers(printed, what)
        assert ratio > 0.2, printed


def test_all_sides_take_the_same_steps_on_a_device(tmp_path):
    import torch

    bench = benchmark.load("on_device")
    config = bench.shape(length=16, layers=1)
    config = bench.replace(config, vocab_size=65, emb_dim=24)
    ids = torch.randint(65, (2, 17), generator=torch.Generator().manual_seed(0))
    losses = []
    for make, loss_of in (
        (lambda: bench.GPTModel(config), bench.our_loss),
        (lambda: bench.theirs(config), bench.their_loss),
    ):
        torch.manual_seed(0)
        model = make()
        step = bench.plain_step(model, ids, False, None, loss_of)
        for _ in range(20):
            step()
        losses.append(loss_of(model, ids[:, :-1], ids[:, 1:]).item())
    assert all(0 < loss < 4.18 for loss in losses), losses  # ln 65 = 4.17 at the start
    assert abs(losses[0] - losses[1]) < 0.1
    first = bench.our_step(config, ids, False, None)()["loss"]
    assert abs(first - 4.17) < 0.1
    with pytest.raises(FileNotFoundError, match=r"has no model\.py"):
        bench.nanogpt(config, tmp_path)
