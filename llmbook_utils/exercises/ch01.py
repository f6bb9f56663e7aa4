"""Checks of chapter 1's exercises. Not built on a page."""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from llmbook_utils.exercises import exercise, fresh, require
from llmbook_utils.exercises.by_hand import by_hand, must_be, must_not_be

TOY = ["the", "sea", "was", "late", "the", "sea", "was", "calm"]
TOY += ["the", "tide", "was", "late"]
# a word that follows itself, and one that comes last and nowhere else
ODD = ["no", "no", "no", "it", "said", "no", "way", "no", "it", "went", "home"]
ENDS = ["on", "and", "on", "we", "go", "on"]  # the last word stood there before

Chances = Mapping[str, float]


def _close(a: float, b: float, tolerance: float = 0.005) -> bool:
    return math.isclose(a, b, rel_tol=tolerance)


def _followers(words: Sequence[str], word: str) -> list[str]:
    return [after for before, after in pairwise(words) if before == word]


def _shares(found: Sequence[str], total: float) -> dict[str, float]:
    return {one: found.count(one) / total for one in found}


@exercise(
    "1.1",
    "Count for yourself",
    hints=(
        "Walk over all pairs of neighbors: each word, and the one after it.",
        "`pairwise(words)` gives those pairs, and a `Counter` counts. Count the second "
        "of a pair where the first is the given word.",
        "Call the counts `counts`. Each probability is a count divided by "
        "`sum(counts.values())`, which is how often the word was followed by anything; "
        "for an empty `Counter`, nothing is divided, so nothing goes wrong.",
    ),
)
def next_words(answer: Callable[[list[str], str], Chances]) -> str:
    """Compare with the counts by hand, and with likely mistakes."""
    cases = [(ODD, "no"), (ENDS, "on"), (TOY, "was"), (ODD, "home")]
    for chance in fresh(6):
        drawn = chance.choices(["sea", "tide", "was", "late"], k=12)
        cases.append((drawn, chance.choice(drawn)))
    for words, word in cases:
        given = answer(list(words), word)
        call = f"next_words({words}, {word!r})"
        require(
            isinstance(given, Mapping),
            f"{call} gives {type(given).__name__}; expected a dictionary",
        )
        _judge_shares(dict(given), words, word, call)
    words = list(TOY)
    answer(words, "was")
    require(words == TOY, "the list that you were given has changed")
    return "Right: what followed, each with its share, and nothing for the last word."


def _judge_shares(
    given: dict[str, float], words: list[str], word: str, call: str
) -> None:
    found = _followers(words, word)
    right = _shares(found, len(found)) if found else {}
    said = f"{call} gives {given}"
    before = [b for b, after in pairwise(words) if after == word]
    n = words.count(word)
    inside = sum(a == b == word for a, b in pairwise(words))
    likely = [
        (_shares(found, 1), "these are counts; divide by their sum"),
        (_shares(found, len(words)), "divide by how often the word was followed"),
        (_shares(found, len(words) - 1), "divide by how often the word was followed"),
        (_shares(before, len(before) or 1), "that is what came before the word"),
        (dict.fromkeys(found, 1 / (len(set(found)) or 1)), "each counts the same"),
        (_shares(found[:1], 1), "only the first occurrence was looked at"),
        (_shares(found[-1:], 1), "only the last occurrence is left"),
        (
            _shares([one for one in found if one != word], len(found) - inside or 1),
            "a word may follow itself",
        ),
        ({w: words.count(w) / len(words) for w in words}, "all words were counted"),
        (_shares(found, n), "the last word of the text is followed by nothing"),
    ]
    for wrong, why in likely:
        if wrong != right and _same(given, wrong):
            require(False, f"{said}: {why}")
    require(found or not given, f"{said}: nothing follows that word")
    require(given.keys() <= right.keys(), f"{said}: some of these never followed")
    require(given.keys() >= right.keys(), f"{said}: a follower is missing")
    total = sum(given.values())
    require(_close(total, 1) or not found, f"{said}: together {total:g}, not 1")
    require(_same(given, right), f"{said}; expected {right}")


def _same(one: Chances, other: Chances) -> bool:
    return one.keys() == other.keys() and all(
        math.isclose(one[name], other[name], abs_tol=1e-6) for name in one
    )


def _parrot(text: Sequence[str]) -> dict[str, float]:
    """A model that must see the whole text: it counts up, and stops at seven words."""
    if len(text) >= 7:
        return {}
    best = f"word {len(text) + text.count('the')}"
    return {"a": 0.2, best: 0.5, "zebra": 0.3}


@exercise(
    "1.2",
    "The loop",
    hints=(
        "The figure above has the four steps of a round.",
        "`max(chances, key=chances.get)` is the most probable word of a dictionary. "
        "Mind what the model is asked about in the second round.",
        "Begin with `text = list(words)`. In each round, ask the model about the "
        "*whole* `text`; break if nothing comes; append the best word to `text`. "
        "Return it.",
    ),
)
def write_with(answer: Callable[..., list[str]]) -> str:
    """Run the loop with a model whose next word depends on the whole text."""
    words = ["the", "sea"]
    right = ["the", "sea", "word 3", "word 4", "word 5"]
    given = answer(_parrot, words, 3)
    require(isinstance(given, list), f"expected a list, got {type(given).__name__}")
    said = f"after {['the', 'sea']} with n = 3 you get {given}"
    require(words == ["the", "sea"], "the list that was given has changed; copy it")
    require(given != right[2:], f"{said}: return the whole text, not only the new part")
    require(
        given != ["the", "sea", *["word 3"] * 3],
        f"{said}: in each round the model must see what was just appended",
    )
    require(
        "zebra" not in given,
        f"{said}: that is the last word of the alphabet, not the likeliest",
    )
    require("a" not in given, f"{said}: that is the least likely word")
    require(
        given[2:3] != ["word 1"] and given[3:4] != ["word 1"],
        f"{said}: the model must see the whole text, not only its last word",
    )
    require(len(given) == 5, f"{said}: {len(given) - 2} new, not 3")
    require(given == right, f"{said}, not {right}")
    long = answer(_parrot, ["the", "sea"], 20)
    require(len(long) == 7, "when the model returns nothing, the text ends: 7 words")
    for chance in fresh(4):
        _judge_other_model(answer, chance.random(), chance.randint(2, 9))
    return "Right: the model sees all, the likeliest word is appended, and so on."


def _judge_other_model(answer: Callable[..., list[str]], salt: float, n: int) -> None:
    """Write `n` words with a model whose next word depends on all words and `salt`."""

    def model(text: Sequence[str]) -> dict[str, float]:
        draw = random.Random(f"{salt} {text}")
        return {word: draw.random() for word in ("sea", "tide", "late", "calm")}

    right = ["the"]
    for _ in range(n):
        chances = model(right)
        right.append(max(chances, key=chances.__getitem__))
    given = answer(model, ["the"], n)
    require(given == right, f"with another model you get {given}, not {right}")


_CHANCES = (1 / 2, 1 / 8, 1 / 16, 1 / 4)
_SUM = sum(_CHANCES)

by_hand(
    "1.3",
    "Bits by hand",
    hints=(
        "Count the halvings: how often must 1 be halved to get 1/8?",
        "The bits of the pieces add up. Their probabilities do not: each is the "
        "probability of one piece *given* those before it.",
        "The pieces cost 1, 3, 4 and 2 bits. Divide their sum by the 16 bytes; and the "
        "probability of the whole is 1 halved as many times as the sum says.",
    ),
    fields=("bits", "bits per byte", "probability"),
    expected="three numbers",
    rules=[
        *(
            must_not_be(0, value, f"{{0}} bits: {why}")
            for value, why in (
                (-10, "bits are counted as positive numbers: how often 1 was halved"),
                (
                    10 * math.log(2),
                    "that is with the natural logarithm; count halvings",
                ),
                (2.5, "that is the mean per piece; the whole text costs the sum"),
                (-math.log2(_SUM), "probabilities were added before counting bits"),
                (sum(1 / p for p in _CHANCES), "1/8 costs three halvings, not eight"),
                (-math.log2(_SUM / 4), "take the bits first, then add"),
            )
        ),
        must_be(0, 10, "the text does not cost {0} bits"),
        *(
            must_not_be(1, value, f"{{1}}: {why}")
            for value, why in (
                (2.5, "those are bits per piece; divide by the bytes"),
                (1.6, "that is bytes per bit; turn the fraction over"),
                (10 / 128, "the text has 16 bytes; their 128 bits do not matter here"),
            )
        ),
        must_be(1, 0.625, "{1} bits per byte is not it"),
        *(
            must_not_be(2, value, f"{{2}}: {why}")
            for value, why in (
                (_SUM, "these probabilities do not add up; they multiply"),
                (_SUM / 4, "that is the mean of the probabilities; multiply them"),
                (1 / 10, "ten bits are ten halvings, not a tenth"),
                (min(_CHANCES), "all four pieces must come, not only the rarest"),
            )
        ),
        must_be(2, 1 / 1024, "the probability of the text is not {2}", 5e-6),
    ],
    right="Right: 10 bits, 0.625 bits per byte, and 1/1024, ten halvings of 1.",
)


@exercise(
    "1.4",
    "Coverage",
    hints=(
        "Which words are known? Only `words` decides that; `test` is then read with "
        "them.",
        "`Counter(words).most_common(n)` gives pairs of a word and its count, the most "
        "frequent first.",
        "Make a set of the words in those pairs. Then add up, over `test`, how many "
        "are in the set, and divide by the length of `test`.",
    ),
)
def coverage(answer: Callable[[list[str], list[str], int], float]) -> str:
    """Three of `TOY`'s words cover five of eight, but not the different ones."""
    words = ["a"] * 5 + ["b"] * 4 + ["c"] * 3 + ["d"] * 2 + ["e"]
    test = ["a", "a", "a", "d", "e", "b", "z", "z"]
    given = answer(list(words), list(test), 2)
    said = f"with words {words}, test {test} and n = 2 you get {given!r}"
    require(not _close(given, 50), f"{said}: give a share from 0 to 1")
    for wrong, why in (
        (2 / 5, "words that occur several times in test count several times"),
        (5 / 8, "the known words are the most frequent of `words`, not of `test`"),
        (6 / 8, "only the n most frequent words are known"),
        (4 / 5, "only the n most frequent words are known"),
        (9 / 15, "the share is that of `test`, not of `words`"),
        (4 / 15, "divide by the length of `test`"),
        (2 / 8, "the known words are the most frequent, not the rarest"),
        (4.0, "divide by the length of `test`"),
    ):
        require(not _close(given, wrong), f"{said}: {why}")
    require(_close(given, 4 / 8), f"{said}; expected 0.5")
    everything = answer(list(words), list(test), 99)
    require(_close(everything, 6 / 8), "with n = 99 all of `words` is known: 0.75")
    for chance in fresh(4):
        counts = dict(zip("abcde", chance.sample(range(1, 20), 5), strict=True))
        words = list(Counter(counts).elements())
        chance.shuffle(words)
        n = chance.randint(1, 4)
        known = sorted(counts, key=counts.__getitem__)[-n:]
        test = [*chance.choices("abcdez", k=12), known[0]]
        right = sum(word in known for word in test) / len(test)
        given = answer(list(words), list(test), n)
        require(
            _close(given, right),
            f"with words that occur {counts} times, test {test} and n = {n} you get "
            f"{given!r}, not {right:g}",
        )
    return "Right: known by one text, counted in the other."


by_hand(
    "1.5",
    "A training in numbers",
    hints=(
        "How many hours does each GPU work? And how many seconds has an hour?",
        "30 million hours, shared by 10,000 GPUs, are 3,000 hours each. For the second "
        "number, the number of GPUs does not matter.",
        "3,000 hours, in days of 24. And 15 trillion tokens, divided by 30 million "
        "hours of 3,600 seconds.",
    ),
    fields=("days", "tokens per second and GPU"),
    expected="two numbers",
    rules=[
        must_not_be(0, 3000, "3,000 are the hours of each GPU; give days"),
        must_not_be(0, 1.25e6, "those are the days of a single GPU"),
        must_be(0, 125, "it does not take {0} days"),
        *(
            must_not_be(1, value, f"{{1}}: {why}")
            for value, why in (
                (500_000, "that is per hour; an hour has 3,600 seconds"),
                (500_000 / 60, "that is per minute"),
                (15e12 / (3000 * 3600), "that is what all GPUs read together"),
                (138_889, "15 trillion are 15 with twelve zeros"),
            )
        ),
        must_not_be(1, 0.1389, "{1}: 15 trillion are 15 with twelve zeros"),
        must_be(1, 138.9, "a GPU does not read {1} per second", 1.4),
    ],
    right="Right: 125 days, and about 139 tokens per second on each GPU.",
)


by_hand(
    "1.6",
    "Where the jump comes from",
    hints=(
        "For one token the answer is given in the question.",
        "You look for the number whose tenth power is 1/2. Try 0.9, then a larger one.",
        "The tenth root of 0.5 is `0.5 ** (1 / 10)`; the third number is found in the "
        "same way.",
    ),
    fields=("p for 1 token", "p for 10 tokens", "p for 100 tokens"),
    expected="three probabilities",
    rules=[
        *(
            must_be(place, 0.5, "probabilities are from 0 to 1", 0.5)
            for place in range(3)
        ),
        must_be(0, 0.5, "with one token, p is the share itself, not {0}"),
        must_not_be(
            1, 0.5**10, "that is how often ten tokens are right if p is 0.5; find p"
        ),
        must_not_be(1, 0.05, "the chances multiply; they are not shared out"),
        must_not_be(1, 0.95, "0.95 to the power of 10 is 0.60; a little less"),
        must_be(1, 0.5**0.1, "{1} to the power of 10 is {1^10}, not 0.5", 0.001),
        must_be(2, 0.5**0.01, "{2} to the power of 100 is {2^100}, not 0.5", 0.001),
    ],
    right="Right: 0.5, 0.933 and 0.993. Long answers ask for near certainty.",
)
