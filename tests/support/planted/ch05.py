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


def epoch(
    *,
    step=True,
    forget=True,
    shift=False,
    softmax=False,
    mode=True,
    batches=None,
    passes=1,
    reverse=False,
    result=lambda losses: sum(losses) / len(losses),
):
    def answer(model, optimizer, loader):
        if mode:
            model.train()
        losses = []
        for x, y in passes * (loader[::-1] if reverse else loader)[:batches]:
            if forget:
                optimizer.zero_grad()
            logits = model(x).flatten(0, 1)
            logits = torch.softmax(logits, dim=-1) if softmax else logits
            loss = F.cross_entropy(logits, (x if shift else y).flatten())
            loss.backward()
            if step:
                optimizer.step()
            losses.append(loss.item())
        return result(losses)

    return answer


def one_step(model, optimizer, loader):
    model.train()
    optimizer.zero_grad()
    losses = [F.cross_entropy(model(x).flatten(0, 1), y.flatten()) for x, y in loader]
    mean = torch.stack(losses).mean()
    mean.backward()
    optimizer.step()
    return mean.item()


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
        ("per token", "those are bits per token", [1.386, 4, 2]),
        ("nats per byte", "those are nats per byte", [1.386, 4, 0.5545]),
        ("other order", "the loss is not 4 nats", [4, 1.386, 0.8]),
        ("negative", "the loss is not -1.386", [-1.386, 4, 0.8]),
        ("other base", "the perplexity is not 16", [1.386, 16, 0.8]),
        ("two only", "three numbers", [1.386, 4]),
    ],
    "5.2": [
        ("no step", "no weight has changed", epoch(step=False)),
        ("old gradients", "empty them before each backward", epoch(forget=False)),
        ("inputs as targets", "give back its inputs", epoch(shift=True)),
        ("softmax first", "does the softmax itself", epoch(softmax=True)),
        ("one step for all", "took 1 steps for 4", one_step),
        ("first batch only", "took 1 steps for 4", epoch(batches=1)),
        ("twice", "took 8 steps for 4", epoch(passes=2)),
        ("backwards", "in the order of the loader", epoch(reverse=True)),
        ("mode", "came in evaluation mode", epoch(mode=False)),
        ("sum", "the sum of the losses, not the mean", epoch(result=sum)),
        (
            "last",
            "the mean of the batches' losses is not",
            epoch(result=lambda x: x[-1]),
        ),
        ("nothing", "return the mean loss as a number", epoch(result=lambda x: None)),
    ],
    "5.3": [
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
    "5.4": [
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
    "5.5": [
        ("nothing", "both faults pass", lambda *a: "none"),
        ("no old gradients", "were there any gradients", search(fill=False)),
        ("training mode", "in which mode did you", search(switch=False)),
        ("alarm", "was accused of", search(alarm=True)),
        ("other word", "is none of", lambda *a: "fine"),
    ],
    "5.6": [
        ("mean of means", "need different weights", accumulated(mean=True)),
        ("undivided", "by which number do you divide", accumulated(whole=False)),
        ("not emptied", "still in the sum", accumulated(empty=False)),
        ("nan", "is 0/0", nan_mean),
    ],
    "5.7": [
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


def min_p(p, limit):
    kept = p * (p >= limit * p.max(dim=-1, keepdim=True).values)
    return kept / kept.sum(dim=-1, keepdim=True)


def top_p(
    *,
    cross=True,
    scale=True,
    back=True,
    in_place=False,
    by_row=True,
    first=True,
    alone=False,
    flat=False,
):
    def answer(p, limit):
        rows = p if in_place else p.clone()
        rows = rows if by_row else rows[:1].expand_as(rows)
        ordered, places = rows.sort(dim=-1, descending=True)
        sums = ordered.cumsum(dim=-1)
        cut = sums - ordered >= limit if cross else sums > limit
        cut[:, 0] &= not first
        cut[:, 1:] |= alone
        kept = ordered.masked_fill(cut, 0.0)
        kept = torch.zeros_like(kept).scatter(-1, places, kept) if back else kept
        kept = kept / kept.sum(dim=-1, keepdim=True) if scale else kept
        if in_place:
            p.copy_(kept)
        return kept[0] if flat else kept

    return answer


PLANTED |= {
    "5.8": [
        ("no crossing", "crosses 0.6 is kept", top_p(cross=False)),
        ("not scaled", "add up to 1", top_p(scale=False)),
        ("sorted", "the place of its token", top_p(back=False)),
        ("in place", "has been changed", top_p(in_place=True)),
        ("first row", "becomes (0, 0, 0.429, 0.571)", top_p(by_row=False)),
        ("nothing left", "crosses 0.6 is kept", top_p(cross=False, first=False)),
        ("best alone", "crosses 0.6 is kept", top_p(alone=True)),
        ("one row", "two rows of four", top_p(flat=True)),
        ("a list", "expected a tensor", lambda p, limit: p.tolist()),
        ("min-p", "crosses 0.6 is kept", lambda p, limit: min_p(p, limit)),
        ("nothing cut", "not [0.5, 0.25, 0.15, 0.1]", lambda p, limit: p.clone()),
    ],
    "5.9": [
        ("roots", "square roots", [0.379, 3, 0.67, 2]),
        ("not scaled", "scaled to sum 1", [0.25, 3, 0.67, 2]),
        ("no crossing", "crosses 0.8 is kept", [0.72, 2, 0.67, 2]),
        ("absolute", "LARGEST probability", [0.72, 3, 1, 2]),
        ("other order", "the temperature comes first", [0.72, 3, 0.67, 3]),
    ],
    "5.10": [
        ("one too short", "by the rule for", repeats(n_off=-1)),
        ("one too long", "would repeat, and is allowed", repeats(n_off=1)),
        ("first row", "ANOTHER row", repeats(first_row=True)),
        ("in place", "clone them", repeats(in_place=True)),
        ("all that was said", "are others than those", repeats(all_said=True)),
    ],
    "5.12": [
        ("views", "save_file refuses it", [pack_views, unpack]),
        ("both names", "second name of a tied weight", [pack_twice, unpack]),
        ("new parameters", "a tie was broken", [pack, unpack_new]),
        ("nothing", "differs after the round trip", [pack, unpack_nothing]),
    ],
    "5.13": [
        ("too early", "begin after the header", reader(early=8)),
        ("always float32", "stopped with RuntimeError", reader(dtype="float32")),
        ("flat", "you give (12,)", reader(shape=False)),
    ],
    "5.14": [
        ("exact", "none found, but", blocks("exact")),
        ("unequal", "no two are equal to the last digit", blocks("unequal")),
        ("inverted", "is its transpose", blocks("inverted")),
        ("repaired", "the model was changed", blocks("repair")),
    ],
    "5.11": [
        ("greedy", "all eight are the same", {"temperature": 0.0}),
        ("timid", "repeat too much", {"temperature": 0.5}),
        ("plain", "too unlikely", {"temperature": 1.0}),
        ("a little hot", "too unlikely", {"temperature": 0.7}),
        ("unknown", "is none of", {"temp": 0.5}),
    ],
}
