"""How one number inside a GPT came about, from the numbers before it.

Not built on a page. `explain` names the operation and its operands, down to the two
rows that a matrix product multiplies. `web/engine/explain.js` gives the same
answers in the browser; the names of the tensors are those of `trace`.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from llmbook_utils.inside.stages import stages_of
from llmbook_utils.inside.trace import NO_CHANGES, Changes, Trace, check_index
from llmbook_utils.model import GPTModel

Index = Sequence[int]
Answer = dict[str, Any]

IN_BLOCK = {stage.name: stage for stage in stages_of("block")}
AROUND = {s.name: s for s in (*stages_of("before"), *stages_of("after")) if s.operation}


def rule_of(tensor: str, model: GPTModel) -> tuple[str, list[str]]:
    """The operation that makes a tensor, and the names of what it works on."""
    last = model.config.n_layers - 1
    found = re.fullmatch(r"blocks\.(\d+)\.(.*)", tensor)
    # what a block reads is the last block's output, and the embedding at the bottom
    if found and int(found[1]) <= last and found[2] in IN_BLOCK:
        stage, block = IN_BLOCK[found[2]], int(found[1])
        inside, stream = f"blocks.{block}.", f"blocks.{block - 1}.output"
        if block == 0:
            stream = "embedding"
    elif tensor in AROUND:
        stage, inside, stream = AROUND[tensor], "", f"blocks.{last}.output"
    else:
        raise ValueError(f"there is no tensor {tensor}")
    names = [stream if name == "stream" else inside + name for name in stage.of]
    if stage.operation in ("lookup", "linear"):
        tied = stage.layer == "head" and model.config.tie_embeddings
        names.append("token_embedding" if tied else f"{inside}{stage.layer}")
    return str(stage.operation), names


def part(tensor: str, index: Index) -> Answer:
    """What an answer says of a tensor, or of a part of it."""
    return {"tensor": tensor, "index": list(index)}


@dataclass
class Explanation:
    """One number of one tensor, and the methods that say how operations made it."""

    trace: Trace
    ids: Sequence[int]
    tensor: str
    index: Index

    @property
    def model(self) -> GPTModel:
        return self.trace.model

    def parameter(self, name: str, *index: int) -> Tensor:
        return self.model.get_parameter(name).detach()[tuple(index)]

    def value(self, tensor: str, index: Index) -> Tensor:
        return self.trace.values[tensor][tuple(index)]

    def term(self, tensor: str) -> Answer:
        return part(tensor, self.index) | {
            "value": self.value(tensor, self.index).item()
        }

    def lookup(self, table: str) -> Answer:
        t, c = self.index
        if table == "position_embedding" and not self.trace.changes.positions:
            return {"operation": "off"}
        row = self.ids[t] if table == "token_embedding" else t
        return {"parameter": {"name": f"{table}.weight", "index": [row, c]}}

    def sum(self, *terms: str) -> Answer:
        return {"terms": [self.term(name) for name in terms]}

    def gelu(self, of: str) -> Answer:
        return {"terms": [self.term(of)]}

    def norm(self, of: str) -> Answer:
        t, c = self.index
        left = self.value(of, [t])
        return {
            "of": part(of, [t]),
            "at": c,
            "mean": left.mean().item(),
            "variance": left.var(correction=0).item(),
            "scale": self.parameter(f"{self.tensor}.scale", c).item(),
            "shift": self.parameter(f"{self.tensor}.shift", c).item(),
            "arrays": {"left": left},
        }

    def linear(self, of: str, layer: str) -> Answer:
        source, config = self.trace.values[of], self.model.config
        if len(self.index) == 3:  # q, k and v are cut into heads
            h, t, d = self.index
            kind = "qkv".index(self.tensor[-1])
            row = kind * config.emb_dim + h * config.head_dim + d
        else:
            t, row = self.index
        left = source[:, t].flatten() if source.dim() == 3 else source[t]
        bias = getattr(self.model.get_submodule(layer), "bias", None)
        return {
            "operation": "product",
            "of": part(of, [t]),
            "parameter": {"name": f"{layer}.weight", "index": [row]},
            "factor": 1.0,
            "bias": 0.0 if bias is None else bias[row].item(),
            "arrays": {"left": left, "right": self.parameter(f"{layer}.weight", row)},
        }

    def scores(self, q: str, k: str) -> Answer:
        h, t, s = self.index
        root = math.sqrt(self.model.config.head_dim)
        return {
            "operation": "product",
            "of": part(q, [h, t]),
            "and": part(k, [h, s]),
            "factor": 1 / root if self.trace.changes.scaling else 1.0,
            "bias": 0.0,
            "arrays": {"left": self.value(q, [h, t]), "right": self.value(k, [h, s])},
        }

    def softmax(self, of: str) -> Answer:
        h, t, s = self.index
        allowed = t + 1 if self.trace.changes.mask else len(self.ids)
        return {
            "of": part(of, [h, t]),
            "at": s,
            "allowed": allowed,
            "arrays": {"left": self.value(of, [h, t])[:allowed]},
        }

    def gather(self, weights: str, v: str) -> Answer:
        h, t, d = self.index
        if self.trace.is_off(weights.removesuffix(".weights"), h):
            return {"operation": "off"}
        left, right = self.value(weights, [h, t]), self.trace.values[v][h, :, d]
        return {
            "operation": "product",
            "of": part(weights, [h, t]),
            "and": part(v, [h, d]),
            "factor": 1.0,
            "bias": 0.0,
            "arrays": {"left": left, "right": right},
        }


def explain(
    model: GPTModel,
    ids: Sequence[int],
    tensor: str,
    index: Index,
    changes: Changes = NO_CHANGES,
) -> Answer:
    """Say how `tensor[index]` came about when the model read ids (T,).

    The answer holds its `value` and the `operation`, and by operation: "product" the
    `arrays` left and right, a `factor` and a `bias`; "sum" its `terms`; "norm" the
    vector, `mean`, `variance`, `scale` and `shift`; "softmax" the scores and which of
    them; "gelu" its one term; "lookup" the parameter; "off" and "replaced" nothing.
    ValueError for a tensor that there is not and an index outside it.
    """
    operation, names = rule_of(tensor, model)
    # one reading keeps the number and all that it was made of
    trace = Trace(model, [tensor, *names], changes)
    values = trace(ids)
    if tensor not in values:
        raise ValueError(f"{tensor} is not computed: its block is switched off")
    check_index(tensor, index, values[tensor])
    if len(index) != values[tensor].dim():
        raise ValueError(
            f"index {list(index)} names no number of {tensor}, which has the shape "
            f"{tuple(values[tensor].shape)}"
        )
    answer: Answer = {
        "value": values[tensor][tuple(index)].item(),
        "operation": operation,
        "arrays": {},
    }
    if tensor in trace.replaced:
        return answer | {"operation": "replaced"}
    if operation == "sum" and not set(names) <= values.keys():
        return answer | {"operation": "off"}
    found = Explanation(trace, ids, tensor, index)
    return answer | getattr(found, operation)(*names)
