"""The built site's files, read without a browser."""

import gc
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import build_site
from bs4 import BeautifulSoup, Tag


def parse(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def soup(path: Path) -> BeautifulSoup:
    """A page's tree, made once; it stays, so the garbage collector need not visit it."""
    tree = parse(path)
    gc.freeze()
    return tree


@cache
def ids(path: Path) -> frozenset[str]:
    return frozenset(
        tag[key]
        for key in ("id", "name")
        for tag in soup(path).find_all(attrs={key: True})
    )


def target(site: Path, page: str, link: str) -> tuple[Path, str]:
    """The file and the anchor that `link` on `page` leads to, in the site under its base."""
    path, anchor = urldefrag(link)
    path = unquote(path.split("?")[0])
    base = urlsplit(build_site.base_url()).path or "/"
    if path.startswith("/"):
        return site / path.removeprefix(base), unquote(anchor)
    return ((site / page).parent / path if path else site / page).resolve(), unquote(
        anchor
    )


def broken(site: Path, page: str) -> list[str]:
    """Links of `page` that lead to no file or to no anchor in it."""
    links = {
        tag.get("href") or tag.get("src")
        for tag in soup(site / page).find_all(["a", "link", "script", "img"])
    }
    found = []
    for link in sorted(
        link for link in links - {None, "#"} if not re.match(r"[a-z]+:|//", link)
    ):
        path, anchor = target(site, page, link)
        if not path.is_file() or (
            anchor and path.suffix == ".html" and anchor not in ids(path)
        ):
            found.append(link)
    return found


def meta(page: BeautifulSoup, key: str, value: str) -> str:
    tag = page.find("meta", attrs={key: value})
    return tag["content"] if isinstance(tag, Tag) else ""
