"""What is in the files of a GPT-2, and what can be wrong with them.

Not built on a page. `pretrained` reads and writes them; here each fault is named before
a model is built.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from llmbook_utils.config import GPTConfig

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER = ("vocab.json", "merges.txt")

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


def open_weights(path: Path) -> dict[str, Tensor]:
    """The file's tensors by their names without "transformer.": views of its pages."""
    if not path.is_file():
        pickled = path.with_name("pytorch_model.bin")
        has = f"; only {pickled.name}. {PICKLE}" if pickled.exists() else ""
        raise FileNotFoundError(f"the folder {path.parent} has no {path.name}{has}")
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {n.removeprefix("transformer."): file.get_tensor(n) for n in names}
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
