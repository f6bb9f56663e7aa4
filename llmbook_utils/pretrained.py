"""Save and load a GPT in the format of OpenAI's GPT-2 on the Hugging Face hub.

Built in chapters/05c-model-weights.ipynb. Left out: weights in several files, pickled
ones (opening a pickle can run any code), and models other than GPT-2.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiktoken
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from llmbook_utils.config import GPTConfig
from llmbook_utils.env import pick_device
from llmbook_utils.files.gpt2 import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    check_config,
    check_names,
    drop_extras,
    open_weights,
)
from llmbook_utils.files.hub import find_folder
from llmbook_utils.model import GPTModel
from llmbook_utils.tokenizer import end_id, get_encoding, save_encoding

# what our layers are called in GPT-2's files
GPT2_NAMES = {
    "token_embedding": "wte",
    "position_embedding": "wpe",
    "blocks": "h",
    "norm_1": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "norm_2": "ln_2",
    "feed_forward.up_proj": "mlp.c_fc",
    "feed_forward.down_proj": "mlp.c_proj",
    "final_norm": "ln_f",
    "head": "lm_head",
    "scale": "weight",
    "shift": "bias",
}
# what GPT-2's config.json calls our sizes
GPT2_KEYS = {
    "vocab_size": "vocab_size",
    "context_length": "n_positions",
    "emb_dim": "n_embd",
    "n_heads": "n_head",
    "n_layers": "n_layer",
}


def gpt2_name(name: str) -> str:
    """What GPT-2's files call a parameter of `GPTModel`.

    >>> gpt2_name("blocks.0.attention.qkv.weight")
    'h.0.attn.c_attn.weight'
    """
    for ours, theirs in GPT2_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def is_transposed(name: str) -> bool:
    """Whether GPT-2's files hold this tensor as (in, out): `nn.Linear` has (out, in).

    All layers inside a block are stored so. A square one (`attn.c_proj`) has the same
    shape either way: forgetting it raises no error and gives a wrong model.
    """
    return ".c_" in name and name.endswith(".weight")


def check_finite(name: str, tensor: Tensor) -> None:
    """Raise a ValueError that names the tensor if it holds NaN or infinity."""
    # the sum takes one fast pass; it may overflow, so its verdict is checked
    if not (tensor.sum(dtype=torch.float32).isfinite() or tensor.isfinite().all()):
        raise ValueError(
            f"tensor {name!r} holds NaN or infinite values as {tensor.dtype}; use a "
            "checkpoint from before the training diverged, or a dtype of more range"
        )


def check_vocabulary(tokenizer: tiktoken.Encoding, config: GPTConfig) -> None:
    """Raise ValueError if the tokenizer makes ids that the model has no row for."""
    if tokenizer.n_vocab > config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.n_vocab:,} tokens, but the model knows "
            f"{config.vocab_size:,}; use the tokenizer that the model was trained with"
        )


def save_pretrained(
    model: nn.Module,
    tokenizer: tiktoken.Encoding,
    path: str | Path,
    dtype: torch.dtype | None = None,
) -> None:
    """Write config.json, model.safetensors, vocab.json and merges.txt into a folder.

    `model` is a `GPTModel`, also a compiled or a distributed one. `dtype` is that of
    the stored numbers; None keeps the model's. All files are written before the first
    takes its place: if that fails, what was there is whole. NaN, infinity and a
    tokenizer with more tokens than the model raise ValueError.
    """
    folder = Path(path)
    model = unwrap(model)
    check_vocabulary(tokenizer, model.config)
    weights, config = to_gpt2(model, dtype), to_gpt2_config(model.config, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    # inside the folder, so that it is on the same disk and moving is one step
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as temporary:
        new = Path(temporary)
        (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(weights, new / WEIGHTS, metadata={"format": "pt"})
        shutil.copymode(new / CONFIG, new / WEIGHTS)  # else for its owner only
        save_encoding(tokenizer, new)
        for file in (WEIGHTS, *TOKENIZER, CONFIG):
            os.replace(new / file, folder / file)


def unwrap(model: nn.Module) -> GPTModel:
    """The model inside what `torch.compile` or DistributedDataParallel made of it."""
    for wrapped in ("_orig_mod", "module"):
        model = getattr(model, wrapped, model)
    if not isinstance(model, GPTModel):
        raise TypeError(f"expected a GPTModel, got {type(model).__name__}")
    return model


def to_gpt2(model: GPTModel, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The model's weights on the CPU under GPT-2's names; a tied one is there once."""
    weights = {}
    for ours, parameter in model.named_parameters():
        name, tensor = gpt2_name(ours), parameter.detach().to("cpu", dtype)
        check_finite(name, tensor)
        weights[name] = (tensor.T if is_transposed(name) else tensor).contiguous()
    if not model.config.qkv_bias:  # GPT-2 always has one: zeros, for other programs
        for i in range(model.config.n_layers):
            like = weights[f"h.{i}.attn.c_attn.weight"]
            weights[f"h.{i}.attn.c_attn.bias"] = like.new_zeros(like.shape[1])
    return weights


def to_gpt2_config(config: GPTConfig, tokenizer: tiktoken.Encoding) -> dict[str, Any]:
    """The contents of config.json; `qkv_bias` is a key of ours, the others GPT-2's."""
    end = end_id(tokenizer)
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        **{theirs: getattr(config, ours) for ours, theirs in GPT2_KEYS.items()},
        "n_ctx": config.context_length,  # from here on what other programs want to read
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "initializer_range": 0.02,
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), config.drop_rate),
        "tie_word_embeddings": config.tie_embeddings,
        "qkv_bias": config.qkv_bias,
        "bos_token_id": end,
        "eos_token_id": end,
    }


def load_pretrained(
    name_or_path: str | Path,
    *,
    tokenizer: tiktoken.Encoding | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[GPTModel, tiktoken.Encoding]:
    """Load a model, in eval mode, and its tokenizer from a folder or by name.

    "mini" comes with the book; "gpt2", "gpt2-medium", "gpt2-large" and "gpt2-xl" are
    downloaded once, from HF_ENDPOINT into the cache of `huggingface_hub`. A `tokenizer`
    that is given is returned as it is, and the folder then needs none. `device` may be
    "auto": a GPU where there is one. On the CPU, in
    the dtype of the file, the weights are the file's own memory-mapped pages, copied
    only when changed.

    What cannot be found raises FileNotFoundError, a broken or unfitting file
    ValueError, and a failed or forbidden download DownloadError, an OSError.
    """
    # everything small is read and checked before the large file is opened
    folder = find_folder(name_or_path, with_tokenizer=tokenizer is None)
    config = read_config(folder / CONFIG)
    if tokenizer is None:
        tokenizer = get_encoding(folder)
    check_vocabulary(tokenizer, config)
    device = pick_device(device)
    return load_model(config, folder / WEIGHTS, device, dtype).eval(), tokenizer


def load_model(
    config: GPTConfig, path: Path, device: torch.device | str, dtype: torch.dtype
) -> GPTModel:
    """A model whose parameters are the tensors of the file, not copies of them."""
    with torch.device("meta"), NoDraws():  # shapes without memory
        model = GPTModel(config, init="torch")
    weights = read_weights(path, model, device, dtype)  # views of the file's pages
    # the names are checked; strict would miss the second name of a tied weight
    model.load_state_dict(weights, assign=True, strict=False)
    if config.tie_embeddings:
        model.head.weight = model.token_embedding.weight
    return model


class NoDraws(TorchFunctionMode):
    """Draw no initial weights: on `meta` that imports PyTorch's compiler, 1 second."""

    def __torch_function__(
        self, func: Callable, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return None
        return func(*args, **(kwargs or {}))


def read_config(path: Path) -> GPTConfig:
    """Read config.json; what `GPTModel` cannot do raises ValueError.

    Of the three dropout rates the one of the residual stream (`resid_pdrop`) is taken.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; a model's folder needs one")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}; get it again") from error
    check_config(path, content, GPT2_KEYS.values())
    try:  # GPTConfig checks the values; the file's name belongs in its message
        return GPTConfig(
            **{ours: content[theirs] for ours, theirs in GPT2_KEYS.items()},
            drop_rate=content.get("resid_pdrop", 0.1),
            qkv_bias=content.get("qkv_bias", True),
            tie_embeddings=content.get("tie_word_embeddings", True),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_weights(
    path: Path, model: GPTModel, device: torch.device | str, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The file's tensors under our names; ValueError names the first that is wrong."""
    tensors = open_weights(path)
    # a tied weight counts once, under its first name
    expected = {gpt2_name(ours): ours for ours, _ in model.named_parameters()}
    try:
        tensors = drop_extras(tensors, model.config)
        check_names(tensors, expected)
        return {
            ours: convert(name, tensors[name], model.get_parameter(ours), device, dtype)
            for name, ours in expected.items()
        }
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def convert(
    name: str,
    tensor: Tensor,
    parameter: Tensor,
    device: torch.device | str,
    dtype: torch.dtype,
) -> Tensor:
    """The file's tensor, checked, as our `parameter` wants it; a view where it can."""
    expected = parameter.T.shape if is_transposed(name) else parameter.shape
    if tensor.shape != expected:
        raise ValueError(
            f"tensor {name!r} has the shape {tuple(tensor.shape)}, but config.json "
            f"asks for {tuple(expected)}; the two files are not of one model"
        )
    if not tensor.is_floating_point():
        raise ValueError(
            f"tensor {name!r} holds {tensor.dtype}; expected numbers with a fraction"
        )
    tensor = tensor.to(device, dtype)
    check_finite(name, tensor)
    # the transposed view, not a copy: matrix products are as fast with it
    return tensor.T if is_transposed(name) else tensor
