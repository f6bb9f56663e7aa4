"""All the choices of a pretraining run, read from a file and checked.

Not built on a page of the book: it reads and checks settings. What each of them does is
the subject of appendices/d-training-loop.ipynb.
"""

import json
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from llmbook_utils.config import GPTConfig
from llmbook_utils.schedule import Schedule

COUNTS = ("batch_size", "accumulate", "eval_every", "eval_windows", "checkpoint_every")
# how a run is computed, not what: a run may continue with another choice
ANY_TIME = ("sharded", "compile")
# what a value may be, by what is there without one, and what that is called
KINDS: dict[type, tuple[type | tuple[type, ...], str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "text in quotes"),
    tuple: (tuple, "a list of numbers"),
    dict: (dict, "a table"),
}


@dataclass(frozen=True)
class Recipe:
    """All the choices of a pretraining run; a file of TOML may hold any of them."""

    model: GPTConfig
    init: str = "gpt2"
    steps: int = 1000  # optimizer steps
    batch_size: int = 32  # windows per batch, of all processes together
    accumulate: int = 1  # batches per step
    lr: float = 1e-3  # at its peak
    warmup_steps: int = 0
    floor: float = 0.1  # share of the peak at the end
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    bf16: bool = False
    seed: int = 1
    eval_every: int = 250
    eval_windows: int = 256  # of the validation split, evenly spread
    checkpoint_every: int = 250
    keep: tuple[int, ...] = ()  # steps whose model is kept
    sharded: bool = False  # several processes divide the weights (FSDP2)
    compile: bool = False  # with torch.compile

    def __post_init__(self) -> None:
        create_schedule(self)  # which checks what it takes
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not self.clip > 0:  # inf: no limit
            raise ValueError(f"clip is {self.clip}; it must be above 0")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(
                f"betas are {list(self.betas)}; expected two numbers, from 0 to below 1"
            )


def create_schedule(recipe: Recipe) -> Schedule:
    """The learning rate of each step."""
    return Schedule(recipe.lr, recipe.steps, recipe.warmup_steps, recipe.floor)


def read_recipe(path: str | Path, **changes: Any) -> Recipe:
    """The recipe of a TOML file, with some values changed.

    Unknown keys, wrong types and values out of range raise ValueError.
    """
    path = Path(path)  # which every message below begins with
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    shape = content.pop("model", {})
    if not isinstance(shape, dict):
        raise ValueError(f"{path}: model is {shape!r}; expected a table, [model]")
    for given, kind in ((content, Recipe), (shape, GPTConfig)):
        names = [f.name for f in fields(kind)]
        if unknown := [name for name in given if name not in names]:
            raise ValueError(f"{path}: unknown {unknown[0]!r}; there are {names}")
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (content | changes).items()
    }
    for given, kind in ((settings, Recipe), (shape, GPTConfig)):
        for name, value in given.items():
            check_kind(path, name, value, getattr(kind, name))
    try:
        return Recipe(GPTConfig(**shape), **settings)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check_kind(path: Path, name: str, value: Any, default: Any) -> None:
    """Raise ValueError where a value is of another kind than the default."""
    kinds, called = KINDS[type(default)]
    parts = value if isinstance(value, tuple) else ()
    numbers = all(type(part) in (int, float) for part in parts)
    # True is an int, too
    right = isinstance(value, kinds) and isinstance(value, bool) == (kinds is bool)
    if not right or not numbers:
        said = list(value) if isinstance(value, tuple) else value
        raise ValueError(f"{path}: {name} is {said!r}; it must be {called}")


def settle_recipe(out: Path, recipe: Recipe) -> None:
    """Write the recipe into the run's folder, or check that the run there has it too.

    What a recipe of an earlier version lacks has its default there. Raises ValueError
    where a run of another recipe has begun in the folder.
    """
    path, ours = out / "recipe.json", json.loads(json.dumps(asdict(recipe)))
    if path.is_file():
        defaults = json.loads(json.dumps(asdict(Recipe(recipe.model))))
        theirs = defaults | json.loads(path.read_text(encoding="utf-8"))
        settled = [name for name in ours if name not in ANY_TIME]
        if other := [name for name in settled if ours[name] != theirs[name]]:
            name = other[0]
            raise ValueError(
                f"{out} holds a run with {name} = {theirs[name]}, not {ours[name]}; "
                "continue with its recipe, or give another --out"
            )
    else:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(ours, indent=2) + "\n", encoding="utf-8")
