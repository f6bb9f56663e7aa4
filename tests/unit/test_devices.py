"""The library does on a GPU what it does on the processor; without one, on a stand-in."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

SUPPORT = Path(__file__).resolve().parents[1] / "support"
CASES = re.findall(r"^def case_(\w+)", (SUPPORT / "device_cases.py").read_text(), re.M)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not torch.cuda.is_available()
        and not hasattr(
            backend_registration, "_setup_privateuseone_for_python_backend"
        ),
        reason="this PyTorch cannot have a device that is written in Python",
    ),
]


def on_device(*arguments):
    """What a process of its own prints, with what the tests share on its path."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=SUPPORT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found():
    return json.loads(on_device("device_cases.py").splitlines()[-1])


@pytest.mark.parametrize("case", CASES)
def test_a_case(case, found):
    assert not found[case], found[case]


@pytest.mark.parametrize(
    "code, refusal",
    [
        ("x + torch.ones(2)", "same device"),
        ("x.normal_(generator=torch.Generator())", "device type for generator"),
        ("x.numpy()", "can't convert"),
        ("torch.nn.Linear(2, 2)(x)", "same device"),
    ],
)
def test_the_stand_in_refuses_what_a_gpu_refuses(code, refusal):
    said = on_device(
        "-c",
        "import second_device, torch\n"
        "x = torch.ones(2).to('second')\n"
        "try:\n"
        f"    {code}\n"
        "except Exception as error:\n"
        "    print(error)",
    )
    assert refusal in said
