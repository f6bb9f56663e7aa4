"""What replies to a widget must be like: the protocol's schema, golden cases, comparison."""

import json
from typing import Any

import pytest
from golden_live import FILE
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from llmbook_utils import web

PROTOCOL = json.loads(web.read("protocol.json"))


CASES = json.loads(FILE.read_text(encoding="utf-8"))


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator({**PROTOCOL, "anyOf": [{"$ref": f"#/$defs/{kind}"}]})


REQUEST = validator("request")


REPLY = validator("reply")


REPLIES = {
    name.removesuffix("_reply"): validator(name)
    for name in PROTOCOL["$defs"]
    if name.endswith("_reply")
}


def check(reply: dict[str, Any]) -> None:
    """Raise an error unless a reply is as the protocol has those of its kind."""
    REPLIES[reply["kind"]].validate(reply)


def assert_close(found: Any, expected: Any, where: str = "") -> None:
    """The same but for the last digits of numbers with a fraction."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_close(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for i, pair in enumerate(zip(found, expected, strict=True)):
            assert_close(*pair, f"{where}[{i}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4, rel=1e-5), where
    else:
        assert found == expected, where


PLAIN = st.text("ab '\"-.‘’‚‛“”„‟–—―…\u00a0 é😀")


OPTIONS = [
    {"temperature": 0.0},
    {"temperature": 0.8, "top_p": 0.95, "seed": 4},
    {
        "temperature": 1.2,
        "top_k": 9,
        "min_p": 0.05,
        "repetition_penalty": 1.2,
        "seed": 9,
    },
]
