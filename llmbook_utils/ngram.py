"""N-gram models: the next word, from counts of what followed the same words before.

A word may be anything that can be counted, such as the token ids of a tokenizer. Left
out: the many better ways to guess what was never seen. Built in
chapters/01-understanding-large-language-models.ipynb.
"""

from bisect import bisect
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate
from typing import Any

import regex

# a word or a sign, each with the space before it, or other white space
WORD = regex.compile(
    r" ?[\p{L}\p{M}\p{N}'’-]+|"
    r" ?[^\p{White_Space}\p{L}\p{M}\p{N}'’-]|\p{White_Space}+"
)


def split_words(text: str) -> list[str]:
    """Words and signs with the spaces before them: joined, they are the text again.

    >>> split_words("The sea is late.")
    ['The', ' sea', ' is', ' late', '.']
    """
    return WORD.findall(text)


Tables = list[dict[tuple[Any, ...], Counter[Any]]]


def count_followers(words: Sequence[Hashable], n_tables: int) -> Tables:
    """For contexts of 0, 1, … words: how often each word followed each context."""
    tables: Tables = []
    for n in range(n_tables):
        table: dict[tuple[Any, ...], Counter[Any]] = {}
        for i in range(n, len(words)):
            context = tuple(words[i - n : i])
            table.setdefault(context, Counter())[words[i]] += 1
        tables.append(table)
    return tables


def seen_followers(tables: Tables, words: Sequence[Hashable]) -> Counter[Any]:
    """What followed the last words, as many of them as were seen together."""
    for n in reversed(range(min(len(tables), len(words) + 1))):
        context = tuple(words[len(words) - n :])
        if context in tables[n]:
            return tables[n][context]
    raise ValueError("the tables are empty; count a text of one word or more")


def write_on(
    tables: Tables, words: Sequence[Any], n_new: int, draw: Callable[[], float]
) -> list[Any]:
    """Draw `n_new` words, one after the other, each from what followed the last ones.

    A word that followed three times is three times as likely as one that did once.
    `draw()` gives numbers in [0, 1), such as `random.Random(1).random`.
    """
    written = list(words)
    for _ in range(n_new):
        followers = seen_followers(tables, written)
        sums = list(accumulate(followers.values()))
        chosen = bisect(sums, draw() * sums[-1])
        written.append(list(followers)[chosen])
    return written[len(words) :]


def probability(
    tables: Tables, context: Sequence[Hashable], word: Hashable, vocab_size: int
) -> float:
    """The probability of a word after a context, above 0 for each of `vocab_size`.

    A context that was seen c times, with u different followers, leaves the share
    u / (c + u) to the next shorter one. Source: Witten and Bell (1991), method C.
    """
    p = 1 / vocab_size  # the shortest context of all: nothing is known
    for n in range(min(len(tables), len(context) + 1)):
        followers = tables[n].get(tuple(context[len(context) - n :]))
        if followers:
            c, u = followers.total(), len(followers)
            p = (followers[word] + u * p) / (c + u)
    return p
