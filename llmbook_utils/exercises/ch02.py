"""Checks of chapter 2's exercises. Not built on a page."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import tiktoken
import torch

from llmbook_utils.data import SlidingWindowDataset
from llmbook_utils.exercises import exercise, fresh, require, varied
from llmbook_utils.exercises.by_hand import begins, by_hand, must_be, must_not_be
from llmbook_utils.files.datasets import load_text
from llmbook_utils.tokenizer import (
    BytePairTokenizer,
    get_encoding,
    learn_ranks,
    merge,
    pretokenize,
)


@exercise(
    "2.1",
    "Write the merge",
    hints=(
        "Walk through the list from left to right and build a new one. At each place "
        "there are two cases: the pair stands here, or it does not.",
        "Where the pair stands, append the new id and move on by two places; where it "
        "does not, append the id and move on by one. A while loop can do both.",
        "The pair stands at place i if ids[i] and ids[i + 1] are its two ids. The last "
        "id has no neighbor, so look first whether i + 1 is still inside the list.",
    ),
)
def write_the_merge(answer: Callable[..., list[int]]) -> str:
    """Compare with the library's merge; name the usual slips by what they return."""
    require(callable(answer), f"expected a function, got {answer!r}")
    ids, pair = [115, 101, 97, 115, 32, 114, 101, 97, 108], (101, 97)
    given = _merged(answer, ids, pair)
    for wrong, message in _merge_slips(ids, pair):
        require(given != wrong, f"merge({ids}, {pair}, 256) gives {given}: {message}")
    _require_merge(answer, ids, pair)
    given = _merged(answer, [97, 101, 97, 101], pair)
    require(
        given == [97, 256, 101],
        f"merge([97, 101, 97, 101], {pair}, 256) gives {given}, expected "
        "[97, 256, 101]: the pair is 101, 97 in this order, and 97, 101 is a different "
        "pair",
    )
    run = _merged(answer, [7, 7, 7, 4], (7, 7))
    require(
        run != [256, 256, 4],
        f"merge([7, 7, 7, 4], (7, 7), 256) gives {run}: the 7 in the middle has been "
        "used twice",
    )
    require(
        run != [7, 256, 4],
        f"merge([7, 7, 7, 4], (7, 7), 256) gives {run}: of a run like 7 7 7 the first "
        "two should merge, so walk from left to right",
    )
    for ids, pair in (
        ([7, 7, 7, 4], (7, 7)),
        ([101], (101, 97)),
        ([], (101, 97)),
        ([97, 101], (101, 97)),
        ([5, 101, 97], (101, 97)),
        ([101, 97, 101, 97], (101, 97)),
        ([256, 115, 256, 115], (256, 115)),
        *map(_drawn_merge, fresh(12)),
    ):
        _require_merge(answer, ids, pair)
    return "Right: each occurrence, from left to right, and nothing else."


def _drawn_merge(chance: random.Random) -> tuple[list[int], tuple[int, int]]:
    """Ids of few kinds, so that pairs repeat and overlap, and a pair."""
    ids = chance.choices(range(97, 100), k=chance.randint(0, 14))
    return ids, (chance.randint(97, 99), chance.randint(97, 99))


def _merged(
    answer: Callable[..., Any], ids: list[int], pair: tuple[int, int]
) -> list[int]:
    """Call the answer on a copy of the ids and make a list of what it returns."""
    copy, call = list(ids), f"merge({ids}, {pair}, 256)"
    try:
        given = answer(copy, pair, 256)
    except IndexError:
        require(
            False,
            f"{call} stops with an IndexError: the last id has no neighbor, so look "
            "whether there is one before you compare",
        )
    require(given is not None, f"{call} returns None; return the new list at the end")
    require(
        isinstance(given, Iterable), f"{call} returns {given!r}, expected a list of ids"
    )
    require(
        copy == ids, f"{call} has changed the list that it was given; build a new one"
    )
    return list(given)


def _require_merge(
    answer: Callable[..., Any], ids: list[int], pair: tuple[int, int]
) -> None:
    given, wanted = _merged(answer, ids, pair), merge(ids, pair, 256)
    require(
        given == wanted, f"merge({ids}, {pair}, 256) gives {given}, expected {wanted}"
    )


def _merge_slips(ids: list[int], pair: tuple[int, int]) -> list[tuple[list[Any], str]]:
    """What a wrong merge returns for these ids, and what is wrong with it."""
    right, at = merge(ids, pair, 256), ids.index(pair[0])
    kept = [part for id in right for part in ([id, pair[1]] if id == 256 else [id])]
    single = [256 if id in pair else id for id in ids]
    lost, i = [], 0
    while i < len(ids):
        found = tuple(ids[i : i + 2]) == pair
        lost.append(256 if found else ids[i])
        i += 3 if found else 1
    return [
        (ids, "nothing has been merged"),
        ([*ids[:at], 256, *ids[at + 2 :]], "only the first occurrence has been merged"),
        (
            kept,
            "the second id of the pair is still there; after a merge move on by two",
        ),
        (lost, "the id after each merged pair is missing; move on by two, not three"),
        (right[:-1], "the last id is missing"),
        (single, "each id of the pair has been replaced, but together they make one"),
        ([pair if id == 256 else id for id in right], "the pair stands in it, not 256"),
        ([id for id in right if id != 256], "the pair is gone, but 256 is not there"),
    ]


@exercise(
    "2.2",
    "Learn the merges",
    hints=(
        "Each round has three steps, as on paper: count all pairs of neighbors, choose "
        "one, merge it everywhere.",
        "Keep the text as a list of chunks, each a list of ids: list(chunk) for each "
        "chunk of pretokenize(text). A Counter counts, pairwise gives the neighbors, "
        "and tokens[id] is the bytes of an id.",
        "max(counts, key=...) chooses; with the key (count, -first id, -second id) the "
        "smaller ids win in a tie. Then append the joined bytes to tokens, and "
        "replace every chunk by merge(chunk, best, new_id).",
    ),
)
def learn_the_merges(answer: Callable[[str, int], list[bytes]]) -> str:
    """Compare with the merges by hand, then on a text with repeated words and ties."""
    require(callable(answer), f"expected a function, got {answer!r}")
    corpus = "sea seas seal seals real"
    given = _learned(answer, corpus, 4)
    hand = [b"ea", b"sea", b" sea", b" seal"]
    _name_slip(given, corpus, 4)
    require(
        given == hand, f"on {corpus!r} you get {given}, but by hand we found {hand}"
    )
    for text, n in (
        ("to be, or not to be: that is the question", 6),
        ("ring ring ring rings rang sings", 4),
        (load_text("story")[:3000], 40),
        *((_drawn_piece(chance), chance.randint(20, 40)) for chance in fresh(2)),
    ):
        given, wanted = _learned(answer, text, n), _new_tokens(text, n)
        _name_slip(given, text, n)
        at = next((i for i in range(n) if given[i] != wanted[i]), n)
        require(
            at == n,
            f"the four merges by hand are right, but on {text[:40]!r} merge "
            f"{at + 1} should be {wanted[min(at, n - 1)]!r}, and you get "
            f"{given[min(at, n - 1)]!r}",
        )
    return "Right: ea, sea, ␣sea, ␣seal, and the merges of the story too."


def _drawn_piece(chance: random.Random) -> str:
    """Some 2,000 characters of the story, from anywhere."""
    story = load_text("story")
    start = chance.randrange(len(story) - 2000)
    return story[start : start + 2000]


def _learned(answer: Callable[[str, int], Any], text: str, n: int) -> list[bytes]:
    call = f"learn_merges({text[:30]!r}, {n})"
    given = answer(text, n)
    require(given is not None, f"{call} returns None; return the list of new tokens")
    require(
        isinstance(given, Iterable), f"{call} returns {given!r}, expected {n} tokens"
    )
    tokens = [one.encode() if isinstance(one, str) else one for one in given]
    strange = [one for one in tokens if not isinstance(one, bytes)]
    require(
        not strange,
        f"{call} gives {strange[:1]} and the like; expected the bytes of each new "
        "token, such as b'ea'",
    )
    require(
        len(tokens) != 256 + n,
        f"{call} gives {len(tokens)} tokens; leave the 256 single bytes out",
    )
    require(len(tokens) == n, f"{call} gives {len(tokens)} tokens, expected {n}")
    return tokens


def _new_tokens(text: str, n: int) -> list[bytes]:
    return list(learn_ranks(text, 256 + n))[256:]


def _name_slip(given: list[bytes], text: str, n: int) -> None:
    """Raise with the mistake whose result this is; right results pass."""
    wanted = _new_tokens(text, n)
    if given == wanted:
        return
    shown, chunks = f"on {text[:30]!r} you get {given[:6]}", pretokenize(text)
    require(
        n < 3 or len(set(given)) > 1,
        f"{shown}: the same pair wins each time; write the new id into the chunks",
    )
    slips = {
        "the pairs were counted once and for all; count again after each merge": _once(
            chunks, n
        ),
        "tokens reach across words; cut the text with pretokenize first": _slow(
            [text.encode()], n, _smaller
        ),
        "of equally frequent pairs you took the one with the larger ids": _slow(
            chunks, n, lambda counts: max(counts, key=lambda p: (counts[p], *p))
        ),
        "of equally frequent pairs you took the one met first; the one with the "
        "smaller ids should win": _slow(
            chunks, n, lambda counts: max(counts, key=counts.__getitem__)
        ),
        "you took the rarest pair each time": _slow(
            chunks, n, lambda counts: min(counts, key=lambda p: (counts[p], *p))
        ),
        "each different chunk was counted once; one that comes three times counts "
        "three times": _slow(list(dict.fromkeys(chunks)), n, _smaller),
        "no token begins with a space; a chunk has the space before its word": _slow(
            [word.encode() for word in text.split()], n, _smaller
        ),
        "the two parts are joined the wrong way round": [
            _turned(token, wanted) for token in wanted
        ],
        "the tokens are right, but not in the order in which they were learned": (
            given if sorted(given) == sorted(wanted) else None
        ),
    }
    for message, result in slips.items():
        require(given != result, f"{shown}: {message}")


def _smaller(counts: Counter[tuple[int, int]]) -> tuple[int, int]:
    return max(counts, key=lambda pair: (counts[pair], -pair[0], -pair[1]))


def _slow(
    chunks: Sequence[bytes],
    n: int,
    choose: Callable[[Counter[tuple[int, int]]], tuple[int, int]],
) -> list[bytes]:
    """Learn n merges by recounting everything, the pair being chosen by `choose`."""
    lists = [list(chunk) for chunk in chunks]
    tokens = [bytes([byte]) for byte in range(256)]
    for new_id in range(256, 256 + n):
        counts = Counter(pair for one in lists for pair in pairwise(one))
        if not counts:
            break
        best = choose(counts)
        tokens.append(tokens[best[0]] + tokens[best[1]])
        lists = [merge(one, best, new_id) for one in lists]
    return tokens[256:]


def _once(chunks: Sequence[bytes], n: int) -> list[bytes]:
    counts = Counter(pair for chunk in chunks for pair in pairwise(chunk))
    ranked = sorted(counts, key=lambda pair: (-counts[pair], *pair))
    return [bytes(pair) for pair in ranked[:n]]


def _turned(token: bytes, order: Sequence[bytes]) -> bytes:
    """The token as it comes out where each merge puts its right part first."""
    known = {bytes([byte]) for byte in range(256)} | set(order[: order.index(token)])
    cut = next(i for i in range(1, len(token)) if {token[:i], token[i:]} <= known)
    left, right = token[:cut], token[cut:]
    parts = [_turned(p, order) if len(p) > 1 else p for p in (right, left)]
    return b"".join(parts)


@exercise(
    "2.3",
    "Divide, then cut",
    hints=(
        "Divide the list of ids before there are any windows.",
        "How many ids are the last `share` of them? Then two slices, and a "
        "SlidingWindowDataset of each.",
        "cut = len(ids) - round(len(ids) * share), then ids[:cut] and ids[cut:].",
    ),
)
def divide_then_cut(answer: Callable[..., tuple[Any, Any]]) -> str:
    """Use ids that are all different, so that every token shows where it came from."""
    cases = [(1000, 0.1, 2), (403, 0.25, 5)]
    for chance in fresh(3):
        share = chance.choice([0.1, 0.15, 0.2, 0.3])
        cases.append((chance.randint(300, 900), share, chance.randint(1, 7)))
    for n_ids, share, stride in cases:
        call = f"split_datasets(list(range({n_ids})), {share}, 8, {stride})"
        training, validation = _two_datasets(
            answer(list(range(n_ids)), share, 8, stride), call
        )
        seen, held = _tokens(training), _tokens(validation)
        shared = sorted(seen & held)
        require(
            len(shared) < min(len(seen), len(held)),
            "one of the two sets lies wholly in the other; divide the ids into two "
            "parts that share nothing",
        )
        require(
            not shared,
            f"{len(shared)} tokens are in both sets, for example number {shared[:1]}; "
            "that is the leak",
        )
        before = max(held) < min(seen)
        require(
            not before or len(seen) > len(held),
            "the two sets are there, but in the other order; return training first",
        )
        require(
            not before,
            "validation should be the last part of the ids, and yours is the first",
        )
        require(
            min(held) > max(seen),
            "the two sets take turns in the text; validation should be one piece, the "
            "last one",
        )
        require(min(seen) == 0, f"training begins at token {min(seen)}, expected 0")
        cut = n_ids - n_ids * share
        require(
            abs(min(held) - cut) <= 1,
            f"the last {share:.0%} of {n_ids} ids begin at {cut:.0f}, but validation "
            f"begins at {min(held)}",
        )
        require(
            max(seen) >= cut - 2 - stride,
            f"training ends at token {max(seen)}, although it could reach {cut:.0f}",
        )
        for part, first, end in (
            (training, 0, min(held)),
            (validation, min(held), n_ids),
        ):
            wanted = SlidingWindowDataset(range(first, end), 8, stride)
            same = len(part) == len(wanted) and torch.equal(part[0][0], wanted[0][0])
            require(
                same,
                f"tokens {first} to {end - 1} make {len(wanted)} windows of 8 with "
                f"stride {stride}, but there are {len(part)}, the first of "
                f"{len(part[0][0])}",
            )
    return "Right: nothing that is tested has been seen."


def _two_datasets(given: Any, call: str) -> tuple[Any, Any]:
    """The two datasets of an answer, each with pairs of tensors as items."""
    require(
        isinstance(given, tuple | list) and len(given) == 2,
        f"{call} should return two datasets, training and validation; it returns "
        f"{str(given)[:60]}",
    )
    for name, part in zip(("training", "validation"), given, strict=True):
        require(hasattr(part, "__getitem__"), f"{name} is {part!r}, not a dataset")
        require(len(part) > 0, f"{name} has no window at all")
        item = part[0]
        require(
            isinstance(item, tuple) and len(item) == 2,
            f"{name}[0] is {str(item)[:40]}, not a pair of inputs and targets; put the "
            "ids into a SlidingWindowDataset",
        )
    return given[0], given[1]


def _tokens(dataset: Any) -> set[int]:
    items = [dataset[index] for index in range(len(dataset))]
    return {int(id) for inputs, targets in items for id in (*inputs, targets[-1])}


def _four_merges(corpus: str) -> list[str]:
    return [token.decode() for token in list(learn_ranks(corpus, 260))[256:]]


_TIE = (
    "the first two are right; in the third round two pairs occur four times, and of "
    "these the one with the smaller ids wins: the space is byte 32"
)

by_hand(
    "2.4",
    "Merge by hand",
    hints=(
        "Write the six words below one another, letter by letter, with ␣ for the space "
        "before a word. Which pair stands in all of them?",
        "The pair n, g occurs six times. After that merge, i stands before ng in five "
        "words. Then two pairs have four each: look at the rule for ties.",
        "␣ r (in ␣ring twice, ␣rings, ␣rang) and r ing (in ring, ␣ring twice, ␣rings) "
        "both occur four times. The space has the smaller id, so ␣r is made first; "
        "count once more for the fourth.",
    ),
    fields=("first merge", "second merge", "third merge", "fourth merge"),
    expected="four new tokens",
    rules=[
        must_not_be(range(4), ["ng", "ing", "ring", " ring"], _TIE),
        begins(
            range(4),
            " ",
            "none of your tokens begins with a space, but five of the six words do; "
            "the space takes part in the merges like any letter",
        ),
        must_not_be(
            range(4),
            _four_merges("ring ring rings rang sings"),
            "it looks as if each different word was counted once; ring with a space "
            "before it occurs twice, and so do its pairs",
        ),
        *(
            must_be(at, token, f"merge {at + 1} is not {{{at}}}; count the pairs again")
            for at, token in enumerate(_four_merges("ring ring ring rings rang sings"))
        ),
    ],
    right="Right: ng, ing, ␣r and ␣ring, with a tie in the third round.",
    text=True,
)


@exercise(
    "2.5",
    "Count the windows",
    hints=(
        "Where may the last window begin? Which token must still exist after it?",
        "A window that begins at s needs the ids s to s + context_length, and that "
        "last one must be at most n_ids - 1.",
        "The starts are 0, stride, 2 * stride, … up to n_ids - context_length - 1. "
        "Count them with //, and return 0 if that number is negative.",
    ),
)
def count_windows(answer: Callable[[int, int, int], int]) -> str:
    """Compare with the lengths of real datasets, also where there is none."""
    require(
        callable(answer),
        f"count_windows should be a function of three numbers, and you gave {answer!r}",
    )
    cases = [
        (6, 3, 2),
        (6, 3, 3),
        (1000, 10, 10),
        (1001, 10, 10),
        (50, 7, 1),
        (5, 4, 2),
    ]
    for chance in fresh(8):
        size = chance.randint(1, 30)
        cases.append((size + chance.randint(1, 200), size, chance.randint(1, 30)))
    for n_ids, context_length, stride in cases:
        wanted = len(SlidingWindowDataset(range(n_ids), context_length, stride))
        given = answer(n_ids, context_length, stride)
        call = f"count_windows({n_ids}, {context_length}, {stride})"
        require(given is not None, f"{call} returns None; return the number of windows")
        require(
            isinstance(given, int) or float(given) == int(given),
            f"{call} gives {given!r}; a number of windows is whole, so round down",
        )
        require(
            given != wanted - 1,
            f"{call} gives {given}: one too few; is the window at 0 counted?",
        )
        require(
            given != wanted + 1 or n_ids - context_length * wanted != context_length,
            f"{call} gives {given}: one too many. The last target needs a token too",
        )
        require(given == wanted, f"{call} gives {given!r}, but there are {wanted}")
    for n_ids in (4, 3, 0):
        given = answer(n_ids, 4, 2)
        require(
            given == 0,
            f"count_windows({n_ids}, 4, 2) gives {given!r}; {n_ids} ids are too few "
            "for a window of four with its targets, so it is 0",
        )
    return "Right, also for texts that are too short."


@exercise(
    "2.6",
    "Split without loss",
    hints=(
        "Start from WORD_SPLIT. What must stand before the word, and what is missing "
        "from the list of alternatives?",
        "An optional space is ` ?`. For everything that no other alternative takes, "
        "add one for white space at the end.",
        r"re.findall(' ?' + WORD_SPLIT + r'|\s', text): alternatives are tried from "
        "left to right, so a space before a word is taken by the first one.",
    ),
)
def split_without_loss(answer: Callable[[str], list[str]]) -> str:
    """Try the join on awkward texts and look at the pieces of a plain one."""
    plain = list(answer("The sea, the bell."))
    require(
        "".join(plain) == "The sea, the bell.",
        f"split('The sea, the bell.') gives {plain!r}, which loses the spaces: joined, "
        "it is not the text any more",
    )
    require(
        " " not in plain,
        f"split('The sea, the bell.') gives {plain!r}: the space is a piece of its "
        "own, but it should belong to the word after it",
    )
    require(
        "," in plain and "." in plain,
        f"split('The sea, the bell.') gives {plain!r}: punctuation marks should be "
        "pieces of their own",
    )
    right = ["The", " sea", ",", " the", " bell", "."]
    require(plain == right, f"expected {right}, got {plain!r}")
    awkward = ["", "  two  spaces ", "a\n\n\tb", "don't--tide-house's!", "né 🐢 समुद्र"]
    for chance in fresh(5):
        awkward.append("".join(chance.choices(" \t\nabé'-,.!_🐢", k=40)))
    for text in [*awkward, "_ \u00a0x\u3000", load_text("story")]:
        joined = "".join(answer(text))
        at = next((i for i, c in enumerate(text) if joined[i : i + 1] != c), len(text))
        require(
            joined == text,
            f"something is lost or added at character {at} of {text[:40]!r}: joined, "
            f"the pieces give {joined[max(at - 3, 0) : at + 5]!r} there",
        )
    require(
        "don't" in answer("don't") and "tide-house" in answer("tide-house"),
        "don't and tide-house should stay whole, as with WORD_SPLIT",
    )
    for text in ("the  sea", "the\n sea", "the   sea"):
        given = list(answer(text))
        require(
            given[-1] == " sea",
            f"split({text!r}) gives {given!r}: of all white space before it, exactly "
            "one space should belong to sea",
        )
    given = list(answer("the\nsea"))
    require(
        given == ["the", "\n", "sea"],
        f"split('the\\nsea') gives {given!r}: a line break is not a space, and should "
        "not be glued to the word after it",
    )
    given = list(answer("the\tsea"))
    require(
        given == ["the", "\t", "sea"],
        f"split('the\\tsea') gives {given!r}: a tab is not a space, and should not be "
        "glued to the word after it",
    )
    given = list(answer('late!"'))
    require(
        given == ["late", "!", '"'],
        f"split('late!\"') gives {given!r}: each punctuation mark is its own piece",
    )
    return "Right: nothing is lost, and each space before a word belongs to it."


@exercise(
    "2.7",
    "Ids that do not come back",
    hints=(
        "encode takes the merges in their order, so of many possible ways to write a "
        "text it always chooses the same one. Which other ways are there?",
        "Every byte is a token. Can you spell a common word in smaller pieces?",
        "Encode two halves of a word apart and join the lists: "
        "gpt2.encode('tor') + gpt2.encode('toise'), then compare with the whole word.",
    ),
)
def ids_that_do_not_come_back(answer: Sequence[int]) -> str:
    """Decode, encode again and compare."""
    gpt2 = get_encoding("gpt2")
    ids = [int(id) for id in answer]
    require(len(ids) > 0, "the list is empty; empty text comes back as it is")
    bad = [id for id in ids if not 0 <= id < gpt2.n_vocab]
    require(
        not bad, f"{bad} are no ids of GPT-2, which go from 0 to {gpt2.n_vocab - 1}"
    )
    require(
        gpt2.eot_token not in ids,
        f"{gpt2.eot_token} is the special token, which is not text; leave it out",
    )
    text = gpt2.decode(ids)
    require(
        "\ufffd" not in text,
        f"these ids decode to {text!r}: half a character is not proper text",
    )
    back = gpt2.encode_ordinary(text)
    require(
        back != ids,
        f"{text!r} is encoded as {back}, just as you wrote it; look for ids that no "
        "text is encoded to",
    )
    return (
        f"Right: {text!r} comes back as {back}. A model is free to choose the other "
        "way, since it picks one token at a time."
    )


@exercise(
    "2.8",
    "Wait for whole characters",
    hints=(
        "Collect bytes instead of strings. Who knows when a character is complete?",
        "codecs.getincrementaldecoder, which the chapter used, keeps unfinished bytes. "
        "Yield what it returns, unless that is empty.",
        "After the loop call decoder.decode(b'', final=True): it returns � for bytes "
        "that never became a character.",
    ),
)
def wait_for_whole_characters(
    answer: Callable[[Iterator[int], tiktoken.Encoding], Iterator[str]],
) -> str:
    """Watch what has been yielded after each id."""
    gpt2 = get_encoding("gpt2")
    drawn = ["".join(chance.choices("a é🐢海\nस", k=20)) for chance in fresh(4)]
    for text in ("Plain.", "ok 🐢!", "né समुद्र 海\n", "", *drawn):
        pieces = list(answer(iter(gpt2.encode(text)), gpt2))
        require(
            "\ufffd" not in "".join(pieces),
            f"for {text!r} a � was yielded for a character that was still coming",
        )
        require("" not in pieces, f"for {text!r} an empty string was yielded")
        require("".join(pieces) == text, f"{text!r} came out as {''.join(pieces)!r}")
    half = gpt2.encode("🐢")[:1]
    end = "".join(answer(iter([*gpt2.encode("ok"), *half]), gpt2))
    require(
        end == "ok\ufffd",
        f"ok and half an emoji came out as {end!r}; the half should become � at last",
    )
    middle = "".join(answer(iter([*half, *gpt2.encode(" ok")]), gpt2))
    require(
        middle == "\ufffd ok",
        f"half an emoji and then ok came out as {middle!r}; the half can no longer "
        "become a character, so it is �, and what follows is not lost",
    )
    _require_no_delay(answer, gpt2)
    return "Right: whole characters only, as soon as they are there."


def _require_no_delay(
    answer: Callable[..., Iterator[str]], gpt2: tiktoken.Encoding
) -> None:
    ids = gpt2.encode("The sea is late")
    pieces: list[str] = []

    def source() -> Iterator[int]:
        for at, id in enumerate(ids):
            came, certain = "".join(pieces), gpt2.decode(ids[:at])
            require(
                came == certain,
                f"after {at} ids the text {certain!r} is certain, but {came!r} had "
                "been yielded; yield what is certain at once instead of collecting it",
            )
            yield id

    pieces.extend(answer(source(), gpt2))


@exercise(
    "2.9",
    "Embed without a layer",
    hints=(
        "A tensor can be indexed with a tensor of ids: token_table[ids].",
        "The positions are the rows 0 to T - 1 of the position table, the same for "
        "each sequence of the batch.",
        "token_table[ids] + position_table[: ids.shape[1]], and before that an if that "
        "compares ids.shape[1] with len(position_table).",
    ),
)
def embed_without_a_layer(answer: Callable[..., torch.Tensor]) -> str:
    """Compare with PyTorch's layers, and ask for one token too many."""
    generator = torch.Generator().manual_seed(varied(0))
    tokens = torch.randn(11, 6, generator=generator)
    positions = torch.randn(5, 6, generator=generator)
    ids = torch.randint(5, 11, (3, 4), generator=generator)
    wanted = torch.nn.functional.embedding(ids, tokens) + positions[:4]
    given = answer(ids, tokens, positions)
    require(
        isinstance(given, torch.Tensor),
        f"expected a tensor, got {type(given).__name__}",
    )
    require(
        given.shape == wanted.shape,
        f"for ids of shape (3, 4) the result has shape {tuple(given.shape)}, "
        "expected (3, 4, 6)",
    )
    require(
        not torch.allclose(given, tokens[ids]),
        "the tokens' rows are there, but no position has been added",
    )
    require(
        not torch.allclose(given, tokens[ids] + positions[0]),
        "every token got the row of position 0",
    )
    require(
        not torch.allclose(given, tokens[ids] + positions[ids % 5]),
        "the rows of the position table were looked up by the ids; they belong to the "
        "places 0, 1, 2, ... in the text",
    )
    require(
        not torch.allclose(given, tokens[ids] + positions[1:5]),
        "the positions are counted from 1; the first token stands at 0",
    )
    require(torch.allclose(given, wanted), "the shape is right, the numbers are not")
    _require_error_with_numbers(answer, tokens, positions)
    return "Right: row of the token plus row of the place."


def _require_error_with_numbers(
    answer: Callable[..., torch.Tensor], tokens: torch.Tensor, positions: torch.Tensor
) -> None:
    answer(torch.zeros(1, 5, dtype=torch.long), tokens, positions)  # just fits
    for n in (6, 7):
        try:
            answer(torch.zeros(1, n, dtype=torch.long), tokens, positions)
        except ValueError as error:
            require(
                str(n) in str(error) and "5" in str(error),
                f"the message {str(error)!r} should name both numbers, here {n} and 5",
            )
        except Exception as error:
            require(
                False,
                f"{n} tokens with 5 positions raise {type(error).__name__}; look at "
                "the lengths first and raise a ValueError that says what is wrong",
            )
        else:
            require(False, f"{n} tokens with 5 positions should raise a ValueError")


@exercise(
    "2.10",
    "How large a vocabulary?",
    hints=(
        "Which part of the text may the tokenizer see, and which part is measured?",
        "BytePairTokenizer.train on the first part, .to_tiktoken(), then encode the "
        "last part. Bytes are counted after .encode() of the string.",
        "len(last.encode()) / len(encoding.encode(last)) for each size, where last is "
        "text[len(text) * 9 // 10:].",
    ),
)
def how_large_a_vocabulary(answer: Callable[[str, list[int]], dict[int, float]]) -> str:
    """Recompute, on a text in which characters and bytes differ."""
    old, new = "ea", "éa"
    for chance in fresh(1):
        old, new = chance.choice([("on", "ön"), ("er", "ér"), ("in", "ïn")])
    text = load_text("story").replace(old, new)
    cut = len(text) * 9 // 10
    given = answer(text, [300, 600])
    require(isinstance(given, dict), f"expected a dictionary, got {type(given)}")
    require(sorted(given) == [300, 600], f"expected sizes 300 and 600, got {[*given]}")
    small = _bytes_per_token(text[:cut], text[cut:], 300)
    wanted = _bytes_per_token(text[:cut], text[cut:], 600)
    first, last = float(given[600]), text[cut:]
    mistakes = {
        1 / wanted: "that is tokens per byte; turn the fraction round",
        _bytes_per_token(text, last, 600): "the vocabulary has been learned from the "
        "whole text, so the last tenth is not held out",
        _bytes_per_token(text[:cut], text, 600): "the whole text has been measured; "
        "only the last tenth counts",
        wanted * len(last) / len(last.encode()): "characters have been counted instead "
        "of bytes",
    }
    for value, message in mistakes.items():
        require(abs(first - value) > 1e-6, f"for 600 you get {first:.3f}: {message}")
    require(
        abs(first - wanted) < 1e-6,
        f"for 600 you get {first:.3f}, expected {wanted:.3f}",
    )
    require(
        abs(float(given[300]) - small) < 1e-6,
        f"600 is right, but for 300 you get {given[300]:.3f}, expected {small:.3f}",
    )
    return "Right. On the story, most of the gain is there by about 1,000 entries."


def _bytes_per_token(learn_from: str, measure: str, vocab_size: int) -> float:
    encoding = BytePairTokenizer.train(learn_from, vocab_size).to_tiktoken()
    return len(measure.encode()) / len(encoding.encode(measure))
