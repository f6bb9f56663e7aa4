"""The table of a GPT's tensors: complete, in order, and the same in the browser."""

import build_stages

from llmbook_utils.config import GPTConfig
from llmbook_utils.inside.stages import STAGES, stages_of
from llmbook_utils.inside.trace import Trace
from llmbook_utils.model import GPTModel

TINY = GPTConfig(30, 8, 12, 3, 2)


def test_the_tensors_of_a_model_come_in_the_order_of_the_table() -> None:
    before, block, after = (
        [stage.name for stage in stages_of(part) if stage.operation]
        for part in ("before", "block", "after")
    )
    names = [*before, *(f"blocks.{i}.{n}" for i in range(2) for n in block), *after]
    model = GPTModel(TINY).eval()
    assert list(Trace(model, names)([1, 2, 3])) == names


def test_each_tensor_is_made_of_earlier_ones() -> None:
    known = {"stream"}
    for stage in STAGES:
        assert set(stage.of) <= known, stage.name
        known.add(stage.name)


def test_the_browser_has_the_same_table() -> None:
    """Or tools/build_stages.py was not run."""
    assert build_stages.MODULE.read_text(encoding="utf-8") == build_stages.written()
