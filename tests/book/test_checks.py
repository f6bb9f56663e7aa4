"""The rules for pages find what they look for: each is shown a page that breaks it."""

import book_rules
import form_rules  # noqa: F401 - it adds its rules to RULES
import pytest
from book import Page
from book_code import building_faults, import_faults, text_faults
from book_glossary import glossary_faults, map_faults, terms
from book_rules import RULES
from build_site import repository_url
from nbformat import v4
from repository import setup_cell
from table_of_contents import FIXED

CHAPTER = "chapters/02-working-with-text-data.ipynb"
LATER = "chapters/03-coding-attention-mechanisms.ipynb"
REFERENCES = "appendices/b-references.md"
SENTENCE = "A token is one entry of a vocabulary, and the model reads nothing else. "


def markdown(id, *lines):
    return v4.new_markdown_cell("\n".join(lines), id=id)


def code(id, source, *tags, outputs=(), **metadata):
    metadata = {"tags": list(tags), **metadata} if tags else metadata
    return v4.new_code_cell(source, id=id, outputs=list(outputs), metadata=metadata)


def shown(**data):
    data = {kind.replace("_", "/"): value for kind, value in data.items()}
    return v4.new_output("display_data", data)


def good_cells():
    """Write a chapter that keeps to every rule."""
    fixed = [title for level, title in FIXED[CHAPTER] if level == 2]
    yield markdown(
        "title",
        "# 2 Working with text data\n",
        "## What you will be able to do\n",
        "- split text\n- count tokens\n- train a tokenizer\n",
        "**You need:** Python.\n\n**Time:** about 25 minutes for the main line, "
        "35 more for deeper parts and optional exercises.\n",
    )
    yield code("setup", setup_cell(repository_url()), "colab-setup", "hide-input")
    yield code("knobs", "\n".join(["text = 'abc'"] * 24), "parameters")
    yield markdown("section-1", f"## {fixed[0]}\n", SENTENCE * 20)
    yield code(
        "plot",
        "draw(text)",
        outputs=[shown(image_png="aGk=")],
        mystnb={"image": {"alt": "Bars that fall from left to right."}},
    )
    yield markdown("section-2", *(f"## {title}\n\n{SENTENCE}\n" for title in fixed[1:]))
    yield code("import", "from llmbook_utils.widgets import QuickQuestion")
    yield markdown("ask", "> **Pitfall.** None of them.\n\n> **Predict.** How many?\n")
    yield code("answer", "count = len(text)", "hide-output")
    yield markdown("sub", "### 2.8.1 By hand\n", SENTENCE)
    deeper = f"### Deeper: The sign (1 min)\n\n{SENTENCE}\n"
    opener = markdown("deeper", deeper, SENTENCE)
    opener.metadata["tags"] = ["deeper"]
    yield opener
    yield code("deeper-code", "sign = text[:1]", "deeper")
    yield markdown("sub-2", "### 2.8.2 In code\n", SENTENCE)
    html = [shown(text_html='<svg role="img"></svg>')]
    yield code("questions", "QuickQuestion('a')", outputs=html)
    yield code("more", "QuickQuestion('b'), QuickQuestion('c')", "hide-input")
    yield markdown("unstable-text", "The time differs from run to run.")
    yield code("unstable", "seconds = 1.0", "nbval-ignore-output")
    yield markdown("band-text", "It stays in a band.")
    yield code("band", "assert 0 < seconds < 2")
    yield markdown("summary", "## Summary\n", SENTENCE * 6)
    numbers = range(1, 7)
    exercises = [
        f"### Exercise 2.{number}: Split\n\n*{kind}.* Split it."
        for number, kind in zip(
            numbers, ["Required"] * 2 + ["Optional"] * 4, strict=True
        )
    ]
    yield markdown("exercises", "## Exercises\n", *exercises)
    link = f"[the paper](../{REFERENCES}#sennrich)"
    yield markdown("read-on", "## Where to read on\n", f"Read {link} for more.")


@pytest.fixture
def page(monkeypatch):
    notebook = v4.new_notebook(cells=list(good_cells()))
    kernel, language = {"name": "python3"}, {"name": "python"}
    notebook.metadata.update(kernelspec=kernel, language_info=language)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code_cells, 1):
        cell.execution_count = count
    references = text_page(REFERENCES, "# References\n", "## Sennrich")
    monkeypatch.setattr(book_rules, "PAGES", [references])
    return Page(CHAPTER, notebook)


def text_page(path, *lines):
    return Page(path, v4.new_notebook(cells=[markdown("text", *lines)]))


def replace(id, old, new):
    """Break a page by changing a cell's text."""

    def change(page):
        cell = find(page, id)
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def add(id, text):
    return lambda page: find(page, id).update(source=find(page, id).source + text)


def find(page, id):
    return next(cell for cell in page.cells if cell.id == id)


def output(id, new):
    return lambda page: find(page, id).outputs.append(new)


def update(cell, **changes):
    return lambda page: find(page, cell).update(changes)


def metadata(**changes):
    return lambda page: page.notebook.metadata.update(changes)


def stream(text, name="stdout"):
    return v4.new_output("stream", text=text, name=name)


def lengthen_all(page):
    for cell in page.visible_code:
        cell.source += "\nx = 1" * 8


def drop_last_assertion(page):
    drop(page, "band-text")
    drop(page, "band")


ERROR = v4.new_output("error", ename="ValueError", evalue="", traceback=[])
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}

BROKEN = {
    "title_is_fixed": [
        (replace("title", "2 Working", "Working"), "the title is"),
        (add("title", "\n# Again"), "the title is"),
        (replace("title", "# 2", "## 2"), "does not begin with its title"),
        (add("section-1", "\n#### Deep"), "levels down"),
    ],
    "sections_are_fixed": [
        (replace("section-1", "2.1 Understanding", "2.1 About"), "is missing"),
        (add("section-1", "\n## Another"), "not in the table of contents"),
        (lambda page: swap(page, "summary", "exercises"), "another order"),
    ],
    "goals_say_what_and_how_long": [
        (replace("title", "- split text\n", ""), "fewer than three goals"),
        (replace("title", "You need", "Wanted"), "You need"),
        (replace("title", "25 minutes", "a while"), "Time"),
    ],
    "summary_is_short": [(add("summary", SENTENCE * 3), "9 sentences")],
    "reading_on_leads_to_the_references": [
        (
            replace("read-on", "../appendices/b-references.md#", "https://arxiv.org/"),
            "no link",
        )
    ],
    "readers_get_to_work": [
        (replace("exercises", "### Exercise 2.6: Split", ""), "5 exercises"),
        (replace("questions", "QuickQuestion", "Question"), "2 quick questions"),
        (replace("ask", "**Predict.**", "**Guess.**"), "Predict"),
        (replace("ask", "**Pitfall.**", "**Trap.**"), "Pitfall"),
    ],
    "markdown_is_portable": [
        (add("ask", "\n```{note}\nx\n```"), "a directive"),
        (add("ask", "\n:::note\nx\n:::"), "a directive"),
        (add("ask", "\nSee {ref}`x`."), "a role"),
        (add("ask", "\n(here)=\n"), "a target"),
        (add("ask", "\n{{ x }}"), "a substitution"),
    ],
    "html_is_plain": [
        (add("ask", "\n<span style='color:red'>x</span>"), "<span>"),
        (add("ask", "\n<!-- x -->"), "<!-->"),
    ],
    "callouts_open_in_bold": [
        (replace("ask", "**Predict.**", "Predict."), "no bold opener"),
        (replace("ask", "**Predict.**", "**Predict**"), "no bold opener"),
    ],
    "voice_is_plain": [
        (add("ask", "\nIt is simply a list."), "'simply'"),
        (add("ask", "\nYou just call it."), "'just call'"),
    ],
    "links_lead_somewhere": [
        (add("ask", "\n[x](03-missing.ipynb)"), "leads to no file"),
        (add("ask", "\n[x](#nowhere)"), "leads to no heading"),
        (replace("read-on", "#sennrich", "#gage"), "leads to no heading"),
    ],
    "code_is_plain_python": [(add("band", "\n%timeit 1"), "not Python")],
    "tags_are_known": [
        (update("band", metadata={"tags": ["hide_input"]}), "hide_input"),
        (update("band", metadata={"tags": ["exercise:2"]}), "exercise:2"),
    ],
    "cell_ids_are_stable": [
        (update("band", id="cell-12"), "no lasting id"),
        (update("band", id="plot"), "names 2 cells"),
    ],
    "cells_are_short": [
        (add("band", "\nx = 1" * 25), "26 lines"),
        (add("more", "\nx = 1" * 40), "41 lines"),
        (update("band", source=""), "0 lines"),
        (lengthen_all, "median"),
    ],
    "prose_comes_first": [(lambda page: drop(page, "band-text"), "band")],
    "prose_carries_the_code": [
        (add("knobs", "\nx = 1" * 70), "not 7 to 30"),
        (add("section-1", SENTENCE * 60), "not 7 to 30"),
    ],
    "unstable_outputs_are_asserted": [
        (replace("band", "assert", "print"), "ignores its output"),
        (drop_last_assertion, "ignores its output"),
    ],
    "parameters_can_be_turned": [
        (update("knobs", metadata={}), "0 cells"),
        (add("knobs", "\nprint(text)"), "print(text)"),
    ],
    "first_cell_prepares_colab": [
        (update("setup", metadata={}), "another cell"),
        (
            replace("setup", 'Y = "', 'Y = "https://x.org'),
            "make repository",
        ),
    ],
    "cells_were_run_in_order": [(update("band", execution_count=99), "99")],
    "outputs_are_clean": [
        (output("band", ERROR), "ValueError"),
        (output("band", stream("careful", name="stderr")), "careful"),
        (output("band", stream("File /home/me/x.py")), "/home/m"),
        (output("band", stream("<object at 0x7f3a5c2b1d90>")), "at 0x7f"),
    ],
    "widgets_have_html": [
        (output("band", v4.new_output("display_data", WIDGET)), "widget view"),
        (update("questions", outputs=[]), "no text/html"),
    ],
    "images_have_alt_text": [
        (update("plot", metadata={}), "mystnb.image.alt"),
        (add("ask", "\n![](x.svg)"), "alt text"),
        (output("band", shown(text_html="<svg>")), "without role or alt"),
        (output("band", shown(text_html="<img alt=''>")), "without role or alt"),
    ],
    "metadata_is_minimal": [
        (metadata(kernelspec={"name": "venv"}), "kernelspec"),
        (metadata(language_info={"name": "python", "version": "3"}), "version"),
        (metadata(widgets={}), "widget state"),
        (update("band", metadata={"execution": {}}), "times"),
    ],
    "deeper_parts_are_whole": [
        (update("deeper-code", metadata={}), "lacks the tag"),
        (update("band", metadata={"tags": ["deeper"]}), "has the tag"),
        (add("deeper", "\n\n### 2.8.2 More"), "a cell of its own"),
        (add("section-1", "\n\n### Deeper: More"), "a cell of its own"),
        (replace("deeper", f"\n\n{SENTENCE}", "\n\nMore."), "in a sentence"),
    ],
    "subsections_are_numbered": [
        (replace("sub-2", "2.8.2", "2.8.3"), "begin with 2.8.2"),
        (replace("sub", "2.8.1 ", ""), "begin with 2.8.1"),
    ],
    "predictions_are_folded": [
        (update("answer", metadata={}), "answers a prediction"),
        (update("band", metadata={"tags": ["hide-output"]}), "nobody is asked"),
        (lambda page: swap(page, "answer", "sub"), "stands between"),
        (add("ask", "\n\nThree."), "continues after"),
    ],
    "exercises_say_if_they_are_required": [
        (replace("exercises", "*Optional.* ", ""), "'Exercise 2.6: Split'")
    ],
    "main_line_keeps_to_its_time": [
        (add("section-1", SENTENCE * 430), "words, not 6000"),
        (add("section-1", SENTENCE * 530), "'2.1 Understanding word embeddings' takes"),
        (add("knobs", "\nx = 1" * 1200), "minutes, not 120"),
    ],
    "minutes_are_true": [
        (replace("deeper", "(1 min)", "(2 min)"), "cell deeper is out of date"),
        (replace("title", "about 25", "about 40"), "cell title is out of date"),
        (add("section-1", SENTENCE * 150), "cell title is out of date"),
        (update("band", metadata={"tags": ["page-check"]}), "cell band is out of date"),
    ],
    "main_line_stands_alone": [
        (replace("band", "seconds", "len(sign)"), "uses 'sign'"),
        (add("band", "\nlambda: sign"), "uses 'sign'"),
    ],
    "code_fits_the_column": [(add("band", "  # " + "x" * 70), "a line of 9")],
}


def swap(page, one, other):
    cells = page.notebook.cells
    a, b = cells.index(find(page, one)), cells.index(find(page, other))
    cells[a], cells[b] = cells[b], cells[a]


def drop(page, id):
    page.notebook.cells.remove(find(page, id))


CASES = [
    pytest.param(name, change, words, id=f"{name}-{words}")
    for name, cases in BROKEN.items()
    for change, words in cases
]


BY_NAME = {rule.__name__: rule for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_page_breaks_no_rule(rule, page):
    assert list(rule(page)) == []


@pytest.mark.parametrize(
    "text", ["`\\p{L}` and `{x}`", "<https://a.b>, `<|end|>`, $x_{i}$"]
)
def test_code_is_no_markup(text, page):
    add("ask", f"\n{text}")(page)
    assert not [*book_rules.markdown_is_portable(page), *book_rules.html_is_plain(page)]


@pytest.mark.parametrize("name, change, words", CASES)
def test_a_rule_finds_the_fault(name, change, words, page):
    change(page)
    faults = list(BY_NAME[name](page))
    assert any(words in fault for fault in faults), faults


def test_every_rule_is_shown_a_fault():
    elsewhere = {"subsections_are_fixed", "solutions_and_references_go_by_chapter"}
    assert {rule.__name__ for rule in RULES} == set(BROKEN) | elsewhere


def test_sub_headings_stay_in_order():
    path = "chapters/05b-decoding-strategies.ipynb"
    section = "## 5.3 Decoding strategies to control randomness"
    fixed = ["Temperature scaling", "Top-k sampling"]
    fixed.append("Modifying the text generation function")
    right = [section, *(f"### {one}" for one in [fixed[0], "Ours", *fixed[1:]])]
    check = book_rules.subsections_are_fixed
    assert not list(check(text_page(path, *right)))
    assert list(check(text_page(path, *right[:-1])))
    assert list(check(text_page(path, right[0], *reversed(right[1:]))))


def test_references_go_by_chapter():
    first, second = "## 2 Working with text data", "## 3 Coding attention mechanisms"
    check = book_rules.solutions_and_references_go_by_chapter
    assert not list(check(text_page(REFERENCES, first, second)))
    assert "order" in next(check(text_page(REFERENCES, second, first)))
    assert "not the title" in next(check(text_page(REFERENCES, "## Papers")))


def glossary(**entries):
    """Make a glossary page out of terms and the anchors that they link to."""
    link = "Defined in [2.2](../chapters/02-working-with-text-data.ipynb#{})."
    blocks = [f"## {one}\n\n{link.format(at)}\n" for one, at in entries.items()]
    return text_page("course/glossary.md", "# Glossary\n", *blocks)


def test_bold_terms_are_told_from_labels():
    text = "> **Pit.** **tokens** and\n**word\npieces**, `**kwargs`"
    assert terms(f"{text}\n| **head** |\n**Time:** 5") == ["tokens", "word pieces"]


@pytest.mark.parametrize(
    "entries, words",
    [
        (glossary(id="22-split", token="22-split"), ""),
        (glossary(token="22-split", id="22-split"), "not sorted"),
        (glossary(token="22-split"), "**id** has no entry"),
        (glossary(id="22-split", token="22-split", word="2"), "bold on no page"),
        (glossary(id="22-split", token="23"), "is first bold in"),
        (text_page("course/glossary.md", "## id\n", "## token"), "no line"),
    ],
)
def test_glossary_faults_are_found(entries, words):
    lines = "# 2", "## 2.2 Split", "A **token** and **id**s.", "## 2.3", "**Token**"
    faults = list(glossary_faults([text_page(CHAPTER, *lines)], entries))
    assert any(words in fault for fault in faults) if words else not faults, faults


MODULE = '''"""Sums. Built in chapters/02-working-with-text-data.ipynb."""

import functools

LIMIT = 3  # enough
ONE: int = 1

# kept, since sums come again
@functools.cache
def total(n: int) -> int:
    return min(n, LIMIT)


def _half(n: int) -> int:
    return n // 2
'''
BLACK_BOX = '"""Pictures. Not built on a page."""\nSIZE = 3\n'
LIBRARY = {"sums": MODULE, "pictures": BLACK_BOX}
TOTAL = MODULE[MODULE.index("# kept") : MODULE.index("\n\n\ndef _half")]
HALF = MODULE[MODULE.index("def _half") :].rstrip()
CONSTANTS = "LIMIT = 3  # enough\nONE: int = 1"


def code_page(*cells, path=CHAPTER):
    made = [code(f"cell{at}", *cell) for at, cell in enumerate(cells)]
    return Page(path, v4.new_notebook(cells=made))


def test_library_text_faults_are_found():
    right = code_page((CONSTANTS, "lib:sums"), (f"{TOTAL}\n\n\n{HALF}", "lib:sums"))
    assert not list(text_faults(right, LIBRARY))
    for source, words in {
        TOTAL.replace("min", "max"): "make sync",
        TOTAL.replace("@functools.cache\n", ""): "make sync",
        TOTAL.replace("# kept, since sums come again\n", ""): "make sync",
        f"import functools\n{TOTAL}": "no definition",
        "def other(): ...": "no 'other'",
    }.items():
        assert words in next(text_faults(code_page((source, "lib:sums")), LIBRARY))
    assert list(text_faults(code_page((TOTAL, "lib:sum")), LIBRARY))


def test_building_faults_are_found():
    cells = [(CONSTANTS, "lib:sums"), (TOTAL, "lib:sums"), (HALF, "lib:sums")]
    later = code_page((HALF, "lib:sums"), path=LATER)
    silent = LIBRARY | {"sums": MODULE.replace("Built in", "See")}
    both = LIBRARY | {"sums": MODULE.replace(".ipynb.", f".ipynb and {later.path}.")}
    assert not list(building_faults([code_page(*cells)], LIBRARY))
    assert not list(building_faults([code_page(*cells[:2]), later], both))
    assert not list(building_faults([code_page(*cells[:2])], both)), "page 3 is to come"
    assert not list(building_faults([], LIBRARY)), "page 2 is to come"
    for pages, library, words in [
        ([code_page(*cells[:2])], LIBRARY, "sums._half is built on no page"),
        ([code_page(*cells[1:])], LIBRARY, "sums.LIMIT is built on no page"),
        ([code_page(*cells, cells[1])], LIBRARY, "sums.total is built 2 times"),
        ([code_page(*cells), later], both, "sums._half is built 2 times"),
        ([code_page(*cells[:2]), later], LIBRARY, "does not say so"),
        ([code_page(*cells)], silent, "says neither"),
    ]:
        assert any(words in fault for fault in building_faults(pages, library)), words


def test_import_faults_are_found():
    first = code_page((TOTAL, "lib:sums"))
    for source, words in {
        "from llmbook_utils.sums import total": "",
        "from llmbook_utils.pictures import SIZE": "",
        "import llmbook_utils.pictures as pictures": "",
        "from llmbook_utils.sums import _half": "sums._half",
        "def f():\n    from llmbook_utils.sums import _half": "sums._half",
        "import llmbook_utils.sums": "import names from it",
        "from llmbook_utils import sums": "import names from it",
        "from llmbook_utils.nowhere import x": "does not exist",
    }.items():
        faults = list(import_faults([first, code_page((source,), path=LATER)], LIBRARY))
        assert any(words in fault for fault in faults) if words else not faults, source
    early = code_page(("from llmbook_utils.sums import total",))
    assert list(import_faults([early, first], LIBRARY))


MAP = """
| page | module | test | widget |
|---|---|---|---|
|[2](chapters/02-x.ipynb)|[a](llmbook_utils/sums.py)|[b](tests/unit/test_sums.py)|`Sum`|
| [front](intro.ipynb) | [c](llmbook_utils/exercises) | [d](tests/book/test_book.py) | — |

After it.
"""
FILES = {
    "intro.ipynb": "Sum",
    "chapters/02-x.ipynb": "Sum",
    "llmbook_utils/sums.py": '"""Built in chapters/02-x.ipynb."""',
    "llmbook_utils/exercises/__init__.py": "",
    "tests/unit/test_sums.py": "",
    "tests/book/test_book.py": "",
}


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("", "", ""),
        ("| page |", "| pages |", "has no table"),
        (" | — |", " |", "3 cells"),
        (
            "[d](tests/book/test_book.py)",
            "[d](tests/test_no.py)",
            "which does not exist",
        ),
        ("[front](intro.ipynb)", "front", "does not name intro.ipynb"),
        ("[c](llmbook_utils/exercises)", "—", "does not name llmbook_utils/exercises"),
        ("chapters/02-x.ipynb", "chapters/03-x.ipynb", "which does not exist"),
        ("[2](chapters/02-x.ipynb)", "[2](intro.ipynb)", "is built in"),
        ("[b](tests/unit/test_sums.py)", "—", "row of llmbook_utils/sums.py"),
        ("`Sum`", "—", "does not name the widget `Sum`"),
        ("`Sum`", "`Sum` `Product`", "which do not show it"),
    ],
)
def test_map_faults_are_found(old, new, words, tmp_path):
    for path, text in {"CONTRIBUTING.md": MAP.replace(old, new), **FILES}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    faults = list(map_faults(tmp_path, ["Sum"]))
    assert any(words in fault for fault in faults) if words else not faults, faults
