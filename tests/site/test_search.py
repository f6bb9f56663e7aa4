"""The book's search, asked as learners ask: the right section is among the first three results."""

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.site

# what is asked, and where the book explains it (any of these)
QUESTIONS = {
    "why divide by sqrt": ("3.4.1",),
    "what is a logit": ("3.5", "logits"),
    "kv cache": ("4.7",),
    "how do I load GPT-2": ("5.5",),
    "learning rate warmup": ("D.2",),
    "nucleus sampling": ("5.3.4",),
    "q k v": ("3.4", "3.4.1"),
    "BPE": ("2.5",),
    "skip connections": ("4.4",),
    "why do models overfit": ("5.2.4",),
    "hiding the future with a mask": ("3.5", "3.5.2"),
    "perplexity": ("5.1.6", "Perplexity"),
}


def first(page: Page, query: str, n: int = 3) -> list[str]:
    """The titles of the first results of a question that is typed on the page of results."""
    page.locator("main form.bd-search input").fill(query)
    return page.locator("#search-results li a").all_inner_texts()[:n]


def test_questions_lead_to_the_right_section(page: Page) -> None:
    page.goto("search.html?q=attention")
    expect(page.locator("#search-results li").first).to_be_visible()
    missed = {}
    for query, sections in QUESTIONS.items():
        titles = first(page, query)
        if not any(
            title.split(" ")[0] in sections or title.startswith(sections)
            for title in titles
        ):
            missed[query] = titles
    assert missed == {}


def test_nothing_found_is_said(page: Page) -> None:
    page.goto("search.html?q=zzzqqq")
    status = page.locator("#search-results [role=status]")
    expect(status).to_contain_text("Nothing was found")
    assert first(page, "") == []
    expect(status).to_have_text("Type a word or a question.")
    assert first(page, "the")  # a word of no weight is still a word
    # what is typed is text, not markup
    first(page, "<img src=x onerror=alert(1)> softmax")
    expect(page.locator("#search-results img")).to_have_count(0)


def test_a_result_opens_its_section_with_the_words_marked(page: Page) -> None:
    page.goto("search.html?q=overfitting")
    page.locator("#search-results li a").first.click()
    page.wait_for_url("**/chapters/05-*#*")
    expect(page.locator("article span.highlighted").first).to_be_visible()
    assert page.evaluate("document.querySelector(location.hash) !== null")
