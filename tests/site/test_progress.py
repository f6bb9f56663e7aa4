"""What a reader has read and passed: noted by the browser, shown, saved, added and erased."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.site

CHAPTER = "chapters/01-understanding-large-language-models"
SECTION = "what-is-an-llm"
RECORD = "() => JSON.parse(localStorage.getItem('llmbook-progress') ?? 'null')"
END = """id => {
    const blocks = [...document.getElementById(id).querySelectorAll("p, pre, li, td, figure, .cell, h3")];
    const seen = blocks.filter((block) => !block.closest("details, .bw, [hidden]"));
    seen.at(-1).scrollIntoView({ block: "center", behavior: "instant" });
}"""
ROW = f"tr:has(a[href$='{CHAPTER}.html'])"


def read_section(page: Page, section: str = SECTION) -> None:
    page.goto(f"{CHAPTER}.html")
    page.evaluate(END, section)
    page.wait_for_function(
        "([page, id]) => JSON.parse(localStorage.getItem('llmbook-progress') ?? '{}').sections?.[page]?.[id]",
        arg=[CHAPTER, section],
    )


def keep(page: Page, **parts: Any) -> None:
    """Write a record into the browser, as if it had been there before."""
    record = {"version": 1, "sections": {}, "questions": {}, "exercises": {}, "last": None}  # fmt: skip
    page.goto("404.html")
    page.evaluate(
        "text => localStorage.setItem('llmbook-progress', text)",
        json.dumps(record | parts),
    )


def test_a_first_visit_shows_nothing_and_notes_nothing(page: Page) -> None:
    page.goto("intro.html")
    expect(page.locator(".read-share")).to_have_count(0)
    expect(page.locator(".front-continue")).to_have_count(0)
    assert page.evaluate(RECORD) is None


def test_a_section_is_read_when_its_end_has_been_in_sight(page: Page) -> None:
    read_section(page)
    mark = page.locator("nav.bd-links a[href$='#'] .read-share, nav.bd-links li.active .read-share")  # fmt: skip
    expect(mark.first).to_have_text("1/7")
    expect(page.locator(f".page-toc a[href='#{SECTION}']").first).to_have_class(
        re.compile("section-read")
    )
    page.goto("intro.html")
    link = page.locator(".front-continue")
    expect(link).to_contain_text("Continue: 1.")
    link.click()
    assert CHAPTER in page.url and "#" in page.url


def test_a_page_that_is_only_opened_is_not_read(page: Page) -> None:
    page.goto(f"{CHAPTER}.html")
    page.wait_for_timeout(1500)
    record = page.evaluate(RECORD)
    assert not record or record["sections"] == {}


def test_a_question_counts_when_it_was_right_once(page: Page) -> None:
    page.goto(f"{CHAPTER}.html")
    mount = page.locator('.bw-mount[data-bw-module="quick-question"]').first
    mount.scroll_into_view_if_needed()
    wrong = mount.locator('.bw-option[data-correct="no"] input').first
    right = mount.locator('.bw-option[data-correct="yes"] input').first
    for choice, counted in ((wrong, "0 of 3"), (right, "1 of 3"), (wrong, "1 of 3")):
        choice.check()
        page.goto("course/progress.html")
        expect(page.locator(f"#progress-table {ROW} td").nth(1)).to_have_text(counted)
        page.go_back()
        mount.scroll_into_view_if_needed()
        said = "tried this one" if counted[0] == "0" else "answered this one right"
        expect(mount.get_by_role("status")).to_have_text(f"You have {said} before.")
    wrong.check()
    expect(mount.get_by_role("status")).to_contain_text("Not this one")


def test_an_exercise_on_the_page_counts(page: Page) -> None:
    page.goto(f"{CHAPTER}.html")
    mount = page.locator('.bw-mount[data-bw-module="by-hand"]').first
    mount.scroll_into_view_if_needed()
    expect(mount).to_have_attribute("data-bw-ready", "1")
    for field, text in zip(
        mount.locator("input").all(), ["10", "0.625", "1/1024"], strict=True
    ):
        field.fill(text)
    mount.get_by_role("button", name="Check").click()
    expect(mount.get_by_role("status")).to_contain_text("Right")
    page.goto("course/progress.html")
    expect(page.locator(f"#progress-table {ROW} td").nth(2)).to_have_text("1 of 6")
    page.goto(f"{CHAPTER}.html")
    mount.scroll_into_view_if_needed()
    expect(mount.get_by_role("status")).to_have_text("You have solved this one before.")


def test_a_file_of_the_notebooks_is_added(page: Page, tmp_path: Path) -> None:
    keep(page, exercises={"1.3": "2026-01-02"})
    file = tmp_path / "progress.json"
    exercises = {"1.1": "2026-01-01", "1.3": "2026-01-01", "1.2": 5}
    file.write_text(json.dumps({"version": 1, "exercises": exercises}))
    page.goto("course/progress.html")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add a file").click()
    chooser.value.set_files(file)
    expect(page.locator(f"#progress-table {ROW} td").nth(2)).to_have_text("2 of 6")
    # the earlier date stays, and what is no date is left out
    kept = {"1.1": "2026-01-01", "1.3": "2026-01-01"}
    assert page.evaluate(RECORD)["exercises"] == kept


@pytest.mark.parametrize(
    "text, says",
    [("half a fi", "does not hold JSON"), ("[]", "no record"), ('{"version": 9}', "version 1")],
)  # fmt: skip
def test_another_file_changes_nothing(
    page: Page, tmp_path: Path, text: str, says: str
) -> None:
    keep(page, exercises={"1.3": "2026-01-02"})
    (tmp_path / "x.json").write_text(text)
    page.goto("course/progress.html")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add a file").click()
    chooser.value.set_files(tmp_path / "x.json")
    expect(page.locator("#progress-table [role=status]")).to_contain_text(says)
    assert page.evaluate(RECORD)["exercises"] == {"1.3": "2026-01-02"}


def test_it_is_saved_as_a_file_that_can_be_added(page: Page, tmp_path: Path) -> None:
    keep(page, exercises={"2.1": "2026-01-02"})
    page.goto("course/progress.html")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save it as a file").click()
    saved = json.loads(Path(download.value.path()).read_text())
    assert download.value.suggested_filename == "llmbook-progress.json"
    assert saved["exercises"] == {"2.1": "2026-01-02"} and saved["version"] == 1


def test_it_is_erased_after_a_question(page: Page) -> None:
    keep(page, sections={CHAPTER: {SECTION: "2026-01-02"}})
    page.goto("course/progress.html")
    cell = page.locator(f"#progress-table {ROW} td").first
    expect(cell).to_have_text("1 of 7")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Erase it").click()
    expect(cell).to_have_text("1 of 7")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Erase it").click()
    expect(cell).to_have_text("0 of 7")
    expect(page.locator("nav.bd-links .read-share", has_text="1")).to_have_count(0)


def test_it_can_be_switched_off(page: Page) -> None:
    page.goto("course/progress.html")
    page.get_by_role("button", name="Note nothing from now on").click()
    expect(page.get_by_role("button", name="Note my reading again")).to_be_visible()
    page.goto(f"{CHAPTER}.html")
    page.evaluate(END, SECTION)
    page.wait_for_timeout(1800)
    assert page.evaluate(RECORD)["sections"] == {}


@pytest.mark.parametrize("text", ["{", "null", '{"version": 0}', '{"version": 1, "sections": [1]}'])  # fmt: skip
def test_a_damaged_record_is_none(page: Page, text: str) -> None:
    page.goto("404.html")
    page.evaluate("text => localStorage.setItem('llmbook-progress', text)", text)
    page.goto("course/progress.html")
    expect(page.locator(f"#progress-table {ROW} td").first).to_have_text("0 of 7")
    assert page.log.console == []


def test_a_browser_that_keeps_nothing_reads_all_the_same(new_page: Any) -> None:
    page = new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('refused'); } })"
    )
    page.goto("course/progress.html")
    expect(page.locator(f"#progress-table {ROW} td").first).to_have_text("0 of 7")


def test_two_tabs_show_the_same(page: Page) -> None:
    page.goto("course/progress.html")
    other = page.context.new_page()
    other.goto(f"{CHAPTER}.html")
    other.evaluate(END, SECTION)
    expect(page.locator(f"#progress-table {ROW} td").first).to_have_text("1 of 7")
