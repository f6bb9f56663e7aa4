"""The index: where each term of the glossary is defined and used, by numbered section.

It is made of the pages' text when the site is built, and stands below the text of its page.
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from book_site.search import ALSO, ENTRY, GLOSSARY, SILENT

PAGE = "course/index-of-terms"
READ = re.compile(r"chapters/|appendices/[adef]-")
NUMBERED = re.compile(r"((?:\d+|[A-Z])\.\d+) ")
LABEL = re.compile(r"(?:\d+|[A-Z])(?:\.\d+)*")
CHAPTER = re.compile(r"/0?(\w+?)[a-z]?-")
RUN = 3  # so many sections in a row are written as a range
# everyday words are meant as terms only where they are explained
EVERYDAY = frozenset(
    ("change", "input", "key", "process", "score", "storage", "target", "value", "view")
)


@dataclass(frozen=True)
class Place:
    """A numbered section: "2.5", and its address."""

    label: str
    uri: str


@dataclass
class Term:
    name: str
    forms: list[str]
    defined: Place
    places: list[Place] = field(default_factory=list)


def pattern(forms: Iterable[str]) -> re.Pattern[str]:
    """Finds the forms as whole words, the longest first, in the singular and the plural.

    >>> pattern(["head", "attention head", "entropy"]).findall("Attention heads, entropies")
    ['Attention heads', 'entropies']
    """
    longest = sorted(forms, key=len, reverse=True)
    either = "|".join(
        re.sub(r"y$", "(?:y|ie)", re.escape(form).replace(r"\ ", r"[\s-]"))
        for form in longest
    )
    return re.compile(rf"(?<![\w-])(?:{either})(?:e?s)?(?![\w-])", re.IGNORECASE)


def singular(words: str) -> str:
    """The form under which a found word is looked up."""
    return re.sub(r"[\s-]+", " ", words.casefold())


def text_of(section: nodes.section) -> str:
    """The sentences of a section, its subsections and titles included."""

    def texts(node: nodes.Node) -> Iterator[str]:
        if isinstance(node, nodes.Text):
            yield node.astext()
        elif not isinstance(node, SILENT):
            for child in node.children:
                yield from texts(child)

    return " ".join(" ".join(texts(section)).replace("’", "'").split())


def in_order(app: Sphinx, name: str) -> Iterator[str]:
    """A page and those below it in the table of contents."""
    yield name
    for child in app.env.toctree_includes.get(name, []):
        yield from in_order(app, child)


def sections(app: Sphinx) -> Iterator[tuple[Place, str]]:
    """The numbered sections of the book in its order, with what they say."""
    for name in filter(READ.match, in_order(app, app.config.root_doc)):
        for section in app.env.get_doctree(name).findall(nodes.section):
            found = NUMBERED.match(section.next_node(nodes.title).astext())
            if found:
                uri = f"{app.builder.get_target_uri(name)}#{section['ids'][0]}"
                yield Place(found[1], uri), text_of(section)


def label(entry: re.Match[str]) -> str:
    """The number of what explains a term: of its section, or of its chapter or appendix."""
    if LABEL.fullmatch(entry["label"]):
        return entry["label"]
    found = CHAPTER.search(f"/{Path(entry['page']).name}-")
    return found[1].upper() if found else entry["label"]


def glossary(app: Sphinx) -> Iterator[Term]:
    """The terms with what they are also called and where they are defined."""
    path = Path(app.env.doc2path(GLOSSARY))
    for entry in ENTRY.finditer(path.read_text(encoding="utf-8")):
        slugs = app.env.metadata[entry["page"]]["myst_slugs"]
        uri = app.builder.get_target_uri(entry["page"])
        also = [long or short for long, short in ALSO.findall(entry["text"])]
        names = [name.strip() for one in also for name in re.split(r",| or ", one)]
        yield Term(
            entry["name"],
            [singular(form) for form in (entry["name"], *filter(None, names))],
            Place(label(entry), f"{uri}#{slugs[entry['slug']][1]}"),
        )


def fill(terms: list[Term], read: Iterable[tuple[Place, str]]) -> None:
    """Add to each term the sections that use it."""
    holder = {form: term for term in reversed(terms) for form in term.forms}
    finder = pattern(holder)
    plurals = {
        f"{form}{end}": one for form, one in holder.items() for end in ("s", "es")
    }
    plurals |= {re.sub("y$", "ies", form): one for form, one in holder.items()}
    for place, text in read:
        found = {singular(words) for words in finder.findall(text)}
        used = [holder.get(words) or plurals.get(words) for words in found]
        for term in {id(term): term for term in used if term}.values():
            if term.name not in EVERYDAY or chapter(place) == chapter(term.defined):
                term.places.append(place)


def runs(places: list[Place], order: dict[str, int]) -> Iterator[list[Place]]:
    """Places in runs of neighbors of one chapter."""
    keyed = [(order[one.label] - at, one) for at, one in enumerate(places)]
    for _, run in groupby(keyed, lambda pair: (pair[0], chapter(pair[1]))):
        yield [one for _, one in run]


def chapter(place: Place) -> str:
    return place.label.partition(".")[0]


def link(place: Place, kind: str = "") -> str:
    mark = f' class="{kind}"' if kind else ""
    return f'<a{mark} href="../{html.escape(place.uri)}">{html.escape(place.label)}</a>'


def entry(term: Term, order: dict[str, int]) -> str:
    """A line of the index: the term, where it is defined, and where it is used."""
    others = [one for one in term.places if one.label != term.defined.label]
    parts = [link(term.defined, "defines")]
    for run in runs(others, order):
        if len(run) >= RUN:
            parts.append(f"{link(run[0])}–{link(run[-1])}")
        else:
            parts += [link(one) for one in run]
    name = html.escape(term.name)
    return f'<li><span class="index-term">{name}</span> {", ".join(parts)}</li>'


def written(terms: list[Term], order: dict[str, int]) -> str:
    """The index as HTML, a list for each letter."""
    first = lambda term: term.name[0].upper()  # noqa: E731
    groups = groupby(sorted(terms, key=lambda term: term.name.casefold()), first)
    return "".join(
        f'<section><h2>{letter}</h2><ul class="book-index">'
        f"{''.join(entry(term, order) for term in group)}</ul></section>\n"
        for letter, group in groups
    )


def add(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    if pagename != PAGE:
        return
    read, terms = list(sections(app)), list(glossary(app))
    fill(terms, read)
    order = {place.label: at for at, (place, _) in enumerate(read)}
    start, end, rest = context["body"].rpartition("</section>")
    context["body"] = f"{start}{written(terms, order)}{end}{rest}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
