"""Files of a classifier: the format of transformers' `GPT2ForSequenceClassification`.

Not built on a page of the book: names, checks, and a few keys of our own.
"""

import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import tiktoken
from safetensors.torch import save_file
from torch import Tensor

from llmbook_utils.files.gpt2 import CONFIG, TOKENIZER, WEIGHTS, open_weights
from llmbook_utils.files.labeled import check_labels
from llmbook_utils.tokenizer import save_encoding

HEAD = "score.weight"  # what the new head is called there
OURS = "classifier"  # the key of config.json with what transformers has no word for


def write_classifier(
    folder: Path,
    tensors: dict[str, Tensor],
    config: dict[str, Any],
    tokenizer: tiktoken.Encoding,
) -> None:
    """Write all files, then put each in its place: what was there is whole till then.

    `tensors` have GPT-2's names, the head that of a language model.
    """
    # what other programs expect: all but the head inside a part "transformer"
    weights = {
        HEAD if name == "lm_head.weight" else f"transformer.{name}": tensor
        for name, tensor in tensors.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as temporary:
        new = Path(temporary)
        (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(weights, new / WEIGHTS, metadata={"format": "pt"})
        shutil.copymode(new / CONFIG, new / WEIGHTS)  # else for its owner only
        save_encoding(tokenizer, new)
        for file in (WEIGHTS, *TOKENIZER, CONFIG):
            os.replace(new / file, folder / file)


def classifier_config(
    config: dict[str, Any], labels: tuple[str, str], settings: dict[str, Any]
) -> dict[str, Any]:
    """The contents of config.json: those of a GPT-2, the labels, and our settings."""
    return config | {
        "architectures": ["GPT2ForSequenceClassification"],
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
        "pad_token_id": config["eos_token_id"],
        OURS: settings,
    }


def read_settings(path: Path) -> tuple[tuple[str, str], dict[str, Any]]:
    """The labels and our settings of config.json; ValueError where they are not there.

    The file is known to be a GPT-2's.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    names, settings = content.get("id2label"), content.get(OURS)
    if not isinstance(names, dict) or not isinstance(settings, dict):
        raise ValueError(
            f"{path} is a language model's: it has no labels; give the folder of a "
            "classifier, as llmbook classify train writes it"
        )
    try:
        check_labels(labels := tuple(names.values()))
        for name, low, high in (
            ("temperature", 0.0, math.inf),
            ("shift", -math.inf, math.inf),
            ("threshold", 0.0, 1.0),
            ("max_length", 0, content["n_positions"] + 1),
        ):
            if not low < settings[name] < high:
                raise ValueError(f"{name} is {settings[name]}")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} has settings that cannot be right: {error}") from None
    return labels, settings


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a classifier by GPT-2's names, the head as a language model's."""
    tensors = open_weights(path)
    if HEAD not in tensors:
        raise ValueError(f"{path} has no {HEAD}, the head of a classifier")
    return {"lm_head.weight": tensors.pop(HEAD)} | tensors
