"""Our byte pair encoding beside compiled peers, in one run on the same text.

    python benchmarks/tokenizer.py [--text FILE] [--characters N] [--merges N]

Training is compared with the trainer of the package `tokenizers` (Rust), encoding with
`tiktoken` (Rust). Each figure is the median of five runs after one that does not count.
Without --text, the text is English that every Python installation carries.
"""

import argparse
import json
import platform
import pydoc_data.topics
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import tiktoken
import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from llmbook_utils.files.datasets import load_text
from llmbook_utils.tokenizer import (
    BytePairTokenizer,
    get_encoding,
    merge_pairs,
    ranks_of,
    visible_bytes,
)


def default_text(characters: int) -> str:
    """Python's own help pages and the book's story, and the sources of its library."""
    text = load_text("story") + "\n".join(pydoc_data.topics.topics.values())
    sources = sorted(Path(argparse.__file__).parent.glob("*.py"))
    while len(text) < characters and sources:
        text += sources.pop(0).read_text(encoding="utf-8", errors="ignore")
    return text[:characters]


def median_seconds(function: Callable[[], object], runs: int = 5) -> float:
    function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def train_peer(text: str, merges: int) -> Tokenizer:
    """The Rust trainer; with the bytes' ids as ours, it breaks ties as we do."""
    shown = visible_bytes()
    peer = Tokenizer(models.BPE())
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + merges,
        special_tokens=[shown[byte] for byte in range(256)],
        show_progress=False,
    )
    peer.train_from_iterator([text], trainer)
    return peer


def same_merges(ours: BytePairTokenizer, peer: Tokenizer) -> bool:
    shown = visible_bytes()
    encoding = ours.to_tiktoken()
    names = {
        i: "".join(shown[b] for b in token) for token, i in ranks_of(encoding).items()
    }
    mine = [[names[left], names[right]] for left, right in merge_pairs(encoding)]
    return mine == [list(pair) for pair in json.loads(peer.to_str())["model"]["merges"]]


def measure(text: str, merges: int) -> list[tuple[str, float, str, float]]:
    """Rows of (what, our seconds, peer, its seconds)."""
    vocab_size = 256 + merges + 1
    gpt2 = get_encoding("gpt2")
    ours = BytePairTokenizer(ranks_of(gpt2), {})
    part = text[:100_000]
    assert ours.encode(part) == gpt2.encode_ordinary(part)
    return [
        (
            f"train {merges:,} merges on {len(text):,} characters",
            median_seconds(lambda: BytePairTokenizer.train(text, vocab_size)),
            f"tokenizers {tokenizers.__version__}",
            median_seconds(lambda: train_peer(text, merges)),
        ),
        (
            f"encode {len(part):,} characters with GPT-2's vocabulary",
            median_seconds(lambda: ours.encode(part)),
            f"tiktoken {tiktoken.__version__}",
            median_seconds(lambda: gpt2.encode_ordinary(part)),
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", help="a text file, or the name of a data set")
    parser.add_argument("--characters", type=int, default=1_000_000)
    parser.add_argument("--merges", type=int, default=1_000)
    args = parser.parse_args()
    text = load_text(args.text) if args.text else default_text(args.characters)
    text = text[: args.characters]
    ours = BytePairTokenizer.train(text, 256 + args.merges + 1)
    print(f"Python {platform.python_version()}, {platform.machine()}")
    print("same merges:", same_merges(ours, train_peer(text, args.merges)))
    print("\n| what | ours, s | peer | peer, s | ours / peer |\n|---|---|---|---|---|")
    for what, mine, peer, theirs in measure(text, args.merges):
        ratio = mine / theirs
        print(f"| {what} | {mine:.3f} | {peer} | {theirs:.3f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
