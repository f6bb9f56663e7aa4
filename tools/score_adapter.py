"""Record what a shipped adapter says of chapter 6's test messages, for the widget that shows them.

    OMP_NUM_THREADS=1 python tools/score_adapter.py

Run it whenever the adapter is a new one; a test compares the hash of its weights. Half a minute.
"""

import hashlib
import json

from llmbook_utils.classify import log_odds, logits_of
from llmbook_utils.files.adapter import SHIPPED, WEIGHTS
from llmbook_utils.lora import load_adapter
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.widgets.spam_classifier import ADAPTER, MOST, ODDS, unseen


def score(texts: list[str]) -> list[float]:
    """The log-odds of texts, to three decimals."""
    model, tokenizer = load_pretrained("mini")
    load_adapter(model, ADAPTER)
    odds = log_odds(logits_of(model, tokenizer, texts, max_length=MOST))
    return [round(one, 3) for one in odds.tolist()]


def main() -> None:
    weights = (SHIPPED / ADAPTER / WEIGHTS).read_bytes()
    record = {
        "weights": hashlib.sha256(weights).hexdigest(),
        "log_odds": score([text for text, _ in unseen()]),
    }
    ODDS.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
