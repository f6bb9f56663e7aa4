"""The book's widgets: shown by being the last line of a cell.

They work in a notebook, where Python answers, and on a page without a kernel. Not built
on a page.
"""

from llmbook_utils.tokenizer import get_encoding
from llmbook_utils.widgets.base import BookWidget, read
from llmbook_utils.widgets.explorer import TokenizerExplorer
from llmbook_utils.widgets.question import QuickQuestion
from llmbook_utils.widgets.tokens import pack_ranks
from llmbook_utils.widgets.window import SlidingWindow

__all__ = ["QuickQuestion", "SlidingWindow", "TokenizerExplorer", "site_files"]

WIDGETS: tuple[type[BookWidget], ...] = (
    TokenizerExplorer,
    SlidingWindow,
    QuickQuestion,
)
PAGE_FILES = ("static-host.mjs", "page-answerer.mjs", "bpe.js", "style.css")


def site_files() -> dict[str, bytes]:
    """Each file that the pages need for the widgets, by name, all in one folder."""
    modules = {f"{widget.module}.js": widget.source() for widget in WIDGETS}
    texts = modules | {name: read(name) for name in PAGE_FILES}
    files = {name: text.encode() for name, text in texts.items()}
    return files | {"gpt2.bin": pack_ranks(get_encoding("gpt2"))}
