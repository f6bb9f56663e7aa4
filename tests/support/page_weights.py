"""`mini` with the rounded weights that a page loads, so that Python and the page can be held to the same tokens."""

import torch
from safetensors.torch import load

from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets.live import Answerer, shipped_files


@torch.no_grad()
def page_answerer() -> Answerer:
    """What Python answers with the page's own numbers."""
    model, tokenizer = load_pretrained("mini")
    tensors = load(shipped_files("mini")["mini.safetensors"])
    for name, parameter in model.named_parameters():
        numbers = tensors[name].float()
        scale = tensors.get(f"{name}.scale")
        parameter.copy_(numbers if scale is None else numbers * scale[:, None])
    return Answerer(model, tokenizer, normalized=True)
