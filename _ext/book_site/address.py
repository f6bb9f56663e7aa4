"""Where the repository, the published book and its headings are; nothing but text, so the tools share it."""

import re

GITHUB = re.compile(r"https://github\.com/(?P<owner>[A-Za-z0-9-]+)/(?P<name>[\w.-]+)")


def parse(url: str) -> tuple[str, str]:
    """Owner and name in `https://github.com/owner/name`; ValueError for anything else."""
    match = GITHUB.fullmatch(url)
    if match is None or url.endswith(".git"):
        raise ValueError(
            f"expected https://github.com/owner/name, got {url!r}; copy it from the browser"
        )
    return match["owner"], match["name"]


def pages_url(url: str) -> str:
    """The address under which GitHub Pages publishes the repository `url`; "" while there is none."""
    if not url:
        return ""
    owner, name = parse(url)
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def slug(title: str) -> str:
    """A heading's anchor as the site makes it: "2.5 Byte pairs" -> "25-byte-pairs"."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower().replace(" ", "-"))
