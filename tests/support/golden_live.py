"""The replies that Python and the page must give to requests to a model: those of `mini`, rounded.

`python tests/support/golden_live.py` writes them anew.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets.live import Answerer

FILE = Path(__file__).with_suffix(".json")
TEXT = "“Once” upon a time…"
EVERY = {"max_new_tokens": 5, "seed": 3, "alternatives": 2}
HALF = {"tensor": "blocks.1.residual", "index": [1], "value": 0.5}


def run(text: str, *want: str, most: int = 3, **changes: Any) -> dict[str, Any]:
    about = {"text": text, "options": {"most": most}, "changes": changes}
    return {"kind": "run", "want": list(want), **about}


def explain(tensor: str, *index: int, **changes: Any) -> dict[str, Any]:
    about = {"text": "The sea is late", "changes": changes}
    return {"kind": "explain", "tensor": tensor, "index": list(index), **about}


def go_on(text: str, **options: Any) -> dict[str, Any]:
    return {"kind": "continue", "text": text, "options": {**EVERY, **options}}


WEIGHTS, SCORES = "blocks.*.attention.weights", "blocks.2.attention.scores"
REQUESTS = [
    run(TEXT, WEIGHTS),
    run("The sea", WEIGHTS, mask=False),
    run("The sea", SCORES, scaling=False, positions=False),
    run("The sea", SCORES, "blocks.3.attention.weights", heads=[[0, 1]], blocks=[1]),
    run("The sea", SCORES, replace=[HALF]),
    run("😀 \ud83d", SCORES, most=2),
    explain("token_embedding", 1, 5),
    explain("position_embedding", 1, 5),
    explain("position_embedding", 1, 5, positions=False),
    explain("embedding", 1, 5),
    explain("blocks.0.attention.scores", 2, 3, 1),
    explain("blocks.0.attention.weights", 2, 3, 1),
    explain("blocks.0.attention.weights", 2, 1, 3),
    explain("blocks.5.attention.context", 2, 3, 1),
    explain("blocks.5.attention.context", 2, 3, 1, heads=[[5, 2]]),
    explain("blocks.5.feed_forward.gelu", 2, 999),
    explain("blocks.5.output", 2, 99),
    explain("blocks.1.output", 2, 99, blocks=[1]),
    explain("blocks.1.residual", 1, 99, replace=[HALF]),
    explain("blocks.1.norm_2", 1, 99),
    explain("blocks.0.attention.k", 3, 1, 7),
    explain("blocks.2.output", 9, 0),
    explain("blocks.2.sum", 0, 0),
    go_on("Once upon a time", temperature=0),
    go_on("Once upon a time", temperature=0.8, top_p=0.95),
    go_on("“Ah,” said", top_k=5, min_p=0.1, repetition_penalty=1.3),
    go_on("Once", top_p=0),
    go_on("", temperature=1),
    {"kind": "neighbors", "text": " king", "options": {"n": 3}},
    {"kind": "run", "ids": [5, 4095, 300], "want": [SCORES]},
    {"kind": "run", "ids": [4096], "want": []},
    {"kind": "run", "text": "", "want": [WEIGHTS]},
    {"kind": "run", "text": " ", "want": [WEIGHTS]},
]


def rounded(value: Any) -> Any:
    """The value with 5 digits after the point of each number."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 5) + 0.0 if isinstance(value, float) else value


def plain(reply: dict[str, Any], buffers: Sequence[Any]) -> dict[str, Any]:
    """A reply whose tensors hold their numbers; of an error what is the same everywhere."""
    if reply["kind"] == "error":
        return {"kind": "error", "seq": reply["seq"]}
    if "tensors" not in reply:
        return reply
    arrays = [np.frombuffer(data, "<f4").tolist() for data in buffers]
    pairs = zip(reply["tensors"], arrays, strict=True)
    return {**reply, "tensors": [{**about, "data": data} for about, data in pairs]}


def replies(answerer: Answerer, request: dict[str, Any]) -> list[dict[str, Any]]:
    """What Python answers."""
    answers = {"continue": answerer.continue_}
    answer = answers.get(request["kind"]) or getattr(answerer, request["kind"])
    found = []
    try:
        for reply in answer(request):
            buffers = reply.pop("buffers", [])
            found.append(plain(reply, buffers))
    except ValueError:
        found.append({"kind": "error", "seq": request["seq"]})
    return found


def golden(answerer: Answerer, request: dict[str, Any]) -> dict[str, Any]:
    request = {"seq": 1, **request}
    return {"request": request, "replies": rounded(replies(answerer, request))}


def main() -> None:
    answerer = Answerer(*load_pretrained("mini"), normalized=True)
    cases = [golden(answerer, request) for request in REQUESTS]
    lines = ",\n".join(json.dumps(case, sort_keys=True) for case in cases)
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(cases)} cases written to {FILE.name}")


if __name__ == "__main__":
    main()
