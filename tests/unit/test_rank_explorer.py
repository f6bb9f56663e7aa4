"""The rank explorer's Python side, what is recorded for it, and the tool that recorded it."""

import copy
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import record_lora
import torch
from models import TINY, build, lifelike

from llmbook_utils.lora import linear_layers
from llmbook_utils.runs.results import load_result
from llmbook_utils.widgets import RankExplorer
from llmbook_utils.widgets.rank_explorer import EVERY, drawn, missing

pytestmark = pytest.mark.usefixtures("one_thread")

RECORD = load_result("lora")
QKV = "blocks.0.attention.qkv"


def test_the_record_is_whole_and_small() -> None:
    layers = RECORD["change"]["layers"]
    assert len(layers) == 24 and len(json.dumps(RECORD)) < 200_000
    for layer in layers.values():
        for part in ("singular", "random"):
            norm = math.sqrt(sum(s * s for s in layer[part]))
            assert norm == pytest.approx(layer["norm"], rel=1e-3), "of equal norm"
    ranks = [kept["rank"] for kept in RECORD["change"]["kept"]]
    assert ranks == record_lora.KEPT
    size = sum(sum(layer["shape"]) for layer in layers.values())
    for kept in RECORD["change"]["kept"]:
        assert kept["numbers"] == kept["rank"] * size
    first, last = RECORD["runs"][0], RECORD["change"]["kept"][-1]
    assert first["run"] == record_lora.RUNS[0].name
    assert last["test"] == first["test"], "the whole change is the tuned model itself"


def test_what_is_missing_is_what_another_way_gives() -> None:
    torch.manual_seed(0)
    matrices = [torch.randn(5, 8), 3 * torch.randn(8, 8)]
    parts = [torch.linalg.svd(matrix, full_matrices=False) for matrix in matrices]
    total = math.hypot(*(matrix.norm().item() for matrix in matrices))
    found = missing([S.tolist() for _, S, _ in parts])
    assert len(found) == 9 and found[0] == 1000 and found[8] == 0
    for rank in range(9):
        rest = (
            matrix - (U[:, :rank] * S[:rank]) @ V[:rank]
            for matrix, (U, S, V) in zip(matrices, parts, strict=True)
        )
        share = math.hypot(*(matrix.norm().item() for matrix in rest)) / total
        assert found[rank] == pytest.approx(1000 * share, abs=0.51)


def test_the_tool_takes_a_change_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    base, tuned = lifelike(build()), lifelike(build())
    monkeypatch.setattr(record_lora, "load_pretrained", lambda name: (base, None))
    torch.manual_seed(1)
    layers = linear_layers(tuned, ["*attention.*", "*feed_forward.*"])
    for linear in layers.values():
        linear.weight.data += torch.outer(
            *(torch.randn(n) for n in linear.weight.shape)
        )
    weights = {name: linear.weight.clone() for name, linear in layers.items()}
    found = record_lora.changes(tuned)
    assert found.keys() == layers.keys()
    for layer in found.values():
        assert layer["singular"][0] == pytest.approx(layer["norm"], rel=1e-3)
        assert layer["singular"][1] < 1e-4 < layer["random"][-1]

    seen: list[dict[str, torch.Tensor]] = []

    class Seen:
        test = ()

        def counts(self, model: Any, messages: Any) -> dict[str, Any]:
            now = linear_layers(model, ["*attention.*", "*feed_forward.*"])
            seen.append({n: m.weight.clone() for n, m in now.items()})
            return {}

    monkeypatch.setattr(record_lora, "KEPT", [0, 1, TINY.emb_dim])
    kept = list(record_lora.kept(Seen(), tuned))  # type: ignore[arg-type]
    assert [found["rank"] for found in kept] == [0, 1, TINY.emb_dim]
    before = linear_layers(base, ["*attention.*", "*feed_forward.*"])
    none, one, whole = seen
    for name, weight in weights.items():
        assert torch.equal(none[name], before[name].weight)
        torch.testing.assert_close(one[name], weight, atol=1e-4, rtol=0)
        assert torch.equal(whole[name], weight)


def test_the_fallback_has_the_numbers_of_the_record() -> None:
    html = RankExplorer().fallback()
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", html)
    rows = [cells[i : i + 6] for i in range(6, len(cells), 6)]
    assert len(rows) == len(RECORD["change"]["kept"])
    for row, kept in zip(rows, RECORD["change"]["kept"], strict=True):
        test = kept["test"]
        right = test["true_positives"] + test["true_negatives"]
        assert row[0] == str(kept["rank"]) and row[3] == f"{kept['numbers']:,}"
        assert row[4] == f"{right:,} of 1,005" and row[5] == f"{test['f1']:.3f}"
    assert rows[0][1:3] == ["100 %", "100 %"] and rows[-1][1:3] == ["0 %", "0 %"]


def test_the_state_is_small_and_names_every_layer() -> None:
    widget = RankExplorer(rank=16, layer=QKV)
    state = widget.state()
    assert (state["rank"], state["layer"]) == (16, QKV)
    assert [layer["name"] for layer in state["record"]["layers"]][:2] == [EVERY, QKV]
    assert len(state["record"]["layers"]) == 25 and len(state["record"]["randoms"]) == 5
    assert len(json.dumps(state)) < 40_000
    assert repr(widget) == f"RankExplorer(rank=16, layer={QKV!r})"


def test_a_record_of_ones_own_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(RECORD))
    assert RankExplorer(path).state() == RankExplorer(RECORD).state()


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    record = copy.deepcopy(RECORD)
    *places, last = path
    part = record
    for place in places:
        part = part[place]
    part[last] = value
    return record


LAYER = ["change", "layers", QKV]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"record": 3}, TypeError, "record is int"),
        ({"record": "nothing"}, FileNotFoundError, "no result 'nothing'"),
        ({"record": {}}, ValueError, "lacks 'change'"),
        ({"rank": 3}, ValueError, "rank 3 was not measured; expected one of"),
        ({"rank": "8"}, TypeError, "rank is '8'"),
        ({"rank": True}, TypeError, "rank is True"),
        ({"layer": "qkv"}, ValueError, "layer is 'qkv'; expected one of all matrices"),
        (
            {"record": changed(["change", "layers"], {})},
            ValueError,
            "no layers or ranks",
        ),
        ({"record": changed(["change", "kept"], [])}, ValueError, "no layers or ranks"),
        ({"record": changed([*LAYER, "shape"], [3])}, ValueError, "expected two sizes"),
        ({"record": changed([*LAYER, "random"], [1.0])}, ValueError, "has 1 values"),
        (
            {"record": changed([*LAYER, "singular", 3], math.nan)},
            ValueError,
            "'singular' of blocks.0",
        ),
        (
            {"record": changed([*LAYER, "singular", 3], 99.0)},
            ValueError,
            "largest value first",
        ),
        (
            {"record": changed(["change", "kept", 1, "rank"], 99)},
            ValueError,
            "expected rising ones",
        ),
        (
            {"record": changed(["change", "kept", 1, "test"], {})},
            ValueError,
            "lacks 'true_positives'",
        ),
    ],
)
def test_what_it_cannot_show_is_refused(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        RankExplorer(**options)


def test_drawn_leaves_the_record_alone() -> None:
    before = copy.deepcopy(RECORD)
    drawn(RECORD)
    assert before == RECORD
