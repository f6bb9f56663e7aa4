"""A data set becomes tokens row by row, and what cannot is refused."""

import json
import sys

import pytest

from llmbook_utils.cli import main
from llmbook_utils.files import stream
from llmbook_utils.files.hub import find_folder
from llmbook_utils.files.shards import TokenShards
from llmbook_utils.files.stream import open_stream, prepare_stream
from llmbook_utils.tokenizer import END_OF_TEXT, get_encoding

MINI = find_folder("mini", with_tokenizer=True)
TEXTS = [f"Row {i}: the lamp is lit, the tide is out." for i in range(20)]


@pytest.fixture
def rows(monkeypatch):
    """Rows as a data set gives them, and how many of them were asked for."""
    asked = []

    def opened(source, split="train"):
        for text in [*TEXTS[:3], " ", *TEXTS[3:]]:
            asked.append(text)
            yield {"id": 1, "story": text}

    monkeypatch.setattr(stream, "open_stream", opened)
    return asked


def read(folder, split, length=4):
    windows = TokenShards(folder, split, length)
    ids = [*windows[0][0].tolist()]
    for inputs, _ in list(windows)[1:]:
        ids += inputs.tolist()
    return get_encoding(folder).decode(ids)


@pytest.mark.usefixtures("rows")
def test_each_row_is_a_text_and_a_share_of_them_is_held_out(tmp_path):
    index = prepare_stream(
        "x", tmp_path / "out", column="story", tokenizer=MINI, validation_share=0.25
    )
    train, held_out = index["shards"]
    assert (train["split"], train["texts"]) == ("train", 15)
    assert (held_out["split"], held_out["texts"]) == ("validation", 5)
    assert train["bytes"] == sum(len(t) for i, t in enumerate(TEXTS) if i % 4 != 3)
    assert read(tmp_path / "out", "validation").startswith(END_OF_TEXT + TEXTS[3])
    assert TEXTS[3] not in read(tmp_path / "out", "train")


def test_no_more_rows_are_read_than_asked_for(rows, tmp_path):
    index = prepare_stream(
        "x", tmp_path / "out", column="story", rows=5, tokenizer=MINI
    )
    assert sum(shard["texts"] for shard in index["shards"]) == 4  # one is empty
    assert len(rows) == 5


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "x, row 1: no text in a column 'text'; the columns are 'id', 'story'"),
        ({"column": "id"}, "no text in a column 'id'"),
        ({"rows": 0}, "rows is 0"),
        ({"validation_share": 1.0}, "validation_share is 1.0"),
    ],
)
def test_what_cannot_be_right_is_refused_and_leaves_nothing(tmp_path, options, says):
    with pytest.raises(ValueError, match=says):
        prepare_stream("x", tmp_path / "out", tokenizer=MINI, **options)
    assert not [*tmp_path.iterdir()]


def test_a_folder_with_something_in_it_is_left_alone(rows, tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(FileExistsError, match="is not empty"):
        prepare_stream("x", tmp_path, column="story", tokenizer=MINI)
    assert rows == []


def test_a_name_of_the_hub_is_not_asked_for_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMBOOK_OFFLINE", "1")
    with pytest.raises(ValueError, match="LLMBOOK_OFFLINE forbids requests"):
        open_stream("someone/stories")
    (tmp_path / "a.zip").write_text("")
    with pytest.raises(ValueError, match=r"no file that can be streamed.*\.parquet"):
        open_stream(str(tmp_path / "a.zip"))


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text("{}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match="pip install datasets"):
        open_stream(str(tmp_path / "a.jsonl"))


@pytest.mark.slow
def test_a_local_data_set_is_streamed_by_the_library(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"story": text}) + "\n" for text in TEXTS))
    arguments = ["prepare", str(source), "--stream", "--column", "story", "--rows", "8"]
    arguments += ["--out", str(tmp_path / "out"), "--tokenizer", str(MINI)]
    main([*arguments, "--validation-share", "0.25"])
    said = capsys.readouterr().out
    assert "train-0000.bin: 6 texts" in said and "validation-0001.bin: 2 texts" in said
    assert read(tmp_path / "out", "train").startswith(END_OF_TEXT + TEXTS[0])
