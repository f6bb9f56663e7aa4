"""Switches in the environment."""

import pytest

from llmbook_utils.env import is_set, quiet_bars


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "yes", "on", "2"])
def test_on(value, monkeypatch):
    monkeypatch.setenv("LLMBOOK_OFFLINE", value)
    assert is_set("LLMBOOK_OFFLINE")


@pytest.mark.parametrize("value", [None, "", "0", "false", "False", "no", "off", " 0 "])
def test_off(value, monkeypatch):
    monkeypatch.delenv("LLMBOOK_OFFLINE", raising=False)
    if value is not None:
        monkeypatch.setenv("LLMBOOK_OFFLINE", value)
    assert not is_set("LLMBOOK_OFFLINE")


def test_bars_are_quiet_where_asked_and_else_outside_terminals_only(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert quiet_bars() is True
    monkeypatch.setenv("TQDM_DISABLE", "0")
    assert quiet_bars() is None  # tqdm itself looks whether there is a terminal
