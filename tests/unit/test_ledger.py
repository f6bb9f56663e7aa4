"""Replies that were paid for stay, whatever kills the run."""

import json

import pytest

from llmbook_utils.evaluate import ask_judge
from llmbook_utils.files.chat import Reply
from llmbook_utils.files.ledger import Ledger


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
