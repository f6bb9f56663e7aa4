"""Every page in a real browser, light and dark, wide and narrow: what it asks for, says, shows and weighs."""

import gzip
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
import build_site
import pytest
from browser import SHIFT, Log
from draw_stills import THEMED
from playwright.sync_api import TimeoutError

pytestmark = pytest.mark.site

PAGES = [f"{page}.html" for page in build_site.pages()]
ALL = [*PAGES, "search.html?q=token", "404.html"]
# what axe is asked about, and of which part of the page
CONTRAST = "color-contrast"
RULES = {
    "contrast": ["[data-sample]", {"runOnly": [CONTRAST]}],
    "all others": ["html", {"rules": {CONTRAST: {"enabled": False}}}],
}
# width and height, and each theme with the rules for it; the first is the one that the page is opened in. Contrast is
# the same at every width, and all other rules give the same in both themes
LOOKS = {
    "wide": ((1280, 720), {"light": ["contrast", "all others"], "dark": ["contrast"]}),
    "narrow": ((390, 844), {"dark": [], "light": ["all others"]}),
}
MOST_FIRST = 600_000  # bytes, gzipped, of a first visit before anything is touched
MOST_CODE = 70_000
MOST_SHIFT = 0.05
PATIENCE = 10_000
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(
    encoding="utf-8"
)

WIDER = """() => {
  const page = document.documentElement;
  if (page.scrollWidth <= innerWidth) return [];
  const wide = [...document.querySelectorAll("article *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1);
  return [`the page is ${page.scrollWidth} px wide, the window ${innerWidth}`, ...wide.slice(0, 5).map(e => e.outerHTML.slice(0, 150))];
}"""
CUT = """() => [...document.querySelectorAll("article div.highlight pre")]
  .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent.slice(0, 80))"""
# text of a figure or plot that is smaller than 12 px, or that lies beyond the edge of the screen
SMALL = """() => [...document.querySelectorAll("figure.bw-figure text, .bw-plot text")]
  .filter(e => {
    const { a, b } = e.getScreenCTM();
    const { left, right } = e.getBoundingClientRect();
    const beyond = !e.closest(".bw-plot-wide") && (left < -1 || right > innerWidth + 1);
    return parseFloat(getComputedStyle(e).fontSize) * Math.hypot(a, b) < 11.95 || beyond;
  })
  .map(e => `${e.closest("figure, .bw-plot").getAttribute("aria-label") ?? ""} ${e.textContent}`)"""
MOUNTS = """() => [...document.querySelectorAll(".bw-mount")]
  .filter(e => e.dataset.bwReady !== "1").map(e => `${e.dataset.bwModule}: ${e.dataset.bwError ?? "not mounted"}`)"""
# the first control of a widget and what it changes, seen together below the bar that stays in the window
APART = """() => [...document.querySelectorAll(".bw-mount")].flatMap(mount => {
  const boxes = ["control", "picture"].map(name => mount.querySelector(`[data-bw-${name}]`)?.getBoundingClientRect());
  const name = mount.dataset.bwModule;
  if (boxes.some(box => !box?.width || !box.height)) return [`${name}: no control or no picture is seen`];
  const high = Math.max(...boxes.map(box => box.bottom)) - Math.min(...boxes.map(box => box.top));
  const room = innerHeight - document.querySelector(".bd-header-article").offsetHeight;
  return high <= room ? [] : [`${name}: ${Math.round(high)} px, the window has ${room}`];
})"""
UNFOLD = """() => [...document.querySelectorAll("article details")]
  .filter(e => !e.closest(".bw")).forEach(e => { e.open = true; })"""
SETTLED = "mount => mount.dataset.bwReady || mount.dataset.bwError"
MATH = """() => [...document.querySelectorAll(".math")]
  .filter(e => !e.querySelector("mjx-container") || e.querySelector("mjx-merror")).map(e => e.textContent)"""
# code has the same few colors in every block: five keep them, and axe is spared half of the page's elements
PLAIN = """() => [...document.querySelectorAll(".highlight pre")].slice(5)
  .forEach(e => { e.textContent = e.textContent; })"""
# thousands of elements have text, but only some dozens differ in what contrast depends on: two of each stand for all
SAMPLE = """() => {
  const behind = new Map([[null, ""]]), seen = new Map();
  const background = e => {
    if (!behind.has(e)) {
      const { backgroundColor, backgroundImage, opacity, filter } = getComputedStyle(e);
      behind.set(e, background(e.parentElement) + [backgroundColor, backgroundImage, opacity, filter, ""].join());
    }
    return behind.get(e);
  };
  document.querySelectorAll("[data-sample]").forEach(e => { delete e.dataset.sample; });
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = new Set();
  while (nodes.nextNode()) if (nodes.currentNode.data.trim()) texts.add(nodes.currentNode.parentElement);
  for (const e of texts) {
    if (!e.checkVisibility()) continue;
    const { color, fontSize, fontWeight, textShadow } = getComputedStyle(e);
    const look = [color, fontSize, fontWeight, textShadow, background(e)].join();
    seen.set(look, (seen.get(look) ?? 0) + 1);
    if (seen.get(look) <= 2) e.dataset.sample = "";
  }
}"""
VIOLATIONS = """async ([part, rules]) => (await axe.run(
  { include: [[part]] }, { resultTypes: ["violations"], preload: false, ...rules })).violations
  .flatMap(v => v.nodes.map(n => `${v.id}: ${n.target} ${n.html.slice(0, 200)}`))"""
# "none" gives 0s; a very short duration would still make each of thousands of elements a transition to compute
MOVING = """() => [...document.querySelectorAll("*")]
  .filter(e => {
    const { transitionDuration, animationName } = getComputedStyle(e);
    return /[1-9]/.test(transitionDuration) || animationName !== "none";
  })
  .slice(0, 5).map(e => e.outerHTML.slice(0, 150))"""
# formulas, their fonts, and the widgets near the first screen are of the first visit, too
SETTLE = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  const near = [...document.querySelectorAll(".bw-mount")]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().top < innerHeight + 600);
  const wait = ms => new Promise(resolve => setTimeout(resolve, ms));
  for (let i = 0; i < 200 && near.some(e => !e.dataset.bwReady && !e.dataset.bwError); i += 1) await wait(50);
  if (near.length) await wait(100);
}"""


@dataclass
class Visit:
    """What one opening of a page showed, first in one theme and then in the other."""

    page: str
    wanted: list[str]
    log: Log
    themes: list[str] = field(default_factory=list)
    wider: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    small: list[str] = field(default_factory=list)
    unmounted: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    unrendered: list[str] = field(default_factory=list)
    moving: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    shift: float = 0


def scroll_through(page: object) -> None:
    """Open every folded cell and hint, bring every widget into view and wait until it stands or has failed."""
    page.evaluate(UNFOLD)  # not what a widget that stands already keeps folded
    for mount in page.query_selector_all(".bw-mount"):
        mount.scroll_into_view_if_needed()
        with suppress(TimeoutError):
            page.wait_for_function(SETTLED, arg=mount, timeout=PATIENCE)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")


def look_at(page: object, seen: Visit, rules: list[str]) -> None:
    """Note what may differ from theme to theme."""
    seen.themes.append(page.evaluate("document.documentElement.dataset.theme"))
    seen.unmounted += page.evaluate(MOUNTS)
    seen.moving += page.evaluate(MOVING)
    if "contrast" in rules:
        page.evaluate(SAMPLE)
    for name in rules:
        seen.violations += page.evaluate(VIOLATIONS, RULES[name])


def visit_page(page: object, name: str, themes: dict[str, list[str]]) -> Visit:
    page.goto(name)
    page.evaluate(SETTLE)
    seen = Visit(name, list(themes), page.log)
    seen.first, seen.shift = list(page.log.requests), page.evaluate(SHIFT)
    scroll_through(page)
    seen.apart = page.evaluate(APART)
    page.evaluate(
        "document.querySelectorAll('.bw details').forEach(e => e.open = true)"
    )
    seen.wider = page.evaluate(WIDER)
    seen.unrendered = page.evaluate(MATH)
    if page.viewport_size["width"] >= 1280:
        seen.cut = page.evaluate(CUT)
    seen.small = page.evaluate(SMALL)
    page.evaluate(PLAIN)
    page.evaluate(AXE)
    for theme, rules in themes.items():
        page.emulate_media(color_scheme=theme)
        page.wait_for_function(THEMED, arg=theme, timeout=PATIENCE)
        look_at(page, seen, rules)
    return seen


@pytest.fixture(
    scope="module",
    params=[(page, look) for page in ALL for look in LOOKS],
    ids=lambda p: f"{p[0]}-{p[1]}",
)
def visit(
    request: pytest.FixtureRequest, open_context: Callable[..., object]
) -> Iterator[Visit]:
    name, look = request.param
    (width, height), themes = LOOKS[look]
    with open_context(
        viewport={"width": width, "height": height},
        color_scheme=next(iter(themes)),
        reduced_motion="reduce",
    ) as page:
        yield visit_page(page, name, themes)


def test_asks_no_other_host(visit: Visit) -> None:
    assert visit.log.requests
    assert visit.log.outside == []


def test_misses_nothing(visit: Visit) -> None:
    assert visit.log.missing == []


def test_the_console_is_silent(visit: Visit) -> None:
    assert visit.log.console == []


def test_follows_the_reader_s_theme(visit: Visit) -> None:
    assert visit.themes == visit.wanted


def test_widgets_stand(visit: Visit) -> None:
    assert visit.unmounted == []


def test_a_control_and_what_it_changes_are_on_one_screen(visit: Visit) -> None:
    assert visit.apart == []


def test_nothing_scrolls_sideways(visit: Visit) -> None:
    assert visit.wider == []


def test_no_code_is_cut_off_on_a_laptop(visit: Visit) -> None:
    assert visit.cut == []


def test_text_in_figures_can_be_read(visit: Visit) -> None:
    assert visit.small == []


def test_nothing_moves_for_a_reader_who_asks_for_reduced_motion(visit: Visit) -> None:
    assert visit.moving == []


def test_formulas_are_set(visit: Visit) -> None:
    assert visit.unrendered == []


def test_axe_finds_nothing(visit: Visit) -> None:
    assert visit.violations == []


def weights(site: Path, urls: list[str]) -> dict[str, int]:
    """Bytes of the site's files, gzipped as a server sends them; fonts and pictures are packed already."""
    base = urlsplit(build_site.base_url()).path or "/"
    names = {urlsplit(url).path.removeprefix(base) for url in urls}
    files = [site / name for name in sorted(names) if (site / name).is_file()]
    packed = (".woff", ".woff2", ".png")
    return {
        str(path.relative_to(site)): len(content)
        if path.suffix in packed
        else len(gzip.compress(content))
        for path in files
        for content in [path.read_bytes()]
    }


def test_a_first_visit_weighs_little(visit: Visit, site: Path) -> None:
    sizes = weights(site, visit.first)
    assert len(sizes) > 20
    assert sum(sizes.values()) <= MOST_FIRST, sizes


def test_nothing_jumps_when_the_page_opens(visit: Visit) -> None:
    assert visit.shift < MOST_SHIFT


def test_the_widgets_code_weighs_little(visit: Visit, site: Path) -> None:
    sizes = weights(site, visit.log.requests)
    code = {
        name: size
        for name, size in sizes.items()
        if name.startswith("_static/widgets/") and name.endswith((".js", ".css"))
    }
    assert sum(code.values()) <= MOST_CODE, code


@pytest.mark.parametrize("name", PAGES)
def test_without_scripts_the_fallback_is_read(
    new_page: Callable[..., object], name: str
) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(name)
    mounts, fallbacks = (
        page.locator(".bw-mount"),
        page.locator(".bw-mount .bw-fallback"),
    )
    assert page.locator("article h1").is_visible()
    for kind in ("details.deeper > summary", "article details.hide > summary"):
        for part in page.locator(f"{kind}:visible").all()[:1]:
            part.click()  # it opens by itself, without scripts, and so does each other
            assert part.locator("..").get_attribute("open") is not None
    page.evaluate(UNFOLD)
    assert fallbacks.count() == mounts.count()
    for fallback in fallbacks.all():
        assert fallback.is_visible()
        assert len(fallback.inner_text().split()) >= 3
    assert page.log.outside == page.log.missing == []
