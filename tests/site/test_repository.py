"""What follows from the repository's address: the notebooks agree with _config.yml, and a build with one has it all."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import build_site
import nbformat
import pytest
import repository
from book_site.address import pages_url
from book_site.metadata import CARD
from site_files import broken, meta, parse

URL, BASE = "https://github.com/reader/gpt-book", "https://reader.github.io/gpt-book/"
SMALL = """format: jb-book
root: intro
chapters:
  - file: chapters/a
"""


@pytest.mark.parametrize("path", repository.notebooks(), ids=lambda path: path.stem)
def test_each_notebook_agrees_with_the_configuration(path: Path) -> None:
    cells = [
        cell
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
    ]
    assert cells[0].source == repository.setup_cell(build_site.repository_url())
    assert [
        index
        for index, cell in enumerate(cells)
        if repository.TAG in cell.metadata.get("tags", ())
    ] == [0]


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("", ""),
        (URL, BASE),
        ("https://github.com/Reader/Book.v2", "https://reader.github.io/Book.v2/"),
        ("https://github.com/reader/reader.github.io", "https://reader.github.io/"),
    ],
)
def test_the_base_is_where_github_publishes(url: str, base: str) -> None:
    assert pages_url(url) == base


@pytest.mark.parametrize(
    "url",
    [
        "gpt-book",
        URL + ".git",
        URL + "/",
        "http://github.com/a/b",
        "git@github.com:a/b",
    ],
)
def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(
        ValueError,
        match=re.escape(f"expected https://github.com/owner/name, got {url!r}"),
    ):
        pages_url(url)


def notebook(text: str) -> nbformat.NotebookNode:
    setup = nbformat.v4.new_code_cell(
        "", id="setup", execution_count=1, metadata={"tags": [repository.TAG]}
    )
    kernel = {
        "kernelspec": {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
    }
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell(text, id="text"), setup], metadata=kernel
    )


def run(book: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(build_site.ROOT)}
    command = [sys.executable, *command]
    return subprocess.run(
        command, cwd=book, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of two pages with the real one's settings, tools and extensions."""
    folder = tmp_path_factory.mktemp("book")
    for name in ("_ext", "_static", "tools"):
        shutil.copytree(build_site.ROOT / name, folder / name)
    for name in ("_config.yml", "README.md"):
        shutil.copy(build_site.ROOT / name, folder)
    shutil.copytree(build_site.ROOT / ".github", folder / ".github")
    repository.write_config(folder / "_config.yml", "")
    (folder / "_toc.yml").write_text(SMALL)
    (folder / "chapters").mkdir()
    nbformat.write(
        notebook("# Front page\n\nA first paragraph with a [link](chapters/a.md)."),
        folder / "intro.ipynb",
    )
    (folder / "chapters" / "a.md").write_text(
        "# A page\n\nText that says enough to describe a page.\n"
    )
    return folder


@pytest.fixture(scope="module")
def published(book: Path) -> Path:
    """The small book built with the address that `make repository` wrote."""
    for command in (["tools/repository.py", URL], ["tools/build_site.py"]):
        done = run(book, *command)
        assert done.returncode == 0, done.stderr
    return book / "_build" / "html"


def test_the_command_writes_the_address_everywhere(published: Path) -> None:
    book = published.parents[1]
    assert f'\nrepository:\n  url: "{URL}"\n' in (book / "_config.yml").read_text(
        encoding="utf-8"
    )
    source = "".join(
        json.loads((book / "intro.ipynb").read_text(encoding="utf-8"))["cells"][1][
            "source"
        ]
    )
    assert source == repository.setup_cell(URL)
    readme = (book / "README.md").read_text(encoding="utf-8")
    assert f"\ngit clone {URL} {repository.FOLDER}\n" in readme
    assert f"url: {URL}/discussions" in (book / repository.FORMS).read_text("utf-8")


def test_publishing_from_another_repository_is_refused(published: Path) -> None:
    book = published.parents[1]
    assert run(book, "tools/repository.py", "--check", URL).returncode == 0
    refused = run(
        book, "tools/repository.py", "--check", "https://github.com/other/gpt-book"
    )
    assert refused.returncode == 1
    assert "make repository URL=https://github.com/other/gpt-book" in refused.stderr


def test_a_published_page_says_where_it_is(published: Path) -> None:
    page = parse(published / "chapters" / "a.html")
    assert page.find("link", rel="canonical")["href"] == BASE + "chapters/a.html"
    assert meta(page, "property", "og:url") == BASE + "chapters/a.html"
    assert meta(page, "property", "og:image") == BASE + CARD
    assert (published / CARD).read_bytes()[16:24] == bytes.fromhex(
        "000004b000000276"
    )  # 1200 by 630 pixels


def test_the_sitemap_names_every_page(published: Path) -> None:
    found = re.findall(
        "<loc>(.*?)</loc>", (published / "sitemap.xml").read_text(encoding="utf-8")
    )
    assert found == [BASE + "chapters/a.html", BASE + "intro.html"]


def test_the_buttons_lead_to_the_repository(published: Path) -> None:
    links = {link.get("href") for link in parse(published / "intro.html").find_all("a")}
    assert {
        URL,
        "https://colab.research.google.com/github/reader/gpt-book/blob/main/intro.ipynb",
        f"{URL}/edit/main/intro.ipynb",
    } <= links


def test_the_404_page_finds_everything_under_the_base(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = parse(published / "404.html")
    links = {
        tag.get("href") or tag.get("src") or ""
        for tag in page.find_all(["a", "link", "script"])
    }
    assert {"/gpt-book/intro.html", "/gpt-book/search.html"} <= links
    assert page.html["data-content_root"] == "/gpt-book/"
    monkeypatch.setattr(build_site, "base_url", lambda: BASE)
    assert broken(published, "404.html") == []


def test_without_an_address_nothing_claims_one(site: Path) -> None:
    if build_site.base_url():
        pytest.skip("this book has an address")
    page = parse(site / "intro.html")
    links = [link.get("href", "") for link in page.find_all("a")]
    assert page.find("link", rel="canonical") is None
    assert not any("colab.research" in link or "/edit/" in link for link in links)
    assert meta(page, "property", "og:url") == meta(page, "property", "og:image") == ""
    assert not (site / "sitemap.xml").exists()


def test_every_warning_is_shown_and_fails_the_build(
    book: Path, published: Path
) -> None:
    page = book / "chapters" / "a.md"
    before = page.read_text()
    page.write_text("# A page\n\n[one](b.md), [two](../intro.ipynb#nowhere).\n")
    done = run(book, "tools/build_site.py")
    page.write_text(before)
    assert done.returncode == 1
    for words in ("b.md", "nowhere", "The build failed"):
        assert words in done.stderr


def test_a_page_that_does_not_come_out_fails_the_build(
    book: Path, published: Path
) -> None:
    toc = book / "_toc.yml"
    toc.write_text(SMALL + "  - file: chapters/gone\n")
    done = run(book, "tools/build_site.py")
    toc.write_text(SMALL)
    assert done.returncode == 1
    assert "chapters/gone" in done.stderr
