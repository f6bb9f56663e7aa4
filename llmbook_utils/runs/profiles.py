"""What can be run: the entries of profiles/runs.toml, read and checked.

Not built on a page. An entry names a notebook, the parameters that it gets, what the
run needs, and the values that it yields, each with the band that it must stay in. Its
smoke variant has other parameters, and ends within a minute.
"""

import tomllib
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from llmbook_utils.runs.recipe import check_kind

FILE = "runs.toml"
SMOKE_MINUTES = 10.0  # a smoke run that takes longer hangs, even on a busy machine
Band = tuple[float, float]


@dataclass(frozen=True)
class Value:
    """A number that a run yields: where the notebook has it, and what it should be."""

    at: str  # a name of the notebook, and what is in it: "large.after.training"
    band: tuple[float, ...] = ()  # the lowest and the highest; (): nothing is expected
    smoke: tuple[float, ...] = ()  # the same for the smoke variant
    published: float = float("nan")  # what others have published
    unit: str = ""
    full: bool = False  # the smoke variant does not yield it

    def is_of(self, smoke: bool) -> bool:
        """Whether the variant yields it: a band of the other one alone says no."""
        if smoke:
            return bool(self.smoke) or not (self.band or self.full)
        return bool(self.band) or self.full or not self.smoke

    def expected(self, smoke: bool) -> Band | None:
        """The band of the variant, if it has one."""
        low_high = self.smoke if smoke else self.band
        return (low_high[0], low_high[1]) if low_high else None


@dataclass(frozen=True)
class Run:
    """An entry: a notebook, its parameters, what it needs and what it yields."""

    name: str = ""
    title: str = ""
    notebook: str = ""  # its path, from the folder of the repository
    file: str = ""  # of parameters, in YAML, beside runs.toml
    parameters: dict[str, Any] = field(default_factory=dict)
    each: dict[str, Any] = field(default_factory=dict)  # a run for every value
    smoke: dict[str, Any] = field(default_factory=dict)  # parameters of the variant
    asks: str = ""  # parameters that the command has to give, with spaces between
    gpu: bool = False  # the processor would take too long
    network: bool = False  # something is downloaded
    memory: float = 4.0  # GB, of the GPU where it needs one
    minutes: float = 30.0  # after which it is stopped
    writes: str = ""  # the result that the notebook itself writes, given `record`
    earlier: str = ""  # results of earlier runs, with spaces between
    root: str = ""  # the notebook's name for what such a result holds
    values: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One execution of a notebook: a run with all its parameters."""

    run: Run
    parameters: dict[str, Any]
    smoke: bool = False

    @property
    def name(self) -> str:
        """The run's name, what tells this one from its like, and the variant."""
        each = [] if self.smoke else [self.parameters[name] for name in self.run.each]
        label = [self.run.name, *(f"{v}" for v in each), *["smoke"] * self.smoke]
        return "-".join(label).replace("/", "-")

    @property
    def values(self) -> dict[str, Value]:
        """What this variant yields."""
        return {
            name: value
            for name, value in self.run.values.items()
            if value.is_of(self.smoke)
        }

    @property
    def seconds(self) -> float:
        """How long it may take."""
        return 60 * (SMOKE_MINUTES if self.smoke else self.run.minutes)


def read_runs(path: Path) -> dict[str, Run]:
    """All entries of a file by name; ValueError says what is wrong in which of them."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    return {name: read_run(path, name, entry) for name, entry in content.items()}


def read_run(path: Path, name: str, entry: Any) -> Run:
    """One entry; its parameters are those of its file, then its own."""
    place = Path(f"{path}, {name}")  # which every message begins with
    if not isinstance(entry, dict):
        raise ValueError(f"{place} is {entry!r}; expected a table, [{name}]")
    values = {
        key: Value(**checked(Path(f"{place}, values, {key}"), found, Value("")))
        for key, found in checked_table(place, entry).items()
    }
    run = Run(**checked(place, entry, Run()))
    for missing in ("title", "notebook"):
        if not getattr(run, missing):
            raise ValueError(f"{place} has no {missing}; give one")
    if run.file:
        given = read_parameters(path.parent / run.file)
        run = replace(run, parameters=given | run.parameters)
    for key, found in run.each.items():
        if not (isinstance(found, list) and found):
            raise ValueError(f"{place}: each.{key} is {found!r}; expected a list")
    for key, value in values.items():
        for low_high in (value.band, value.smoke):
            if low_high and (len(low_high) != 2 or low_high[0] > low_high[1]):
                raise ValueError(
                    f"{place}: the band of {key!r} is {list(low_high)}; expected the "
                    "lowest and the highest number"
                )
    return replace(run, name=name, values=values)


def checked_table(place: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The values of an entry, taken out of it; each must be a table."""
    values = entry.pop("values", {})
    if not isinstance(values, dict) or not all(
        isinstance(found, dict) and "at" in found for found in values.values()
    ):
        raise ValueError(f'{place}: each of its values needs {{ at = "..." }}')
    return values


def checked(place: Path, entry: dict[str, Any], default: object) -> dict[str, Any]:
    """The entry, lists made tuples; an unknown key or a wrong type is a ValueError."""
    known = {f.name: getattr(default, f.name) for f in fields(default)}  # type: ignore[arg-type]
    for key in entry:
        if key not in known or key == "name":
            raise ValueError(f"{place}: unknown {key!r}; there are {sorted(known)}")
    found = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    for key, value in found.items():
        check_kind(place, key, value, known[key])
    return found


def read_parameters(path: Path) -> dict[str, Any]:
    """A YAML file of parameters, as papermill reads it, where 1e-3 is text."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {found!r}; expected a name and a value a line")
    return found


def jobs_of(run: Run, *, smoke: bool, given: dict[str, Any]) -> list[Job]:
    """The executions of an entry: one for each of `each`, or the smoke variant.

    A parameter that the command has to give and does not raises ValueError.
    """
    if smoke:
        first = {name: values[0] for name, values in run.each.items()}
        return [Job(run, run.parameters | first | run.smoke | given, smoke=True)]
    if missing := [name for name in run.asks.split() if name not in given]:
        raise ValueError(
            f"{run.name} needs to be told {missing[0]}: add -p {missing[0]} VALUE"
        )
    each = {name: values for name, values in run.each.items() if name not in given}
    return [
        Job(run, run.parameters | dict(zip(each, values, strict=True)) | given)
        for values in product(*each.values())
    ]
