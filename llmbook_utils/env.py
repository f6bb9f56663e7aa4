"""What the environment asks for and has: downloads, progress bars, a GPU, a compiler.

Not built on a page.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def is_set(variable: str) -> bool:
    """Whether an environment variable is switched on; "false", "no" and 0 are off.

    >>> import os; os.environ["LLMBOOK_EXAMPLE"] = "False"
    >>> is_set("LLMBOOK_EXAMPLE")
    False
    """
    value = os.environ.get(variable, "").strip().lower()
    return value not in ("", "0", "false", "no", "off")


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """Give an environment variable a value for a while; then it is as it was.

    >>> with variable("LLMBOOK_EXAMPLE", "1"):
    ...     is_set("LLMBOOK_EXAMPLE")
    True
    """
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def quiet_bars() -> bool | None:
    """What tqdm takes as `disable`: True, or None, which draws in a terminal only."""
    return is_set("TQDM_DISABLE") or None


def pick_device(name: "str | torch.device" = "auto") -> "torch.device":
    """The device of that name; "auto" is CUDA's or Apple's GPU where there is one.

    One that this machine does not have raises ValueError.
    """
    import torch  # here, since not everything that asks the environment needs it

    has = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in has.items() if there))
    there = ", ".join(kind for kind in has if has[kind])
    try:
        device = torch.device(name)
    except RuntimeError:  # PyTorch would list two dozen kinds of hardware
        raise ValueError(
            f"device is {str(name)!r}, which is no device of PyTorch's; here it finds: "
            f'{there}; take one of them, or "auto"'
        ) from None
    if not has.get(device.type, True):
        raise ValueError(
            f"the device {str(name)!r} was asked for, but PyTorch finds only: {there}; "
            'take one of them, or "auto"'
        )
    return device


def check_compiler(device: "torch.device") -> None:
    """Raise ValueError where `torch.compile` cannot compile for this device."""
    import torch

    try:
        torch.compile(lambda x: x + 1)(torch.zeros(1, device=device))
    except RuntimeError as error:  # what the compiler's errors have in common
        cause = getattr(error, "inner_exception", error)
        reason = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise ValueError(
            f"compile is true, but PyTorch cannot compile for {device.type} here "
            f"({reason}); install a C++ compiler, or set it to false"
        ) from error
