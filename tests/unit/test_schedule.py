"""The schedule climbs, stands at its peak once, and falls to its floor."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook_utils.schedule import Schedule


def test_rates_at_the_steps_that_the_page_names():
    schedule = Schedule(peak=7e-4, steps=135, warmup_steps=27, floor=0.1)
    assert schedule(0) == pytest.approx(7e-4 / 28)
    assert schedule(26) == pytest.approx(7e-4 * 27 / 28)
    assert schedule(27) == 7e-4
    assert schedule(134) == pytest.approx(7e-5)
    assert schedule(10_000) == schedule(134)  # behind the end it stays


def test_half_way_down_is_half_way_between_peak_and_floor():
    schedule = Schedule(peak=1.5e-3, steps=4601, warmup_steps=200, floor=0.06)
    assert schedule(2400) == pytest.approx(1.5e-3 * (1 + 0.06) / 2)
    assert schedule(4600) == pytest.approx(9e-5)
    quarter = 0.06 + 0.94 * (1 + math.sqrt(0.5)) / 2
    assert schedule(1300) == pytest.approx(1.5e-3 * quarter)


@given(st.data(), st.integers(1, 60), st.floats(0.01, 1))
def test_it_rises_to_the_peak_falls_to_the_floor_and_is_never_zero(data, steps, floor):
    warmup = data.draw(st.integers(0, steps - 1))
    schedule = Schedule(2.0, steps, warmup, floor)
    rates = [schedule(step) for step in range(steps)]
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert rates[warmup] == max(rates) == pytest.approx(2.0)
    assert min(rates) > 0
    if warmup < steps - 1:
        assert rates[-1] == pytest.approx(2.0 * floor)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"peak": 0.0, "steps": 5}, "peak is 0.0; it must be a number above 0"),
        ({"peak": math.nan, "steps": 5}, "peak is nan"),
        ({"peak": 1.0, "steps": 0}, "warmup_steps is 0 of 0 steps"),
        (
            {"peak": 1.0, "steps": 5, "warmup_steps": 5},
            "at least one step must be left",
        ),
        ({"peak": 1.0, "steps": 5, "warmup_steps": -1}, "must be 0 or more"),
        ({"peak": 1.0, "steps": 5, "floor": 1.5}, "a share of the peak, from 0 to 1"),
    ],
)
def test_nonsense_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Schedule(**options)


def test_a_step_before_the_first_is_refused():
    with pytest.raises(ValueError, match="step is -1; steps count from 0"):
        Schedule(1.0, 5)(-1)
