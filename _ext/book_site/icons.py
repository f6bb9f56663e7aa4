"""The icons that the pages use, as a small font of their own in place of the theme's whole one.

Font Awesome Free (https://fontawesome.com/license/free) is under the SIL Open Font License 1.1;
the style sheet says so where the font is used.
"""

import re
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

FONTS = "_static/vendor/fontawesome/webfonts"
SOURCE = "fa-solid-900.ttf"
SHEET = "icons.css"
NAME = re.compile(r"\bfa-([a-z0-9-]+)")
# the theme's scripts make a cross, its style sheets have an arrow and call-outs
OTHERS = {"xmark"}
CONTENT = re.compile(
    r'(?:--pst-icon-[a-z-]+:|content:)\s*"(?:\\(f[0-9a-f]{3})|([\uf000-\uf8ff]))"'
)
FACE = re.compile(r"@font-face\s*{[^}]*Font ?Awesome[^}]*}")
TEXT = """/* Font Awesome Free 6.5.2 by @fontawesome - https://fontawesome.com/license/free
   (font: SIL Open Font License 1.1; copyright 2024 Fonticons, Inc.): the icons that the pages use. */
@font-face {
  font-family: "Font Awesome 6 Free";
  font-style: normal;
  font-weight: 900;
  font-display: block;
  src: url("icons.woff") format("woff");
}
"""


def used(folder: Path) -> set[int]:
    """The code points of the icons that pages, scripts and style sheets name."""
    pages = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.html"))
    sheets = "".join(
        path.read_text(encoding="utf-8")
        for path in (folder / "_static" / "styles").glob("*.css")
    )
    names = set(NAME.findall(pages)) | OTHERS
    codes = {
        int(code, 16)
        for name in names
        for code in re.findall(
            rf"\.fa-{name}:{{1,2}}before[^{{]*{{[^}}]*\\(f[0-9a-f]{{3}})", sheets
        )
    }
    shown = {
        int(found[1], 16) if found[1] else ord(found[2])
        for found in CONTENT.finditer(re.sub(r"\.fa-[^{]*{[^}]*}", "", sheets))
    }
    return codes | shown


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the font, and take away the theme's."""
    if error is not None:
        return
    folder = Path(app.outdir)
    options = subset.Options(flavor="woff", layout_features=[], notdef_outline=True)
    with TTFont(folder / FONTS / SOURCE) as font:
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=used(folder))
        subsetter.subset(font)
        font.flavor = "woff"
        font.save(folder / "_static" / "icons.woff")
    (folder / "_static" / SHEET).write_text(TEXT, encoding="utf-8")
    for path in (folder / "_static" / "styles").glob("*.css"):
        sheet = path.read_text(encoding="utf-8")
        path.write_text(FACE.sub("", sheet), encoding="utf-8")
    for path in (folder / FONTS).iterdir():
        path.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_css_file(SHEET, priority=900)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
