"""A parameter that a page cannot use is refused in a sentence that names what is possible."""

import pytest

from llmbook_utils.runs import parameters


@pytest.mark.parametrize("value", ["small", "gpt2-small"])
def test_options_pass(value):
    parameters.choice("size", value, ["small", "gpt2-small"])


@pytest.mark.parametrize("value", ["large", "", None, 3])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match=r"size is .*; this page knows 'a' and 'b'"):
        parameters.choice("size", value, ["a", "b"])


@pytest.mark.parametrize("value", [1, 7, 10])
def test_whole_numbers_pass(value):
    parameters.whole_number("epochs", value, 1, 10)


@pytest.mark.parametrize("value", [0, 11, 2.0, "3", "1e3", True, None])
def test_what_is_no_whole_number_in_range_is_refused(value):
    with pytest.raises(ValueError, match="a whole number of 1 to 10"):
        parameters.whole_number("epochs", value, 1, 10)


@pytest.mark.parametrize("seed", [-1, 2**63, "123"])
def test_seeds_are_what_pytorch_takes(seed):
    parameters.seed_number(0), parameters.seed_number(2**63 - 1)
    with pytest.raises(ValueError, match="seed is"):
        parameters.seed_number(seed)


def test_short_texts_are_refused(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("x" * 99)
    with pytest.raises(ValueError, match="99 characters; this page needs 100 at least"):
        parameters.long_text(path, 100)
    assert parameters.long_text(path, 99) == "x" * 99
    with pytest.raises(FileNotFoundError, match="'storry' is neither a data set"):
        parameters.long_text("storry", 1)


def test_texts_of_few_words_are_refused_where_a_vocabulary_is_learned(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("the sea is late and the tide is late\n" * 100)
    assert parameters.long_text(path, 3000).startswith("the sea")
    with pytest.raises(ValueError, match=r"too few different words; .* of 512 tokens"):
        parameters.long_text(path, 3000, vocabulary=512)
    assert parameters.long_text("story", 3000, vocabulary=512)
