"""What `llmbook classify` does: files and standard input around `classify`'s functions.

Not built on a page: chapter 6 builds what is called here.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from llmbook_utils.classify import (
    Classifier,
    Confusion,
    balance,
    classify,
    confusion,
    drop_near_duplicates,
    fine_tune,
    fit_temperature,
    load_classifier,
    log_odds,
    logit,
    logits_of,
    replace_head,
    save_classifier,
    split,
    wilson,
)
from llmbook_utils.env import pick_device
from llmbook_utils.files.datasets import DATASETS, fetch
from llmbook_utils.files.labeled import Message, parse_labeled, read_labeled
from llmbook_utils.pretrained import load_pretrained

STDIN = "-"


def messages_of(file: str, labels: Sequence[str]) -> list[Message]:
    """The messages of a file, of a data set by its name, or of standard input."""
    if file == STDIN:
        return parse_labeled(sys.stdin.buffer.read(), "standard input", labels)
    known = file in DATASETS and not Path(file).exists()
    return read_labeled(fetch(file) if known else file, labels)


def share(messages: Sequence[Message]) -> float:
    """The share of the second label."""
    return sum(label for _, label in messages) / len(messages)


def train(
    file: str,
    out: str,
    *,
    model: str,
    device: str,
    labels: tuple[str, str],
    balanced: bool,
    epochs: int,
    lr: float,
    max_length: int,
    seed: int,
) -> Iterator[str]:
    """Fine-tune on the training part of a file, save, and yield lines that say how.

    What makes no run raises ValueError before anything is written.
    """
    if epochs < 1 or not (lr > 0 and math.isfinite(lr)):
        raise ValueError(f"epochs are {epochs} and lr is {lr}; both must be above 0")
    messages = messages_of(file, labels)
    kept = drop_near_duplicates(messages)
    training, validation, test = split(kept)
    for name, label in zip(labels, (0, 1), strict=True):
        if label not in {y for _, y in training}:
            raise ValueError(
                f"of {len(messages):,} messages, {len(kept):,} of them different, none "
                f"of {name!r} is in the training part; give more messages"
            )
    yield f"{len(messages):,} messages, {len(kept):,} without near-duplicates:"
    for part, found in (("training", training), ("test", test)):
        yield f"  {part} {len(found):,}, {sum(y for _, y in found):,} {labels[1]}"
    learned = balance(training, seed) if balanced else training
    base, tokenizer = load_pretrained(model, device=pick_device(device))
    if not 1 <= max_length <= base.config.context_length:
        raise ValueError(
            f"max-length is {max_length}; {model!r} reads 1 to "
            f"{base.config.context_length} tokens"
        )
    base = replace_head(base, seed=seed)
    options = {"epochs": epochs, "lr": lr, "max_length": max_length, "seed": seed}
    fine_tune(base, tokenizer, learned, **options)  # type: ignore[arg-type]
    made = Classifier(base, tokenizer, labels, max_length)
    made = corrected(made, validation, logit(share(training)) - logit(share(learned)))
    save_classifier(made, out)
    if test:
        yield "on the test part:"
        yield from report(judge(made, test))
    yield f"the classifier is in {out}"


def corrected(
    made: Classifier, validation: Sequence[Message], shift: float
) -> Classifier:
    """The classifier with the prior of the training part, and a temperature.

    Without both labels in the validation part the temperature stays 1.
    """
    if not 0 < sum(label for _, label in validation) < len(validation):
        return Classifier(
            made.model, made.tokenizer, made.labels, made.max_length, shift=shift
        )
    texts = [text for text, _ in validation]
    odds = log_odds(
        logits_of(made.model, made.tokenizer, texts, max_length=made.max_length)
    )
    labels = [label for _, label in validation]
    t = fit_temperature(odds + shift, labels)
    return Classifier(
        made.model, made.tokenizer, made.labels, made.max_length, t, shift / t
    )


def judge(made: Classifier, messages: Sequence[Message]) -> Confusion:
    """Count a classifier's verdicts against the labels."""
    verdicts = classify(made, [text for text, _ in messages])
    said = [made.labels.index(verdict.label) for verdict in verdicts]
    return confusion([label for _, label in messages], said)


def report(c: Confusion) -> Iterator[str]:
    """The scores of some verdicts, in lines."""
    low, high = wilson(c.right, c.total)
    yield f"  accuracy {c.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f})"
    yield f"  precision {c.precision:.4f}, recall {c.recall:.4f}, F1 {c.f1:.4f}"
    yield (
        f"  true positives {c.true_positives}, false positives {c.false_positives}, "
        f"false negatives {c.false_negatives}, true negatives {c.true_negatives}"
    )


def evaluate(file: str, folder: str, part: str, device: str) -> Iterator[str]:
    """Yield lines with the scores of a classifier on a file, or on its test part."""
    made = load_classifier(folder, device)
    messages = messages_of(file, made.labels)
    if part == "test":
        messages = split(drop_near_duplicates(messages))[2]
        if not messages:
            raise ValueError(f"{file} has no message in its test part; use --part all")
    yield f"{len(messages):,} messages:"
    yield from report(judge(made, messages))


def predict(file: str, folder: str, device: str) -> Iterator[str]:
    """Yield a line of JSON for each line of a file or of standard input, at once.

    A line without a verdict gets its number and an error; the next one is read.
    """
    made = load_classifier(folder, device)
    stream = sys.stdin.buffer if file == STDIN else open(file, "rb")  # noqa: SIM115
    with stream:
        for number, line in enumerate(stream, start=1):
            yield json.dumps({"line": number} | verdict_on(made, line))


def verdict_on(made: Classifier, line: bytes) -> dict[str, str | float]:
    """The verdict on one line, or what is wrong with it."""
    try:
        (verdict,) = classify(made, [line.decode("utf-8").strip()])
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{error.object[error.start]:02x} at offset {error.start}"
        return {"error": f"not UTF-8 text: {wrong}"}
    except ValueError as error:
        return {"error": str(error)}
    return {
        "label": verdict.label,
        "probability": round(verdict.probability, 6),
        "log_odds": round(verdict.log_odds, 4),
    }
