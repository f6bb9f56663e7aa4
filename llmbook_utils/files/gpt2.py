"""What is in the files of a GPT-2, and what can be wrong with them.

Not built on a page. `pretrained` reads and writes them; here each fault is named before
a model is built.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from llmbook_utils.config import GPTConfig

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER = ("vocab.json", "merges.txt")

# what torch.compile, other wrappers and GPT2LMHeadModel put before a tensor's name
COMPILED, WRAPPERS = "_orig_mod.", ("module.", "model.", "transformer.")

PICKLE_STARTS = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
PICKLE = (
    "A pickle can run any code when it is opened, so it is not; open it with a program "
    "that you trust it to, and save the model as safetensors"
)
# what config.json may say of everything that `GPTModel` has no choice in
FIXED: dict[str, tuple[object, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "layer_norm_epsilon": (1e-5,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}


def check_config(path: Path, content: Any, sizes: Collection[str]) -> None:
    """Raise ValueError where config.json describes no model that `GPTModel` can be.

    `sizes` are the keys that must hold whole numbers.
    """
    kind = content.get("model_type") if isinstance(content, dict) else None
    if kind != "gpt2":
        raise ValueError(
            f"{path} is not a GPT-2's: its model_type is {kind!r}, expected 'gpt2'"
        )
    for key in sizes:
        if type(content.get(key)) is not int:
            raise ValueError(
                f"{path}: {key} is {content.get(key)!r}; expected a whole number"
            )
    allowed = FIXED | {"n_inner": (None, 4 * content["n_embd"])}
    for key, values in allowed.items():
        if content.get(key, values[0]) not in values:
            raise ValueError(
                f"{path}: {key} is {content[key]!r}, but GPTModel has {values[0]!r} "
                "only; load this model with the library that made it"
            )


def bare_name(name: str) -> str:
    """The name of a tensor without what wrappers put in front of it.

    >>> bare_name("_orig_mod.module.transformer.h.0.ln_1.weight")
    'h.0.ln_1.weight'
    """
    name = name.replace(COMPILED, "")  # also before a part that alone was compiled
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name


def open_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of model.safetensors by their bare names: views of the file's pages.

    Where the folder has model.safetensors.index.json instead, those of all its files.
    """
    tensors: dict[str, Tensor] = {}
    for file in weight_files(path):
        for name, tensor in open_file(file).items():
            if bare_name(name) in tensors:
                raise ValueError(
                    f"{file} holds {bare_name(name)!r} twice, once as {name!r}; "
                    "save the model again, without what is wrapped around it"
                )
            tensors[bare_name(name)] = tensor
    return tensors


def weight_files(path: Path) -> list[Path]:
    """The file, or those that an index beside it names; FileNotFoundError for none."""
    index = path.with_name(f"{path.name}.index.json")
    if path.is_file():
        return [path]
    if not index.is_file():
        pickled = path.with_name("pytorch_model.bin")
        has = f"; only {pickled.name}. {PICKLE}" if pickled.exists() else ""
        raise FileNotFoundError(f"the folder {path.parent} has no {path.name}{has}")
    try:
        names = set(
            json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        )
        # names alone, or ValueError: an index must not lead out of its folder
        files = [path.with_name(name) for name in sorted(names)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index} is not an index of weights; get it again") from error
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(
                f"{index.name} names {file.name}, but the folder {path.parent} has no "
                "such file; get it too"
            )
    return files


def open_file(path: Path) -> dict[str, Tensor]:
    """The tensors of one file by their names in it; ValueError for a broken file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        with path.open("rb") as start:
            magic = start.read(9)  # a safetensors file has its header's { as 9th byte
            if magic[:2] in PICKLE_STARTS and magic[8:] != b"{":
                raise ValueError(f"{path} is a pickle. {PICKLE}") from error
        raise ValueError(
            f"{path} is broken or cut off after {path.stat().st_size:,} bytes "
            f"({error}); delete it and get it again"
        ) from error


def drop_extras(tensors: dict[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    """Leave out what a file may hold beside the parameters, if it says nothing new.

    `attn.bias` (1, 1, T, T) and `attn.masked_bias` are causal masks, not biases. q/k/v
    biases where there should be none must be 0, and a tied output layer the table.
    """
    kept = {}
    for name, tensor in tensors.items():
        is_mask = name.endswith(".attn.bias") and tensor.dim() == 4
        if is_mask or name.endswith(".attn.masked_bias"):
            continue
        if name.endswith(".c_attn.bias") and not config.qkv_bias:
            if tensor.any():
                raise ValueError(
                    f"tensor {name!r} is not zero, but config.json says that q, k and "
                    "v have no bias; set its qkv_bias to true"
                )
        elif name == "lm_head.weight" and config.tie_embeddings:
            if not tensor.equal(tensors.get("wte.weight", tensor)):
                raise ValueError(
                    f"tensor {name!r} differs from 'wte.weight', but config.json says "
                    "that they are one; set its tie_word_embeddings to false"
                )
        else:
            kept[name] = tensor
    return kept


def check_names(found: Collection[str], expected: Collection[str]) -> None:
    """Raise ValueError for tensors that are missing or too many; it names the first."""
    for kind, names in (
        ("missing", [name for name in expected if name not in found]),
        ("unexpected", [name for name in found if name not in expected]),
    ):
        if names:
            raise ValueError(
                f"{len(names)} of its tensors {kind}, the first is {names[0]!r}; "
                "this file and config.json are not of one model, so get both again"
            )


def read_tokenizer_json(path: Path) -> tuple[dict[str, int], list[str]]:
    """The vocabulary and the merges, as "left right", out of a tokenizer.json.

    Newer programs save a tokenizer in this one file. Special tokens are part of the
    vocabulary, as in vocab.json. One that is not a GPT-2's raises ValueError.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model, before = content["model"], content.get("pre_tokenizer") or {}
        added = {token["content"]: token["id"] for token in content["added_tokens"]}
        vocab = {**model["vocab"], **added}
        pairs = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a tokenizer of byte pairs ({type(error).__name__}: "
            f"{error}); expected a GPT-2's, or give one: tokenizer=…"
        ) from error
    for what, found, expected in (
        ("its model", model.get("type"), "BPE"),
        ("its way to cut text", before.get("type"), "ByteLevel"),
        ("a space before the first word", before.get("add_prefix_space"), False),
        ("GPT-2's pattern", before.get("use_regex", True), True),
        ("its normalizer", content.get("normalizer"), None),
    ):
        if found != expected:
            raise ValueError(
                f"{path}: {what} is {found!r}, but GPT-2's is {expected!r}; "
                "give the tokenizer of this model yourself: tokenizer=…"
            )
    return vocab, pairs
