"""The page's arithmetic from logits to the next token, in Chromium: that of generate.py."""

import math
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from itertools import islice
from random import Random
from typing import Any

import pytest
import serve
import torch
from models import sampling
from playwright.sync_api import Browser, Page

from llmbook_utils import web
from llmbook_utils.generate import (
    draw,
    next_token_probabilities,
    penalize,
    uniform_numbers,
)

pytestmark = pytest.mark.site

CALL = """async ([name, cases]) => {
    const module = await import("./engine/sampling.js");
    return cases.map((values) => {
        try {
            const found = module[name](...values);
            return ArrayBuffer.isView(found) ? Array.from(found) : found;
        } catch (error) {
            return { error: error.message };
        }
    });
}"""
Call = Callable[[str, list[list[Any]]], list[Any]]


@pytest.fixture(scope="module")
def blank(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An empty page beside the engine."""
    folder = tmp_path_factory.mktemp("sampling")
    shutil.copytree(web.FOLDER / "engine", folder / "engine")
    (folder / "index.html").write_text("<!doctype html><title>sampling</title>")
    handler = partial(serve.Handler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    yield page
    page.close()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def call(blank: Page) -> Call:
    """`call(name, cases)` gives what a function of sampling.js makes of each case."""
    return lambda name, cases: blank.evaluate(CALL, [name, cases])


def random_logits(random: Random, n: int) -> list[float]:
    """Logits as a model gives them: some equal, some impossible."""
    logits = [random.gauss(0, 3) for _ in range(n)]
    for _ in range(random.randrange(4)):
        logits[random.randrange(n)] = logits[random.randrange(n)]
    for _ in range(random.choice([0, 0, 3])):
        logits[random.randrange(n)] = -math.inf
    if all(logit == -math.inf for logit in logits):
        logits[0] = 0.0
    return torch.tensor(logits).tolist()  # 32 bits, as the model's


def random_options(random: Random, n: int) -> dict[str, Any]:
    every = {
        "temperature": random.choice([0, 1e-3, 0.3, 1, 1.7, 100]),
        "top_k": random.choice([None, 1, 2, random.randint(1, n), n, n + 9]),
        "top_p": random.choice([None, 1e-9, random.uniform(0.01, 1), 1]),
        "min_p": random.choice([None, 0, random.random() / 3, 1]),
        "repetition_penalty": random.choice([0.5, 1.0, 1.3, 4.0]),
    }
    kept = random.sample(sorted(every), random.randint(0, len(every)))
    return {name: every[name] for name in kept}


def random_case(seed: int) -> list[Any]:
    random = Random(seed)
    n = random.choice([1, 2, 5, 40])
    ids = [random.randrange(n) for _ in range(random.randint(1, 6))]
    options = random_options(random, n)
    return [random_logits(random, n), ids, options]


TIES = [0.0, 0.0, 0.0, 0.0]
SLOPE = [2.0, 1.0, 0.0, -1.0, -2.0]
IMPOSSIBLE = [-math.inf, 1.0, -math.inf, 0.5]
GOLDEN: list[list[Any]] = [
    [SLOPE, [0], {}],
    [TIES, [0], {"temperature": 0}],
    [TIES, [0], {"top_k": 1}],
    [TIES, [0], {"top_p": 0.5}],
    [TIES, [0], {"min_p": 1}],
    [IMPOSSIBLE, [1], {"repetition_penalty": 2.0}],
    [[-math.inf, 3.0, -math.inf], [0], {"top_p": 0.2, "min_p": 1}],
    [SLOPE, [0], {"temperature": 0}],
    [SLOPE, [0], {"temperature": 1e-3}],
    [SLOPE, [0], {"temperature": 100}],
    [SLOPE, [0], {"top_k": 1}],
    [SLOPE, [0], {"top_k": 5}],
    [SLOPE, [0], {"top_k": 6}],
    [SLOPE, [0], {"top_p": 1}],
    [SLOPE, [0], {"top_p": 1e-9}],
    [SLOPE, [0], {"min_p": 0}],
    [SLOPE, [0], {"min_p": 1}],
    [SLOPE, [0, 0, 4], {"repetition_penalty": 2}],
    [SLOPE, [0, 4], {"repetition_penalty": 0.5}],
    [
        SLOPE,
        [1, 3],
        {
            "temperature": 0.7,
            "top_k": 4,
            "top_p": 0.9,
            "min_p": 0.05,
            "repetition_penalty": 1.2,
        },
    ],
]


def probabilities(logits: list[float], ids: list[int], options: dict) -> list[float]:
    rows = torch.tensor([logits], dtype=torch.float64), torch.tensor([ids])
    return next_token_probabilities(*rows, sampling(**options))[0].tolist()


@pytest.mark.parametrize(
    "cases",
    [GOLDEN, [random_case(seed) for seed in range(400)]],
    ids=["golden", "random"],
)
def test_the_probabilities_are_those_of_generate(call: Call, cases: list[Any]) -> None:
    for case, found in zip(cases, call("nextTokenProbabilities", cases), strict=True):
        assert found == pytest.approx(probabilities(*case), abs=1e-6), case
        assert sum(found) == pytest.approx(1.0, abs=1e-9), case
        assert min(found) >= 0


def test_what_each_option_leaves_is_what_it_should(call: Call) -> None:
    cut = [
        [SLOPE, [], {"top_k": 2}],
        [SLOPE, [], {"top_p": 0.7}],
        [SLOPE, [], {"min_p": 0.3}],
        [SLOPE, [], {"temperature": 0}],
        [TIES, [], {"top_k": 1}],
        [TIES, [], {"top_p": 0.5}],
        [TIES, [], {"temperature": 0}],
    ]
    left = [sum(p > 0 for p in found) for found in call("nextTokenProbabilities", cut)]
    assert left == [2, 2, 2, 1, 4, 2, 1]


def test_the_penalty_lowers_positive_and_negative_logits(call: Call) -> None:
    logits, ids = [4.0, -4.0, 0.0, 1.0], [0, 1, 1, 2]
    (found,) = call("penalize", [[logits, ids, 2.0]])
    assert found == [2.0, -8.0, 0.0, 1.0]
    expected = penalize(torch.tensor([logits]), torch.tensor([ids]), 2.0)
    assert found == expected[0].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1},
        {"temperature": math.inf},
        {"temperature": math.nan},
        {"top_k": 0},
        {"top_p": 0},
        {"top_p": 1.5},
        {"min_p": -0.1},
        {"min_p": 2},
        {"repetition_penalty": 0},
        {"repetition_penalty": -1},
    ],
    ids=str,
)
def test_wrong_options_are_refused_in_the_same_words(
    call: Call, options: dict[str, Any]
) -> None:
    (found,) = call("nextTokenProbabilities", [[SLOPE, [0], options]])
    with pytest.raises(ValueError) as refused:
        probabilities(SLOPE, [0], options)
    (name,) = options
    shared = str(refused.value).split("; ")[1]
    assert found["error"].startswith(f"{name} is ")
    assert found["error"].endswith(f"; {shared}")


NUMBERS = """async (seeds) => {
    const { uniformNumbers } = await import("./engine/sampling.js");
    return seeds.map((seed) => {
        const next = uniformNumbers(seed);
        return Array.from({ length: 20 }, () => next());
    });
}"""


def test_the_random_numbers_are_the_same(blank: Page) -> None:
    random = Random(0)
    seeds = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40 + 7, -1, -(2**31)]
    seeds += [random.randrange(2**32) for _ in range(300)]
    for seed, found in zip(seeds, blank.evaluate(NUMBERS, seeds), strict=True):
        assert found == list(islice(uniform_numbers(seed), 20)), seed
        assert all(0 <= number < 1 for number in found)


def test_a_number_draws_the_same_token(call: Call) -> None:
    random, cases = Random(1), []
    for seed in range(200):
        chances = probabilities(*random_case(seed))
        edges = [0.0, 1 - 2**-32, chances[0], sum(chances[:3])]
        numbers = [min(edge, 1 - 2**-32) for edge in edges] + [random.random()]
        cases += [[chances, number] for number in numbers]
    for case, found in zip(cases, call("draw", cases), strict=True):
        row = torch.tensor([case[0]], dtype=torch.float64)
        assert found == int(draw(row, [case[1]])), case
        assert case[0][found] > 0


SERIES = """async ([rows, seed, options]) => {
    const { draw, nextTokenProbabilities, uniformNumbers } = await import("./engine/sampling.js");
    const next = uniformNumbers(seed);
    const ids = [0];
    for (const logits of rows) ids.push(draw(nextTokenProbabilities(logits, ids, options), next()));
    return ids;
}"""


def test_the_same_seed_and_logits_draw_the_same_tokens(blank: Page) -> None:
    for seed in range(20):
        random = Random(seed)
        rows = [random_logits(random, 50) for _ in range(60)]
        options = random_options(random, 50)
        ids, numbers = [0], uniform_numbers(seed)
        for logits in rows:
            chances = torch.tensor([probabilities(logits, ids, options)])
            ids.append(int(draw(chances.double(), [next(numbers)])))
        assert blank.evaluate(SERIES, [rows, seed, options]) == ids, options
