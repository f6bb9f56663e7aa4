"""How good are answers? Four metrics, their intervals, controls, and a model as judge.

Built in chapters/07-fine-tuning-to-follow-instructions.ipynb. Left out: metrics that
compare meanings by embeddings, and human judges.
"""

import hashlib
import json
import random
import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmbook_utils.files.chat import ChatError, Reply, ServerMissingError
from llmbook_utils.files.instructions import Entry
from llmbook_utils.files.ledger import Ledger


def normalize(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation and articles.

    Source: Rajpurkar et al. (2016).

    >>> normalize('The opposite of "hot" is "cold".')
    ['opposite', 'of', 'hot', 'is', 'cold']
    """
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in plain.split() if word not in ("a", "an", "the")]


def exact_match(answer: str, reference: str) -> float:
    """1.0 where both have the same words in the same order, else 0.0.

    >>> exact_match("a cat", "The cat."), exact_match("two cats", "The cat.")
    (1.0, 0.0)
    """
    return float(normalize(answer) == normalize(reference))


def f1(shared: int, n_answer: int, n_reference: int) -> float:
    """The harmonic mean of what is right in the answer and what is found of the rest.

    >>> f1(2, 4, 2)
    0.6666666666666666
    """
    if n_answer + n_reference == 0:
        return 1.0  # nothing was wanted, and nothing said
    return 2 * shared / (n_answer + n_reference)


def token_f1(answer: str, reference: str) -> float:
    """F1 of the words that both have, in any order: from 0.0 to 1.0.

    Source: Rajpurkar et al. (2016).

    >>> token_f1("Man bites dog.", "Dog bites man.")
    1.0
    """
    ours, theirs = normalize(answer), normalize(reference)
    shared = (Counter(ours) & Counter(theirs)).total()
    return f1(shared, len(ours), len(theirs))


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest sequence that both hold, with or without gaps.

    >>> longest_common("the cat sat down".split(), "the big cat sat".split())
    3
    """
    row = [0] * (len(b) + 1)  # row[j]: for what came of a, and the first j of b
    for x in a:
        above = row
        row = [0]
        for j, y in enumerate(b, start=1):
            row.append(above[j - 1] + 1 if x == y else max(above[j], row[-1]))
    return row[-1]


def rouge_l(answer: str, reference: str) -> float:
    """F1 of the longest common sequence of words: from 0.0 to 1.0.

    Order counts, gaps do not. Articles are words here. Source: Lin (2004).

    >>> rouge_l("Man bites dog.", "Dog bites man.")
    0.3333333333333333
    """
    ours, theirs = (re.findall("[a-z0-9]+", t.lower()) for t in (answer, reference))
    if not ours or not theirs:
        return 0.0
    return f1(longest_common(ours, theirs), len(ours), len(theirs))


def obeys_format(answer: str, reference: str) -> float:
    """1.0 where an answer has the form of the reference, whatever it says.

    It must not be empty nor go on with a prompt of its own, it must be a sentence (with
    a capital letter and an end) where the reference is one, and have as many lines.

    >>> obeys_format("It is a fish.", "It is a dove."), obeys_format("fish", "A dove.")
    (1.0, 0.0)
    """
    answer, reference = answer.strip(), reference.strip()
    if not answer or re.search(r"###|<\|", answer):
        return 0.0
    return float(form_of(answer) == form_of(reference))


def form_of(text: str) -> tuple[bool, bool, int]:
    """Whether a text begins and ends like a sentence, and its number of lines."""
    letters = text.lstrip("\"'“‘")
    ends = text.rstrip("\"'”’").endswith((".", "!", "?"))
    return letters[:1].isupper(), ends, len(text.splitlines())


Metric = Callable[[str, str], float]
METRICS: dict[str, Metric] = {
    "exact match": exact_match,
    "token F1": token_f1,
    "ROUGE-L": rouge_l,
    "format": obeys_format,
}


def bootstrap(
    values: Sequence[float], *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The interval of a mean: what the mean would be of other, similar entries.

    `draws` times as many values are drawn, with repetition. No values raise ValueError.
    Source: Efron (1979).
    """
    if not len(values):
        raise ValueError("there are no values to take a mean of; give one at least")
    if not 0 < level < 1 or draws < 1:
        raise ValueError(f"level is {level}, draws {draws}; expected 0 to 1, 1 or more")
    numbers, draw = np.asarray(values, float), np.random.default_rng(seed)
    drawn = draw.integers(len(numbers), size=(draws, len(numbers)))
    edge = (1 - level) / 2
    low, high = np.quantile(numbers[drawn].mean(axis=1), [edge, 1 - edge])
    return float(low), float(high)


@dataclass(frozen=True)
class Score:
    """A mean with its interval, and the number of values behind it."""

    mean: float
    low: float
    high: float
    n: int


def summarize(values: Sequence[float], seed: int = 0) -> Score:
    """Mean and bootstrap interval of values; none raise ValueError."""
    low, high = bootstrap(values, seed=seed)
    return Score(float(np.mean(values)), low, high, len(values))


def check_pairs(answers: Sequence[str], entries: Sequence[Entry]) -> None:
    """Raise ValueError unless there is one answer for each entry, and one at least."""
    if len(answers) != len(entries) or not entries:
        raise ValueError(
            f"there are {len(answers)} answers and {len(entries)} entries; expected "
            "one answer per entry, and one entry at least"
        )


def score(
    answers: Sequence[str],
    entries: Sequence[Entry],
    by: Callable[[Entry], str] = lambda entry: "all",
) -> dict[str, dict[str, Score]]:
    """Every metric on answers: {group: {metric: score}}, groups named by `by`.

    `score(answers, entries, lambda entry: entry.kind)` makes a table per kind. Other
    lengths raise ValueError.
    """
    check_pairs(answers, entries)
    groups: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for answer, entry in zip(answers, entries, strict=True):
        groups[by(entry)].append((answer, entry.output))
    return {
        group: {
            name: summarize([metric(*pair) for pair in groups[group]])
            for name, metric in METRICS.items()
        }
        for group in sorted(groups)
    }


def controls(entries: Sequence[Entry], seed: int = 0) -> dict[str, list[str]]:
    """Answers whose worth is known: they say what a metric's numbers mean.

    The references are the ceiling. Those of other entries are the floor of a model that
    writes well and does not read; empty answers are that of one that says nothing.
    """
    references = [entry.output for entry in entries]
    order = random.Random(seed).sample(range(len(references)), len(references))
    # each gets the answer of the next one in a random order, so nobody its own
    given = dict(zip(order, order[1:] + order[:1], strict=True))
    return {
        "references": references,
        "shuffled references": [references[given[i]] for i in range(len(references))],
        "empty answers": [""] * len(references),
    }


JUDGE_PROMPT = """You grade answers to requests.

Request: {request}
Correct answer: {reference}
Answer to grade: {answer}

How good is the answer to grade, from 0 (useless) to 100 (as good as the correct one)?
Reply with the number only."""

PAIR_PROMPT = """You compare two answers to a request.

Request: {request}
Answer A: {first}
Answer B: {second}

Which one is better? Reply with the letter only: A, B, or T for a tie."""


def request_of(entry: Entry) -> str:
    """An entry's instruction and input as one text."""
    return f"{entry.instruction}\n{entry.input}".strip()


def judge_prompt(entry: Entry, answer: str) -> str:
    """What a judge is asked for a grade."""
    return JUDGE_PROMPT.format(
        request=request_of(entry), reference=entry.output, answer=answer
    )


def pair_prompt(entry: Entry, first: str, second: str) -> str:
    """What a judge is asked to compare two answers; their order may sway it."""
    return PAIR_PROMPT.format(request=request_of(entry), first=first, second=second)


def parse_grade(text: str) -> float | None:
    """The grade from 0 to 100 that a judge gave; None where there is no single one.

    >>> [parse_grade(said) for said in ("95/100", "Score: 80", "I'd give it ninety")]
    [95.0, 80.0, None]
    """
    text = re.sub(r"<think>.*?(</think>|$)", "", text, flags=re.S)  # not the verdict
    number = r"(-?\d+(?:\.\d+)?)"
    named = re.findall(
        rf"(?:score|grade|rating)\W{{0,6}}(?:is\W+)?{number}", text, re.I
    )
    shares = re.findall(rf"{number}\s*(?:/|out of)\s*(\d+)", text, re.I)
    if shares:
        grades = {100 * float(a) / float(b) for a, b in shares if float(b) in (10, 100)}
    else:
        grades = {float(n) for n in named or re.findall(number, text)}
    if len(grades) != 1 or not 0 <= (grade := grades.pop()) <= 100:
        return None
    return grade


def parse_choice(text: str) -> str | None:
    """The answer that a judge preferred, "A", "B" or "T" (tie); None where unclear.

    >>> [parse_choice(said) for said in ("A", "Answer B is better.", "Both are fine")]
    ['A', 'B', None]
    """
    text = re.sub(r"<think>.*?(</think>|$)", "", text, flags=re.S).strip()
    if alone := re.fullmatch(r"[\W_]*([ABT])[\W_]*", text.upper()):
        return alone[1]
    # a capital letter by itself; before another word, "A" is mostly an article
    verbs = r"(?:is|was|has|wins|because|and|or)\b"
    found = set(re.findall(rf"\b(?:[BT]\b|A\b(?! (?!{verbs})[a-z]))", text))
    return found.pop() if len(found) == 1 else None


Judge = Callable[[str], Reply]  # a prompt in, a reply out; it may raise ChatError


@dataclass
class Verdicts:
    """What a judge said of each prompt, and what that cost."""

    values: list[float | str | None]  # None: not readable, or no reply
    unparsed: int = 0  # replies without a verdict
    failed: int = 0  # prompts without a reply; the next run asks them again
    reason: str = ""  # why the last of these failed
    reused: int = 0  # replies that an earlier run had paid for
    tokens: int = 0  # read and written, by the replies of this run
    cost: float = 0.0  # in the currency of the judge's prices, of this run
    seconds: float = 0.0  # spent waiting, in this run

    @property
    def readable(self) -> list[float | str]:
        return [value for value in self.values if value is not None]

    def __str__(self) -> str:
        n = len(self.readable)
        return (
            f"{n} of {len(self.values)} verdicts ({self.unparsed} unreadable, "
            f"{self.failed} failed, {self.reused} from an earlier run); "
            f"{self.tokens:,} tokens, cost {self.cost:.4f}, {self.seconds:.1f} s"
            + (f"; the last failure: {self.reason}" if self.reason else "")
        )


def ask_judge(
    judge: Judge,
    prompts: Sequence[str],
    results: str | Path,
    *,
    parse: Callable[[str], float | str | None] = parse_grade,
    name: str = "judge",
    give_up: int = 5,
) -> Verdicts:
    """Ask a judge about each prompt, and keep every reply in the file `results`.

    A reply is in the file before the next prompt is asked, so a run that is killed
    loses none, and the next one asks only what is missing; `name` tells judges apart in
    one file. A prompt that gets no reply counts as failed; after `give_up` of them in a
    row, and where there is no server, the rest would fail like them: ChatError.
    """
    found, in_a_row = Verdicts([]), 0
    with Ledger(results) as ledger:
        for prompt in prompts:
            key = hashlib.sha256(json.dumps([name, prompt]).encode()).hexdigest()
            if (text := ledger.get(key)) is not None:
                found.reused += 1
            else:
                try:
                    reply = judge(prompt)
                except ServerMissingError:
                    raise
                except ChatError as error:
                    found.failed, in_a_row = found.failed + 1, in_a_row + 1
                    found.reason = str(error)
                    found.values.append(None)
                    if in_a_row == give_up:
                        raise ChatError(
                            f"{give_up} failures in a row: {error}"
                        ) from error
                    continue
                in_a_row = 0
                ledger.add(key, reply.text, tokens=reply.tokens, cost=reply.cost)
                text = reply.text
                found.tokens += reply.tokens
                found.cost += reply.cost
                found.seconds += reply.seconds
            found.values.append(parse(text))
            found.unparsed += found.values[-1] is None
    return found


@dataclass(frozen=True)
class Bias:
    """How often a judge's choice follows something other than the answers' worth."""

    first: float  # share of choices for the answer that came first
    longer: float  # share of choices for the longer answer
    changed: float  # share of pairs whose winner changes with their order
    n: int  # pairs that were readable in both orders


def judge_bias(
    pairs: Sequence[tuple[str, str]],
    forward: Sequence[float | str | None],
    backward: Sequence[float | str | None],
) -> Bias:
    """Position and verbosity bias of choices "A", "B" or "T".

    `pairs` are two answers each, `forward` the choices with the first of them as A, and
    `backward` those with the second as A. Of a fair judge `first` is 0.5 and `changed`
    0. A tie counts half. Nothing readable raises ValueError.
    """
    share = {"A": 1.0, "T": 0.5, "B": 0.0}
    rows = [
        (pair, share[str(f)], share[str(b)])
        for pair, f, b in zip(pairs, forward, backward, strict=True)
        if f is not None and b is not None
    ]
    if not rows:
        raise ValueError("no pair has a readable choice in both orders")
    first = [(f + b) / 2 for _, f, b in rows]
    changed = [f != 1 - b for _, f, b in rows]
    # the first of a pair is A in one order and B in the other
    longer = [
        won if len(x) > len(y) else 1 - won
        for (x, y), f, b in rows
        for won in [(f + 1 - b) / 2]
        if len(x) != len(y)
    ]
    return Bias(
        float(np.mean(first)),
        float(np.mean(longer)) if longer else 0.5,
        float(np.mean(changed)),
        len(rows),
    )
