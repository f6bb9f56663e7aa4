"""What is recorded of chapter 7 agrees with itself, with the tool, and with the data."""

import pytest
import record_instruct
import record_judge

from llmbook_utils.evaluate import METRICS, parse_choice, parse_grade
from llmbook_utils.files.adapter import SHIPPED
from llmbook_utils.files.instructions import load_instructions, read_style
from llmbook_utils.runs.results import load_result

RECORD = load_result("instructions")
JUDGED = load_result("judge")


def test_the_runs_are_the_tool_s() -> None:
    known = {run.name: run for run in record_instruct.RUNS}
    seen = [(run["run"], run["seed"]) for run in RECORD["runs"]]
    assert len(set(seen)) == len(seen)
    assert {name for name, _ in seen} == set(known)
    for run in RECORD["runs"]:
        plan = known[run["run"]]
        assert (run["rank"], run["epochs"]) == (plan.rank, plan.epochs)
        assert run["style"] == plan.style
        entries = plan.examples or len(load_instructions("train"))
        batches = -(-entries // record_instruct.BATCH_SIZE)
        assert run["steps"] == plan.epochs * batches


@pytest.mark.parametrize("part", ["test", "unseen"])
def test_scores_are_those_of_the_answers(part: str) -> None:
    entries = load_instructions(part)
    key = "answers" if part == "test" else "unseen_answers"
    for run in [RECORD["base"], *RECORD["runs"]]:
        assert record_instruct.scores(run[key], entries) == run[part]
    assert RECORD["metrics"] == list(METRICS)


def test_fine_tuning_beats_the_base_model_beyond_the_intervals() -> None:
    base = RECORD["base"]["test"]["token F1"]
    for run in RECORD["runs"]:
        if run["run"] in ("all weights", "rank 8"):
            mean, low, _ = run["test"]["token F1"]
            assert mean > 3 * base[0]
            assert low > base[2]


def test_the_judge_s_words_were_read_as_the_library_reads_them() -> None:
    for found in JUDGED["grades"].values():
        assert [parse_grade(text) for text in found["replies"]] == found["values"]
        assert len(found["values"]) == record_judge.ENTRIES
    said = [parse_choice(text) for text in JUDGED["pairs"]["replies"]]
    half = JUDGED["pairs"]["asked"]
    both = zip(said[:half], said[half:], strict=True)
    assert sum(None not in pair for pair in both) == JUDGED["pairs"]["n"]


def test_the_shipped_adapter_says_how_it_was_asked() -> None:
    name, _ = record_instruct.SHIPPED
    (run,) = (run for run in record_instruct.RUNS if run.name == name)
    assert read_style(SHIPPED / "instruct") == run.style
