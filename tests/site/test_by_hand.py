"""Exercises by hand are answered on the page, with the verdicts that `check` gives."""

import importlib
import json
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from llmbook_utils.exercises import Wrong, module_of, registered
from llmbook_utils.exercises.by_hand import ByHand, fill

pytestmark = pytest.mark.site

TABLES = {n: one.by_hand for n, one in registered().items() if one.by_hand}
BITS = "chapters/01-understanding-large-language-models.html"
MERGES = "chapters/02-working-with-text-data.html"
JUDGE = """async ([rules, given]) => {
    const { judge } = await import("/_static/widgets/parts/by-hand.js");
    return given.map((one) => judge(rules, one));
}"""
READ = """async (texts) => {
    const { readNumber } = await import("/_static/widgets/parts/by-hand.js");
    return texts.map(readNumber);
}"""


def flat(table: ByHand, answer: Any) -> list[Any] | None:
    """An answer as the page's fields give it; None for one that no field can hold."""
    try:
        return table._texts(answer) if table.text else table._numbers(answer)
    except (Wrong, TypeError, ValueError):
        return None


def right_answer(table: ByHand) -> list[Any]:
    """The values that the rules demand, in the order of the fields."""
    found: dict[int, Any] = {}
    for rule in table.rules:
        if rule.kind == "wanted":
            found |= dict(zip(rule.at, rule.values, strict=True))
    return [found[i] for i in range(len(table.fields))]


def verdict(table: ByHand, answer: list[Any]) -> str | None:
    try:
        table.judge(answer)
        return None
    except Wrong as wrong:
        return str(wrong)


@pytest.mark.parametrize("number", TABLES)
def test_the_page_judges_as_python_does(page: Page, number: str) -> None:
    table = TABLES[number]
    module = module_of(number)
    planted = importlib.import_module(f"planted.{module}").PLANTED[number]
    answers = [flat(table, answer) for _, _, answer in planted]
    answers = [*filter(None, answers), right_answer(table)]
    if not table.text:  # what nobody planted
        right = answers[-1]
        answers += [
            [x * 1.5 + 1 for x in right],
            [-x for x in right],
            [x + 0.37 for x in right],
        ]
    page.goto("404.html")
    rules = json.loads(json.dumps(table.page()["rules"]))
    said = page.evaluate(JUDGE, [rules, answers])
    assert said == [verdict(table, answer) for answer in answers]
    assert said.count(None) >= 1 and len({*said}) >= 3


def written(page: Page, says: str, given: list[float]) -> list[str]:
    """The sentence of a rule that every one of the numbers breaks."""
    rule = {"kind": "wanted", "at": [0], "values": [0.123], "within": [0], "says": says}
    return page.evaluate(JUDGE, [[rule], [[x] for x in given]])


def test_numbers_are_written_as_python_writes_them(page: Page) -> None:
    page.goto("404.html")
    given = [0, 1, -1.5, 1e-4, 12345.678, 123456.7, 1234567, 1e-5, 2 / 3, 1e22]
    for says in ("{0}", "{0^10}", "{sum 0}"):
        assert written(page, says, given) == [fill(says, [x]) for x in given]
    whole = [0, 999, 1000, 3_162_112]
    assert written(page, "{0:,}", whole) == [fill("{0:,}", [x]) for x in whole]


def test_numbers_are_read_as_people_write_them(page: Page) -> None:
    page.goto("404.html")
    read = {
        "10": 10, " 0.25 ": 0.25, ".5": 0.5, "1/4": 0.25, "−3": -3, "+2": 2, "3,000": 3000,
        "1,234,567.5": 1234567.5, "1e-3": 0.001, "25 %": 0.25, "1 / 1024": 1 / 1024,
        "": None, "abc": None, "0,25": None, "1,23": None, "1/0": None, "1/2/3": None,
        "--1": None, ".": None, "e5": None, "%": None, "1.2.3": None,
    }  # fmt: skip
    assert page.evaluate(READ, [*read]) == [*read.values()]


def form(page: Page, address: str, at: int = 0) -> Locator:
    page.goto(address)
    mount = page.locator('.bw-mount[data-bw-module="by-hand"]').nth(at)
    mount.scroll_into_view_if_needed()
    expect(mount).to_have_attribute("data-bw-ready", "1")
    return mount


def test_an_answer_by_keyboard(page: Page) -> None:
    mount = form(page, BITS)
    fields, said = mount.locator("input"), mount.get_by_role("status")
    fields.nth(0).focus()
    for text in ("10", "2.5", "1/1024"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(said).to_have_text("Not yet: 2.5: those are bits per piece; divide by the bytes")  # fmt: skip
    fields.nth(1).fill("0.625")
    page.keyboard.press("Enter")
    expect(said).to_have_text(
        "Right: 10 bits, 0.625 bits per byte, and 1/1024, ten halvings of 1."
    )
    assert page.log.console == []


def test_what_is_no_number_is_named(page: Page) -> None:
    mount = form(page, BITS)
    said = mount.get_by_role("status")
    mount.get_by_role("button", name="Check").click()
    expect(said).to_have_text("Nothing stands in the field “bits” yet.")
    mount.get_by_label("bits", exact=True).fill("ten")
    mount.get_by_role("button", name="Check").click()
    expect(said).to_contain_text("“ten” is not a number (bits)")
    expect(mount.get_by_label("bits", exact=True)).to_be_focused()


def test_words_are_answered_by_touch(new_page: Any) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    mount = form(page, MERGES)
    for field, text in zip(
        mount.locator("input").all(), ["ng", "ing", "␣r", " ring"], strict=True
    ):
        field.fill(text)
    mount.get_by_role("button", name="Check").tap()
    expect(mount.get_by_role("status")).to_contain_text("Right: ng, ing, ␣r and ␣ring")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_on_paper_there_are_lines_to_write_on(page: Page) -> None:
    mount = form(page, BITS)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(mount.locator(".by-hand-blank")).to_have_count(3)
    expect(mount.locator("input").first).to_be_hidden()


def test_each_exercise_by_hand_has_its_form(page: Page) -> None:
    found = []
    page.goto("404.html")
    for place in page.evaluate(
        "async () => (await (await fetch('/_static/progress/book.json')).json())"
    ):
        page.goto(f"{place['page']}.html")
        mounts = page.locator('.bw-mount[data-bw-module="by-hand"]')
        found += mounts.evaluate_all(
            "all => all.map(e => JSON.parse(e.querySelector('script')?.textContent ?? '{}').number ?? e.dataset.bwState)"
        )
    assert len(found) == len(TABLES)
