"""What a classifier has to beat: rules of a line, and scikit-learn's simplest models.

Not built on a page: chapter 6 compares with them.
"""

import re
from collections.abc import Callable, Sequence

from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from llmbook_utils.classify import confusion
from llmbook_utils.files.labeled import Message

# chosen before anything was measured, by reading a few dozen messages
KEYWORDS = {
    *("call", "cash", "claim", "free", "mobile"),
    *("prize", "stop", "txt", "urgent", "win"),
}
Verdicts = Callable[[Sequence[str]], list[int]]


def majority(messages: Sequence[Message]) -> Verdicts:
    """The more frequent label, whatever the text."""
    label = int(2 * sum(label for _, label in messages) > len(messages))
    return lambda texts: [label] * len(texts)


def keywords(messages: Sequence[Message]) -> Verdicts:
    """Spam if enough of the ten words occur; how many is enough, the messages say."""

    def counts(texts: Sequence[str]) -> list[int]:
        words = [set(re.findall("[a-z]+", text.lower())) for text in texts]
        return [len(found & KEYWORDS) for found in words]

    found, labels = counts([text for text, _ in messages]), [y for _, y in messages]
    needed = max(
        (1, 2, 3, 4), key=lambda n: confusion(labels, [c >= n for c in found]).f1
    )
    return lambda texts: [int(count >= needed) for count in counts(texts)]


def digits(messages: Sequence[Message]) -> Verdicts:
    """Spam if the text has five digits or more; nothing is learned."""
    return lambda texts: [int(sum(map(str.isdigit, text)) >= 5) for text in texts]


def fitted(pipeline: object, messages: Sequence[Message]) -> Verdicts:
    """What a pipeline of scikit-learn says after it has seen the messages."""
    texts, labels = zip(*messages, strict=True)
    pipeline.fit(texts, labels)  # type: ignore[attr-defined]
    return lambda texts: pipeline.predict(texts).tolist()  # type: ignore[attr-defined]


def naive_bayes(messages: Sequence[Message]) -> Verdicts:
    """Naive Bayes on the counts of words, all settings as they come."""
    return fitted(make_pipeline(CountVectorizer(), MultinomialNB()), messages)


def naive_bayes_characters(messages: Sequence[Message]) -> Verdicts:
    """Naive Bayes on the counts of runs of 1 to 4 characters."""
    counts = CountVectorizer(analyzer="char", ngram_range=(1, 4))
    return fitted(make_pipeline(counts, MultinomialNB()), messages)


def regression(messages: Sequence[Message]) -> Verdicts:
    """Logistic regression on weighted words."""
    model = LogisticRegression(C=100, max_iter=1000)
    return fitted(make_pipeline(TfidfVectorizer(), model), messages)


def regression_characters(messages: Sequence[Message]) -> Verdicts:
    """Logistic regression on weighted runs of 1 to 4 characters."""
    runs = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True)
    model = LogisticRegression(C=100, max_iter=1000)
    return fitted(make_pipeline(runs, model), messages)


BASELINES: dict[str, Callable[[Sequence[Message]], Verdicts]] = {
    "majority": majority,
    "ten keywords": keywords,
    "five digits or more": digits,
    "naive Bayes, words": naive_bayes,
    "naive Bayes, characters": naive_bayes_characters,
    "logistic regression, words": regression,
    "logistic regression, characters": regression_characters,
}
