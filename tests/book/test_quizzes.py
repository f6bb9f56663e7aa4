"""Quizzes: what a learning system reads out of the zips is what the pages ask."""

import re
import zipfile
from html.parser import HTMLParser
from xml.etree import ElementTree

import build_quizzes
import pytest
from book import NOTEBOOKS
from build_quizzes import Question, markdown, questions_of, quizzes, write_quiz

QTI = "{http://www.imsglobal.org/xsd/ims_qtiasiv1p2}"
QUIZZES = {name: questions for name, _, questions in quizzes()}


class Shown(HTMLParser):
    """The text that a piece of HTML shows, and which of it is code or emphasis."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.inside = "", ""
        self.marked: dict[str, list[str]] = {"code": [], "em": []}
        self.tags: set[str] = set()
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in self.marked:
            self.inside = tag
            self.marked[tag].append("")

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        self.text += data
        if self.inside:
            self.marked[self.inside][-1] += data


def assert_shows(source: str, wanted: str) -> None:
    """The HTML shows a question's text, with its code and emphasis and nothing else marked up."""
    shown, wanted = Shown(source), " ".join(wanted.split())
    plain = re.sub("`[^`]*`", "", wanted)
    assert shown.marked["code"] == re.findall("`([^`]*)`", wanted)
    assert shown.marked["em"] == re.findall(r"\*(\w[^*]*)\*", plain)
    assert shown.text.strip() == re.sub(
        r"\*(\w[^*]*)\*(?=[^`]*(?:`[^`]*`[^`]*)*$)", r"\1", wanted
    ).replace("`", "")
    assert shown.tags <= {"p", "code", "em"}


def items(path) -> list[ElementTree.Element]:
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if re.fullmatch(r"(.+)/\1\.xml", n)]
        manifest = archive.read("imsmanifest.xml").decode()
        root = ElementTree.fromstring(archive.read(name))
    assert name in manifest
    return list(root.iter(f"{QTI}item"))


def mattext(element: ElementTree.Element) -> str:
    return next(element.iter(f"{QTI}mattext")).text or ""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return {
        path.stem: path
        for path in build_quizzes.build(tmp_path_factory.mktemp("q") / "quizzes")
    }


def test_every_quick_question_of_the_pages_is_in_a_quiz():
    on_pages = [
        cell.source
        for page in NOTEBOOKS
        for cell in page.code
        if re.search(r"^ *QuickQuestion\(", cell.source, re.MULTILINE)
    ]
    assert sum(map(len, QUIZZES.values())) == len(on_pages) > 0


@pytest.mark.parametrize("name", QUIZZES)
def test_a_quiz_has_its_questions_options_reasons_and_key(built, name):
    found = items(built[name])
    assert len(found) == len(QUIZZES[name])
    for item, question in zip(found, QUIZZES[name], strict=True):
        assert_shows(mattext(item.find(f"{QTI}presentation")), question.text)
        labels = list(item.iter(f"{QTI}response_label"))
        assert len(labels) == len(question.options)
        feedback = {
            one.get("ident"): mattext(one) for one in item.iter(f"{QTI}itemfeedback")
        }
        for label, (text, _, why) in zip(labels, question.options, strict=True):
            assert_shows(mattext(label), text)
            assert_shows(feedback[f"{label.get('ident')}_fb"], why)
        full = [
            one.find(f".//{QTI}varequal").text
            for one in item.iter(f"{QTI}respcondition")
            if one.find(f"{QTI}setvar") is not None
            and one.find(f"{QTI}setvar").text == "100"
        ]
        right = [
            label.get("ident")
            for label, option in zip(labels, question.options, strict=True)
            if option[1]
        ]
        assert full == right


HARD = "<b>Is</b> &amp; `a_b * c` < 5 * x_1 + $y^2$ & [this](that) 1. #no ~~or~~ <|endoftext|> _so_ \\n `<|x|>`: (a) 2*3*4!"


def test_signs_of_markdown_and_html_come_through(tmp_path):
    question = Question(
        HARD,
        [("*yes*", True, "1. because"), ("a) no_w_", False, "... dots - and = signs")],
    )
    write_quiz(tmp_path / "hard.zip", "Hard", [question])
    (item,) = items(tmp_path / "hard.zip")
    assert_shows(mattext(item.find(f"{QTI}presentation")), HARD)
    labels = list(item.iter(f"{QTI}response_label"))
    assert_shows(mattext(labels[0]), "*yes*")
    assert_shows(mattext(labels[1]), "a) no_w_")


def test_code_stays_as_it_is_and_the_rest_is_escaped():
    assert markdown("`a * b` * c <") == "`a * b` &#42; c &lt;"
    assert markdown("the *same* `*a*`") == "the *same* `*a*`"


def test_a_computed_question_is_refused():
    with pytest.raises(ValueError, match="malformed node"):
        list(questions_of("QuickQuestion(f'{x}', options=[])"))


def test_a_quiz_that_text2qti_does_not_take_says_which(tmp_path):
    two = Question("Which?", [("this", True, "yes"), ("that", True, "no")])
    with pytest.raises(ValueError, match="bad: text2qti does not take the quiz"):
        write_quiz(tmp_path / "bad.zip", "Bad", [two])


def test_nothing_of_the_home_folder_is_read_or_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    build_quizzes.build(tmp_path / "quizzes")
    assert [path.name for path in tmp_path.iterdir()] == ["quizzes"]
