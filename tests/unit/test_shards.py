"""Texts to shards of tokens: what goes in comes out, in windows, and nothing is half-written."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from llmbook_utils.files import shards
from llmbook_utils.files.shards import (
    ShardWriter,
    TokenShards,
    Work,
    list_works,
    prepare,
    read_parts,
)
from llmbook_utils.tokenizer import END_OF_TEXT, get_encoding

TEXTS = {
    "a.txt": "The lamp is lit.\n\nThe tide is out, and the bell is still. " * 8,
    "b/c.txt": "A bell in the fog; nobody rings it. " * 9,
    "d.txt": "Zoë counted: 1, 2, 3 … 🐟 " * 5,
}


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepared folder: two processes, a manifest with all three kinds of split."""
    root = tmp_path_factory.mktemp("prepared")
    for name, text in TEXTS.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    lines = [
        "file\tsplit\trepeat",
        "a.txt\ttrain\t3",
        "b/c.txt\t\t",
        "d.txt\tvalidation\t1",
    ]
    (root / "works.tsv").write_text("\n".join(lines), encoding="utf-8")
    index = prepare(
        root / "works.tsv",
        root / "out",
        vocab_size=300,
        validation_share=0.25,
        processes=2,
    )
    return root / "out", index


def ids_of(folder, split):
    """All ids of a split, shard after shard."""
    index = json.loads((folder / "index.json").read_text("utf-8"))
    files = [s["file"] for s in index["shards"] if s["split"] == split]
    return [id for f in files for id in np.fromfile(folder / f, "<u2").tolist()]


def test_the_texts_can_be_read_again_from_the_tokens(prepared):
    folder, _ = prepared
    encoding = get_encoding(folder)
    text = encoding.decode(ids_of(folder, "train"))
    c = TEXTS["b/c.txt"]
    cut = round(len(c) * 0.75)
    assert text == END_OF_TEXT + TEXTS["a.txt"] + END_OF_TEXT + c[:cut]
    held_out = encoding.decode(ids_of(folder, "validation"))
    assert held_out == END_OF_TEXT + c[cut:] + END_OF_TEXT + TEXTS["d.txt"]


def test_the_index_counts_what_is_there(prepared):
    folder, index = prepared
    assert index == json.loads((folder / "index.json").read_text("utf-8"))
    assert index["vocab_size"] == get_encoding(folder).n_vocab == 300
    kinds = [(s["split"], s["repeat"], s["texts"]) for s in index["shards"]]
    assert kinds == [("train", 3, 1), ("train", 1, 1), ("validation", 1, 2)]
    for shard in index["shards"]:
        assert (folder / shard["file"]).stat().st_size == 2 * shard["tokens"]
    n_bytes = sum(shard["bytes"] for shard in index["shards"])
    assert n_bytes == sum(len(text.encode()) for text in TEXTS.values())


def test_the_tokenizer_is_learned_from_the_training_part_only(texts):
    works = [Work(texts / "a.txt", "validation"), Work(texts / "d.txt", "train")]
    encoding = shards.train_tokenizer(works, 270, 0.0, frozenset(), 10**6)
    merged = [token for token in encoding.token_byte_values() if len(token) > 1]
    assert len(merged) == 270 - 257
    assert all(token in TEXTS["d.txt"].encode() for token in merged)
    with pytest.raises(ValueError, match="no pair left"):
        shards.train_tokenizer(works, 270, 0.0, frozenset(), 5)


def test_windows_follow_on_each_other_and_targets_are_one_place_on(prepared):
    folder, _ = prepared
    ids = ids_of(folder, "validation")
    windows = TokenShards(folder, "validation", 8)
    assert len(windows) == (len(ids) - 1) // 8
    for i, (inputs, targets) in enumerate(windows[k] for k in range(len(windows))):
        assert inputs.tolist() == ids[8 * i : 8 * i + 8]
        assert targets.tolist() == ids[8 * i + 1 : 8 * i + 9]
        assert inputs.dtype == torch.int64


def test_a_repeated_shard_is_cut_at_other_places(prepared):
    folder, index = prepared
    train = [s for s in index["shards"] if s["split"] == "train"]
    repeated, once = (s["tokens"] for s in train)
    windows = TokenShards(folder, "train", 9)
    counts = [(repeated - 1 - start) // 9 for start in (0, 3, 6)] + [(once - 1) // 9]
    assert len(windows) == sum(counts)
    ids = ids_of(folder, "train")
    assert windows[counts[0]][0].tolist() == ids[3:12]
    assert windows[counts[0] + counts[1]][0].tolist() == ids[6:15]
    last = windows[len(windows) - 1][1].tolist()
    assert last == ids[repeated + 9 * counts[3] - 8 : repeated + 9 * counts[3] + 1]


def test_a_full_shard_is_followed_by_another(tmp_path):
    writer = ShardWriter(tmp_path, shard_tokens=4)
    for n in (3, 3, 2):
        writer.add("train", 1, 10, np.arange(n, dtype="<u2").tobytes())
    assert [s["tokens"] for s in writer.shards] == [6, 2]
    assert [s["texts"] for s in writer.shards] == [2, 1]
    assert (
        np.fromfile(tmp_path / writer.shards[0]["file"], "<u2").tolist()
        == [0, 1, 2] * 2
    )


def test_a_known_tokenizer_can_be_used(texts, tmp_path):
    index = prepare(
        texts, tmp_path / "out", tokenizer="gpt2", validation_share=0, processes=1
    )
    assert index["vocab_size"] == 50257
    assert {s["split"] for s in index["shards"]} == {"train"}
    text = get_encoding("gpt2").decode(ids_of(tmp_path / "out", "train"))
    assert text == "".join(END_OF_TEXT + TEXTS[name] for name in sorted(TEXTS))


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(texts, tmp_path):
    for n in (1, 2):
        prepare(texts, tmp_path / str(n), vocab_size=290, processes=n)
    for file in (tmp_path / "1").iterdir():
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


def test_a_byte_order_mark_is_no_part_of_a_text_or_a_manifest(tmp_path):
    mark = b"\xef\xbb\xbf"
    (tmp_path / "a.txt").write_bytes(mark + "The lamp is lit. \ufeff".encode() * 30)
    (tmp_path / "works.tsv").write_bytes(mark + b"file\tsplit\na.txt\ttrain\n")
    prepare(tmp_path / "works.tsv", tmp_path / "out", processes=1)
    text = get_encoding("gpt2").decode(ids_of(tmp_path / "out", "train"))
    assert text.startswith(f"{END_OF_TEXT}The lamp is lit. \ufeff")


SCRIPT = """
from llmbook_utils.files.shards import prepare
print(prepare("texts", "tokens", processes={})["vocab_size"])
"""


@pytest.mark.parametrize("processes", [None, 1])
def test_a_plain_script_prepares_little_text(texts, tmp_path, processes):
    (tmp_path / "go.py").write_text(SCRIPT.format(processes), "utf-8")
    run = subprocess.run([sys.executable, "go.py"], cwd=tmp_path, capture_output=True)
    assert (run.stdout, run.stderr) == (b"50257\n", b"")


@pytest.mark.slow
def test_a_plain_script_that_starts_processes_is_told_what_to_do(texts, tmp_path):
    (tmp_path / "go.py").write_text(SCRIPT.format(2), "utf-8")
    run = subprocess.run(
        [sys.executable, "go.py"], cwd=tmp_path, capture_output=True, text=True
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: prepare() was to start processes")
    assert "if __name__ == '__main__':" in last and "processes=1" in last
    assert not (tmp_path / "tokens").exists()


def test_many_processes_are_for_much_text(texts, monkeypatch):
    works = list_works(texts)
    assert shards.useful_processes(works) == 1
    monkeypatch.setattr(shards, "LITTLE", 100)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert shards.useful_processes(works) == 2
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert shards.useful_processes(works) == len(works) == 3


def test_paragraphs_with_a_word_to_leave_out_are_dropped_from_training(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("A cat.\n\nA DOG, barking.\n\nA dogged cat.\n\nThe dog.", "utf-8")
    assert read_parts(Work(path), 0.0, frozenset({"dog"})) == [
        ("train", "A cat.\n\nA dogged cat.")
    ]
    whole = path.read_text("utf-8")
    held_out = read_parts(Work(path, "validation"), 0.0, frozenset({"dog"}))
    assert held_out == [("validation", whole)]


@pytest.mark.parametrize(
    ("lines", "error", "says"),
    [
        (["file\tsplit", "a.txt\ttest"], ValueError, "line 2: split is 'test'"),
        (["file\trepeat", "a.txt\t0"], ValueError, "line 2: repeat is '0'"),
        (["file\trepeat", "a.txt\t1", "a.txt\ttwo"], ValueError, "line 3: repeat"),
        (["name", "a.txt"], ValueError, "no value for the column 'file'"),
        (["file", "z.txt"], FileNotFoundError, "line 2: there is no file"),
        (["file"], ValueError, "names no text"),
    ],
)
def test_bad_manifests_are_refused_with_the_line(texts, lines, error, says):
    (texts / "works.tsv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(error, match=re.escape(says)):
        list_works(texts / "works.tsv")


def test_a_source_that_is_missing_or_empty(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a folder nor a manifest"):
        list_works(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="names no text"):
        list_works(tmp_path)


@pytest.mark.slow
def test_a_text_that_is_not_utf8_leaves_nothing_behind(texts, tmp_path):
    (texts / "e.txt").write_bytes(b"caf\xe9")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"e\.txt is not UTF-8 \(byte 3\)"):
        prepare(texts, tmp_path / "out", processes=2)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_holds_something_is_not_touched(texts):
    with pytest.raises(FileExistsError, match="not empty"):
        prepare(texts, texts, processes=1)
    assert sorted(p.name for p in texts.rglob("*.txt")) == ["a.txt", "c.txt", "d.txt"]


def test_a_share_that_makes_no_sense_is_refused(texts, tmp_path):
    with pytest.raises(ValueError, match="validation_share is 1"):
        prepare(texts, tmp_path / "out", validation_share=1)


def test_a_vocabulary_that_does_not_fit_uint16_is_refused(texts, tmp_path, monkeypatch):
    big = type("Big", (), {"n_vocab": 2**16 + 1})()
    monkeypatch.setattr(shards, "get_encoding", lambda name: big)
    with pytest.raises(ValueError, match="uint16 holds 65,536"):
        prepare(texts, tmp_path / "out", tokenizer="big")


def test_a_shard_that_was_cut_off_is_named(prepared, tmp_path):
    folder, index = prepared
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    shard = tmp_path / index["shards"][0]["file"]
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(ValueError, match=re.escape(shard.name)):
        TokenShards(tmp_path, "train", 8)


def test_windows_that_are_longer_than_the_text(prepared):
    with pytest.raises(ValueError, match="longer than 5000 tokens"):
        TokenShards(prepared[0], "validation", 5000)


def test_a_folder_that_was_not_prepared(tmp_path):
    with pytest.raises(FileNotFoundError, match="prepare TEXTS --out"):
        TokenShards(tmp_path, "train", 8)
