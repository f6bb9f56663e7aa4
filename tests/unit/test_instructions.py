"""The book's instruction set: sizes, parts that share nothing, and facts that are right."""

import re
from collections import Counter
from functools import cache

import build_instructions
import pytest

from llmbook_utils.files.instructions import (
    SPLITS,
    load_instructions,
    load_preferences,
    own_file,
    read_entries,
)
from llmbook_utils.tokenizer import get_encoding

ENTRIES = read_entries(own_file("instructions.jsonl"))
TRAIN = [entry for entry in ENTRIES if entry.split == "train"]
MADE = sorted(path.stem for path in build_instructions.SOURCES.glob("made/*.txt"))
KINDS = sorted({entry.kind for entry in ENTRIES})
SEEN = [kind for kind in KINDS if kind != build_instructions.UNSEEN]
README = own_file("README.md").read_text("utf-8")


def of_kind(kind, *splits):
    return [e for e in ENTRIES if e.kind == kind and (not splits or e.split in splits)]


def whole(entry):
    return f"{entry.instruction} {entry.input} {entry.output}"


def words(text):
    return set(re.findall(r"[a-z]{3,}", text.lower()))


@cache
def pieces(text):
    letters = re.sub(r"[\W_]+", "", text.lower())
    return frozenset(letters[i : i + 5] for i in range(max(1, len(letters) - 4)))


def test_the_script_writes_these_files():
    for name, text in build_instructions.build().items():
        assert own_file(name).read_text("utf-8") == text, (
            f"run tools/build_instructions.py: {name}"
        )


def test_sizes():
    assert len(ENTRIES) >= 1500 and len(KINDS) >= 14
    assert sum(entry.kind not in MADE for entry in ENTRIES) >= 600
    assert {entry.split for entry in ENTRIES} == set(SPLITS)
    for kind in SEEN:
        assert len(of_kind(kind, "train")) >= 20, kind
        assert len(of_kind(kind, "test")) >= 6, kind
    assert sum(len(load_instructions(split)) for split in SPLITS) == len(ENTRIES)


def test_the_readme_has_the_numbers():
    assert f"holds {len(ENTRIES):,} requests" in README
    assert f"holds {len(load_preferences())} pairs" in README.replace(
        "`preferences.jsonl` ", "holds "
    )
    assert f"has {sum(e.kind not in MADE for e in ENTRIES)} entries" in README
    for split, n in Counter(entry.split for entry in ENTRIES).items():
        assert f"`{split}` ({n:,})" in README
    for kind in KINDS:
        assert kind in README


def test_one_kind_is_kept_out_of_training():
    assert {e.split for e in of_kind(build_instructions.UNSEEN)} == {"unseen"}
    assert {e.kind for e in ENTRIES if e.split == "unseen"} == {
        build_instructions.UNSEEN
    }
    assert len(of_kind(build_instructions.UNSEEN)) >= 40


def test_nothing_is_there_twice():
    seen = Counter((entry.instruction, entry.input) for entry in ENTRIES)
    assert [one for one, n in seen.items() if n > 1] == []
    written = Counter(e.instruction for e in ENTRIES if e.kind not in MADE)
    assert [one for one, n in written.items() if n > 1] == []


def near_duplicates(entries, threshold=0.6):
    """Pairs of entries in different parts that share most of their runs of letters."""
    holders = {}
    for i, entry in enumerate(entries):
        mine, shared = pieces(whole(entry)), Counter()
        for piece in mine:
            shared.update(holders.get(piece, ()))
            holders.setdefault(piece, []).append(i)
        for j, n in shared.items():
            other = entries[j]
            alike = n / (len(mine) + len(pieces(whole(other))) - n)
            if other.split != entry.split and alike >= threshold:
                yield whole(entry), whole(other)


def test_no_near_duplicates_in_different_parts():
    assert list(near_duplicates(ENTRIES)) == []


def test_a_near_duplicate_is_found():
    one = TRAIN[0]
    other = build_instructions.Entry(
        one.instruction + " Now.", one.input, one.output, "", "test", ""
    )
    assert list(near_duplicates([*TRAIN[:20], other]))


@pytest.mark.parametrize("kind", SEEN)
def test_the_test_part_has_words_that_training_lacks(kind):
    trained = set().union(*(words(whole(e)) for e in TRAIN))
    test = of_kind(kind, "test")
    assert set().union(*(words(whole(e)) for e in test)) - trained
    # and most of its entries have a word that training on this kind lacks
    here = set().union(*(words(whole(e)) for e in of_kind(kind, "train")))
    new = sum(bool(words(whole(entry)) - here) for entry in test)
    assert new >= 0.9 * len(test), f"{new} of {len(test)}"


@pytest.mark.parametrize("kind", [k for k in SEEN if k not in MADE])
def test_each_written_test_entry_has_a_word_that_no_training_has(kind):
    trained = set().union(*(words(whole(e)) for e in TRAIN))
    for entry in of_kind(kind, "test"):
        assert words(whole(entry)) - trained, whole(entry)


@pytest.mark.parametrize("kind", MADE)
def test_lists_and_forms_are_in_one_part_only(kind):
    parts = dict(
        build_instructions.sections(
            build_instructions.SOURCES / f"made/{kind}.txt", r"^\["
        )
    )
    for prefix in ("", "forms "):
        lines = [
            line
            for split in ("train", "validation", "test")
            for line in parts[prefix + split]
        ]
        assert len(lines) == len(set(lines)), kind


def test_no_form_comes_back_within_fifty_entries():
    entries = build_instructions.mixed(
        [*build_instructions.written(), *build_instructions.made()]
    )
    forms = [entry.form for entry in entries]
    for start in range(len(forms) - 49):
        window = forms[start : start + 50]
        assert len(set(window)) == 50, Counter(window).most_common(1)
    assert max(Counter(forms).values()) <= build_instructions.USES


def test_entries_fit_into_the_model():
    tokenizer = get_encoding(own_file("").parent / "mini")
    lengths = [len(tokenizer.encode_ordinary(whole(entry))) for entry in ENTRIES]
    assert (
        max(lengths) <= 100
    )  # of 256, of which the longest prompt style takes about 80


def test_texts_are_clean():
    for entry in ENTRIES:
        for text in (entry.instruction, entry.input, entry.output):
            assert text == text.strip() and "  " not in text and "{" not in text, text
            assert text.isascii() and "|" not in text, text
        assert entry.instruction[0].isupper() or entry.instruction[0] == '"', whole(
            entry
        )
        assert not re.search(r"\ba [aeio]\w", entry.output), entry.output


# what the rules below do not make
PLURALS = {
    "child": "children", "mouse": "mice", "man": "men", "woman": "women", "foot": "feet", "tooth": "teeth",
    "sheep": "sheep", "goose": "geese", "ox": "oxen", "knife": "knives", "wolf": "wolves", "loaf": "loaves",
    "shelf": "shelves", "leaf": "leaves", "thief": "thieves", "calf": "calves", "potato": "potatoes",
    "tomato": "tomatoes", "hero": "heroes", "penny": "pennies",
}  # fmt: skip
PASTS = {
    "go": "went", "see": "saw", "eat": "ate", "sing": "sang", "run": "ran", "come": "came", "give": "gave",
    "take": "took", "sit": "sat", "find": "found", "fly": "flew", "say": "said", "sleep": "slept",
    "bring": "brought", "drink": "drank", "fall": "fell", "write": "wrote", "blow": "blew", "ride": "rode",
    "tell": "told", "make": "made", "hide": "hid", "buy": "bought", "hear": "heard", "grow": "grew",
    "begin": "began", "lose": "lost", "catch": "caught", "hold": "held", "wear": "wore", "win": "won",
    "swim": "swam", "throw": "threw", "think": "thought", "break": "broke", "teach": "taught",
    "shine": "shone", "build": "built", "steal": "stole", "draw": "drew", "stop": "stopped", "hop": "hopped",
}  # fmt: skip
DEGREES = {"good": ("better", "best"), "bad": ("worse", "worst")}


def plural(word):
    if word in PLURALS:
        return PLURALS[word]
    if re.search("(s|x|z|ch|sh)$", word):
        return word + "es"
    return re.sub("([^aeiou])y$", r"\1ie", word) + "s"


def past(verb):
    if verb in PASTS:
        return PASTS[verb]
    if verb.endswith("e"):
        return verb + "d"
    return re.sub("([^aeiou])y$", r"\1i", verb) + "ed"


def degrees(word):
    if word in DEGREES:
        return DEGREES[word]
    stem = re.sub("([^aeiou])y$", r"\1i", re.sub("e$", "", word))
    if word not in ("poor", "shy") and re.fullmatch("[^aeiou]*[aeiou][bdgtnm]", word):
        stem += stem[-1]  # big, bigger
    if word == "shy":
        stem = word
    return stem + "er", stem + "est"


def items(kind):
    parts = dict(
        build_instructions.sections(
            build_instructions.SOURCES / f"made/{kind}.txt", r"^\["
        )
    )
    lines = [line for split in ("train", "validation", "test") for line in parts[split]]
    return [[part.strip() for part in line.split("|")] for line in lines]


def test_plurals_are_right():
    assert [(a, b) for a, b in items("plural") if plural(a) != b] == []


def test_past_tenses_are_right():
    assert [(a, b) for a, b in items("past_tense") if past(a) != b] == []


def test_comparisons_are_right():
    assert [
        row for row in items("comparison") if (row[1], row[2]) != degrees(row[0])
    ] == []


def test_a_word_has_one_opposite():
    opposites = {}
    for a, b in items("opposite"):
        for x, y in ((a, b), (b, a)):
            assert opposites.setdefault(x, y) == y, x


# pairs that sound alike and are written differently
RHYMES_BY_EAR = {
    ("tree", "bee"), ("pie", "sky"), ("door", "floor"), ("shoe", "blue"), ("bear", "chair"), ("rose", "nose"),
    ("share", "pear"), ("kite", "white"), ("sweet", "wheat"), ("bow", "toe"), ("feather", "weather"),
}  # fmt: skip


def test_rhymes_end_alike():
    for a, b in items("rhyme"):
        end = re.search("[aeiouy]+[^aeiouy]*e?$", a)[0]
        assert b.endswith(end) or (a, b) in RHYMES_BY_EAR, (a, b)
        assert a != b


def text_of(entry):
    """The sentence that a request is about: its input, or what it quotes."""
    text = re.sub("^words in: ", "", entry.input).strip('"')
    quoted = re.search(r'"(.*)"', entry.instruction) or re.search(
        "wrote: (.*) How many", entry.instruction
    )
    return text or quoted[1]


@pytest.mark.parametrize("entry", of_kind("count_words"), ids=whole)
def test_words_are_counted_right(entry):
    number = build_instructions.NUMBERS[len(text_of(entry).split())]
    named = words(entry.output) & set(build_instructions.NUMBERS)
    assert named == {number}
    if "words" in entry.output or "pennies" in entry.output:
        assert number != "one"


@pytest.mark.parametrize("entry", of_kind("first_last"), ids=whole)
def test_first_and_last_words_are_right(entry):
    first, *_, last = text_of(entry).strip(".!").split()
    request = entry.instruction.replace(text_of(entry), "")
    wants_first = re.search(
        "first|begin|start|opening|front|after one word|how it began", request.lower()
    )
    wants_last = re.search(
        "last|end|final|closing|before the period|one word to go", request.lower()
    )
    if "after the first" in request or "Read only the first" in request:
        wants_last = None
    said = entry.output
    if wants_first and not (wants_last and "asleep" in request):
        assert re.search(rf"\b{first}\b", said), whole(entry)
    if wants_last:
        assert re.search(rf"\b{last}\b", said), whole(entry)


RANKS = [
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
     "twenty", "thirty", "forty"],
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    ["January", "February", "March", "June", "July", "August"],
    ["spring", "summer", "autumn"], ["morning", "noon", "evening"], ["breakfast", "lunch", "supper"],
    ["yesterday", "today", "tomorrow"], ["second", "minute", "hour"], ["seed", "sprout", "sunflower"],
    ["fly", "bee", "ant", "beetle", "mouse", "bird", "kitten", "cat", "dog", "hen", "bear", "horse", "cow", "elephant"],
    ["pea", "nut", "cherry", "egg", "apple", "pumpkin", "melon", "wagon", "house"], ["cup", "bucket", "lake"],
    ["button", "shoe", "coat"], ["leaf", "branch", "tree"], ["chair", "door", "castle"],
    ["baby", "child", "man"], ["cottage", "palace", "mountain"],
]  # fmt: skip


def test_lists_are_in_order():
    for names, by in items("order"):
        row = names.split(", ")
        if by == "letters":
            assert row == sorted(row), row
        else:
            ranks = [rank for rank in RANKS if set(row) <= set(rank)]
            assert ranks, row
            places = [ranks[0].index(word) for word in row]
            assert places == sorted(places), row


@pytest.mark.parametrize("entry", of_kind("order"), ids=whole)
def test_an_order_has_all_its_words(entry):
    said = set(re.findall(r"\w+", entry.output.lower()))
    given = re.findall(r"\w+", re.sub(r"[(;].*|, but .*", "", entry.input).lower())
    assert len(given) == 3 and said.issuperset(given)


@pytest.mark.parametrize("entry", of_kind("story"), ids=whole)
def test_a_story_has_its_three_words(entry):
    asked = entry.input.split(", ")
    assert len(asked) == 3
    for word in asked:
        assert word in entry.output.lower() or plural(word) in entry.output.lower(), (
            word
        )


@pytest.mark.parametrize("entry", of_kind("odd_one_out"), ids=whole)
def test_the_odd_one_is_in_the_list(entry):
    row = entry.input.split(", ")
    assert len(row) == 4
    assert (
        sum(
            bool(
                re.search(rf"\b{w[:-1] if w.endswith('s') else w}", entry.output, re.I)
            )
            for w in row
        )
        == 1
    )


@pytest.mark.parametrize(
    "kind, sign",
    [("question", "?"), ("finish", "."), ("negative", "."), ("yes_no", ".")],
)
def test_answers_have_their_form(kind, sign):
    for entry in of_kind(kind):
        assert entry.output.rstrip('"').endswith(
            (sign, "!", "?") if kind == "finish" else sign
        ) or ("Once upon a time" in entry.output), whole(entry)
        if kind == "negative":
            assert re.search(r"\bnot\b|cannot|never", entry.output), whole(entry)
        if kind == "finish" and "saying" not in entry.instruction:
            assert entry.output.startswith(entry.input.rstrip()), whole(entry)


@pytest.mark.parametrize("entry", of_kind("kinder"), ids=whole)
def test_the_kinder_sentence_is_one_of_the_two(entry):
    a, b = re.fullmatch(r"A: (.*) B: (.*)", entry.input).groups()
    named = set(
        re.findall(r"\b[AB]\b(?=[ :.,])", entry.output.replace(a, "").replace(b, ""))
    )
    said = {
        letter
        for letter, text in (("A", a), ("B", b))
        if text.rstrip(".") in entry.output
    }
    assert len(named | said) == 1, whole(entry)


def test_preferences():
    pairs = load_preferences()
    assert len(pairs) >= 110
    assert len({pair.prompt for pair in pairs}) == len(pairs)
    assert all(pair.chosen != pair.rejected for pair in pairs)
    # so that a model cannot learn length instead of kindness
    longer = sum(len(pair.chosen) > len(pair.rejected) for pair in pairs)
    assert 0.4 <= longer / len(pairs) <= 0.6
