"""Wrong answers to chapter 2's exercises, and words that their verdicts must hold."""

import re
from collections import Counter
from itertools import pairwise

from llmbook_utils.data import SlidingWindowDataset
from llmbook_utils.tokenizer import (
    WORD_SPLIT,
    BytePairTokenizer,
    get_encoding,
    learn_ranks,
    merge,
    pretokenize,
)

GPT2 = get_encoding("gpt2")


def spaces_apart(text):
    return re.findall(WORD_SPLIT + r"|\s", text)


def punctuation_attached(text):
    first, *rest = text.split(" ")
    return [first, *(" " + piece for piece in rest)]


def line_breaks_lost(text):
    return re.findall(" ?" + WORD_SPLIT + "| ", text)


def each_id_alone(ids, encoding):
    for id in ids:
        yield encoding.decode([id])


def all_at_the_end(ids, encoding):
    if text := encoding.decode(list(ids)):
        yield text


def half_character_forgotten(ids, encoding):
    held = b""
    for id in ids:
        held += encoding.decode_single_token_bytes(id)
        try:
            text = held.decode()
        except UnicodeDecodeError:
            continue
        held = b""
        yield text


def windows_divided(ids, share, context_length, stride):
    windows = SlidingWindowDataset(ids, context_length, stride)
    cut = len(windows) - round(len(windows) * share)
    return [windows[i] for i in range(cut)], [
        windows[i] for i in range(cut, len(windows))
    ]


def share_for_training(ids, share, context_length, stride):
    cut = round(len(ids) * share)
    return (
        SlidingWindowDataset(ids[:cut], context_length, stride),
        SlidingWindowDataset(ids[cut:], context_length, stride),
    )


def no_position(ids, tokens, positions):
    if ids.shape[1] > len(positions):
        raise ValueError(f"{ids.shape[1]} tokens, {len(positions)} positions")
    return tokens[ids]


def first_position_only(ids, tokens, positions):
    if ids.shape[1] > len(positions):
        raise ValueError(f"{ids.shape[1]} tokens, {len(positions)} positions")
    return tokens[ids] + positions[0]


def no_check(ids, tokens, positions):
    return tokens[ids] + positions[: ids.shape[1]]


def silent_cut(ids, tokens, positions):
    ids = ids[:, : len(positions)]
    return tokens[ids] + positions[: ids.shape[1]]


def measured(learn_share, measure_from):
    def answer(text, sizes):
        cut = len(text) * 9 // 10
        learn = text if learn_share == 1 else text[:cut]
        last = text[cut:] if measure_from else text
        encodings = {s: BytePairTokenizer.train(learn, s).to_tiktoken() for s in sizes}
        return {
            s: len(last.encode()) / len(e.encode(last)) for s, e in encodings.items()
        }

    return answer


def tokens_a_byte(text, sizes):
    return {size: 1 / value for size, value in measured(0.9, True)(text, sizes).items()}


def characters(text, sizes):
    last = text[len(text) * 9 // 10 :]
    bytes_a_token = measured(0.9, True)(text, sizes)
    return {s: v * len(last) / len(last.encode()) for s, v in bytes_a_token.items()}


def line_breaks_glued(text):
    return re.findall(r"[ \n]?" + WORD_SPLIT + r"|\s", text.replace("\t", "\t"))


def tabs_glued(text):
    return re.findall(r"[ \t]?" + WORD_SPLIT + r"|\s", text)


def words_broken(text):
    return re.findall(r" ?\w+|[^\w\s]|\s", text)


def empty_strings(ids, encoding):
    yield ""
    yield encoding.decode(list(ids))


def strict_decoding(ids, encoding):
    for id in ids:
        yield encoding.decode_single_token_bytes(id).decode()


def merge_returns_nothing(ids, pair, new):
    merge(ids, pair, new)


def merge_in_place(ids, pair, new):
    ids[:] = merge(ids, pair, new)
    return ids


def merge_first_only(ids, pair, new):
    for i in range(len(ids) - 1):
        if (ids[i], ids[i + 1]) == pair:
            return [*ids[:i], new, *ids[i + 2 :]]
    return ids


def merge_keeps_second(ids, pair, new):
    return [new if tuple(ids[i : i + 2]) == pair else ids[i] for i in range(len(ids))]


def merge_moves_three(ids, pair, new):
    merged, i = [], 0
    while i < len(ids):
        found = tuple(ids[i : i + 2]) == pair
        merged.append(new if found else ids[i])
        i += 3 if found else 1
    return merged


def merge_loses_last(ids, pair, new):
    merged, i = [], 0
    while i < len(ids) - 1:
        found = (ids[i], ids[i + 1]) == pair
        merged.append(new if found else ids[i])
        i += 2 if found else 1
    return merged


def merge_singles(ids, pair, new):
    return [new if id in pair else id for id in ids]


def merge_pair_stays(ids, pair, new):
    return [pair if id == new else id for id in merge(ids, pair, new)]


def merge_removes(ids, pair, new):
    return [id for id in merge(ids, pair, new) if id != new]


def merge_without_bound(ids, pair, new):
    merged, i = [], 0
    while i < len(ids):
        found = (ids[i], ids[i + 1]) == pair
        merged.append(new if found else ids[i])
        i += 2 if found else 1
    return merged


def merge_either_order(ids, pair, new):
    merged, i = [], 0
    while i < len(ids):
        found = sorted(ids[i : i + 2]) == sorted(pair)
        merged.append(new if found else ids[i])
        i += 2 if found else 1
    return merged


def merge_uses_twice(ids, pair, new):
    merged = []
    for i in range(len(ids)):
        if tuple(ids[i : i + 2]) == pair:
            merged.append(new)
        elif i == 0 or (ids[i - 1], ids[i]) != pair:
            merged.append(ids[i])
    return merged


def merge_from_right(ids, pair, new):
    return merge(ids[::-1], pair[::-1], new)[::-1]


def learned(text, n):
    return list(learn_ranks(text, 256 + n))[256:]


def with_the_bytes(text, n):
    return list(learn_ranks(text, 256 + n))


def smaller(counts):
    return max(counts, key=lambda pair: (counts[pair], -pair[0], -pair[1]))


def loop(chunks, n, choose=smaller, join=lambda left, right: left + right):
    chunks = [list(chunk) for chunk in chunks]
    tokens = [bytes([byte]) for byte in range(256)]
    for new_id in range(256, 256 + n):
        counts = Counter(pair for chunk in chunks for pair in pairwise(chunk))
        best = choose(counts)
        tokens.append(join(tokens[best[0]], tokens[best[1]]))
        chunks = [merge(chunk, best, new_id) for chunk in chunks]
    return tokens[256:]


def same_pair_again(text, n):
    return learned(text, 1) * n


def counted_once(text, n):
    counts = Counter(pair for chunk in pretokenize(text) for pair in pairwise(chunk))
    ranked = sorted(counts, key=lambda pair: (-counts[pair], *pair))
    return [bytes(pair) for pair in ranked[:n]]


def across_words(text, n):
    return loop([text.encode()], n)


def larger_ids(text, n):
    def choose(counts):
        return max(counts, key=lambda pair: (counts[pair], *pair))

    return loop(pretokenize(text), n, choose)


def first_met(text, n):
    return loop(pretokenize(text), n, lambda counts: max(counts, key=counts.get))


def rarest(text, n):
    def choose(counts):
        return min(counts, key=lambda pair: (counts[pair], *pair))

    return loop(pretokenize(text), n, choose)


def distinct_chunks(text, n):
    return loop(dict.fromkeys(pretokenize(text)), n)


def no_spaces(text, n):
    return loop([word.encode() for word in text.split()], n)


def turned_parts(text, n):
    return loop(pretokenize(text), n, join=lambda left, right: right + left)


def by_hand_only(text, n):
    hand = [b"ea", b"sea", b" sea", b" seal"]
    return hand if n == 4 and text.startswith("sea") else [b"ea", b"th"] * (n // 2)


def datasets(ids, cut, context_length, stride):
    return (
        SlidingWindowDataset(ids[:cut], context_length, stride),
        SlidingWindowDataset(ids[cut:], context_length, stride),
    )


def cut_of(ids, share):
    return len(ids) - round(len(ids) * share)


def all_in_training(ids, share, context_length, stride):
    _, validation = datasets(ids, cut_of(ids, share), context_length, stride)
    return SlidingWindowDataset(ids, context_length, stride), validation


def validation_first(ids, share, context_length, stride):
    return datasets(ids, cut_of(ids, share), context_length, stride)[::-1]


def first_part_held(ids, share, context_length, stride):
    return datasets(ids, round(len(ids) * share), context_length, stride)[::-1]


def every_tenth(ids, share, context_length, stride):
    step = round(1 / share)
    kept = [id for at, id in enumerate(ids) if at % step != step // 2]
    return (
        SlidingWindowDataset(kept, context_length, stride),
        SlidingWindowDataset(ids[step // 2 :: step], context_length, stride),
    )


def gap_before_validation(ids, share, context_length, stride):
    cut = cut_of(ids, share)
    return (
        SlidingWindowDataset(ids[: cut - 20], context_length, stride),
        SlidingWindowDataset(ids[cut:], context_length, stride),
    )


def lists_of_ids(ids, share, context_length, stride):
    return ids[: cut_of(ids, share)], ids[cut_of(ids, share) :]


def one_dataset(ids, share, context_length, stride):
    return SlidingWindowDataset(ids[: cut_of(ids, share)], context_length, stride)


def stride_ignored(ids, share, context_length, stride):
    return datasets(ids, cut_of(ids, share), context_length, 1)


def only_whole_ids(ids, share, context_length, stride):
    return SlidingWindowDataset(ids, context_length, stride), []


def swapped(ids, share, context_length, stride):
    return datasets(ids, cut_of(ids, share), stride, context_length)


def positions_by_ids(ids, tokens, positions):
    return tokens[ids] + positions[ids % len(positions)]


def positions_from_one(ids, tokens, positions):
    return tokens[ids] + positions[1 : ids.shape[1] + 1]


def as_lists(ids, tokens, positions):
    return (tokens[ids] + positions[: ids.shape[1]]).tolist()


def summed(ids, tokens, positions):
    return (tokens[ids] + positions[: ids.shape[1]]).sum(dim=0)


def no_numbers(ids, tokens, positions):
    if ids.shape[1] > len(positions):
        raise ValueError("too long")
    return tokens[ids] + positions[: ids.shape[1]]


PLANTED = {
    "2.1": [
        ("nothing done", "nothing has been merged", lambda ids, pair, new: list(ids)),
        ("nothing returned", "returns None", merge_returns_nothing),
        ("a number", "expected a list of ids", lambda ids, pair, new: new),
        ("in place", "has changed the list", merge_in_place),
        ("first occurrence only", "only the first occurrence", merge_first_only),
        ("second id kept", "is still there", merge_keeps_second),
        ("three places on", "not three", merge_moves_three),
        ("last id lost", "the last id is missing", merge_loses_last),
        ("each id for itself", "together they make one", merge_singles),
        ("the pair itself", "the pair stands in it", merge_pair_stays),
        ("pair taken out", "256 is not there", merge_removes),
        ("no neighbor", "the last id has no neighbor", merge_without_bound),
        ("either order", "is a different pair", merge_either_order),
        ("used twice", "used twice", merge_uses_twice),
        ("from the right", "from left to right", merge_from_right),
        ("not a function", "expected a function", [115, 256]),
    ],
    "2.2": [
        ("nothing returned", "returns None", lambda text, n: print(end="")),
        ("a number", "expected 4 tokens", lambda text, n: n),
        ("ids", "bytes of each new", lambda text, n: list(range(256, 256 + n))),
        ("with the bytes", "single bytes out", with_the_bytes),
        ("one too few", "gives 3 tokens", lambda text, n: learned(text, n - 1)),
        ("no merge", "the same pair wins each time", same_pair_again),
        ("counted once", "once and for all", counted_once),
        ("across words", "reach across words", across_words),
        ("larger ids", "with the larger ids", larger_ids),
        ("first met", "the one met first", first_met),
        ("rarest", "the rarest pair", rarest),
        ("distinct chunks", "each different chunk", distinct_chunks),
        ("no spaces", "no token begins with a space", no_spaces),
        ("wrong way round", "the wrong way round", turned_parts),
        ("sorted", "not in the order", lambda text, n: sorted(learned(text, n))),
        ("by hand only", "by hand are right, but", by_hand_only),
        ("not a function", "expected a function", [b"ea"]),
    ],
    "2.3": [
        ("windows divided", "that is the leak", windows_divided),
        ("share for training", "validation begins at", share_for_training),
        ("all in training", "lies wholly in the other", all_in_training),
        ("validation first", "in the other order", validation_first),
        ("the first part", "yours is the first", first_part_held),
        ("every tenth id", "take turns", every_tenth),
        ("a gap", "although it could reach", gap_before_validation),
        ("lists of ids", "not a pair of inputs and targets", lists_of_ids),
        ("one dataset", "should return two datasets", one_dataset),
        ("stride ignored", "but there are 892", stride_ignored),
        ("share in percent", "has no window at all", only_whole_ids),
        ("length and stride swapped", "the first of 2", swapped),
    ],
    "2.4": [
        ("each word counted once", "counted once", ["ng", "ing", " r", "ings"]),
        ("tie the wrong way", "third round", ["ng", "ing", "ring", " ring"]),
        ("spaces left out", "begins with a space", ["ng", "ing", "ring", "rings"]),
        ("three tokens", "expected four", ["ng", "ing", " r"]),
        ("a word", "one by one", "ng ing"),
        ("bytes as numbers", "is no text", [1, 2, 3, 4]),
    ],
    "2.5": [
        ("last target forgotten", "one too many", lambda n, t, s: (n - t) // s + 1),
        ("negative", "are too few for", lambda n, t, s: (n - t - 1) // s + 1),
        ("stride ignored", "but there are", lambda n, t, s: max(n - t, 0)),
        ("no rounding", "so round down", lambda n, t, s: (n - t - 1) / s + 1),
        (
            "first window forgotten",
            "one too few",
            lambda n, t, s: max((n - t - 1) // s, 0),
        ),
        ("nothing returned", "returns None", lambda n, t, s: print(end="")),
        ("a number", "a function of three numbers", 2),
    ],
    "2.6": [
        ("spaces dropped", "loses the spaces", lambda text: text.split()),
        ("spaces apart", "a piece of its own", spaces_apart),
        ("punctuation attached", "punctuation marks should", punctuation_attached),
        ("line breaks lost", "lost or added", line_breaks_lost),
        ("line breaks glued", "a line break is not a space", line_breaks_glued),
        ("tabs glued", "a tab is not a space", tabs_glued),
        ("words broken", "should stay whole", words_broken),
    ],
    "2.7": [
        ("what encode gives", "just as you wrote it", GPT2.encode("the sea")),
        ("half a character", "half a character", GPT2.encode("🐢")[:1]),
        ("special token", "special token", [50256, 262]),
        ("no such id", "are no ids", [50300]),
        ("nothing", "is empty", []),
    ],
    "2.8": [
        ("each id alone", "still coming", each_id_alone),
        ("all at the end", "at once", all_at_the_end),
        ("half a character forgotten", "at last", half_character_forgotten),
        ("text first", "an empty string", empty_strings),
        ("strict decoding", "UnicodeDecodeError", strict_decoding),
    ],
    "2.9": [
        ("no position", "no position has been added", no_position),
        ("first position only", "the row of position 0", first_position_only),
        ("no check", "look at the lengths first", no_check),
        ("silent cut", "should raise a ValueError", silent_cut),
        ("positions by ids", "looked up by the ids", positions_by_ids),
        ("positions from 1", "counted from 1", positions_from_one),
        ("lists", "expected a tensor", as_lists),
        ("tokens added over the batch", "has shape", summed),
        ("no numbers in the message", "name both numbers", no_numbers),
    ],
    "2.10": [
        ("learned from all", "not held out", measured(1, True)),
        ("measured on all", "whole text has been measured", measured(0.9, False)),
        ("fraction upside down", "turn the fraction round", tokens_a_byte),
        ("characters", "instead of bytes", characters),
    ],
}
