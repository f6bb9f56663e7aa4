"""The command `llmbook`: write with a model, prepare texts, pretrain on them.

Not built on a page: options, messages and exit codes, around functions that are. It
ends with 0 when all went well, 1 after an error that it names, 2 for options that make
no sense, and 130 when it was interrupted.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shtab

Settings = dict[str, Any]  # of one option, as argparse has them, and what completes it
FOLDER = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}


@dataclass(frozen=True)
class Command:
    """One command: what it does, in a line and in code, and its options."""

    help: str
    run: Callable[[argparse.Namespace], None]
    options: dict[str, Settings] = field(default_factory=dict)
    epilog: str | None = None

    def add_to(self, commands: Any, name: str) -> None:
        """Add the command to those of the parser."""
        text = f"{self.help[0].upper()}{self.help[1:]}."
        parser = commands.add_parser(
            name, help=self.help, description=text, epilog=self.epilog
        )
        for flag, settings in self.options.items():
            known = {key: value for key, value in settings.items() if key != "complete"}
            option = parser.add_argument(flag, **known)
            if "complete" in settings:
                option.complete = settings["complete"]  # where shtab looks for it
        parser.set_defaults(run=self.run)


WRITE: dict[str, Settings] = {
    "prompt": {"nargs": "?", "default": "", "help": "the text to continue"},
    "--model": {
        "default": "mini",
        "metavar": "NAME",
        "complete": FOLDER,
        "help": "mini (the default), gpt2, gpt2-medium, gpt2-large, gpt2-xl, or the "
        "path of a folder",
    },
    "--device": {
        "default": "auto",
        "metavar": "NAME",
        "help": "cpu, cuda, mps, or auto (the default): a GPU where there is one",
    },
    "--tokens": {
        "type": int,
        "default": 100,
        "metavar": "N",
        "help": "how many to write at most (default %(default)s)",
    },
    "--temperature": {
        "type": float,
        "default": 0.7,
        "metavar": "T",
        "help": "0: always the most probable token (default %(default)s)",
    },
    "--top-k": {
        "type": int,
        "metavar": "K",
        "help": "draw from the K most probable only",
    },
    "--top-p": {
        "type": float,
        "default": 0.95,
        "metavar": "P",
        "help": "draw from the fewest tokens that have the probability P together "
        "(default %(default)s)",
    },
    "--min-p": {
        "type": float,
        "metavar": "P",
        "help": "draw from tokens that are at least P times as probable as the first",
    },
    "--repetition-penalty": {
        "type": float,
        "default": 1.0,
        "metavar": "F",
        "help": "above 1: what was said becomes less likely (default %(default)s)",
    },
    "--seed": {
        "type": int,
        "metavar": "N",
        "help": "the same number gives the same text",
    },
}
PREPARE: dict[str, Settings] = {
    "source": {
        "complete": shtab.FILE,
        "help": "a folder of .txt files, or a manifest (.tsv with columns file and, "
        "where wanted, split and repeat)",
    },
    "--out": {
        "required": True,
        "metavar": "FOLDER",
        "complete": FOLDER,
        "help": "a new folder for the tokens",
    },
    "--tokenizer": {
        "default": "gpt2",
        "metavar": "NAME",
        "complete": FOLDER,
        "help": "gpt2 (the default) or a folder with vocab.json and merges.txt",
    },
    "--vocab-size": {
        "type": int,
        "metavar": "N",
        "help": "learn a tokenizer of N tokens from the texts instead",
    },
    "--sample": {
        "type": int,
        "default": 20_000_000,
        "metavar": "CHARACTERS",
        "help": "how much text the tokenizer is learned from (default %(default)s)",
    },
    "--validation-share": {
        "type": float,
        "default": 0.05,
        "metavar": "SHARE",
        "help": "the end of each text that is kept for validation, where the manifest "
        "does not say (default %(default)s)",
    },
    "--leave-out": {
        "type": Path,
        "metavar": "FILE",
        "complete": shtab.FILE,
        "help": "drop the paragraphs that hold a word of this file, one per line, from "
        "the training part",
    },
    "--processes": {"type": int, "metavar": "N", "help": "default: one per core"},
}
TRAIN: dict[str, Settings] = {
    "tokens": {"complete": FOLDER, "help": "a folder that llmbook prepare has made"},
    "--recipe": {
        "required": True,
        "metavar": "FILE",
        "complete": shtab.FILE,
        "help": "the model's shape and all settings as TOML, such as "
        "profiles/mini.toml",
    },
    "--out": {
        "required": True,
        "metavar": "FOLDER",
        "complete": FOLDER,
        "help": "for checkpoints, metrics and the model",
    },
    "--steps": {
        "type": int,
        "metavar": "N",
        "help": "another number of optimizer steps",
    },
    "--seed": {"type": int, "metavar": "N", "help": "another seed"},
}


def write(given: argparse.Namespace) -> None:
    """Print the prompt and, token by token, its continuation."""
    # imported here, as in the other commands: help should not wait for PyTorch
    from llmbook_utils.generate import Sampling, stream_text
    from llmbook_utils.pretrained import load_pretrained

    sampling = Sampling(
        given.temperature,
        given.top_k,
        given.top_p,
        given.min_p,
        given.repetition_penalty,
    )
    model, tokenizer = load_pretrained(given.model, device=given.device)
    text = stream_text(
        model,
        tokenizer,
        given.prompt,
        given.tokens,
        sampling,
        seed=given.seed,
        keep_last=True,
    )
    print(given.prompt, end="", flush=True)
    for piece in text:
        print(piece, end="", flush=True)
    print()


def prepare(given: argparse.Namespace) -> None:
    """Prepare texts, and say what was written."""
    from llmbook_utils.files import shards

    words = given.leave_out.read_text("utf-8").split() if given.leave_out else ()
    index = shards.prepare(
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


def train(given: argparse.Namespace) -> None:
    """Train, and say how well the model does."""
    from llmbook_utils.pretrain import pretrain
    from llmbook_utils.runs.recipe import read_recipe

    asked = {"steps": given.steps, "seed": given.seed}
    changes = {name: value for name, value in asked.items() if value is not None}
    recipe = read_recipe(given.recipe, **changes)
    history = pretrain(given.tokens, given.out, recipe)
    if history.records:
        last = history.records[-1]
        print("step {step}: loss {loss:.3f}".format(**last), end="")
        print(f", validation {last['val_loss']:.3f}" if "val_loss" in last else "")
    print(f"the model is in {Path(given.out) / 'model'}")


def completion(given: argparse.Namespace) -> None:
    """Print the script with which a shell completes commands and options."""
    print(shtab.complete(create_parser(), shell=given.shell))


COMMANDS = {
    "write": Command(
        "continue a text with a model",
        write,
        WRITE,
        "mini, the book's own small model, needs no network. It was trained on old "
        "children's books, stories and novels: it writes their English, and knows "
        "nothing.",
    ),
    "prepare": Command("turn texts into files of tokens", prepare, PREPARE),
    "train": Command(
        "pretrain a model on prepared tokens, or continue a run that was stopped",
        train,
        TRAIN,
        "With several processes: torchrun --nproc-per-node 2 -m llmbook_utils train "
        "... They share each batch, and learn what one process would.",
    ),
    "completion": Command(
        "print a script that makes your shell complete all this",
        completion,
        {"shell": {"choices": ("bash", "zsh", "tcsh")}},
        'For bash, add this line to ~/.bashrc: eval "$(llmbook completion bash)"',
    ),
}


def create_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = argparse.ArgumentParser(
        prog="llmbook",
        description="The models of the book, in the terminal.",
        epilog="llmbook COMMAND --help says more of each.",
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )
    for name, command in COMMANDS.items():
        command.add_to(commands, name)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; an error that its user can mend becomes one line."""
    parser = create_parser()
    given = parser.parse_args(arguments)
    prog = f"{parser.prog} {given.command}"
    try:
        given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has had enough
        # Python flushes once more when it ends, and would complain about the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (ValueError, OSError, ArithmeticError) as error:
        parser.exit(1, f"{prog}: {error}\n")
    except KeyboardInterrupt as error:
        parser.exit(130, f"\n{prog}: {str(error) or 'interrupted'}\n")
