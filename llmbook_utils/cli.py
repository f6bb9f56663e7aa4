"""Pretraining as a command: texts to files of tokens, and a model trained on them.

Not built on a page of the book: the options of `python -m llmbook_utils.pretrain`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmbook_utils.files.shards import prepare
from llmbook_utils.pretrain import pretrain
from llmbook_utils.runs.recipe import read_recipe


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m llmbook_utils.pretrain",
        description="Turn texts into tokens, and train a model on them.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_prepare(commands)
    add_train(commands)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog} {given.command}: {error}\n")
    except KeyboardInterrupt as error:
        parser.exit(130, f"{error}\n")


def add_prepare(commands: Any) -> None:
    """The options of `prepare`."""
    text = "turn texts into shards of tokens, with several processes"
    parser = commands.add_parser("prepare", help=text, description=text)
    option = parser.add_argument
    option(
        "source",
        help="a folder of .txt files, or a manifest (.tsv with columns "
        "file and, where wanted, split and repeat)",
    )
    option("--out", required=True, metavar="FOLDER", help="a new folder for the tokens")
    option(
        "--tokenizer",
        default="gpt2",
        help="gpt2 (the default) or a folder with vocab.json and merges.txt",
    )
    option(
        "--vocab-size",
        type=int,
        metavar="N",
        help="learn a tokenizer of N tokens from the texts instead",
    )
    option(
        "--sample",
        type=int,
        default=20_000_000,
        metavar="CHARACTERS",
        help="how much text the tokenizer is learned from (default %(default)s)",
    )
    option(
        "--validation-share",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="the end of each text that is kept for validation, where the manifest "
        "does not say (default %(default)s)",
    )
    option(
        "--leave-out",
        type=Path,
        metavar="FILE",
        help="drop the paragraphs that "
        "hold a word of this file, one a line, from the training part",
    )
    option("--processes", type=int, metavar="N", help="default: one a core")
    parser.set_defaults(run=run_prepare)


def run_prepare(given: argparse.Namespace) -> None:
    words = given.leave_out.read_text("utf-8").split() if given.leave_out else ()
    index = prepare(
        given.source,
        given.out,
        tokenizer=given.tokenizer,
        vocab_size=given.vocab_size,
        sample=given.sample,
        validation_share=given.validation_share,
        left_out=words,
        processes=given.processes,
    )
    for shard in index["shards"]:
        print(
            "{file}: {texts} texts, {tokens:,} tokens, {bytes:,} bytes".format(**shard)
        )


def add_train(commands: Any) -> None:
    """The options of `train`."""
    text = "train a model on prepared tokens, or go on with a run that was stopped"
    parser = commands.add_parser(
        "train",
        help=text,
        description=text,
        epilog=(
            "With several processes: torchrun --nproc-per-node 2 -m "
            "llmbook_utils.pretrain train ... They share each batch, and learn what "
            "one process would."
        ),
    )
    option = parser.add_argument
    option("tokens", help="a folder that prepare has made")
    option(
        "--recipe",
        required=True,
        metavar="FILE",
        help="the model's shape and all settings as TOML, such as profiles/mini.toml",
    )
    option(
        "--out",
        required=True,
        metavar="FOLDER",
        help="for checkpoints, metrics and the model",
    )
    option("--steps", type=int, help="another number of optimizer steps")
    option("--seed", type=int, help="another seed")
    parser.set_defaults(run=run_train)


def run_train(given: argparse.Namespace) -> None:
    asked = {"steps": given.steps, "seed": given.seed}
    changes = {name: value for name, value in asked.items() if value is not None}
    recipe = read_recipe(given.recipe, **changes)
    history = pretrain(given.tokens, given.out, recipe)
    if history.records:
        last = history.records[-1]
        print("step {step}: loss {loss:.3f}".format(**last), end="")
        print(f", validation {last['val_loss']:.3f}" if "val_loss" in last else "")
    print(f"the model is in {Path(given.out) / 'model'}")
