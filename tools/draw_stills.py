"""Photograph the widgets of the built site for README and the front page: _static/stills, each in light and dark.

`make book`, then `python tools/draw_stills.py`, with names to draw only some. A test compares the
stills with the site, so that they cannot show an older book.
"""

import argparse
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import build_site
import chrome
import serve
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

FOLDER = build_site.ROOT / "_static" / "stills"
WIDTH, HEIGHT = 720, 450
HEAVIEST = 60_000  # bytes of a still
MOST_PICTURES = 60  # until a widget stands still
THEMED = "theme => document.documentElement.dataset.theme === theme"
THEMES = {"light": "", "dark": "-dark"}
# the column of a page is a little narrower than a still, and nothing moves while it is photographed
VIEW = {"viewport": {"width": 756, "height": 1400}, "reduced_motion": "reduce"}
# what stays in sight of a reader who scrolls
NOTHING_ELSE = ".bd-header, .bd-header-article, .header-article, .skip-link, #pst-skip-link, #pst-back-to-top { display: none !important }"
OPEN_AROUND = """e => {
  for (let at = e; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
}"""

# resolves when the widget and the page have kept their heights for half a second
SETTLED = """widget => new Promise(done => {
  let last = "", same = 0;
  const look = () => {
    const now = [widget.offsetHeight, document.documentElement.scrollHeight].join();
    same = now === last ? same + 1 : 0;
    last = now;
    if (same >= 5) done(); else setTimeout(look, 100);
  };
  look();
})"""


@dataclass(frozen=True)
class Still:
    """What is photographed: a widget of a page, from `top` pixels above its picture downwards."""

    page: str
    top: int = 12


STILLS = {
    "ngram-writer": Still("chapters/01-understanding-large-language-models", top=50),
    "embedding-map": Still("chapters/02-working-with-text-data", top=-40),
    "tokenizer-explorer": Still("chapters/02-working-with-text-data", top=120),
    "sliding-window": Still("chapters/02-working-with-text-data"),
    "attention-explorer": Still("chapters/03-coding-attention-mechanisms", top=40),
    "model-map": Still(
        "chapters/04-implementing-a-gpt-model-from-scratch-to-generate-text",
        top=8,
    ),
    "time-machine": Still("chapters/05-pretraining-on-unlabeled-data"),
    "sampling-lab": Still("chapters/05b-decoding-strategies"),
    "spam-classifier": Still("chapters/06-fine-tuning-for-classification"),
    "ask-mini": Still("chapters/07-fine-tuning-to-follow-instructions"),
    "loss-mask": Still("chapters/07-fine-tuning-to-follow-instructions"),
    "schedule-designer": Still("appendices/d-training-loop"),
    "rank-explorer": Still("appendices/e-lora"),
}


def packed(png: bytes) -> bytes:
    """A picture with 64 colors, as small as PNG makes it."""
    out = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    few = picture.quantize(
        64, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    few.save(out, "PNG", optimize=True)
    return out.getvalue()


def bring(page: "Page", name: str) -> "Locator":
    """A widget of an opened page when it stands, whatever was folded around it."""
    mount = page.locator(f'.bw-mount[data-bw-module="{name}"]').first
    if mount.count() == 0:
        raise LookupError(f"{STILLS[name].page} has no widget {name}")
    mount.evaluate(OPEN_AROUND)
    mount.scroll_into_view_if_needed()
    page.wait_for_function("e => e.dataset.bwReady", arg=mount.element_handle())
    page.evaluate("document.fonts.ready")
    mount.evaluate(SETTLED)
    return mount


def placed(page: "Page", mount: "Locator", top: int) -> dict[str, float]:
    """The part of the window that is the still, after scrolling it into sight."""
    frame = mount.locator(".bw").first.bounding_box()
    picture = mount.locator("[data-bw-picture]").first.bounding_box()
    # no text that follows the widget
    lowest = frame["y"] + frame["height"] - HEIGHT
    y = max(frame["y"], min(picture["y"] - top, lowest))
    before = page.evaluate("scrollY")
    page.evaluate(
        "y => scrollTo(0, y)", before + y - (VIEW["viewport"]["height"] - HEIGHT) / 2
    )
    moved = page.evaluate("scrollY") - before
    left = frame["x"] - (WIDTH - frame["width"]) / 2
    return {"x": left, "y": y - moved, "width": WIDTH, "height": HEIGHT}


def still(page: "Page", mount: "Locator", top: int) -> bytes:
    """A picture of the widget when it has come to rest: three in a row are equal.

    Widgets around it may still arrive and move it. TimeoutError where it keeps moving.
    """
    pictures: list[bytes] = []
    while len(pictures) < 3 or len(set(pictures[-3:])) > 1:
        if len(pictures) == MOST_PICTURES:
            raise TimeoutError(f"{page.url}: a widget keeps moving")
        clip = placed(page, mount, top)
        pictures.append(page.screenshot(clip=clip))
        page.wait_for_timeout(100)
    return pictures[-1]


def photograph(browser: "Browser", url: str, name: str) -> dict[str, bytes]:
    """A widget in each theme as the site at `url` shows it; LookupError where it is not there."""
    context = browser.new_context(color_scheme="light", **VIEW)
    try:
        page = context.new_page()
        page.goto(f"{url}{STILLS[name].page}.html")
        page.add_style_tag(content=NOTHING_ELSE)
        mount = bring(page, name)
        pictures = {}
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            page.wait_for_function(THEMED, arg=theme)
            pictures[theme] = still(page, mount, STILLS[name].top)
        return pictures
    finally:
        context.close()


def draw(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with serve.served(build_site.HTML) as url, chrome.opened() as browser:
        for name in names:
            for theme, picture in photograph(browser, url, name).items():
                path: Path = FOLDER / f"{name}{THEMES[theme]}.png"
                path.write_bytes(packed(picture))
                print(
                    f"{path.relative_to(build_site.ROOT)}: {path.stat().st_size} bytes"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*STILLS, []], help="none: all")
    draw(parser.parse_args().names or list(STILLS))


if __name__ == "__main__":
    main()
