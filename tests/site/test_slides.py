"""The slides: what a page has to show is shown, nothing runs over the edge, and the widgets work."""

import re
from collections.abc import Iterator
from pathlib import Path

import build_site
import build_slides
import nbformat
import pytest
from browser import Log
from build_slides import CHARACTERS, Slide, blocks, cut, deck, slides_of, tags, unlinked
from nbformat import NotebookNode, v4
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.site

PAGE = "chapters/05b-decoding-strategies"
SMALLEST = 0.6
OWN = {"Exercise", "Exercises"}  # titles that are not on the page

SLIDES = """() => Reveal.getSlides().map(slide => Reveal.getIndices(slide)).map(({ h, v }) => [h, v ?? 0])"""
SETTLED = """async () => {
  const slide = Reveal.getCurrentSlide(), mount = slide.querySelector(".bw-mount");
  const wait = ms => new Promise(resolve => setTimeout(resolve, ms));
  for (let i = 0; i < 600 && mount && !mount.dataset.bwReady; i += 1) await wait(50);
  for (let last = -1, same = 0; same < 4; await wait(30)) {
    const now = slide.querySelector(".fit").getBoundingClientRect().height;
    same = now === last ? same + 1 : 0;
    last = now;
  }
}"""
# texts and pictures beyond the edge; what scrolls shows its own edge
BEYOND = """() => {
  const slide = Reveal.getCurrentSlide(), inside = slide.querySelector(".fit");
  const out = ({ right, bottom, width, height }) => width && height && (right > 1281 || bottom > 721);
  if (inside.classList.contains("scrolls"))
    return out(inside.getBoundingClientRect()) || !inside.querySelector(".bw-mount") ? ["scrolls"] : [];
  const found = [...inside.querySelectorAll("svg, table, .bw-mount, mjx-container")].filter(e => out(e.getBoundingClientRect())).map(e => e.outerHTML.slice(0, 80));
  const texts = document.createTreeWalker(inside, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(node);
    if (!node.parentElement.checkVisibility() || node.parentElement.closest("mjx-assistive-mml, .bw-fallback, .bw-sr, script, style")) continue;
    if ([...range.getClientRects()].some(out)) found.push(node.textContent.trim().slice(0, 80));
  }
  return found;
}"""
ZOOM = "() => Number(Reveal.getCurrentSlide().querySelector('.fit').dataset.zoom)"


def notebook_of(page: str) -> NotebookNode:
    return nbformat.read(build_site.ROOT / f"{page}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slides")


@pytest.fixture(scope="module")
def decks(folder: Path) -> list[Path]:
    return build_slides.build(folder, [PAGE])


def start(page: Page, url: str) -> list[list[int]]:
    """Open a deck; returns where its slides are."""
    page.goto(url)
    page.wait_for_function("window.Reveal?.isReady()")
    page.evaluate("MathJax.startup.promise")
    return page.evaluate(SLIDES)


@pytest.fixture
def shown(browser: Browser, address: str, decks: list[Path]) -> Iterator[Page]:
    """The deck, opened; at the end nothing may have failed, spoken or asked another host."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.log = Log(address.rstrip("/"))
    page.log.watch(page)
    start(page, address + decks[0].name)
    yield page
    context.close()
    assert page.log.outside == []
    assert page.log.missing == []
    assert page.log.console == []


def faults(page: Page, places: list[list[int]]) -> list[str]:
    """What is not as it should be on the slides of an opened deck, all fragments shown."""
    found = []
    for h, v in places:
        page.evaluate("([h, v]) => Reveal.slide(h, v, 99)", [h, v])
        page.evaluate(SETTLED)
        zoom = page.evaluate(ZOOM)
        found += [f"{h}/{v}: {what}" for what in page.evaluate(BEYOND)]
        found += [] if zoom >= SMALLEST else [f"{h}/{v}: drawn at {zoom}"]
    if len(page.evaluate(SLIDES)) != len(places):
        found.append("a widget has added slides")
    return found


def go_to(page: Page, selector: str) -> None:
    """Show the first slide that has something."""
    place = page.evaluate(
        "s => Reveal.getIndices(document.querySelector(s).closest('section'))", selector
    )
    page.evaluate("({ h, v }) => Reveal.slide(h, v)", place)


def sources(slides: list[Slide]) -> str:
    cells = [cell for slide in slides for cell in slide.cells]
    return "\n".join(cell.source for cell in cells)


# what is shown


def drawn(cells: list[NotebookNode]) -> dict[str, int]:
    """How many figures, widgets and plots some cells have."""
    data = [out.get("data", {}) for cell in cells for out in cell.get("outputs", [])]
    pages = "".join(one.get("text/html", "") for one in data)
    plots = sum("image/svg+xml" in one for one in data)
    counts = {
        sign: len(re.findall(f'class="bw-{sign}', pages))
        for sign in ("figure", "mount", "plot")
    }
    return counts | {"plot": plots + counts["plot"]}


@pytest.mark.parametrize("page", build_slides.names())
def test_all_that_the_main_line_shows_is_on_the_slides(page: str) -> None:
    notebook = notebook_of(page)
    slides = slides_of(notebook)
    main = [cell for cell in notebook.cells if "deeper" not in tags(cell)]
    text = "\n".join(cell.source for cell in main if cell.cell_type == "markdown")
    shown = [cell for slide in slides for cell in slide.cells]
    for sign in ("figure", "mount", "plot"):
        assert drawn(shown)[sign] >= drawn(main)[sign], sign
    titles = [slide.title for slide in slides]
    assert [
        t
        for t in re.findall(r"^## ((?:\d+|[A-Z])\.\d+ .+)$", text, re.M)
        if t not in titles
    ] == []
    asked = re.findall(r"^> \*\*Predict\.\*\*", text, re.M)
    assert sources(slides).count("> **Predict.**") == len(asked)


@pytest.mark.parametrize("page", build_slides.names())
def test_no_text_is_new(page: str) -> None:
    notebook = notebook_of(page)
    source = unlinked("\n".join(cell.source for cell in notebook.cells))
    words = re.sub(r"\s+", " ", source.replace("\n> ", " "))
    for slide in slides_of(notebook):
        assert slide.title in words or slide.title in OWN
        for cell in slide.cells:
            for line in (
                cell.source.splitlines() if cell.cell_type == "markdown" else []
            ):
                plain = re.sub(
                    r"\s+", " ", line.removeprefix("- ").removeprefix("> ")
                ).strip()
                number, _, name = plain.partition(" ")
                assert plain in words or f"Exercise {number}: {name}" in words, line


def test_prose_that_is_not_shown_is_in_the_notes() -> None:
    notebook = notebook_of(PAGE)
    slides = slides_of(notebook)
    notes = "\n".join(text for slide in slides for text in slide.notes)
    first = next(
        n for n, c in enumerate(notebook.cells) if c.source.startswith("## 5.3 ")
    )
    last = next(
        n for n, c in enumerate(notebook.cells) if c.source.startswith("## Summary")
    )
    prose = [
        unlinked(text)
        for cell in notebook.cells[first:last]
        if cell.cell_type == "markdown"
        and "deeper" not in tags(cell)
        and not any(tag.startswith("hints:") for tag in tags(cell))
        for kind, text in blocks(cell.source)
        if kind in ("prose", "list")
    ]
    assert len(prose) > 20
    assert [text for text in prose if text not in notes] == []


def page_of(*cells: NotebookNode) -> NotebookNode:
    head = [
        v4.new_markdown_cell("# 1 A page"),
        v4.new_markdown_cell("## 1.1 A section"),
    ]
    return v4.new_notebook(cells=[*head, *cells])


def code(
    source: str, output: str = "", *tags: str, slide_type: str = ""
) -> NotebookNode:
    metadata = {"tags": list(tags)} | (
        {"slideshow": {"slide_type": slide_type}} if slide_type else {}
    )
    outputs = [v4.new_output("stream", text=output)] if output else []
    return v4.new_code_cell(source, outputs=outputs, metadata=metadata)


def test_preparations_deeper_parts_and_checks_are_left_out() -> None:
    left_out = [
        code("x = 1"),
        code("print(1)", "1\n", "deeper"),
        code("print(2)", "2\n", "page-check"),
        code("check('1.1', None)", "not yet\n", "exercise:1.1"),
    ]
    assert [slide.title for slide in slides_of(page_of(*left_out))] == [
        "1 A page",
        "1.1 A section",
    ]
    kept = slides_of(page_of(code("print(3)", "3\n"), code("def f(): ...")))
    assert [slide.cells[0].source for slide in kept[2:]] == ["print(3)", "def f(): ..."]


def test_a_cell_s_slide_type_overrules() -> None:
    cells = [
        code("x = 1", slide_type="slide"),
        code("print(1)", "1\n", "deeper", slide_type="slide"),
        code("print(2)", "2\n", slide_type="skip"),
    ]
    kept = slides_of(page_of(*cells))[2:]
    assert [slide.cells[0].source for slide in kept] == ["x = 1", "print(1)"]


def test_the_answer_to_a_prediction_comes_by_a_key() -> None:
    question = v4.new_markdown_cell("Look.\n\n> **Predict.** What?")
    slide = slides_of(page_of(question, code("print(3)", "3\n", "hide-output")))[-1]
    kinds = [
        cell.metadata.get("slideshow", {}).get("slide_type") for cell in slide.cells
    ]
    assert kinds == [None, None, "fragment"]
    assert slide.notes == ["Look."]


def test_a_warning_stays_in_its_section() -> None:
    warning = v4.new_markdown_cell("> **Pitfall.** Mind.\n\n### 1.1.2 Next")
    titles = [s.title for s in slides_of(page_of(warning, code("print(3)", "3\n")))]
    assert titles == ["1 A page", "1.1 A section", "1.1 A section", "1.1.2 Next"]


def test_long_texts_are_cut_between_points_and_sentences() -> None:
    listed = "\n".join(f"- point {n} " + "word " * 30 for n in range(9))
    parts = cut(listed)
    assert len(parts) > 1 and "\n".join(parts) == listed
    assert all(part.startswith("- ") and len(part) < 1.4 * CHARACTERS for part in parts)
    text = " ".join(f"Sentence {n} has a few words." for n in range(60))
    assert " ".join(cut(text)) == text


def test_links_within_the_book_are_words() -> None:
    text = "See [chapter 2](02-a.ipynb#x), [a paper](https://arxiv.org/abs/1) and ![x](y.png)."
    assert (
        unlinked(text)
        == "See chapter 2, [a paper](https://arxiv.org/abs/1) and ![x](y.png)."
    )


def test_a_page_without_slides_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="course/glossary: no page with slides"):
        build_slides.build(tmp_path, ["course/glossary"])


# in the browser


def test_nothing_runs_over_the_edge(shown: Page) -> None:
    places = shown.evaluate(SLIDES)
    assert len(places) == len(deck_titles(PAGE))
    assert faults(shown, places) == []


def deck_titles(page: str) -> list[str]:
    cells = deck(notebook_of(page)).cells
    kinds = [cell.metadata.get("slideshow", {}).get("slide_type") for cell in cells]
    return [
        c.source
        for c, kind in zip(cells, kinds, strict=True)
        if kind in ("slide", "subslide")
    ]


def test_what_runs_over_the_edge_is_found(shown: Page) -> None:
    go_to(shown, ".highlight")
    shown.add_style_tag(
        content=".fit pre { font-size: 60px !important; white-space: pre }"
    )
    place = shown.evaluate("[Reveal.getIndices().h, Reveal.getIndices().v]")
    assert any("/" in fault for fault in faults(shown, [place]))


def test_the_keys_turn_the_slides_and_notes_are_there(shown: Page) -> None:
    for _ in range(3):
        shown.keyboard.press("Space")
    assert shown.evaluate("[Reveal.getIndices().h, Reveal.getIndices().v]") == [2, 1]
    assert shown.evaluate("Reveal.getSlideNotes().length") > 100
    assert shown.evaluate("Reveal.hasPlugin('notes')")


def test_a_question_answers_and_keeps_its_keys(shown: Page) -> None:
    go_to(shown, '[data-bw-module="quick-question"]')
    question = shown.locator(
        'section.present section.present [data-bw-module="quick-question"]'
    )
    expect(question).to_have_attribute("data-bw-ready", "1")
    before = shown.evaluate("Reveal.getIndices()")
    question.get_by_role("radio").first.focus()
    shown.keyboard.press("ArrowDown")
    assert shown.evaluate("Reveal.getIndices()") == before
    expect(question.get_by_role("status")).to_contain_text(
        re.compile("Right|Not this one")
    )
    question.get_by_role("button").last.focus()
    shown.keyboard.press("ArrowLeft")
    assert shown.evaluate("Reveal.getIndices()") == before
    shown.keyboard.press("Escape")
    shown.keyboard.press("Space")
    assert shown.evaluate("Reveal.getIndices()") != before


def test_a_widget_computes_with_the_model(shown: Page) -> None:
    go_to(shown, '[data-bw-module="sampling-lab"]')
    lab = shown.locator('[data-bw-module="sampling-lab"]')
    expect(lab).to_have_attribute("data-bw-ready", "1")
    lab.get_by_role("button", name=re.compile("Load the model")).first.click()
    expect(lab.get_by_role("button", name=re.compile("Load the model"))).to_have_count(
        0
    )


@pytest.mark.weekly
def test_no_deck_runs_over_the_edge(browser: Browser, tmp_path: Path) -> None:
    import serve

    written = build_slides.build(tmp_path / "all")
    with serve.served(tmp_path / "all") as url:
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        page = context.new_page()
        found = {
            path.name: faults(page, start(page, url + path.name)) for path in written
        }
        context.close()
    assert {name: what for name, what in found.items() if what} == {}
