"""Each solution in Appendix C leads back to its exercise."""

import pytest
from book import NOTEBOOKS
from nbformat.v4 import new_markdown_cell, new_notebook
from solution_links import LINK, SOLUTIONS, exercises, link_back

PAGES = {page.path: page.notebook for page in NOTEBOOKS}
OTHERS = [(path, page) for path, page in PAGES.items() if path != SOLUTIONS]
PLACE = "../chapters/02-x.ipynb#exercise-21-write-merge"


def notebook(*texts):
    return new_notebook(cells=[new_markdown_cell(text) for text in texts])


def test_the_link_is_written_once_and_kept_up_to_date():
    pages = [
        ("chapters/02-x.ipynb", notebook("### Exercise 2.1: Write `merge`\n\nDo it."))
    ]
    solutions = notebook(
        "## 2 Text\n\n### Exercise 2.1: Write `merge`\n\nWalk.", "Text."
    )
    assert link_back(solutions, pages) == [solutions.cells[0].id]
    written = (
        f"## 2 Text\n\n### Exercise 2.1: Write `merge`\n\n{LINK}({PLACE})\n\nWalk."
    )
    assert solutions.cells[0].source == written
    assert link_back(solutions, pages) == []
    solutions.cells[0].source = written.replace("02-x", "02-old")
    link_back(solutions, pages)
    assert solutions.cells[0].source == written
    bare = notebook("### Exercise 2.1: Write `merge`", "Walk.")
    link_back(bare, pages)
    assert bare.cells[0].source == f"### Exercise 2.1: Write `merge`\n\n{LINK}({PLACE})"
    assert link_back(bare, pages) == []


def test_a_solution_without_an_exercise_is_refused():
    with pytest.raises(
        ValueError, match=r"no page has the exercise 'Exercise 2.1: Lost'"
    ):
        link_back(notebook("### Exercise 2.1: Lost\n\nText."), [])


def test_every_solution_leads_back():
    text = "\n\n".join(cell.source for cell in PAGES[SOLUTIONS].cells) + "\n\n"
    places = dict(exercises(OTHERS))
    assert len(places) >= 70
    for title, place in places.items():
        assert f"### {title}\n\n{LINK}({place})\n\n" in text, "run: make sync"
