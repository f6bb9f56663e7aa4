"""The quick question: options of which one is right, each with its reason.

Not built on a page.
"""

import html
import re
from collections.abc import Sequence

import traitlets

from llmbook_utils.widgets.base import BookWidget

EMPHASIS = re.compile(r"\*(\S(?:[^*]*\S)?)\*")


def check_options(options: Sequence[tuple[str, bool, str]]) -> None:
    """Raise ValueError for fewer than two options, not one correct, or no reason."""
    if len(options) < 2:
        raise ValueError(f"a question needs two options or more, got {len(options)}")
    correct = sum(bool(option[1]) for option in options)
    if correct != 1:
        raise ValueError(
            f"{correct} of {len(options)} options are correct; mark exactly one"
        )
    for text, _, why in options:
        if not text.strip() or not why.strip():
            raise ValueError(
                f"the option {text!r} has the reason {why!r}; both must say something"
            )


def with_code(text: str) -> str:
    """Text as HTML, with code between backticks and emphasis between asterisks.

    >>> with_code("is `a * b < b * a` *ever* true?")
    'is <code>a * b &lt; b * a</code> <em>ever</em> true?'
    """
    parts = html.escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if i % 2 else EMPHASIS.sub(r"<em>\1</em>", part)
        for i, part in enumerate(parts)
    )


class QuickQuestion(BookWidget):
    """Ask a question with options `(text, correct, why)`, exactly one of them correct.

    Code stands in backticks, emphasis in asterisks. No question, fewer than two
    options, none or several that are correct, or an option without a reason raise
    ValueError.
    """

    module = "quick-question"
    question = traitlets.Unicode().tag(sync=True, page=True)
    options: traitlets.List = traitlets.List().tag(sync=True, page=True)

    def __init__(self, question: str, options: Sequence[tuple[str, bool, str]]) -> None:
        if not question.strip():
            raise ValueError("the question is empty; give its text")
        check_options(options)
        listed = [
            {"text": text, "correct": bool(correct), "why": why}
            for text, correct, why in options
        ]
        super().__init__(question=question, options=listed)

    def __repr__(self) -> str:
        return f"QuickQuestion({self.question!r}, {len(self.options)} options)"

    def fallback(self) -> str:
        items = "".join(self._item(**option) for option in self.options)
        question = f"<strong>Quick question.</strong> {with_code(self.question)}"
        return f"<p>{question}</p><ul>{items}</ul>"

    def _item(self, text: str, correct: bool, why: str) -> str:
        verdict = "✓ Right." if correct else "✗ Not this one."
        reason = f"<summary>Is it right?</summary>{verdict} {with_code(why)}"
        return f"<li>{with_code(text)}<details>{reason}</details></li>"
