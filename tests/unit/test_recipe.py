"""Recipes: read from files, checked, and kept with the run."""

import math
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
        ("eval_windows = 0", "eval_windows is 0; it must be above 0"),
        ("clip = 0", "clip is 0; it must be above 0"),
        ("betas = [0.9]", "betas are [0.9]; expected two numbers"),
        (
            "betas = [0.9, 1.0]",
            "betas are [0.9, 1.0]; expected two numbers, from 0 to below 1",
        ),
        ('betas = [0.9, "x"]', "betas is [0.9, 'x']; it must be a list of numbers"),
        ('steps = "many"', "steps is 'many'; it must be a whole number"),
        ("steps = 1.5", "steps is 1.5; it must be a whole number"),
        ("steps = true", "steps is True; it must be a whole number"),
        ("lr = true", "lr is True; it must be a number"),
        ("init = 3", "init is 3; it must be text in quotes"),
        ('bf16 = "no"', "bf16 is 'no'; it must be true or false"),
        ("bf16 = 1", "bf16 is 1; it must be true or false"),
        ("sharded = 2", "sharded is 2; it must be true or false"),
        ('compile = "yes"', "compile is 'yes'; it must be true or false"),
        ("keep = 3", "keep is 3; it must be a list of numbers"),
        ("model = 3", "model is 3; expected a table"),
        ('[model]\nemb_dim = "big"', "emb_dim is 'big'; it must be a whole number"),
        ("[model]\ntie_embeddings = 0", "tie_embeddings is 0; it must be true or f"),
    ],
)
def test_bad_recipes_are_refused(tmp_path, line, says):
    (tmp_path / "r.toml").write_text(line, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        read_recipe(tmp_path / "r.toml")
    assert "r.toml" in str(caught.value) and "<class" not in str(caught.value)


def test_whole_numbers_may_stand_where_a_fraction_could(tmp_path):
    (tmp_path / "r.toml").write_text("lr = 1\nclip = inf\n[model]\ndrop_rate = 0\n")
    recipe = read_recipe(tmp_path / "r.toml")
    assert (recipe.lr, recipe.clip, recipe.model.drop_rate) == (1, math.inf, 0)
