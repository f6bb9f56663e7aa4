"""Files of labeled messages: what is read, and what is refused."""

import pytest

from llmbook_utils.files.labeled import read_labeled

BAD = {
    "no tab": (b"ham\thi\nspam hello\n", "line 2 has no tab: 'spam hello'"),
    "other names": (b"ham\thi\nyes\thello\n", "line 2 has the label 'yes'; expected"),
    "one class": (b"ham\thi\nham\thello\n", "all of them 'ham' and none 'spam'"),
    "empty text": (b"ham\t \nspam\thello\n", "line 1 has a label, 'ham', but no text"),
    "not UTF-8": (b"ham\thi\nspam\tcaf\xe9\n", "line 2 is not UTF-8 text: byte 0xe9"),
    "empty": (b"\n", "is empty; expected lines"),
}


@pytest.mark.parametrize("content, words", BAD.values(), ids=BAD)
def test_bad_files_are_refused(content, words, tmp_path):
    path = tmp_path / "own.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_labeled(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_files_of_other_labels_and_line_ends(tmp_path):
    path = tmp_path / "own.tsv"
    path.write_bytes('\ufeffno\t"a"\r\nyes\tb\tc\u2028d\r\n'.encode())
    assert read_labeled(path, ("no", "yes")) == [('"a"', 0), ("b\tc\u2028d", 1)]
    with pytest.raises(ValueError, match="expected two different names"):
        read_labeled(path, ("yes",))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_labeled(tmp_path / "none.tsv")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_labeled(tmp_path)
