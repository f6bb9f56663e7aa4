"""The replies that Python and the page must give, by tiktoken and `merge_steps`.

`python tests/support/golden_tokenize.py` writes them anew.
"""

import json
from itertools import pairwise
from pathlib import Path

from llmbook_utils.tokenizer import get_encoding, merge_steps, pretokenize, ranks_of

FILE = Path(__file__).with_suffix(".json")
TEXTS = [
    "",
    "Hello, world",
    "She said: it's hers, they're ours, I'll go, you've won, I'd stay, I'm off.",
    "IT'S 'tis o'clock",
    "  two   three    four \t tab  ",
    "one\n\n\ntwo \n three\r\nfour\n",
    "😀 👩‍👩‍👧 🇫🇷 ❤️",
    "Fünf große Straßenlaternen überm Fluß",
    "नमस्ते दुनिया, यह एक वाक्य है।",
    "def f(x):\n    return {'a': x ** 2}  # ok\n",
    "1 12 123 1234 12345.678 ½ ٣ Ⅷ",
    "<|endoftext|> and <|endoftext|>",
    "a\u0085b \u0085\u0085 c",
    "\ufeffBOM \ufeff inside\u00a0\u2003\u3000x",
    "日本語とEnglishと123と😀!?",
    "x\u0000y\u0301 ____---==== ''' $$$ ~",
]


def golden_chunk(text: str) -> dict[str, object]:
    """The reply for one chunk of GPT-2's split."""
    encoding = get_encoding("gpt2")
    ranks = ranks_of(encoding)
    ids = encoding.encode_ordinary(text)
    merges = []
    for before, after in pairwise(merge_steps(text.encode(), ranks)):
        at = next(i for i, part in enumerate(after) if part != before[i])
        merges.append({"at": at, "id": ranks[after[at]]})
    tokens = [
        {"id": id, "bytes": list(encoding.decode_single_token_bytes(id))} for id in ids
    ]
    return {"text": text, "tokens": tokens, "merges": merges}


def golden(text: str) -> dict[str, object]:
    """The whole reply for a text of less than 2,000 characters."""
    chunks = [golden_chunk(chunk.decode()) for chunk in pretokenize(text)]
    return {"text": text, "truncated": False, "chunks": chunks}


def main() -> None:
    cases = ",\n".join(json.dumps(golden(text), sort_keys=True) for text in TEXTS)
    FILE.write_text(f"[\n{cases}\n]\n", encoding="utf-8")
    print(f"{len(TEXTS)} cases written to {FILE.name}")


if __name__ == "__main__":
    main()
