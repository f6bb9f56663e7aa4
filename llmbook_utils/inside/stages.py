"""The tensors inside a GPT, in the order in which they are made, as one table.

Not built on a page. `stages.json` says of each what makes it, out of what, and what a
reader is told of it; `explain`, the model map and the browser's engine all read it
(`web/engine/stages.js`, which tools/build_stages.py writes).
"""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Stage:
    """One tensor, or one in each block: `part` is "before", "block" or "after".

    In `shape` and `parameters` a letter is a size: T tokens, C embedding, H heads, D
    head size, V vocabulary, P positions; B is 1 where q, k and v have a bias, U is 1
    where the output layer has a table of its own. Without an `operation` the model
    itself does not make it.
    """

    name: str  # inside a block without "blocks.0." in front
    part: str
    shape: str
    operation: str | None
    of: tuple[str, ...]  # "stream" is what enters the block, or leaves the last one
    layer: str | None  # whose parameters take part
    parameters: str
    does: str


STAGES = tuple(
    Stage(**{**row, "of": tuple(row["of"])})
    for row in json.loads(FILE.read_text(encoding="utf-8"))
)


def stages_of(part: str) -> tuple[Stage, ...]:
    """The stages before the blocks, in one block, or after them."""
    return tuple(stage for stage in STAGES if stage.part == part)
