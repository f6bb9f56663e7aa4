"""The spam classifier: a verdict on a message, and what can be asked about it.

Not built on a page.
"""

import functools
import html
import json
from collections.abc import Sequence
from typing import Any

import torch
import traitlets

from llmbook_utils.classify import confusion, drop_near_duplicates, log_odds, split
from llmbook_utils.files.adapter import SHIPPED
from llmbook_utils.files.datasets import fetch
from llmbook_utils.files.labeled import Message as Labeled
from llmbook_utils.files.labeled import read_labeled
from llmbook_utils.widgets.adapters import describe_adapter
from llmbook_utils.widgets.base import Message, percent, table
from llmbook_utils.widgets.live import LiveWidget

ADAPTER = "spam"
MOST = 128  # tokens of a message that are read, as in chapter 6
MOST_WORDS = 60  # that are left out one by one
ODDS = SHIPPED / f"{ADAPTER}-test-odds.json"


class SpamClassifier(LiveWidget):
    """Judge a message: how probably it is spam, and which words make it so.

    `mini` reads it with the adapter for spam in its weights. The reader types another,
    leaves words out, and moves the `threshold`, the probability from which on a message
    counts as spam, over messages that no training saw. A threshold that is not between
    0 and 1 raises ValueError, and so does a text without a word.
    """

    module = "spam-classifier"
    adapters: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)
    adapter = traitlets.Unicode(ADAPTER).tag(sync=True, page=True)
    most = traitlets.Int(MOST).tag(sync=True, page=True)
    most_words = traitlets.Int(MOST_WORDS).tag(sync=True, page=True)
    threshold = traitlets.Float().tag(sync=True, page=True)
    # the test part: a text, its label (1: spam) and its log-odds at one place each
    tested: traitlets.Dict = traitlets.Dict().tag(sync=True, page=True)

    def __init__(self, text: str, threshold: float = 0.5) -> None:
        number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if not number or not 0 < threshold < 1:
            raise ValueError(f"threshold is {threshold!r}; it must lie between 0 and 1")
        if not text.split():
            raise ValueError("the text has no word; give a message")
        super().__init__(
            text,
            adapters={ADAPTER: describe_adapter(ADAPTER)},
            threshold=float(threshold),
            tested=held_out(),
        )

    def __repr__(self) -> str:
        return f"SpamClassifier({self.text!r}, threshold={self.threshold})"

    def requests(self) -> dict[str, Message]:
        """The verdict, and those without one word each."""
        words = self.text.split()
        return {
            "classify": {
                "kind": "classify",
                "adapter": self.adapter,
                "text": " ".join(words),
                "variants": left_out(words)[:MOST_WORDS],
                "options": {"most": self.most},
            }
        }

    def keep(self, replies: dict[str, list[Message]]) -> dict[str, list[Message]]:
        (reply,) = replies["classify"]
        logits = torch.frombuffer(bytearray(reply["buffers"][0]), dtype=torch.float32)
        self.odds = log_odds(logits.view(-1, 2)).tolist()
        return super().keep(replies)

    def fallback(self) -> str:
        whole, *others = self.odds
        words = zip(self.text.split(), others, strict=False)
        rows = [[word, percent(sigmoid(o)), f"{whole - o:+.2f}"] for word, o in words]
        caption = (
            f"“{self.text}”: spam with a probability of {percent(sigmoid(whole))}. For "
            "each word, the probability without it, and the log-odds that go with it"
        )
        head = ["word", "probability without it", "log-odds that go"]
        return table(caption, head, rows) + f"<p>{html.escape(self._test())}</p>"

    def _test(self) -> str:
        verdicts = [sigmoid(o) >= self.threshold for o in self.tested["odds"]]
        found = confusion(self.tested["labels"], verdicts)
        called = found.true_positives + found.false_positives
        return (
            f"Of {found.total:,} messages that no training saw, {called} count as spam "
            f"at a threshold of {percent(self.threshold)}: {found.true_positives} are "
            f"spam and {found.false_positives} are not; {found.false_negatives} of the "
            "spam messages are missed."
        )


def sigmoid(odds: float) -> float:
    """The probability that log-odds stand for."""
    return torch.tensor(odds).sigmoid().item()


def left_out(words: Sequence[str]) -> list[str]:
    """A text without one of its words, for each of them; [] for a single word.

    >>> left_out(["you", "have", "won"])
    ['have won', 'you won', 'you have']
    """
    if len(words) < 2:
        return []
    return [" ".join([*words[:i], *words[i + 1 :]]) for i in range(len(words))]


def unseen() -> list[Labeled]:
    """The test part of chapter 6, as (text, label)."""
    return split(drop_near_duplicates(read_labeled(fetch("sms-spam"))))[2]


@functools.cache
def held_out() -> dict[str, Any]:
    """The test part of chapter 6, and what tools/score_adapter.py recorded of it."""
    messages = unseen()
    odds = json.loads(ODDS.read_text(encoding="utf-8"))["log_odds"]
    if len(odds) != len(messages):
        raise ValueError(
            f"{ODDS} has {len(odds)} numbers for {len(messages)} messages; run "
            "tools/score_adapter.py"
        )
    texts, labels = zip(*messages, strict=True)
    return {"texts": list(texts), "labels": list(labels), "odds": odds}
