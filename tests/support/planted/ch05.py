"""Wrong answers to chapter 5's exercises, and words that their verdicts must hold."""

import json
import math
from collections import Counter

import torch
from torch.nn import functional as F


def weighted(values, counts):
    return sum(v * n for v, n in zip(values, counts, strict=True)) / sum(counts)


def context_loss(model, ids, n, *, last=True, stride=1, off=True, restore=True):
    training = model.training
    if off:
        model.eval()
    windows = ids.unfold(0, n + 1, stride if stride == 1 else n + 1)
    with torch.no_grad():
        logits = model(windows[:, :-1])
    if restore:
        model.train(training)
    if last:
        return F.cross_entropy(logits[:, -1], windows[:, -1])
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def search(*, fill=True, switch=True, alarm=False):
    def answer(step, model, optimizer, inputs, targets):
        for weight in model.parameters():
            weight.grad = torch.full_like(weight, 1e6) if fill else None
        model.train(not switch)
        step(model, optimizer, inputs, targets)
        grads = [w.grad for w in model.parameters() if w.grad is not None]
        if not model.training:
            return "train"
        if any(grad.abs().max() > 1e5 for grad in grads):
            return "zero_grad"
        return "zero_grad" if alarm and not grads else "none"

    return answer


def accumulated(*, mean=False, whole=True, empty=True, padding=False):
    def answer(model, batches):
        if empty:
            model.zero_grad()
        numbers = [int((y != -100).sum()) for _, y in batches]
        count = sum(y.numel() for _, y in batches) if padding else sum(numbers)
        total = 0.0
        for (x, y), n in zip(batches, numbers, strict=True):
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum")
            share = max(n, 1) * len(batches) if mean else count if whole else 1
            (loss / share).backward()
            total += loss.item() / share
        return total

    return answer


def nan_mean(model, batches):
    losses = [F.cross_entropy(model(x).flatten(0, 1), y.flatten()) for x, y in batches]
    loss = torch.stack(losses).mean()
    loss.backward()
    return loss.item()


def uniform(ids, vocab_size):
    return lambda context: [1 / vocab_size] * vocab_size


def counts_only(ids, vocab_size):
    seen = Counter(ids)
    return lambda context: [seen[t] / len(ids) for t in range(vocab_size)]


def no_sum(ids, vocab_size):
    return lambda context: [0.5] * vocab_size


PLANTED = {
    "5.1": [
        ("bits for nats", "a bit has 0.693 nats", [2, 4, 0.8]),
        ("log of the mean", "mean of the logarithms", [1.269, 4, 0.8]),
        ("sum", "the loss is their mean", [5.545, 4, 0.8]),
        ("mixed", "you have mixed the two", [1.386, 7.389, 0.8]),
        ("per token", "those are bits a token", [1.386, 4, 2]),
        ("nats per byte", "those are nats per byte", [1.386, 4, 0.5545]),
    ],
    "5.2": [
        ("no power", "that is the mean loss", weighted),
        (
            "unweighted",
            "every part has got the same weight",
            lambda losses, counts: math.exp(sum(losses) / len(losses)),
        ),
        (
            "mean of perplexities",
            "you averaged the perplexities",
            lambda losses, counts: weighted([math.exp(x) for x in losses], counts),
        ),
    ],
    "5.3": [
        (
            "all positions",
            "averaged over all positions",
            lambda m, ids, n: context_loss(m, ids, n, last=False),
        ),
        (
            "side by side",
            "only every so many",
            lambda m, ids, n: context_loss(m, ids, n, stride=n),
        ),
        (
            "dropout",
            "is dropout off",
            lambda m, ids, n: context_loss(m, ids, n, off=False),
        ),
        (
            "mode",
            "restore it",
            lambda m, ids, n: context_loss(m, ids, n, restore=False),
        ),
    ],
    "5.4": [
        ("nothing", "both faults pass", lambda *a: "none"),
        ("no old gradients", "were there any gradients", search(fill=False)),
        ("training mode", "in which mode did you", search(switch=False)),
        ("alarm", "was accused of", search(alarm=True)),
        ("other word", "is none of", lambda *a: "fine"),
    ],
    "5.5": [
        ("mean of means", "need different weights", accumulated(mean=True)),
        ("undivided", "by which number do you divide", accumulated(whole=False)),
        ("not emptied", "still in the sum", accumulated(empty=False)),
        ("nan", "is 0/0", nan_mean),
    ],
    "5.6": [
        ("uniform", "the exercise asks for", uniform),
        ("zero", "becomes impossible", counts_only),
        ("no probabilities", "probabilities add up to 1", no_sum),
    ],
}


def repeats(n_off=0, first_row=False, in_place=False, all_said=False):
    def answer(logits, ids, n):
        out = logits if in_place else logits.clone()
        n = n + n_off
        for at, row in enumerate(ids.tolist()):
            row = ids[0].tolist() if first_row else row
            end = row[len(row) - n + 1 :]
            for i in range(len(row) - n + 1):
                if all_said or row[i : i + n - 1] == end:
                    out[at, row[i + n - 1]] = -torch.inf
        return out

    return answer


def pack(model):
    return {name: p.detach().contiguous() for name, p in model.named_parameters()}


def pack_views(model):
    return {name: p.detach() for name, p in model.named_parameters()}


def pack_twice(model):
    return {name: t.clone().contiguous() for name, t in model.state_dict().items()}


def unpack(model, tensors):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(tensors[name])


def unpack_new(model, tensors):
    model.load_state_dict(tensors, strict=False, assign=True)


def unpack_nothing(model, tensors):
    model.load_state_dict(dict.fromkeys(()), strict=False)


def reader(early=0, dtype=None, shape=True):
    def answer(path, name):
        types = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64"}
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entry = json.loads(file.read(length))[name]
            first, last = entry["data_offsets"]
            file.seek(8 + length + first - early)
            numbers = bytearray(file.read(last - first))
        kind = getattr(torch, dtype or types[entry["dtype"]])
        tensor = torch.frombuffer(numbers, dtype=kind)
        return tensor.reshape(entry["shape"]) if shape else tensor

    return answer


def blocks(kind):
    def answer(model, file):
        found = []
        for i, block in enumerate(model.blocks):
            ours = block.attention.out.weight
            theirs = file[f"h.{i}.attn.c_proj.weight"]
            same = (ours - theirs).abs().max() < (ours - theirs.T).abs().max()
            if kind == "exact" and torch.equal(ours, theirs):
                found.append(i)
            if kind == "unequal" and not torch.equal(ours, theirs.T):
                found.append(i)
            if kind == "inverted" and not same:
                found.append(i)
            if kind == "repair" and same:
                with torch.no_grad():
                    ours.copy_(theirs.T)
                found.append(i)
        return found

    return answer


PLANTED |= {
    "5.7": [
        ("roots", "square roots", [0.379, 3, 0.67, 2]),
        ("not scaled", "scaled to sum 1", [0.25, 3, 0.67, 2]),
        ("no crossing", "crosses 0.8 is kept", [0.72, 2, 0.67, 2]),
        ("absolute", "LARGEST probability", [0.72, 3, 1, 2]),
        ("other order", "the temperature comes first", [0.72, 3, 0.67, 3]),
    ],
    "5.8": [
        ("one too short", "by the rule for", repeats(n_off=-1)),
        ("one too long", "would repeat, and is allowed", repeats(n_off=1)),
        ("first row", "ANOTHER row", repeats(first_row=True)),
        ("in place", "clone them", repeats(in_place=True)),
        ("all that was said", "are others than those", repeats(all_said=True)),
    ],
    "5.10": [
        ("views", "save_file refuses it", [pack_views, unpack]),
        ("both names", "second name of a tied weight", [pack_twice, unpack]),
        ("new parameters", "a tie was broken", [pack, unpack_new]),
        ("nothing", "differs after the round trip", [pack, unpack_nothing]),
    ],
    "5.11": [
        ("too early", "begin after the header", reader(early=8)),
        ("always float32", "stopped with RuntimeError", reader(dtype="float32")),
        ("flat", "you give (12,)", reader(shape=False)),
    ],
    "5.12": [
        ("exact", "none found, but", blocks("exact")),
        ("unequal", "no two are equal to the last digit", blocks("unequal")),
        ("inverted", "is its transpose", blocks("inverted")),
        ("repaired", "the model was changed", blocks("repair")),
    ],
    "5.9": [
        ("greedy", "all eight are the same", {"temperature": 0.0}),
        ("timid", "repeat too much", {"temperature": 0.5}),
        ("plain", "too unlikely", {"temperature": 1.0}),
        ("unknown", "is none of", {"temp": 0.5}),
    ],
}
