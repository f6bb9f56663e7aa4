"""The text is seen soon: one style sheet in place of many, and scripts run after the text.

On a slow connection a page waits for rounds of requests more than for bytes, and shows nothing before the last style
sheet and the last script in its head. The theme's own sheets stay as they are; those of extensions and of the book,
which follow them, are joined in their order. `python benchmarks/first_visit.py` measures what this brings.
"""

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.builders.html._assets import _CascadingStyleSheet

if TYPE_CHECKING:
    from sphinx.application import Sphinx

STATIC = "_static/"
# the joined sheets begin with this line, so that a later build joins them again
NAMES = re.compile(r"/\* (\S+(?: \S+)*) \*/\n")
# a script in the page itself reads what this one sets
AT_ONCE = "documentation_options.js"
ASKED = re.compile(r"(page-[0-9a-f]{8}\.css)\?v=\w+")
# the theme's script chooses light or dark, and without a choice there are no colors and no borders; borders that come
# later would move what is seen
CHOICE = """{
  const { dataset } = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  if (!["light", "dark"].includes(dataset.theme)) dataset.theme = dark ? "dark" : "light";
}"""


def short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]


def is_own(name: str) -> bool:
    """Whether a style sheet may be moved into another file; the theme's lead to fonts beside them."""
    return name.startswith(STATIC) and not name.startswith(STATIC + "styles/")


def hasten(
    app: "Sphinx", page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Join the style sheets after the theme's last, and put off the scripts."""
    # in the order in which Sphinx puts them into the page, once the context is complete
    sheets = sorted(context.get("css_files", []), key=lambda sheet: sheet.priority)
    names = [str(sheet.filename) for sheet in sheets]
    first = 1 + max(at for at, name in enumerate(names) if not is_own(name))
    tail = [name.removeprefix(STATIC) for name in names[first:]]
    joined = f"page-{short(' '.join(tail))}.css"
    path = Path(app.outdir) / STATIC / joined
    if not path.exists():  # filled at the end, when all its parts are written
        path.write_text(f"/* {' '.join(tail)} */\n", encoding="utf-8")
    context["css_files"] = [*sheets[:first], _CascadingStyleSheet(STATIC + joined)]
    for script in context.get("script_files", []):
        named = script.filename and not str(script.filename).endswith(AT_ONCE)
        if named and not {"defer", "async", "type"} & set(script.attributes):
            script.attributes["defer"] = "defer"


def fill_sheets(app: "Sphinx", error: Exception | None) -> None:
    """Fill the joined style sheets, and let each page ask for what is in them now, not for what a browser has kept."""
    if error is not None:
        return
    static, versions = Path(app.outdir) / STATIC, {}
    for path in static.glob("page-*.css"):
        first = path.read_text(encoding="utf-8").partition("\n")[0] + "\n"
        found = NAMES.fullmatch(first)
        if found is None:
            raise ValueError(f"{path} does not begin with the names of its parts")
        parts = [(static / name).read_text("utf-8") for name in found[1].split()]
        text = first + "\n".join(parts)
        path.write_text(text, encoding="utf-8")
        versions[path.name] = f"{path.name}?v={short(text)}"
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if (asked := ASKED.search(text)) and asked[0] != versions[asked[1]]:
            page.write_text(text.replace(asked[0], versions[asked[1]]), "utf-8")


def setup(app: "Sphinx") -> dict[str, bool]:
    app.add_js_file(None, body=CHOICE, priority=0)
    app.connect("html-page-context", hasten, priority=900)
    app.connect("build-finished", fill_sheets, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
