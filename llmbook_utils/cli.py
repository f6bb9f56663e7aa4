"""The command `llmbook`: write, pretrain, classify, instruct, run the notebooks.

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


@dataclass(frozen=True)
class Group:
    """A command that has commands of its own."""

    help: str
    commands: dict[str, Command]

    def add_to(self, commands: Any, name: str) -> None:
        """Add the group to the commands of the parser."""
        text = f"{self.help[0].upper()}{self.help[1:]}."
        parser = commands.add_parser(name, help=self.help, description=text)
        inner = parser.add_subparsers(
            dest="inner", required=True, metavar="COMMAND", title="commands"
        )
        for part, command in self.commands.items():
            command.add_to(inner, part)


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
    "--stream": {
        "action": "store_true",
        "help": "the source is a data set of the Hugging Face hub, or a .jsonl, "
        ".parquet or .csv file, that is read row by row and never stored (needs the "
        "library datasets)",
    },
    "--column": {
        "default": "text",
        "metavar": "NAME",
        "help": "with --stream: where the text of a row is (default %(default)s)",
    },
    "--rows": {
        "type": int,
        "metavar": "N",
        "help": "with --stream: how many rows to read at most",
    },
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

LABELED: dict[str, Settings] = {
    "file": {
        "complete": shtab.FILE,
        "help": "label, tab and text on each line; sms-spam: the book's collection; "
        "-: standard input",
    }
}
CLASSIFIER: dict[str, Settings] = {
    "--classifier": {
        "required": True,
        "metavar": "FOLDER",
        "complete": FOLDER,
        "help": "what llmbook classify train has written",
    },
    "--device": WRITE["--device"],
}
CLASSIFY_TRAIN: dict[str, Settings] = LABELED | {
    "--out": {
        "required": True,
        "metavar": "FOLDER",
        "complete": FOLDER,
        "help": "for the classifier",
    },
    "--model": WRITE["--model"],
    "--device": WRITE["--device"],
    "--labels": {
        "nargs": 2,
        "default": ["ham", "spam"],
        "metavar": ("OTHER", "WANTED"),
        "help": "the two labels of the file; the second is looked for (default ham "
        "spam)",
    },
    "--balance": {
        "action": "store_true",
        "help": "train on as many messages of one label as of the other, and correct "
        "the probabilities",
    },
    "--epochs": {
        "type": int,
        "default": 2,
        "metavar": "N",
        "help": "passes over the training part (default %(default)s)",
    },
    "--lr": {
        "type": float,
        "default": 5e-4,
        "metavar": "RATE",
        "help": "the learning rate of the first step (default %(default)s)",
    },
    "--max-length": {
        "type": int,
        "default": 128,
        "metavar": "N",
        "help": "tokens that are read of a text (default %(default)s)",
    },
    "--seed": {
        "type": int,
        "default": 0,
        "metavar": "N",
        "help": "the same number gives the same classifier (default %(default)s)",
    },
}
EVALUATE: dict[str, Settings] = (
    LABELED
    | CLASSIFIER
    | {
        "--part": {
            "choices": ("all", "test"),
            "default": "all",
            "help": "all messages of the file (the default), or its test part as "
            "llmbook classify train makes it",
        }
    }
)
PREDICT: dict[str, Settings] = {
    "file": {
        "nargs": "?",
        "default": "-",
        "complete": shtab.FILE,
        "help": "a text on each line (default: standard input)",
    },
    **CLASSIFIER,
}

ENTRIES: Settings = {
    "metavar": "FILE",
    "complete": shtab.FILE,
    "help": "JSON or JSONL in Alpaca's format (default: the book's own set)",
}
STYLE: Settings = {
    "choices": ("alpaca", "phi", "chatml"),
    "help": "how a request is written (default: as the model was tuned)",
}
PRETRAINED: Settings = WRITE["--model"] | {
    "help": "the model that an adapter is for: mini (the default), a GPT-2, or the "
    "path of a folder"
}
TOKENS: Settings = WRITE["--tokens"] | {
    "default": 80,
    "help": "how long an answer may be (default %(default)s)",
}
TUNED: dict[str, Settings] = {
    "--tuned": {
        "required": True,
        "metavar": "FOLDER",
        "complete": FOLDER,
        "help": "a model or an adapter that llmbook instruct train has written, or the "
        "name of an adapter of the book",
    },
    "--pretrained": PRETRAINED,
    "--style": STYLE,
    "--device": WRITE["--device"],
    "--tokens": TOKENS,
}
INSTRUCT_TRAIN: dict[str, Settings] = {
    "--out": {
        "required": True,
        "metavar": "FOLDER",
        "complete": FOLDER,
        "help": "for the model or the adapter",
    },
    "--data": ENTRIES,
    "--pretrained": WRITE["--model"],
    "--device": WRITE["--device"],
    "--style": STYLE
    | {"default": "phi", "help": "how a request is written (default %(default)s)"},
    "--lora": {
        "type": int,
        "metavar": "RANK",
        "help": "train an adapter of this rank, and leave the model as it is",
    },
    "--epochs": CLASSIFY_TRAIN["--epochs"]
    | {"default": 3, "help": "passes over the entries (default %(default)s)"},
    "--batch-size": {
        "type": int,
        "default": 8,
        "metavar": "N",
        "help": "entries per step (default %(default)s)",
    },
    "--lr": CLASSIFY_TRAIN["--lr"],
    "--seed": CLASSIFY_TRAIN["--seed"]
    | {"help": "the same number gives the same model (default %(default)s)"},
}
ANSWER: dict[str, Settings] = {
    "file": {
        "nargs": "?",
        "default": "-",
        "complete": shtab.FILE,
        "help": "a request on each line, as text or as JSON with instruction and input "
        "(default: standard input; in a terminal, a conversation)",
    },
    "--instruction": {"metavar": "TEXT", "help": "answer this, and end"},
    "--input": {
        "default": "",
        "metavar": "TEXT",
        "help": "what the instruction is about",
    },
    **TUNED,
    "--temperature": WRITE["--temperature"] | {"default": 0.0},
    "--seed": WRITE["--seed"] | {"help": "the same number gives the same answer"},
}
INSTRUCT_EVALUATE: dict[str, Settings] = {
    **TUNED,
    "--data": ENTRIES,
    "--part": {
        "choices": ("train", "validation", "test", "unseen"),
        "default": "test",
        "help": "of entries that are divided into parts, the one to answer (default "
        "%(default)s)",
    },
    "--out": {
        "metavar": "FILE",
        "complete": shtab.FILE,
        "help": "write entries and answers as JSON",
    },
    "--judge": {
        "metavar": "URL",
        "help": "let a model grade the answers, such as http://localhost:11434/v1",
    },
    "--judge-model": {"metavar": "NAME", "help": "what the server calls that model"},
    "--replies": {
        "metavar": "FILE",
        "complete": shtab.FILE,
        "help": "where the judge's replies are kept: a run that was stopped continues",
    },
    "--protocol": {
        "choices": ("openai", "ollama"),
        "default": "openai",
        "help": "what the server speaks (default %(default)s)",
    },
    "--judge-key": {
        "metavar": "VARIABLE",
        "help": "the environment variable with the server's key",
    },
    "--prices": {
        "type": float,
        "nargs": 2,
        "default": (0.0, 0.0),
        "metavar": ("READ", "WRITTEN"),
        "help": "of a million tokens each, to say what it cost",
    },
}

RUNS: dict[str, Settings] = {
    "--root": {
        "metavar": "FOLDER",
        "complete": FOLDER,
        "help": "the book's repository (default: the one that this command is from)",
    },
    "--results": {
        "metavar": "FOLDER",
        "complete": FOLDER,
        "help": "where the records lie (default: results/ of the repository)",
    },
}
GRADE: dict[str, Settings] = {
    "folder": {
        "type": Path,
        "complete": FOLDER,
        "help": "holds NAME.ipynb for each student, or a folder NAME with the notebook",
    },
    "--to": {
        "type": Path,
        "metavar": "FOLDER",
        "complete": FOLDER,
        "help": "where verdicts.csv and verdicts.md go (default: the same folder)",
    },
    "--seed": {
        "type": int,
        "default": 1,
        "metavar": "N",
        "help": "of the data that answers are judged with besides those of `check` "
        "(default %(default)s)",
    },
    "--cell-seconds": {
        "type": float,
        "default": 60,
        "metavar": "S",
        "help": "how long a cell may take (default %(default)s)",
    },
    "--seconds": {
        "type": float,
        "default": 600,
        "metavar": "S",
        "help": "how long a notebook may take (default %(default)s)",
    },
    "--memory": {
        "type": float,
        "default": 4096,
        "metavar": "MB",
        "help": "of address space that a notebook may use (default %(default)s)",
    },
}
NAMES: Settings = {"nargs": "*", "metavar": "NAME", "help": "of runs, or all"}
RUN: dict[str, Settings] = {
    "names": NAMES | {"nargs": "+"},
    "--smoke": {
        "action": "store_true",
        "help": "the variants that take a minute on a processor and need no network",
    },
    "--again": {
        "action": "store_true",
        "help": "also what is recorded for this machine and this code",
    },
    "--anyway": {
        "action": "store_true",
        "help": "also what this machine seems too small for",
    },
    "-p": {
        "nargs": 2,
        "action": "append",
        "default": [],
        "metavar": ("PARAMETER", "VALUE"),
        "help": "another value for a parameter of the notebook",
    },
    "--output": {
        "default": "",
        "metavar": "PLACE",
        "help": "copy the executed notebooks there: a folder, or s3://..., gs://... "
        "and what else papermill can write to",
    },
    **RUNS,
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


def prepare_texts(given: argparse.Namespace) -> dict[str, Any]:
    """Prepare a folder or a manifest of texts."""
    from llmbook_utils.files import shards

    words = given.leave_out.read_text("utf-8").split() if given.leave_out else ()
    return shards.prepare(
        given.source,
        given.out,
        tokenizer=given.tokenizer,
        vocab_size=given.vocab_size,
        sample=given.sample,
        validation_share=given.validation_share,
        left_out=words,
        processes=given.processes,
    )


def prepare_stream(given: argparse.Namespace) -> dict[str, Any]:
    """Prepare a data set as it arrives; what only texts can have is refused."""
    from llmbook_utils.files import stream

    if given.vocab_size or given.leave_out:
        raise ValueError(
            "--vocab-size and --leave-out read all texts before; without --stream they "
            "work, or learn a tokenizer from some texts first"
        )
    return stream.prepare_stream(
        given.source,
        given.out,
        column=given.column,
        rows=given.rows,
        tokenizer=given.tokenizer,
        validation_share=given.validation_share,
    )


def prepare(given: argparse.Namespace) -> None:
    """Prepare texts, and say what was written."""
    index = prepare_stream(given) if given.stream else prepare_texts(given)
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


def classify_train(given: argparse.Namespace) -> None:
    """Train a classifier, and say how well it does on the test part."""
    from llmbook_utils.runs import classifier

    for line in classifier.train(
        given.file,
        given.out,
        model=given.model,
        device=given.device,
        labels=tuple(given.labels),
        balanced=given.balance,
        epochs=given.epochs,
        lr=given.lr,
        max_length=given.max_length,
        seed=given.seed,
    ):
        print(line, flush=True)


def classify_evaluate(given: argparse.Namespace) -> None:
    """Compare a classifier's verdicts with the labels of a file."""
    from llmbook_utils.runs import classifier

    for line in classifier.evaluate(
        given.file, given.classifier, given.part, given.device
    ):
        print(line)


def classify_predict(given: argparse.Namespace) -> None:
    """Print a verdict on each line as soon as it is there."""
    from llmbook_utils.runs import classifier

    for verdict in classifier.predict(given.file, given.classifier, given.device):
        print(verdict, flush=True)


def instruct_train(given: argparse.Namespace) -> None:
    """Fine-tune on requests with their answers, and say how it went."""
    from llmbook_utils.runs import instructions

    for line in instructions.train(
        given.data,
        given.out,
        pretrained=given.pretrained,
        device=given.device,
        style=given.style,
        rank=given.lora,
        epochs=given.epochs,
        batch_size=given.batch_size,
        lr=given.lr,
        seed=given.seed,
    ):
        print(line, flush=True)


def instruct_answer(given: argparse.Namespace) -> None:
    """Print answers, piece by piece."""
    from llmbook_utils.runs import instructions

    tuned = instructions.open_tuned(
        given.tuned, given.pretrained, given.style, given.device
    )
    options = instructions.Options(given.tokens, given.temperature, given.seed)
    for piece in instructions.reply(
        tuned, given.file, given.instruction, given.input, options
    ):
        print(piece, end="", flush=True)


def instruct_evaluate(given: argparse.Namespace) -> None:
    """Compare a model's answers with the references, and let a judge grade them."""
    from llmbook_utils.runs import instructions

    judge = instructions.judge_at(
        given.judge,
        given.judge_model,
        given.protocol,
        given.judge_key,
        tuple(given.prices),
        given.replies,
        os.environ,
    )
    tuned = instructions.open_tuned(
        given.tuned, given.pretrained, given.style, given.device
    )
    for line in instructions.evaluate(
        tuned,
        given.data,
        given.part,
        tokens=given.tokens,
        out=given.out,
        judge=judge,
        replies=given.replies,
    ):
        print(line, flush=True)


def runs_place(given: argparse.Namespace) -> Any:
    """The folders that the options of `llmbook runs` name."""
    from llmbook_utils.runs.runner import Place

    return Place.of(given.root, given.results, getattr(given, "output", ""))


def runs_list(given: argparse.Namespace) -> None:
    """Print what can be run, and what of it is recorded."""
    from llmbook_utils.runs import compare

    for line in compare.listed(runs_place(given)):
        print(line)


def runs_run(given: argparse.Namespace) -> None:
    """Run notebooks, and say of each how it went."""
    from llmbook_utils.runs import runner

    options = {name: getattr(given, name) for name in ("smoke", "again", "anyway")}
    for line in runner.run(
        runs_place(given), given.names, given=dict(given.p), **options
    ):
        print(line, flush=True)


def runs_compare(given: argparse.Namespace) -> None:
    """Print recorded values beside their bands."""
    from llmbook_utils.runs import compare

    for line in compare.compare(runs_place(given), given.names):
        print(line)


def runs_page(given: argparse.Namespace) -> None:
    """Make the page of results anew."""
    from llmbook_utils.runs import runner

    runner.make_page(runs_place(given))


def progress(given: argparse.Namespace) -> None:
    """Each chapter with its exercises that have passed, and the file that says so."""
    from llmbook_utils.exercises import registered
    from llmbook_utils.files.progress import progress_file, read_progress

    path = progress_file()
    if path is None:
        print("Nothing is noted: LLMBOOK_PROGRESS is off.")
        return
    passed, exercises = read_progress(path), registered()
    for chapter in dict.fromkeys(number.partition(".")[0] for number in exercises):
        own = [number for number in exercises if number.partition(".")[0] == chapter]
        done = [number for number in own if number in passed]
        name = f"Appendix {chapter}" if chapter.isalpha() else f"Chapter {chapter}"
        print(f"{name:11} {len(done):2} of {len(own):2}  {', '.join(done)}".rstrip())
    print(f"Noted in {path}")


def grade_folder(given: argparse.Namespace) -> None:
    """Judge the notebooks of a folder, and write the verdicts into two tables."""
    try:
        from llmbook_utils.grading.folder import grade
        from llmbook_utils.grading.limits import Limits
    except ImportError as error:
        raise ValueError(
            f"grading needs {error.name}, and it needs Linux or macOS; install what is "
            'missing with pip install "llmbook-utils[course]"'
        ) from None
    limits = Limits(given.cell_seconds, given.seconds, given.memory)
    grade(given.folder, to=given.to, limits=limits, seed=given.seed)


def completion(given: argparse.Namespace) -> None:
    """Print the script with which a shell completes commands and options."""
    print(shtab.complete(create_parser(), shell=given.shell))


COMMANDS: dict[str, Command | Group] = {
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
    "classify": Group(
        "tell two kinds of messages apart, such as spam and ham",
        {
            "train": Command(
                "fine-tune a model on labeled messages",
                classify_train,
                CLASSIFY_TRAIN,
                "Near-duplicates are left out. Seven tenths of the rest are learned "
                "from, one tenth is for validation, two are for the test; which is "
                "which depends on each text alone.",
            ),
            "evaluate": Command(
                "compare verdicts with the labels of a file",
                classify_evaluate,
                EVALUATE,
            ),
            "predict": Command(
                "give a verdict on each line, as JSON",
                classify_predict,
                PREDICT,
                "A line that has no verdict, such as an empty one, gets an error "
                "instead, and the next one is read.",
            ),
        },
    ),
    "instruct": Group(
        "make a model follow instructions, ask it, and score its answers",
        {
            "train": Command(
                "fine-tune a model, or an adapter, on requests with their answers",
                instruct_train,
                INSTRUCT_TRAIN,
                "Of entries that are divided into parts, those of the part train are "
                "learned from; of a file without parts, all are. An adapter may need "
                "a higher rate than all weights.",
            ),
            "answer": Command(
                "ask a tuned model, in a terminal or from a file",
                instruct_answer,
                ANSWER,
                "Of a file or of standard input each line gets a line of JSON. One "
                "that has no answer, such as an empty one, gets an error instead, and "
                "the next one is read.",
            ),
            "evaluate": Command(
                "compare a model's answers with the references",
                instruct_evaluate,
                INSTRUCT_EVALUATE,
            ),
        },
    ),
    "runs": Group(
        "run the book's notebooks with other parameters, and record what they yield",
        {
            "list": Command(
                "say what can be run, and what is recorded", runs_list, RUNS
            ),
            "run": Command(
                "run what is not recorded yet",
                runs_run,
                RUN,
                "profiles/runs.toml describes the runs. One that was ended is "
                "recorded, too, and its notebook is in .runs of the repository as far "
                "as it came; the same command continues.",
            ),
            "compare": Command(
                "print recorded values beside their bands, and fail outside",
                runs_compare,
                {"names": NAMES, **RUNS},
            ),
            "page": Command("make the page of results anew", runs_page, RUNS),
        },
    ),
    "progress": Command(
        "say which exercises of the notebooks have passed, and where that is noted",
        progress,
        epilog="The page “Your progress” of the site can open that file. "
        "LLMBOOK_PROGRESS names another one, or is off: then nothing is noted.",
    ),
    "grade": Command(
        "run a folder of students' notebooks and judge their answers",
        grade_folder,
        GRADE,
        "Each notebook runs in a process of its own, with limits. Where Linux allows "
        "namespaces, it can write nowhere else and has no network.",
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
    names = (parser.prog, given.command, getattr(given, "inner", None))
    prog = " ".join(name for name in names if name)
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
