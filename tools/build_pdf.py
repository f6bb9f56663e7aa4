"""Print the built site as PDF: one file a page of the book, and the whole book, in _build/pdf.

`make pdf` builds the site first and puts the files where it serves them: then the pages' download menus lead to
them. A page is printed by Chromium as a browser prints it (_static/print.css), once to learn on which pages its
sections begin and once more with these numbers in its contents. What leads to another page of the book becomes a
link within the whole book.
"""

import argparse
import html
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin

import build_site
import chrome
import serve
from book_site.reading_time import SECTION
from pypdf import PageObject, PdfReader, PdfWriter
from pypdf.constants import PageLabelStyle
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    NullObject,
    TextStringObject,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PDF = build_site.ROOT / "_build" / "pdf"
BOOK = "book.pdf"
SERVED = Path("_downloads") / "pdf"  # in the site
PAPERS = {"A4": (794, 1123), "Letter": (816, 1056)}  # CSS pixels
MARGINS = (68, 68)  # left and right, as in print.css
LINK = re.compile(r'href="([^"#:]*\.html)?#([^"]+)"')
PRINT = {"prefer_css_page_size": True, "print_background": True}
# the menu's button that prints; with a file of its own a page needs no printing
BUTTON = re.compile(
    r'<button onclick="window\.print\(\)"\s+class="([^"]*btn-download-pdf-button[^"]*)"\s+title="Print to PDF"(.*?)</button>',
    re.DOTALL,
)

READY = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map(image => image.decode().catch(() => {})));
}"""
# each needs a link to it, or Chromium does not note where it is
TARGETS = """ids => {
  const nav = document.createElement("nav");
  nav.setAttribute("style", "position: absolute; height: 0; overflow: hidden");
  for (const id of ids) {
    const link = document.createElement("a");
    link.setAttribute("href", "#" + id);
    link.textContent = "·";
    nav.append(link);
  }
  document.querySelector("article").append(nav);
}"""
HEADINGS = """() => [...document.querySelectorAll("article section > :is(h2, h3)")].map(heading => {
  const shown = heading.cloneNode(true);
  for (const extra of shown.querySelectorAll(".headerlink, .section-minutes, mjx-assistive-mml")) extra.remove();
  return [Number(heading.tagName[1]), shown.textContent.trim(), heading.parentElement.id];
})"""
TITLE = """() => {
  const shown = document.querySelector("article h1").cloneNode(true);
  shown.querySelector(".headerlink")?.remove();
  return shown.textContent.trim();
}"""
NUMBER = """pages => {
  for (const link of document.querySelectorAll("#jb-print-toc .section-nav > li > a")) {
    const shown = document.createElement("span");
    shown.className = "print-page";
    shown.textContent = pages[decodeURIComponent(link.hash.slice(1))] ?? "";
    link.querySelector(".print-page")?.remove();
    link.append(shown);
  }
}"""
# alone, a page leads to the published site for the others; where there is none, their links are text
ALONE = """({ title, site, base }) => {
  document.title = title;
  for (const link of document.querySelectorAll("article a[href]")) {
    const [page] = link.href.split("#");
    if (!page.startsWith(site) || page === location.href.split("#")[0]) continue;
    if (base) link.href = base + link.href.slice(site.length);
    else link.removeAttribute("href");
  }
}"""
# what stands beyond the right edge would be cut off, or make Chromium shrink the whole page
TOO_WIDE = """() => {
  const edge = document.querySelector("article").getBoundingClientRect().right + 1;
  const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const seen = node.parentElement.checkVisibility() && !node.parentElement.closest("nav, mjx-assistive-mml, .visually-hidden");
    if (seen && node.textContent.trim() && [...range.getClientRects()].some(box => box.right > edge)) found.push(node.textContent.trim());
  }
  return found;
}"""


@dataclass
class Heading:
    """A section of a printed page: where it begins, counted through the book."""

    level: int
    title: str
    id: str
    page: int = 0


@dataclass
class Printed:
    """A page of the book as a PDF, and on which pages of the book it stands."""

    name: str
    title: str
    path: Path
    first: int
    count: int = 0
    headings: list[Heading] = field(default_factory=list)
    too_wide: list[str] = field(default_factory=list)

    @property
    def contents(self) -> list[Heading]:
        """What the book's contents name of it."""
        return [
            one for one in self.headings if one.level == 2 and SECTION.match(one.title)
        ]


def file_name(page: str) -> str:
    return f"{Path(page).name}.pdf"


def targets(folder: Path, names: list[str]) -> dict[str, set[str]]:
    """The ids of each page that pages of the book link to."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for name in names:
        text = (folder / f"{name}.html").read_text(encoding="utf-8")
        for path, anchor in LINK.findall(text):
            page = urljoin(f"{name}.html", path).removesuffix(".html")
            if page in found:
                found[page].add(html.unescape(unquote(anchor)))
    return found


def edition(title: str, first: int, paper: str, lang: str = "en") -> str:
    """What the print edition adds to print.css: the paper, the running title and the page numbers."""
    running = title.replace("\\", "").replace('"', "'")
    font = 'font: 9px/1 "DejaVu Sans", Arial, Helvetica, sans-serif; color: #535e6c;'
    return f"""
@page {{
  size: {paper};
  @top-left {{ content: "{running}"; {font} }}
  @bottom-right {{ content: counter(page); {font} }}
}}
@page :first {{ @top-left {{ content: none; }} }}
@media print {{ html {{ counter-reset: page {first - 1}; }} }}
"""


def print_page(
    browser: "Browser",
    url: str,
    printed: Printed,
    ids: set[str],
    part: Path,
    paper: str,
) -> None:
    """Print a page of the site served at `url`: as a part of the book, then as a file of its own.

    The first print tells the page numbers that the others have in their contents.
    """
    context = browser.new_context(
        color_scheme="light",
        reduced_motion="reduce",
        viewport={"width": PAPERS[paper][0] - sum(MARGINS), "height": 1000},
    )
    page = context.new_page()
    page.goto(f"{url}{printed.name}.html")
    page.evaluate(READY)
    printed.title = page.evaluate(TITLE)
    printed.headings = [Heading(*found) for found in page.evaluate(HEADINGS)]
    page.evaluate(TARGETS, sorted(ids | {one.id for one in printed.headings}))
    page.add_style_tag(content=edition(printed.title, printed.first, paper))
    number(page, printed, part)
    printed.too_wide = beyond(page)
    book, base = build_site.settings()["title"], build_site.base_url()
    title = book if printed.title == book else f"{printed.title} – {book}"
    page.evaluate(ALONE, {"title": title, "site": url, "base": base})
    page.pdf(path=printed.path, tagged=True, outline=True, **PRINT)
    context.close()


def number(page: "Page", printed: Printed, part: Path) -> None:
    """Print an opened page twice, the second time with page numbers in its contents."""
    pages: dict[str, int] = {}
    for _ in range(2):
        page.evaluate(NUMBER, pages)
        page.pdf(path=part, **PRINT)
        reader = PdfReader(part)
        pages = {name: printed.first + at for name, (at, _) in places(reader).items()}
    printed.count = len(reader.pages)
    for heading in printed.headings:
        heading.page = pages[heading.id]


def beyond(page: "Page") -> list[str]:
    """Texts of an opened page that do not fit between the margins of the paper."""
    page.emulate_media(media="print", color_scheme="light")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    found = page.evaluate(TOO_WIDE)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    return found


def places(reader: PdfReader) -> dict[str, tuple[int, float]]:
    """Where the ids of a printed page are: the number of the PDF's page, from 0, and the height on it."""
    return {
        name.removeprefix("/"): (
            reader.get_destination_page_number(place),
            float(place.top),
        )
        for name, place in reader.named_destinations.items()
    }


def links(page: PageObject) -> Iterator[DictionaryObject]:
    """The links of a PDF's page."""
    for note in page.get("/Annots", ArrayObject()):
        if note.get_object().get("/Subtype") == "/Link":
            yield note.get_object()


def address(link: DictionaryObject) -> str:
    """Where a link leads outside its PDF; "" within it."""
    return str(link.get("/A", DictionaryObject()).get("/URI", ""))


def lead(link: DictionaryObject, uri: str) -> None:
    """Let a link lead to an address, wherever it led."""
    link.pop("/Dest", None)
    link[NameObject("/A")] = DictionaryObject(
        {
            NameObject("/S"): NameObject("/URI"),
            NameObject("/URI"): TextStringObject(uri),
        }
    )


def lead_within(link: DictionaryObject, page: PageObject, top: float) -> None:
    """Let a link lead to a height on a page of its PDF."""
    link.pop("/A", None)
    place = [page.indirect_reference, NameObject("/XYZ"), NullObject()]
    link[NameObject("/Dest")] = ArrayObject([*place, FloatObject(top), NullObject()])


def take_away(page: PageObject, unwanted: list[DictionaryObject]) -> None:
    notes = page.get("/Annots", ArrayObject())
    kept = [note for note in notes if note.get_object() not in unwanted]
    page[NameObject("/Annots")] = ArrayObject(kept)


def describe(writer: PdfWriter, title: str) -> None:
    """What a PDF says of itself: title, authors, language."""
    writer.add_metadata({"/Title": title, "/Author": build_site.settings()["author"]})
    writer.root_object[NameObject("/Lang")] = TextStringObject("en")
    shown = DictionaryObject({NameObject("/DisplayDocTitle"): BooleanObject(True)})
    writer.root_object[NameObject("/ViewerPreferences")] = shown


@dataclass
class Place:
    """Where an id of the book is in its PDF."""

    page: int
    top: float


def gather(writer: PdfWriter, part: Path, name: str, url: str) -> dict[str, Place]:
    """Append a printed page to the book, all its links as addresses of the site; returns where its ids are."""
    reader, start = PdfReader(part), len(writer.pages)
    for page in reader.pages:
        for link in links(page):
            if "/Dest" in link:
                lead(link, f"{url}{name}.html#{str(link['/Dest']).removeprefix('/')}")
        writer.add_page(page)
    found = {
        anchor: Place(start + at, height)
        for anchor, (at, height) in places(reader).items()
    }
    return {"": Place(start, float(writer.pages[start].mediabox.top)), **found}


def connect(writer: PdfWriter, url: str, where: dict[str, dict[str, Place]]) -> None:
    """Lead each link to a page of the book to its place in the PDF; what leads to a file of the site is text."""
    for page in writer.pages:
        unwanted = []
        for link in links(page):
            uri = address(link)
            if not uri.startswith(url):
                continue
            path, _, anchor = uri.removeprefix(url).partition("#")
            known = where.get(path.removesuffix(".html"), {})
            place = known.get(unquote(anchor)) or known.get("")
            if place:
                lead_within(link, writer.pages[place.page], place.top)
            else:
                unwanted.append(link)
        take_away(page, unwanted)


def bookmarks(
    writer: PdfWriter, printed: list[Printed], where: dict[str, dict[str, Place]]
) -> None:
    """A bookmark for each page of the book, with its sections below it."""
    for one in printed:
        known = where[one.name]
        above = [
            writer.add_outline_item(
                title=one.title, page_number=known[""].page, is_open=False
            )
        ]
        for heading in one.headings:
            above = above[: heading.level - 1]
            page = known[heading.id].page
            above.append(
                writer.add_outline_item(
                    title=heading.title,
                    page_number=page,
                    parent=above[-1],
                    is_open=False,
                )
            )


FRONT = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
@page {{ size: {paper}; margin: 18mm 18mm 20mm; @bottom-right {{ content: counter(page, lower-roman); font: 9px sans-serif; color: #535e6c }} }}
@page :first {{ @bottom-right {{ content: none }} }}
body {{ margin: 0; font: 13px/1.45 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", Arial, sans-serif; color: #1d232b }}
.cover {{ break-after: page; padding-top: 70mm }}
.cover h1 {{ font-size: 40px; line-height: 1.2; margin: 0 0 24px }}
.cover p {{ margin: 0 0 8px; color: #535e6c; max-width: 34em }}
h2 {{ margin: 0 0 12px; font-size: 24px }}
ul {{ list-style: none; margin: 0; padding: 0 }}
ul ul {{ margin: 0 0 8px; padding-left: 24px; font-size: 12px }}
li {{ break-inside: avoid }}
li > ul {{ break-before: avoid }}
.line {{ display: flex; gap: 12px; align-items: baseline; color: inherit; text-decoration: none }}
.line::before {{ order: 1; content: ""; flex: 1; border-bottom: 1px dotted #8a94a3 }}
.line span:last-child {{ order: 2 }}
.page > .line {{ font-weight: 600; margin-top: 5px }}
</style></head><body>
<div class="cover"><h1>{title}</h1><p>{author}</p><p>{about}</p></div>
<h2>Contents</h2><ul>{contents}</ul></body></html>"""
ABOUT = (
    "This is the site on paper: deeper parts are open, outputs are shown, and of each widget there is what it shows when it "
    "is opened, as a table. The text and the figures are under the license CC BY 4.0, the code under Apache 2.0."
)


def line(url: str, path: str, title: str, page: int) -> str:
    shown = f"<span>{html.escape(title)}</span><span>{page}</span>"
    return f'<a class="line" href="{url}{path}">{shown}</a>'


def contents(printed: list[Printed], url: str) -> str:
    """The book's contents: its pages and their numbered sections, each with its page."""
    entries = []
    for one in printed:
        path = f"{one.name}.html"
        sections = [
            f"<li>{line(url, f'{path}#{part.id}', part.title, part.page)}</li>"
            for part in one.contents
        ]
        below = f"<ul>{''.join(sections)}</ul>" if sections else ""
        entries.append(
            f'<li class="page">{line(url, path, one.title, one.first)}{below}</li>'
        )
    return "".join(entries)


def print_front(
    browser: "Browser", printed: list[Printed], url: str, path: Path, paper: str
) -> None:
    """Print what stands before the first page: the title and the contents."""
    settings = build_site.settings()
    page = browser.new_page()
    page.set_content(
        FRONT.format(
            title=html.escape(settings["title"]),
            author=html.escape(settings["author"]),
            about=ABOUT,
            paper=paper,
            contents=contents(printed, url),
        )
    )
    page.pdf(path=path, **PRINT)
    page.close()


def bind(
    front: Path, printed: list[Printed], folder: Path, path: Path, url: str
) -> None:
    """Make one PDF of the title, the contents and the pages as they were printed into a folder."""
    writer = PdfWriter()
    where = {"": gather(writer, front, "", url)}
    before = len(writer.pages)
    for one in printed:
        where[one.name] = gather(writer, folder / one.path.name, one.name, url)
    connect(writer, url, where)
    bookmarks(writer, printed, where)
    describe(writer, build_site.settings()["title"])
    writer.set_page_label(0, before - 1, PageLabelStyle.LOWERCASE_ROMAN)
    writer.set_page_label(before, len(writer.pages) - 1, PageLabelStyle.DECIMAL)
    writer.compress_identical_objects()
    writer.write(path)


def build(
    folder: Path,
    pages: list[str] | None = None,
    site: Path = build_site.HTML,
    paper: str = "A4",
    browser: "Browser | None" = None,
) -> list[Printed]:
    """Print pages of the built site (none named: all) into a folder, and bind them as book.pdf.

    A browser that is open already is used; otherwise one is opened.
    """
    names = list(build_site.pages())
    wanted = pages or names
    if unknown := sorted(set(wanted) - set(names)):
        raise ValueError(
            f"{', '.join(unknown)}: not in _toc.yml; a page is named as there, such as {names[1]}"
        )
    if not (site / "index.html").exists():
        raise FileNotFoundError(f"{site} has no site; run: make book")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ids, printed, first = targets(site, names), [], 1
    with (
        serve.served(site) as url,
        nullcontext(browser) if browser else chrome.opened() as opened,
        TemporaryDirectory() as made,
    ):
        parts = Path(made)
        for name in wanted:
            one = Printed(name, "", folder / file_name(name), first)
            print_page(opened, url, one, ids[name], parts / one.path.name, paper)
            printed.append(one)
            first += one.count
        front = parts / "front.pdf"
        print_front(opened, printed, url, front, paper)
        bind(front, printed, parts, folder / BOOK, url)
    return printed


def offer(site: Path, folder: Path, printed: list[Printed]) -> None:
    """Put the PDFs into the built site, and let each page's download menu lead to its own, the front page's to the book."""
    shutil.copytree(folder, site / SERVED, dirs_exist_ok=True)
    for one in printed:
        path = site / f"{one.name}.html"
        own = BOOK if one.name == "intro" else one.path.name
        up = "../" * one.name.count("/")
        what = "the book" if own == BOOK else "this page"
        link = partial(as_link, href=f"{up}{SERVED.as_posix()}/{own}", what=what)
        text, n = BUTTON.subn(link, path.read_text(encoding="utf-8"))
        if n != 1:
            raise ValueError(
                f"{path} has {n} buttons that print; adapt BUTTON to the theme"
            )
        path.write_text(text, encoding="utf-8")


def as_link(button: re.Match[str], href: str, what: str) -> str:
    classes, inside = button.groups()
    return (
        f'<a href="{href}" class="{classes}" title="Download {what} as PDF"{inside}</a>'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", help="as in _toc.yml; none: all")
    parser.add_argument("--paper", choices=PAPERS, default="A4")
    options = parser.parse_args()
    printed = build(PDF, options.pages or None, paper=options.paper)
    for one in printed:
        if one.too_wide:
            print(
                f"{one.name}: beyond the margin: {'; '.join(one.too_wide[:5])}",
                file=sys.stderr,
            )
    if not options.pages:
        offer(build_site.HTML, PDF, printed)
    print(f"{sum(one.count for one in printed)} pages are in {PDF}")


if __name__ == "__main__":
    main()
