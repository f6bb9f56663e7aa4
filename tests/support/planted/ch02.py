"""Wrong answers to chapter 2's exercises, and words that their verdicts must hold."""

import re

from llmbook_utils.data import SlidingWindowDataset
from llmbook_utils.tokenizer import WORD_SPLIT, BytePairTokenizer, get_encoding

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


PLANTED = {
    "2.1": [
        ("each word counted once", "counted once", ["ng", "ing", " r", "ings"]),
        ("tie the wrong way", "third round", ["ng", "ing", "ring", " ring"]),
        ("spaces left out", "begins with a space", ["ng", "ing", "ring", "rings"]),
        ("three tokens", "expected four", ["ng", "ing", " r"]),
    ],
    "2.2": [
        ("last target forgotten", "one too many", lambda n, t, s: (n - t) // s + 1),
        ("negative", "too few", lambda n, t, s: (n - t - 1) // s + 1),
        ("stride ignored", "but there are", lambda n, t, s: max(n - t, 0)),
    ],
    "2.3": [
        ("spaces dropped", "loses the spaces", lambda text: text.split()),
        ("spaces apart", "a piece of its own", spaces_apart),
        ("punctuation attached", "punctuation marks should", punctuation_attached),
        ("line breaks lost", "lost or added", line_breaks_lost),
    ],
    "2.4": [
        ("what encode gives", "just as you wrote it", GPT2.encode("the sea")),
        ("half a character", "half a character", GPT2.encode("🐢")[:1]),
        ("special token", "special token", [50256, 262]),
        ("no such id", "are no ids", [50300]),
        ("nothing", "is empty", []),
    ],
    "2.5": [
        ("each id alone", "still coming", each_id_alone),
        ("all at the end", "at once", all_at_the_end),
        ("half a character forgotten", "at last", half_character_forgotten),
    ],
    "2.6": [
        ("windows divided", "that is the leak", windows_divided),
        ("share for training", "validation begins at", share_for_training),
    ],
    "2.7": [
        ("no position", "no position has been added", no_position),
        ("first position only", "the row of position 0", first_position_only),
        ("no check", "look at the lengths first", no_check),
        ("silent cut", "should raise a ValueError", silent_cut),
    ],
    "2.8": [
        ("learned from all", "not held out", measured(1, True)),
        ("measured on all", "whole text has been measured", measured(0.9, False)),
        ("fraction upside down", "turn the fraction round", tokens_a_byte),
        ("characters", "instead of bytes", characters),
    ],
}
