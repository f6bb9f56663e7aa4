"""The n-gram writer: what counting models and a trained one expect next, side by side.

The counting is that of `llmbook_utils.ngram`; the view counts the same text by itself.
Not built on a page.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import traitlets

from llmbook_utils.ngram import count_followers, seen_followers, split_words
from llmbook_utils.widgets.base import Message, percent, table
from llmbook_utils.widgets.live import LiveWidget, Pair, rounded
from llmbook_utils.widgets.tokens import check_text, show

MODELS = ("unigram", "bigram", "trigram")
MOST = 200_000  # characters that are counted
ROWS = 5  # words in a model's table
NEW = 20  # words that a model writes at once


class NgramWriter(LiveWidget):
    """Show each model's next words after a text; the reader appends one, or lets write.

    `counted` is the text whose words are counted; the page gets it whole and counts it
    there. One without a word, or of more than 200,000 characters, raises ValueError.
    What LiveWidget refuses is refused.
    """

    module = "ngram-writer"
    counted = traitlets.Unicode().tag(sync=True, page=True)

    def __init__(
        self, text: str, counted: str, model: str | Path | Pair = "mini"
    ) -> None:
        check_text(counted)
        if not 0 < len(split_words(counted)) <= len(counted) <= MOST:
            raise ValueError(
                f"the text to be counted has {len(counted):,} characters; give one "
                f"with at least a word, and at most {MOST:,} characters"
            )
        super().__init__(text, model, counted=counted)

    def __repr__(self) -> str:
        return f"NgramWriter({self.text!r}, {len(self.counted):,} characters)"

    def requests(self) -> dict[str, Message]:
        options = {"top": ROWS}
        return {"run": {"kind": "run", "want": ["logits.last"], "options": options}}

    def keep(self, replies: dict[str, list[Message]]) -> dict[str, list[Message]]:
        """Only the likeliest tokens, in digits that do not vary by processor."""
        (reply,) = replies["run"]
        top: Any = rounded(reply["top"], 3)
        return {"run": [{"kind": "run", "seq": 0, "top": top}]}

    def fallback(self) -> str:
        tables = count_followers(split_words(self.counted), len(MODELS))
        words = split_words(self.text.rstrip(" "))
        columns = [
            shares(seen_followers(tables[:n], words)) for n in range(1, len(MODELS) + 1)
        ]
        columns.append(
            [
                f"{show(token['bytes'])} {percent(token['probability'])}"
                for token in self.example["run"][0]["top"]
            ]
        )
        caption = (
            f"What may come after “{self.text}”: the likeliest words of models that "
            f"have counted a text, and of {self.model['name']} (␣ is a space, ⏎ a new "
            "line)"
        )
        rows = [
            [str(i + 1), *(column[i] if i < len(column) else "" for column in columns)]
            for i in range(ROWS)
        ]
        return table(caption, ["rank", *MODELS, self.model["name"]], rows)


def shares(followers: Counter[str]) -> list[str]:
    """The most frequent words as a reader sees them, each with its probability.

    >>> shares(Counter({" sea": 2, " tide": 1}))
    ['␣sea 66.7 %', '␣tide 33.3 %']
    """
    total = followers.total()
    return [
        f"{show(word.encode())} {percent(count / total)}"
        for word, count in followers.most_common(ROWS)
    ]
