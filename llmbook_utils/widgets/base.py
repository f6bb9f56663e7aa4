"""The base of the book's widgets: one view for notebooks and for static pages.

In a notebook anywidget mounts the view (`_esm`), and Python answers its requests. A
stored output keeps `text/html`: the state as JSON, with which `web/host/static-host.js`
mounts the same view on a page, and a fallback, which is all that a reader without
JavaScript sees. Not built on a page.
"""

import html
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import anywidget

from llmbook_utils import web

Message = dict[str, Any]
STYLE = web.read("palette.css") + web.read("style.css")


class BookWidget(anywidget.AnyWidget):
    """A widget whose traits tagged `page=True` are the state that a page needs."""

    module: ClassVar[str]  # the name of its view in web/views, without ".js"
    # the replies to a request, by its kind; "buffers" are sent beside the rest
    answers: Mapping[str, Callable[[Message], Iterator[Message]]]

    def __init_subclass__(cls, **options: Any) -> None:
        if "module" in cls.__dict__:
            cls._esm, cls._css = cls.source(), STYLE
        super().__init_subclass__(**options)

    @classmethod
    def source(cls) -> str:
        """The view and all that it imports, as the one module that a notebook takes."""
        return web.joined(f"views/{cls.module}.js")

    def __init__(self, **state: Any) -> None:
        self.answers = {}
        super().__init__(**state)
        self.on_msg(lambda _, message, buffers: self._receive(message))

    def _receive(self, message: Message) -> None:
        for reply in self._answer(message):
            buffers = reply.pop("buffers", [])
            self.send(reply, buffers)

    def _answer(self, message: Message) -> Iterator[Message]:
        """The replies to a request of the view; a failure is one of kind "error"."""
        try:
            if message["kind"] not in self.answers:
                raise ValueError(f"no answer is known to {message['kind']!r}")
            yield from self.answers[message["kind"]](message)
        except Exception as error:
            text = str(error) or type(error).__name__
            yield {"kind": "error", "seq": message.get("seq"), "message": text}

    def state(self) -> dict[str, Any]:
        """What a page needs to mount this widget."""
        return {
            name: getattr(self, name) for name in sorted(self.trait_names(page=True))
        }

    def fallback(self) -> str:
        """HTML that says without JavaScript what the widget shows."""
        raise NotImplementedError

    def to_html(self) -> str:
        """The widget as a page stores it: its state and its fallback."""
        return mount_html(self.module, self.state(), self.fallback())

    def _repr_mimebundle_(
        self, **options: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return {**data, "text/html": self.to_html()}, metadata


def mount_html(module: str, state: dict[str, Any], fallback: str) -> str:
    """Where a page mounts a view: its state, and what stands there without scripts."""
    # "<" is escaped so that no text can close the script element
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    text = text.replace("<", "\\u003c")
    return (
        f'<div class="bw-mount" data-bw-module="{module}">'
        f'<script type="application/json">{text}</script>'
        f'<div class="bw-fallback">{fallback}</div></div>'
    )


def percent(p: float) -> str:
    """A probability as all widgets write it: `percent` of web/parts/numbers.js.

    >>> [percent(p) for p in (0.3124, 0.02, 0.00005, 1.2e-9, 1.0)]
    ['31.2 %', '2.00 %', '0.005 %', '1.2e-7 %', '100 %']
    """
    n = 100 * p
    if n in (0, 100):
        return f"{n:.0f} %"
    if n < 0.001:
        digits, power = f"{n:.1e}".split("e")
        return f"{digits}e{int(power)} %"
    if n >= 99.95:
        return "> 99.9 %"
    return f"{n:.{1 if n >= 10 else 2 if n >= 1 else 3}f} %"


def table(caption: str, head: list[str], rows: list[list[str]]) -> str:
    """An HTML table of plain text; the first cell of each row is its header."""

    def line(cells: list[str], first: str, rest: str) -> str:
        tags = [first] + [rest] * (len(cells) - 1)
        pairs = zip(tags, cells, strict=True)
        inner = (f"<{tag}>{html.escape(cell)}</{tag[:2]}>" for tag, cell in pairs)
        return f"<tr>{''.join(inner)}</tr>"

    columns = line(head, 'th scope="col"', 'th scope="col"')
    body = "".join(line(row, 'th scope="row"', "td") for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>"
    return f"<table>{title}<thead>{columns}</thead><tbody>{body}</tbody></table>"
