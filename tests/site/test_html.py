"""The built files themselves, read without a browser: pages, links, metadata, nothing from another host."""

import gzip
import re
from pathlib import Path

import build_site
import pytest
from bs4 import BeautifulSoup
from site_files import broken, meta, parse, soup, target

PAGES = [f"{page}.html" for page in build_site.pages()]
ALL = [*PAGES, "search.html", "404.html"]
HOST = re.compile(r"(?:https?:)?//")
LOADED = (
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
)
# links that name another page without asking for it
NAMED = {"canonical"}


def elsewhere(page: BeautifulSoup) -> list[str]:
    """What `page` would load from another host."""
    tags = [
        (tag, tag.get(attribute, ""))
        for name, attribute in LOADED
        for tag in page.find_all(name)
    ]
    return [
        link
        for tag, link in tags
        if HOST.match(link) and not NAMED & set(tag.get("rel", ()))
    ]


def test_every_page_of_the_table_of_contents_is_there(site: Path) -> None:
    assert len(PAGES) >= 5
    assert [page for page in [*ALL, "index.html"] if not (site / page).is_file()] == []


@pytest.mark.parametrize("page", ALL)
def test_links_lead_somewhere(site: Path, page: str) -> None:
    assert broken(site, page) == []


@pytest.mark.parametrize("page", ALL)
def test_nothing_is_loaded_from_another_host(site: Path, page: str) -> None:
    assert elsewhere(soup(site / page)) == []


@pytest.mark.parametrize("page", ALL)
def test_the_text_waits_for_few_files(site: Path, page: str) -> None:
    head = soup(site / page).head
    sheets = [link["href"] for link in head.find_all("link", rel="stylesheet")]
    assert len(sheets) <= 5, "a round of requests more on a slow connection"
    joined = site / "_static" / sheets[-1].partition("?")[0].rpartition("/")[2]
    names, _, text = joined.read_text(encoding="utf-8").partition("\n")
    parts = [site / "_static" / name for name in names.strip("/* ").split()]
    assert text == "\n".join(part.read_text(encoding="utf-8") for part in parts)


def test_style_sheets_load_nothing_from_another_host(site: Path) -> None:
    sheets = {
        path.name: path.read_text(encoding="utf-8", errors="replace")
        for path in site.rglob("*.css")
    }
    far = re.compile(r"(?:url\(\s*|@import\s+)['\"]?(?:https?:)?//[^)'\"]+")
    assert {
        name: far.findall(text) for name, text in sheets.items() if far.search(text)
    } == {}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_it_is(site: Path, page: str) -> None:
    html = soup(site / page)
    heading = html.find("h1").get_text().removesuffix("#").strip()
    description = meta(html, "name", "description")
    assert html.html["lang"] == "en"
    assert html.title.get_text().startswith(heading)
    assert meta(html, "property", "og:title") == heading
    assert 20 <= len(description) <= 200
    assert meta(html, "property", "og:description") == description
    assert html.find("link", rel="icon")["href"].endswith("favicon.svg")
    assert len(html.select("article h1")) == 1


def test_no_two_pages_have_one_description(site: Path) -> None:
    descriptions = [meta(soup(site / page), "name", "description") for page in PAGES]
    assert len(set(descriptions)) == len(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_has_a_text(site: Path, page: str) -> None:
    assert [
        str(image)
        for image in soup(site / page).select("article img")
        if not image.get("alt", "").strip()
    ] == []


@pytest.mark.parametrize("page", PAGES)
def test_nothing_of_the_markup_is_left_raw(site: Path, page: str) -> None:
    article = parse(site / page).article
    for code in article.select("pre, code, script, .bw-fallback"):
        code.extract()
    text = article.get_text()
    assert (
        re.findall(
            r"\{\w+\}`|:::|^\s*```|\[[^\]]+\]\([^)]+\)|</?details>|\*\*\w",
            text,
            re.MULTILINE,
        )
        == []
    )


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in build_site.pages()
        if (build_site.ROOT / f"{page}.ipynb").exists()
    ],
)
def test_the_download_is_the_notebook(site: Path, page: str) -> None:
    link = soup(site / f"{page}.html").select_one("a.btn-download-source-button")[
        "href"
    ]
    path, _ = target(site, f"{page}.html", link)
    assert path.read_bytes() == (build_site.ROOT / f"{page}.ipynb").read_bytes()


def test_the_widgets_code_travels_without_what_only_people_read(site: Path) -> None:
    modules = [*(site / "_static/widgets").rglob("*.js")]
    texts = {module.name: module.read_text(encoding="utf-8") for module in modules}
    assert not [
        name for name, text in texts.items() if re.search(r"^\s*(?://|/\*)", text, re.M)
    ]
    # all sixteen: 7 kB each, the parts that they share counted once
    drawn = [module for module in modules if module.parent.name != "engine"]
    assert len(drawn) > 40
    assert sum(len(gzip.compress(module.read_bytes())) for module in drawn) <= 120_000
