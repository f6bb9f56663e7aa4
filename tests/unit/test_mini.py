"""`mini`, the shipped model: it is what its card says, works without a network, and says no slur."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from saved_models import FILES
from transformers import GPT2LMHeadModel

from llmbook_utils.cli import main
from llmbook_utils.config import MINI
from llmbook_utils.files.datasets import load_text
from llmbook_utils.files.hub import SHIPPED
from llmbook_utils.files.shards import list_works
from llmbook_utils.generate import Sampling, generate, stream_text
from llmbook_utils.loss import bits_per_byte
from llmbook_utils.pretrained import load_pretrained, save_pretrained

ROOT = Path(__file__).resolve().parents[2]
FOLDER = SHIPPED["mini"]
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")
RECORD = json.loads((ROOT / "results/mini.json").read_text(encoding="utf-8"))
LEFT_OUT = set((ROOT / "profiles/mini-left-out.txt").read_text().split())


@pytest.fixture(scope="module")
def mini():
    return load_pretrained("mini")


def test_it_has_the_shape_and_the_tokens_that_it_should(mini):
    model, tokenizer = mini
    assert model.config == MINI
    assert sum(p.numel() for p in model.parameters()) == 5_853_184
    assert tokenizer.n_vocab == 4096
    assert tokenizer.encode_single_token("<|endoftext|>") == 4095
    assert [tokenizer.decode_single_token_bytes(i) for i in range(256)] == [
        bytes([i]) for i in range(256)
    ]
    assert not model.training


def test_the_files_are_few_and_small():
    names = {path.name for path in FOLDER.iterdir()}
    assert names == FILES | {"README.md", "attribution.tsv"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 13_000_000
    with safe_open(FOLDER / "model.safetensors", "pt") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert kinds == {"F16"}


@torch.no_grad()
def test_an_independent_implementation_agrees(mini, tmp_path):
    model, tokenizer = mini
    ids = torch.tensor([tokenizer.encode_ordinary(load_text("story"))[:256]])
    for folder in (FOLDER, tmp_path):
        if folder == tmp_path:
            save_pretrained(model, tokenizer, tmp_path)
        theirs = GPT2LMHeadModel.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        )
        expected = theirs(ids, output_attentions=True)
        logits, attention = model(ids, return_attention=True)
        torch.testing.assert_close(logits, expected.logits, atol=1e-4, rtol=0)
        for ours, reference in zip(attention, expected.attentions, strict=True):
            torch.testing.assert_close(ours, reference, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_story_costs_what_unseen_english_costs(mini):
    bits = bits_per_byte(*mini, load_text("story"), context_length=256)
    assert 1.2 < bits < 1.9


def test_a_familiar_opening_goes_on_as_one_knows_it(mini):
    model, tokenizer = mini
    ids = torch.tensor([tokenizer.encode_ordinary("Once upon a")])
    assert tokenizer.decode(generate(model, ids, 1)[0, -1:].tolist()) == " time"


def words_of(mini, prompts, n_new, seed):
    """The words of continuations with the options of the command: ids (B, T) -> a set."""
    model, tokenizer = mini
    options = {"temperature": 0.7, "top_p": 0.95, "seed": seed}
    ids = generate(model, prompts, n_new, **options)
    texts = [tokenizer.decode(row).lower() for row in ids.tolist()]
    return {word for text in texts for word in re.findall(r"\w+", text)}


@pytest.mark.slow
def test_its_samples_hold_no_slur(mini):
    end = mini[1].encode_single_token("<|endoftext|>")
    words = words_of(mini, torch.full((50, 1), end), 100, seed=0)
    assert len(words) > 500
    assert not words & LEFT_OUT


@pytest.mark.slow
def test_a_thousand_continuations_hold_no_slur(mini, one_thread):
    ids = mini[1].encode_ordinary(load_text("story"))[:4000]
    prompts = torch.tensor(ids).view(1000, 4)
    words = set()
    for part, rows in enumerate(prompts.split(250)):
        words |= words_of(mini, rows, 40, seed=part)
    assert len(words) > 2000
    assert not words & LEFT_OUT


def test_the_card_says_what_was_recorded():
    last = RECORD["snapshots"][-1]
    assert last["step"] == RECORD["recipe"]["steps"]
    shown = {
        f"**{last['bits_per_byte']:.3f}** in windows",
        f"{RECORD['tokens']:,} tokens",
        f"{RECORD['recipe']['steps']:,} of 8,192 tokens",
        RECORD["date"],
        f"{RECORD['texts']['train']['tokens']:,} tokens",
        f"{RECORD['texts']['validation']['tokens']:,} tokens",
    }
    assert not [text for text in shown if text not in CARD]
    assert last["sample"].split("\n")[0] in CARD


def test_the_record_has_what_a_time_machine_shows():
    snapshots = RECORD["snapshots"]
    assert 8 <= len(snapshots) <= 12
    assert snapshots[0]["step"] == 0
    bits = [s["bits_per_byte"] for s in snapshots]
    assert bits == sorted(bits, reverse=True)
    assert bits[-1] <= 1.43
    for snapshot in snapshots:
        sums = [sum(row) for row in snapshot["attention"]]
        assert sums == pytest.approx([1.0] * len(RECORD["sentence"]), abs=0.02)
        assert all(len(near) == 6 for near in snapshot["neighbors"].values())
    log = (ROOT / "results/mini.jsonl").read_text().splitlines()
    assert len(log) == RECORD["recipe"]["steps"]
    assert (
        sum(path.stat().st_size for path in (ROOT / "results").iterdir()) <= 2_000_000
    )


def test_the_recorded_sample_is_what_the_shipped_model_says(mini):
    options = dict(RECORD["options"])
    seed, sampling = options.pop("seed"), Sampling(**options)
    text = "".join(stream_text(*mini, RECORD["prompt"], 20, sampling, seed=seed))
    # half precision and other processors may turn a later token
    assert RECORD["snapshots"][-1]["sample"].startswith(text[:20])


def test_the_works_are_named_with_their_licences():
    rows = (ROOT / "profiles/mini-works.tsv").read_text(encoding="utf-8").splitlines()
    columns = rows[0].split("\t")
    works = [dict(zip(columns, row.split("\t"), strict=True)) for row in rows[1:]]
    assert len(works) == RECORD["texts"]["train"]["texts"] + 4
    assert sum(work["split"] == "validation" for work in works) == 4
    for work in works:
        assert re.match(r"public domain|CC0|CC BY", work["license"])
        assert re.fullmatch(r"[0-9a-f]{64}", work["sha256"])
    credits = (FOLDER / "attribution.tsv").read_text(encoding="utf-8").splitlines()
    assert len(credits) == 1 + 304 + 383
    with pytest.raises(FileNotFoundError, match="line 2: there is no file"):
        list_works(ROOT / "profiles/mini-works.tsv")


NO_NETWORK = """
import socket, sys
def refuse(*args, **kwargs):
    raise OSError("a request was made")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from llmbook_utils.cli import main
main(sys.argv[1:])
"""


def test_the_command_writes_text_without_a_network():
    command = [
        sys.executable,
        "-c",
        NO_NETWORK,
        "write",
        "Once upon a time",
        "--seed",
        "4",
    ]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Once upon a time")
    assert len(run.stdout) > 200
    assert not run.stderr


def test_the_command_takes_its_options(capsys):
    def said(*options):
        main(["write", "The sea", "--tokens", "12", *options])
        return capsys.readouterr().out

    assert said("--temperature", "0") == said("--top-k", "1") != said("--seed", "1")
    assert said("--seed", "1") == said("--seed", "1") != said("--seed", "2")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "nowhere"], "'nowhere' is neither a model"),
        (["--top-p", "2"], "top_p is 2.0; it must be"),
        (["--tokens", "-1"], "max_new_tokens is -1"),
    ],
)
def test_a_mistake_is_a_line(options, says, capsys):
    with pytest.raises(SystemExit, match="1"):
        main(["write", "The sea", *options])
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_the_weights_are_those_that_were_recorded():
    digest = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert digest in CARD
