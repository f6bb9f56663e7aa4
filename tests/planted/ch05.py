"""Wrong answers to chapter 5's exercises, and words that their verdicts must hold."""

import json

import torch


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


PLANTED = {
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
    "5.9": [
        ("views", "save_file refuses it", [pack_views, unpack]),
        ("both names", "second name of a tied weight", [pack_twice, unpack]),
        ("new parameters", "a tie was broken", [pack, unpack_new]),
        ("nothing", "differs after the round trip", [pack, unpack_nothing]),
    ],
    "5.10": [
        ("too early", "begin behind the header", reader(early=8)),
        ("always float32", "stopped with RuntimeError", reader(dtype="float32")),
        ("flat", "you give (12,)", reader(shape=False)),
    ],
    "5.11": [
        ("exact", "none found, but", blocks("exact")),
        ("unequal", "no two are equal to the last digit", blocks("unequal")),
        ("inverted", "is its transpose", blocks("inverted")),
        ("repaired", "the model was changed", blocks("repair")),
    ],
    "5.12": [
        ("greedy", "all eight are the same", {"temperature": 0.0}),
        ("timid", "repeat too much", {"temperature": 0.5}),
        ("plain", "too unlikely", {"temperature": 1.0}),
        ("unknown", "is none of", {"temp": 0.5}),
    ],
}
