"""Wrong answers to chapter 1's exercises, and words that their verdicts must hold."""

import math
from collections import Counter
from itertools import pairwise


def shares(found, total):
    return {word: count / total for word, count in Counter(found).items()}


def followers(words, word):
    return [after for before, after in pairwise(words) if before == word]


def counted(words, word):
    return dict(Counter(followers(words, word)))


def of_all(words, word):
    return shares(followers(words, word), len(words))


def by_count(words, word):
    return shares(followers(words, word), words.count(word))


def of_pairs(words, word):
    return shares(followers(words, word), len(words) - 1)


def backwards(words, word):
    found = [before for before, after in pairwise(words) if after == word]
    return shares(found, len(found) or 1)


def flat(words, word):
    found = set(followers(words, word))
    return {one: 1 / len(found) for one in found}


def first_only(words, word):
    return shares(followers(words, word)[:1], 1)


def overwritten(words, word):
    return {after: 1.0 for before, after in pairwise(words) if before == word and after}


def last_only(words, word):
    return shares(followers(words, word)[-1:], 1)


def never_itself(words, word):
    found = [one for one in followers(words, word) if one != word]
    return shares(found, len(found) or 1)


def everything(words, word):
    return shares(words, len(words))


def as_pairs(words, word):
    return list(counted(words, word).items())


def by_steps(words, word):
    """In steps of two: half of the pairs are missed."""
    found = [b for a, b in zip(words[::2], words[1::2], strict=False) if a == word]
    return shares(found, len(found) or 1)


def divided_by_zero(words, word):
    found = followers(words, word)
    one_of = 1 / len(found)
    return {name: count * one_of for name, count in Counter(found).items()}


def destroyed(words, word):
    result = shares(followers(words, word), len(followers(words, word)) or 1)
    words.clear()
    return result


def cover(*, known=None, unit=None, distinct=False, top=True, of=None):
    def answer(words, test, n):
        source = test if known == "test" else words
        best = Counter(source).most_common()
        best = best[:n] if top is True else best[-n:] if top == "rare" else best
        names = {word for word, _ in best}
        read = set(test) if distinct else words if of == "words" else test
        found = sum(word in names for word in read)
        return (
            found * (100 if unit == "%" else 1) / (1 if unit == "count" else len(read))
        )

    return answer


def written(*, copy=True, fresh=True, whole=True, rule="max", new_only=False, extra=0):
    def answer(model, words, n):
        text = list(words) if copy else words
        for _ in range(n + extra):
            view = text if fresh else words
            chances = model(view if whole else view[-1:])
            if not chances:
                break
            if rule == "max":
                best = max(chances, key=chances.get)
            elif rule == "min":
                best = min(chances, key=chances.get)
            else:
                best = max(chances)
            text.append(best)
        return text[len(text) - n :] if new_only else text

    return answer


def endless(model, words, n):
    text = list(words)
    for _ in range(n):
        chances = model(text) or {"…": 1.0}
        text.append(max(chances, key=chances.get))
    return text


def stuck(model, words, n):
    """Asks the model once more than it looks: each second answer is an old one."""
    text, chances = list(words), {}
    for i in range(n):
        chances = chances if i % 2 else model(text)
        text.append(max(chances, key=chances.get))
    return text


PLANTED = {
    "1.1": [
        ("counts", "these are counts; divide by their sum", counted),
        ("of all words", "divide by how often the word was followed", of_all),
        ("of all pairs", "divide by how often the word was followed", of_pairs),
        ("backwards", "that is what came before the word", backwards),
        ("flat", "each counts the same", flat),
        ("first only", "only the first occurrence was looked at", first_only),
        ("last only", "only the last occurrence is left", last_only),
        ("not itself", "a word may follow itself", never_itself),
        ("everything", "all words were counted", everything),
        ("pairs", "gives list; expected a dictionary", as_pairs),
        ("in steps of two", "a follower is missing", by_steps),
        ("division", "ZeroDivisionError", divided_by_zero),
        ("cleared", "has changed", destroyed),
        ("overwritten", "together 3, not 1", overwritten),
        ("by occurrences", "the last word of the text is followed by", by_count),
    ],
    "1.2": [
        ("not copied", "has changed; copy it", written(copy=False)),
        ("stale", "just appended", written(fresh=False)),
        ("last word", "not only its last word", written(whole=False)),
        ("least", "least likely word", written(rule="min")),
        ("alphabet", "last word of the alphabet", written(rule="name")),
        ("new only", "not only the new part", written(new_only=True)),
        ("one more", "4 new, not 3", written(extra=1)),
        ("one less", "1 new, not 3", written(extra=-2)),
        ("a string", "expected a list, got str", lambda m, w, n: " ".join(w)),
        ("fixed", "word 3', 'word 5'], not", stuck),
        ("endless", "the text ends: 7 words", endless),
    ],
    "1.3": [
        ("negative", "positive numbers", [-10, 0.625, 1 / 1024]),
        ("natural", "natural logarithm", [10 * math.log(2), 0.433, 1 / 1024]),
        ("mean", "mean per piece", [2.5, 0.625, 1 / 1024]),
        ("added", "added before counting", [-math.log2(15 / 16), 0.6, 15 / 16]),
        ("inverse", "three halvings, not eight", [30, 1.875, 1 / 1024]),
        ("mean first", "take the bits first", [-math.log2(15 / 64), 0.1, 0.2]),
        ("bits wrong", "does not cost 9 bits", [9, 9 / 16, 1 / 512]),
        ("per piece", "bits per piece", [10, 2.5, 1 / 1024]),
        ("upside down", "turn the fraction over", [10, 1.6, 1 / 1024]),
        ("of bits", "128 bits do not matter", [10, 10 / 128, 1 / 1024]),
        ("sum", "do not add up", [10, 0.625, 15 / 16]),
        ("mean of chances", "mean of the probabilities", [10, 0.625, 15 / 64]),
        ("a tenth", "ten halvings, not a tenth", [10, 0.625, 0.1]),
        ("rarest", "not only the rarest", [10, 0.625, 1 / 16]),
        ("two", "expected three numbers, got 2", [10, 0.625]),
    ],
    "1.4": [
        ("percent", "share from 0 to 1", cover(unit="%")),
        ("different", "count several times", cover(distinct=True)),
        ("of the test", "not of `test`", cover(known="test")),
        ("all known", "only the n most frequent", cover(top="all")),
        ("count", "divide by the length", cover(unit="count")),
        ("rarest", "not the rarest", cover(top="rare")),
        ("of words", "not of `words`", cover(of="words")),
    ],
    "1.5": [
        ("hours", "give days", [3000, 139]),
        ("one GPU", "days of a single GPU", [1.25e6, 139]),
        ("per hour", "that is per hour", [125, 500_000]),
        ("together", "all GPUs read together", [125, 15e12 / 3000 / 3600]),
        ("zeros", "twelve zeros", [125, 0.1389]),
    ],
    "1.6": [
        ("power", "find p", [0.5, 0.5**10, 0.5**100]),
        ("shared", "they are not shared out", [0.5, 0.05, 0.005]),
        ("close", "a little less", [0.5, 0.95, 0.99]),
        ("the last", "not 0.5", [0.5, 0.933, 0.99]),
        ("percent", "from 0 to 1", [50, 93.3, 99.3]),
        ("first", "p is the share itself", [1.0, 0.933, 0.993]),
    ],
}
