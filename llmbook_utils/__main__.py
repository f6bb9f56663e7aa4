"""Continue a text with a model, in the terminal.

python -m llmbook_utils "Once upon a time"
"""

import argparse
from collections.abc import Sequence

from llmbook_utils.generate import stream_text
from llmbook_utils.pretrained import load_pretrained


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m llmbook_utils",
        description="Continue a text with a model.",
        epilog="mini, the book's own small model, needs no network. It was trained on "
        "old children's books: it writes their English, and knows nothing.",
    )
    option = parser.add_argument
    option("prompt", nargs="?", default="", help="the text to go on from")
    option(
        "--model",
        default="mini",
        metavar="NAME",
        help="mini (the default), gpt2, "
        "gpt2-medium, gpt2-large, gpt2-xl, or the path of a folder",
    )
    option(
        "--tokens",
        type=int,
        default=100,
        metavar="N",
        help="how many to write at most (default %(default)s)",
    )
    option(
        "--temperature",
        type=float,
        default=0.7,
        metavar="T",
        help="0: always the most probable token (default %(default)s)",
    )
    option("--top-k", type=int, metavar="K", help="draw from the K most probable only")
    option(
        "--top-p",
        type=float,
        default=0.95,
        metavar="P",
        help="draw from the fewest tokens that have the probability P together "
        "(default %(default)s)",
    )
    option(
        "--min-p",
        type=float,
        metavar="P",
        help="draw from tokens that are at least P times as probable as the first",
    )
    option(
        "--repetition-penalty",
        type=float,
        default=1.0,
        metavar="F",
        help="above 1: what was said becomes less likely (default %(default)s)",
    )
    option("--seed", type=int, metavar="N", help="the same number gives the same text")
    given = vars(parser.parse_args(arguments))
    name, prompt, tokens = (given.pop(key) for key in ("model", "prompt", "tokens"))
    try:
        model, tokenizer = load_pretrained(name)
        text = stream_text(model, tokenizer, prompt, tokens, keep_last=True, **given)
        print(prompt, end="", flush=True)
        for piece in text:
            print(piece, end="", flush=True)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        pass  # enough was read
    print()


if __name__ == "__main__":
    main()
