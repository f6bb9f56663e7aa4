"""The page of licenses names every file that the site ships, and those whose stories `mini` read."""

import csv
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from book import ROOT

PAGE = (ROOT / "course" / "licenses.md").read_text(encoding="utf-8")
STORIES = ROOT / "llmbook_utils" / "assets" / "mini" / "attribution.tsv"


def patterns(page: str) -> list[str]:
    """What stands as code in the first column of the page's tables."""
    rows = re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE)
    return [found for row in rows for found in re.findall(r"`([^`]+)`", row)]


def unnamed(files: list[str], page: str = PAGE) -> list[str]:
    """Files that no row of the page names."""
    known = patterns(page)
    return [name for name in files if not any(fnmatch(name, one) for one in known)]


@pytest.mark.site
def test_every_file_of_the_site_has_a_license(site: Path) -> None:
    files = [path.relative_to(site).as_posix() for path in site.rglob("*")]
    shipped = [name for name in files if (site / name).is_file()]
    assert len(shipped) > 100
    assert unnamed(shipped) == []


def test_a_file_without_a_row_is_found() -> None:
    without = PAGE.replace("`_static/mathjax/*`", "`_static/nothing/*`")
    assert unnamed(["_static/mathjax/sre/speech.js", "intro.html"], without) == [
        "_static/mathjax/sre/speech.js"
    ]
    assert unnamed(["_static/widgets/new.wasm"]) == ["_static/widgets/new.wasm"]


def test_the_storybooks_authors_and_translators_are_named() -> None:
    with STORIES.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    people = {row[who].strip() for row in rows for who in ("text_by", "translation")}
    assert len(people) > 300
    assert sorted(name for name in people if name not in PAGE) == []


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)]+)\)", PAGE))
def test_the_texts_of_the_licenses_are_there(link: str) -> None:
    text = (ROOT / "course" / link).read_text(encoding="utf-8")
    assert len(text) > 200
