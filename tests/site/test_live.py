"""The model that runs in the page, in Chromium: equal to PyTorch in every number, and what it says when it cannot run."""

import copy
import json
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import tiktoken
import torch
from golden_live import plain
from hypothesis import strategies as st
from live_page import (  # noqa: F401
    MODELS,
    Line,
    Open,
    Pair,
    Reply,
    Server,
    exact,
    open_page,
    page,
    python_tensors,
    server,
)
from live_protocol import CASES, OPTIONS, PLAIN, assert_close, check
from models import BLOCK, EVERYTHING, vivid
from playwright.sync_api import Page
from safetensors.torch import load_file, save_file
from saved_models import SMALL, change, tokenizer  # noqa: F401
from torch.nn import functional as F

from llmbook_utils.files.datasets import load_text
from llmbook_utils.generate import generate
from llmbook_utils.inside.explain import rule_of
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.tokenizer import BytePairTokenizer
from llmbook_utils.widgets.live import Answerer, describe, normalize

pytestmark = [pytest.mark.site, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def connect(page: Page, server: Server) -> Callable[[dict[str, Any]], Line]:
    return lambda model: Line(page, server, model)


@pytest.fixture(scope="module")
def pairs(
    connect: Callable[[dict[str, Any]], Line],
    exact: dict[str, Any],
    tokenizer: tiktoken.Encoding,
) -> dict[str, Pair]:
    """Each model twice: in the page and in Python."""
    mini = connect(exact)
    assert mini.ask("load")[-1]["state"] == "ready"
    pairs = {"mini": (mini, Answerer(*load_pretrained("mini"), normalized=True))}
    for name, config in MODELS.items():
        line = connect(exact)
        adopted = line.adopt(name)
        assert adopted["kind"] == "adopted", adopted
        assert adopted["kernel"] == ("JavaScript" if name == "odd" else "WebAssembly")
        expected = {key: getattr(config, key) for key in adopted["config"]}
        assert adopted["config"] == expected
        line.small = True
        pairs[name] = line, Answerer(vivid(config), tokenizer, normalized=False)
    return pairs


@pytest.fixture(params=["mini", *MODELS])
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    return pairs[request.param]


STORY = load_text("story")
CHANGES: dict[str, dict[str, Any]] = {
    "none": {},
    "mask": {"mask": False},
    "scaling": {"scaling": False},
    "positions": {"positions": False},
    "heads": {"heads": [[0, 1], [1, 0]]},
    "blocks": {"blocks": [1]},
    "a number": {
        "replace": [
            {"tensor": "blocks.0.attention.weights", "index": [1, 3, 2], "value": 2}
        ]
    },
    "a row": {"replace": [{"tensor": "blocks.1.residual", "index": [3], "value": 0.5}]},
    "an embedding": {
        "replace": [
            {"tensor": "position_embedding", "index": [], "value": 0.1},
            {"tensor": "blocks.0.attention.v", "index": [0, 2], "value": -1},
            {"tensor": "logits", "index": [4, 7], "value": 3},
            {"tensor": "logits.last", "index": [2], "value": 5},
        ]
    },
    "all": {
        "mask": False,
        "scaling": False,
        "positions": False,
        "heads": [[1, 1]],
        "blocks": [0],
        "replace": [{"tensor": "blocks.1.norm_2", "index": [2, 1], "value": 4}],
    },
}


def assert_same_tensors(pair: Pair, **message: Any) -> None:
    line, answerer = pair
    found = line.tensors(want=EVERYTHING, **message)
    expected = python_tensors(answerer, want=EVERYTHING, **message)
    assert list(found) == list(expected)
    # scores that are not scaled reach the hundreds: the softmax multiplies their last digits
    scaled = message.get("changes", {}).get("scaling", True)
    for name, numbers in expected.items():
        np.testing.assert_allclose(
            found[name],
            numbers,
            atol=1e-4 if scaled else 1e-3,
            rtol=1e-5,
            err_msg=name,
        )


@pytest.mark.parametrize("n", [1, 7, 30, 256])
def test_every_number_of_a_reading_is_pytorchs(pair: Pair, n: int) -> None:
    ids = pair[1].tokenizer.encode_ordinary(STORY)[200 : 200 + n]
    assert_same_tensors(pair, ids=ids)


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_every_number_is_pytorchs_after_each_change(
    pair: Pair, changes: dict[str, Any]
) -> None:
    assert_same_tensors(
        pair, text="The sea began to be late on the same day", changes=changes
    )


def test_all_tensors_of_the_list_are_there(pairs: dict[str, Pair]) -> None:
    found = pairs["small"][0].tensors(text="The sea", want=EVERYTHING)
    assert len(found) == 6 + SMALL.n_layers * len(BLOCK)


def test_explanations_are_pythons(pair: Pair) -> None:
    line, answerer = pair
    random, text = Random(1), "The sea began to be late"
    shapes = {
        name: numbers.shape
        for name, numbers in python_tensors(
            answerer, text=text, want=EVERYTHING
        ).items()
        if name != "logits.last" and name.removeprefix("blocks.")[0] not in "2345"
    }
    changes = [
        {},
        {"mask": False, "scaling": False, "positions": False, "heads": [[1, 0]]},
        {"blocks": [1]},
        {"replace": [{"tensor": "blocks.0.norm_2", "index": [], "value": 0.5}]},
    ]
    for name, shape in shapes.items():
        assert rule_of(name, answerer.model)
        for changed in changes if line.small and name != "logits" else changes[:1]:
            index = [random.randrange(size) for size in shape]
            message = {"tensor": name, "index": index, "text": text, "changes": changed}
            (found,) = line.ask("explain", **message)
            assert_close(listed(found), expected_explanation(answerer, **message), name)


def listed(reply: Reply) -> Reply:
    """A reply with its tensors' numbers as lists, without its seq."""
    for tensor in reply.get("tensors", []):
        tensor["data"] = tensor["data"].tolist()
    return {key: value for key, value in reply.items() if key not in ("seq", "message")}


def expected_explanation(answerer: Answerer, **message: Any) -> Reply:
    try:
        (reply,) = answerer.explain({"kind": "explain", "seq": 0, **message})
    except ValueError:
        return {"kind": "error"}
    return listed_buffers(reply)


def listed_buffers(reply: Reply) -> Reply:
    reply = plain(reply, reply.pop("buffers", []))
    return {key: value for key, value in reply.items() if key not in ("seq", "message")}


def test_the_page_gives_the_golden_replies(pairs: dict[str, Pair]) -> None:
    line, _ = pairs["mini"]
    for case in copy.deepcopy(CASES):
        request = {key: value for key, value in case["request"].items() if key != "seq"}
        found = [listed(reply) for reply in line.ask(**request)]
        for reply in (expected := case["replies"]):
            reply.pop("seq", None)
            for tensor in reply.get("tensors", []):
                tensor["data"] = np.reshape(tensor["data"], tensor["shape"]).tolist()
        assert_close(found, expected, str(request))


@pytest.mark.parametrize("options", OPTIONS, ids=["greedy", "drawn", "all options"])
def test_a_continuation_is_that_of_generate(
    pair: Pair, options: dict[str, Any]
) -> None:
    line, answerer = pair
    text = "The sea began to be late"
    about = {**options, "max_new_tokens": 40, "alternatives": 3}
    first, *tokens, last = line.ask("continue", text=text, options=about)
    assert (first["kind"], last["kind"]) == ("started", "done")
    ids = torch.tensor([[token["id"] for token in first["tokens"]]])
    new = generate(answerer.model, ids, 40, eos_id=answerer.end, **options)[0]
    assert [token["id"] for token in tokens] == new[ids.shape[1] :].tolist()
    message = {"kind": "continue", "seq": line.seq, "text": text, "options": about}
    assert_close([first, *tokens, last], list(answerer.continue_(message)))


def test_a_continuation_goes_past_256_tokens(pairs: dict[str, Pair]) -> None:
    line, answerer = pairs["mini"]
    ids = answerer.tokenizer.encode_ordinary(STORY)[:250]
    options = {"max_new_tokens": 12, "seed": 2, "temperature": 0.9}
    _, *tokens, _ = line.ask("continue", ids=ids, options=options)
    options.pop("max_new_tokens")
    new = generate(answerer.model, torch.tensor([ids]), 12, **options)[0, 250:]
    assert [token["id"] for token in tokens] == new.tolist()


def test_it_ends_at_the_end_of_a_text(pairs: dict[str, Pair]) -> None:
    line, answerer = pairs["small"]
    for seed in range(40):
        options = {"temperature": 1.0, "seed": seed, "max_new_tokens": 30}
        *_, token, last = line.ask("continue", text="a", options=options)
        assert last["why"] == ("end" if token["id"] == answerer.end else "length")
        if last["why"] == "end":
            return
    pytest.fail("no continuation came to an end")


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1},
        {"top_p": 0},
        {"top_k": 0},
        {"min_p": 2},
        {"repetition_penalty": 0},
    ],
    ids=str,
)
def test_a_wrong_option_is_an_error_before_anything(
    pairs: dict[str, Pair], options: dict[str, Any]
) -> None:
    (reply,) = pairs["mini"][0].ask("continue", text="a", options=options)
    (name,) = options
    assert reply["kind"] == "error"
    assert reply["message"].startswith(f"{name} is {options[name]}; it must be")


MEANWHILE = """async ([at, message, other, asked]) => {
    const [line, between] = [lines[at], lines[other]];
    const from = line.heard.length;
    const replies = () => line.heard.slice(from).filter(({ content }) => content.seq === message.seq);
    line.connection.send(message);
    await until(line, replies, (all) => all.length > 5);
    for (const request of asked) between.connection.send(request);
    const all = await until(line, replies, (all) => all.at(-1).content.kind === "done");
    return all.map(({ content }) => content);
}"""


def meanwhile(line: Line, message: Reply, other: Line, *asked: Reply) -> list[Reply]:
    """The replies to a continuation, in the middle of which another widget asks."""
    line.seq += 1
    message = {"kind": "continue", "seq": line.seq, **message}
    return line.page.evaluate(MEANWHILE, [line.at, message, other.at, list(asked)])


LONG = {"text": "Once upon a time", "options": {"max_new_tokens": 120, "seed": 1}}


def test_a_continuation_can_be_stopped(pairs: dict[str, Pair]) -> None:
    line, _ = pairs["mini"]
    stop = {"kind": "stop", "seq": -1, "of": line.seq + 1}
    *tokens, last = meanwhile(line, LONG, line, stop)
    assert last["why"] == "stopped"
    assert 5 <= len(tokens) < 110
    *tokens, last = line.ask("continue", text="a", options={"max_new_tokens": 3})
    assert last["why"] == "length"


@pytest.mark.parametrize("kind", ["run", "explain", "continue", "stop"])
def test_what_another_widget_asks_meanwhile_changes_nothing(
    pairs: dict[str, Pair],
    connect: Callable[[dict[str, Any]], Line],
    exact: dict[str, Any],
    kind: str,
) -> None:
    line, answerer = pairs["mini"]
    other = connect(exact)
    about = {
        "text": "The sea is late",
        "want": ["logits"],
        "tensor": "logits",
        "index": [1, 1],
    }
    asked = {"kind": kind, "seq": 900, **about, "options": {}}
    if kind == "stop":  # its own continuation, which happens to have the same number
        asked = {"kind": "stop", "seq": 900, "of": line.seq + 1}
    message = {**LONG, "options": {"max_new_tokens": 30, "seed": 1}}
    found = meanwhile(line, message, other, asked)
    expected = list(answerer.continue_({"kind": "continue", "seq": 0, **message}))
    assert [reply.get("id") for reply in found] == [r.get("id") for r in expected]


def test_the_most_probable_tokens_are_pythons(pair: Pair) -> None:
    line, answerer = pair
    message = {"text": "The sea", "want": ["logits.last"], "options": {"top": 4}}
    (found,) = line.ask("run", **message)
    (expected,) = answerer.run({"kind": "run", "seq": line.seq, **message})
    assert len(found["top"]) == 4
    assert_close(found["top"], expected["top"])
    data = np.exp(found["tensors"][0]["data"].astype(np.float64))
    chances = sorted(data / data.sum(), reverse=True)[:4]
    assert [one["probability"] for one in found["top"]] == pytest.approx(chances)


def test_the_vocabulary_is_pythons(pair: Pair) -> None:
    (found,) = pair[0].ask("vocabulary")
    (expected,) = pair[1].vocabulary({"seq": pair[0].seq})
    assert found == expected


KERNELS = """async (shapes) => {
    const { plainKernel } = await import("./engine/kernel-plain.js");
    const { wasmKernel } = await import("./engine/kernel-wasm.js");
    const made = [];
    for (const [n, rows, cols] of shapes) {
        const room = Math.ceil(rows / 4) * 4;
        const wasm = await wasmKernel(n * cols + room * (cols + 1 + n), 4);
        const random = (array) => array.map(() => Math.random() * 2 - 1);
        const values = { x: random(new Float32Array(n * cols)), weight: random(new Float32Array(rows * cols)), bias: random(new Float32Array(rows)) };
        const outs = [plainKernel(), wasm].map((kernel) => {
            const put = (array, size) => { const place = kernel.alloc(size).subarray(0, array.length); place.set(array); return place; };
            const [x, weight, bias] = [put(values.x, n * cols), put(values.weight, room * cols), put(values.bias, room)];
            const out = kernel.alloc(n * room);
            kernel.linear(out, x, n, { weight, bias, rows, cols });
            return Array.from(out.subarray(0, n * rows));
        });
        made.push(outs);
    }
    return made;
}"""


def test_both_kernels_make_the_same_products(page: Page) -> None:
    shapes = [[1, 4, 4], [1, 7, 12], [1, 301, 24], [2, 8, 4], [5, 36, 8], [7, 64, 20]]
    for shape, (one, other) in zip(shapes, page.evaluate(KERNELS, shapes), strict=True):
        assert len(one) == shape[0] * shape[1]
        np.testing.assert_allclose(one, other, atol=1e-5, err_msg=str(shape))


def test_8_bits_change_the_probabilities_little(
    connect: Callable[[dict[str, Any]], Line], pairs: dict[str, Pair]
) -> None:
    line, answerer = connect(describe("mini")), pairs["mini"][1]
    assert line.ask("load")[-1]["state"] == "ready"
    ids = torch.tensor(answerer.tokenizer.encode_ordinary(STORY)[: 50 * 61]).view(
        50, 61
    )
    with torch.no_grad():
        exact = answerer.model(ids[:, :-1])
    rows = [line.tensors(ids=row[:-1].tolist(), want=["logits"]) for row in ids]
    found = torch.stack([torch.tensor(row["logits"]) for row in rows])
    one, other = torch.softmax(found, dim=-1), torch.softmax(exact, dim=-1)
    assert (one - other).abs().sum(dim=-1).mean() / 2 <= 0.02
    losses = [
        F.cross_entropy(x.flatten(0, 1), ids[:, 1:].flatten()) for x in (found, exact)
    ]
    assert losses[0] == pytest.approx(losses[1].item(), rel=0.01)
    assert not torch.equal(found, exact)


TOKENIZE = """async (texts) => {
    const { readRanks, readTokenizerFiles, encode, tokenize } = await import("./engine/bpe.js");
    const get = async (name) => (await fetch(name)).text();
    const ranks = readRanks(await (await fetch("mini.bin")).arrayBuffer());
    const files = readTokenizerFiles(await get("mini/vocab.json"), await get("mini/merges.txt"));
    const tokens = (text) => tokenize(text, ranks).chunks.flatMap((chunk) => chunk.tokens);
    return [Object.fromEntries(files.special), texts.map((text) => [tokens(text), encode(text, files.ranks)])];
}"""


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_the_tokenizer_is_tiktokens_on_any_assigned_unicode(
    page: Page, pairs: dict[str, Pair]
) -> None:
    encoding = pairs["mini"][1].tokenizer
    text = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=60)
    texts = st.lists(text, min_size=300, max_size=300).example()
    texts += [STORY[i : i + 200] for i in range(0, 4000, 200)]
    special, answers = page.evaluate(TOKENIZE, texts)
    assert special == {"<|endoftext|>": 4095}
    for text, (tokens, ids) in zip(texts, answers, strict=True):
        assert (
            ids == [token["id"] for token in tokens] == encoding.encode_ordinary(text)
        )
        assert b"".join(bytes(token["bytes"]) for token in tokens) == text.encode()


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_texts_are_normalized_as_in_python(page: Page) -> None:
    texts = st.lists(PLAIN | st.text(), min_size=300, max_size=300).example()
    texts = [text.encode(errors="replace").decode() for text in texts]
    call = """async (texts) => {
        const { normalize } = await import("./engine/text.js");
        return texts.map(normalize);
    }"""
    assert page.evaluate(call, texts) == [normalize(text) for text in texts]


@pytest.mark.parametrize(
    ("message", "n", "cut"),
    [
        ({"text": "   "}, None, False),
        ({"text": "😀"}, None, False),
        ({"text": "half \ud83d a smile"}, None, False),
        ({"text": "“It’s late” — she said…"}, None, False),
        ({"text": "word and " * 1111 + "!"}, 256, True),
        ({"text": "𝄞" * 3000}, 256, True),
        ({"text": "one two three", "options": {"most": 2}}, 2, True),
        ({"ids": [4095, 0, 300]}, 3, False),
    ],
    ids=["spaces", "emoji", "surrogate", "quotes", "long", "astral", "most", "ids"],
)
def test_strange_texts_are_read_as_in_python(
    pairs: dict[str, Pair], message: dict[str, Any], n: int | None, cut: bool
) -> None:
    line, answerer = pairs["mini"]
    (found,) = line.ask("run", want=[], **message)
    (expected,) = answerer.run({"kind": "run", "seq": line.seq, "want": [], **message})
    assert found == {key: expected[key] for key in expected if key != "buffers"}
    assert found["cut"] == cut
    assert n is None or len(found["tokens"]) == n


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"kind": "run", "text": ""}, "there is no text: type a word"),
        ({"kind": "continue", "text": ""}, "there is no text"),
        ({"kind": "run", "ids": [4096]}, "id 4096 is not in the vocabulary of 4096"),
        ({"kind": "run", "ids": [1.5]}, "id 1.5 is not in the vocabulary"),
        ({"kind": "run", "ids": [-1]}, "id -1 is not in the vocabulary"),
        ({"kind": "sing"}, 'no model answers "sing"'),
        ({"kind": "forward", "text": "a"}, 'no model answers "forward"'),
        ({"kind": "fail", "text": "a"}, 'no model answers "fail"'),
        ({"kind": "constructor", "text": "a"}, 'no model answers "constructor"'),
        (
            {"kind": "explain", "text": "a", "tensor": "logits", "index": [5, 0]},
            "index [5, 0] names no number of logits, which has the shape (1, 4096)",
        ),
        (
            {"kind": "explain", "text": "a", "tensor": "sum", "index": [5]},
            "there is no tensor sum",
        ),
        (
            {
                "kind": "run",
                "text": "a",
                "changes": {"replace": [{"tensor": "x", "index": [0], "value": 1}]},
            },
            "there is no tensor x to replace",
        ),
        (
            {
                "kind": "run",
                "text": "a",
                "changes": {
                    "replace": [{"tensor": "logits", "index": [1], "value": 1}]
                },
            },
            "index [1] lies outside logits",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value["kind"],
)
def test_what_cannot_be_answered_is_an_error(
    pairs: dict[str, Pair], message: dict[str, Any], says: str
) -> None:
    (reply,) = pairs["mini"][0].ask(**message)
    assert reply["kind"] == "error"
    assert says in reply["message"]


def test_a_model_that_was_not_loaded_is_not_asked(
    connect: Callable[[dict[str, Any]], Line], exact: dict[str, Any]
) -> None:
    line = connect({**exact, "name": "another"})
    assert line.ask("status")[0]["state"] == "absent"
    (reply,) = line.ask("run", text="a")
    assert (reply["kind"], reply["message"]) == ("error", "the model is not loaded yet")


def test_a_reader_s_model_is_for_one_widget_and_can_be_left(
    connect: Callable[[dict[str, Any]], Line],
    exact: dict[str, Any],
    pairs: dict[str, Pair],
) -> None:
    one, other = connect(exact), connect(exact)
    assert one.adopt("small")["kind"] == "adopted"
    assert one.adopt("wide")["kind"] == "adopted"
    sizes = [len(line.ask("vocabulary")[0]["lengths"]) for line in (one, other)]
    assert sizes == [301, 4096]
    (status,) = one.ask("leave")
    assert (status["state"], status["name"]) == ("ready", "exact")
    assert len(one.ask("vocabulary")[0]["lengths"]) == 4096


def test_a_widget_without_a_published_model_takes_one(
    connect: Callable[[dict[str, Any]], Line],
) -> None:
    line = connect({"name": "your model", "config": {}, "normalized": False})
    (status,) = line.ask("status")
    assert (status["state"], status["name"]) == ("absent", "your model")
    assert line.adopt("small")["kind"] == "adopted"
    assert line.ask("run", text="a")[0]["kind"] == "run"


def test_weights_of_16_bits_are_read(
    connect: Callable[[dict[str, Any]], Line],
    exact: dict[str, Any],
    server: Server,
    pairs: dict[str, Pair],
) -> None:
    line, text = connect(exact), "The sea is late"
    assert line.adopt("mini")["kind"] == "adopted"  # stored as float16
    found = line.tensors(text=text, want=["logits"])["logits"]
    expected = pairs["mini"][0].tensors(text=text, want=["logits"])["logits"]
    assert np.array_equal(found, expected)
    model, tokenizer = pairs["small"][1].model, pairs["small"][1].tokenizer
    save_pretrained(model, tokenizer, server.folder / "bf16", torch.bfloat16)
    assert line.adopt("bf16")["kind"] == "adopted"
    half = Answerer(*load_pretrained(server.folder / "bf16"), normalized=False)
    assert_same_tensors((line, half), text=text)


def with_header(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of the saved weights."""
    path = folder / "model.safetensors"
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])


def cut(n: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:n])

    return change


def pickled(zipped: bool) -> Callable[[Path], None]:
    return lambda folder: torch.save(
        {"wte.weight": torch.zeros(300, 24)},
        folder / "model.safetensors",
        _use_new_zipfile_serialization=zipped,
    )


def with_nan(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["h.0.ln_1.weight"][3] = torch.nan
    save_file(weights, folder / "model.safetensors")


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def shorter_entry(header: dict[str, Any]) -> None:
    header["wpe.weight"]["data_offsets"][1] -= 8


def of_another_type(header: dict[str, Any]) -> None:
    header["wpe.weight"]["dtype"] = "I32"


def larger_tokenizer(folder: Path) -> None:
    from llmbook_utils.tokenizer import save_encoding

    save_encoding(BytePairTokenizer.train(STORY, 400).to_tiktoken(), folder)


def other_merges(folder: Path) -> None:
    path = folder / "merges.txt"
    path.write_text(path.read_text(encoding="utf-8") + "zq qz\n", encoding="utf-8")


def swapped_ids(folder: Path) -> None:
    path = folder / "vocab.json"
    ids = json.loads(path.read_text(encoding="utf-8"))
    one, other = (
        next(token for token, id in ids.items() if id == n) for n in (270, 280)
    )
    ids[one], ids[other] = ids[other], ids[one]
    path.write_text(json.dumps(ids), encoding="utf-8")


NONE_OF = "model.safetensors and config.json are not of one model"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (cut(0), "is broken or cut off after 0 bytes; get it again"),
    "cut in the length": (cut(5), "is broken or cut off after 5 bytes"),
    "cut in the header": (cut(300), "is broken or cut off after 300 bytes"),
    "cut in the data": (cut(20_000), "is broken or cut off after 20,000 bytes"),
    "a zipped pickle": (pickled(True), "is a pickle, which can run any code"),
    "a pickle": (pickled(False), "is a pickle, which can run any code"),
    "text": (
        write("model.safetensors", "<html>not found</html>"),
        "is broken or cut off after 22 bytes",
    ),
    "no JSON": (write("config.json", "{"), "config.json is not valid JSON"),
    "null": (write("config.json", "null"), "config.json is not a GPT-2's"),
    "llama": (
        partial(change, model_type="llama"),
        'its model_type is "llama", expected "gpt2"',
    ),
    "relu": (
        partial(change, activation_function="relu"),
        'activation_function is "relu", but this model has "gelu_new" only',
    ),
    "no size": (partial(change, n_layer="2"), 'n_layer is "2"; expected a whole'),
    "heads": (partial(change, n_head=5), "n_embd 24 cannot be divided among 5 heads"),
    "far too large": (
        partial(change, vocab_size=10**9),
        "million parameters; a page takes 268 million at most",
    ),
    "more blocks": (
        partial(change, n_layer=3),
        f"12 of the tensors missing, the first is h.2.ln_1.weight; {NONE_OF}",
    ),
    "fewer blocks": (
        partial(change, n_layer=1),
        f"12 of the tensors unexpected, the first is h.1.attn.c_attn.bias; {NONE_OF}",
    ),
    "a tensor less": (
        lambda folder: change(folder, {"ln_f.bias": None}),
        f"1 of the tensors missing, the first is ln_f.bias; {NONE_OF}",
    ),
    "a tensor more": (
        lambda folder: change(folder, {"extra": torch.zeros(2)}),
        "1 of the tensors unexpected, the first is extra",
    ),
    "another shape": (
        partial(change, n_positions=48),
        "tensor wpe.weight has the shape (24, 24), but config.json asks for (48, 24)",
    ),
    "a shorter entry": (lambda f: with_header(f, shorter_entry), "wpe.weight"),
    "whole numbers": (
        lambda f: with_header(f, of_another_type),
        "tensor wpe.weight holds I32; expected F32, F16 or BF16",
    ),
    "NaN": (with_nan, "tensor h.0.ln_1.weight holds NaN or infinite values"),
    "a bias": (
        partial(change, qkv_bias=False),
        "tensor h.0.attn.c_attn.bias is not zero, but config.json says",
    ),
    "a head": (
        lambda folder: change(folder, {"lm_head.weight": torch.ones(300, 24)}),
        "tensor lm_head.weight differs from wte.weight",
    ),
    "a larger tokenizer": (
        larger_tokenizer,
        "the tokenizer has 400 tokens, but the model knows 300; use the tokenizer",
    ),
    "no vocabulary": (write("vocab.json", '{"a": 0,'), "vocab.json is not valid JSON"),
    "a vocabulary too short": (write("vocab.json", '{"a": 0}'), "do not fit together"),
    "merges": (other_merges, 'do not fit together: "zqqz" is not in vocab.json'),
    "another order": (swapped_ids, "the ids are not in the order of the merges"),
}


@pytest.mark.parametrize(("break_it", "says"), BROKEN.values(), ids=BROKEN)
def test_files_that_make_no_model_are_refused(
    pairs: dict[str, Pair],
    server: Server,
    break_it: Callable[[Path], object],
    says: str,
) -> None:
    line, _ = pairs["small"]
    # a name of its own: the browser keeps what it got
    folder = server.folder / f"broken-{line.seq}"
    shutil.copytree(server.folder / "small", folder)
    break_it(folder)
    reply = line.adopt(folder.name)
    assert reply["kind"] == "error", reply
    assert says in reply["message"]
    # the widget keeps the model that it had
    assert len(line.ask("vocabulary")[0]["lengths"]) == SMALL.vocab_size


@pytest.fixture
def mini_line(open_page: Open, server: Server) -> Line:
    """The page's own mini, not loaded yet, on a page with an empty store."""
    return Line(open_page(), server, describe("mini"))


def test_progress_is_told_and_the_next_page_finds_the_file_in_the_store(
    mini_line: Line, server: Server
) -> None:
    size = describe("mini")["weights"]["bytes"]
    assert mini_line.ask("status")[0] == {
        **{"kind": "status", "seq": 1, "state": "absent"},
        **{"name": "mini", "kept": False},
    }
    first, *middle, last = mini_line.ask("load")
    assert (first["state"], first["loaded"], last["state"]) == ("loading", 0, "ready")
    loaded = [status["loaded"] for status in middle]
    assert loaded == sorted(loaded) and loaded[-1] == size == first["bytes"]
    assert mini_line.ask("status")[0]["state"] == "ready"
    server.asked.clear()
    page = mini_line.page.context.new_page()
    page.goto(server.url)
    again = Line(page, server, describe("mini"))
    assert again.ask("status")[0]["kept"]
    assert again.ask("load")[-1]["state"] == "ready"
    assert "host/live-worker.js" in server.asked
    assert not {"mini.safetensors", "mini.bin"} & set(server.asked)
    assert again.ask("run", text="a")[0]["kind"] == "run"


def test_a_broken_copy_in_the_store_is_loaded_anew(
    mini_line: Line, server: Server
) -> None:
    assert mini_line.ask("load")[-1]["state"] == "ready"
    page = mini_line.page.context.new_page()
    page.goto(server.url)
    page.evaluate("""async () => {
        const cache = await caches.open("llmbook-models");
        for (const request of await cache.keys()) await cache.put(request, new Response("broken"));
    }""")
    server.asked.clear()
    again = Line(page, server, describe("mini"))
    assert again.ask("load")[-1]["state"] == "ready"
    assert {"mini.safetensors", "mini.bin"} <= set(server.asked)


def test_an_older_file_leaves_the_store(mini_line: Line) -> None:
    page = mini_line.page
    page.evaluate("""async () => (await caches.open("llmbook-models"))
        .put("mini.safetensors?old", new Response("old"))""")
    assert mini_line.ask("load")[-1]["state"] == "ready"
    keys = """async () => (await (await caches.open("llmbook-models")).keys())
        .map(({ url }) => url.split("/").at(-1))"""
    crcs = {part: describe("mini")[part]["crc32"] for part in ("weights", "ranks")}
    assert set(page.evaluate(keys)) == {
        f"mini.safetensors?{crcs['weights']:x}",
        f"mini.bin?{crcs['ranks']:x}",
    }


def damage(content: bytes) -> bytes:
    return content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damage, "mini.safetensors arrived damaged; try again"),
        (lambda content: content[:70_000], "only 70,000 of 5,9"),
        (None, "mini.safetensors could not be loaded (404); is the page online?"),
    ],
    ids=["damaged", "half", "404"],
)
def test_what_arrives_otherwise_fails_and_a_later_load_works(
    mini_line: Line,
    server: Server,
    spoil: Callable[[bytes], bytes] | None,
    says: str,
) -> None:
    path = server.folder / "mini.safetensors"
    content = path.read_bytes()
    try:
        path.unlink()
        if spoil:
            path.write_bytes(spoil(content))
        last = mini_line.ask("load")[-1]
        assert last["state"] == "failed"
        assert says in last["message"]
        assert mini_line.ask("status")[0]["state"] == "failed"
        assert mini_line.ask("run", text="a")[0]["kind"] == "error"
    finally:
        path.write_bytes(content)
    assert mini_line.ask("load")[-1]["state"] == "ready"


def test_a_server_that_hangs_up_is_no_end(mini_line: Line, server: Server) -> None:
    server.halved["mini.safetensors"] = threading.Event()
    server.halved["mini.safetensors"].set()
    last = mini_line.ask("load")[-1]
    assert last["state"] == "failed"
    assert "the site could not be reached; is the page online?" in last["message"]
    server.halved.clear()
    assert mini_line.ask("load")[-1]["state"] == "ready"


CANCEL = """async ([at, again]) => {
    const line = lines[at];
    const states = () => line.heard.map(({ content }) => content);
    line.connection.send({ kind: "load", seq: 50 });
    await until(line, states, (all) => all.some(({ loaded }) => loaded > 0));
    line.connection.send({ kind: "cancel", seq: 51 });
    if (again) line.connection.send({ kind: "load", seq: 52 });
    return (await until(line, states, (all) => all.at(-1).state !== "loading")).at(-1);
}"""


def test_loading_can_be_given_up_and_begun_again(
    mini_line: Line, server: Server
) -> None:
    release = server.halved["mini.safetensors"] = threading.Event()
    try:
        last = mini_line.page.evaluate(CANCEL, [mini_line.at, False])
    finally:
        server.halved.clear()
        release.set()
    check(last)
    assert last["state"] == "absent"
    assert mini_line.ask("status")[0]["state"] == "absent"
    assert mini_line.ask("load")[-1]["state"] == "ready"
