"""README and the front page: each number in them is counted, or compared with what it comes from."""

import math
import re
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import counts
import nbformat
import pytest
from book import FENCE, ROOT
from counts import COUNTS, README, with_counts, with_deeper_links
from minutes import ROW, row_with_minutes
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from llmbook_utils import web
from llmbook_utils.config import GPT2_SMALL, MINI
from llmbook_utils.model import GPTModel
from llmbook_utils.widgets import write_site_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
FRONT_PAGE = nbformat.read(ROOT / counts.FRONT, as_version=4)
FRONT = "\n\n".join(c.source for c in FRONT_PAGE.cells if c.cell_type == "markdown")
TEXTS = {
    "README.md": (ROOT / README).read_text(encoding="utf-8"),
    "intro.ipynb": FRONT,
}
# what was looked up in other places; the section says when and links to each
LOOKED_UP = re.compile(
    r"^## Other ways to learn this\n.*?(?=^## )", re.MULTILINE | re.DOTALL
)
# names of things, and where something is
NAMES = re.compile(
    r"GPT-2|CC BY 4\.0|[Aa]pache(?: license)? 2\.0|[Cc]hapters? \d|[Ss]ections? (?:\d|[A-E])\.\d+"
    r"|\[\d[\d.]*(?:–[\d.]+| and [\d.]+)?(?=[ \]])|\[[A-E]\.\d(?=\])"
)
MARKUP = re.compile(r"\]\([^)]*\)|`[^`]*`|<[^>]*>|^\d\. ", re.MULTILINE)
NUMBER = re.compile(r"\d(?:[\d,.]*\d)?")


def parameters(config: object) -> int:
    import torch

    with torch.device("meta"):
        return sum(one.numel() for one in GPTModel(config).parameters())


def works() -> int:
    """The works of the manifest that were trained on."""
    rows = (ROOT / "profiles" / "mini-works.tsv").read_text("utf-8").splitlines()[1:]
    return sum(row.split("\t")[1] == "train" for row in rows)


def storybooks() -> int:
    path = ROOT / "llmbook_utils" / "assets" / "mini" / "attribution.tsv"
    return len(path.read_text(encoding="utf-8").splitlines()) - 1


def weight_in_the_page(folder: Path) -> int:
    """Megabytes of the model as the page loads it."""
    write_site_files(folder)
    return round((folder / "mini.safetensors").stat().st_size / 1e6)


def gigabytes_installed() -> int:
    """What the packages of requirements.txt take, without those of CUDA; rounded up, since byte code comes on top."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    todo = [Requirement(line).name for line in lines if not line.startswith("#")]
    seen: set[str] = set()
    size = 0
    while todo:
        name = canonicalize_name(todo.pop())
        if name in seen or name.startswith(("nvidia", "cuda", "triton")):
            continue
        seen.add(name)
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        size += sum(file.size or 0 for file in package.files or [])
        needed = map(Requirement, package.requires or [])
        todo += [
            one.name
            for one in needed
            if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return math.ceil(size / 1e9)


def lowest_python() -> str:
    return str(PROJECT["requires-python"]).removeprefix(">=")


# each with what it must say; "(…)" is the number
CLAIMS: dict[str, Callable[[Path], object]] = {
    r"Python (3\.\d+) or newer": lambda _: lowest_python(),
    r"(\d+) million parameters": lambda _: round(parameters(MINI) / 1e6),
    r"a file of (\d+) MB": weight_in_the_page,
    r"has read (\d+) old works": lambda _: works(),
    r"of (\d+) storybooks of today": lambda _: storybooks(),
    r"about (\d+) GB of disk": lambda _: gigabytes_installed(),
    r"version (\d+\.\d+\.\d+)": lambda _: PROJECT["version"],
    r"of (\d+) draws": lambda _: 200,  # seeds 0 to 199; see below
}


def unheld(text: str) -> list[str]:
    """The numbers of a text that no count, no claim, no row of minutes and no name accounts for."""
    text = ROW.sub(
        lambda row: row[0].rsplit("|", 2)[0], FENCE.sub("", LOOKED_UP.sub("", text))
    )
    for claim in CLAIMS:
        text = re.sub(claim, "", text)
    for noun in COUNTS:
        text = re.sub(rf"\b\d[\d,]*\s{noun}\b", "", text)
    return NUMBER.findall(NAMES.sub("", MARKUP.sub("]", text)))


@pytest.mark.parametrize("name", TEXTS)
def test_every_number_is_held_by_something(name: str) -> None:
    assert unheld(TEXTS[name]) == []


@pytest.mark.parametrize("name", TEXTS)
def test_counts_and_minutes_are_up_to_date(name: str) -> None:
    text = TEXTS[name]
    assert with_counts(text) == text, "run: make sync"
    assert ROW.sub(row_with_minutes, text) == text, "run: make sync"
    assert with_deeper_links(text) == text, "run: make sync"
    assert len(ROW.findall(text)) >= 11


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_is_true(claim: str, tmp_path: Path) -> None:
    said = [found for text in TEXTS.values() for found in re.findall(claim, text)]
    assert said, f"nobody claims {claim!r}; take it out of this test"
    assert {str(CLAIMS[claim](tmp_path))} == set(said)


def test_the_shown_sample_is_one_of_the_draws() -> None:
    shown = next(c.source for c in FRONT_PAGE.cells if "Continuation(" in c.source)
    seed = re.search(r"seed=(\d+)", shown)
    assert seed and int(seed[1]) < 200


def test_what_is_said_in_words() -> None:
    assert "About twenty times smaller" in FRONT
    assert 19 < parameters(GPT2_SMALL) / parameters(MINI) < 22
    kernel = (Path(web.__file__).parent / "engine" / "kernel-wasm.js").read_text(
        "utf-8"
    )
    base64 = max(re.findall(r"[A-Za-z0-9+/=]{40,}", kernel), key=len, default="")
    assert "kernel of less than two kilobytes" in TEXTS["README.md"].replace("\n", " ")
    assert 0 < len(base64) * 3 / 4 < 2000


def test_a_number_that_nothing_holds_is_found() -> None:
    assert unheld("The book has 99 red figures, 3 figures and 12.5 %.") == [
        "99",
        "12.5",
    ]
    assert unheld("In chapter 2, [2.5](x.md#25-y) and `port 8000`, GPT-2.") == []
    assert with_counts("It has 0 exercises.") != "It has 0 exercises."


def test_a_link_into_a_deeper_part_follows_its_minutes() -> None:
    page = next(path for path in counts.notebooks() if "/04-" in path)
    link = f"[map]({page}#deeper-every-number-on-its-way-the-model-map-0-min)"
    assert re.search(r"#deeper-every-[\w-]+-[1-9]\d*-min\)$", with_deeper_links(link))


def test_the_lowest_python_can_install_every_pin() -> None:
    """What constraints.txt pins allows the Python that README names, in its first version, and 3.14."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    refused = []
    for name, _, version in (line.partition("==") for line in lines):
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another system
        allowed = SpecifierSet(package.metadata.get("Requires-Python") or "")
        if package.version.split("+")[0] == version:
            refused += [
                f"{name} {version} refuses Python {python}"
                for python in (f"{lowest_python()}.0", "3.14.0")
                if python not in allowed
            ]
        else:
            refused.append(f"{name} {package.version} is installed, not {version}")
    assert len(lines) > 100
    assert refused == []
