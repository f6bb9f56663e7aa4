"""What the environment asks for: no downloads, no progress bars.

Not built on a page.
"""

import os


def is_set(variable: str) -> bool:
    """Whether an environment variable is switched on; "false", "no" and 0 are off.

    >>> import os; os.environ["LLMBOOK_EXAMPLE"] = "False"
    >>> is_set("LLMBOOK_EXAMPLE")
    False
    """
    value = os.environ.get(variable, "").strip().lower()
    return value not in ("", "0", "false", "no", "off")


def quiet_bars() -> bool | None:
    """What tqdm takes as `disable`: True, or None, which draws in a terminal only."""
    return is_set("TQDM_DISABLE") or None
