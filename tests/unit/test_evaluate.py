"""Evaluation: metrics by hand and against rouge-score, intervals, controls, and bad judges."""

import json
import random
import re
import socket
import threading
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_server import HTML, JudgeServer, Said, ollama, openai
from rouge_score.rouge_scorer import RougeScorer

from llmbook_utils.evaluate import (
    METRICS,
    ask_judge,
    bootstrap,
    controls,
    exact_match,
    judge_bias,
    judge_prompt,
    longest_common,
    normalize,
    obeys_format,
    pair_prompt,
    parse_choice,
    parse_grade,
    rouge_l,
    score,
    summarize,
    token_f1,
)
from llmbook_utils.files.chat import (
    ChatError,
    ChatServer,
    RefusedError,
    Reply,
    ServerMissingError,
)
from llmbook_utils.files.instructions import Entry, load_instructions
from llmbook_utils.files.ledger import Ledger

SCORER = RougeScorer(["rougeL"])

# metrics


def test_normalize():
    assert normalize("The  Cat's hat,\nan egg -- a DOG!") == [
        "cats",
        "hat",
        "egg",
        "dog",
    ]


@pytest.mark.parametrize("answer, reference, wanted", [
    ("The opposite of hot is cold.", "the opposite of hot is cold", (1, 1, 1)),
    ("It is cold.", "The opposite of hot is cold.", (0, 2 * 2 / (3 + 5), 2 * 2 / (3 + 6))),
    ("", "Blue.", (0, 0, 0)),
    ("cats cats cats", "cats", (0, 2 / 4, 2 / 4)),  # said three times, right once
    ("Man bites dog.", "Dog bites man.", (0, 1, 1 / 3)),  # what fools F1
    ("It is not a cat.", "It is a cat.", (0, 6 / 7, 8 / 9)),  # what fools all but one
])  # fmt: skip
def test_metrics_by_hand(answer, reference, wanted):
    found = [
        METRICS[name](answer, reference)
        for name in ("exact match", "token F1", "ROUGE-L")
    ]
    assert found == pytest.approx(wanted)


def test_right_in_other_words_is_no_match():
    assert exact_match("five words", "It has five words.") == 0


@given(
    *[
        st.lists(
            st.sampled_from(
                ["the", "cat", "sat", "on", "a", "mat", "7", "it's", "Ünder", "x-y"]
            )
        ).map(" ".join)
    ]
    * 2
)
def test_rouge_l_is_that_of_rouge_score(answer, reference):
    theirs = SCORER.score(reference, answer)["rougeL"].fmeasure
    assert rouge_l(answer, reference) == pytest.approx(theirs)


def test_rouge_l_on_the_books_own_answers():
    entries = load_instructions("test")
    for mine, other in pairwise(entries):
        theirs = SCORER.score(mine.output, other.output)["rougeL"].fmeasure
        assert rouge_l(other.output, mine.output) == pytest.approx(theirs)


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_the_longest_common_sequence(a, b):
    def slow(a, b):
        if not a or not b:
            return 0
        if a[0] == b[0]:
            return 1 + slow(a[1:], b[1:])
        return max(slow(a[1:], b), slow(a, b[1:]))

    assert longest_common(a, b) == slow(a, b)


@settings(max_examples=40)
@given(st.text(), st.text())
def test_metrics_take_any_text_and_stay_between_0_and_1(answer, reference):
    for metric in METRICS.values():
        assert 0 <= metric(answer, reference) <= 1
    assert token_f1(answer, reference) == pytest.approx(token_f1(reference, answer))


@pytest.mark.parametrize("answer, reference, obeyed", [
    ("It is wrong.", "It is right.", 1), ("it is right", "It is right.", 0), ("four", "five", 1),
    ("Four.", "five", 0), ('"Hot" is it.', "It is cold.", 1), ("", "five", 0),
    ("One.\n\n### Instruction:\nTwo.", "One.\n\nTwo.", 0), ("One.\nTwo.", "One.", 0),
])  # fmt: skip
def test_format(answer, reference, obeyed):
    assert obeys_format(answer, reference) == obeyed


def test_each_reference_has_full_marks():
    for entry in load_instructions("test"):
        assert {
            name: m(entry.output, entry.output) for name, m in METRICS.items()
        } == dict.fromkeys(METRICS, 1.0)


# intervals and controls


def test_bootstrap_is_close_to_the_normal_interval():
    draw = random.Random(0)
    values = [float(draw.random() < 0.3) for _ in range(400)]
    mean = sum(values) / 400
    low, high = bootstrap(values)
    half = 1.96 * (mean * (1 - mean) / 400) ** 0.5
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.01)
    assert bootstrap(values) == (low, high) != bootstrap(values, seed=1)
    assert bootstrap(values, level=0.5)[0] > low
    assert bootstrap([0.5]) == (0.5, 0.5)


@pytest.mark.parametrize("values, options, message", [
    ([], {}, "no values"), ([1.0], {"level": 1}, "level is 1"), ([1.0], {"draws": 0}, "draws 0"),
])  # fmt: skip
def test_bootstrap_refuses(values, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(values, **options)


ENTRIES = [Entry("Say it.", "", f"Answer {i}.", kind) for i, kind in enumerate("aabbb")]


def test_controls_are_the_ceiling_and_the_floor():
    found = controls(ENTRIES)
    exact = {
        name: score(said, ENTRIES)["all"]["exact match"].mean
        for name, said in found.items()
    }
    assert exact == {"references": 1, "shuffled references": 0, "empty answers": 0}
    assert sorted(found["shuffled references"]) == sorted(found["references"])


def test_scores_by_kind():
    answers = ["Answer 0.", "no", "Answer 2.", "Answer 3.", "Answer 9."]
    table = score(answers, ENTRIES, lambda entry: entry.kind)
    assert table["a"]["exact match"].mean == 0.5
    assert table["b"]["exact match"].mean == pytest.approx(2 / 3)
    assert table["b"]["token F1"].n == 3
    assert summarize([1.0, 1.0]).low == 1


@pytest.mark.parametrize("answers", [[], ["one"]])
def test_there_must_be_an_answer_for_each_entry(answers):
    with pytest.raises(ValueError, match=f"{len(answers)} answers and 5 entries"):
        score(answers, ENTRIES)


# what judges say


@pytest.mark.parametrize("said, grade", [
    ("95", 95), (" 95.\n", 95), ("95/100", 95), ("8/10", 80), ("7.5 out of 10", 75), ("100%", 100),
    ("Score: 85", 85), ("**Score:** 85", 85), ("The grade is 40, for 2 reasons.", 40), ("0", 0),
    ("<think>maybe 20 or 30</think>\n70", 70), ("I would give it 60.", 60), ("Score: 60. Grade: 60", 60),
    ("I'd give it ninety", None), ("", None), ("<html><h1>502</h1></html>", None), ("150", None),
    ("-5", None), ("between 70 and 80", None), ("No.", None), ("<think>50", None), ("3/7", None),
    ("Score: 20 or score: 30", None),
])  # fmt: skip
def test_grades(said, grade):
    assert parse_grade(said) == (grade if grade is None else pytest.approx(grade))


@pytest.mark.parametrize("said, choice", [
    ("A", "A"), ("b", "B"), (" (B). ", "B"), ("Answer A is better.", "A"), ("T", "T"), ("**B**", "B"),
    ("A good answer would be B", "B"), ("A wins because B is empty", None), ("A or B", None), ("A and B are equal", None),
    ("", None), ("Both are fine", None), ("neither", None), ("<think>A?</think>B", "B"), ("I prefer A.", "A"),
])  # fmt: skip
def test_choices(said, choice):
    assert parse_choice(said) == choice


@given(st.text())
def test_whatever_a_judge_says_is_read_or_not(said):
    grade = parse_grade(said)
    assert grade is None or 0 <= grade <= 100
    assert parse_choice(said) in ("A", "B", "T", None)


# judges behind servers


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = JudgeServer()
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def judge_at(server, **options):
    options = {"timeout": (5, 0.3), "tries": 3, "pause": 0.0} | options
    return ChatServer(f"{server.url}/v1", "judge-1", **options)


def test_openais_protocol(server):
    server.plan = [openai("95", (1000, 500))]
    reply = judge_at(server, key="secret", prices=(2.0, 10.0))("How good?")
    assert (reply.text, reply.tokens_in, reply.tokens_out) == ("95", 1000, 500)
    assert reply.cost == pytest.approx(0.007)
    path, headers, body = server.seen[0]
    assert (
        path == "/v1/chat/completions" and headers["Authorization"] == "Bearer secret"
    )
    assert body["temperature"] == 0 and body["messages"][0]["content"] == "How good?"


def test_ollamas_protocol(server):
    server.plan = [ollama("80")]
    reply = ChatServer(server.url, "small", "ollama")("How good?")
    assert (reply.text, reply.tokens) == ("80", 93)
    path, headers, body = server.seen[0]
    assert (
        path == "/api/chat"
        and body["stream"] is False
        and "Authorization" not in headers
    )


WRONG = Said(b'{"answer": 50}')
BROKEN = {
    "500": Said(b"oops", 500),
    "429": Said(b"slow down", 429),
    "HTML": HTML,
    "silence": Said(silent=True),
    "hang-up": Said(hang_up=True),
    "half a reply": Said(openai("95").body, cut=30),
    "another form": WRONG,
    "a list": Said(b"[]"),
    "no choice": Said(b'{"choices": []}'),
    "nothing": Said(b""),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_bad_answer_is_asked_for_again(server, answer):
    server.plan = [answer, openai("70")]
    assert judge_at(server)("How good?").text == "70"
    assert len(server.seen) == 2


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_after_all_tries_it_is_counted_and_the_others_go_on(server, answer, tmp_path):
    server.plan = lambda prompt: answer if "bad" in prompt else openai("70")
    found = ask_judge(
        judge_at(server, tries=2), ["one", "bad", "three"], tmp_path / "r.jsonl"
    )
    assert (found.values, found.failed, found.unparsed) == ([70.0, None, 70.0], 1, 0)
    assert len(server.seen) == 4


def test_the_reason_is_told(server):
    server.plan = [HTML]
    with pytest.raises(ChatError, match=r"no reply in 2 tries.*something else.*<html>"):
        judge_at(server, tries=2)("How good?")


def test_after_some_failures_in_a_row_it_gives_up(server, tmp_path):
    server.plan = lambda prompt: openai("70") if prompt in ("a", "d") else HTML
    judge = judge_at(server, tries=1)
    with pytest.raises(
        ChatError, match=r"3 failures in a row: no reply.*something else"
    ):
        ask_judge(judge, list("abcdefgh"), tmp_path / "r.jsonl", give_up=3)
    assert len(server.seen) == 7  # b and c were followed by a reply
    found = ask_judge(judge, list("abcd"), tmp_path / "r.jsonl", give_up=3)
    assert (found.reused, found.failed) == (2, 2)
    assert "the last failure: no reply" in str(found)


def test_fields_of_the_request_can_be_changed(server):
    extra = {"max_tokens": None, "temperature": None, "max_completion_tokens": 200}
    judge_at(server, extra=extra)("How good?")
    body = server.seen[0][2]
    assert body.keys() == {"model", "messages", "max_completion_tokens"}


def test_what_cannot_get_better_is_not_asked_again(server):
    server.plan = [Said(b"too long", 400)]
    with pytest.raises(RefusedError, match="400: 'too long'"):
        judge_at(server)("How good?")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "status, hint", [(401, "check the key"), (404, "is 'judge-1' there")]
)
def test_a_wrong_key_or_model_ends_the_run_at_once(server, status, hint, tmp_path):
    server.plan = [Said(b"no", status)]
    with pytest.raises(ServerMissingError, match=hint) as error:
        ask_judge(judge_at(server, key="secret"), ["one", "two"], tmp_path / "r.jsonl")
    assert len(server.seen) == 1
    assert "secret" not in str(error.value) + repr(judge_at(server, key="secret"))


def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def test_a_server_that_is_not_there(server, tmp_path):
    judge = judge_at(server)
    ask_judge(judge, ["one"], tmp_path / "r.jsonl")
    gone = ChatServer(f"http://127.0.0.1:{closed_port()}/v1", "judge-1", pause=0.0)
    with pytest.raises(
        ServerMissingError, match=r"no server answers at http://127.*; start it"
    ):
        ask_judge(gone, ["one", "two"], tmp_path / "r.jsonl")
    assert ask_judge(gone, ["one"], tmp_path / "r.jsonl").values == [50.0]  # paid for


@pytest.mark.parametrize("options, message", [
    ({"protocol": "telnet"}, "expected one of openai, ollama"), ({"tries": 0}, "tries is 0"),
])  # fmt: skip
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        ChatServer("http://localhost:1", "m", **options)
    with pytest.raises(ValueError, match="must begin with"):
        ChatServer("localhost:11434", "m")


SAYINGS = ["I'd give it ninety", "95/100", "", None, "<p>80</p> or 20"]


def test_all_that_a_judge_says_is_read_or_counted(server, tmp_path):
    server.plan = [openai(said) for said in SAYINGS]
    judge = judge_at(server, prices=(1.0, 1.0))
    found = ask_judge(judge, list("abcde"), tmp_path / "r.jsonl")
    assert found.values == [None, 95.0, None, None, None]
    assert (found.unparsed, found.failed, found.tokens) == (4, 0, 510)
    assert found.cost == pytest.approx(510 / 1e6) and found.seconds > 0
    assert "1 of 5 verdicts (4 unreadable, 0 failed" in str(found)


# nothing that was paid for is lost


class Counting:
    """A judge in this process, which stops where it is told to."""

    def __init__(self, stop_at=None):
        self.asked, self.stop_at = [], stop_at

    def __call__(self, prompt):
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(prompt)
        return Reply(str(len(prompt)), 1, 1, 0.1, 0.5)


PROMPTS = ["a", "bb", "ccc", "dddd"]


def test_a_killed_run_continues(tmp_path):
    path = tmp_path / "new/r.jsonl"
    with pytest.raises(KeyboardInterrupt):
        ask_judge(Counting(stop_at=2), PROMPTS, path)
    judge = Counting()
    found = ask_judge(judge, PROMPTS, path)
    assert found.values == [1, 2, 3, 4] and judge.asked == ["ccc", "dddd"]
    assert (found.reused, found.cost) == (2, 1.0)
    assert ask_judge(Counting(stop_at=0), PROMPTS, path).values == [1, 2, 3, 4]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_half_written_line_costs_that_line_only(tmp_path, cut):
    path = tmp_path / "r.jsonl"
    ask_judge(Counting(), PROMPTS, path)
    path.write_bytes(path.read_bytes()[:-cut])
    judge = Counting()
    assert ask_judge(judge, PROMPTS, path).values == [1, 2, 3, 4]
    # without the line's end alone, nothing is missing
    assert judge.asked == ([] if cut == 1 else ["dddd"])
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 4


def test_a_reply_is_on_the_disk_before_the_next_is_asked_for(tmp_path):
    lines = []

    def judge(prompt):
        lines.append((tmp_path / "r.jsonl").read_text().count("\n"))
        return Reply("50")

    ask_judge(judge, PROMPTS, tmp_path / "r.jsonl")
    assert lines == [0, 1, 2, 3]


def test_another_prompt_and_another_judge_are_asked(tmp_path):
    path = tmp_path / "r.jsonl"
    ask_judge(Counting(), PROMPTS, path)
    other = Counting()
    ask_judge(other, ["a", "new"], path)
    assert other.asked == ["new"]
    third = Counting()
    ask_judge(third, ["a"], path, name="another judge")
    assert third.asked == ["a"]


def test_a_file_that_is_something_else_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes\nmore of them\n")
    with pytest.raises(ValueError, match="line 1 is no reply"):
        ask_judge(Counting(), PROMPTS, path)
    assert path.read_text() == "my notes\nmore of them\n"
    with pytest.raises(IsADirectoryError):
        Ledger(tmp_path)


def test_a_failed_prompt_is_asked_again_by_the_next_run(server, tmp_path):
    server.plan = [HTML]
    assert ask_judge(judge_at(server), ["one"], tmp_path / "r.jsonl").failed == 1
    server.plan = [openai("60")]
    assert ask_judge(judge_at(server), ["one"], tmp_path / "r.jsonl").values == [60.0]


# bias, shown on judges that have it

PAIRS = [("short", "much longer"), ("quite a long one", "brief"), ("tiny", "enormous")]
ENTRY = Entry("Say something.", "", "Something.")


def choices(judge, tmp_path):
    """A biased judge's choices in both orders, through the whole path."""
    runs = []
    for name, pairs in (("forward", PAIRS), ("backward", [(b, a) for a, b in PAIRS])):
        prompts = [pair_prompt(ENTRY, *pair) for pair in pairs]
        runs.append(
            ask_judge(judge, prompts, tmp_path / name, parse=parse_choice).values
        )
    return judge_bias(PAIRS, *runs)


def answers_in(prompt):
    return re.search("Answer A: (.*)\nAnswer B: (.*)", prompt).groups()


def test_position_bias(tmp_path):
    bias = choices(lambda prompt: Reply("A"), tmp_path)
    assert (bias.first, bias.longer, bias.changed, bias.n) == (1.0, 0.5, 1.0, 3)


def test_verbosity_bias(tmp_path):
    def judge(prompt):
        first, second = answers_in(prompt)
        return Reply("A" if len(first) > len(second) else "B")

    bias = choices(judge, tmp_path)
    assert (bias.first, bias.longer, bias.changed) == (0.5, 1.0, 0.0)


def test_a_fair_judge_and_one_that_cannot_be_read(tmp_path):
    bias = choices(lambda prompt: Reply("T"), tmp_path)
    assert (bias.first, bias.longer, bias.changed) == (0.5, 0.5, 0.0)
    with pytest.raises(ValueError, match="no pair has a readable choice"):
        judge_bias(PAIRS, [None] * 3, ["A"] * 3)


def test_prompts_hold_what_the_judge_needs():
    entry = Entry("Make it a question.", "{The} dog is wet.", "Is the dog wet?")
    text = judge_prompt(entry, "Wet {dog}?")
    assert all(
        part in text
        for part in ("Make it a question.\n{The}", "Is the dog wet?", "Wet {dog}?")
    )
