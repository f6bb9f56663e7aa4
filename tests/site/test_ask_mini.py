"""Ask mini in Chromium: a request of the reader's own, both answers, and why one is wrong; the same tokens as Python."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import Stopwatch
from page_weights import page_answerer
from playwright.sync_api import Locator, Page, Route, expect
from widget_pages import WAYS, Reader, assert_clean, both_themes, ready, site_folder

from llmbook_utils.evaluate import exact_match, normalize
from llmbook_utils.instruct import STYLES, encode_prompt
from llmbook_utils.widgets import AskMini
from llmbook_utils.widgets.ask_mini import ALTERNATIVES, MOST, held_out
from llmbook_utils.widgets.base import percent
from llmbook_utils.widgets.instructions import ADAPTER, mini_tokenizer, trained_style
from llmbook_utils.widgets.live import Answerer
from llmbook_utils.widgets.tokens import show

pytestmark = [pytest.mark.site, pytest.mark.usefixtures("one_thread")]

REQUEST = ("Ask about tomorrow.", "It will be sunny.")
OWN = ("What is the opposite of “hot”?", "")
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def stored() -> AskMini:
    return AskMini(*REQUEST)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, stored: AskMini) -> Path:
    return site_folder(tmp_path_factory.mktemp("ask"), both_themes(stored))


@pytest.fixture(scope="module")
def python() -> Answerer:
    return page_answerer()


@pytest.fixture(params=WAYS)
def user(request: pytest.FixtureRequest, open_page: Open) -> Reader:
    return Reader(open_page("light", has_touch=request.param == "touch"), request.param)


def told(
    python: Answerer, request: tuple[str, str], name: str, **options: Any
) -> list[dict[str, Any]]:
    """The tokens that Python tells with the page's own weights."""
    ids = encode_prompt(mini_tokenizer(), *request, STYLES[trained_style()])
    about = {"max_new_tokens": MOST, "alternatives": ALTERNATIVES, "temperature": 0.0}
    message = {"kind": "continue", "seq": 1, "ids": ids, "options": about | options}
    which = {"adapter": ADAPTER} if name == "tuned" else {}
    return [r for r in python.continue_(message | which) if r["kind"] == "token"]


def text_of(tokens: list[dict[str, Any]]) -> str:
    """The text of tokens as the page writes it: what cannot be seen has a mark."""
    data = [bytes(t["bytes"]) for t in tokens if t["id"] != mini_tokenizer().eot_token]
    return "".join(show(one) if hidden(one) else one.decode() for one in data)


def hidden(token: bytes) -> bool:
    text = token.decode(errors="replace")
    return "\ufffd" in text or bool(re.search(r"[^\S ]", text))


def answer(page: Page, name: str) -> Locator:
    return page.locator(".bw-am-answer").nth({"base": 0, "tuned": 1}[name])


def said(page: Page, name: str) -> str:
    """What a model wrote, when it is whole."""
    expect(answer(page, name)).to_have_attribute("aria-busy", "false", timeout=60_000)
    chips = answer(page, name).locator(".bw-chip:not(.bw-am-end)")
    return "".join(chips.all_text_contents())


def shares(page: Page, name: str) -> list[str]:
    chips = answer(page, name).locator(".bw-chip")
    return chips.evaluate_all("all => all.map(one => one.title)")


def button(page: Page, name: str) -> Locator:
    return page.locator(".bw").get_by_role("button", name=name)


def fields(page: Page) -> tuple[Locator, Locator]:
    return (
        page.get_by_role("textbox", name="Your request"),
        page.get_by_role("textbox", name="A text to go with it"),
    )


def write(user: Reader, request: tuple[str, str]) -> None:
    for field, text in zip(fields(user.page), request, strict=True):
        user.write(field, text)


def answered(page: Page) -> None:
    """Wait until nothing more is being answered."""
    stop = button(page, "Stop")
    expect(stop).to_have_attribute("aria-disabled", "true", timeout=60_000)


def ask(user: Reader) -> None:
    """Press the button, and wait for both answers."""
    user.press(button(user.page, "Ask"))
    answered(user.page)


def load(user: Reader) -> None:
    """Ask for the first time, which brings the model."""
    expect(button(user.page, "Ask")).to_have_text("Ask (loads 6.0 MB, once)")
    user.press(button(user.page, "Ask"))
    ready(user.page)
    answered(user.page)


def test_the_stored_answers_are_there_at_once(user: Reader, stored: AskMini) -> None:
    page = user.page
    for name in ("base", "tuned"):
        tokens = [r for r in stored.example[name] if r["kind"] == "token"]
        assert said(page, name) == text_of(tokens)
        expected = [percent(token["plain"]) for token in tokens]
        assert shares(page, name) == expected
        right = exact_match(stored.answer(name), "Will it be sunny?")
        verdict = "✓ Matches" if right else "✗ Does not match"
        expect(answer(page, name).locator(".bw-am-verdict")).to_contain_text(verdict)
    expect(answer(page, "base")).to_contain_text(f"cut off after {MOST} tokens")
    expect(answer(page, "tuned")).to_contain_text("It ended its answer itself")
    token = answer(page, "tuned").locator(".bw-chip").nth(1)
    if user.way == "keyboard":
        answer(page, "tuned").locator("[aria-selected=true]").focus()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
    else:
        user.press(token)
    expect(token).to_have_attribute("aria-selected", "true")
    second = [r for r in stored.example["tuned"] if r["kind"] == "token"][1]
    panel = page.locator(".bw-am-panel")
    expect(panel).to_contain_text("after fine-tuning, token 2")
    expect(panel.locator("tbody tr")).to_have_count(ALTERNATIVES)
    shown = panel.locator("tbody td:nth-child(2)").all_inner_texts()
    assert shown == [percent(other["plain"]) for other in second["alternatives"]]
    expect(panel.locator(".bw-current")).to_contain_text("✓ taken")
    assert not any("safetensors" in url for url in page.log.requests)


def test_a_stranger_with_a_phone_asks_something(
    open_page: Open, python: Answerer
) -> None:
    page = open_page("light", has_touch=True, viewport={"width": 390, "height": 844})
    user = Reader(page, "touch")
    write(user, OWN)
    expect(page.locator(".bw-summary").first).to_contain_text("judge for yourself")
    load(user)
    straight = ('What is the opposite of "hot"?', "")
    for name in ("tuned", "base"):
        tokens = told(python, straight, name)
        assert said(page, name) == text_of(tokens)
        least = min(
            (t for t in tokens if t["id"] != mini_tokenizer().eot_token),
            key=lambda token: token["plain"],
        )
        expect(answer(page, name)).to_contain_text("It was least sure of")
        # the page's arithmetic may differ in the last digits
        shown = answer(page, name).locator(".bw-am-note").inner_text()
        share = float(shown.split("”: ")[1].split(" %")[0])
        assert share == pytest.approx(100 * least["plain"], abs=0.2)
    expect(page.locator(".bw")).to_contain_text("Curly quotes")
    assert sum("mini.safetensors" in url for url in page.log.requests) == 1
    assert sum(f"{ADAPTER}.safetensors" in url for url in page.log.requests) == 1
    over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert over <= 0


def test_page_and_python_give_the_same_tokens(
    open_page: Open, python: Answerer
) -> None:
    user = Reader(open_page("light"), "mouse")
    load(user)
    for one in held_out()[::45]:
        request = (one["instruction"], one["input"])
        write(user, request)
        ask(user)
        for name in ("tuned", "base"):
            tokens = told(python, request, name)
            assert said(user.page, name) == text_of(tokens), request
            for shown, token in zip(shares(user.page, name), tokens, strict=True):
                near = float(shown.removeprefix("> ").removesuffix(" %"))
                assert near == pytest.approx(100 * token["plain"], abs=0.2)
        right = exact_match(text_of(told(python, request, "tuned")), one["output"])
        verdict = answer(user.page, "tuned").locator(".bw-am-verdict")
        expect(verdict).to_contain_text("✓" if right else "✗")
        expect(user.page.locator(".bw-summary").first).to_contain_text(
            f"The reference answer is “{one['output']}”"
        )


def test_drawn_answers_have_the_seed_of_python(
    open_page: Open, python: Answerer
) -> None:
    user = Reader(open_page("light"), "mouse")
    page = user.page
    load(user)
    page.get_by_role("spinbutton", name="Temperature").fill("0.8")
    seen = set()
    for seed in (1, 2):
        page.get_by_role("spinbutton", name="Seed").fill(str(seed))
        ask(user)
        for name in ("tuned", "base"):
            expected = told(python, REQUEST, name, temperature=0.8, seed=seed)
            assert said(page, name) == text_of(expected)
        seen.add(said(page, "base"))
    assert len(seen) == 2


def test_requests_of_the_test_part_come_by_kind(user: Reader) -> None:
    page = user.page
    some = [one for one in held_out() if one["kind"] == "plural"]
    page.get_by_label("Try one:").select_option("plural")
    instruction, text = fields(page)
    expect(instruction).to_have_value(some[0]["instruction"])
    user.press(button(page, "Another"))
    expect(instruction).to_have_value(some[1]["instruction"])
    expect(text).to_have_value(some[1]["input"])
    reference = page.locator(".bw-summary").first
    expect(reference).to_contain_text(some[1]["output"])
    user.write(instruction, "Say hello.")
    expect(reference).to_contain_text("judge for yourself")
    expect(page.get_by_label("Try one:")).to_have_value("")


def test_what_cannot_be_asked_is_said(open_page: Open) -> None:
    user = Reader(open_page("light"), "mouse")
    page, notes = user.page, user.page.locator(".bw-notes")
    load(user)
    before = said(page, "tuned")
    for text, words in (
        (" ", "There is no request"),
        ("word " * 250, "The request is too long"),
        ("word " * 700, "The request is too long: with its prompt it has more than"),
    ):
        fields(page)[0].fill(text)
        button(page, "Ask").click()
        expect(notes).to_contain_text(words)
        assert said(page, "tuned") == before
    fields(page)[0].fill("Say hello.")
    ask(user)
    expect(notes).to_be_empty()


def test_a_model_that_does_not_come_is_told(open_page: Open) -> None:
    page = open_page("light")

    def refuse(route: Route) -> None:
        route.fulfill(status=503, body="")

    before = said(page, "tuned")
    page.context.route("**/mini.safetensors*", refuse)
    button(page, "Ask").click()
    expect(page.locator(".bw-model")).to_contain_text("could not be loaded")
    assert said(page, "tuned") == before
    page.context.unroute("**/mini.safetensors*")
    button(page, "Try again").click()
    ready(page)
    answered(page)
    page.log.missing.clear()
    page.log.console.clear()


def test_stopping_is_possible(open_page: Open) -> None:
    user = Reader(open_page("light"), "mouse")
    load(user)
    user.page.evaluate(
        """() => {
            const named = (name) => [...document.querySelectorAll(".bw button")]
                .find((button) => button.textContent === name);
            const list = document.querySelector(".bw-am-said");
            new MutationObserver(() => list.children.length > 3 && named("Stop").click())
                .observe(list, { childList: true });
            named("Ask").click();
        }"""
    )
    expect(answer(user.page, "base")).to_contain_text("You stopped it after")
    said(user.page, "base")


def test_the_page_stays_free_while_the_model_writes(open_page: Open) -> None:
    page = open_page("light")
    user = Reader(page, "mouse")
    load(user)
    watch = Stopwatch(page)
    assert watch.milliseconds(lambda: ask(user)) / (2 * MOST) < 12


def test_words_are_compared_as_in_python(open_page: Open) -> None:
    texts = [
        "The cat, a dog & AN owl!",
        'It\'s "late".\u00a0No\x1cyes\ufeff',
        "ÀÉ ß İ ΣΑΣ",
        "a an the",
        "[x]^_`{|}~ \\ @#$%",
        "",
    ]
    call = """async texts => {
        const { wordsOf } = await import("./views/ask-mini.js");
        return texts.map(wordsOf);
    }"""
    found = open_page("light").evaluate(call, texts)
    assert found == [normalize(text) for text in texts]


def test_where_an_answer_parts_from_the_reference(open_page: Open) -> None:
    words = ["It", " is", " cold", ".", "<|endoftext|>"]
    cases = [
        ("It is cold.", -1),
        ("It is warm.", 2),
        ("It is cold", 3),
        ("It is cold. Very.", 4),
        ("No.", 0),
        ("It is cool.", 2),
    ]
    call = """async ([words, cases]) => {
        const { parting, wanted } = await import("./views/ask-mini.js");
        const bytes = (text) => [...new TextEncoder().encode(text)];
        const end = { bytes: bytes("<|endoftext|>") };
        const alternatives = [" warm", " co", ".", "N"].map((word) => ({ bytes: bytes(word), word }));
        const tokens = words.map((word) => ({ bytes: bytes(word), alternatives: [...alternatives, end] }));
        return cases.map(([reference]) => {
            const at = parting(tokens, reference);
            return [at, at < 0 ? null : (wanted(tokens, at, reference)?.word ?? null)];
        });
    }"""
    found = open_page("light").evaluate(call, [words, cases])
    assert [at for at, _ in found] == [at for _, at in cases]
    assert [word for _, word in found] == [None, " warm", None, None, "N", " co"]


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 720)])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_and_axe_finds_nothing(
    open_page: Open, theme: str, width: int, height: int
) -> None:
    page = open_page(theme, viewport={"width": width, "height": height})
    assert_clean(page)
    # the first control and the picture that it changes are on one screen
    high = page.evaluate(
        """() => {
            const [one, other] = ["control", "picture"].map((name) =>
                document.querySelector(`[data-bw-${name}]`).getBoundingClientRect());
            return Math.max(one.bottom, other.bottom) - Math.min(one.top, other.top);
        }"""
    )
    assert high <= height
