"""Build the site into _build/html: warnings are errors, nothing is executed, every page of _toc.yml must come out."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
OTHERS = ("course", "pdf")  # of _build, which other tools make
sys.path.insert(0, str(ROOT / "_ext"))

from book_site import address  # noqa: E402


def settings() -> dict:
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def repository_url() -> str:
    """The repository's address in _config.yml; "" while it is not set."""
    return settings()["repository"]["url"]


def base_url() -> str:
    """The address that the book is published under, with a slash at its end; "" while there is none."""
    return settings()["html"].get("baseurl") or address.pages_url(repository_url())


def pages(entry: dict | None = None) -> Iterator[str]:
    """The pages that _toc.yml names, in reading order, without suffix."""
    entry = entry or yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    name = entry.get("root") or entry.get("file")
    if name:
        yield name
    for key in ("parts", "chapters", "sections"):
        for child in entry.get(key, []):
            yield from pages(child)


def build() -> None:
    """Build afresh, since a second build is silent on the warnings of pages that did not change."""
    from jupyter_book.sphinx import build_sphinx

    for old in (ROOT / "_build").glob("*"):
        if old.name not in OTHERS:
            shutil.rmtree(old, ignore_errors=True)
    failed = build_sphinx(
        ROOT,
        HTML,
        noconfig=True,
        path_config=ROOT / "_config.yml",
        confoverrides={
            "external_toc_path": str(ROOT / "_toc.yml"),
            "latex_individualpages": False,
        },
        warningiserror=True,
        keep_going=True,
        quiet=True,
    )
    if failed:
        sys.exit(
            "The build failed: each line above that says WARNING or ERROR names a file and what to mend."
        )


def main() -> None:
    build()
    missing = [page for page in pages() if not (HTML / f"{page}.html").exists()]
    if missing:
        sys.exit(f"The build left out pages that _toc.yml names: {', '.join(missing)}")
    print(
        f"The book is in {HTML / 'index.html'}; `make serve` opens it (a file:// page cannot run the widgets)."
    )


if __name__ == "__main__":
    main()
