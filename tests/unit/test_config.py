"""Shapes: what they imply, and those that cannot be."""

import pytest

from llmbook_utils.config import GPT2_XL, MINI, GPTConfig


def test_heads_share_the_vector():
    assert (GPT2_XL.head_dim, MINI.head_dim) == (64, 32)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"emb_dim": 30, "n_heads": 4}, "30 cannot be divided among 4 heads"),
        ({"n_layers": 0}, "n_layers is 0; it must be a whole number, 1 or more"),
        ({"drop_rate": 1.0}, r"drop_rate is 1.0; it must be in \[0, 1\)"),
    ],
)
def test_impossible_shapes_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        GPTConfig(**options)
