"""Tokenizers: round trips, examples by hand, independent references, bad input."""

import runpy
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_gpt2 import reference_gpt2
from tokenizers import Tokenizer, models, pre_tokenizers

from llmbook_utils import tokenizer as module
from llmbook_utils.files.datasets import load_text
from llmbook_utils.tokenizer import (
    END_OF_TEXT,
    BytePairTokenizer,
    PairCounts,
    WordTokenizer,
    get_encoding,
    learn_ranks,
    merge,
    merge_steps,
    pretokenize,
    ranks_of,
    save_encoding,
)

ROOT = Path(__file__).parents[2]
GPT2 = get_encoding("gpt2")
GPT2_RANKS = ranks_of(GPT2)
OURS = BytePairTokenizer(GPT2_RANKS, {END_OF_TEXT: 50256})
ASSIGNED = st.characters(exclude_categories=["Cs", "Cn", "Co"])
# texts with the runs of spaces, apostrophes and digits where the pattern decides
TRICKY = st.text(st.sampled_from(" \n\t'’aZéßжहि9½٣.,!\u00a0\u0085\u3000\ufeff🙂s"))


# word tokenizer


def test_words_round_trip_on_known_words():
    tokenizer = WordTokenizer.from_text("Don't wait -- the half-past boat is late!")
    assert tokenizer.decode(tokenizer.encode("Don't wait!")) == "Don't wait!"


def test_unknown_word_becomes_unk_and_special_names_are_text():
    tokenizer = WordTokenizer.from_text("the boat")
    assert tokenizer.decode(tokenizer.encode("the whale")) == "the <|unk|>"
    assert tokenizer.ids[END_OF_TEXT] not in tokenizer.encode(f"the {END_OF_TEXT}")


def test_word_tokenizer_refuses_text_without_words():
    for text in ("", " \n"):
        with pytest.raises(ValueError, match=rf"{len(text)} characters and no word"):
            WordTokenizer.from_text(text)


@pytest.mark.parametrize("id", [-1, 99])
def test_word_tokenizer_refuses_ids_outside_its_vocabulary(id):
    with pytest.raises(ValueError, match=rf"id {id} is outside the vocabulary of 4"):
        WordTokenizer.from_text("the boat").decode([0, id])


# the training of BPE


def test_merges_of_a_tiny_corpus_are_those_worked_by_hand_in_the_chapter():
    ranks = learn_ranks("sea seas seal seals real", 256 + 4)
    assert list(ranks)[256:] == [b"ea", b"sea", b" sea", b" seal"]
    tokenizer = BytePairTokenizer(ranks, {})
    assert [tokenizer.tokens[id] for id in tokenizer.encode("seals tea")] == [
        *(b"sea", b"l", b"s"),
        *(b" ", b"t", b"ea"),
    ]


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 3), st.integers(0, 3))
def test_merge_removes_every_occurrence_and_loses_nothing(ids, left, right):
    merged = merge(ids, (left, right), 9)
    back = [id for new in merged for id in ((left, right) if new == 9 else (new,))]
    assert back == ids
    assert (left, right) not in pairwise(merged)


@given(st.lists(st.text("abc ", min_size=1, max_size=12), min_size=1, max_size=8))
def test_counts_kept_up_to_date_equal_counts_made_anew(words):
    pairs = PairCounts(Counter(word.encode() for word in words))
    for new_id in range(256, 262):
        if (pair := pairs.best()) is None:
            break
        assert pairs.best() == pair  # looking does not change anything
        pairs.merge(pair, new_id)
        fresh = Counter()
        for word, weight in zip(pairs.words, pairs.weights, strict=True):
            for neighbors in pairwise(word):
                fresh[neighbors] += weight
        assert +pairs.counts == fresh
        top = max(fresh.values(), default=0)
        smallest = min((p for p in fresh if fresh[p] == top), default=None)
        assert pairs.best() == smallest


def test_merges_equal_those_of_an_independent_trainer():
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "tokenizer.py"))
    text, n_merges = load_text("story"), 700
    ours = BytePairTokenizer.train(text, 256 + n_merges + 1)
    assert benchmark["same_merges"](ours, benchmark["train_peer"](text, n_merges))
    assert not benchmark["same_merges"](ours, benchmark["train_peer"](text[:-99], 700))


def test_trained_vocabulary_has_bytes_first_and_end_of_text_last():
    tokenizer = BytePairTokenizer.train(load_text("story"), 300)
    assert [tokenizer.ranks[bytes([byte])] for byte in range(256)] == list(range(256))
    assert tokenizer.special_tokens == {END_OF_TEXT: 299}
    assert sorted(tokenizer.tokens) == list(range(300))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab", min_size=2, max_size=16), min_size=3, max_size=9))
def test_every_merge_makes_new_bytes(words):
    """What stands inside a token's bytes was merged in one order wherever they occur."""
    pairs = PairCounts(Counter(word.encode() for word in words))
    tokens = [bytes([byte]) for byte in range(256)]
    while (pair := pairs.best()) is not None:
        made = tokens[pair[0]] + tokens[pair[1]]
        assert made not in tokens
        pairs.merge(pair, len(tokens))
        tokens.append(made)


def test_training_refuses_what_it_cannot_do():
    with pytest.raises(
        ValueError, match="vocab_size is 256; bytes and special need 257"
    ):
        BytePairTokenizer.train("a text", 256)
    with pytest.raises(ValueError, match="no pair left after 2; give more text"):
        BytePairTokenizer.train("aaaa", 300)
    with pytest.raises(
        ValueError, match="text of 0 characters has no pair left after 0"
    ):
        BytePairTokenizer.train("", 300)


# encoding and decoding


@pytest.mark.parametrize(
    "text, ids",
    [
        ("Hello,", [15496, 11]),
        ("", []),
        ("\n", [198]),
        ("a   b", [64, 220, 220, 275]),
        ("it's 2026", [270, 338, 1160, 2075]),
    ],
)
def test_golden_ids(text, ids):
    assert reference_gpt2().encode(text) == ids
    assert GPT2.encode(text) == ids
    assert OURS.encode(text) == ids


def test_gpt2_is_tiktokens_own_byte_for_byte():
    reference = reference_gpt2()
    assert ranks_of(reference) == GPT2_RANKS
    assert GPT2.n_vocab == reference.n_vocab == 50257
    assert GPT2.eot_token == reference.eot_token == 50256


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(ASSIGNED), TRICKY))
def test_encoding_equals_tiktoken_for_any_assigned_text(text):
    expected = reference_gpt2().encode_ordinary(text)
    assert GPT2.encode_ordinary(text) == expected
    assert OURS.encode(text) == expected
    assert OURS.decode(expected) == text


def test_every_assigned_character_alone_and_beside_others():
    reference = reference_gpt2()
    assigned = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")
    ]
    for start in range(0, len(assigned), 500):
        text = "".join(f"x{c} {c}{c}9{c}!" for c in assigned[start : start + 500])
        assert GPT2.encode_ordinary(text) == reference.encode_ordinary(text)


@settings(max_examples=50, deadline=None)
@given(st.text(ASSIGNED))
def test_a_trained_tokenizer_round_trips_any_text_and_equals_its_tiktoken_form(text):
    tokenizer = BytePairTokenizer.train("sea seas seal seals real " * 3, 262)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.to_tiktoken().encode_ordinary(text) == ids


def test_merge_steps_end_in_the_encoding():
    text = load_text("story")[:3000]
    chunks = (list(merge_steps(c, GPT2_RANKS)) for c in pretokenize(text))
    ids = [GPT2_RANKS[part] for steps in chunks for part in steps[-1]]
    assert ids == GPT2.encode_ordinary(text)


def test_special_tokens_are_text_unless_allowed():
    tokenizer = BytePairTokenizer.train("sea seas seal seals real", 260)
    text = f"seal{END_OF_TEXT}sea"
    assert 259 not in tokenizer.encode(text)
    assert tokenizer.encode(text, allowed_special={END_OF_TEXT}).count(259) == 1
    assert tokenizer.decode(tokenizer.encode(text, {END_OF_TEXT})) == text
    assert tokenizer.decode(tokenizer.encode(text)) == text
    with pytest.raises(ValueError, match=r"'<.pad.>'\] are not special tokens here"):
        tokenizer.encode(text, allowed_special={"<|pad|>"})


def test_half_a_character_decodes_to_the_replacement_character_or_raises():
    tokenizer = BytePairTokenizer.train("sea seal", 257)
    ids = tokenizer.encode("🙂")[:3]
    assert tokenizer.decode(ids) == "\ufffd"
    with pytest.raises(UnicodeDecodeError):
        tokenizer.decode(ids, errors="strict")


def test_bad_ids_and_lone_surrogates_are_named():
    tokenizer = BytePairTokenizer.train("sea seal", 257)
    with pytest.raises(ValueError, match="id 257 is outside the vocabulary of 257"):
        tokenizer.decode([104, 257])
    with pytest.raises(ValueError, match=r"character 2 .* lone surrogate U\+D83D"):
        tokenizer.encode("ab\ud83d")


# files


@pytest.mark.parametrize("which", ["gpt2", "trained"])
def test_save_and_load(tmp_path, which):
    trained = BytePairTokenizer.train(load_text("story"), 600).to_tiktoken()
    encoding = GPT2 if which == "gpt2" else trained
    save_encoding(encoding, tmp_path / "tokenizer")
    assert sorted(p.name for p in (tmp_path / "tokenizer").iterdir()) == [
        "merges.txt",
        "vocab.json",
    ]
    again = get_encoding(tmp_path / "tokenizer")
    assert ranks_of(again) == ranks_of(encoding)
    assert again.eot_token == encoding.eot_token


def test_saved_files_are_read_by_another_library(tmp_path):
    encoding = BytePairTokenizer.train(load_text("story"), 600).to_tiktoken()
    save_encoding(encoding, tmp_path)
    other = Tokenizer(
        models.BPE.from_file(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    )
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    text = load_text("story")[:5000]
    assert other.encode(text).ids == encoding.encode(text)


def test_a_failed_save_leaves_the_old_files(tmp_path, monkeypatch):
    encoding = BytePairTokenizer.train("sea seal seas", 258).to_tiktoken()
    save_encoding(encoding, tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write = module.Path.write_text
    for disk_ends_at in ("vocab", "merges"):

        def write_text(path, *rest, end=disk_ends_at, **options):
            (full if path.name.startswith(end) else write)(path, *rest, **options)

        monkeypatch.setattr(module.Path, "write_text", write_text)
        with pytest.raises(OSError, match="No space left"):
            save_encoding(GPT2, tmp_path)
        monkeypatch.undo()
        assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no tokenizer 'gpt5': expected 'gpt2'"):
        get_encoding("gpt5")
    save_encoding(BytePairTokenizer.train("sea seal seas", 260).to_tiktoken(), tmp_path)
    merges = tmp_path / "merges.txt"
    lines = merges.read_text(encoding="utf-8").splitlines()
    merges.write_text("\n".join([lines[0], *reversed(lines[1:])]), encoding="utf-8")
    with pytest.raises(ValueError, match="not in the order of its merges"):
        get_encoding(tmp_path)
    merges.write_text("q x\n", encoding="utf-8")
    with pytest.raises(ValueError, match="'qx' is not in its vocabulary"):
        get_encoding(tmp_path)
    merges.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"broken tokenizer: .*decode"):
        get_encoding(tmp_path)
    (tmp_path / "vocab.json").write_text('{"a": 1', encoding="utf-8")
    with pytest.raises(ValueError, match=f"{tmp_path} holds a broken tokenizer"):
        get_encoding(tmp_path)
    merges.unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no .*merges\.txt"):
        get_encoding(tmp_path)
