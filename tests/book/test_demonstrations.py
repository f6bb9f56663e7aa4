"""The numbers of the ten-minute demonstrations in the instructor guide are those that a class will see.

What a widget of the live model shows is computed with the page's own weights; what is recorded is read from the record.
Each number is put into the words of the guide, rounded as it is there, and the guide has to hold them.
"""

import functools
import math
import statistics
from typing import Any

import numpy as np
import pytest
import torch
from book import ROOT
from page_weights import page_answerer
from torch import Tensor

from llmbook_utils.classify import log_odds
from llmbook_utils.generate import Sampling, next_token_probabilities
from llmbook_utils.inside.trace import Changes, Trace
from llmbook_utils.runs.results import load_result

TORTOISE = (
    "The tortoise hid in the straw, and there he slept. "
    "Ibby looked for the tortoise, but the"
)
KINGS = "The king said to the"


@functools.cache
def answerer():
    return page_answerer()


def guide(name: str) -> str:
    """The demonstration of a page of the guide."""
    text = (ROOT / "course" / f"guide-{name}.md").read_text(encoding="utf-8")
    return text.partition("\n## Ten minutes")[2].partition("\n## ")[0]


def ids_of(text: str) -> list[int]:
    return answerer().tokenizer.encode_ordinary(text)


def percent(share: float, digits: int = 3) -> str:
    """As the widgets show a share, with significant digits."""
    return f"{100 * share:.{digits}g} %"


def values(text: str, *want: str, **changes: Any) -> list[Tensor]:
    """Tensors of the model on the page."""
    found = Trace(answerer().model.eval(), want, Changes(**changes))(ids_of(text))
    return [found[name] for name in want]


def tortoise(**changes: Any) -> float:
    """The probability of the token that goes on with the tortoise."""
    (logits,) = values(TORTOISE, "logits.last", **changes)
    return logits.softmax(0)[ids_of(" tortoise")[0]].item()


def weight(text: str, head: tuple[int, int], query: int, key: int) -> str:
    (weights,) = values(text, f"blocks.{head[0]}.attention.weights")
    return f"{weights[head[1], query, key].item():.2f}"


def attention() -> list[str]:
    at = ids_of(TORTOISE).index(ids_of(" tortoise")[0])
    off = {head: tortoise(heads=[(5, head)]) for head in (5, 1)}
    return [
        f"weight {weight(TORTOISE, (5, 5), -1, at)}; the model's best guess",
        f"`␣tor`, {percent(tortoise())}",
        f"falls to {percent(tortoise(mask=False), 2)}",
        f"| {percent(tortoise(positions=False), 2)} | What does this head",
        f"Head 5 of block 5 off | {percent(off[5], 2)}",
        f"on the first `␣tor` is {weight(TORTOISE, (5, 1), -1, at)}",
        f"{percent(off[1], 2)}, four times as much",
    ]


def sampling() -> list[str]:
    ids = torch.tensor([ids_of(KINGS)])
    (logits,) = values(KINGS, "logits.last")
    king, prince = (ids_of(word)[0] for word in (" king", " prince"))

    def likely(**options: float) -> Tensor:
        return next_token_probabilities(logits[None], ids, Sampling(**options))[0]

    hot, kept = likely(temperature=2.0), likely(temperature=1.0, top_p=0.9)
    tail = 1 - hot.sort(descending=True).values[:10].sum().item()
    punished = likely(temperature=1.0, repetition_penalty=1.5)
    assert punished.argmax() == prince
    return [
        f"*king* {percent(likely(temperature=1.0)[king])}, then",
        f"*king* {percent(likely(temperature=0.3)[king])}",
        f"how much at 0.5? ({percent(likely(temperature=0.5)[king])})",
        f"*king* {percent(hot[king])}, the tokens outside the first ten {percent(tail)}",
        f"{int((kept > 0).sum())} tokens are left; *king* has {percent(kept[king])} now",
        f"*prince* leads with {percent(punished[prince])}",
    ]


def spam() -> list[str]:
    def chance(text: str) -> float:
        message = {"seq": 0, "text": text, "adapter": "spam"}
        (reply,) = answerer().classify(message)
        logits = np.frombuffer(reply["buffers"][0], "<f4").reshape(1, 2)
        return torch.sigmoid(log_odds(torch.tensor(logits.copy()))).item()

    prize = "Congratulations! You have won a prize of 500 pounds. Call{} now to claim."
    shown = {
        text: f"{100 * chance(text):.0f} %"
        for text in (
            prize.format(" me"),
            "Your parcel could not be delivered. "
            "Pay the fee here: post-office.example/fee",
            "Free pizza tonight at my place, come and claim your slice!",
        )
    }
    number = "Can you call me on 09061234567 when you are home?"
    return [
        f"spam, {percent(chance(prize.format(' 09061234567')))}",
        f"which leaves it out | {100 * chance(prize.format('')):.0f} %",
        f"*{number}* | spam, {percent(chance(number))}",
        *(f"*{text}* | {share}" for text, share in shown.items()),
    ]


def schedules() -> list[str]:
    runs = load_result("schedules")["runs"]

    def ends(**wanted: float) -> list[dict[str, Any]]:
        given = {"peak": 0.003, "warmup": 0.2, "floor": 0.1, "steps": 240} | wanted
        return [r for r in runs if all(r[name] == v for name, v in given.items())]

    def loss(part: str, **wanted: float) -> str:
        (run,) = ends(**wanted)
        return f"{statistics.mean(run[part]):.2f}"

    held_out = functools.partial(loss, "held_out")
    return [
        f"held-out {held_out()}, the lowest",
        f"training {loss('training')} |",
        f"training {loss('training', floor=1.0)}, held-out",
        f"warm-up 0 | {held_out(warmup=0.0)}",
        f"held-out {held_out(floor=1.0)}",
        f"{held_out(peak=0.01)}, then {held_out(peak=0.03)}",
        f"peak 0.001 | {held_out(peak=0.001)}",
    ]


def ranks() -> list[str]:
    change = load_result("lora")["change"]
    kept = {one["rank"]: one for one in change["kept"]}

    def right(rank: int) -> int:
        test = kept[rank]["test"]
        return test["true_positives"] + test["true_negatives"]

    def missing(rank: int, part: str = "singular", layer: str = "") -> str:
        rows = [one[part] for name, one in change["layers"].items() if layer in name]
        lost = sum(s * s for row in rows for s in row[rank:])
        whole = sum(s * s for row in rows for s in row)
        return f"{100 * math.sqrt(lost / whole):.1f} %"

    return [
        f"{right(0)} of 1,005 messages right",
        f"{missing(8)} missing, {right(8)} right, as many as with the whole change",
        f"{missing(1)} missing and {right(1)} right; {missing(4)} and {right(4)}",
        f"{kept[1]['numbers'] * 4:,} numbers instead of",
        f"{missing(8, 'random')} missing at rank 8",
        f"it takes {kept[256]['numbers']:,} numbers",
        f"| {missing(8, layer='blocks.5.attention.out')} missing",
    ]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("03", attention),
        ("05b", sampling),
        ("06", spam),
        ("d", schedules),
        ("e", ranks),
    ],
)
def test_a_class_sees_what_the_guide_says(name, says):
    text = guide(name)
    assert text
    assert [words for words in says() if words not in text] == []
