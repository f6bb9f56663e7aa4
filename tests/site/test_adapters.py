"""Adapters in the page: put into a model's weights and taken out, equal to PyTorch and to the base."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from live_page import (  # noqa: F401
    MODELS,
    Line,
    Open,
    Pair,
    Server,
    exact,
    open_page,
    page,
    python_tensors,
    server,
)
from live_protocol import check
from models import EVERYTHING, vivid
from playwright.sync_api import Page
from saved_models import tokenizer  # noqa: F401
from torch import nn

from llmbook_utils.classify import logits_of
from llmbook_utils.files.adapter import WEIGHTS
from llmbook_utils.lora import add_lora, load_adapter, lora_layers, save_adapter
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets.adapters import describe_adapter
from llmbook_utils.widgets.live import Answerer
from llmbook_utils.widgets.weights import published

pytestmark = [pytest.mark.site, pytest.mark.usefixtures("one_thread")]

TEXT, OTHERS = "The sea began to be late", ["The sea", " The sea began to be \n"]


def learned(config: Any, classes: int, layers: list[str], seed: int) -> Any:
    """A small model with LoRA that has learned something."""
    model = vivid(config)
    torch.manual_seed(seed)
    if classes:
        model.head = nn.Linear(config.emb_dim, classes, bias=classes > 2)
    add_lora(model, 3, 5, layers)
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.B, std=0.3)
    return model


Adapters = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def adapters(
    server: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Adapters]:
    """Three adapters for each small model by their folders, as a page knows them."""
    found: dict[str, Adapters] = {}
    kinds = [(2, ["*qkv", "*proj"]), (3, ["blocks.1.*"]), (0, ["out"])]
    for name, config in MODELS.items():
        found[name] = {}
        for i, (classes, layers) in enumerate(kinds):
            folder = tmp_path_factory.mktemp("adapter")
            save_adapter(learned(config, classes, layers, i), folder)
            content = (folder / WEIGHTS).read_bytes()
            (server.folder / f"{name}-{i}.adapter").write_bytes(content)
            about = published(f"{name}-{i}.adapter", content)
            found[name][str(folder)] = {**about, "alpha": 5}
    return found


@pytest.fixture(params=MODELS)
def both(
    request: pytest.FixtureRequest,
    page: Page,
    server: Server,
    exact: dict[str, Any],
    adapters: dict[str, Adapters],
    tokenizer: Any,
) -> tuple[Pair, list[str]]:
    """A small model in the page and in Python, and the names of its adapters."""
    known = adapters[request.param]
    line = Line(page, server, exact, known)
    assert line.adopt(request.param)["kind"] == "adopted"
    for name, classes in zip(known, (2, 3, 0), strict=True):
        (reply,) = line.ask("adapter", adapter=name)
        assert (reply["kind"], reply.get("classes")) == ("adapter", classes), reply
    config = MODELS[request.param]
    return (line, Answerer(vivid(config), tokenizer, normalized=False)), [*known]


def test_every_number_with_an_adapter_is_pytorchs_and_without_it_the_bases(
    both: tuple[Pair, list[str]],
) -> None:
    (line, answerer), names = both
    base = line.tensors(text=TEXT, want=EVERYTHING)
    seen = []
    for name in [*names, names[0], None, names[1], None]:
        about = {"text": TEXT, "want": EVERYTHING}
        about |= {"adapter": name} if name else {}
        found = line.tensors(**about)
        seen.append(found["logits.last"])
        if name is None:
            for tensor, numbers in base.items():
                assert np.array_equal(found[tensor], numbers), tensor
        for tensor, numbers in python_tensors(answerer, **about).items():
            np.testing.assert_allclose(
                found[tensor], numbers, atol=1e-4, rtol=1e-5, err_msg=tensor
            )
    assert np.abs(seen[0] - seen[1]).max() > 0.01, "the adapters do nothing"
    assert np.abs(seen[0] - base["logits.last"]).max() > 0.01


def logits(replies: list[dict[str, Any]]) -> np.ndarray:
    (reply,) = replies
    assert reply["kind"] == "classify", reply
    return np.asarray(reply["tensors"][0]["data"])


def test_a_verdict_is_that_of_the_classifier(both: tuple[Pair, list[str]]) -> None:
    (line, answerer), names = both
    for name, classes in zip(names[:2], (2, 3), strict=True):
        model = load_adapter(vivid(answerer.model.config), name)
        about = {"text": TEXT, "variants": OTHERS, "adapter": name}
        replies = line.ask("classify", **about)
        n = len(answerer.tokenizer.encode_ordinary(TEXT))
        limit = answerer.model.config.context_length
        assert len(replies[0]["tokens"]) == min(n, limit)
        assert replies[0]["cut"] == (n > limit)
        texts = [TEXT, *OTHERS]
        expected = logits_of(model, answerer.tokenizer, texts, max_length=limit).numpy()
        assert expected.shape == (3, classes)
        assert np.abs(expected[0] - expected[1]).max() > 1e-3, "too alike to tell"
        np.testing.assert_allclose(logits(replies), expected, atol=1e-4)
        (reply,) = answerer.classify({"kind": "classify", "seq": 1, **about})
        found = np.frombuffer(reply.pop("buffers")[0], "<f4").reshape(3, classes)
        check(reply)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        cut = line.ask("classify", **about, options={"most": 2})
        assert cut[0]["cut"] and len(cut[0]["tokens"]) == 2
        np.testing.assert_allclose(logits(cut)[1], logits(cut)[0], atol=1e-6)


def test_the_base_goes_on_beside_verdicts(both: tuple[Pair, list[str]]) -> None:
    (line, _), names = both
    about = {"text": TEXT, "options": {"max_new_tokens": 60, "seed": 5}}
    alone = [reply.get("id") for reply in line.ask("continue", **about)]
    worn = line.ask("continue", **about, adapter=names[0])
    assert [reply.get("id") for reply in worn] != alone
    verdict = logits(line.ask("classify", text=TEXT, adapter=names[0]))
    # verdicts are asked for while the base writes: between its tokens
    call = """async ([at, seq, about, name]) => {
        const { connection, heard, events } = lines[at];
        const from = heard.length;
        let asked = 0;
        events.addEventListener("heard", () => {
            if (heard.at(-1).content.kind !== "token" || asked === 5) return;
            asked += 1;
            connection.send({ kind: "classify", seq: seq + asked, text: about.text, adapter: name });
        });
        connection.send({ kind: "continue", seq, ...about });
        await until(lines[at], () => heard.slice(from), (all) => {
            const kinds = all.map(({ content }) => content.kind);
            return kinds.includes("done") && kinds.filter((kind) => kind === "classify").length === 5;
        });
        return heard.slice(from).map(({ content, buffers }) => [content, ...buffers.map((b) => [...b])]);
    }"""
    heard = line.page.evaluate(call, [line.at, 1000, about, names[0]])
    kinds = [content["kind"] for content, *_ in heard]
    assert "classify" in kinds[kinds.index("token") : kinds.index("done")], kinds
    ids = [c.get("id") for c, *_ in heard if c["kind"] != "classify"]
    assert ids == alone
    for content, *buffers in heard:
        if content["kind"] == "classify":
            np.testing.assert_allclose(buffers[0], verdict[0], atol=1e-6)


def test_what_cannot_be_asked_is_refused_and_changes_nothing(
    both: tuple[Pair, list[str]],
) -> None:
    (line, answerer), names = both
    base = line.tensors(text=TEXT, want=["logits.last"])["logits.last"]
    for request, words in (
        ({"kind": "adapter", "adapter": "none"}, "no files of the adapter"),
        ({"kind": "run", "want": [], "adapter": "none"}, "not loaded yet"),
        ({"kind": "classify", "adapter": "none"}, "not loaded yet"),
        ({"kind": "classify", "adapter": names[2]}, "has no head for classes"),
        ({"kind": "classify", "adapter": names[0], "text": " \n"}, "there is no text"),
        ({"kind": "classify", "adapter": names[0], "variants": [""]}, "no text"),
    ):
        kind = request.pop("kind")
        about = {} if kind == "adapter" else {"text": TEXT}
        (reply,) = line.ask(kind, **about | request)
        assert reply["kind"] == "error" and words in reply["message"], reply
        if kind != "adapter" and request["adapter"] != "none":
            with pytest.raises(ValueError, match=r"no text|no head"):
                list(answerer.classify({"seq": 1, **about, **request}))
    after = line.tensors(text=TEXT, want=["logits.last"])["logits.last"]
    assert np.array_equal(after, base)


def test_an_adapter_of_another_base_is_refused_with_its_shapes(
    page: Page,
    server: Server,
    exact: dict[str, Any],
    adapters: dict[str, Adapters],
) -> None:
    line = Line(page, server, exact, adapters["wide"])
    assert line.adopt("small")["kind"] == "adopted"
    first = next(iter(adapters["wide"]))
    (reply,) = line.ask("adapter", adapter=first)
    assert reply["kind"] == "error"
    assert (
        "is of another base: it changes blocks.0.attention.qkv.weight"
        in (reply["message"])
    )
    assert "36 × 12, but this model's is" in reply["message"]


def test_the_books_adapter_with_its_model(
    open_page: Open,
    server: Server,
    exact: dict[str, Any],
    tmp_path: Path,
) -> None:
    """The 32-bit `mini`, so that nothing but the adapter can differ."""
    line = Line(open_page(), server, exact, {"spam": describe_adapter("spam")})
    assert line.ask("load")[-1]["state"] == "ready"
    texts = [
        "WINNER!! You have been selected to receive a £900 prize. Call 09061701461 now",
        "I'll be home at six, shall I bring bread?",
        "😀",
        "word " * 400,
    ]
    before = [r.get("id") for r in line.ask("continue", text="Once upon a time")]
    (reply,) = line.ask("adapter", adapter="spam")
    assert reply["classes"] == 2
    found = logits(
        line.ask("classify", text=texts[0], variants=texts[1:], adapter="spam")
    )
    model, encoding = load_pretrained("mini")
    expected = logits_of(load_adapter(model, "spam"), encoding, texts, max_length=256)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert found[0, 1] > found[0, 0] and found[1, 1] < found[1, 0]
    assert [
        r.get("id") for r in line.ask("continue", text="Once upon a time")
    ] == before


def test_an_adapter_without_its_model_is_refused(
    open_page: Open,
    server: Server,
    exact: dict[str, Any],
) -> None:
    line = Line(open_page(), server, exact, {"spam": describe_adapter("spam")})
    (reply,) = line.ask("adapter", adapter="spam")
    assert reply == {
        "kind": "error",
        "seq": 1,
        "message": "the model is not loaded yet",
    }
