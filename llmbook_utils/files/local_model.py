"""A chat model in a file on this machine: a prompt in, a reply out, as from a server.

Not built on a page. transformers reads the model and, with the package gguf, a file in
llama.cpp's format; `pip install llmbook-utils[judge]` brings both.
"""

import time
from pathlib import Path
from typing import Any

import torch

from llmbook_utils.files.chat import Reply


class LocalModel:
    """An instruction-tuned model with a chat template; calling it gives a `Reply`.

    `path` is a folder as transformers saves it, or a .gguf file. The answer is greedy
    and has at most `max_new_tokens`. A path that is neither raises FileNotFoundError,
    missing packages ImportError, and a tokenizer without a chat template ValueError.
    """

    def __init__(self, path: str | Path, max_new_tokens: int = 16):
        path = Path(path)
        is_file = path.is_file() and path.suffix == ".gguf"
        if not (is_file or path.is_dir()):
            raise FileNotFoundError(
                f"{path} is neither a .gguf file nor a folder with a model"
            )
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            if is_file:
                import gguf  # noqa: F401 # transformers' own message names no command
        except ImportError as error:
            raise ImportError(
                f"{error.name} is not installed; run `pip install llmbook-utils[judge]`"
            ) from None
        folder = str(path.parent if is_file else path)
        which: dict[str, Any] = {"gguf_file": path.name} if is_file else {}
        self.tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, **which
        )
        if not self.tokenizer.chat_template:
            raise ValueError(
                f"the tokenizer of {path} has no chat template, so it is not known how "
                "the model expects to be asked; take an instruction-tuned model"
            )
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, **which
        ).eval()
        self.max_new_tokens = max_new_tokens

    def __call__(self, prompt: str) -> Reply:
        """Ask with a prompt, as one turn of a user."""
        start = time.perf_counter()
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
        )
        # the template has its special tokens already
        found = self.tokenizer(text, return_tensors="pt", add_special_tokens=False)
        n = found.input_ids.shape[1]
        said = self.model.generate(
            input_ids=found.input_ids,
            attention_mask=found.attention_mask,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            pad_token_id=self.tokenizer.eos_token_id,
        )[0, n:]
        return Reply(
            str(self.tokenizer.decode(said, skip_special_tokens=True)).strip(),
            tokens_in=n,
            tokens_out=len(said),
            seconds=time.perf_counter() - start,
        )
