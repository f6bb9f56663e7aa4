"""Outputs of notebooks: the last digits of decimal numbers may differ, nothing else."""

import re
import subprocess
import sys

import pytest
from book import ROOT
from hypothesis import given
from hypothesis import strategies as st
from nbformat import v4, write
from nbval_numbers import DECIMAL, Output, is_markup, same, unit

EQUAL = [
    ("0.3310717", "0.3310718"),
    ("0.3310717\n", "0.3310718\n"),
    ("loss 4.000, lr 1.5e-03", "loss 4.007, lr 1.5e-03"),  # 0.18 %
    ("0.33 nats", "0.34 nats"),  # a unit of the last digit
    ("[-0.02, 1,234.5]", "[-0.01, 1,235.5]"),
    ("2.5e+07 of 7", "2.6e+07 of 7"),
    ("-0.0", "0.0"),
    ("it is 0.123.", "it is 0.124."),
    ("0.1234 and 0.12", "0.12341 and 0.1201"),
    ("no number", "no number"),
]
OTHER = [
    ("0.33", "0.35"),
    ("3", "4"),
    ("found 3.", "found 4."),
    ("tensor([3., 4.])", "tensor([4., 4.])"),
    ("1,000", "1,001"),
    ("1e-05", "2e-05"),
    ("loss 4.000", "loss 4.009"),
    ("0.331 nats", "0.331 bits"),
    ("[0.1, 0.2]", "[0.1, 0.2, 0.3]"),
    ("[0.1, 0.2]", "[[0.1], [0.2]]"),
    ("torch 2.13.0", "torch 2.14.0"),
    ("0.50", "-0.50"),
    ("0.5", "nan"),
    ("5.0", "5"),
    ("v1.5", "v1.6"),
    ("step 10: 0.5", "step 11: 0.5"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_last_digits_may_differ(one, other):
    assert same(one, other) and same(other, one)
    assert Output(one) == other


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_everything_else_may_not(one, other):
    assert not same(one, other) and not same(other, one)
    assert Output(one) != other


def test_markup_is_compared_as_it_is_but_for_a_widgets_state():
    assert is_markup("\n <svg width='0.1'>") and not is_markup("a < 0.1")
    assert not is_markup('<div class="bw-mount"><script>{"p":0.1}</script></div>')
    assert same('{"p":0.06624665}', '{"p":0.066247}')


@given(st.floats(-1e6, 1e6), st.integers(1, 7))
def test_a_number_equals_itself_moved_by_a_unit_and_not_by_a_percent(x, digits):
    printed = f"{x:.{digits}f}"
    assert DECIMAL.fullmatch(printed)
    step = unit(printed)
    assert same(printed, f"{float(printed) + step:.{digits}f}")
    far = float(printed) + max(0.01 * abs(x), 2 * step)
    assert not same(printed, f"{far:.{digits}f}")


@pytest.mark.slow
def test_nbval_uses_it(tmp_path):
    """The first stored output is near enough; the other two are wrong."""
    cases = [(0.3310718, "0.3310717\n"), (0.35, "0.33\n"), (3, "4\n")]
    cells = [
        v4.new_code_cell(
            f"print({number})",
            id=f"cell-{i}",
            execution_count=i + 1,
            outputs=[v4.new_output("stream", text=text)],
        )
        for i, (number, text) in enumerate(cases)
    ]
    write(v4.new_notebook(cells=cells), tmp_path / "x.ipynb")
    options = ["--nbval", "--nbval-current-env", "-rA", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, "-c", "pyproject.toml"]
    run = subprocess.run([*command, tmp_path], capture_output=True, text=True, cwd=ROOT)
    found = re.findall(r"^(PASSED|FAILED) .*::Cell (\d)", run.stdout, re.MULTILINE)
    assert sorted(found) == [("FAILED", "1"), ("FAILED", "2"), ("PASSED", "0")]
