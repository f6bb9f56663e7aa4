"""`llmbook instruct`: train, answer and evaluate, on files, in a terminal, with a judge."""

import io
import json
import os
import pty
import sys
from dataclasses import asdict, replace

import pytest
import torch
from judge_server import Said, openai, serving

from llmbook_utils import cli
from llmbook_utils.cli import main
from llmbook_utils.config import MINI
from llmbook_utils.evaluate import score
from llmbook_utils.files.chat import PATHS
from llmbook_utils.files.instructions import (
    SPLITS,
    Entry,
    read_answers,
    read_style,
    write_style,
)
from llmbook_utils.instruct import (
    PHI,
    STYLES,
    answer,
    create_instruction_loader,
    end_of,
    fine_tune,
    prepare,
)
from llmbook_utils.lora import add_lora, load_adapter, lora_layers
from llmbook_utils.model import GPTModel
from llmbook_utils.pretrained import load_pretrained, save_pretrained
from llmbook_utils.runs import instructions
from llmbook_utils.runs.instructions import Options, open_tuned, stream_answer

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = replace(
    MINI, context_length=64, emb_dim=32, n_heads=2, n_layers=1, drop_rate=0.02
)
ENTRIES = [
    Entry("Name a color.", "", "Red is a color.", "color", "train"),
    Entry(
        "Which animal is it?", "The cow is wet.", "It is the cow.", "animal", "train"
    ),
    Entry("Which animal is it?", "A dog ran.", "It is the dog.", "animal", "train"),
    Entry("Say hello.", "", "Hello, my friend!", "greet", "train"),
    Entry("Count to two.", "", "one two", "count", "train"),
    Entry("What is the name of this?", "A hen.", "It is a hen.", "animal", "test"),
    Entry("Name a bird.", "", "A dove.", "animal", "test"),
    Entry("Say goodbye.", "", "Goodbye!", "greet", "validation"),
]
TRAIN = [entry for entry in ENTRIES if entry.split == "train"]
TEST = [entry for entry in ENTRIES if entry.split == "test"]
SETTINGS = {"epochs": 60, "lr": 0.005, "seed": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "entries.json"
    path.write_text(json.dumps([asdict(entry) for entry in ENTRIES]), "utf-8")
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A GPT of a few weights with `mini`'s tokenizer."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    save_pretrained(GPTModel(SMALL), load_pretrained("mini")[1], folder)
    return folder


def run(*arguments):
    main(["instruct", *map(str, arguments)])


def options(**settings):
    pairs = [(f"--{name.replace('_', '-')}", value) for name, value in settings.items()]
    return [part for pair in pairs for part in pair]


@pytest.fixture(scope="module")
def tuned(data, base, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "model"
    more = options(data=data, pretrained=base, out=out, device="cpu", batch_size=2)
    run("train", *more, *options(**SETTINGS))
    return out


@pytest.fixture(scope="module")
def adapter(data, base, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "adapter"
    more = options(data=data, pretrained=base, out=out, device="cpu", lora=4)
    run("train", *more, *options(style="chatml", batch_size=2, **SETTINGS))
    return out


def in_python(base, style, rank=None):
    """What a reader of chapter 7 would write."""
    model, tokenizer = load_pretrained(base)
    examples, _ = prepare(TRAIN, tokenizer, STYLES[style], SMALL.context_length)
    torch.manual_seed(3)
    if rank:
        add_lora(model, rank, 2 * rank)
    loader = create_instruction_loader(
        examples, end_of(tokenizer), batch_size=2, seed=3
    )
    fine_tune(model, loader, **SETTINGS)
    return model, tokenizer


def asked(model, tokenizer, entries, style=PHI):
    requests = [(entry.instruction, entry.input) for entry in entries]
    return answer(model, tokenizer, requests, style=style)


# train


def test_training_is_what_it_is_in_python(tuned, base):
    made, tokenizer = load_pretrained(tuned)
    expected, _ = in_python(base, "phi")
    for name, weight in expected.named_parameters():
        assert torch.equal(made.get_parameter(name), weight), name
    assert read_style(tuned) == "phi"
    found = asked(made, tokenizer, TRAIN)
    assert found == asked(expected, tokenizer, TRAIN)
    assert found == [entry.output for entry in TRAIN]  # learned by heart


def test_an_adapter_is_what_it_is_in_python(adapter, base):
    expected, tokenizer = in_python(base, "chatml", 4)
    made = load_adapter(load_pretrained(base)[0], adapter)
    layers = lora_layers(made)
    for name, layer in lora_layers(expected).items():
        assert layer.alpha == 8 and torch.equal(layers[name].B, layer.B), name
    assert read_style(adapter) == "chatml"
    opened = open_tuned(str(adapter), str(base), None, "cpu")
    assert opened.style is STYLES["chatml"]
    found = asked(opened.model, tokenizer, TRAIN, opened.style)
    assert found == asked(expected, tokenizer, TRAIN, opened.style)


def test_training_says_what_it_did(data, base, tmp_path, capsys):
    more = options(data=data, pretrained=base, out=tmp_path, device="cpu", epochs=2)
    run("train", *more)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "5 entries, 2 steps"
    assert said[1].startswith("loss of the last epoch ")
    assert said[2].startswith("loss of the validation part ")
    assert said[3] == f"the model is in {tmp_path}"


@pytest.mark.slow
def test_the_books_own_set_is_the_default(base, tmp_path, capsys):
    more = options(pretrained=base, out=tmp_path, device="cpu", epochs=1)
    run("train", *more, *options(batch_size=256, lora=1))
    said = capsys.readouterr().out
    assert said.startswith("1,280 entries, 5 steps\n")
    assert f"the adapter is in {tmp_path}" in said


def test_of_a_file_without_parts_all_is_learned(base, tmp_path, capsys):
    rows = [{"instruction": "Name a color.", "output": "Red."} for _ in range(3)]
    rows.append({"instruction": "Say it. " * 40, "output": "It."})
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    run("train", *options(data=path, pretrained=base, out=tmp_path / "o", epochs=1))
    said = capsys.readouterr().out
    assert said.startswith(
        "3 entries, 1 steps; 1 more have their answer after token 64"
    )
    assert "validation" not in said


# answer


def test_one_instruction_gets_its_answer_in_pieces(tuned, base, capsys):
    run("answer", *options(tuned=tuned, instruction="Name a color."))
    assert capsys.readouterr().out == "Red is a color.\n"
    entry = TRAIN[1]
    more = options(tuned=tuned, instruction=entry.instruction, input=entry.input)
    run("answer", *more)
    assert capsys.readouterr().out == f"{entry.output}\n"
    opened = open_tuned(str(tuned), str(base), None, "cpu")
    pieces = list(stream_answer(opened, "Name a color.", "", Options()))
    assert len(pieces) > 3 and "".join(pieces) == "Red is a color."


@pytest.mark.parametrize("tokens", [0, 1, 3, 80])
def test_a_streamed_answer_is_that_of_python(tokens, tuned, base):
    opened = open_tuned(str(tuned), str(base), "alpaca", "cpu")  # not what it learned
    opened = replace(opened, style=PHI)
    for seed in range(3):
        settings = Options(tokens, temperature=1.5, seed=seed)
        found = "".join(stream_answer(opened, "What?", "The cow.", settings))
        (expected,) = answer(
            opened.model,
            opened.tokenizer,
            [("What?", "The cow.")],
            style=PHI,
            max_new_tokens=tokens,
            temperature=1.5,
            seed=seed,
        )
        assert found == expected


LINES = [
    b"Name a color.",
    b"",
    b'{"instruction": "Which animal is it?", "input": "The cow is wet."}',
    b'{"input": "The cow is wet."}',
    b'{"instruction": "Say hello."',
    b"caf\xe9",
    b"word " * 200,
    b"Say hello.\r",
]


class Input:
    """Standard input that holds these bytes."""

    def __init__(self, content):
        self.buffer = io.BytesIO(content)

    def isatty(self):
        return False


def test_lines_get_lines_whatever_they_hold(tuned, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Input(b"\n".join(LINES)))
    run("answer", *options(tuned=tuned, device="cpu"))
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["line"] for one in found] == list(range(1, 9))
    answers = {one["line"]: one["answer"] for one in found if "answer" in one}
    assert answers == {
        1: "Red is a color.",
        3: "It is the cow.",
        8: "Hello, my friend!",
    }
    wrong = {one["line"]: one["error"] for one in found if "error" in one}
    assert "the instruction is empty" in wrong[2]
    assert 'line 4 has no "instruction"' in wrong[4]
    assert "not JSON" in wrong[5] and "byte 0xe9 at offset 3" in wrong[6]
    assert "this model reads 64" in wrong[7]


def test_a_file_is_read(tuned, tmp_path, capsys):
    (tmp_path / "requests").write_text("Say hello.\nName a color.\n", "utf-8")
    run("answer", tmp_path / "requests", *options(tuned=tuned))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_an_answer_comes_before_the_input_ends(tuned, base):
    opened = open_tuned(str(tuned), str(base), None, "cpu")
    read, write = os.pipe()
    with os.fdopen(write, "wb", buffering=0) as pipe:
        replies = instructions.reply(opened, f"/dev/fd/{read}", None, "", Options())
        for number in (1, 2):
            pipe.write(b"Say hello.\n")
            # the pipe is still open: a reader that waits for its end would not come back
            assert json.loads(next(replies))["line"] == number
        replies.close()
    os.close(read)


def converse(typed, tuned, monkeypatch, capsys):
    """What a person sees who types this in a terminal."""
    master, slave = pty.openpty()
    os.write(master, typed.encode() + b"\x04")
    with os.fdopen(slave) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        run("answer", *options(tuned=tuned, device="cpu"))
    os.close(master)
    return capsys.readouterr().out.split("> ")


def test_a_terminal_is_for_conversations(tuned, monkeypatch, capsys):
    typed = "Name a color.\n\nInput: The cow is wet.\nWhich animal is it?\nSay hello.\n"
    welcome, *said = converse(typed, tuned, monkeypatch, capsys)
    assert "'input:'" in welcome and "Ctrl-D" in welcome
    color, hello = "Red is a color.\n", "Hello, my friend!\n"
    # an input is for the next request only
    assert said == [color, "", "", "It is the cow.\n", hello, "\n"]


def test_a_conversation_survives_a_request_that_is_too_long(tuned, monkeypatch, capsys):
    typed = f"{'word ' * 200}\nSay hello.\n"
    _, wrong, said, _ = converse(typed, tuned, monkeypatch, capsys)
    assert "this model reads 64" in wrong and said == "Hello, my friend!\n"


# evaluate


def cells_of(text, row):
    (line,) = [one for one in text.splitlines() if one.strip().startswith(row)]
    return line.strip().removeprefix(row)


def test_scores_are_those_of_python(tuned, data, tmp_path, capsys):
    out = tmp_path / "answers.json"
    run("evaluate", *options(tuned=tuned, data=data, out=out, device="cpu"))
    said = capsys.readouterr().out
    entries, answers = read_answers(out)
    assert entries == TEST
    model, tokenizer = load_pretrained(tuned)
    assert answers == asked(model, tokenizer, TEST)
    everything = score(answers, TEST)["all"]
    assert cells_of(said, "all (2)").strip() == instructions.cells(everything).strip()
    s = everything["token F1"]
    percent = f"{100 * s.mean:.0f} ({100 * s.low:.0f}-{100 * s.high:.0f})"
    assert percent in cells_of(said, "all (2)")
    assert cells_of(said, "animal (2)").split() == cells_of(said, "all (2)").split()
    assert cells_of(said, "references").split() == ["100", "(100-100)"] * 4
    assert cells_of(said, "empty answers").split() == ["0", "(0-0)"] * 4
    assert "shuffled references" in said and f"the answers are in {out}" in said
    assert max(map(len, said.splitlines()[:-1])) <= 80


def test_another_part_can_be_answered(tuned, data, capsys):
    run("evaluate", *options(tuned=tuned, data=data, part="train"))
    said = capsys.readouterr().out
    assert cells_of(said, "all (5)").split()[:2] == ["100", "(100-100)"]
    assert "count (1)" in said and "animal (2)" in said


def test_a_base_model_is_asked_in_a_style_that_is_named(base, data, capsys):
    run("evaluate", *options(tuned=base, data=data, style="phi", tokens=3))
    assert "all (2)" in capsys.readouterr().out


JUDGED = {"judge_model": "j", "device": "cpu"}


@pytest.fixture
def judge(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        yield server


def test_a_judge_is_asked_once_for_each_answer(judge, tuned, data, tmp_path, capsys):
    judge.plan = [openai("Score: 80"), openai("good")]
    replies = tmp_path / "replies.jsonl"
    given = options(tuned=tuned, data=data, judge=f"{judge.url}/v1", replies=replies)
    given += [*options(**JUDGED, prices="1.0"), "2.0"]
    run("evaluate", *given)
    said = capsys.readouterr().out
    assert "j: 1 of 2 verdicts (1 unreadable, 0 failed, 0 from an" in said
    assert "cost 0.0002" in said and "mean grade 80.0 of 100" in said
    assert (
        len(judge.seen) == 2 and "A hen." in judge.seen[0][2]["messages"][0]["content"]
    )
    run("evaluate", *given)
    assert "2 from an earlier run" in capsys.readouterr().out and len(judge.seen) == 2


def test_the_key_comes_from_the_environment(judge, tuned, data, tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "secret")
    given = options(tuned=tuned, data=data, judge=judge.url, replies=tmp_path / "r")
    run("evaluate", *given, *options(**JUDGED, judge_key="JUDGE_KEY"))
    assert judge.seen[0][1]["Authorization"] == "Bearer secret"
    assert "secret" not in (tmp_path / "r").read_text("utf-8")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said(b"no", status=401), "answered 401"),
        (Said(b"no", status=404), "is 'j' there?"),
    ],
)
def test_a_judge_that_refuses_costs_no_answers(
    said, words, judge, tuned, data, tmp_path, capsys
):
    judge.plan = [said]
    out, replies = tmp_path / "answers.json", tmp_path / "replies.jsonl"
    given = options(tuned=tuned, data=data, judge=judge.url, out=out, replies=replies)
    assert words in refusal(["evaluate", *given, *options(**JUDGED)], capsys)
    assert read_answers(out)[0] == TEST


def test_what_a_judge_did_not_say_is_asked_again(judge, tuned, data, tmp_path, capsys):
    judge.plan = [Said(b"too long", status=400), openai("60")]
    given = options(tuned=tuned, data=data, judge=judge.url, replies=tmp_path / "r")
    run("evaluate", *given, *options(**JUDGED))
    assert "1 of 2 verdicts (0 unreadable, 1 failed" in capsys.readouterr().out
    judge.plan = [openai("70")]
    run("evaluate", *given, *options(**JUDGED))
    said = capsys.readouterr().out
    assert "2 of 2 verdicts" in said and "mean grade 65.0" in said


# what makes no run


def refusal(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    said = capsys.readouterr()
    assert end.value.code == 1 and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("{}", 'has no "instruction"'),
        ('{"a": 1,\n"b": 2}', "is one JSON object"),
        ('[{"instruction": "Say it."}]', 'entry 1 has no "output"'),
        ('[{"instruction": "Say it. ', "is the file complete?"),
        (
            '[{"instruction": "a", "output": "b", "split": "test"}]',
            "no entry of the part",
        ),
        (
            json.dumps([{"instruction": "Say it. " * 40, "output": "a"}]),
            "none has an answer",
        ),
    ],
)
def test_entries_that_cannot_be_learned_from_are_a_line(
    content, words, base, tmp_path, capsys
):
    path, out = tmp_path / "own.json", tmp_path / "out"
    path.write_text(content, "utf-8")
    given = options(data=path, pretrained=base, out=out)
    assert words in refusal(["train", *given], capsys)
    assert not out.exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 0}, "all must be above 0"),
        ({"batch_size": 0}, "all must be above 0"),
        ({"lr": "nan"}, "all must be above 0"),
        ({"lora": 0}, "the rank must be a whole number"),
        ({"lora": 1000}, "the rank must be a whole number"),
        ({"pretrained": "nowhere"}, "neither a model"),
        ({"data": "nowhere.json"}, "there is no file"),
    ],
)
def test_settings_that_make_no_run_are_a_line(
    settings, words, data, base, tmp_path, capsys
):
    given = {"data": data, "pretrained": base, "out": tmp_path / "out"} | settings
    assert words in refusal(["train", *options(**given)], capsys)
    assert not (tmp_path / "out").exists()


def test_model_and_adapter_do_not_share_a_folder(tuned, adapter, data, base, capsys):
    given = options(data=data, pretrained=base)
    said = refusal(["train", *given, *options(out=tuned, lora=2)], capsys)
    assert "holds a model already" in said
    said = refusal(["train", *given, *options(out=adapter)], capsys)
    assert "holds an adapter already" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tuned", "nowhere"], "neither a model"),
        (["--tuned", "mini", "--instruction", "a"], "name the style yourself"),
        (["--input", "a"], "an input but no instruction"),
        (["--instruction", " "], "the instruction is empty"),
        (["--instruction", "word " * 200], "this model reads 64"),
        (["--instruction", "a", "--temperature", "-1"], "temperature is -1.0"),
        (["--instruction", "a", "--tokens", "-1"], "must be 0 or more"),
        (["nowhere"], "No such file"),
    ],
)
def test_what_cannot_be_answered_is_a_line(arguments, words, tuned, capsys):
    given = options(tuned=tuned) if "--tuned" not in arguments else []
    assert words in refusal(["answer", *given, *arguments], capsys)


def test_an_unknown_style_of_a_folder_is_named(base, tmp_path, capsys):
    save_pretrained(*load_pretrained(base), tmp_path)
    write_style(tmp_path, "morse")
    given = options(tuned=tmp_path, instruction="a")
    assert "style is 'morse'; expected one of alpaca" in refusal(
        ["answer", *given], capsys
    )


def test_an_adapter_of_another_base_is_named(adapter, capsys):
    given = options(tuned=adapter, instruction="a")  # without --pretrained: mini
    assert "load the base that it was made for" in refusal(["answer", *given], capsys)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"judge": "http://127.0.0.1:9"}, "needs --judge-model"),
        ({"judge": "http://127.0.0.1:9", "judge_model": "j"}, "needs --replies"),
        (
            {
                "judge": "http://127.0.0.1:9",
                **JUDGED,
                "replies": "r",
                "judge_key": "NO_K",
            },
            "no variable 'NO_K'",
        ),
        ({"judge": "127.0.0.1", **JUDGED, "replies": "r"}, "must begin with"),
        ({"part": "validation", "data": "{test}"}, "it has test"),
    ],
)
def test_an_evaluation_that_cannot_be_is_a_line(
    settings, words, tuned, tmp_path, capsys
):
    path = tmp_path / "test.json"
    path.write_text(json.dumps([asdict(entry) for entry in TEST]), "utf-8")
    if "data" in settings:
        settings = settings | {"data": path}
    assert words in refusal(["evaluate", *options(tuned=tuned, **settings)], capsys)


def test_a_server_that_is_not_there_is_named(
    tuned, data, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        url = server.url
    out = tmp_path / "answers.json"
    given = options(tuned=tuned, data=data, judge=url, replies=tmp_path / "r", out=out)
    said = refusal(["evaluate", *given, *options(**JUDGED)], capsys)
    assert f"no server answers at {url}" in said and out.exists()


def test_choices_are_those_that_there_are():
    assert cli.STYLE["choices"] == tuple(STYLES)
    assert cli.INSTRUCT_EVALUATE["--part"]["choices"] == SPLITS
    assert cli.INSTRUCT_EVALUATE["--protocol"]["choices"] == tuple(PATHS)


@pytest.mark.parametrize("command", ["train", "answer", "evaluate"])
def test_help_reads_well(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        run(command, "--help")
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
