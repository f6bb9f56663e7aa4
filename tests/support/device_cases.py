"""What the library must do on another device as on the processor, a function a case.

`python device_cases.py` tries them all on a CUDA GPU, or where there is none on
`second_device`, and writes one JSON object: what went wrong with each, "" for nothing.
The module itself imports nothing of the library before it has its device.
"""

import json
import sys
import tempfile
import traceback
from functools import partial
from pathlib import Path

import torch

if not torch.cuda.is_available():
    import second_device
DEVICE = "cuda" if torch.cuda.is_available() else second_device.NAME

from lora_models import with_lora  # noqa: E402
from models import build, lifelike, some_ids  # noqa: E402
from tiny_runs import some_batch, uneven_batch  # noqa: E402

from llmbook_utils import classify, instruct  # noqa: E402
from llmbook_utils.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from llmbook_utils.generate import generate  # noqa: E402
from llmbook_utils.inside.trace import Trace  # noqa: E402
from llmbook_utils.lora import load_adapter, merge, save_adapter, unmerge  # noqa: E402
from llmbook_utils.loss import evaluate  # noqa: E402
from llmbook_utils.pretrained import load_pretrained, save_pretrained  # noqa: E402
from llmbook_utils.runs.speed import time_steps  # noqa: E402
from llmbook_utils.schedule import Schedule  # noqa: E402
from llmbook_utils.train import Progress, create_optimizer, train  # noqa: E402

MESSAGES = [("free prize, call now", 1), ("see you at eight", 0), ("win cash", 1)]
near = partial(torch.testing.assert_close, rtol=1e-3, atol=1e-4)


def both(seed=0):
    """The same model on the processor and on the device."""
    return lifelike(build(seed=seed)), lifelike(build(seed=seed)).to(DEVICE)


def tried(model, batches, **options):
    """The losses of a short training run."""
    options = {"max_steps": 6, "val_loader": batches, "eval_every": 3} | options
    optimizer = options.pop("optimizer", None) or create_optimizer(model, 1e-2)
    history = train(model, batches, optimizer=optimizer, **options)
    return torch.tensor([record["loss"] for record in history.records])


def case_model():
    here, there = both()
    ids, mask = some_ids(3, 7), torch.ones(3, 7, dtype=torch.bool)
    mask[0, :3] = False
    expected = here(ids, mask=mask, return_attention=True)
    found = there(ids.to(DEVICE), mask=mask.to(DEVICE), return_attention=True)
    near(found[0].cpu()[1:], expected[0][1:])
    near(found[1][1].cpu(), expected[1][1])


def case_ids_on_the_wrong_device():
    try:
        both()[1](some_ids(1, 4))
    except RuntimeError as error:
        assert "same device" in str(error), error
    else:
        raise AssertionError("ids of the processor were taken")


def case_generate():
    here, there = both()
    ids = some_ids(2, 5)
    chain = {"temperature": 0.9, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.2}
    for options in ({}, {"use_cache": False}, {"seed": 3, **chain}):
        found = generate(there, ids.to(DEVICE), 22, **options)
        expected = generate(here, ids, 22, **options)
        assert found.device.type == DEVICE and torch.equal(found.cpu(), expected)


def case_train():
    here, there = both()
    batches = [some_batch(seed=seed) for seed in range(3)] + [uneven_batch()]
    options = {"accumulate": 2, "schedule": Schedule(1e-2, 6, 2)}
    near(tried(there, batches, **options), tried(here, batches, **options))
    near(evaluate(there, batches), evaluate(here, batches))


def case_train_in_bfloat16():
    _, there = both()
    losses = tried(there, [some_batch()], dtype=torch.bfloat16)
    assert losses[-1] < losses[0] and there.head.weight.dtype is torch.float32


def case_checkpoint():
    batches = [some_batch(seed=seed) for seed in range(4)]
    expected = tried(both()[1], batches)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        _, there = both()
        optimizer, progress = create_optimizer(there, 1e-2), Progress()
        tried(there, batches, optimizer=optimizer, max_steps=3, progress=progress)
        save_checkpoint(path, there, optimizer, progress)
        other = build(seed=9).to(DEVICE)
        optimizer = create_optimizer(other, 1e-2)
        place = load_checkpoint(path, other, optimizer)
    near(tried(other, batches, optimizer=optimizer, progress=place), expected[3:])


def case_files():
    mini, tokenizer = load_pretrained("mini", device=DEVICE)
    ids = torch.tensor([tokenizer.encode("Once upon a time")])
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(mini, tokenizer, folder)
        again = load_pretrained(folder)[0]
    near(mini(ids.to(DEVICE)).cpu(), again(ids), rtol=1e-3, atol=1e-3)


def case_classify():
    found = []
    for device in ("cpu", DEVICE):
        model, tokenizer = load_pretrained("mini", device=device)
        model = classify.replace_head(model)
        classify.train_only(model, 1)
        classify.fine_tune(
            model, tokenizer, MESSAGES, max_steps=3, epochs=None, validation=MESSAGES
        )
        classifier = classify.Classifier(model, tokenizer)
        with tempfile.TemporaryDirectory() as folder:
            classify.save_classifier(classifier, folder)
            classifier = classify.load_classifier(folder, device)
        verdicts = classify.classify(classifier, ["free cash", "see you"])
        found.append(torch.tensor([verdict.log_odds for verdict in verdicts]))
    near(*found, rtol=1e-2, atol=1e-2)


def case_instruct():
    found = []
    for device in ("cpu", DEVICE):
        model, tokenizer = load_pretrained("mini", device=device)
        ids = tokenizer.encode("Hurry hid and he slept. The sea is late.")
        example = instruct.Example(ids, [False] * 4 + [True] * (len(ids) - 4))
        loader = instruct.create_instruction_loader([example] * 4, ids[-1])
        history = instruct.fine_tune(model, loader, epochs=None, max_steps=2)
        says = instruct.answer(
            model, tokenizer, [("Write.", ""), ("Say it.", "sea")], max_new_tokens=8
        )
        losses = torch.tensor([record["loss"] for record in history.records])
        found.append((losses, says))
        inputs, targets = (x.to(device) for x in next(iter(loader)))
        chosen = instruct.log_probability(model, inputs, targets)
        frozen = instruct.frozen_copy(model)
        same = instruct.log_probability(frozen, inputs, targets)
        loss = instruct.preference_loss(chosen, chosen * 2, same, same).mean()
        loss.backward()
    near(found[0][0], found[1][0])
    assert found[0][1] == found[1][1], found


def case_lora():
    here, there = with_lora(), with_lora().to(DEVICE)
    ids = some_ids(2, 6)
    expected = here(ids)
    near(there(ids.to(DEVICE)).cpu(), expected)
    merge(there)
    near(there(ids.to(DEVICE)).cpu(), expected)
    unmerge(there)
    losses = tried(there, [some_batch()])
    assert losses[-1] < losses[0]
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(there, folder)
        other = load_adapter(build().to(DEVICE), folder)
    assert other.blocks[0].attention.qkv.A.device.type == DEVICE


def case_trace():
    here, there = both()
    ids = some_ids(1, 6)[0].tolist()
    want = ["blocks.*.attention.weights", "logits"]
    pairs = zip(
        Trace(here, want)(ids).values(), Trace(there, want)(ids).values(), strict=True
    )
    for expected, found in pairs:
        near(found.cpu(), expected)


def case_speed():
    x = torch.ones(4, 4, device=DEVICE)
    assert time_steps(lambda: x @ x, 4, 2, 1).tokens_per_second > 0


CASES = {name[5:]: f for name, f in list(globals().items()) if name.startswith("case_")}


def try_all():
    found = {}
    for name, case in CASES.items():
        try:
            case()
            found[name] = ""
        except Exception:
            found[name] = traceback.format_exc()
    return found


if __name__ == "__main__":
    json.dump(try_all(), sys.stdout)
