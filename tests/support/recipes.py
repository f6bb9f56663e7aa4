"""A tiny recipe, and files of it, for the tests of pretraining."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from llmbook_utils.config import GPTConfig
from llmbook_utils.runs.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
TINY = GPTConfig(
    vocab_size=300, context_length=16, emb_dim=16, n_heads=2, n_layers=2, drop_rate=0.0
)
RECIPE = Recipe(
    TINY,
    steps=8,
    batch_size=4,
    accumulate=2,
    eval_every=4,
    eval_windows=6,
    checkpoint_every=3,
)


def write_recipe(path, **changes):
    """A recipe as a file of TOML."""
    content = asdict(replace(RECIPE, **changes))
    shape = content.pop("model")
    path.write_text(
        "\n".join(
            [
                *(f"{k} = {json.dumps(v)}" for k, v in content.items()),
                "[model]",
                *(f"{k} = {json.dumps(v)}" for k, v in shape.items()),
            ]
        ),
        encoding="utf-8",
    )
    return path
