"""A model's weights as a page loads them: 8 bits a number, and a scale for each row.

Not built on a page. `pack` writes parameters under our own names in the safetensors
format: a matrix as int8 with the float32 scales of its rows as `NAME.scale`, a vector
as float32. `web/engine/checkpoint.js` reads them.
"""

import zlib
from typing import Any

import tiktoken
import torch
from safetensors.torch import save
from torch import Tensor

from llmbook_utils.model import GPTModel

LARGEST = 127


def quantize(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Round rows (out, in) to whole numbers from -127 to 127 times their scales (out,).

    >>> numbers, scale = quantize(torch.tensor([[0.5, -1.0], [0.0, 0.0]]))
    >>> numbers.tolist(), [round(s, 4) for s in scale.tolist()]
    ([[64, -127], [0, 0]], [0.0079, 1.0])
    """
    scale = matrix.abs().amax(dim=1) / LARGEST
    scale = scale.where(scale > 0, torch.ones_like(scale))
    return (matrix / scale[:, None]).round().to(torch.int8), scale


@torch.no_grad()
def pack(model: GPTModel) -> bytes:
    """The file that a page loads."""
    tensors = {}
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            numbers, scale = quantize(parameter.float().contiguous())
            tensors[name], tensors[f"{name}.scale"] = numbers, scale
        else:
            tensors[name] = parameter.float().contiguous()
    return save(tensors)


def published(file: str, content: bytes) -> dict[str, Any]:
    """What a page must know of a file to load it: its name, size and checksum."""
    return {"file": file, "bytes": len(content), "crc32": zlib.crc32(content)}


def special_tokens(encoding: tiktoken.Encoding) -> dict[str, int]:
    """The special tokens of an encoding and their ids."""
    names = sorted(encoding.special_tokens_set)
    return {name: encoding.encode_single_token(name) for name in names}
