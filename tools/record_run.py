"""Record what a pretraining run looked like on its way, for the book's time machine.

    python tools/record_run.py RUN --tokens TOKENS --works works.tsv --out results/mini.json

Reads the run's metrics and the models that it kept, and writes, for each of them, its loss, bits per byte on the
validation works, a sample from a fixed seed, one attention head on a fixed sentence and the neighbors of a few
embeddings. Beside the JSON go the log, a line a step, and the curve as an SVG.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib
import tiktoken
import torch

from llmbook_utils.files.shards import list_works, read_index, read_parts
from llmbook_utils.generate import Sampling, generate, stream_text
from llmbook_utils.loss import bits_per_byte
from llmbook_utils.model import GPTModel
from llmbook_utils.plots import line_plot
from llmbook_utils.pretrained import load_pretrained
from llmbook_utils.runs.results import versions

PROMPT = "Once upon a time"
SAMPLING, SEED = Sampling(temperature=0.7, top_p=0.95), 4
NEW_TOKENS = 90
REPEATED = {"tokens": 200, "temperature": 0.8, "texts": 4}
SENTENCE = "The old king and the old queen had one son. The old king"
WORDS = (" king", " three", " said", " mother", " red", " sea")
NEIGHBORS = 6
EVERY = 25  # steps that a point of the curve is the mean of


def neighbors(
    model: GPTModel, tokenizer: tiktoken.Encoding
) -> dict[str, list[list[Any]]]:
    """For each word the tokens whose embeddings point most nearly the same way, with the cosine."""
    table = torch.nn.functional.normalize(model.token_embedding.weight.detach(), dim=-1)
    found = {}
    for word in WORDS:
        (id,) = tokenizer.encode_ordinary(word)
        cosines, ids = (table @ table[id]).topk(NEIGHBORS + 1)
        pairs = zip(ids.tolist(), cosines.tolist(), strict=True)
        found[word] = [
            [tokenizer.decode([other]), round(cosine, 3)]
            for other, cosine in pairs
            if other != id
        ]
    return found


@torch.inference_mode()
def attention(
    model: GPTModel, tokenizer: tiktoken.Encoding, layer: int, head: int
) -> list[list[float]]:
    """One head's weights on the sentence: a row a token, up to the token itself."""
    ids = torch.tensor([tokenizer.encode_ordinary(SENTENCE)])
    weights = model(ids, return_attention=True)[1][layer][0, head]
    return [
        [round(w, 3) for w in row[: i + 1]] for i, row in enumerate(weights.tolist())
    ]


def repeated_share(ids: Sequence[int], n: int = 4) -> float:
    """The share of the spans of n tokens that occurred before.

    >>> repeated_share([1, 2, 1, 2, 1, 2, 1, 2])
    0.6
    """
    spans = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return round(1 - len(set(spans)) / len(spans), 3)


def repetitions(model: GPTModel, tokenizer: tiktoken.Encoding) -> dict[str, Any]:
    """How much of a long text repeats itself, greedy, and drawn several times."""
    prompt = torch.tensor([tokenizer.encode_ordinary(PROMPT)])
    new, length = REPEATED["tokens"], prompt.shape[1]
    greedy = generate(model, prompt, new)[0, length:].tolist()
    drawn = generate(
        model,
        prompt.expand(REPEATED["texts"], -1),
        new,
        temperature=REPEATED["temperature"],
        seed=SEED,
    )[:, length:]
    return {
        "greedy": repeated_share(greedy),
        "drawn": [repeated_share(ids) for ids in drawn.tolist()],
    }


def snapshot(
    folder: Path, works: Sequence[str], layer: int, head: int
) -> dict[str, Any]:
    """What a kept model can do."""
    model, tokenizer = load_pretrained(folder)
    length = model.config.context_length
    sizes = [len(work.encode()) for work in works]
    bits = [
        bits_per_byte(
            model, tokenizer, work, context_length=length, dtype=torch.bfloat16
        )
        for work in works
    ]
    total = sum(b * size for b, size in zip(bits, sizes, strict=True)) / sum(sizes)
    return {
        "step": int(folder.name),
        "bits_per_byte": round(total, 4),
        "sample": "".join(
            stream_text(model, tokenizer, PROMPT, NEW_TOKENS, SAMPLING, seed=SEED)
        ),
        "greedy": "".join(stream_text(model, tokenizer, PROMPT, NEW_TOKENS // 2)),
        "repeated": repetitions(model, tokenizer),
        "attention": attention(model, tokenizer, layer, head),
        "neighbors": neighbors(model, tokenizer),
    }


def thin(records: Sequence[dict[str, float]]) -> dict[str, list[list[float]]]:
    """The curve: the training loss as means over some steps, the validation loss where it was measured."""
    blocks = [records[i : i + EVERY] for i in range(0, len(records), EVERY)]
    return {
        "training": [
            [b[-1]["step"], round(statistics.fmean(r["loss"] for r in b), 4)]
            for b in blocks
        ],
        "validation": [
            [r["step"], round(r["val_loss"], 4)] for r in records if "val_loss" in r
        ],
    }


def draw_curve(curve: dict[str, list[list[float]]], path: Path) -> None:
    """Both losses over the steps, where both are known."""
    training = dict(map(tuple, curve["training"]))
    steps = [step for step, _ in curve["validation"] if step in training]
    series = {
        "training": [training[step] for step in steps],
        "validation": [loss for step, loss in curve["validation"] if step in training],
    }
    plot = line_plot(steps, series, "optimizer step", "loss, nats a token")
    for line in plot.axes[0].lines:
        line.set_markersize(3)
    matplotlib.rcParams["svg.hashsalt"] = "book"  # the same picture is the same file
    plot.savefig(path, metadata={"Date": None})


def read_metrics(run: Path) -> list[dict[str, float]]:
    """The run's log, a record a step."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def record(
    run: Path, tokens: Path, manifest: Path, layer: int, head: int
) -> dict[str, Any]:
    """All that is known of a run."""
    records = read_metrics(run)
    held_out = [
        text
        for work in list_works(manifest)
        for split, text in read_parts(work, 0.0)
        if split == "validation"
    ]
    shards = read_index(tokens)["shards"]
    tokenizer = load_pretrained(run / "model")[1]
    pieces = [tokenizer.decode([id]) for id in tokenizer.encode_ordinary(SENTENCE)]
    snapshots = []
    for folder in sorted((run / "kept").iterdir()):
        print(f"step {int(folder.name)}", flush=True)
        found = snapshot(folder, held_out, layer, head)
        done = (
            records[found["step"] - 1]
            if found["step"]
            else {"tokens": 0, "seconds": 0.0}
        )
        snapshots.append(
            found | {"tokens": done["tokens"], "seconds": round(done["seconds"])}
        )
    return {
        "recipe": json.loads((run / "recipe.json").read_text()),
        "date": date.today().isoformat(),
        "device": f"{torch.get_num_threads()} CPU cores, {platform.machine()}",
        "versions": versions(),
        "seconds": round(records[-1]["seconds"]),
        "tokens": records[-1]["tokens"],
        "texts": {
            split: {
                key: sum(s[key] for s in shards if s["split"] == split)
                for key in ("texts", "tokens", "bytes")
            }
            for split in ("train", "validation")
        },
        "prompt": PROMPT,
        "options": {
            "temperature": SAMPLING.temperature,
            "top_p": SAMPLING.top_p,
            "seed": SEED,
        },
        "repeated": REPEATED,
        "sentence": pieces,
        "layer": layer,
        "head": head,
        "curve": thin(records),
        "snapshots": snapshots,
    }


def write_log(run: Path, path: Path) -> None:
    """The run's metrics with the digits that mean something."""
    digits = {"loss": 4, "val_loss": 4, "grad_norm": 3, "seconds": 1}
    rounded = [
        {
            k: float(f"{v:.4g}")
            if k == "lr"
            else round(v, digits[k])
            if k in digits
            else v
            for k, v in line.items()
        }
        for line in read_metrics(run)
    ]
    path.write_text(
        "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in rounded)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a folder that pretrain train has made")
    parser.add_argument(
        "--tokens", type=Path, required=True, help="the folder that it was trained on"
    )
    parser.add_argument(
        "--works",
        type=Path,
        required=True,
        help="the manifest with the validation works",
    )
    parser.add_argument(
        "--layer", type=int, default=3, help="of the attention head, from 0"
    )
    parser.add_argument("--head", type=int, default=6, help="from 0")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found = record(given.run, given.tokens, given.works, given.layer, given.head)
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    given.out.write_text(text + "\n", encoding="utf-8")
    write_log(given.run, given.out.with_suffix(".jsonl"))
    draw_curve(found["curve"], given.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
