"""The numbers of the ten-minute demonstrations in the instructor guide are those that a class will see.

What a widget of the live model shows is computed with the page's own weights; what is recorded is read from the record.
Each number is put into the words of the guide, rounded as it is there, and the guide has to hold them.
"""

import functools
import math
import re
import statistics
from collections import Counter
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from book import ROOT
from page_weights import page_answerer
from torch import Tensor
from torch.nn import functional as F

from llmbook_utils.classify import log_odds
from llmbook_utils.files.datasets import load_text
from llmbook_utils.generate import Sampling, next_token_probabilities
from llmbook_utils.inside.trace import Changes, Trace
from llmbook_utils.instruct import encode_prompt, find_style
from llmbook_utils.loss import IGNORED
from llmbook_utils.model import evaluating
from llmbook_utils.ngram import count_followers, seen_followers, split_words
from llmbook_utils.runs.results import load_result
from llmbook_utils.tokenizer import BytePairTokenizer, get_encoding, ranks_of
from llmbook_utils.widgets import AskMini, LossMaskViewer, ModelMap
from llmbook_utils.widgets.base import Message
from llmbook_utils.widgets.instructions import ADAPTER, mini_tokenizer
from llmbook_utils.widgets.tokens import show, tokenize, tokens_of
from llmbook_utils.widgets.window import window_starts

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


def best(text: str, n: int) -> list[tuple[str, float]]:
    """The tokens that the model on the page finds likeliest, as widgets write them."""
    want = {"want": ["logits.last"], "options": {"top": n}}
    (reply,) = answerer().run({"seq": 0, "text": text, **want})
    return [(show(one["bytes"]), one["probability"]) for one in reply["top"]]


def leads(text: str, digits: int = 3) -> str:
    return percent(best(text, 1)[0][1], digits)


def counting() -> list[str]:
    story = load_text("story")
    words = split_words(story[: int(0.9 * len(story))])  # what chapter 1 counts
    tables = count_followers(words, 3)

    def seen(text: str) -> list[Counter[str]]:
        read = split_words(text)
        return [seen_followers(tables[:n], read) for n in (1, 2, 3)]

    counts = [found.total() for found in seen("The tortoise looked at the")]
    name = seen("said Mrs.")[2]
    dunnage = name[" Dunnage"] / name.total()
    fallen, was = seen("The airplane"), seen("The airplane was")
    assert fallen[0] == fallen[1] == fallen[2] and fallen[0].most_common(1)[0][0] == "."
    assert was[1] == was[2] and was[1].most_common(1)[0][0] == " a"
    assert [word for word, _ in best("The airplane", 3)] == [",", "ous", "␣was"]
    assert (
        best("said Mrs.", 1)[0][0] == "␣B" and best("The airplane was", 1)[0][0] == "␣a"
    )
    a = was[1][" a"] / was[1].total()
    return [
        f"{counts[0]:,} words counted, then {counts[1]} examples after *the*, "
        f"then {counts[2]} after *at the*",
        f"trigram: *Dunnage*, {percent(dunnage)}. `mini` spreads",
        f"*B* leads with {leads('said Mrs.', 1)}",
        "`mini` says a comma, *ous*, *was*",
        f"*a* has {percent(a)}; `mini` gives *a* {leads('The airplane was')}",
    ]


def tokens() -> list[str]:
    gpt2 = get_encoding("gpt2")
    ranks = ranks_of(gpt2)

    def split(text: str) -> list[str]:
        return [show(token["bytes"]) for token in tokens_of(tokenize(text, ranks))]

    def marked(pieces: list[str]) -> str:
        return ", ".join(f"`{p}`" if "␣" in p else f"*{p}*" for p in pieces)

    def windows(context_length: int, stride: int) -> tuple[int, int]:
        length = len(split("The sea began to be late on the same day."))
        starts = window_starts(length, context_length, stride)
        return len(starts), length - (starts[-1] + context_length + 1 if starts else 0)

    cat, hindi = "The cat sat.", "नमस्ते"
    story = BytePairTokenizer.train(load_text("story"), 1000).to_tiktoken()
    (one,) = story.encode(" thrumbograph")
    sums = split("12345 + 67890")
    merge = {token: ranks[token] - 255 for token in (b" t", b" th", b"um")}
    return [
        f"{len(split(cat))} tokens become {len(split(cat + ' '))}: the space stands "
        f"alone, id {gpt2.encode(' ')[0]}",
        f"{len(sums)} tokens: {marked(sums)} |",
        f"`␣t` is merge {merge[b' t']} of {len(ranks) - 256:,}, `␣th` merge "
        f"{merge[b' th']}, *um* merge {merge[b'um']}",
        f"one token, id {one}",
        f"{len(hindi)} characters, {len(hindi.encode())} bytes, {len(split(hindi))} tokens",
        f"{len(split('<|endoftext|>'))} ordinary tokens, no special one",
        "stride 4 makes {} windows and leaves {} tokens over".format(*windows(4, 4)),
        f"stride 1 makes {windows(4, 1)[0]} windows that share {4 - 1} inputs",
        f"stride 6 skips {6 - 4} tokens between",
    ]


def model_map() -> list[str]:
    widget = ModelMap("The sea is late", block=1)
    config, (run,), path = (
        widget.model["config"],
        widget.example["run"],
        widget.example["path"],
    )
    score = next(one for one in path if one["tensor"].endswith(".scores"))
    T, C = len(run["tokens"]), config["emb_dim"]
    rows = config["context_length"]
    block = sum(p.numel() for p in answerer().model.blocks[1].parameters())
    (comma, stop), (time, day) = run["top"][:2], best("Once upon a", 2)
    assert (show(comma["bytes"]), show(stop["bytes"])) == (",", ".")
    assert (time[0], day[0]) == ("␣time", "␣day") and best("a upon Once", 1)[0][
        0
    ] == ","
    (weights,) = values("Once upon a", "blocks.0.attention.weights")
    assert (weights[:, 0, 0] == 1).all()
    where = f"`{score['tensor']}[{', '.join(map(str, score['index']))}]`"
    return [
        f"a comma with {percent(comma['probability'])}, a full stop with "
        f"{percent(stop['probability'])}",
        f"$T \\times C = {T} \\times {C}$, and {rows * C:,} parameters: a row for each of {rows}",
        f"{block:,} parameters; each part",
        f"{where}, as a sum of {C // config['n_heads']} products: "
        f"{score['value'] / score['factor']:.4f}, divided by √{C // config['n_heads']} "
        f"it is {score['value']:.4f}",
        f"*time* leads with {percent(time[1])}, *day* has {percent(day[1])}",
        f"a comma leads, with {leads('a upon Once')}",
    ]


def training() -> list[str]:
    found = {one["step"]: one for one in load_result("mini")["snapshots"]}
    bits = {step: f"{one['bits_per_byte']:.2f}" for step, one in found.items()}

    def near(step: int) -> str:
        word, alike = found[step]["neighbors"][" king"][0]
        return f"*{word.strip()}* with {alike:.3f}"

    for step, words in {
        0: " time time time",
        20: ", and, and, and",
        150: "and the other man, and the other man",
        600: "said the Wizard",
        1700: "he was a very good man, and he was a very good man",
        4200: "a man of a man who was a man of a man",
    }.items():
        assert words in found[step]["greedy"] and words.strip(" ,") in guide("05")
    return [
        f"noise; {bits[0]} bits per byte",
        f"{bits[20]} bits | What has it learned in {found[20]['seconds']} seconds",
        f"the other man*; {bits[150]} bits",
        f"*said the Wizard*; {bits[600]} bits",
        f"step 5,000 | {bits[2500]} and {bits[5000]} bits",
        f"{near(0)}; then {near(300)}; then {near(5000)}",
        "greedy, at steps 1,700 and 4,200",
    ]


def weights() -> list[str]:
    page = ROOT / "chapters" / "05c-model-weights.ipynb"
    cells = nbformat.read(page, as_version=4).cells
    printed = "\n".join(
        out.get("text", "") for cell in cells for out in cell.get("outputs", [])
    )

    def number(before: str) -> str:
        (found,) = re.findall(rf"{before}([\d.]*\d)", printed, re.M)
        return found

    names = re.search(r"\d+ names, \d+ parameters", printed)
    bits = [number(f"{one}: +") for one in ("should be", "by shape", "untrained")]
    assert names and "missing: ['head.weight']" in printed
    return [
        f"| {names[0]} |",
        f"| {number('^kept +.')} where {number('^copied .')} was kept",
        "`missing: ['head.weight']`",
        f"| {bits[0]}, {bits[1]} and {bits[2]} bits per byte",
        f"by name less than {number('differ by less than ')} apart, "
        f"by shape {number('by shape, they differ by ')} |",
    ]


def answers() -> list[str]:
    animal = (
        "Which animal makes the noise?",
        "The rooster crowed before the sun was up.",
    )
    asked = AskMini(*animal)
    style = find_style(asked.style)

    def says(instruction: str, input: str = "", model: str = "tuned") -> Message:
        ids = encode_prompt(mini_tokenizer(), instruction, input, style)
        request = {**asked.requests()[model], "ids": ids, "seq": 0}
        *replies, done = answerer().continue_(request)
        made = [one["id"] for one in replies if one["kind"] == "token"]
        text = mini_tokenizer().decode([id for id in made if id != answerer().end])
        return {"text": text.strip(), "tokens": len(made), "why": done["why"]}

    tuned, base = (says(*animal, model) for model in ("tuned", "base"))
    assert (tuned["why"], base["why"]) == ("end", "length")
    others = (
        says('What is the opposite of "cold"?'),
        says("What is the capital of France?"),
        says('Say the opposite by using "not".', "The soup is hot."),
    )
    return [
        f"before: *{base['text'].splitlines()[0]}*, cut off after {base['tokens']} tokens; "
        f"after: *{tuned['text']}*, which ended by itself after {tuned['tokens']} tokens",
        *(f"| *{one['text']}* |" for one in others),
    ]


def loss_mask() -> list[str]:
    def counted(**faults: bool) -> int:
        return int((LossMaskViewer(**faults).batch()[1] != IGNORED).sum())

    inputs, targets = LossMaskViewer().batch()
    B, width = targets.shape
    kept, prompts = counted(), counted(mask_prompt=False)
    ends = kept - counted(learn_end=False)
    assert ends == B

    def losses(adapter: str | None) -> Tensor:
        answerer().adapters.wear(adapter)
        with evaluating(answerer().model):
            logits = answerer().model(inputs[:1])[0]
        found = F.cross_entropy(
            logits, targets[0], ignore_index=IGNORED, reduction="none"
        )
        return found[targets[0] != IGNORED]

    base, tuned = losses(None), losses(ADAPTER)
    assert base.argmax() == len(base) - 1, "the end of the answer"
    return [
        f"{kept} of {B * width} targets count, {B * width - prompts} are padding, "
        f"{ends} ends count | Who are the other {prompts - kept}?",
        f"| {prompts} count; the model",
        f"| {kept - ends} count, four fewer",
        f"falls from {base.mean():.2f} to {tuned.mean():.2f}, the end of the answer "
        f"from {base[-1]:.2f} to {tuned[-1]:.2f}",
    ]


def graph() -> list[str]:
    x, y = (
        torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (3.0, 2.0)
    )
    gradients = []
    for _ in range(2):  # without a reset
        s = x + y
        z = s * x
        z.backward()
        assert x.grad is not None
        gradients.append(int(x.grad))
    moved = (3.01 + 2) * 3.01
    return [
        f"$s = {s:.0f}$, $z = {z:.0f}$",
        f"$z$ gives $s$ the gradient {x:.0f} and $x$ the gradient {s:.0f}",
        f"$x$: ${s:.0f} + {x:.0f} = {gradients[0]}$",
        f"$x = 3.01$ gives {moved:.4f} | a slope of {(moved - z.item()) / 0.01:.2f}",
        f"| {gradients[0]}, then {gradients[1]} |",
    ]


def attention() -> list[str]:
    at = ids_of(TORTOISE).index(ids_of(" tortoise")[0])
    off = {head: tortoise(heads=[(5, head)]) for head in (5, 1)}
    (back,) = values(TORTOISE, "blocks.4.attention.weights")
    before = back[5].diagonal(-1).mean().item()
    kings = "The old king and the old queen had one son. The old king"
    first = ids_of(kings).index(ids_of(" king")[0])
    return [
        f"weight {weight(TORTOISE, (5, 5), -1, at)}; the model's best guess",
        f"`␣tor`, {percent(tortoise())}",
        f"falls to {percent(tortoise(mask=False), 2)}",
        f"| {percent(tortoise(positions=False), 2)} | What does this head",
        f"Head 5 of block 5 off | {percent(off[5], 2)}",
        f"on the first `␣tor` is {weight(TORTOISE, (5, 1), -1, at)}",
        f"{percent(off[1], 2)}, four times as much",
        f"{before:.2f} of the weight goes to the token before",
        f"*and*, the token that followed the first *king*, weight "
        f"{weight(kings, (5, 1), -1, first + 1)}",
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
        ("01", counting),
        ("02", tokens),
        ("03", attention),
        ("04", model_map),
        ("05", training),
        ("05b", sampling),
        ("05c", weights),
        ("06", spam),
        ("07", answers),
        ("07", loss_mask),
        ("a", graph),
        ("d", schedules),
        ("e", ranks),
    ],
)
def test_a_class_sees_what_the_guide_says(name, says):
    text = guide(name)
    assert text
    assert [words for words in says() if words not in text] == []
