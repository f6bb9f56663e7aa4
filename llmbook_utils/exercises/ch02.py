"""Checks of chapter 2's exercises. Not built on a page."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tiktoken
import torch

from llmbook_utils.data import SlidingWindowDataset
from llmbook_utils.exercises import exercise, require
from llmbook_utils.files.datasets import load_text
from llmbook_utils.tokenizer import BytePairTokenizer, get_encoding, learn_ranks


@exercise(
    "2.1",
    "Merge by hand",
    hints=(
        "Write the six words below one another, letter by letter, with ␣ for the space "
        "before a word. Which pair stands in all of them?",
        "The pair n, g occurs six times. After that merge, i stands before ng in five "
        "words. Then two pairs have four each: look at the rule for equals.",
        "␣ r (in ␣ring twice, ␣rings, ␣rang) and r ing (in ring, ␣ring twice, ␣rings) "
        "both occur four times. The space has the smaller id, so ␣r is made first; "
        "count once more for the fourth.",
    ),
)
def merge_by_hand(answer: Any) -> str:
    """Compare with the merges that the library learns from the same corpus."""
    corpus = "ring ring ring rings rang sings"
    right = [token.decode() for token in list(learn_ranks(corpus, 260))[256:]]
    distinct = learn_ranks("ring ring rings rang sings", 260)
    once = [token.decode() for token in list(distinct)[256:]]
    require(
        isinstance(answer, list) and all(isinstance(token, str) for token in answer),
        f"expected a list of four strings, got {answer!r}",
    )
    answer = [token.replace("␣", " ") for token in answer]
    require(len(answer) == 4, f"expected four new tokens, got {len(answer)}")
    require(answer != ["ng", "ing", "ring", " ring"], _TIE)
    require(
        any(token.startswith(" ") for token in answer),
        "none of your tokens begins with a space, but five of the six words do; "
        "the space takes part in the merges like any letter",
    )
    require(
        answer != once,
        "it looks as if each different word was counted once; ring with a space before "
        "it occurs twice, and so do its pairs",
    )
    for at, (given, wanted) in enumerate(zip(answer, right, strict=True), start=1):
        require(given == wanted, f"merge {at} is not {given!r}; count the pairs again")
    return "Right: ng, ing, ␣r and ␣ring, with a tie in the third round."


_TIE = (
    "the first two are right; in the third round two pairs occur four times, and of "
    "equals the one with the smaller ids wins: the space is byte 32"
)


@exercise(
    "2.2",
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
    cases = [
        (6, 3, 2),
        (6, 3, 3),
        (1000, 10, 10),
        (1001, 10, 10),
        (50, 7, 1),
        (5, 4, 2),
    ]
    for n_ids, context_length, stride in cases:
        wanted = len(SlidingWindowDataset(range(n_ids), context_length, stride))
        given = answer(n_ids, context_length, stride)
        call = f"count_windows({n_ids}, {context_length}, {stride})"
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
    "2.3",
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
    given = list(answer('late!"'))
    require(
        given == ["late", "!", '"'],
        f"split('late!\"') gives {given!r}: each punctuation mark is its own piece",
    )
    return "Right: nothing is lost, and each space before a word belongs to it."


@exercise(
    "2.4",
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
    "2.5",
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
    for text in ("Plain.", "ok 🐢!", "né समुद्र 海\n", ""):
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
    "2.6",
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
    for n_ids, share, stride in ((1000, 0.1, 2), (403, 0.25, 5)):
        training, validation = answer(list(range(n_ids)), share, 8, stride)
        seen, held = _tokens(training), _tokens(validation)
        shared = sorted(seen & held)
        require(
            not shared,
            f"{len(shared)} tokens are in both sets, for example number {shared[:1]}; "
            "that is the leak",
        )
        require(min(seen) == 0, f"training begins at token {min(seen)}, expected 0")
        require(
            min(held) > max(seen),
            "validation should be the last part of the ids, and training the first",
        )
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


def _tokens(dataset: Any) -> set[int]:
    items = [dataset[index] for index in range(len(dataset))]
    return {int(id) for inputs, targets in items for id in (*inputs, targets[-1])}


@exercise(
    "2.7",
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
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(11, 6, generator=generator)
    positions = torch.randn(5, 6, generator=generator)
    ids = torch.randint(5, 11, (3, 4), generator=generator)
    wanted = torch.nn.functional.embedding(ids, tokens) + positions[:4]
    _require_error_with_numbers(answer, tokens, positions)
    given = answer(ids, tokens, positions)
    require(isinstance(given, torch.Tensor), f"expected a tensor, got {type(given)}")
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
    require(torch.allclose(given, wanted), "the shape is right, the numbers are not")
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
    "2.8",
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
    text = load_text("story").replace("ea", "éa")
    cut = len(text) * 9 // 10
    given = answer(text, [300, 600])
    require(isinstance(given, dict), f"expected a dictionary, got {type(given)}")
    require(sorted(given) == [300, 600], f"expected sizes 300 and 600, got {[*given]}")
    small = _bytes_per_token(text[:cut], text[cut:], 300)
    wanted = _bytes_per_token(text[:cut], text[cut:], 600)
    first, last = float(given[600]), text[cut:]
    mistakes = {
        1 / wanted: "that is tokens a byte; turn the fraction round",
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
