"""Judges behind servers that answer badly, in every way: asked again, counted, or ended."""

import socket

import pytest
from judge_server import HTML, Said, ollama, openai, serving

from llmbook_utils.evaluate import ask_judge
from llmbook_utils.files.chat import (
    ChatError,
    ChatServer,
    RefusedError,
    ServerMissingError,
)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        yield server


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


def test_a_failed_prompt_is_asked_again_by_the_next_run(server, tmp_path):
    server.plan = [HTML]
    assert ask_judge(judge_at(server), ["one"], tmp_path / "r.jsonl").failed == 1
    server.plan = [openai("60")]
    assert ask_judge(judge_at(server), ["one"], tmp_path / "r.jsonl").values == [60.0]
