"""Recipes: read from files, checked, and kept with the run."""

import re
from dataclasses import replace

import pytest
from recipes import RECIPE, ROOT, write_recipe

from llmbook_utils.config import MINI
from llmbook_utils.runs.recipe import read_recipe

# recipes


def test_the_recipe_of_mini_reads():
    recipe = read_recipe(ROOT / "profiles/mini.toml")
    assert recipe.model == MINI
    assert recipe.steps in recipe.keep


def test_a_recipe_survives_its_file(tmp_path):
    recipe = replace(RECIPE, keep=(0, 4), betas=(0.8, 0.9))
    assert (
        read_recipe(write_recipe(tmp_path / "r.toml", keep=(0, 4), betas=(0.8, 0.9)))
        == recipe
    )
    assert read_recipe(write_recipe(tmp_path / "r.toml"), steps=9).steps == 9


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("stesp = 10", "unknown 'stesp'"),
        ("steps = ", "not valid TOML"),
        ("warmup_steps = 2000", "warmup_steps is 2000"),
        ("batch_size = 0", "batch_size is 0"),
        ("[model]\nlayers = 3", "unknown 'layers'"),
        ("[model]\nn_heads = 7", "cannot be divided"),
        ('steps = "many"', "steps is 'many'"),
        ('bf16 = "no"', "bf16 is 'no'; it must be <class 'bool'>"),
        ("model = 3", "model is 3; expected a table"),
        ('[model]\nemb_dim = "big"', "r.toml"),
    ],
)
def test_bad_recipes_are_refused(tmp_path, line, says):
    (tmp_path / "r.toml").write_text(line, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(says)):
        read_recipe(tmp_path / "r.toml")
