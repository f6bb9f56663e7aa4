"""Classify texts with a GPT: a new head, read at the last real token, and its training.

Built in chapters/06-fine-tuning-for-classification.ipynb. Two classes; left out: more
of them, and texts that have several labels.
"""

import hashlib
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tiktoken
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from llmbook_utils.env import pick_device
from llmbook_utils.files.classifier import (
    classifier_config,
    read_settings,
    read_tensors,
    write_classifier,
)
from llmbook_utils.files.gpt2 import CONFIG, WEIGHTS, check_names
from llmbook_utils.files.labeled import SPAM_LABELS, Message
from llmbook_utils.loss import IGNORED, Batch
from llmbook_utils.model import GPTModel, evaluating
from llmbook_utils.pretrained import (
    check_vocabulary,
    convert,
    gpt2_name,
    read_config,
    to_gpt2,
    to_gpt2_config,
)
from llmbook_utils.tokenizer import get_encoding
from llmbook_utils.train import History, Progress, create_optimizer, train


def pieces(text: str, size: int = 5) -> set[str]:
    """All runs of `size` letters of a text, in lower case, without what is between.

    >>> sorted(pieces("Call me!"))
    ['allme', 'callm']
    """
    letters = re.sub(r"[\W\d_]+", "", text.lower()) or text
    return {letters[i : i + size] for i in range(max(1, len(letters) - size + 1))}


def drop_near_duplicates(
    messages: Sequence[Message], threshold: float = 0.7
) -> list[Message]:
    """Keep a message if it is no near-duplicate of one that was kept before.

    Near-duplicates share `threshold` or more of the pieces that either of them has
    (the Jaccard index). Digits, signs and upper case make no difference.
    """
    kept: list[Message] = []
    sizes: list[int] = []
    having: dict[str, list[int]] = defaultdict(list)  # piece -> who has it
    for text, label in messages:
        mine = pieces(text)
        shared = Counter(i for piece in mine for i in having[piece])
        alike = (n / (len(mine) + sizes[i] - n) for i, n in shared.items())
        if max(alike, default=0) < threshold:
            for piece in mine:
                having[piece].append(len(kept))
            kept.append((text, label))
            sizes.append(len(mine))
    return kept


def split(
    messages: Sequence[Message], validation: float = 0.1, test: float = 0.2
) -> tuple[list[Message], list[Message], list[Message]]:
    """Divide messages into a training, a validation and a test part by their hash.

    Where a message goes depends on its text alone: not on a seed, not on the order, and
    not on what else is in the file. The shares are met approximately.
    """
    parts: tuple[list[Message], ...] = ([], [], [])
    for text, label in messages:
        digest = hashlib.sha256(text.encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64  # from 0 to below 1
        part = 2 if place < test else 1 if place < test + validation else 0
        parts[part].append((text, label))
    return parts[0], parts[1], parts[2]


def balance(messages: Sequence[Message], seed: int = 0) -> list[Message]:
    """As many messages of one class as of the other: the larger one loses some."""
    groups = [[m for m in messages if m[1] == label] for label in (0, 1)]
    n, draw = min(map(len, groups)), random.Random(seed)
    return [message for group in groups for message in draw.sample(group, n)]


def encode(tokenizer: tiktoken.Encoding, text: str, max_length: int) -> list[int]:
    """A text's ids: without white space around it, and the first `max_length` of them.

    An empty text raises ValueError.
    """
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; it must be 1 token or more")
    if not (text := text.strip()):
        raise ValueError("the text is empty: there is no token to read a verdict at")
    return tokenizer.encode_ordinary(text)[:max_length]


def pad(rows: Sequence[Sequence[int]], length: int | None = None) -> Batch:
    """Ids of texts as one tensor (B, T), filled up on the right, and a mask (B, T).

    T is the length of the longest row, or `length`. The mask is True at real tokens.

    >>> pad([[5, 6, 7], [8]])[0].tolist()
    [[5, 6, 7], [8, 0, 0]]
    """
    T = max(map(len, rows)) if length is None else length
    if min(map(len, rows)) < 1 or max(map(len, rows)) > T:
        raise ValueError(f"a row has {[*map(len, rows)]} ids; expected 1 to {T}")
    # which id fills up makes no difference: no real token looks at it
    ids = torch.tensor([[*row, *[0] * (T - len(row))] for row in rows])
    mask = torch.arange(T) < torch.tensor([[len(row)] for row in rows])
    return ids, mask


def last_real(mask: Tensor) -> Tensor:
    """The position of each text's last real token: (B, T) -> (B,)."""
    return mask.sum(dim=1) - 1  # all padding is on the right


def last_position(mask: Tensor) -> Tensor:
    """The last position of all, padding or not, for comparison: (B, T) -> (B,)."""
    return torch.full_like(mask[:, 0], mask.shape[1] - 1, dtype=torch.long)


ReadAt = Callable[[Tensor], Tensor]


class MessageDataset(Dataset[tuple[list[int], int]]):
    """Messages as (ids, label), each cut to its first `max_length` tokens."""

    def __init__(
        self,
        messages: Sequence[Message],
        tokenizer: tiktoken.Encoding,
        max_length: int = 128,
    ):
        self.labels = [label for _, label in messages]
        self.rows = [encode(tokenizer, text, max_length) for text, _ in messages]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[list[int], int]:
        return self.rows[index], self.labels[index]


def collate(
    examples: Sequence[tuple[list[int], int]],
    read_at: ReadAt = last_real,
    length: int | None = None,
) -> Batch:
    """A batch for `train`: ids (B, T), and targets (B, T) of which one per row counts.

    The label stands where the verdict is read; all other targets are IGNORED.

    >>> collate([([5, 6, 7], 1), ([8], 0)])[1].tolist()
    [[-100, -100, 1], [0, -100, -100]]
    """
    ids, mask = pad([row for row, _ in examples], length)
    targets = torch.full_like(ids, IGNORED)
    labels = torch.tensor([label for _, label in examples])
    targets[torch.arange(len(ids)), read_at(mask)] = labels
    return ids, targets


class SimilarLengths(Sampler[list[int]]):
    """Batches of messages of similar length, in another order in every pass.

    Shuffled messages are sorted by length among every `batches` batches: a row is then
    filled up with little, and most of the time would go into padding otherwise.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        generator: torch.Generator,
        batches: int = 8,
    ):
        self.lengths, self.batch_size = lengths, batch_size
        self.generator, self.batches = generator, batches

    def __len__(self) -> int:
        return math.ceil(len(self.lengths) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(len(self.lengths), generator=self.generator).tolist()
        size, found = self.batch_size, []
        for start in range(0, len(order), size * self.batches):
            group = order[start : start + size * self.batches]
            group.sort(key=lambda i: self.lengths[i])
            found += [group[i : i + size] for i in range(0, len(group), size)]
        for i in torch.randperm(len(found), generator=self.generator).tolist():
            yield found[i]


def create_message_loader(
    messages: Sequence[Message],
    tokenizer: tiktoken.Encoding,
    *,
    batch_size: int = 16,
    max_length: int = 128,
    seed: int = 0,
    read_at: ReadAt = last_real,
    length: int | None = None,
) -> DataLoader[Batch]:
    """Serve messages in batches of `collate`; `seed` fixes which come together.

    Rows are filled up to the longest of their batch, or to `length`. No message at all
    raises ValueError.
    """
    if not messages:
        raise ValueError("there are no messages; give at least one")
    dataset = MessageDataset(messages, tokenizer, max_length)
    draws = torch.Generator().manual_seed(seed)
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=SimilarLengths([*map(len, dataset.rows)], batch_size, draws),
        collate_fn=lambda examples: collate(examples, read_at, length),
        generator=draws,
    )


def replace_head(model: GPTModel, n_classes: int = 2, seed: int = 0) -> GPTModel:
    """Put a layer of `n_classes` outputs in the place of the vocabulary head.

    The model is changed and returned: ids (B, T) in, logits (B, T, n_classes) out. The
    token embeddings, which the old head shared, stay, and are now their own.
    """
    if n_classes < 2:
        raise ValueError(f"n_classes is {n_classes}; expected 2 or more")
    weight = model.token_embedding.weight
    head = nn.Linear(model.config.emb_dim, n_classes, bias=False)
    # small weights: the first verdicts are close to even
    draws = torch.Generator().manual_seed(seed)
    nn.init.normal_(head.weight, std=0.02, generator=draws)
    model.head = head.to(weight.device, weight.dtype)
    model.config = replace(model.config, tie_embeddings=False)
    return model


def train_only(model: GPTModel, last_blocks: int | None = None) -> int:
    """Freeze all but the head, the last norm and the last blocks; None freezes nothing.

    Returns the number of parameters that are left to train.
    """
    n = len(model.blocks)
    if last_blocks is not None and not 0 <= last_blocks <= n:
        raise ValueError(f"last_blocks is {last_blocks}; this model has 0 to {n}")
    model.requires_grad_(last_blocks is None)
    trained = [] if last_blocks is None else list(model.blocks[n - last_blocks :])
    for part in (*trained, model.final_norm, model.head):
        part.requires_grad_(True)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def fine_tune(
    model: GPTModel,
    tokenizer: tiktoken.Encoding,
    messages: Sequence[Message],
    *,
    epochs: int | None = 4,
    max_steps: int | None = None,
    lr: float = 5e-4,
    batch_size: int = 16,
    max_length: int = 128,
    seed: int = 0,
    read_at: ReadAt = last_real,
    length: int | None = None,
    validation: Sequence[Message] = (),
    eval_every: int = 50,
    on_step: Callable[[Progress, dict[str, float]], None] | None = None,
) -> History:
    """Train a model that has a new head on messages, with the loop of chapter 5.

    The learning rate falls from `lr` to 0. `seed` fixes the order, and `validation`
    messages are measured every `eval_every` steps. All else is as in `train`.
    """
    torch.manual_seed(seed)  # for dropout
    loader = create_message_loader(
        messages,
        tokenizer,
        batch_size=batch_size,
        max_length=max_length,
        seed=seed,
        read_at=read_at,
        length=length,
    )
    steps = max_steps if epochs is None else epochs * len(loader)
    held_out = (
        create_message_loader(
            validation,
            tokenizer,
            batch_size=64,
            max_length=max_length,
            read_at=read_at,
            length=length,
        )
        if validation
        else None
    )
    return train(
        model,
        loader,
        optimizer=create_optimizer(model, lr, weight_decay=0.01),
        epochs=epochs,
        max_steps=max_steps,
        schedule=lambda step: lr * (1 - step / (steps or 1)),
        val_loader=held_out,
        eval_every=eval_every,
        on_step=on_step,
    )


@torch.no_grad()
def logits_of(
    model: GPTModel,
    tokenizer: tiktoken.Encoding,
    texts: Sequence[str],
    *,
    max_length: int = 128,
    batch_size: int = 64,
    read_at: ReadAt = last_real,
    length: int | None = None,
) -> Tensor:
    """The logits of texts, read at one position of each: (N, classes), on the CPU."""
    rows = [encode(tokenizer, text, max_length) for text in texts]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # less padding
    device = next(model.parameters()).device
    found = torch.empty(len(rows), model.head.out_features)
    with evaluating(model):
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            ids, mask = pad([rows[i] for i in batch], length)
            logits = model(ids.to(device))  # (B, T, classes)
            read = logits[torch.arange(len(ids)), read_at(mask)]  # (B, classes)
            found[batch] = read.float().cpu()
    return found


@dataclass(frozen=True)
class Confusion:
    """How often each verdict met each label; positive is the class looked for."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def total(self) -> int:
        return self.right + self.false_positives + self.false_negatives

    @property
    def right(self) -> int:
        return self.true_positives + self.true_negatives

    @property
    def accuracy(self) -> float:
        """The share of verdicts that are right."""
        return self.right / self.total

    @property
    def precision(self) -> float:
        """The share of positive verdicts that are right; 0 where there is none."""
        return self.true_positives / max(1, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """The share of positive labels that are found; 0 where there is none."""
        return self.true_positives / max(1, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        wrong = self.false_positives + self.false_negatives
        return 2 * self.true_positives / max(1, 2 * self.true_positives + wrong)


def confusion(labels: Sequence[int], verdicts: Sequence[int]) -> Confusion:
    """Count labels against verdicts, both 0 or 1; other lengths raise ValueError.

    >>> confusion([1, 1, 0, 0, 0], [1, 0, 1, 0, 0])
    Confusion(true_positives=1, false_positives=1, false_negatives=1, true_negatives=2)
    """
    if len(labels) != len(verdicts) or not len(labels):
        raise ValueError(
            f"there are {len(labels)} labels and {len(verdicts)} verdicts; expected "
            "one verdict per label, and one label at least"
        )
    n = Counter(zip(map(int, labels), map(int, verdicts), strict=True))
    return Confusion(n[1, 1], n[0, 1], n[1, 0], n[0, 0])


def wilson(right: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share, with z = 1.96 the one at 95 %. Source: Wilson (1927).

    >>> low, high = wilson(9, 10)
    >>> print(f"{low:.3f} {high:.3f}")
    0.596 0.982
    """
    if not 0 <= right <= total or total < 1:
        raise ValueError(f"{right} right of {total}; expected 0 to total, 1 or more")
    share, scale = right / total, 1 + z**2 / total
    middle = (share + z**2 / (2 * total)) / scale
    spread = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2) / scale
    return middle - spread, middle + spread


def log_odds(logits: Tensor) -> Tensor:
    """log(p / (1 - p)) of the second class: (N, 2) -> (N,). Softmax is never taken."""
    return logits[:, 1] - logits[:, 0]


def logit(share: float) -> float:
    """The log-odds of a share between 0 and 1; others raise ValueError."""
    if not 0 < share < 1:
        raise ValueError(f"the share is {share}; it must lie between 0 and 1")
    return math.log(share / (1 - share))


def fit_temperature(odds: Tensor, labels: Sequence[int]) -> float:
    """The number by which log-odds (N,) are best divided. Source: Guo et al. (2017).

    It is the one of 0.2 to 5 with the smallest loss on these messages, which should not
    be those of training.
    """
    wanted = torch.tensor(labels, dtype=odds.dtype)
    tried = torch.logspace(math.log10(0.2), math.log10(5), 201)
    losses = [F.binary_cross_entropy_with_logits(odds / t, wanted) for t in tried]
    return tried[int(torch.stack(losses).argmin())].item()


@dataclass(frozen=True)
class Verdict:
    """What a classifier says of a text."""

    label: str
    probability: float  # of the second label
    log_odds: float  # of the second label, after the corrections


@dataclass(frozen=True)
class Classifier:
    """A model with all that its verdicts depend on, to be used and saved as one."""

    model: GPTModel
    tokenizer: tiktoken.Encoding
    labels: tuple[str, str] = SPAM_LABELS
    max_length: int = 128  # tokens that are read of a text
    temperature: float = 1.0  # log-odds are divided by it
    shift: float = 0.0  # then added: the prior's log-odds less those of training
    threshold: float = 0.5  # the probability from which on the verdict is positive


def classify(classifier: Classifier, texts: Sequence[str]) -> list[Verdict]:
    """A verdict on each text, the same alone or among others; [] on no text.

    An empty text raises ValueError.
    """
    if not texts:
        return []
    c = classifier
    logits = logits_of(c.model, c.tokenizer, texts, max_length=c.max_length)
    odds = log_odds(logits) / c.temperature + c.shift
    return [
        Verdict(c.labels[p >= c.threshold], p, o)
        for p, o in zip(odds.sigmoid().tolist(), odds.tolist(), strict=True)
    ]


def explain_by_deletion(classifier: Classifier, text: str) -> list[tuple[str, float]]:
    """Each word of a text with the log-odds that go when it is left out.

    Above 0 it spoke for the second label. A text of one word raises ValueError.
    """
    words = text.split()
    if len(words) < 2:
        raise ValueError(
            "the text has fewer than two words; there is none to leave out"
        )
    without = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
    whole, *others = classify(classifier, [" ".join(words), *without])
    changes = [whole.log_odds - other.log_odds for other in others]
    return list(zip(words, changes, strict=True))


def save_classifier(classifier: Classifier, path: str | Path) -> None:
    """Write model, tokenizer and all settings into a folder, without pickle.

    Its format is that of `GPT2ForSequenceClassification` of the library transformers.
    """
    c = classifier
    names = ("max_length", "temperature", "shift", "threshold")
    settings = {name: getattr(c, name) for name in names}
    config = to_gpt2_config(c.model.config, c.tokenizer)
    config = classifier_config(config, c.labels, settings)
    write_classifier(Path(path), to_gpt2(c.model, None), config, c.tokenizer)


def load_classifier(path: str | Path, device: str | torch.device = "cpu") -> Classifier:
    """What `save_classifier` wrote; on the same device its verdicts are the same.

    A missing file raises FileNotFoundError, a damaged or unfitting one ValueError.
    """
    folder, device = Path(path), pick_device(device)
    config = read_config(folder / CONFIG)
    labels, settings = read_settings(folder / CONFIG)
    tokenizer = get_encoding(folder)
    check_vocabulary(tokenizer, config)
    model = replace_head(GPTModel(config, init="torch"), len(labels))
    tensors = read_tensors(folder / WEIGHTS)
    expected = {gpt2_name(ours): ours for ours, _ in model.named_parameters()}
    check_names(tensors, expected)
    weights = {
        ours: convert(
            name, tensors[name], model.get_parameter(ours), "cpu", torch.float32
        )
        for name, ours in expected.items()
    }
    model.load_state_dict(weights)
    return Classifier(model.to(device).eval(), tokenizer, labels, **settings)
