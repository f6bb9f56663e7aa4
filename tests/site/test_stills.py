"""The stills of README and the front page show the widgets as the site has them."""

import io
from pathlib import Path

import numpy as np
import pytest
from draw_stills import (
    FOLDER,
    HEAVIEST,
    HEIGHT,
    STILLS,
    THEMES,
    WIDTH,
    packed,
    photograph,
)
from PIL import Image
from playwright.sync_api import Browser

pytestmark = pytest.mark.site

# mean difference of brightness, of 255, over fields of 40 pixels: fonts of another machine stay below it
CLOSE = 5
FIELDS = (WIDTH // 40, HEIGHT // 40)


def fields(picture: Image.Image) -> np.ndarray:
    gray = picture.convert("RGB").convert("L").resize(FIELDS, Image.Resampling.BOX)
    return np.asarray(gray, dtype=float)


def apart(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(fields(one) - fields(other)).mean())


def stored(name: str, theme: str) -> Path:
    return FOLDER / f"{name}{THEMES[theme]}.png"


@pytest.mark.parametrize("name", STILLS)
def test_a_still_is_what_the_site_shows(
    browser: Browser, site_url: str, name: str
) -> None:
    pictures = photograph(browser, site_url, name)
    assert set(pictures) == set(THEMES)
    for theme, picture in pictures.items():
        now = Image.open(io.BytesIO(picture))
        assert now.size == (WIDTH, HEIGHT)
        assert apart(now, Image.open(stored(name, theme))) < CLOSE, (
            f"the widget looks different ({theme}); run: python tools/draw_stills.py"
        )


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", STILLS)
def test_a_still_is_small_and_no_empty_frame(name: str, theme: str) -> None:
    path = stored(name, theme)
    assert path.stat().st_size <= HEAVIEST
    picture = Image.open(path)
    assert picture.size == (WIDTH, HEIGHT)
    # brightness varies over the picture
    assert fields(picture).std() > 4


def test_another_widget_is_told_apart() -> None:
    pictures = [Image.open(stored(name, "light")) for name in STILLS]
    pairs = [(a, b) for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(apart(a, b) for a, b in pairs) > CLOSE
    assert all(
        apart(a, Image.open(stored(n, "dark"))) > CLOSE
        for a, n in zip(pictures, STILLS, strict=True)
    )


def test_a_widget_that_is_not_there_is_named(browser: Browser, site_url: str) -> None:
    from draw_stills import Still

    STILLS["no-such-widget"] = Still("course/glossary")
    try:
        with pytest.raises(
            LookupError, match="course/glossary has no widget no-such-widget"
        ):
            photograph(browser, site_url, "no-such-widget")
    finally:
        del STILLS["no-such-widget"]


def test_packing_keeps_the_picture() -> None:
    picture = Image.linear_gradient("L").resize((WIDTH, HEIGHT)).convert("RGB")
    out = io.BytesIO()
    picture.save(out, "PNG")
    assert apart(picture, Image.open(io.BytesIO(packed(out.getvalue())))) < 4
