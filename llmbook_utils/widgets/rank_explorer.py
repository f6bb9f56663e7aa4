"""The rank explorer: what is left of a fine-tuning when its changes have low rank.

It shows what tools/record_lora.py recorded. Not built on a page.
"""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from llmbook_utils.runs.results import open_result, parts_of
from llmbook_utils.widgets.base import BookWidget, percent, table

Record = dict[str, Any]
TOOL = "tools/record_lora.py"
COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
LAYER: dict[str, type | tuple[type, ...]] = {
    "shape": list,
    "norm": (int, float),
    "of_weight": (int, float),
    "singular": list,
    "random": list,
}
EVERY = "all matrices"


class RankExplorer(BookWidget):
    """Keep a fine-tuning's changes at a rank: what is missing, what is right, the size.

    `record` is the name of a result, the path of a file that tools/record_lora.py
    wrote, or what is in it; `rank` one of the ranks in it; `layer` one of its layers,
    or all of them. A value of a wrong type raises TypeError, a file that is not there
    FileNotFoundError, a record that lacks a part and a rank or layer that it does not
    have ValueError.
    """

    module = "rank-explorer"
    record: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)
    rank = traitlets.Int().tag(sync=True, page=True)
    layer = traitlets.Unicode().tag(sync=True, page=True)

    def __init__(
        self,
        record: str | os.PathLike[str] | Mapping[str, Any] = "lora",
        rank: int = 8,
        layer: str = EVERY,
    ) -> None:
        shown = drawn(open_result(record, TOOL)[1])
        ranks = [kept["rank"] for kept in shown["kept"]]
        if isinstance(rank, bool) or not isinstance(rank, int):
            raise TypeError(f"rank is {rank!r}; expected a whole number")
        if rank not in ranks:
            raise ValueError(f"rank {rank} was not measured; expected one of {ranks}")
        names = [found["name"] for found in shown["layers"]]
        if layer not in names:
            raise ValueError(f"layer is {layer!r}; expected one of {', '.join(names)}")
        super().__init__(record=shown, rank=rank, layer=layer)

    def __repr__(self) -> str:
        return f"RankExplorer(rank={self.rank}, layer={self.layer!r})"

    def fallback(self) -> str:
        first = self.record["layers"][0]
        random = self.record["randoms"][first["random"]]
        rows = [
            [
                str(kept["rank"]),
                percent(missing_at(first["missing"], kept["rank"])),
                percent(missing_at(random, kept["rank"])),
                f"{kept['numbers']:,}",
                f"{kept['right']:,} of {self.record['messages']:,}",
                f"{kept['f1']:.3f}",
            ]
            for kept in self.record["kept"]
        ]
        caption = (
            f"The changes of full fine-tuning in {len(self.record['layers']) - 1} "
            f"matrices ({self.record['numbers']:,} numbers), kept at a rank: how much "
            "of their norm is missing, how much would be of random matrices, the "
            "numbers that are kept, and what the classifier then gets right of the test"
        )
        head = ["rank", "missing", "of random ones", "numbers", "right", "spam F1"]
        return table(caption, head, rows)


def missing_at(missing: Sequence[int], rank: int) -> float:
    """The share of the norm that is missing at a rank; beyond the last one nothing."""
    return missing[rank] / 1000 if rank < len(missing) else 0.0


def drawn(record: Any) -> Record:
    """What the widget draws of a record; ValueError for what lacks a part."""
    change = parts_of(record, {"change": Mapping}, "the record", TOOL)["change"]
    parts = parts_of(change, {"layers": Mapping, "kept": list}, "its change", TOOL)
    layers = {
        name: checked_layer(layer, name) for name, layer in parts["layers"].items()
    }
    if not layers or not parts["kept"]:
        raise ValueError(
            f"the record has no layers or ranks; expected what {TOOL} writes"
        )
    kinds = list(dict.fromkeys(kind_of(name) for name in layers))
    groups = [[*layers], *([n for n in layers if kind_of(n) == kind] for kind in kinds)]
    shapes = [layer["shape"] for layer in layers.values()]
    kept = [checked_rank(found) for found in parts["kept"]]
    ranks = [found["rank"] for found in kept]
    if ranks != sorted(set(ranks)):
        raise ValueError(f"the ranks are {ranks}; expected rising ones")
    return {
        "numbers": sum(math.prod(shape) for shape in shapes),
        "messages": kept[0]["messages"],
        "kept": kept,
        # those of one shape are alike, so that one for each kind is enough
        "randoms": [
            missing([layers[name]["random"] for name in group]) for group in groups
        ],
        "layers": [
            {
                "name": EVERY,
                "shapes": shapes,
                "missing": missing([layer["singular"] for layer in layers.values()]),
                "random": 0,
            },
            *(
                {
                    "name": name,
                    "shapes": [layer["shape"]],
                    "missing": missing([layer["singular"]]),
                    "random": 1 + kinds.index(kind_of(name)),
                }
                for name, layer in layers.items()
            ),
        ],
    }


def kind_of(name: str) -> str:
    """The name of a layer without its block's number.

    >>> kind_of("blocks.5.attention.qkv")
    'attention.qkv'
    """
    return name.split(".", 2)[-1]


def missing(matrices: Sequence[Sequence[float]]) -> list[int]:
    """What is missing of matrices' norm, in thousandths, at the ranks 0, 1, 2, ….

    Each matrix is given by its singular values, the largest first. Keeping r of them is
    the best matrix of rank r. Source: Eckart and Young (1936).

    >>> missing([[4.0, 3.0]])
    [1000, 600, 0]
    """
    total = sum(s * s for values in matrices for s in values)
    most = max(map(len, matrices))
    rest = (sum(s * s for values in matrices for s in values[r:]) for r in range(most))
    return [*(round(1000 * math.sqrt(left / total)) for left in rest), 0]


def checked_layer(layer: Any, name: str) -> Record:
    """A layer's parts, if its numbers are singular values of a matrix of its shape."""
    kept = parts_of(layer, LAYER, name, TOOL)
    if len(kept["shape"]) != 2 or not all(isinstance(n, int) for n in kept["shape"]):
        raise ValueError(f"the shape of {name} is {kept['shape']}; expected two sizes")
    for part in ("singular", "random"):
        values = kept[part]
        finite = all(
            isinstance(s, int | float) and math.isfinite(s) and s >= 0 for s in values
        )
        if not finite or len(values) != min(kept["shape"]) or not sum(values):
            raise ValueError(
                f"{part!r} of {name} has {len(values)} values; expected "
                f"{min(kept['shape'])} numbers, 0 or more and not all 0"
            )
        if values != sorted(values, reverse=True):
            raise ValueError(f"{part!r} of {name}: expected the largest value first")
    return kept


def checked_rank(found: Any) -> Record:
    """What was measured at a rank, as the widget shows it."""
    parts: dict[str, type | tuple[type, ...]] = {
        "rank": int,
        "numbers": int,
        "test": Mapping,
    }
    kept = parts_of(found, parts, "a rank", TOOL)
    counts = parts_of(kept["test"], dict.fromkeys(COUNTS, int), "its test", TOOL)
    tp, fp, fn, tn = (counts[name] for name in COUNTS)
    return {
        "rank": kept["rank"],
        "numbers": kept["numbers"],
        "messages": tp + fp + fn + tn,
        "right": tp + tn,
        "f1": round(2 * tp / max(1, 2 * tp + fp + fn), 4),
    }
