"""What the widgets about instructions share: prompt styles, tokens, an adapter.

Not built on a page.
"""

import functools
from collections.abc import Iterator
from typing import Any

import tiktoken
import traitlets

from llmbook_utils.files.adapter import find_adapter
from llmbook_utils.files.hub import SHIPPED
from llmbook_utils.files.instructions import read_style
from llmbook_utils.instruct import STYLES
from llmbook_utils.tokenizer import get_encoding
from llmbook_utils.widgets.adapters import describe_adapter
from llmbook_utils.widgets.base import Message
from llmbook_utils.widgets.live import LiveWidget
from llmbook_utils.widgets.live import describe as describe_model
from llmbook_utils.widgets.tokens import checked_ranks, tokenize
from llmbook_utils.widgets.tokens import describe as describe_encoding

ADAPTER = "instruct"
MODEL = "mini"


@functools.cache
def mini_tokenizer() -> tiktoken.Encoding:
    return get_encoding(SHIPPED[MODEL])


def trained_style() -> str:
    """The name of the prompt style that the shipped adapter was trained with."""
    return read_style(find_adapter(ADAPTER))


class InstructionWidget(LiveWidget):
    """A widget that asks `mini`, with and without the adapter for instructions.

    It tells tokens also where no model is loaded: the ranks are a file of their own.
    """

    adapters: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)
    adapter = traitlets.Unicode(ADAPTER).tag(sync=True, page=True)
    encodings: traitlets.List = traitlets.List().tag(sync=True, page=True)
    # each style's two templates, by its name
    styles: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)

    def __init__(self, text: str, **state: Any) -> None:
        ranks = describe_model(MODEL)["ranks"]
        encoding = describe_encoding(MODEL, mini_tokenizer())
        super().__init__(
            text,
            adapters={ADAPTER: describe_adapter(ADAPTER)},
            # the file that the model comes with, in the version that belongs to it
            encodings=[encoding | {"ranks": f"{ranks['file']}?{ranks['crc32']:x}"}],
            styles={
                name: {"plain": style.plain, "with_input": style.with_input}
                for name, style in STYLES.items()
            },
            **state,
        )
        self.answers = {**self.answers, "tokenize": tell_tokens}


def tell_tokens(message: Message) -> Iterator[Message]:
    """The tokens of a text, as `mini` reads it."""
    reply = tokenize(message["text"], checked_ranks(mini_tokenizer()))
    yield {"kind": "tokenize", "seq": message["seq"], **reply}
