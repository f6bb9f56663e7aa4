"""The learning rate over a run: a short climb, then half a cosine down to a floor.

Built in appendices/d-training-loop.ipynb. Left out: other shapes, such as straight
lines and restarts; `train` takes any function from a step to a learning rate.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Warm-up and cosine decay: `schedule(step)` is the learning rate of that step.

    Steps count from 0. The rate climbs in equal parts, the first of them at step 0,
    stands at `peak` at step `warmup_steps` alone, and at `floor * peak` from the last
    step on. Sizes that make no sense raise ValueError. Source: Loshchilov and Hutter
    (2017), without restarts.

    >>> schedule = Schedule(peak=1.0, steps=8, warmup_steps=3, floor=0.06)
    >>> [round(schedule(step), 3) for step in range(8)]
    [0.25, 0.5, 0.75, 1.0, 0.862, 0.53, 0.198, 0.06]
    """

    peak: float  # the largest learning rate
    steps: int  # optimizer steps in the whole run
    warmup_steps: int = 0  # steps below the peak at the start
    floor: float = 0.1  # the share of the peak that is left at the end

    def __post_init__(self) -> None:
        if not 0 < self.peak < math.inf:
            raise ValueError(f"peak is {self.peak}; it must be a number above 0")
        if not 0 <= self.floor <= 1:
            raise ValueError(
                f"floor is {self.floor}; it is a share of the peak, from 0 to 1"
            )
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps} of {self.steps} steps; it must "
                "be 0 or more, and at least one step must be left"
            )

    def __call__(self, step: int) -> float:
        if step < 0:
            raise ValueError(f"step is {step}; steps count from 0")
        if step < self.warmup_steps:
            return self.peak * (step + 1) / (self.warmup_steps + 1)
        decay_steps = max(1, self.steps - 1 - self.warmup_steps)
        done = min(1.0, (step - self.warmup_steps) / decay_steps)  # 0 at the peak
        cosine = (1 + math.cos(math.pi * done)) / 2  # from 1 down to 0
        return self.peak * (self.floor + (1 - self.floor) * cosine)
